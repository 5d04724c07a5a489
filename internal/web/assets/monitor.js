// The pages of the room Monitor: the editor of queries, the log explorer, charts. What they
// show they ask of the API, as the command line does.
(() => {
  'use strict';
  const $ = (sel, at = document) => at.querySelector(sel);
  const $$ = (sel, at = document) => [...at.querySelectorAll(sel)];
  const project = document.body.dataset.project || '';
  const api = '/api/v1';
  const scope = 'project=' + encodeURIComponent(project);
  const el = (name, attributes = {}, ...children) => {
    const e = document.createElement(name);
    for (const [k, v] of Object.entries(attributes)) {
      if (k === 'class') e.className = v;
      else if (k.startsWith('on')) e.addEventListener(k.slice(2), v);
      else if (v !== null && v !== undefined && v !== false) e.setAttribute(k, v === true ? '' : v);
    }
    e.append(...children.filter((c) => c !== null && c !== undefined));
    return e;
  };
  const svg = (name, attributes = {}, ...children) => {
    const e = document.createElementNS('http://www.w3.org/2000/svg', name);
    for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
    e.append(...children);
    return e;
  };
  const count = (n) => Number(n).toLocaleString('en').replaceAll(',', '\u202f');
  const say = (text) => { const s = $('#said'); if (s) s.textContent = text; };
  const toast = (text) => {
    const t = $('#toast');
    if (!t) return;
    t.textContent = text;
    t.classList.add('on');
    clearTimeout(toast.timer);
    toast.timer = setTimeout(() => t.classList.remove('on'), 2600);
  };

  // ---- The API ----
  class Refused extends Error {
    constructor(problem, status) { super(problem.detail || 'The server did not answer.'); this.next = problem.next || ''; this.id = problem.id || ''; this.status = status; }
  }
  const ask = async (method, path, body, signal) => {
    const answer = await fetch(api + path, {
      method, signal, headers: body ? { 'Content-Type': 'application/json' } : {}, body: body ? JSON.stringify(body) : undefined,
    });
    if (answer.ok) return answer.status === 204 ? null : answer.json();
    let problem = {};
    try { problem = await answer.json(); } catch { /* Not an answer of ours. */ }
    throw new Refused(problem, answer.status);
  };

  // ---- Words of the language, painted ----
  const operators = new Set(('where project project-away project-keep project-rename project-reorder extend summarize by sort order top take limit distinct join on ' +
    'lookup union parse parse-where parse-kv mv-expand mv-apply make-series top-nested count sample serialize as evaluate reduce getschema search find print range ' +
    'datatable let materialize partition scan render with kind and or not in has contains startswith endswith between asc desc nulls first last to step from of default').split(' '));
  const tables = new Set();
  const token = /(\/\/[^\n]*)|(@?"(?:[^"\\\n]|\\.)*"?|@?'(?:[^'\\\n]|\\.)*'?)|\b(\d+(?:\.\d+)?(?:ms|s|m|h|d|tick|microsecond)?)\b|([A-Za-z_][\w]*(?:-[a-z]+)?)(\s*\()?|([\s\S])/g;
  const paint = (text) => {
    const out = document.createDocumentFragment();
    const add = (kind, s) => out.append(kind ? el('span', { class: kind }, s) : s);
    for (const m of text.matchAll(token)) {
      if (m[1]) add('c', m[1]);
      else if (m[2]) add('s', m[2]);
      else if (m[3]) add('n', m[3]);
      else if (m[4]) {
        add(operators.has(m[4]) ? 'k' : tables.has(m[4]) ? 't' : m[5] ? 'f' : '', m[4]);
        if (m[5]) out.append(m[5]);
      } else out.append(m[6]);
    }
    out.append('\n');
    return out;
  };

  // ---- The editor: a plain textarea with paint behind it, and completion ----
  const editor = (area, onRun) => {
    const box = area.closest('.kqlbox'), layer = $('[data-kql-paint]', box), list = $('[data-completions]', box);
    let items = [], at = 0, from = 0, wanted;
    const draw = () => {
      layer.replaceChildren(paint(area.value));
      area.style.height = 'auto';
      area.style.height = Math.min(area.scrollHeight, 360) + 'px';
      layer.scrollTop = area.scrollTop;
    };
    const close = () => { list.hidden = true; items = []; area.removeAttribute('aria-activedescendant'); };
    const choose = (i) => {
      at = (i + items.length) % items.length;
      $$('li', list).forEach((li, k) => { li.setAttribute('aria-selected', String(k === at)); if (k === at) { li.scrollIntoView({ block: 'nearest' }); area.setAttribute('aria-activedescendant', li.id); } });
    };
    const accept = () => {
      const item = items[at];
      if (!item) return;
      area.setRangeText(item.insert, from, area.selectionEnd, 'end');
      close();
      draw();
    };
    const word = () => /[A-Za-z_][\w-]*$/.exec(area.value.slice(0, area.selectionStart))?.[0] || '';
    const complete = async () => {
      wanted?.abort();
      wanted = new AbortController();
      const begin = word();
      from = area.selectionStart - begin.length;
      try {
        const got = await ask('POST', '/monitor/complete', { query: area.value, position: new TextEncoder().encode(area.value.slice(0, area.selectionStart)).length }, wanted.signal);
        items = got.filter((i) => i.label.toLowerCase().startsWith(begin.toLowerCase()) && i.label !== begin).slice(0, 60);
      } catch { items = []; }
      if (items.length === 0) { close(); return; }
      list.replaceChildren(...items.map((i, k) => el('li', { role: 'option', id: 'completion-' + k, title: i.doc || '', onmousedown: (e) => { e.preventDefault(); at = k; accept(); } },
        el('span', { class: 'kind ' + i.kind }, i.kind.slice(0, 1)), i.label, el('small', {}, i.detail || ''))));
      const line = area.value.slice(0, from).split('\n');
      list.style.top = Math.min(area.offsetHeight, line.length * 20.8 + 16 - area.scrollTop) + 'px';
      list.style.left = Math.min(box.clientWidth - 320, 14 + line.at(-1).length * 7.83) + 'px';
      list.hidden = false;
      choose(0);
    };
    area.addEventListener('input', (e) => {
      draw();
      if (e.inputType === 'insertText' && /[A-Za-z_|]/.test(e.data || '')) complete(); else close();
    });
    area.addEventListener('scroll', () => { layer.scrollTop = area.scrollTop; layer.scrollLeft = area.scrollLeft; });
    area.addEventListener('blur', close);
    area.addEventListener('keydown', (e) => {
      if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) { e.preventDefault(); close(); onRun?.(); return; }
      if (e.key === ' ' && e.ctrlKey) { e.preventDefault(); complete(); return; }
      if (list.hidden) return;
      if (e.key === 'ArrowDown') { e.preventDefault(); choose(at + 1); }
      else if (e.key === 'ArrowUp') { e.preventDefault(); choose(at - 1); }
      else if (e.key === 'Tab' || e.key === 'Enter') { e.preventDefault(); accept(); }
      else if (e.key === 'Escape') { e.stopPropagation(); close(); }
    });
    draw();
    return { get text() { return area.value; }, set text(v) { area.value = v; draw(); }, draw };
  };

  // ---- Values ----
  const plainText = (v) => (v === null || v === undefined ? '' : typeof v === 'string' ? v : typeof v === 'object' ? JSON.stringify(v) : String(v));
  const clock = (iso) => {
    const d = new Date(iso);
    return Number.isNaN(d.getTime()) ? String(iso) : d.toLocaleTimeString('en-GB', { hour12: false }) + '.' + String(d.getMilliseconds()).padStart(3, '0');
  };
  const quote = (v) => '"' + String(v).replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n') + '"';
  const levelOf = (row, at) => {
    const l = at.LogLevel !== undefined ? row[at.LogLevel] : at.SeverityLevel !== undefined ? ['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'][row[at.SeverityLevel]] :
      at.Success !== undefined ? (row[at.Success] === false ? 'ERROR' : 'INFO') : at.KubeEventType !== undefined ? (row[at.KubeEventType] === 'Warning' ? 'WARNING' : 'INFO') : '';
    return String(l || '').toUpperCase();
  };
  const sevClass = (level) => ({ CRITICAL: 'er', ERROR: 'er', WARNING: 'wa', INFO: 'in' }[level] || '');

  // ---- The histogram ----
  const histogram = (box, o, onBrush) => {
    const W = Math.max(320, box.clientWidth), H = 92, base = 76;
    const totals = Array(o.bars).fill(0);
    for (const l of o.levels) l.counts.forEach((n, i) => { totals[i] += n; });
    const top = Math.max(1, ...totals), w = W / o.bars;
    const root = svg('svg', { viewBox: `0 0 ${W} ${H}`, width: '100%', height: H, role: 'img', 'aria-label': `${count(o.total)} rows over time` });
    const start = Date.parse(o.from);
    totals.forEach((t, i) => {
      let y = base;
      for (const l of [...o.levels].reverse()) {
        const n = l.counts[i];
        if (!n) continue;
        const h = Math.max(1, n / top * (base - 14));
        y -= h;
        root.append(svg('rect', { x: (i * w + .5).toFixed(2), y: y.toFixed(2), width: Math.max(1, w - 1).toFixed(2), height: h.toFixed(2), class: 'hb ' + (sevClass(l.level) || 'un') }));
      }
    });
    const every = Math.max(1, Math.round(o.bars / 8));
    const day = o.step * o.bars > 86400;
    for (let i = 0; i < o.bars; i += every) {
      const t = new Date(start + i * o.step * 1000);
      root.append(svg('text', { x: (i * w + 2).toFixed(1), y: H - 3, class: 'ha' }, day ? t.toLocaleDateString('en-GB', { day: '2-digit', month: 'short' }) + ' ' + t.toTimeString().slice(0, 5) : t.toTimeString().slice(0, o.step < 60 ? 8 : 5)));
    }
    for (const m of o.marks) {
      const x = (Date.parse(m.at) - start) / 1000 / o.step * w;
      if (x < 0 || x > W) continue;
      const g = svg('g', { class: 'hm ' + (m.result === 'deployed' ? '' : 'bad') }, svg('line', { x1: x, x2: x, y1: 2, y2: base }),
        svg('text', { x: x > W - 130 ? x - 4 : x + 4, y: 11, 'text-anchor': x > W - 130 ? 'end' : 'start' }, m.release.split('/').slice(1).join('/') + (m.commit ? ' · ' + m.commit.slice(0, 7) : '')));
      g.append(svg('title', {}, `${m.release}, ${m.result}, ${m.actor}`));
      root.append(g);
    }
    const sel = svg('rect', { class: 'hs', y: 0, height: base, width: 0 });
    root.append(sel);
    let from = null;
    const xOf = (e) => Math.max(0, Math.min(W, (e.clientX - root.getBoundingClientRect().left) / root.getBoundingClientRect().width * W));
    root.addEventListener('pointerdown', (e) => { from = xOf(e); root.setPointerCapture(e.pointerId); });
    root.addEventListener('pointermove', (e) => {
      if (from === null) return;
      const x = xOf(e);
      sel.setAttribute('x', Math.min(from, x));
      sel.setAttribute('width', Math.abs(x - from));
    });
    root.addEventListener('pointerup', (e) => {
      if (from === null) return;
      const a = Math.min(from, xOf(e)), b = Math.max(from, xOf(e));
      from = null;
      if (b - a < 4) { sel.setAttribute('width', 0); return; }
      const time = (x) => new Date(start + x / w * o.step * 1000).toISOString();
      onBrush(time(a), time(b));
    });
    box.replaceChildren(root);
    box.hidden = false;
  };

  // ---- Rows: only those in sight are in the page ----
  const ROW = 26;
  const virtualRows = (box, acts) => {
    let columns = [], rows = [], at = {}, shown = [], open = -1, current = -1;
    const head = el('div', { class: 'vhead', role: 'row' }), body = el('div', { class: 'vbody' }), inner = el('div', { class: 'vinner' });
    body.append(inner);
    const cellOf = (row, name) => {
      const v = row[at[name]];
      if (name === 'TimeGenerated') return clock(v);
      return plainText(v);
    };
    const line = (i) => {
      const row = rows[i], level = levelOf(row, at);
      const e = el('div', { class: 'vrow' + (i === current ? ' on' : ''), role: 'row', 'data-i': i, 'aria-rowindex': i + 1 }, el('i', { class: 'sev ' + sevClass(level), title: level || 'no level' }));
      for (const c of shown) {
        const text = cellOf(row, c.name);
        e.append(el('span', { class: 'c-' + c.kind, title: c.kind === 'msg' ? '' : text }, text));
      }
      return e;
    };
    const draw = () => {
      const first = Math.max(0, Math.floor(body.scrollTop / ROW) - 8), last = Math.min(rows.length, Math.ceil((body.scrollTop + body.clientHeight) / ROW) + 8);
      inner.style.height = rows.length * ROW + 'px';
      const window_ = el('div', { class: 'vwindow' });
      window_.style.transform = `translateY(${first * ROW}px)`;
      for (let i = first; i < last; i++) window_.append(line(i));
      inner.replaceChildren(window_);
    };
    // pick chooses the columns that a row shows at first: time, where, and the text.
    const pick = () => {
      const has = (n) => at[n] !== undefined;
      const out = [];
      if (has('TimeGenerated')) out.push({ name: 'TimeGenerated', kind: 'time' });
      for (const n of ['PodName', 'AppRoleName']) if (has(n)) { out.push({ name: n, kind: 'who' }); break; }
      const text = ['LogMessage', 'Message', 'Name', 'Reason'].find(has);
      if (text && text !== 'Reason') out.push({ name: text, kind: 'msg' });
      for (const n of ['ResultCode', 'DurationMs', 'ExceptionType']) if (has(n) && text !== n) out.splice(-1, 0, { name: n, kind: 'num' });
      if (out.length < 2) for (const c of columns.slice(0, 8)) if (!out.some((o) => o.name === c.name)) out.push({ name: c.name, kind: /real|long|int|decimal/.test(c.type) ? 'num' : 'any' });
      return out;
    };
    const detail = (i) => {
      $('.vdetail', box)?.remove();
      if (i < 0) return;
      const row = rows[i];
      const facts = el('dl', {});
      columns.forEach((c, k) => {
        const v = row[k];
        if (v === null || v === '') return;
        const structured = typeof v === 'object';
        facts.append(el('dt', {}, c.name), el('dd', {},
          el('span', { class: 'val' + (structured ? ' json' : '') }, structured ? JSON.stringify(v, null, 2) : plainText(v)),
          structured || c.type === 'datetime' ? null : el('span', { class: 'acts' },
            el('button', { type: 'button', class: 'linkish', title: 'Only rows with this value', onclick: () => acts.filter(c, v, true) }, '= only'),
            el('button', { type: 'button', class: 'linkish', title: 'No rows with this value', onclick: () => acts.filter(c, v, false) }, '≠ without'))));
      });
      const trace = row[at.OperationId] || (typeof row[at.LogMessage] === 'object' && row[at.LogMessage]?.trace_id) || '';
      const d = el('section', { class: 'vdetail', 'aria-label': 'Row' },
        el('div', { class: 'cardhead' }, el('span', { class: 'strong' }, at.TimeGenerated !== undefined ? new Date(row[at.TimeGenerated]).toISOString() : 'Row ' + (i + 1)),
          el('span', { class: 'apart' },
            at.PodName !== undefined && at.ContainerName !== undefined ? el('button', { type: 'button', class: 'btn slim', onclick: () => acts.context(row, at) }, 'Context') : null,
            /^[0-9a-f]{32}$/.test(trace) ? el('a', { class: 'btn slim', href: '/projects/' + encodeURIComponent(project) + '/monitor/traces/' + trace }, 'View trace') : null,
            el('button', { type: 'button', class: 'btn slim', 'aria-label': 'Close', onclick: () => { open = -1; detail(-1); } }, '×'))), facts);
      box.append(d);
    };
    const select = (i, show) => {
      current = Math.max(0, Math.min(rows.length - 1, i));
      const y = current * ROW;
      if (y < body.scrollTop) body.scrollTop = y;
      else if (y + ROW > body.scrollTop + body.clientHeight) body.scrollTop = y + ROW - body.clientHeight;
      draw();
      if (show || open >= 0) { open = current; detail(current); }
    };
    body.addEventListener('scroll', draw, { passive: true });
    body.addEventListener('click', (e) => { const r = e.target.closest('[data-i]'); if (r) select(Number(r.dataset.i), true); });
    box.addEventListener('keydown', (e) => {
      if (e.target.closest('button, a, input, textarea')) return;
      const page = Math.floor(body.clientHeight / ROW);
      const go = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: page, PageUp: -page }[e.key];
      if (go) { e.preventDefault(); select(current + go, false); }
      if (e.key === 'Home') { e.preventDefault(); select(0, false); }
      if (e.key === 'End') { e.preventDefault(); select(rows.length - 1, false); }
      if (e.key === 'Enter') { e.preventDefault(); select(Math.max(0, current), true); }
      if (e.key === 'Escape' && open >= 0) { open = -1; detail(-1); }
    });
    new ResizeObserver(draw).observe(body);
    return {
      show(answer, keep) {
        columns = answer.columns; rows = answer.rows; at = {};
        columns.forEach((c, i) => { at[c.name] = i; });
        if (!keep || shown.some((c) => at[c.name] === undefined)) shown = pick();
        current = -1; open = -1;
        head.replaceChildren(el('i', { class: 'sev' }), ...shown.map((c) => el('span', { class: 'c-' + c.kind, role: 'columnheader' }, c.name)));
        const list = shown.some((c) => c.kind === 'msg');
        head.hidden = list;
        box.replaceChildren(head, body);
        body.scrollTop = 0;
        draw();
      },
      // prepend puts new rows on top; who reads further down stays where he is.
      prepend(more, most) {
        const at_ = body.scrollTop;
        rows = more.concat(rows).slice(0, most);
        if (open >= 0) open += more.length;
        if (current >= 0) current += more.length;
        if (at_ > ROW) body.scrollTop = at_ + more.length * ROW;
        draw();
      },
      get columns() { return columns; }, get rows() { return rows; }, get shown() { return shown; },
      set shown(v) { shown = v; this.show({ columns, rows }, true); },
    };
  };

  // ---- Charts of answers ----
  const palette = ['--accent', '--pass', '--held', '--shut', '--x-fn', '--open', '--ink-3', '--a-magenta'];
  const colour = (i) => getComputedStyle(document.documentElement).getPropertyValue(palette[i % palette.length]).trim();
  const timeChart = (box, times, series, marks = []) => {
    box.replaceChildren();
    if (!window.uPlot || times.length === 0) { box.append(el('p', { class: 'pad dim' }, 'Nothing to draw in this time.')); return; }
    const ink = getComputedStyle(document.documentElement).getPropertyValue('--ink-3').trim(), line = getComputedStyle(document.documentElement).getPropertyValue('--line').trim();
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: '11px system-ui' };
    const plot = new window.uPlot({
      width: box.clientWidth || 800, height: 260, cursor: { drag: { x: true, y: false } }, legend: { live: true },
      series: [{}, ...series.map((s, i) => ({ label: s.label, stroke: colour(i), width: 1.5, spanGaps: false, points: { show: times.length < 60 } }))],
      axes: [axis, { ...axis, size: 64, values: (_, v) => v.map((n) => (Math.abs(n) >= 1e9 ? n / 1e9 + ' G' : Math.abs(n) >= 1e6 ? n / 1e6 + ' M' : Math.abs(n) >= 1e4 ? n / 1e3 + ' k' : n)) }],
      hooks: { draw: [(u) => {
        const c = u.ctx;
        c.save();
        c.setLineDash([4, 3]);
        for (const m of marks) {
          const x = u.valToPos(Date.parse(m.at) / 1000, 'x', true);
          if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) continue;
          c.strokeStyle = colour(m.result === 'deployed' ? 1 : 3);
          c.beginPath(); c.moveTo(x, u.bbox.top); c.lineTo(x, u.bbox.top + u.bbox.height); c.stroke();
          c.fillStyle = c.strokeStyle;
          c.font = 11 * devicePixelRatio + 'px system-ui';
          c.fillText(m.release.split('/').slice(1).join('/'), x + 4, u.bbox.top + 12 * devicePixelRatio);
        }
        c.restore();
      }] },
    }, [times, ...series.map((s) => s.values)], box);
    new ResizeObserver(() => plot.setSize({ width: box.clientWidth, height: 260 })).observe(box);
    return plot;
  };
  const chartOf = (box, answer, render) => {
    const numeric = answer.columns.map((c, i) => ({ ...c, i })).filter((c) => /^(int|long|real|decimal)$/.test(c.type));
    const time = answer.columns.findIndex((c) => c.type === 'datetime'), words = answer.columns.map((c, i) => ({ ...c, i })).filter((c) => c.type === 'string' || c.type === 'bool');
    if (numeric.length === 0) { box.replaceChildren(el('p', { class: 'pad dim' }, 'A chart needs a column of numbers.')); return; }
    if (time >= 0) {
      const keys = new Map(), stamps = [...new Set(answer.rows.map((r) => Date.parse(r[time]) / 1000))].sort((a, b) => a - b), place = new Map(stamps.map((t, i) => [t, i]));
      for (const r of answer.rows) for (const n of numeric) {
        const name = [words.map((w) => plainText(r[w.i])).join(', '), numeric.length > 1 || words.length === 0 ? n.name : ''].filter(Boolean).join(' ');
        if (!keys.has(name)) { if (keys.size >= 40) continue; keys.set(name, Array(stamps.length).fill(null)); }
        keys.get(name)[place.get(Date.parse(r[time]) / 1000)] = r[n.i];
      }
      timeChart(box, stamps, [...keys].map(([label, values]) => ({ label, values })));
      return;
    }
    const n = numeric[0], total = answer.rows.reduce((s, r) => s + Math.abs(r[n.i] || 0), 0), top = Math.max(1e-9, ...answer.rows.map((r) => Math.abs(r[n.i] || 0)));
    const pie = render?.chart === 'piechart';
    box.replaceChildren(el('ul', { class: 'plain barsof' }, ...answer.rows.slice(0, 60).map((r) => {
      const bar = el('span', { class: 'b' });
      bar.style.width = Math.abs(r[n.i] || 0) / top * 100 + '%';
      return el('li', {}, el('span', { class: 'l clip' }, words.map((w) => plainText(r[w.i])).join(', ') || '–'), el('span', { class: 'w' }, bar),
        el('span', { class: 'v num' }, plainText(r[n.i]) + (pie && total ? '  ' + (Math.abs(r[n.i]) / total * 100).toFixed(1) + ' %' : '')));
    })));
  };

  // ---- The log explorer ----
  const explorer = (root) => {
    const start = JSON.parse(root.dataset.start || '{}');
    (start.tables || []).forEach((t) => tables.add(t));
    const form = $('[data-ask]', root), range = $('[data-range]'), wrong = $('[data-wrong]', root), tally = $('[data-count]', root), cost = $('[data-cost]', root);
    const rowbox = $('[data-rowbox]', root), chart = $('[data-chart]', root), patterns = $('[data-patterns]', root), hist = $('[data-histogram]', root), facets = $('[data-facets]', root);
    let chosen = start.from && start.to ? { from: start.from, to: start.to } : null;
    let answer = null, overview = null, tab = 'rows', running, tail = null;
    const edit = editor($('[data-kql]', root), () => run());
    const times = () => chosen || { from: new Date(Date.now() - Number(range.value) * 1000).toISOString(), to: undefined };

    const table = virtualRows(rowbox, {
      filter: (c, v, only) => narrow(c.name, c.type, v, only),
      context: (row, at) => {
        const t = row[at.TimeGenerated];
        edit.text = `ContainerLogV2\n| where PodName == ${quote(row[at.PodName])} and ContainerName == ${quote(row[at.ContainerName])}\n| where TimeGenerated between (datetime(${t}) - 10s .. datetime(${t}) + 10s)`;
        choose(new Date(Date.parse(t) - 20000).toISOString(), new Date(Date.parse(t) + 20000).toISOString());
      },
    });
    const literal = (type, v) => (/^(int|long|real|decimal|bool)$/.test(type) ? String(v) : quote(v));
    const condition = (name, type, v, only) => `| where ${type === 'dynamic' ? `tostring(${name})` : name} ${only ? '==' : '!='} ${literal(type, v)}`;
    // narrow adds a condition as a line of its own; the same again takes it away.
    const narrow = (name, type, v, only) => {
      const add = condition(name, type, v, only), lines = edit.text.trimEnd().split('\n');
      const had = lines.indexOf(add);
      if (had >= 0) lines.splice(had, 1); else lines.push(add);
      edit.text = lines.join('\n');
      run();
    };
    const choose = (from, to) => {
      chosen = { from, to };
      range.value = 'custom';
      run();
    };
    const setTab = (name) => {
      tab = name;
      rowbox.hidden = name !== 'rows'; chart.hidden = name !== 'chart'; patterns.hidden = name !== 'patterns';
      $$('[data-tab]', root).forEach((b) => b.setAttribute('aria-pressed', String(b.dataset.tab === name)));
      if (name === 'patterns') showPatterns();
      if (name === 'chart' && answer) chartOf(chart, answer, answer.render);
    };
    const showPatterns = async () => {
      patterns.replaceChildren(el('p', { class: 'pad dim' }, 'Finding what the lines have in common…'));
      try {
        const got = await ask('POST', '/monitor/patterns?' + scope, { query: edit.text, ...times() });
        patterns.replaceChildren(el('table', { class: 't' }, el('thead', {}, el('tr', {}, el('th', { class: 'num-col' }, 'Lines'), el('th', {}, 'Level'), el('th', { class: 'wide' }, 'Pattern'), el('th', {}, ''))),
          el('tbody', {}, ...got.map((p) => el('tr', {}, el('td', { class: 'num-col' }, count(p.count)), el('td', {}, el('i', { class: 'sev ' + sevClass(p.level || '') }), ' ' + (p.level || '').toLowerCase()),
            el('td', { class: 'wide mono' }, p.text), el('td', { class: 'nowrap faint' }, p.new ? 'new with ' + p.release : ''))))));
        if (got.length === 0) patterns.replaceChildren(el('p', { class: 'pad dim' }, 'No lines with a text in this time.'));
      } catch (e) { patterns.replaceChildren(el('p', { class: 'pad shut' }, e.message + (e.next ? ' ' + e.next : ''))); }
    };
    const showFacets = () => {
      if (!overview?.facets?.length) { facets.replaceChildren(el('p', { class: 'small faint' }, overview?.rows === false ? 'This query adds up: there is nothing to narrow.' : 'No values to narrow by.')); return; }
      facets.replaceChildren(...overview.facets.flatMap((f) => [el('h2', {}, f.title), ...f.values.map((v) => {
        const type = overview.columns.find((c) => c.name === f.column)?.type || 'string';
        const value = type === 'bool' ? v.value.toLowerCase() : v.value;
        const on = edit.text.includes(condition(f.column, type, value, true)), off = edit.text.includes(condition(f.column, type, value, false));
        const sev = f.column === 'LogLevel' ? el('i', { class: 'sev ' + sevClass(v.value) }) : null;
        return el('label', { title: v.value, class: off ? 'off' : '' }, el('input', { type: 'checkbox', checked: on, onchange: () => narrow(f.column, type, value, true) }), sev,
          el('span', { class: 'clip name' }, f.column === 'LogLevel' ? v.value[0] + v.value.slice(1).toLowerCase() : v.value), el('span', {}, count(v.count)));
      })]));
    };
    const remember = () => {
      const u = new URL(location.href);
      u.searchParams.set('q', edit.text);
      u.searchParams.set('range', range.value === 'custom' ? '1800' : range.value);
      for (const k of ['from', 'to']) if (chosen) u.searchParams.set(k, chosen[k]); else u.searchParams.delete(k);
      history.replaceState(null, '', u);
      $('[data-alert-on]').href = '/projects/' + encodeURIComponent(project) + '/monitor/rules/new?q=' + encodeURIComponent(edit.text);
    };
    const run = async () => {
      running?.abort();
      const mine = running = new AbortController();
      wrong.textContent = '';
      root.setAttribute('aria-busy', 'true');
      const slow = setTimeout(() => root.classList.add('waiting'), 300);
      remember();
      const question = { query: edit.text, ...times() };
      try {
        const [rows, over] = await Promise.all([
          ask('POST', '/monitor/newest?' + scope, { ...question, max_rows: 2000 }, mine.signal),
          ask('POST', '/monitor/explore?' + scope, question, mine.signal),
        ]);
        answer = rows; overview = over;
        const total = over.rows ? over.total : rows.rows.length;
        tally.textContent = count(total) + (total === 1 ? ' row' : ' rows') + (over.rows && total > rows.rows.length ? `, newest ${count(rows.rows.length)}` : rows.truncated ? ' and more' : '');
        const s = over.rows ? over.stats : rows.stats;
        cost.textContent = `${Math.max(1, Math.round(rows.stats.milliseconds + rows.stats.compile_ms + rows.stats.tail_ms))} ms · ${s.segments_read} of ${s.segments} segments read`;
        cost.title = rows.stats.pushed;
        if (over.rows && over.bars > 0) histogram(hist, over, choose); else hist.hidden = true;
        showFacets();
        if (rows.rows.length === 0) rowbox.replaceChildren(el('div', { class: 'empty' }, el('h2', {}, 'No row in this time.'), el('p', {}, 'Look further back, or take a condition away.')));
        else table.show(rows, true);
        for (const b of $$('[data-tab]', root)) b.hidden = b.dataset.tab === 'patterns' ? !over.rows : b.dataset.tab === 'chart' ? over.rows : false;
        $('[data-live-tail]').hidden = !over.rows;
        setTab(rows.render && rows.render.chart !== 'table' ? 'chart' : 'rows');
        say(tally.textContent);
      } catch (e) {
        if (e.name === 'AbortError') return;
        wrong.textContent = e.message + (e.next ? ' ' + e.next : '');
      } finally {
        if (running === mine) { clearTimeout(slow); root.classList.remove('waiting'); root.removeAttribute('aria-busy'); }
      }
    };

    // Live: rows as the server acknowledges them, through the same query.
    const liveButton = $('[data-live-tail]');
    const stopTail = () => { tail?.close(); tail = null; liveButton.setAttribute('aria-pressed', 'false'); liveButton.textContent = 'Live'; };
    const startTail = () => {
      tail = new EventSource(api + '/monitor/tail?' + scope + '&query=' + encodeURIComponent(edit.text));
      liveButton.setAttribute('aria-pressed', 'true');
      liveButton.textContent = 'Pause';
      tail.addEventListener('rows', (e) => {
        const got = JSON.parse(e.data);
        if (table.columns.length !== got.columns.length) table.show(got, true);
        else table.prepend(got.rows.reverse(), 5000);
        tally.textContent = count(table.rows.length) + ' rows, live';
      });
      tail.addEventListener('dropped', (e) => toast(count(e.data) + ' rows came faster than they can be shown'));
      tail.onerror = () => { if (tail?.readyState === EventSource.CLOSED) { stopTail(); toast('The live view ended. Run the query again.'); } };
    };
    liveButton.addEventListener('click', () => { if (tail) stopTail(); else startTail(); });
    document.addEventListener('visibilitychange', () => { if (document.hidden && tail) stopTail(); });

    form.addEventListener('submit', (e) => { e.preventDefault(); stopTail(); run(); });
    range.addEventListener('change', () => { chosen = null; run(); });
    $$('[data-tab]', root).forEach((b) => b.addEventListener('click', () => setTab(b.dataset.tab)));
    $('[data-columns]', root).hidden = false;
    $('[data-columns]', root).addEventListener('click', (e) => {
      $('.columnpick', root)?.remove();
      const pick = el('div', { class: 'columnpick card' }, ...table.columns.map((c) => el('label', {}, el('input', {
        type: 'checkbox', checked: table.shown.some((s) => s.name === c.name),
        onchange: (ev) => {
          const list = table.shown.filter((s) => s.name !== c.name);
          if (ev.target.checked) list.push({ name: c.name, kind: c.type === 'datetime' ? 'time' : /real|long|int/.test(c.type) ? 'num' : 'any' });
          table.shown = list;
        },
      }), c.name, el('small', { class: 'faint' }, c.type))));
      e.target.after(pick);
      const away = (ev) => { if (!pick.contains(ev.target) && ev.target !== e.target) { pick.remove(); document.removeEventListener('click', away); } };
      setTimeout(() => document.addEventListener('click', away));
    });
    const save = (name, type, text) => {
      const a = el('a', { href: URL.createObjectURL(new Blob([text], { type })), download: name });
      a.click();
      setTimeout(() => URL.revokeObjectURL(a.href), 1000);
    };
    $('[data-export]', root).hidden = false;
    $$('[data-export-as]', root).forEach((b) => b.addEventListener('click', async () => {
      b.closest('details').open = false;
      const as = b.dataset.exportAs;
      if (as === 'link') { await navigator.clipboard.writeText(location.href); toast('Copied'); return; }
      if (as === 'cli') { await navigator.clipboard.writeText(`towpath query --project ${project} --since ${range.value === 'custom' ? '24h' : range.value + 's'} '${edit.text.replaceAll("'", "'\\''")}'`); toast('Copied'); return; }
      try {
        const all = await ask('POST', '/monitor/newest?' + scope, { query: edit.text, ...times(), max_rows: 100000 });
        if (as === 'json') save('rows.json', 'application/json', JSON.stringify(all.rows.map((r) => Object.fromEntries(all.columns.map((c, i) => [c.name, r[i]]))), null, 1));
        else save('rows.csv', 'text/csv', [all.columns.map((c) => c.name), ...all.rows.map((r) => r.map(plainText))].map((r) => r.map((v) => (/[",\n\r]/.test(v) || /^[=+\-@]/.test(v) ? '"' + v.replaceAll('"', '""') + '"' : v)).join(',')).join('\r\n'));
        toast(count(all.rows.length) + ' rows' + (all.truncated ? ', there are more' : ''));
      } catch (e) { toast(e.message); }
    }));
    const saveButton = $('[data-save-view]');
    saveButton.hidden = false;
    saveButton.addEventListener('click', () => {
      $('dialog.saveview')?.remove();
      const name = el('input', { class: 'in', name: 'name', required: true, maxlength: 100, placeholder: 'errors of checkout' }), shared = el('input', { type: 'checkbox' }), why = el('p', { class: 'small shut', role: 'alert' });
      const d = el('dialog', { class: 'saveview card', 'aria-labelledby': 'saveview-h' }, el('form', { method: 'dialog', class: 'stack pad', onsubmit: async (e) => {
        e.preventDefault();
        try {
          await ask('POST', '/projects/' + encodeURIComponent(project) + '/views', { name: name.value, query: edit.text, range: range.value === 'custom' ? 0 : Number(range.value), shared: shared.checked });
          d.close();
          location.reload();
        } catch (err) { why.textContent = err.message + ' ' + (err.next || ''); }
      } }, el('h2', { id: 'saveview-h' }, 'Save view'), el('label', { class: 'field' }, el('span', {}, 'Name'), name),
      el('label', { class: 'row' }, shared, 'Everybody of the project sees it'), why,
      el('div', { class: 'row' }, el('button', { class: 'btn primary' }, 'Save'), el('button', { type: 'button', class: 'btn', onclick: () => d.close() }, 'Cancel'))));
      document.body.append(d);
      d.showModal();
    });
    run();
  };

  for (const root of $$('[data-explorer]')) explorer(root);
  for (const area of $$('[data-rule-query]')) editor(area);
  window.towpathMonitor = { $, $$, el, svg, ask, scope, project, count, toast, say, editor, timeChart, chartOf, colour, plainText, clock, tables };
})();
