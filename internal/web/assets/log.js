// The log of a step. Only the rows in sight are in the page, whatever the log's length: rows
// stand in blocks of 50, blocks where their number says, lines come in chunks of 500 from the
// server, drawn there. Groups fold, and what is folded has no place.
(() => {
  'use strict';
  const $ = (sel, at = document) => at.querySelector(sel);
  const $$ = (sel, at = document) => [...at.querySelectorAll(sel)];
  const CHUNK = 500, BLOCK = 50, LINE = 20, KEPT = 24, SPARE = 160;
  const store = (key, value) => {
    try {
      if (value === undefined) return localStorage.getItem(key) || '';
      localStorage.setItem(key, value);
    } catch { /* Private windows may refuse: then nothing is remembered. */ }
    return '';
  };
  const thin = (n) => n.toLocaleString('en').replaceAll(',', '\u202f');

  // ---- Folding: which lines have a row, and which row that is ----
  // Ranges are sorted and apart: at is the row that the first line after them has.
  const folds = () => {
    let groups = [], heads = new Map(), gaps = [], total = 0;
    const closed = new Set();
    const lay = () => {
      gaps = [];
      let before = 0, end = -1;
      for (const g of groups) {
        if (!closed.has(g.from) || g.from <= end) continue;
        const first = g.from + 1, count = Math.min(g.to, total - 1) - g.from;
        if (count <= 0) continue;
        gaps.push({ first, count, before, at: first - before });
        before += count;
        end = g.from + count;
      }
      gaps.rows = total - before;
    };
    const last = (test) => {
      let lo = 0, hi = gaps.length;
      while (lo < hi) { const mid = (lo + hi) >> 1; if (test(gaps[mid])) lo = mid + 1; else hi = mid; }
      return gaps[lo - 1];
    };
    return {
      set(list, n) { groups = list.map(([from, to]) => ({ from, to })); heads = new Map(groups.map((g) => [g.from, g])); total = n; lay(); },
      grow(n) { total = n; lay(); },
      get rows() { return gaps.rows ?? total; },
      get any() { return groups.length > 0; },
      line(row) { const g = last((x) => x.at <= row); return g ? row + g.before + g.count : row; },
      // row is -1 for a line that is folded away.
      row(line) { const g = last((x) => x.first <= line); return !g ? line : line < g.first + g.count ? -1 : line - g.before - g.count; },
      head: (line) => heads.has(line),
      closed: (line) => closed.has(line),
      size(line) { return heads.get(line).to - line; },
      toggle(line) { if (!closed.delete(line)) closed.add(line); lay(); },
      all(shut) { closed.clear(); if (shut) for (const g of groups) closed.add(g.from); lay(); },
      reveal(line) { for (const g of groups) if (g.from < line && line <= g.to) closed.delete(g.from); lay(); },
    };
  };

  // ---- Text that was looked for, marked in a row ----
  const painted = new WeakMap();
  const paint = (row, text) => {
    if ((painted.get(row) || '') === text) return;
    painted.set(row, text);
    for (const m of $$('mark', row)) m.replaceWith(m.textContent);
    row.normalize();
    if (!text) return;
    const walk = document.createTreeWalker(row, NodeFilter.SHOW_TEXT, (n) =>
      n.parentElement.closest('a, time') || !n.nodeValue.toLowerCase().includes(text) ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT);
    const nodes = [];
    while (walk.nextNode()) nodes.push(walk.currentNode);
    for (let n of nodes) {
      for (let i = n.nodeValue.toLowerCase().indexOf(text); i >= 0; i = n.nodeValue.toLowerCase().indexOf(text)) {
        const hit = n.splitText(i), rest = hit.splitText(text.length), m = document.createElement('mark');
        m.textContent = hit.nodeValue;
        hit.replaceWith(m);
        n = rest;
      }
    }
  };

  const openLog = (log) => {
    const box = log.closest('.logbox'), card = log.closest('.logcard'), url = log.dataset.log;
    const button = (name) => $('[data-log-' + name + ']', card);
    const input = button('find'), tally = button('tally'), followButton = button('follow');
    const fold = folds();
    let total = Number(log.dataset.total), following = false, gone = false, at = null;

    // ---- Lines: chunks of rows that the server drew, the nearest are kept ----
    const chunks = new Map();
    const rowsOf = (html) => { const t = document.createElement('template'); t.innerHTML = html; return [...t.content.children]; };
    const keep = (around) => {
      const far = [...chunks.keys()].filter((n) => !chunks.get(n).loading).sort((a, b) => Math.abs(b - around) - Math.abs(a - around));
      const tail = Math.floor((total - 1) / CHUNK);
      for (const n of far.slice(0, Math.max(0, chunks.size - KEPT))) if (n !== tail) chunks.delete(n);
    };
    const load = (n) => {
      const c = chunks.get(n) || { rows: [], asked: -1 };
      chunks.set(n, c);
      if (c.loading) return c.loading;
      c.asked = total;
      c.loading = (async () => {
        const answer = await fetch(url + '?from=' + n * CHUNK);
        if (!answer.ok || gone) return;
        const rows = rowsOf(await answer.text());
        if (rows.length > c.rows.length) c.rows = rows;
        keep(n);
      })().catch(() => { c.asked = -1; }).finally(() => { c.loading = null; if (!gone) draw(true); });
      return c.loading;
    };
    // lineOf is the row of a line; null while it is on its way.
    const lineOf = (line) => {
      const n = Math.floor(line / CHUNK), c = chunks.get(n), row = c?.rows[line % CHUNK];
      if (!row && (!c || c.asked < Math.min(total, (n + 1) * CHUNK))) wanted.add(n);
      return row;
    };
    const wanted = new Set();
    let asking;
    // Who drags through the log asks only for where he stops.
    const ask = () => {
      clearTimeout(asking);
      asking = setTimeout(() => { for (const n of wanted) load(n); wanted.clear(); }, chunks.size ? 30 : 0);
    };

    // ---- Blocks: where they stand, and which are in the page ----
    const tall = new Map(); // heights of blocks that wrapping made another one
    let tops = null;
    const shown = new Map();
    const blocks = () => Math.ceil(fold.rows / BLOCK);
    const height = (b) => tall.get(b) ?? Math.min(BLOCK, fold.rows - b * BLOCK) * LINE;
    const top = (b) => {
      if (tall.size === 0) return Math.min(b * BLOCK, fold.rows) * LINE;
      if (!tops) { tops = [0]; for (let i = 0; i < blocks(); i++) tops.push(tops[i] + height(i)); }
      return tops[Math.min(b, tops.length - 1)];
    };
    const blockAt = (y) => {
      if (tall.size === 0) return Math.max(0, Math.min(blocks() - 1, Math.floor(y / (BLOCK * LINE))));
      top(0);
      let lo = 0, hi = blocks();
      while (lo < hi) { const mid = (lo + hi) >> 1; if (top(mid + 1) <= y) lo = mid + 1; else hi = mid; }
      return Math.max(0, Math.min(blocks() - 1, lo));
    };
    const ghost = (line) => {
      const e = document.createElement('div'), a = document.createElement('a');
      e.className = 'ghost';
      a.textContent = String(line + 1);
      e.append(a);
      return e;
    };
    const dress = (row, line) => {
      row.classList.toggle('at', !!at && line >= at.first && line <= at.last);
      const head = fold.head(line);
      row.classList.toggle('fold', head);
      if (head) {
        row.dataset.fold = fold.closed(line) ? 'shut' : 'open';
        let b = $('button', row);
        if (!b) {
          b = document.createElement('button');
          b.type = 'button';
          $('span', row).prepend(b);
        }
        b.setAttribute('aria-expanded', String(!fold.closed(line)));
        b.setAttribute('aria-label', 'Group of ' + fold.size(line) + ' lines');
      }
      paint(row, input.value.toLowerCase());
    };
    const fill = (b, el) => {
      const rows = [];
      el.whole = true;
      for (let i = b * BLOCK; i < Math.min((b + 1) * BLOCK, fold.rows); i++) {
        const line = fold.line(i), row = lineOf(line);
        if (row) dress(row, line); else el.whole = false;
        rows.push(row || ghost(line));
      }
      el.rows = rows.length;
      el.replaceChildren(...rows);
    };
    // draw puts the blocks in sight into the page. fresh draws those anew that are there.
    let broad = 0;
    const draw = (fresh) => {
      if (gone) return;
      const y = box.scrollTop, first = blockAt(y - SPARE), last = blockAt(y + box.clientHeight + SPARE);
      log.style.height = top(blocks()) + 'px';
      for (const [b, el] of shown) if (b < first || b > last || b >= blocks()) { el.remove(); shown.delete(b); }
      for (let b = first; b <= last && b < blocks(); b++) {
        let el = shown.get(b);
        const is = el;
        if (!el) { el = document.createElement('section'); shown.set(b, el); log.append(el); }
        if (!is || (fresh && (fresh === 'all' || !el.whole)) || el.rows !== Math.min(BLOCK, fold.rows - b * BLOCK)) fill(b, el);
        const want = top(b) + 'px';
        if (el.style.top !== want) el.style.top = want;
      }
      settle();
      if (wanted.size) ask();
    };
    // settle takes the real heights of wrapped rows, and keeps the eye where it is.
    const settle = () => {
      let moved = 0, changed = false;
      for (const [b, el] of shown) {
        if (log.classList.contains('wrap')) {
          const h = el.offsetHeight, was = height(b);
          if (el.whole && h !== was) {
            if (top(b + 1) <= box.scrollTop) moved += h - was;
            tall.set(b, h);
            changed = true;
          }
        } else if (el.scrollWidth > broad) { broad = el.scrollWidth; log.style.minWidth = broad + 'px'; }
      }
      if (!changed) return;
      tops = null;
      for (const [b, el] of shown) el.style.top = top(b) + 'px';
      log.style.height = top(blocks()) + 'px';
      if (moved) box.scrollTop += moved;
    };
    const relay = () => { tall.clear(); tops = null; draw('all'); };
    let frame = 0;
    const soon = () => { frame ||= requestAnimationFrame(() => { frame = 0; draw(); }); };

    // ---- Going to a line ----
    const middle = (row) => {
      const b = Math.floor(row / BLOCK);
      box.scrollTop = top(b) + (row - b * BLOCK) * LINE - box.clientHeight / 2 + LINE;
      draw();
    };
    const goTo = async (line, last, look) => {
      if (line < 1 || line > total) return;
      if (look) follow(false);
      fold.reveal(line - 1);
      at = { first: line - 1, last: Math.max(line, last || 0) - 1 };
      await load(Math.floor((line - 1) / CHUNK));
      relay();
      // The second time the heights of wrapped rows are known.
      for (let i = 0; i < 2; i++) middle(fold.row(line - 1));
      const el = document.getElementById('L' + line);
      if (el) box.scrollTop += el.getBoundingClientRect().top - box.getBoundingClientRect().top - box.clientHeight / 2 + LINE;
      draw('all');
    };
    const atHash = () => {
      const m = /^#L(\d+)(?:-L(\d+))?$/.exec(location.hash);
      if (m) goTo(Number(m[1]), Number(m[2] || m[1]), true);
      return !!m;
    };
    const follow = (on) => {
      following = on && !!followButton && !followButton.hidden;
      followButton?.setAttribute('aria-pressed', String(following));
      if (following) { box.scrollTop = box.scrollHeight; draw(); box.scrollTop = box.scrollHeight; }
    };

    // ---- Lines that come while one looks ----
    let source, coming = [];
    const tell = () => { const t = button('total'); if (t) t.textContent = total === 1 ? '1 line' : thin(total) + ' lines'; };
    const take = () => {
      for (const row of coming) {
        const line = Number(row.id.slice(1)) - 1, n = Math.floor(line / CHUNK);
        if (line % CHUNK === 0 && !chunks.has(n)) chunks.set(n, { rows: [], asked: total });
        const c = chunks.get(n);
        if (c && c.rows.length === line % CHUNK) c.rows.push(row);
      }
      coming = [];
      fold.grow(total);
      tops = null;
      tell();
      draw();
      if (following) { box.scrollTop = box.scrollHeight; draw(); }
    };
    const listen = () => {
      if (log.dataset.open !== 'true' || source) return;
      let next = total;
      source = new EventSource(url + '/events?from=' + next);
      source.addEventListener('lines', (e) => {
        const d = JSON.parse(e.data);
        if (d.from !== next) return;
        next = total = d.next;
        if (coming.length === 0) requestAnimationFrame(take);
        coming.push(...rowsOf(d.html));
        outlineSoon();
      });
      source.addEventListener('over', () => {
        source.close(); source = null;
        log.dataset.open = 'false';
        follow(false);
        if (followButton) followButton.hidden = true;
        outlineSoon();
      });
    };

    // ---- Finding: the server looks through the whole log, rows in sight are marked ----
    let hits = [], hit = -1, more = false;
    const step = (by) => {
      if (hits.length === 0) return;
      hit = (hit + by + hits.length) % hits.length;
      tally.textContent = hit + 1 + ' of ' + thin(hits.length) + (more ? '+' : '');
      goTo(hits[hit], 0, true);
    };
    const find = async () => {
      hits = []; hit = -1;
      tally.textContent = '';
      draw('all');
      const text = input.value;
      if (!text) return;
      const answer = await fetch(url + '/find?q=' + encodeURIComponent(text));
      if (!answer.ok || input.value !== text) return;
      const d = await answer.json();
      hits = d.lines; more = d.more;
      if (hits.length === 0) tally.textContent = 'none'; else step(1);
    };
    let finding;
    input.addEventListener('input', () => { clearTimeout(finding); finding = setTimeout(find, 180); });
    input.addEventListener('keydown', (e) => {
      if (e.key === 'Enter') { e.preventDefault(); step(e.shiftKey ? -1 : 1); }
      if (e.key === 'Escape') { input.value = ''; find(); box.focus(); }
    });

    // ---- The outline: groups, errors and warnings of the whole log ----
    let outlining, errors = [];
    const outlineSoon = () => { clearTimeout(outlining); outlining = setTimeout(outline, 400); };
    const outline = async () => {
      const answer = await fetch(url + '/outline');
      if (!answer.ok || gone) return;
      const d = await answer.json();
      errors = d.issues.filter((i) => i.kind === 'error').map((i) => i.line);
      const words = [];
      if (d.errors) words.push(d.errors === 1 ? '1 error' : thin(d.errors) + ' errors');
      if (d.warnings) words.push(d.warnings === 1 ? '1 warning' : thin(d.warnings) + ' warnings');
      const b = button('errors');
      if (errors.length === 0) errors = d.issues.map((i) => i.line);
      b.textContent = words.join(', ');
      b.hidden = words.length === 0;
      const fresh = !fold.any;
      fold.set(d.groups, total);
      button('fold').hidden = !fold.any;
      if (fresh && fold.any && !at && store('towpath.fold')) { fold.all(true); button('fold').setAttribute('aria-pressed', 'true'); }
      relay();
      if (at && fresh) middle(fold.row(at.first));
      if (following) follow(true);
    };
    const nextError = (by) => {
      if (errors.length === 0) return;
      if (hits !== errors) { hits = errors; hit = by > 0 ? -1 : 0; more = false; }
      step(by);
    };
    button('errors').addEventListener('click', () => nextError(1));

    // ---- Switches ----
    const pressed = (name, key, act) => {
      const b = button(name);
      const set = (on) => { b.setAttribute('aria-pressed', String(on)); act(on); };
      if (store(key)) set(true);
      b.addEventListener('click', () => { const on = b.getAttribute('aria-pressed') !== 'true'; store(key, on ? '1' : ''); set(on); });
      return () => b.click();
    };
    fold.set([], total);
    const wrap = pressed('wrap', 'towpath.wrap', (on) => { log.classList.toggle('wrap', on); broad = 0; log.style.minWidth = ''; relay(); });
    const times = pressed('times', 'towpath.notimes', (on) => { log.classList.toggle('notimes', on); broad = 0; log.style.minWidth = ''; relay(); });
    button('fold').addEventListener('click', (e) => {
      const on = e.currentTarget.getAttribute('aria-pressed') !== 'true';
      e.currentTarget.setAttribute('aria-pressed', String(on));
      store('towpath.fold', on ? '1' : '');
      fold.all(on);
      relay();
    });
    followButton?.addEventListener('click', () => follow(!following));
    // The address of this step and line, also when the page's own names none.
    const link = () => new URL(log.dataset.page + location.hash, location.href).href;
    button('link').addEventListener('click', (e) => { e.currentTarget.dataset.copy = link(); }, true);
    log.addEventListener('click', (e) => {
      const head = e.target.closest('.fold button, .fold > span');
      if (head && String(getSelection()).length === 0) {
        fold.toggle(Number(head.closest('.fold').id.slice(1)) - 1);
        relay();
        return;
      }
      const a = e.target.closest('a[href^="#L"]');
      if (!a) return;
      e.preventDefault();
      const line = Number(a.hash.slice(2));
      let first = line, last = line;
      if (e.shiftKey && at) { first = Math.min(line, at.first + 1); last = Math.max(line, at.first + 1); }
      history.replaceState(null, '', log.dataset.page + '#L' + first + (last > first ? '-L' + last : ''));
      at = { first: first - 1, last: last - 1 };
      follow(false);
      draw('all');
    });
    box.addEventListener('scroll', () => {
      if (followButton && !followButton.hidden && !following && box.scrollTop + box.clientHeight >= box.scrollHeight - 2 && seenUp) { seenUp = false; follow(true); }
      soon();
    }, { passive: true });
    let seenUp = false;
    box.addEventListener('wheel', (e) => { if (e.deltaY < 0) { seenUp = true; follow(false); } }, { passive: true });
    box.addEventListener('touchmove', () => { if (following) { seenUp = true; follow(false); } }, { passive: true });
    const keys = { e: () => nextError(1), E: () => nextError(-1), w: wrap, t: times, z: () => button('fold').click(), f: () => follow(!following) };
    const onKey = (e) => {
      if (e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented || e.target.closest('input, textarea, select, dialog')) return;
      if (/^(ArrowUp|PageUp|Home)$/.test(e.key) && box.contains(e.target)) { seenUp = true; follow(false); }
      if (keys[e.key]) { e.preventDefault(); keys[e.key](); }
    };
    document.addEventListener('keydown', onKey);
    window.addEventListener('hashchange', atHash);
    const sized = new ResizeObserver(() => { if (log.classList.contains('wrap')) relay(); else soon(); });
    sized.observe(box);

    // ---- Begin with the lines that came with the page ----
    const first = $('section', log);
    chunks.set(0, { rows: [...first.children], asked: total });
    first.remove();
    log.classList.add('virtual');
    tell();
    draw();
    outline();
    if (!atHash() && log.dataset.open === 'true') follow(true);
    listen();
    return {
      input, step,
      close: () => {
        gone = true;
        source?.close(); source = null;
        sized.disconnect();
        document.removeEventListener('keydown', onKey);
        window.removeEventListener('hashchange', atHash);
      },
    };
  };

  // ---- The log that the page shows ----
  const viewer = { now: null };
  const show = () => { const el = $('[data-log]'); viewer.now = el && openLog(el); };
  window.towpathLog = {
    get input() { return viewer.now?.input; },
    step: (by) => viewer.now?.step(by),
    // swap goes on to the step that runs now, when the address names none and nobody is
    // looking for something in the log.
    swap(doc) {
      const was = $('#logslot'), is = $('#logslot', doc);
      if (!was || !is || new URLSearchParams(location.search).has('step') || viewer.now?.input.value || /^#L/.test(location.hash)) return;
      if (was.firstElementChild?.id === is.firstElementChild?.id) return;
      viewer.now?.close();
      was.replaceChildren(...[...is.childNodes].map((n) => document.importNode(n, true)));
      show();
    },
  };
  show();
})();
