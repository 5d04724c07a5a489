// The metrics explorer: PromQL, drawn over time with the releases of that time.
(() => {
  'use strict';
  const m = window.towpathMonitor, { $, $$, el, ask, scope, project, count, colour } = m;
  const root = $('[data-metrics]');
  if (!root) return;
  const area = $('[data-promql]', root), range = $('[data-range]'), wrong = $('[data-wrong]', root), tally = $('[data-count]', root), chart = $('[data-chart]', root), legend = $('[data-legend]', root);
  const names = $('[data-metric-names]', root), find = $('[data-metric-find]', root);
  const prometheus = '/prometheus/' + encodeURIComponent(project) + '/api/v1';
  let all = [], kinds = {};
  const list = () => {
    const q = find.value.toLowerCase(), some = all.filter((n) => n.toLowerCase().includes(q)).slice(0, 400);
    names.replaceChildren(...some.map((n) => el('li', {}, el('button', { type: 'button', class: 'linkish clip', title: n + (kinds[n]?.help ? ': ' + kinds[n].help : ''), onclick: () => {
      const counter = kinds[n]?.type === 'counter' || /_total$/.test(n);
      area.value = /_bucket$/.test(n) ? `histogram_quantile(0.95, sum by (le) (rate(${n}[5m])))` : counter ? `sum by (pod) (rate(${n}[5m]))` : n;
      run();
    } }, n))));
    if (some.length === 0) names.replaceChildren(el('li', { class: 'small faint' }, all.length ? 'No metric is called so.' : 'No metric has come in yet.'));
  };
  const title = (l) => { const { __name__: n, ...rest } = l; return (n || '') + '{' + Object.entries(rest).map(([k, v]) => `${k}="${v}"`).join(', ') + '}'; };
  let mine = 0;
  const run = async () => {
    const me = ++mine, seconds = Number(range.value), end = new Date(), start = new Date(end - seconds * 1000), step = Math.max(5, Math.ceil(seconds / 240));
    wrong.textContent = '';
    const u = new URL(location.href);
    u.searchParams.set('q', area.value); u.searchParams.set('range', range.value);
    history.replaceState(null, '', u);
    $('[data-metric-alert]').href = '/projects/' + encodeURIComponent(project) + '/monitor/rules/new?kind=metric&q=' + encodeURIComponent(area.value);
    try {
      const [series, over] = await Promise.all([
        ask('GET', `/monitor/promql?${scope}&query=${encodeURIComponent(area.value)}&start=${start.toISOString()}&end=${end.toISOString()}&step=${step}`),
        ask('POST', '/monitor/explore?' + scope, { query: 'AppRequests | where false', from: start.toISOString(), to: end.toISOString() }).catch(() => ({ marks: [] })),
      ]);
      if (me !== mine) return;
      const stamps = [...new Set(series.flatMap((s) => s.times.map((t) => Date.parse(t) / 1000)))].sort((a, b) => a - b), place = new Map(stamps.map((t, i) => [t, i]));
      const drawn = series.slice(0, 40).map((s) => { const values = Array(stamps.length).fill(null); s.times.forEach((t, i) => { const v = s.values[i]; values[place.get(Date.parse(t) / 1000)] = typeof v === 'number' ? v : null; }); return { label: title(s.labels), values, last: values.at(-1) }; });
      tally.textContent = count(series.length) + (series.length === 1 ? ' series' : ' series') + (series.length > 40 ? ', 40 drawn' : '');
      m.timeChart(chart, stamps, drawn.map((d, i) => ({ label: String(i + 1), values: d.values })), over.marks || [], false);
      if (series.length === 0) {
        chart.replaceChildren(el('div', { class: 'empty' }, el('h2', {}, 'No series has these labels in this time.'), el('p', {}, all.length ? 'Pick a metric on the left, or look further back.' : 'The cluster and its workloads are scraped; services send metrics by OpenTelemetry, Prometheus by remote_write:'),
          all.length ? null : el('pre', { class: 'cmd' }, `remote_write:\n- url: ${location.origin}/prometheus/${project}/api/v1/write`)));
        legend.replaceChildren();
        return;
      }
      legend.replaceChildren(el('table', { class: 't' }, el('thead', {}, el('tr', {}, el('th', { scope: 'col' }, '#'), el('th', { scope: 'col', class: 'wide' }, 'Series'), el('th', { scope: 'col', class: 'num-col' }, 'Last'))),
        el('tbody', {}, ...drawn.map((d, i) => { const dot = el('i', { class: 'dot' }); dot.style.background = colour(i); return el('tr', {}, el('td', { class: 'nowrap' }, dot, ' ' + (i + 1)), el('td', { class: 'wide mono', title: d.label }, d.label), el('td', { class: 'num-col' }, d.last === null || d.last === undefined ? '–' : String(Number(d.last.toPrecision(6))))); }))));
    } catch (e) { if (me === mine) wrong.textContent = m.said(e); }
  };
  $('#metric-ask').addEventListener('submit', (e) => { e.preventDefault(); run(); });
  area.addEventListener('keydown', (e) => { if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) { e.preventDefault(); run(); } });
  range.addEventListener('change', run);
  find.addEventListener('input', list);
  fetch(prometheus + '/label/__name__/values').then((r) => r.json()).then((d) => { all = d.data || []; list(); }).catch(() => list());
  fetch(prometheus + '/metadata').then((r) => r.json()).then((d) => { for (const [k, v] of Object.entries(d.data || {})) kinds[k] = v[0]; }).catch(() => { /* Only for titles. */ });
  run();
})();
