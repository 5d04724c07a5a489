// The waterfall of a trace. All spans lie in flat arrays; only the rows in sight are drawn,
// on one canvas, so that a hundred thousand spans scroll like ten.
(() => {
  'use strict';
  const m = window.towpathMonitor, { $, el, ask, scope, count } = m;
  const root = $('[data-waterfall]');
  if (!root) return;
  const id = root.dataset.waterfall, box = $('[data-wf-box]', root), detail = $('[data-wf-detail]', root);
  const ROW = 24, HEAD = 22, palette = ['--accent', '--pass', '--held', '--x-fn', '--open', '--a-magenta', '--a-cyan', '--ink-3'];
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const ms = (v) => (v >= 1000 ? (v / 1000).toFixed(v >= 10000 ? 1 : 2) + ' s' : v >= 10 ? v.toFixed(0) + ' ms' : v.toFixed(2) + ' ms');

  const show = (t) => {
    const n = t.span_id.length;
    const parent = Int32Array.from(t.parent), depth = Uint16Array.from(t.depth), role = Uint16Array.from(t.role);
    const at = Float64Array.from(t.offset_ms), took = Float64Array.from(t.took_ms);
    const failed = Uint8Array.from(t.failed), critical = Uint8Array.from(t.critical), folded = new Uint8Array(n);
    // end[i] is the place after the last descendant of i: spans stand in the order of their tree.
    const end = new Int32Array(n), many = new Int32Array(t.roles.length);
    for (let i = 0; i < n; i++) many[role[i]]++;
    $('[data-wf-legend]').replaceChildren(...t.roles.map((r, i) => el('li', { class: 'small' }, el('i', { class: 'dot c' + i % palette.length }), ' ' + (r || '(no name)') + ' ', el('span', { class: 'faint num' }, count(many[i])))));
    for (let i = n - 1; i >= 0; i--) {
      if (end[i] === 0) end[i] = i + 1;
      const p = parent[i];
      if (p >= 0) end[p] = Math.max(end[p], end[i]);
    }
    const seen = new Int32Array(n);
    let rows = 0, only = false, current = -1, from = 0, to = Math.max(t.duration_ms, 0.001);
    const refold = () => {
      rows = 0;
      for (let i = 0; i < n;) {
        if (!only || critical[i]) seen[rows++] = i;
        i = folded[i] ? end[i] : i + 1;
      }
      space.style.height = HEAD + rows * ROW + 'px';
      draw();
    };
    const canvas = el('canvas', { 'aria-hidden': 'true' }), space = el('div', { class: 'wfspace' }), live = el('p', { class: 'sr', 'aria-live': 'polite' });
    box.replaceChildren(space, canvas, live);
    const c = canvas.getContext('2d');
    const split = () => Math.min(420, box.clientWidth * 0.4);
    let asked = 0;
    const draw = () => { if (!asked) asked = requestAnimationFrame(paint); };
    const paint = () => {
      asked = 0;
      const W = box.clientWidth, H = box.clientHeight, r = devicePixelRatio || 1;
      if (canvas.width !== W * r || canvas.height !== H * r) { canvas.width = W * r; canvas.height = H * r; canvas.style.width = W + 'px'; canvas.style.height = H + 'px'; }
      canvas.style.transform = `translateY(${box.scrollTop}px)`;
      c.setTransform(r, 0, 0, r, 0, 0);
      c.fillStyle = css('--panel');
      c.fillRect(0, 0, W, H);
      const left = split(), width = W - left - 16, scale = width / (to - from), ink = css('--ink'), faint = css('--ink-3'), line = css('--line'), bad = css('--shut'), soft = css('--accent-soft');
      const colours = palette.map(css);
      c.font = '12px ' + (css('--sans') || 'system-ui');
      c.textBaseline = 'middle';
      const top = box.scrollTop, first = Math.max(0, Math.floor((top - HEAD) / ROW)), last = Math.min(rows, Math.ceil((top + H) / ROW));
      c.strokeStyle = line; c.beginPath();
      for (let k = 0; k <= 4; k++) { const x = Math.round(left + width * k / 4) + .5; c.moveTo(x, HEAD); c.lineTo(x, H); }
      c.stroke();
      for (let k = first; k < last; k++) {
        const i = seen[k], y = HEAD + k * ROW - top, mid = y + ROW / 2;
        if (i === current) { c.fillStyle = soft; c.fillRect(0, y, W, ROW); }
        c.strokeStyle = line; c.beginPath(); c.moveTo(0, y + ROW - .5); c.lineTo(W, y + ROW - .5); c.stroke();
        const x = 12 + Math.min(depth[i], 22) * 12;
        c.fillStyle = faint;
        if (end[i] > i + 1) { c.beginPath(); if (folded[i]) { c.moveTo(x - 2, mid - 4); c.lineTo(x + 3, mid); c.lineTo(x - 2, mid + 4); } else { c.moveTo(x - 4, mid - 2); c.lineTo(x, mid + 3); c.lineTo(x + 4, mid - 2); } c.fill(); }
        c.save(); c.beginPath(); c.rect(x + 8, y, left - x - 14, ROW); c.clip();
        c.fillStyle = failed[i] ? bad : ink;
        c.fillText(t.names[t.name[i]] + (folded[i] ? `  +${count(end[i] - i - 1)}` : ''), x + 9, mid);
        c.restore();
        const bx = left + (at[i] - from) * scale, bw = Math.max(1.5, took[i] * scale);
        if (bx < W && bx + bw > left) {
          c.save(); c.beginPath(); c.rect(left, y, width + 16, ROW); c.clip();
          c.fillStyle = failed[i] ? bad : colours[role[i] % colours.length];
          c.globalAlpha = critical[i] || !markCritical ? 1 : .3;
          c.fillRect(bx, y + 6, bw, ROW - 13);
          c.globalAlpha = 1;
          if (critical[i] && markCritical) { c.fillStyle = ink; c.fillRect(bx, y + ROW - 6, bw, 2); }
          c.fillStyle = faint;
          const label = ms(took[i]), w = c.measureText(label).width;
          if (bx + bw + w + 8 < W) c.fillText(label, Math.max(left, bx + bw) + 5, mid);
          else if (bx - w - 6 > left) c.fillText(label, bx - w - 5, mid);
          c.restore();
        }
      }
      c.fillStyle = css('--sunken'); c.fillRect(0, 0, W, HEAD);
      c.fillStyle = faint; c.font = '11px ' + (css('--sans') || 'system-ui');
      c.fillText('Span', 12, HEAD / 2);
      for (let k = 0; k <= 4; k++) {
        const label = k === 0 && from === 0 ? '0' : ms(from + (to - from) * k / 4), x = left + width * k / 4;
        if (width < 300 && k % 2 === 1) continue;
        c.fillText(label, k === 4 ? W - c.measureText(label).width - 6 : x + 4, HEAD / 2);
      }
    };
    let markCritical = false;
    const placeOf = (i) => { let lo = 0, hi = rows - 1; while (lo <= hi) { const mid = (lo + hi) >> 1; if (seen[mid] === i) return mid; if (seen[mid] < i) lo = mid + 1; else hi = mid - 1; } return -1; };
    const select = (k, open) => {
      k = Math.max(0, Math.min(rows - 1, k));
      current = seen[k];
      const y = HEAD + k * ROW;
      if (y - HEAD < box.scrollTop) box.scrollTop = y - HEAD;
      else if (y + ROW > box.scrollTop + box.clientHeight) box.scrollTop = y + ROW - box.clientHeight;
      live.textContent = `${t.roles[role[current]]}, ${t.names[t.name[current]]}, ${ms(took[current])}${failed[current] ? ', failed' : ''}`;
      draw();
      if (open) describe(current);
    };
    const fold = (i, on) => { if (end[i] > i + 1) { folded[i] = on ? 1 : 0; refold(); } };
    const reveal = (i) => { for (let p = parent[i]; p >= 0; p = parent[p]) folded[p] = 0; refold(); select(placeOf(i), true); };
    const describe = async (i) => {
      detail.hidden = false;
      detail.replaceChildren(el('p', { class: 'pad dim' }, 'Reading the span…'));
      try {
        const s = await ask('GET', `/monitor/traces/${id}/${t.span_id[i]}?${scope}`);
        const list = (o) => el('dl', {}, ...Object.entries(o || {}).flatMap(([k, v]) => [el('dt', {}, k), el('dd', {}, el('span', { class: 'val' }, typeof v === 'object' ? JSON.stringify(v, null, 2) : String(v)))]));
        detail.replaceChildren(el('div', { class: 'cardhead' }, el('span', { class: 'strong clip' }, t.names[t.name[i]]), el('span', { class: 'apart' },
          el('button', { type: 'button', class: 'btn slim', 'aria-label': 'Close', onclick: () => { detail.hidden = true; box.focus(); } }, '×'))),
        ...s.records.map((r) => el('div', { class: 'wfrecord ' + (r.table === 'AppExceptions' ? 'bad' : '') }, el('b', {}, r.type || 'log'), ' ', r.message,
          el('small', { class: 'faint' }, ' at ' + ms(Date.parse(r.time) - Date.parse(t.start))),
          r.table === 'AppExceptions' && r.details ? el('pre', { class: 'cmd' }, stack(r.details)) : null)),
        list(s.fields), s.properties ? el('h2', { class: 'pad' }, 'Attributes') : null, list(s.properties));
      } catch (e) { detail.replaceChildren(el('p', { class: 'pad shut' }, e.message)); }
    };
    const stack = (d) => {
      const one = Array.isArray(d) ? d[0] : d;
      if (one?.rawStack) return one.rawStack;
      if (one?.parsedStack) return one.parsedStack.map((f) => `${f.method || ''}\n    ${f.fileName || f.assembly || ''}${f.line ? ':' + f.line : ''}`).join('\n');
      return JSON.stringify(d, null, 2);
    };
    box.addEventListener('scroll', draw, { passive: true });
    box.addEventListener('click', (e) => {
      const r = box.getBoundingClientRect(), k = Math.floor((e.clientY - r.top + box.scrollTop - HEAD) / ROW);
      if (k < 0 || k >= rows) return;
      const i = seen[k], x = 12 + Math.min(depth[i], 22) * 12;
      if (e.clientX - r.left < x + 8 && end[i] > i + 1) { fold(i, !folded[i]); return; }
      select(k, true);
    });
    box.addEventListener('keydown', (e) => {
      const k = current < 0 ? -1 : placeOf(current), page = Math.floor(box.clientHeight / ROW);
      const go = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: page, PageUp: -page }[e.key];
      if (go) { e.preventDefault(); select(k + go, !detail.hidden); }
      else if (e.key === 'Home') { e.preventDefault(); select(0); }
      else if (e.key === 'End') { e.preventDefault(); select(rows - 1); }
      else if (e.key === 'ArrowLeft' && current >= 0) { e.preventDefault(); if (!folded[current] && end[current] > current + 1) fold(current, true); else if (parent[current] >= 0) select(placeOf(parent[current])); }
      else if (e.key === 'ArrowRight' && current >= 0) { e.preventDefault(); fold(current, false); }
      else if (e.key === 'Enter' && current >= 0) { e.preventDefault(); describe(current); }
      else if (e.key === 'Escape') { detail.hidden = true; }
      else if (e.key === 'e') nextError();
    });
    // The wheel with Ctrl zooms where the pointer is.
    box.addEventListener('wheel', (e) => {
      if (!e.ctrlKey) return;
      e.preventDefault();
      const left = split(), width = box.clientWidth - left - 16, x = Math.max(0, e.clientX - box.getBoundingClientRect().left - left) / width;
      const here = from + (to - from) * x, f = e.deltaY > 0 ? 1.25 : .8, all = Math.max(t.duration_ms, .001);
      from = Math.max(0, here - (here - from) * f); to = Math.min(all, here + (to - here) * f);
      if (to - from < all / 1e6) to = from + all / 1e6;
      draw();
    }, { passive: false });
    const nextError = () => {
      for (let s = 1; s <= n; s++) { const i = (Math.max(current, -1) + s) % n; if (failed[i]) { reveal(i); return; } }
    };
    const button = (sel, on) => { const b = $(sel); b.hidden = false; b.addEventListener('click', on); return b; };
    const crit = button('[data-wf-critical]', () => { markCritical = !markCritical; crit.setAttribute('aria-pressed', String(markCritical)); draw(); });
    if (t.errors > 0) button('[data-wf-errors]', nextError);
    const coll = button('[data-wf-collapse]', () => {
      const on = coll.getAttribute('aria-pressed') !== 'true';
      coll.setAttribute('aria-pressed', String(on));
      for (let i = 0; i < n; i++) folded[i] = on && depth[i] >= 1 && end[i] > i + 1 ? 1 : 0;
      refold();
    });
    new ResizeObserver(draw).observe(box);
    // Long runs of siblings fold by themselves at the first look.
    refold();
    root.dataset.drawn = String(n);
  };
  ask('GET', `/monitor/traces/${id}?${scope}`).then(show, (e) => { box.replaceChildren(el('p', { class: 'pad shut' }, e.message + ' ' + (e.next || ''))); });
})();
