// The log explorer.
(() => {
  'use strict';
  const m = window.towpathMonitor, { $, $$, el, ask, api, scope, project, count, toast, say, said, editor, histogram, rowTable, chartOf, plainText, quote, sevClass, severities } = m;
  const root = $('[data-explorer]');
  if (!root) return;
  const start = JSON.parse(root.dataset.start || '{}'), home = '/projects/' + encodeURIComponent(project) + '/monitor';
  const form = $('[data-ask]', root), range = $('[data-range]'), wrong = $('[data-wrong]', root), tally = $('[data-count]', root), cost = $('[data-cost]', root);
  const rowbox = $('[data-rowbox]', root), chart = $('[data-chart]', root), patterns = $('[data-patterns]', root), hist = $('[data-histogram]', root), facets = $('[data-facets]', root), common = $('[data-common]', root);
  let chosen = start.from && start.to ? { from: start.from, to: start.to } : null;
  let answer = null, overview = null, running = null, tail = null, mined = null, times = null;
  const seen = new Map(); // of facets: the values that there were before a condition hid the others
  const edit = editor($('[data-kql]', root), {
    run: () => run(),
    wrong: (e) => { wrong.textContent = wrong.title = e ? `${e.line}:${e.col}: ${e.message}${e.next ? ' – ' + e.next : ''}` : ''; },
  });
  const now = () => chosen || { from: new Date(Date.now() - Number(range.value) * 1000).toISOString(), to: new Date().toISOString() };

  // ---- Conditions that clicks write into the text ----
  const literal = (type, v) => (/^(int|long|real|decimal|bool)$/.test(type) ? String(v).toLowerCase() : quote(v));
  const left = (name, type) => (type === 'dynamic' ? `tostring(${name})` : name);
  const escaped = (s) => s.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  // taken are the values that a line of the text narrows a column to, and that line's place.
  const taken = (name, type) => {
    const lines = edit.text.split('\n'), one = new RegExp(`^\\| where ${escaped(left(name, type))} (?:== (.+)|in \\((.+)\\))$`);
    for (let i = 0; i < lines.length; i++) {
      const f = one.exec(lines[i]);
      if (!f) continue;
      const list = [...(f[1] || f[2]).matchAll(/"(?:[^"\\]|\\.)*"|[^,\s]+/g)].map((v) => v[0]);
      return { lines, i, list };
    }
    return { lines: edit.text.trimEnd().split('\n'), i: -1, list: [] };
  };
  // narrow takes a value to those that a column is narrowed to, or away from them.
  const narrow = (name, type, v) => {
    const t = taken(name, type), l = literal(type, v), at = t.list.indexOf(l);
    if (at >= 0) t.list.splice(at, 1); else t.list.push(l);
    const text = t.list.length === 0 ? null : `| where ${left(name, type)} ` + (t.list.length === 1 ? '== ' + t.list[0] : `in (${t.list.join(', ')})`);
    if (t.i < 0) t.lines.push(text); else if (text) t.lines[t.i] = text; else t.lines.splice(t.i, 1);
    edit.text = t.lines.join('\n');
    run();
  };
  const append = (line) => {
    const lines = edit.text.trimEnd().split('\n'), had = lines.indexOf(line);
    if (had >= 0) lines.splice(had, 1); else lines.push(line);
    edit.text = lines.join('\n');
    run();
  };
  const choose = (from, to) => {
    chosen = from ? { from, to } : null;
    if (!chosen && range.value === 'custom') range.value = '1800';
    run();
  };
  const table = rowTable(rowbox, {
    filter: (c, v, only) => (only ? narrow(c.name, c.type, v) : append(`| where ${left(c.name, c.type)} != ${literal(c.type, v)}`)),
    context: (row, at) => {
      const t = row[at.TimeGenerated], ms = Date.parse(t);
      edit.text = `ContainerLogV2\n| where PodName == ${quote(row[at.PodName])} and ContainerName == ${quote(row[at.ContainerName])}\n| where TimeGenerated between (datetime(${t}) - 10s .. datetime(${t}) + 10s)`;
      choose(new Date(ms - 20000).toISOString(), new Date(ms + 20000).toISOString());
    },
  });

  // ---- Tabs ----
  const setTab = (name) => {
    rowbox.hidden = name !== 'rows'; chart.hidden = name !== 'chart'; patterns.hidden = name !== 'patterns';
    $$('[data-tab]', root).forEach((b) => b.setAttribute('aria-pressed', String(b.dataset.tab === name)));
    if (name === 'patterns') showPatterns();
    if (name === 'chart' && answer) chartOf(chart, answer, answer.render);
  };
  // conditionOf finds the lines of a pattern by its words: what differs may be anything.
  const conditionOf = (p) => {
    const name = answer.columns.some((c) => c.name === 'LogMessage') ? 'LogMessage' : 'Message', type = answer.columns.find((c) => c.name === name)?.type;
    const expr = p.pattern.split(/<[a-z*]+>/).map((s) => s.split(/\s+/).map(escaped).join('\\s+')).join('.*');
    return `| where ${left(name, type)} matches regex ${quote(expr)}`;
  };
  const mine = async () => {
    mined ||= ask('POST', '/monitor/patterns?' + scope, { query: edit.text, ...times });
    return mined;
  };
  const showPatterns = async () => {
    const slow = setTimeout(() => patterns.replaceChildren(el('p', { class: 'pad dim' }, 'Finding what the lines have in common…')), 300);
    try {
      const got = await mine(), total = got.reduce((s, p) => s + p.count, 0);
      clearTimeout(slow);
      if (got.length === 0) { patterns.replaceChildren(el('p', { class: 'pad dim' }, 'No lines with a text in this time.')); return; }
      patterns.replaceChildren(el('table', { class: 't' }, el('thead', {}, el('tr', {}, el('th', { scope: 'col', class: 'num-col', scope: 'col' }, 'Lines'), el('th', { scope: 'col', class: 'num-col', scope: 'col' }, 'Share'), el('th', { scope: 'col', class: 'wide', scope: 'col' }, 'Pattern'), el('th', { scope: 'col' }, el('span', { class: 'sr' }, 'Narrow')))),
        el('tbody', {}, ...got.map((p) => el('tr', {}, el('td', { class: 'num-col' }, count(p.count)), el('td', { class: 'num-col dim' }, (p.count / total * 100).toFixed(1) + '\u202f%'),
          el('td', { class: 'wide mono', title: p.sample }, p.pattern), el('td', { class: 'nowrap' }, el('button', { type: 'button', class: 'linkish', onclick: () => { append(conditionOf(p)); } }, '= only')))))));
    } catch (e) { clearTimeout(slow); patterns.replaceChildren(el('p', { class: 'pad shut-text' }, said(e))); }
  };
  // showCommon lists the most frequent patterns beside the rows.
  const showCommon = async () => {
    const from = answer;
    try {
      const got = await mine();
      if (from !== answer) return;
      common.replaceChildren(...(got.length === 0 ? [] : [el('h2', {}, 'Patterns'), ...got.slice(0, 5).map((p) => el('button', { type: 'button', class: 'pattern', title: p.pattern + '\n' + p.sample, onclick: () => append(conditionOf(p)) }, el('span', { class: 'clip' }, p.pattern), el('span', { class: 'num' }, count(p.count))))]));
    } catch { common.replaceChildren(); }
  };
  const showFacets = () => {
    common.replaceChildren();
    if (!overview.facets?.length && seen.size === 0) { facets.replaceChildren(el('p', { class: 'small faint' }, overview.rows ? 'No values to narrow by.' : 'This query adds up: there is nothing to narrow.')); return; }
    const groups = overview.facets.map((f) => {
      const type = overview.columns.find((c) => c.name === f.column)?.type || 'string', list = taken(f.column, type).list;
      if (list.length === 0) seen.set(f.column, f.values);
      const more = (list.length > 0 ? seen.get(f.column) || [] : []).filter((v) => !f.values.some((w) => w.value === v.value)).map((v) => ({ value: v.value, count: null }));
      return { ...f, type, list, values: f.values.concat(more).slice(0, 8) };
    });
    facets.replaceChildren(...groups.flatMap((f) => [el('h2', {}, f.title), ...f.values.map((v) => {
      const on = f.list.includes(literal(f.type, v.value)), level = f.column === 'LogLevel' ? v.value : f.column === 'SeverityLevel' ? ['', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'][v.value] : null;
      const words = f.column === 'LogLevel' ? v.value[0] + v.value.slice(1).toLowerCase() : f.column === 'SeverityLevel' ? severities[v.value] || v.value : f.column === 'Release' ? v.value.split('/').slice(1).join('/') || v.value : f.column === 'Success' ? { true: 'Succeeded', false: 'Failed' }[v.value.toLowerCase()] || v.value : v.value;
      return el('label', { title: v.value }, el('input', { type: 'checkbox', checked: on, onchange: () => narrow(f.column, f.type, v.value) }),
        level === null ? null : el('i', { class: 'sev ' + sevClass(level) }), el('span', { class: 'clip name' }, words || '(empty)'), el('span', {}, v.count === null ? '–' : count(v.count)));
    })]));
  };

  // ---- Asking ----
  const remember = () => {
    if (chosen) range.value = 'custom';
    const u = new URL(location.href);
    u.searchParams.set('q', edit.text);
    if (range.value === 'custom') u.searchParams.delete('range'); else u.searchParams.set('range', range.value);
    for (const k of ['from', 'to']) if (chosen) u.searchParams.set(k, chosen[k]); else u.searchParams.delete(k);
    history.replaceState(null, '', u);
    $('[data-alert-on]').href = home + '/rules/new?q=' + encodeURIComponent(edit.text);
  };
  const none = () => {
    const back = [...range.options].map((o) => Number(o.value)).filter((s) => s > Number(range.value))[0];
    rowbox.replaceChildren(el('div', { class: 'empty' }, el('h2', {}, 'No row in this time.'), el('p', {}, 'Look further back, take a condition away, or see what there is.'),
      el('p', { class: 'row' }, chosen || back ? el('button', { type: 'button', class: 'btn', onclick: () => { chosen = null; range.value = String(back || 86400); run(); } }, 'Look further back') : null,
        el('button', { type: 'button', class: 'btn', onclick: () => { edit.text = 'union withsource=Table * | summarize Rows = count(), Newest = max(TimeGenerated) by Table | order by Rows desc'; run(); } }, 'See what there is'))));
  };
  const run = async () => {
    stopTail();
    running?.abort();
    const me = running = new AbortController();
    wrong.textContent = wrong.title = '';
    root.setAttribute('aria-busy', 'true');
    const slow = setTimeout(() => root.classList.add('waiting'), 300);
    remember();
    times = now();
    mined = null;
    const question = { query: edit.text, ...times };
    try {
      const [rows, over] = await Promise.all([
        ask('POST', '/monitor/newest?' + scope, { ...question, max_rows: 2000 }, me.signal),
        ask('POST', '/monitor/explore?' + scope, question, me.signal),
      ]);
      answer = rows; overview = over;
      const total = over.rows ? over.total : rows.rows.length, s = over.rows ? over.stats : rows.stats;
      tally.textContent = count(total) + (total === 1 ? ' row' : ' rows') + (over.rows && total > rows.rows.length ? `, newest ${count(rows.rows.length)}` : rows.truncated ? ' and more' : '');
      cost.textContent = `${Math.max(1, Math.round(rows.stats.milliseconds + rows.stats.compile_ms + rows.stats.tail_ms))} ms · ${s.segments_read} of ${s.segments} segments read`;
      cost.title = rows.stats.pushed;
      if (over.rows && over.bars > 0) histogram(hist, over, choose); else hist.hidden = true;
      showFacets();
      if (rows.rows.length === 0) none(); else table.show(rows, true);
      const worded = rows.columns.some((c) => c.name === 'LogMessage' || c.name === 'Message');
      for (const b of $$('[data-tab]', root)) b.hidden = b.dataset.tab === 'patterns' ? !over.rows || !worded : b.dataset.tab === 'chart' ? over.rows : false;
      $('[data-columns]', root).hidden = rows.rows.length === 0;
      $('[data-live-tail]').disabled = !over.rows;
      setTab(rows.render && rows.render.chart !== 'table' && rows.rows.length > 0 ? 'chart' : 'rows');
      if (over.rows && worded) showCommon();
      say(tally.textContent);
    } catch (e) {
      if (e.name === 'AbortError') return;
      wrong.textContent = wrong.title = said(e);
      edit.check();
    } finally {
      if (running === me) { clearTimeout(slow); root.classList.remove('waiting'); root.removeAttribute('aria-busy'); root.dataset.asked = String(Number(root.dataset.asked || 0) + 1); }
    }
  };

  // ---- Live: rows as the server acknowledges them, through the same query ----
  const live = $('[data-live-tail]');
  const stopTail = () => { if (!tail) return; tail.close(); tail = null; live.setAttribute('aria-pressed', 'false'); live.textContent = 'Live'; root.classList.remove('tailing'); };
  const startTail = () => {
    tail = new EventSource(api + '/monitor/tail?' + scope + '&query=' + encodeURIComponent(edit.text));
    live.setAttribute('aria-pressed', 'true');
    live.textContent = 'Pause';
    root.classList.add('tailing');
    setTab('rows');
    tail.addEventListener('open', () => { root.dataset.tail = 'open'; });
    tail.addEventListener('rows', (e) => {
      const got = JSON.parse(e.data);
      if (table.columns.length !== got.columns.length || table.rows.length === 0) table.show({ ...got, rows: got.rows.reverse() }, true);
      else table.prepend(got.rows.reverse(), 5000);
      tally.textContent = count(table.rows.length) + ' rows, live';
    });
    tail.addEventListener('dropped', (e) => toast(count(e.data) + ' rows came faster than they can be shown'));
    tail.onerror = () => { if (tail?.readyState === EventSource.CLOSED) { stopTail(); toast('The live view ended. Run the query again.'); } };
  };
  live.addEventListener('click', () => { if (tail) stopTail(); else startTail(); });
  document.addEventListener('visibilitychange', () => { if (document.hidden) stopTail(); });

  form.addEventListener('submit', (e) => { e.preventDefault(); run(); });
  range.addEventListener('change', () => { if (range.value !== 'custom') { chosen = null; run(); } });
  $$('[data-tab]', root).forEach((b) => b.addEventListener('click', () => setTab(b.dataset.tab)));
  let width = hist.clientWidth;
  new ResizeObserver(() => { if (!hist.hidden && overview && hist.clientWidth !== width) { width = hist.clientWidth; histogram(hist, overview, choose); } }).observe(hist);

  // ---- Columns ----
  $('[data-columns]', root).addEventListener('click', (e) => {
    const old = $('.columnpick', root), button = e.currentTarget;
    if (old) { old.remove(); return; }
    const pick = el('div', { class: 'columnpick', role: 'group', 'aria-label': 'Columns' }, ...table.columns.map((c) => el('label', {}, el('input', {
      type: 'checkbox', checked: table.shown.some((s) => s.name === c.name),
      onchange: (ev) => { const list = table.shown.filter((s) => s.name !== c.name); if (ev.target.checked) list.push(table.columnOf(c.name)); table.shown = list; },
    }), el('span', { class: 'clip' }, c.name), el('small', {}, c.type))));
    button.parentElement.append(pick);
    $('input', pick)?.focus();
    const away = (ev) => { if (ev.key ? ev.key === 'Escape' : !pick.contains(ev.target) && ev.target !== button) { pick.remove(); document.removeEventListener('click', away); document.removeEventListener('keydown', away); if (ev.key) button.focus(); } };
    setTimeout(() => { document.addEventListener('click', away); document.addEventListener('keydown', away); });
  });

  // ---- Export ----
  const save = (name, type, text) => {
    const a = el('a', { href: URL.createObjectURL(new Blob([text], { type })), download: name });
    a.click();
    setTimeout(() => URL.revokeObjectURL(a.href), 1000);
  };
  const csv = (v) => (/[",\n\r]/.test(v) ? '"' + v.replaceAll('"', '""') + '"' : v);
  // An apostrophe before a text that a spreadsheet would compute, as the command line has it: what
  // a service wrote must not run on the desk of who looks at it. Numbers are no texts.
  const cell = (v) => (typeof v === 'number' ? plainText(v) : plainText(v).replace(/^[=+\-@\t\r]/, "'$&"));
  $('[data-export]', root).hidden = false;
  $$('[data-export-as]', root).forEach((b) => b.addEventListener('click', async () => {
    b.closest('details').open = false;
    const as = b.dataset.exportAs;
    if (as === 'link' || as === 'cli') {
      const text = edit.text.trimEnd() + (chosen && overview?.rows ? `\n| where TimeGenerated between (datetime(${chosen.from}) .. datetime(${chosen.to}))` : '');
      await navigator.clipboard.writeText(as === 'link' ? location.href : `towpath query --project ${project} ${chosen ? '' : `--since ${range.value}s `}'${text.replaceAll("'", "'\\''")}'`);
      toast('Copied');
      return;
    }
    try {
      const all = await ask('POST', '/monitor/newest?' + scope, { query: edit.text, ...times, max_rows: 100000 });
      if (as === 'json') save('rows.json', 'application/json', JSON.stringify(all.rows.map((r) => Object.fromEntries(all.columns.map((c, i) => [c.name, r[i]]))), null, 1));
      else save('rows.csv', 'text/csv', [all.columns.map((c) => c.name), ...all.rows].map((r) => r.map((v) => csv(cell(v))).join(',')).join('\r\n'));
      toast(count(all.rows.length) + ' rows' + (all.truncated ? ', there are more' : ''));
    } catch (e) { toast(said(e)); }
  }));

  // ---- Views ----
  const saver = $('[data-save-view]');
  saver.addEventListener('click', () => {
    $('dialog.saveview')?.remove();
    const name = el('input', { class: 'in', name: 'name', required: true, maxlength: 100, placeholder: 'errors of checkout' }), shared = el('input', { type: 'checkbox' }), why = el('p', { class: 'small shut-text', role: 'alert' });
    const d = el('dialog', { class: 'saveview', 'aria-labelledby': 'saveview-h' }, el('form', { class: 'stack pad', onsubmit: async (e) => {
      e.preventDefault();
      try {
        await ask('POST', '/projects/' + encodeURIComponent(project) + '/views', { name: name.value, query: edit.text, range: range.value === 'custom' ? 0 : Number(range.value), shared: shared.checked });
        d.close();
        toast('“' + name.value + '” is kept');
        showViews();
      } catch (err) { why.textContent = said(err); }
    } }, el('h2', { id: 'saveview-h' }, 'Save view'), el('label', { class: 'field' }, el('span', {}, 'Name'), name),
    el('label', { class: 'row small' }, shared, 'Everybody of the project sees it'), why,
    el('div', { class: 'row' }, el('button', { class: 'btn primary' }, 'Save'), el('button', { type: 'button', class: 'btn', onclick: () => d.close() }, 'Cancel'))));
    document.body.append(d);
    d.showModal();
  });
  const views = $('[data-views]', root), path = '/projects/' + encodeURIComponent(project) + '/views';
  const showViews = async () => {
    try {
      const list = await ask('GET', path);
      $('[data-noviews]', root).hidden = list.length > 0;
      views.replaceChildren(...list.map((v) => el('li', {},
        el('a', { class: 'clip', title: v.query, href: home + '/logs?' + (v.range ? 'range=' + v.range + '&' : '') + 'q=' + encodeURIComponent(v.query) }, v.name),
        v.shared ? el('span', { class: 'faint small' }, 'shared') : null,
        v.owner === root.dataset.me ? el('button', { type: 'button', class: 'linkish away', 'aria-label': 'Remove the view ' + v.name, title: 'Remove', onclick: async () => { try { await ask('DELETE', path + '/' + v.id); showViews(); } catch (e) { toast(said(e)); } } }, '×') : null)));
    } catch { /* What the page shows already stays. */ }
  };
  for (const b of [live, saver]) b.hidden = false;
  showViews();
  run();
})();
