// Towpath's own script: what htmx does not do. Pages work without it; with it they are
// live, quick, and usable from the keyboard. No framework, no build.
(() => {
  'use strict';
  const $ = (sel, at = document) => at.querySelector(sel);
  const $$ = (sel, at = document) => [...at.querySelectorAll(sel)];
  const project = document.body.dataset.project || '';
  const base = project ? '/projects/' + encodeURIComponent(project) : '';

  // ---- Words for people: toast and screen reader ----
  let toastTimer;
  const toast = (text) => {
    const t = $('#toast');
    if (!t) return;
    t.textContent = text;
    t.classList.add('on');
    clearTimeout(toastTimer);
    toastTimer = setTimeout(() => t.classList.remove('on'), 2200);
  };
  const say = (text) => { const s = $('#said'); if (s) s.textContent = text; };

  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      toast('Copied');
    } catch {
      toast('Copying is not allowed here; select the text instead.');
    }
  };

  // ---- Relative times ----
  const ago = (then, now) => {
    const s = Math.max(0, (now - then) / 1000);
    if (s < 5) return 'now';
    if (s < 60) return Math.floor(s) + ' s';
    if (s < 3600) return Math.floor(s / 60) + ' min';
    if (s < 86400) return Math.floor(s / 3600) + ' h';
    if (s < 60 * 86400) return Math.floor(s / 86400) + ' d';
    return null;
  };
  // The server's clock counts: this machine's may be wrong.
  const skew = (Date.parse(document.body.dataset.now || '') || Date.now()) - Date.now();
  const tick = () => {
    const now = Date.now() + skew;
    for (const t of $$('time[data-ago]')) {
      let text = ago(Date.parse(t.dateTime), now);
      if (text && t.dataset.ago) text = text === 'now' ? 'just now' : text + ' ago';
      if (text && t.textContent !== text) t.textContent = text;
    }
  };
  setInterval(tick, 10_000);
  const took = (s) => (s < 60 ? Math.floor(s) + ' s' : s < 600 ? Math.floor(s / 60) + ' min ' + Math.floor(s % 60) + ' s' :
    s < 3600 ? Math.floor(s / 60) + ' min' : Math.floor(s / 3600) + ' h ' + Math.floor((s % 3600) / 60) + ' min');
  setInterval(() => {
    for (const t of $$('[data-took]')) t.textContent = took(Math.max(0, (Date.now() + skew - Date.parse(t.dateTime || t.dataset.took)) / 1000));
  }, 1000);

  // ---- Renewing regions in place ----
  // patch makes the element "was" equal to "is" by the least change, so that focus,
  // scrolling and open parts stay. Children with a data-key or id are matched by it.
  const keyOf = (n) => (n.nodeType === 1 ? n.dataset.key || n.id || '' : '');
  const kept = new Set(['open']);
  const patchAttributes = (was, is) => {
    for (const a of [...was.attributes]) {
      if (!is.hasAttribute(a.name) && !kept.has(a.name)) was.removeAttribute(a.name);
    }
    for (const a of is.attributes) {
      if (was.getAttribute(a.name) !== a.value && !kept.has(a.name)) was.setAttribute(a.name, a.value);
    }
  };
  const same = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);
  // content is what counts as a change worth a highlight: not a clock that went on.
  const content = (n) => {
    const c = n.cloneNode(true);
    for (const t of $$('time', c)) t.textContent = '';
    return c.textContent.replace(/\s+/g, ' ') + $$('[class]', c).map((e) => e.getAttribute('class')).join(' ').replace(/ ?fresh/g, '');
  };
  const patch = (was, is) => {
    if (was.isEqualNode(is) || (was.nodeType === 1 && was.hasAttribute('data-keep'))) return;
    if (was.nodeType !== 1) { was.nodeValue = is.nodeValue; return; }
    const fresh = was.dataset.key && content(was) !== content(is);
    patchAttributes(was, is);
    const old = new Map();
    for (const c of was.children) if (keyOf(c)) old.set(keyOf(c), c);
    let at = was.firstChild;
    for (const want of [...is.childNodes]) {
      const key = keyOf(want);
      let have = key ? old.get(key) : at && !keyOf(at) && same(at, want) ? at : null;
      if (have && same(have, want)) {
        old.delete(key);
        if (have !== at) was.insertBefore(have, at);
        at = have.nextSibling;
        patch(have, want);
      } else {
        const add = document.importNode(want, true);
        was.insertBefore(add, at);
        if (add.nodeType === 1 && add.dataset.key) add.classList.add('fresh');
        if (add.nodeType === 1 && window.htmx) htmx.process(add);
      }
    }
    while (at) { const next = at.nextSibling; at.remove(); at = next; }
    if (fresh) {
      was.classList.remove('fresh');
      void was.offsetWidth; // Begins the highlight anew.
      was.classList.add('fresh');
    }
  };

  let renewing = false, again = false;
  const renew = async () => {
    if (renewing) { again = true; return; }
    renewing = true;
    try {
      const answer = await fetch(location.href, { headers: { 'Towpath-Renew': '1' } });
      if (!answer.ok || answer.redirected) return;
      const doc = new DOMParser().parseFromString(await answer.text(), 'text/html');
      for (const is of $$('[data-region]', doc)) {
        const was = is.id && document.getElementById(is.id);
        if (was && !was.contains(document.activeElement?.closest('input, textarea, select'))) patch(was, is);
      }
      window.towpathLog?.swap(doc);
      tick();
    } catch { /* The stream comes back and renews again. */ } finally {
      renewing = false;
      if (again) { again = false; renew(); }
    }
  };

  // ---- The live stream. A hidden page lets go of it: browsers allow few of them. ----
  let live, resumeAt;
  const mark = (on) => {
    for (const m of $$('[data-live-mark]')) {
      m.dataset.on = String(on);
      m.textContent = on ? 'live' : 'waiting';
    }
  };
  const connect = () => {
    const url = $('#main')?.dataset.live;
    if (!url || live || document.hidden) return;
    const to = new URL(url, location.href);
    if (resumeAt && to.searchParams.has('after')) to.searchParams.set('after', resumeAt);
    live = new EventSource(to);
    live.onopen = () => mark(true);
    live.onerror = () => mark(false);
    live.addEventListener('change', renew);
    live.addEventListener('fact', (e) => {
      resumeAt = e.lastEventId || resumeAt;
      const f = JSON.parse(e.data);
      if (f.words) say(f.words);
    });
    live.addEventListener('over', () => { live.close(); live = null; renew().then(() => say($('#runhead .state')?.textContent || '')); });
  };
  const disconnect = () => { live?.close(); live = null; mark(false); };
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) disconnect(); else { connect(); if (live) renew(); }
  });

  // ---- Lines of files ----
  const lineAt = () => {
    if ($('[data-log]')) return;
    $$('.code .at').forEach((e) => e.classList.remove('at'));
    const m = /^#([LF]\d+)$/.exec(location.hash);
    const el = m && document.getElementById(m[1]);
    if (el) { el.classList.add('at'); el.scrollIntoView({ block: 'center' }); }
  };
  window.addEventListener('hashchange', lineAt);
  lineAt();

  // ---- Pull requests: comment on a line, files that one has looked at ----
  document.addEventListener('click', (e) => {
    const say = e.target.closest('[data-say]'), form = $('#sayform');
    if (say && form) {
      e.preventDefault();
      const line = say.closest('.ln');
      $$('.talk[data-new]').forEach((t) => { if (!$('textarea', t).value) t.remove(); });
      const talk = form.content.firstElementChild.cloneNode(true);
      talk.dataset.new = '';
      $('[name=at]', talk).value = say.dataset.say;
      $('[name=path]', talk).value = say.dataset.path;
      line.after(talk);
      $('textarea', talk).focus();
      return;
    }
    const unsay = e.target.closest('[data-unsay]');
    if (unsay?.closest('.talk[data-new]')) { e.preventDefault(); unsay.closest('.talk').remove(); }
  });
  const viewed = (key, set) => {
    try {
      const all = JSON.parse(localStorage.getItem('towpath.viewed') || '[]');
      if (set === undefined) return all.includes(key);
      const rest = all.filter((k) => k !== key);
      localStorage.setItem('towpath.viewed', JSON.stringify(set ? [...rest, key].slice(-2000) : rest));
    } catch { /* Private windows may refuse: then nothing is remembered. */ }
    return false;
  };
  for (const box of $$('[data-viewed-box]')) {
    const file = box.closest('details'), key = file.dataset.viewed;
    box.closest('label').hidden = false;
    const show = (on) => { box.checked = on; file.classList.toggle('seen', on); if (on) file.open = false; };
    if (viewed(key)) show(true);
    box.addEventListener('change', () => { viewed(key, box.checked); show(box.checked); if (!box.checked) file.open = true; });
    box.closest('label').addEventListener('click', (e) => e.stopPropagation());
  }
  // A link to a line or thread within a folded file unfolds it.
  const unfold = () => {
    const at = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!at || !/^#[dtf]/.test(location.hash)) return;
    for (let d = at.closest('details'); d; d = d.parentElement?.closest('details')) d.open = true;
    at.scrollIntoView({ block: location.hash.startsWith('#f') ? 'start' : 'center' });
  };
  window.addEventListener('hashchange', unfold);
  unfold();

  // ---- Palette, keys, menus ----
  const palette = $('#palette'), keys = $('#keys');
  const openPalette = () => {
    if (!palette || palette.open) return;
    palette.showModal();
    const input = $('input', palette);
    input.value = '';
    input.focus();
    if (window.htmx) htmx.trigger(input, 'open');
  };
  palette?.addEventListener('keydown', (e) => {
    const list = $$('#found a'), at = list.findIndex((a) => a.getAttribute('aria-selected') === 'true');
    if (e.key === 'ArrowDown' || e.key === 'ArrowUp') {
      e.preventDefault();
      if (list.length === 0) return;
      const to = (at + (e.key === 'ArrowDown' ? 1 : -1) + list.length) % list.length;
      list.forEach((a, i) => a.setAttribute('aria-selected', String(i === to)));
      list[to].scrollIntoView({ block: 'nearest' });
    }
    if (e.key === 'Enter' && at >= 0) { e.preventDefault(); location.href = list[at].href; }
  });
  for (const d of [palette, keys]) d?.addEventListener('click', (e) => { if (e.target === d) d.close(); });

  const setTheme = (theme) => {
    document.documentElement.dataset.theme = theme;
    document.cookie = 'towpath_theme=' + theme + '; path=/; max-age=31536000; samesite=lax';
    $$('[data-theme-set]').forEach((b) => b.setAttribute('aria-pressed', String(b.dataset.themeSet === theme)));
  };

  document.addEventListener('click', (e) => {
    const to = (sel) => e.target.closest(sel);
    let el;
    if ((el = to('[data-copy]'))) { e.preventDefault(); copy(el.dataset.copy); }
    if (to('[data-palette]')) openPalette();
    if (to('[data-keys]')) keys.showModal();
    if ((el = to('[data-theme-set]'))) setTheme(el.dataset.themeSet);
    for (const m of $$('details.menu[open]')) if (!m.contains(e.target)) m.open = false;
  });

  let goto = 0;
  document.addEventListener('keydown', (e) => {
    if ((e.ctrlKey || e.metaKey) && !e.altKey && e.key.toLowerCase() === 'k') { e.preventDefault(); openPalette(); return; }
    if (e.key === 'Escape') $$('details.menu[open]').forEach((m) => { m.open = false; $('summary', m).focus(); });
    if (e.ctrlKey || e.metaKey || e.altKey || e.target.closest('input, textarea, select, dialog')) return;
    if (goto && Date.now() - goto < 1200) {
      goto = 0;
      const a = $(`[data-goto="${CSS.escape(e.key)}"]`);
      if (a) { e.preventDefault(); a.click(); return; }
    }
    switch (e.key) {
      case 'g': goto = Date.now(); break;
      case '?': e.preventDefault(); keys?.showModal(); break;
      case '/': {
        const field = window.towpathLog?.input || $('[data-find]');
        if (field) { e.preventDefault(); field.focus(); field.select(); }
        break;
      }
      case 'n': window.towpathLog?.step(1); break;
      case 'N': window.towpathLog?.step(-1); break;
      case 'j': case 'k': {
        const rows = $$('[data-row]').filter((r) => $('a[href]', r));
        if (rows.length === 0) break;
        const at = rows.findIndex((r) => r.contains(document.activeElement));
        const to = Math.min(rows.length - 1, Math.max(0, at + (e.key === 'j' ? 1 : -1)));
        $('a[href]', rows[to]).focus();
        rows[to].scrollIntoView({ block: 'nearest' });
        break;
      }
    }
  });

  // ---- Forms whose answer takes a while say so, and are sent once ----
  document.addEventListener('submit', (e) => {
    const form = e.target.closest('form[data-slow]');
    if (!form) return;
    if (form.dataset.sent) { e.preventDefault(); return; }
    form.dataset.sent = 'true';
    $$('button', form).forEach((b) => b.setAttribute('aria-busy', 'true'));
    toast(form.dataset.slow);
  });
  window.addEventListener('pageshow', () => $$('form[data-sent]').forEach((f) => { delete f.dataset.sent; $$('button', f).forEach((b) => b.removeAttribute('aria-busy')); }));

  // ---- htmx ----
  document.body.addEventListener('htmx:responseError', (e) => {
    const doc = new DOMParser().parseFromString(e.detail.xhr.responseText, 'text/html');
    toast($('.errpage p:not(.code1)', doc)?.textContent || 'That did not work (' + e.detail.xhr.status + ').');
  });
  document.body.addEventListener('htmx:sendError', () => toast('The server does not answer. Is it running?'));
  document.body.addEventListener('htmx:afterSettle', tick);

  connect();
})();
