// The editor of KQL: a plain textarea whose letters are painted behind it, with completion
// at the caret and what is wrong underlined at its place. The text is never touched by it.
(() => {
  'use strict';
  const m = window.towpathMonitor, { $, $$, el, ask } = m;

  // ---- Words of the language ----
  const operators = new Set(('where project project-away project-keep project-rename project-reorder extend summarize by sort order top take limit distinct join on ' +
    'lookup union parse parse-where parse-kv mv-expand mv-apply make-series top-nested count sample serialize as evaluate reduce getschema search find print range ' +
    'datatable let materialize partition scan render with kind and or not in has contains startswith endswith between asc desc nulls first last to step from of default').split(' '));
  const tables = new Set();
  const token = /(\/\/[^\n]*)|(@?"(?:[^"\\\n]|\\.)*"?|@?'(?:[^'\\\n]|\\.)*'?)|\b(\d+(?:\.\d+)?(?:ms|s|m|h|d|tick|microsecond)?)\b|([A-Za-z_][\w]*(?:-[a-z]+)?)(\s*\()?|([\s\S])/g;

  // paint draws a text; mistakes are [from, to) in UTF-16 units and underlined.
  const paint = (text, mistakes) => {
    const out = document.createDocumentFragment();
    let at = 0;
    const add = (kind, s) => {
      const end = at + s.length, cuts = [at, end];
      for (const w of mistakes) for (const c of w) if (c > at && c < end) cuts.push(c);
      cuts.sort((a, b) => a - b);
      for (let i = 0; i + 1 < cuts.length; i++) {
        const part = text.slice(cuts[i], cuts[i + 1]), wrong = mistakes.some(([a, b]) => cuts[i] >= a && cuts[i] < b);
        const classes = [kind, wrong ? 'wrong' : ''].filter(Boolean).join(' ');
        if (part) out.append(classes ? el('span', { class: classes }, part) : part);
      }
      at = end;
    };
    for (const f of text.matchAll(token)) {
      if (f[1]) add('c', f[1]);
      else if (f[2]) add('s', f[2]);
      else if (f[3]) add('n', f[3]);
      else if (f[4]) {
        add(operators.has(f[4]) ? 'k' : tables.has(f[4]) ? 't' : f[5] ? 'f' : '', f[4]);
        if (f[5]) add('', f[5]);
      } else add('', f[6]);
    }
    out.append('\n\u200b');
    return out;
  };

  // units turns bytes of a text into UTF-16 units.
  const units = (text, bytes) => new TextDecoder().decode(new TextEncoder().encode(text).slice(0, bytes)).length;
  const bytesOf = (text) => new TextEncoder().encode(text).length;

  // editor makes an editor of a textarea. on.run is called by Ctrl+Enter, on.wrong with the
  // first mistake of the text or null whenever that changes.
  const editor = (area, on = {}) => {
    const box = area.closest('.kqlbox'), layer = $('[data-kql-paint]', box), list = $('[data-completions]', box);
    let items = [], at = 0, from = 0, wanted, mistakes = [], checking, idle;
    list.id ||= 'completions-' + (area.id || area.name);
    for (const [k, v] of Object.entries({ role: 'combobox', 'aria-autocomplete': 'list', 'aria-haspopup': 'listbox', 'aria-expanded': 'false', 'aria-controls': list.id, 'aria-multiline': 'true' })) area.setAttribute(k, v);
    const scrolled = () => { layer.scrollTop = area.scrollTop; layer.scrollLeft = area.scrollLeft; };
    const draw = () => {
      layer.replaceChildren(paint(area.value, mistakes));
      area.style.height = 'auto';
      area.style.height = Math.min(area.scrollHeight, 320) + 'px';
      scrolled();
    };
    const check = async () => {
      checking?.abort();
      checking = new AbortController();
      const text = area.value;
      if (!text.trim()) { mistakes = []; draw(); return; }
      try {
        const got = await ask('POST', '/monitor/check', { query: text }, checking.signal);
        if (text !== area.value) return;
        mistakes = got.errors.map((e) => {
          let a = units(text, e.start), b = units(text, e.end);
          // What is missing is marked at what stands before it.
          if (a >= b || !text.slice(a, b).trim()) { b = text.slice(0, Math.max(a, 1)).trimEnd().length; a = Math.max(0, b - 1); }
          return [a, b];
        });
        draw();
        area.setAttribute('aria-invalid', String(mistakes.length > 0));
        on.wrong?.(got.errors[0] || null);
      } catch { /* A check that fails says nothing. */ }
    };
    const later = () => { clearTimeout(idle); idle = setTimeout(check, 450); };
    const close = () => { list.hidden = true; items = []; wanted?.abort(); area.removeAttribute('aria-activedescendant'); area.setAttribute('aria-expanded', 'false'); };
    const choose = (i) => {
      at = (i + items.length) % items.length;
      $$('li', list).forEach((li, k) => { li.setAttribute('aria-selected', String(k === at)); if (k === at) { li.scrollIntoView({ block: 'nearest' }); area.setAttribute('aria-activedescendant', li.id); } });
    };
    const accept = () => {
      const item = items[at];
      if (!item) return;
      area.setSelectionRange(from, area.selectionEnd);
      // As if typed, so that undo takes it back.
      if (!document.execCommand('insertText', false, item.insert)) area.setRangeText(item.insert, from, area.selectionEnd, 'end');
      close();
      draw();
      later();
    };
    // caret is where a place of the text is painted, relative to the box.
    const caret = (place) => {
      const walk = document.createTreeWalker(layer, NodeFilter.SHOW_TEXT);
      for (let n = walk.nextNode(), seen = 0; n; seen += n.length, n = walk.nextNode()) {
        if (seen + n.length < place || n.length === 0) continue;
        const r = document.createRange(), o = Math.min(place - seen, n.length - 1);
        r.setStart(n, Math.max(0, o)); r.setEnd(n, Math.max(0, o) + 1);
        const rects = r.getClientRects(), c = rects[rects.length - 1], b = box.getBoundingClientRect();
        if (!c) break;
        return { left: (place - seen > o ? c.right : c.left) - b.left, bottom: c.bottom - b.top };
      }
      return { left: 14, bottom: 34 };
    };
    const word = () => /[A-Za-z_][\w-]*$/.exec(area.value.slice(0, area.selectionStart))?.[0] || '';
    const complete = async () => {
      wanted?.abort();
      const mine = wanted = new AbortController();
      const begin = word(), place = area.selectionStart;
      try {
        const got = await ask('POST', '/monitor/complete', { query: area.value, position: bytesOf(area.value.slice(0, place)) }, mine.signal);
        if (mine.signal.aborted || area.selectionStart !== place) return;
        from = place - begin.length;
        items = got.filter((i) => i.label !== begin).slice(0, 60);
      } catch { if (!mine.signal.aborted) close(); return; }
      if (items.length === 0) { close(); return; }
      list.replaceChildren(...items.map((i, k) => el('li', { role: 'option', id: list.id + '-' + k, title: i.doc || '', onmousedown: (e) => { e.preventDefault(); at = k; accept(); } },
        el('span', { class: 'kind ' + i.kind, 'aria-hidden': 'true' }, i.kind.slice(0, 1)), el('span', {}, i.label), el('small', {}, i.detail || ''))));
      const c = caret(from);
      list.style.top = c.bottom + 4 + 'px';
      list.style.left = Math.max(4, Math.min(box.clientWidth - list.offsetWidth - 4, c.left - 34)) + 'px';
      list.hidden = false;
      list.style.left = Math.max(4, Math.min(box.clientWidth - list.offsetWidth - 4, c.left - 34)) + 'px';
      area.setAttribute('aria-expanded', 'true');
      choose(0);
    };
    area.addEventListener('input', (e) => {
      mistakes = [];
      draw();
      later();
      if (e.inputType === 'insertText' && /[A-Za-z_|]/.test(e.data || '')) complete();
      else if (e.inputType === 'deleteContentBackward' && !list.hidden && word()) complete();
      else close();
    });
    area.addEventListener('scroll', scrolled, { passive: true });
    area.addEventListener('blur', close);
    area.addEventListener('keydown', (e) => {
      if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) { e.preventDefault(); close(); on.run?.(); return; }
      if (e.key === ' ' && e.ctrlKey) { e.preventDefault(); complete(); return; }
      if (list.hidden) return;
      const page = 8, go = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page }[e.key];
      if (go) { e.preventDefault(); choose(Math.abs(go) === 1 ? at + go : Math.max(0, Math.min(items.length - 1, at + go))); }
      else if (e.key === 'Tab' || e.key === 'Enter') { e.preventDefault(); accept(); }
      else if (e.key === 'Escape') { e.preventDefault(); e.stopPropagation(); close(); }
      else if (/^(ArrowLeft|ArrowRight|Home|End)$/.test(e.key)) close();
    });
    new ResizeObserver(() => { if (box.clientWidth !== draw.width) { draw.width = box.clientWidth; draw(); } }).observe(box);
    draw();
    return { get text() { return area.value; }, set text(v) { area.value = v; mistakes = []; draw(); later(); }, check };
  };

  for (const t of JSON.parse($('[data-explorer]')?.dataset.start || '{}').tables || []) tables.add(t);
  Object.assign(m, { editor, tables });
  for (const area of $$('[data-rule-query]')) {
    const kind = $('select[name=kind]', area.form), box = area.closest('.kqlbox');
    // PromQL has no completion here: the same box is a plain field then.
    const plain = () => box.classList.toggle('plain', kind?.value === 'metric');
    kind?.addEventListener('change', plain);
    plain();
    editor(area, { wrong: (e) => { const w = $('[data-rule-wrong]', area.form); if (w) w.textContent = e && kind?.value !== 'metric' ? `${e.line}:${e.col}: ${e.message}${e.next ? ' – ' + e.next : ''}` : ''; } });
  }
})();
