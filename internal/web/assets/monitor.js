// What the scripts of the room Monitor share: asking the API, as the command line does, words
// for values, charts.
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
  // ---- Values ----
  const plainText = (v) => (v === null || v === undefined ? '' : typeof v === 'string' ? v : typeof v === 'object' ? JSON.stringify(v) : String(v));
  const clock = (iso) => {
    const d = new Date(iso);
    return Number.isNaN(d.getTime()) ? String(iso) : d.toLocaleTimeString('en-GB', { hour12: false }) + '.' + String(d.getMilliseconds()).padStart(3, '0');
  };
  const said = (e) => e.message + (e.next ? ' ' + e.next[0].toUpperCase() + e.next.slice(1) : '');
  const quote = (v) => '"' + String(v).replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n') + '"';
  const levelOf = (row, at) => {
    const l = at.LogLevel !== undefined ? row[at.LogLevel] : at.SeverityLevel !== undefined ? ['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'][row[at.SeverityLevel]] :
      at.Success !== undefined ? (row[at.Success] === false ? 'ERROR' : 'INFO') : at.KubeEventType !== undefined ? (row[at.KubeEventType] === 'Warning' ? 'WARNING' : 'INFO') : '';
    return String(l || '').toUpperCase();
  };
  const severities = ['Verbose', 'Information', 'Warning', 'Error', 'Critical'];
  const sevClass = (level) => ({ CRITICAL: 'er', ERROR: 'er', WARNING: 'wa', INFO: 'inf' }[level] || '');
  // ---- Charts of answers ----
  const palette = ['--accent', '--pass', '--held', '--shut', '--x-fn', '--open', '--ink-3', '--a-magenta'];
  const colour = (i) => getComputedStyle(document.documentElement).getPropertyValue(palette[i % palette.length]).trim();
  const stamp = (t, seconds) => { const d = new Date(t * 1000); return d.toTimeString().slice(0, seconds ? 8 : 5); };
  const dayOf = (t) => new Date(t * 1000).toLocaleDateString('en-GB', { day: 'numeric', month: 'short' });
  const timeChart = (box, times, series, marks = [], legend = true) => {
    box.replaceChildren();
    if (!window.uPlot || times.length === 0) { box.append(el('p', { class: 'pad dim' }, 'Nothing to draw in this time.')); return; }
    const ink = getComputedStyle(document.documentElement).getPropertyValue('--ink-3').trim(), line = getComputedStyle(document.documentElement).getPropertyValue('--line').trim();
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: '11px system-ui' };
    const plot = new window.uPlot({
      width: box.clientWidth - 28 || 800, height: 260, cursor: { drag: { x: true, y: false }, points: { size: 6 } }, legend: { show: legend, live: true },
      series: [{ label: 'Time', value: (_, t) => (t === null || t === undefined ? '–' : dayOf(t) + ' ' + stamp(t, true)) },
        ...series.map((s, i) => ({ label: s.label, stroke: colour(i), width: 1.5, spanGaps: false, points: { show: times.length < 40, size: 4, fill: colour(i) }, value: (_, v) => (v === null || v === undefined ? '–' : String(Number(v.toPrecision(6)))) }))],
      axes: [{ ...axis, values: (_, splits, __, ___, step) => splits.map((t, i) => (step >= 86400 ? dayOf(t) : stamp(t, step < 60) + (i === 0 || dayOf(t) !== dayOf(splits[i - 1]) ? '\n' + dayOf(t) : ''))) }, { ...axis, size: 64, values: (_, v) => v.map((n) => (Math.abs(n) >= 1e9 ? n / 1e9 + ' G' : Math.abs(n) >= 1e6 ? n / 1e6 + ' M' : Math.abs(n) >= 1e4 ? n / 1e3 + ' k' : n)) }],
      hooks: { draw: [(u) => {
        const c = u.ctx;
        c.save();
        c.setLineDash([4, 3]);
        let free = -1e9;
        for (const m of marks) {
          const x = u.valToPos(Date.parse(m.at) / 1000, 'x', true);
          if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) continue;
          c.strokeStyle = colour(m.result === 'deployed' ? 1 : 3);
          c.beginPath(); c.moveTo(x, u.bbox.top); c.lineTo(x, u.bbox.top + u.bbox.height); c.stroke();
          c.fillStyle = c.strokeStyle;
          c.font = 11 * devicePixelRatio + 'px system-ui';
          const words = m.release.split('/').slice(1).join('/');
          if (x > free) { c.fillText(words, x + 4, u.bbox.top + 12 * devicePixelRatio); free = x + c.measureText(words).width + 10; }
        }
        c.restore();
      }] },
    }, [times, ...series.map((s) => s.values)], box);
    const fit = new ResizeObserver(() => { if (!plot.root.isConnected) { fit.disconnect(); return; } if (box.clientWidth > 28) plot.setSize({ width: box.clientWidth - 28, height: 260 }); });
    fit.observe(box);
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
  window.towpathMonitor = { $, $$, el, svg, ask, scope, project, api, count, toast, say, said, timeChart, chartOf, colour, plainText, clock, quote, levelOf, sevClass, severities };
})();
