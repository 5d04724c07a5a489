// What the log explorer draws of rows: the histogram with its brush, and the table of which
// only the rows in sight are in the page.
(() => {
  'use strict';
  const m = window.towpathMonitor, { $, el, svg, project, count, clock, plainText, levelOf, sevClass } = m;

  // histogram draws counts over time into a box; brush is called with the time that somebody
  // drags over, and with nothing by a double click.
  const histogram = (box, o, brush) => {
    box.hidden = false;
    const W = Math.max(280, box.clientWidth - 28), H = 92, base = 74;
    const totals = Array(o.bars).fill(0);
    for (const l of o.levels) l.counts.forEach((n, i) => { totals[i] += n; });
    const top = Math.max(1, ...totals), w = W / o.bars, start = Date.parse(o.from);
    const root = svg('svg', { viewBox: `0 0 ${W} ${H}`, width: W, height: H, role: 'img', 'aria-label': `${count(o.total)} rows over time, at most ${count(top)} in one bar; drag to choose a time` });
    root.append(svg('line', { x1: 0, x2: W, y1: base + .5, y2: base + .5, class: 'hl' }));
    const day = o.step * o.bars > 86400;
    const label = (t) => (day ? t.toLocaleDateString('en-GB', { day: '2-digit', month: 'short' }) + ' ' : '') + t.toTimeString().slice(0, o.step < 60 && !day ? 8 : 5);
    totals.forEach((t, i) => {
      let y = base;
      for (const l of [...o.levels].reverse()) {
        const n = l.counts[i];
        if (!n) continue;
        const h = Math.max(1, n / top * (base - 18));
        y -= h;
        root.append(svg('rect', { x: (i * w + .5).toFixed(2), y: y.toFixed(2), width: Math.max(1, w - 1.5).toFixed(2), height: h.toFixed(2), rx: w > 5 ? 1 : 0, class: 'hb ' + (sevClass(l.level) || 'un') }));
      }
      if (t > 0) {
        const title = svg('title', {}, `${label(new Date(start + i * o.step * 1000))}: ${count(t)} rows` + o.levels.filter((l) => l.counts[i]).map((l) => `\n${(l.level || 'no level').toLowerCase()} ${count(l.counts[i])}`).join(''));
        root.append(svg('rect', { x: (i * w).toFixed(2), y: 0, width: w.toFixed(2), height: base, class: 'hh' }, title));
      }
    });
    const wide = day ? 92 : 62, every = Math.max(1, Math.ceil(o.bars / Math.max(2, Math.floor(W / (wide * 1.9)))));
    for (let i = 0; i * w + wide < W || i === 0; i += every) root.append(svg('text', { x: (i * w).toFixed(1), y: H - 4, class: 'ha' }, label(new Date(start + i * o.step * 1000))));
    let free = -1e9;
    for (const k of o.marks) {
      const x = (Date.parse(k.at) - start) / 1000 / o.step * w;
      if (x < 0 || x > W) continue;
      const words = k.release.split('/').slice(1).join('/') + (k.commit ? ' · ' + k.commit.slice(0, 7) : ''), end = x > W - 150;
      const g = svg('g', { class: 'hm ' + (k.result === 'deployed' && k.verdict !== 'worse' ? '' : 'bad') }, svg('line', { x1: x, x2: x, y1: 3, y2: base }));
      // Marks that stand close together keep their line; the name of the first stays readable.
      if (x - free > 0) { g.append(svg('text', { x: end ? x - 5 : x + 5, y: 12, 'text-anchor': end ? 'end' : 'start' }, words)); free = x + words.length * 6.2 + 12; }
      g.append(svg('title', {}, [k.release, k.result, k.commit && 'commit ' + k.commit.slice(0, 12), k.actor, k.verdict && `${k.verdict}: ${k.why}`].filter(Boolean).join('\n')));
      root.append(g);
    }
    const sel = svg('rect', { class: 'hs', y: 0, height: base, width: 0 });
    root.append(sel);
    let from = null;
    const xOf = (e) => { const r = root.getBoundingClientRect(); return Math.max(0, Math.min(W, (e.clientX - r.left) / r.width * W)); };
    root.addEventListener('pointerdown', (e) => { if (e.button === 0) { from = xOf(e); root.setPointerCapture(e.pointerId); } });
    root.addEventListener('pointermove', (e) => {
      if (from === null) return;
      const x = xOf(e);
      sel.setAttribute('x', Math.min(from, x));
      sel.setAttribute('width', Math.abs(x - from));
    });
    const off = () => { from = null; sel.setAttribute('width', 0); };
    root.addEventListener('pointercancel', off);
    root.addEventListener('pointerup', (e) => {
      if (from === null) return;
      const a = Math.min(from, xOf(e)), b = Math.max(from, xOf(e));
      off();
      if (b - a < 4) return;
      const time = (x) => new Date(start + x / w * o.step * 1000).toISOString();
      brush(time(a), time(b));
    });
    root.addEventListener('dblclick', () => brush());
    box.replaceChildren(root);
  };

  // rowTable is a table in which only the rows in sight are in the page.
  const ROW = 26;
  const rowTable = (box, acts) => {
    let columns = [], rows = [], at = {}, shown = [], open = -1, current = -1, fresh = 0;
    const head = el('div', { class: 'vhead', role: 'row' }), body = el('div', { class: 'vbody' }), inner = el('div', { class: 'vinner', role: 'presentation' });
    body.append(inner);
    box.setAttribute('role', 'grid');
    // told is what a person would read in a line that is an object: its message, then the rest.
    const told = (v) => {
      const name = ['msg', 'message', 'Message', 'event', 'error'].find((n) => typeof v[n] === 'string');
      if (!name) return JSON.stringify(v);
      const rest = Object.entries(v).filter(([k]) => k !== name && !/^(time|ts|timestamp|level|severity|lvl)$/i.test(k)).map(([k, w]) => k + '=' + (typeof w === 'object' ? JSON.stringify(w) : w));
      return v[name] + (rest.length ? '  ' + rest.join(' ') : '');
    };
    const cellOf = (row, c) => {
      const v = row[at[c.name]];
      if (c.kind === 'msg' && v && typeof v === 'object' && !Array.isArray(v)) return told(v);
      if (c.type === 'datetime' && v) return c.name === 'TimeGenerated' ? clock(v) : String(v).slice(0, 23).replace('T', ' ');
      if (c.type === 'real' && typeof v === 'number') return String(Number(v.toPrecision(6)));
      return plainText(v);
    };
    const line = (i) => {
      const row = rows[i], level = levelOf(row, at);
      const e = el('div', { class: 'vrow' + (i === current ? ' on' : '') + (i < fresh ? ' fresh' : ''), role: 'row', id: 'row-' + i, 'data-i': i, 'aria-rowindex': i + 1, 'aria-selected': String(i === current) },
        el('i', { class: 'sev ' + sevClass(level), title: level ? level.toLowerCase() : 'no level' }));
      for (const c of shown) {
        const text = cellOf(row, c);
        e.append(el('span', { class: 'c-' + c.kind, role: 'gridcell', title: c.kind === 'msg' || text.length < 12 ? null : c.type === 'datetime' ? String(row[at[c.name]]) : text }, text));
      }
      return e;
    };
    const draw = () => {
      const first = Math.max(0, Math.floor(body.scrollTop / ROW) - 8), last = Math.min(rows.length, Math.ceil((body.scrollTop + body.clientHeight) / ROW) + 8);
      inner.style.height = rows.length * ROW + 'px';
      const part = el('div', { class: 'vwindow', role: 'rowgroup' });
      part.style.transform = `translateY(${first * ROW}px)`;
      for (let i = first; i < last; i++) part.append(line(i));
      inner.replaceChildren(part);
      if (current >= 0) box.setAttribute('aria-activedescendant', 'row-' + current); else box.removeAttribute('aria-activedescendant');
    };
    const columnOf = (name, kind) => ({ name, kind, type: columns[at[name]].type });
    const kindOf = (type) => (type === 'datetime' ? 'time' : /^(real|long|int|decimal)$/.test(type) ? 'num' : 'any');
    // pick chooses what a row shows at first: time, where, numbers, and the text.
    const pick = () => {
      const has = (n) => at[n] !== undefined, out = [];
      if (has('TimeGenerated')) out.push(columnOf('TimeGenerated', 'time'));
      for (const n of ['PodName', 'AppRoleName', 'ObjectKind']) if (has(n)) { out.push(columnOf(n, 'who')); break; }
      const text = ['LogMessage', 'Message', 'Name'].find(has);
      if (out.length === 2 && text) {
        for (const n of ['ExceptionType', 'Reason']) if (has(n)) out.push(columnOf(n, 'who'));
        for (const n of ['ResultCode', 'DurationMs']) if (has(n)) out.push(columnOf(n, 'num'));
        out.push(columnOf(text, 'msg'));
        return out;
      }
      return columns.slice(0, 10).map((c) => columnOf(c.name, kindOf(c.type)));
    };
    const detail = (i) => {
      $('.vdetail', box)?.remove();
      box.classList.toggle('opened', i >= 0);
      if (i < 0) { box.focus({ preventScroll: true }); return; }
      const row = rows[i], facts = el('dl', {});
      columns.forEach((c, k) => {
        const v = row[k];
        if (v === null || v === '') return;
        const structured = typeof v === 'object', act = (only, words, sign) => el('button', { type: 'button', class: 'linkish', 'aria-label': `${words} where ${c.name} is ${plainText(v).slice(0, 60)}`, title: words, onclick: () => acts.filter(c, v, only) }, sign);
        facts.append(el('dt', {}, c.name), el('dd', {},
          el('span', { class: 'val' + (structured ? ' json' : '') }, structured ? JSON.stringify(v, null, 2) : plainText(v)),
          structured || c.type === 'datetime' ? null : el('span', { class: 'acts' }, act(true, 'Only rows', '= only'), act(false, 'No rows', '≠ without'))));
      });
      const inside = typeof row[at.LogMessage] === 'object' ? row[at.LogMessage] : null;
      const trace = String(row[at.OperationId] || inside?.trace_id || inside?.traceId || inside?.TraceId || '').toLowerCase();
      const d = el('section', { class: 'vdetail', 'aria-label': 'Row', tabindex: '-1' },
        el('div', { class: 'cardhead' }, el('span', { class: 'strong num' }, at.TimeGenerated !== undefined ? new Date(row[at.TimeGenerated]).toISOString().replace('T', ' ').replace('Z', ' UTC') : 'Row ' + (i + 1)),
          el('span', { class: 'apart' },
            acts.context && at.PodName !== undefined && at.ContainerName !== undefined ? el('button', { type: 'button', class: 'btn slim', title: 'The lines around it, of the same container', onclick: () => acts.context(row, at) }, 'Context') : null,
            /^[0-9a-f]{32}$/.test(trace) ? el('a', { class: 'btn slim', href: '/projects/' + encodeURIComponent(project) + '/monitor/traces/' + trace }, 'View trace') : null,
            el('button', { type: 'button', class: 'btn slim', 'aria-label': 'Close', onclick: () => { open = -1; detail(-1); } }, '×'))), facts);
      box.append(d);
    };
    const select = (i, show) => {
      if (rows.length === 0) return;
      current = Math.max(0, Math.min(rows.length - 1, i));
      const y = current * ROW;
      if (y < body.scrollTop) body.scrollTop = y;
      else if (y + ROW > body.scrollTop + body.clientHeight) body.scrollTop = y + ROW - body.clientHeight;
      draw();
      if (show || open >= 0) { open = current; detail(current); }
    };
    body.addEventListener('scroll', () => { head.scrollLeft = body.scrollLeft; draw(); }, { passive: true });
    body.addEventListener('click', (e) => {
      const r = e.target.closest('[data-i]');
      // Who marks text wants the text.
      if (r && String(getSelection()).length === 0) select(Number(r.dataset.i), true);
    });
    box.addEventListener('keydown', (e) => {
      if (e.ctrlKey || e.metaKey || e.altKey || e.target.closest('button, a, input, textarea')) return;
      const page = Math.max(1, Math.floor(body.clientHeight / ROW) - 1);
      const go = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: page, PageUp: -page, Home: -rows.length, End: rows.length }[e.key];
      if (go) { e.preventDefault(); e.stopPropagation(); select(current < 0 ? Math.max(0, go < 0 ? 0 : go - 1) : current + go, false); }
      else if (e.key === 'Enter') { e.preventDefault(); select(Math.max(0, current), true); }
      else if (e.key === 'Escape' && open >= 0) { e.preventDefault(); open = -1; detail(-1); }
    });
    new ResizeObserver(draw).observe(body);
    return {
      show(answer, keep) {
        columns = answer.columns; rows = answer.rows; at = {}; fresh = 0;
        columns.forEach((c, i) => { at[c.name] = i; });
        if (!keep || shown.length === 0 || shown.some((c) => at[c.name] === undefined)) shown = pick();
        current = -1; open = -1;
        box.classList.remove('opened');
        box.setAttribute('aria-rowcount', rows.length);
        head.replaceChildren(el('i', { class: 'sev' }), ...shown.map((c) => el('span', { class: 'c-' + c.kind, role: 'columnheader' }, c.name)));
        // Time, where and text need no names above them.
        const plain = shown.every((c) => /^(TimeGenerated|PodName|AppRoleName|LogMessage|Message)$/.test(c.name));
        head.hidden = plain;
        box.classList.toggle('broad', shown.length > 6 && !shown.some((c) => c.kind === 'msg'));
        box.replaceChildren(head, body);
        body.scrollTop = 0;
        draw();
      },
      // prepend puts new rows on top; who reads further down stays where he is.
      prepend(more, most) {
        const was = body.scrollTop;
        rows = more.concat(rows).slice(0, most);
        if (open >= 0) open += more.length;
        if (current >= 0) current += more.length;
        fresh = was < ROW ? more.length : 0;
        box.setAttribute('aria-rowcount', rows.length);
        draw();
        if (was >= ROW) body.scrollTop = was + more.length * ROW;
        fresh = 0;
      },
      get columns() { return columns; }, get rows() { return rows; }, get shown() { return shown; },
      set shown(v) { if (v.length > 0) { shown = v; this.show({ columns, rows }, true); } },
      columnOf: (name) => columnOf(name, kindOf(columns[at[name]].type)),
    };
  };
  Object.assign(m, { histogram, rowTable });
})();
