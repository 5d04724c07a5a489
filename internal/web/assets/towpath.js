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
    for (const t of $$('time[data-took]')) t.textContent = took(Math.max(0, (Date.now() + skew - Date.parse(t.dateTime)) / 1000));
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
      swapLog(doc);
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

  // ---- The log viewer: chunks of lines, loaded as they come into sight ----
  const CHUNK = 500, LINE = 20, MOST = 24;
  const openLog = (log) => {
    const box = log.closest('.logbox'), card = log.closest('.logcard');
    const url = log.dataset.log;
    let total = Number(log.dataset.total), hits = [], hit = -1, following = false;
    const chunks = new Map();
    const first = $('section', log);
    first.dataset.n = '0';
    chunks.set(0, { el: first, loaded: true, lines: first.children.length });

    const ensure = () => {
      for (let n = chunks.size; n * CHUNK < total; n++) {
        const el = document.createElement('section');
        el.dataset.n = String(n);
        log.append(el);
        chunks.set(n, { el, loaded: false, lines: 0 });
        seen.observe(el);
      }
      for (const [n, c] of chunks) {
        if (!c.loaded && !c.height) c.el.style.height = Math.min(CHUNK, total - n * CHUNK) * LINE + 'px';
      }
      const t = $('[data-log-total]', card);
      if (t) t.textContent = total === 1 ? '1 line' : total.toLocaleString('en').replaceAll(',', '\u202f') + ' lines';
    };
    const load = async (n) => {
      const c = chunks.get(n);
      if (!c || c.loaded || c.loading) return c?.loading;
      c.loading = (async () => {
        const answer = await fetch(url + '?from=' + n * CHUNK);
        if (!answer.ok) return;
        c.el.innerHTML = await answer.text();
        c.el.style.height = '';
        c.lines = c.el.children.length;
        c.loaded = true;
        paint(c.el);
        drop(n);
      })().finally(() => { c.loading = null; });
      return c.loading;
    };
    // drop forgets the lines of chunks far away, but keeps their height.
    const drop = (around) => {
      const loaded = [...chunks].filter(([, c]) => c.loaded);
      if (loaded.length <= MOST) return;
      const last = chunks.size - 1;
      for (const [n, c] of loaded.sort((a, b) => Math.abs(b[0] - around) - Math.abs(a[0] - around)).slice(0, loaded.length - MOST)) {
        if (n === last) continue;
        c.height = c.el.offsetHeight;
        c.el.style.height = c.height + 'px';
        c.el.textContent = '';
        c.loaded = false;
      }
    };
    const seen = new IntersectionObserver((list) => {
      for (const e of list) if (e.isIntersecting) load(Number(e.target.dataset.n));
    }, { root: box, rootMargin: '600px 0px' });
    seen.observe(first);

    const goTo = async (line, why) => {
      ensure();
      if (line > total) return;
      await load(Math.floor((line - 1) / CHUNK));
      const el = document.getElementById('L' + line);
      if (!el) return;
      $$('.at', log).forEach((e) => e.classList.remove('at'));
      el.classList.add('at');
      box.scrollTop += el.getBoundingClientRect().top - box.getBoundingClientRect().top - box.clientHeight / 2 + LINE;
      if (why) follow(false);
    };
    const atHash = () => {
      const m = /^#L(\d+)$/.exec(location.hash);
      if (m) goTo(Number(m[1]), true);
      return !!m;
    };
    const followButton = $('[data-log-follow]', card);
    const follow = (on) => {
      following = on && !!followButton;
      followButton?.setAttribute('aria-pressed', String(following));
      if (following) box.scrollTop = box.scrollHeight;
    };
    followButton?.addEventListener('click', () => follow(!following));
    box.addEventListener('wheel', (e) => { if (e.deltaY < 0) follow(false); }, { passive: true });

    // Lines that come while one looks.
    let source;
    const listen = () => {
      if (log.dataset.open !== 'true' || source) return;
      let next = total;
      source = new EventSource(url + '/events?from=' + next);
      source.addEventListener('lines', (e) => {
        const d = JSON.parse(e.data);
        if (d.from !== next) return;
        next = total = d.next;
        const holder = document.createElement('template');
        holder.innerHTML = d.html;
        const nodes = [...holder.content.children];
        ensure();
        for (const node of nodes) {
          const n = Math.floor((Number(node.id.slice(1)) - 1) / CHUNK), c = chunks.get(n);
          if (!c.loaded && c.lines === 0 && n * CHUNK === Number(node.id.slice(1)) - 1) { c.loaded = true; c.el.style.height = ''; }
          if (c.loaded) { c.el.append(node); c.lines++; }
        }
        drop(chunks.size - 1);
        if (following) box.scrollTop = box.scrollHeight;
        tellErrors();
      });
      source.addEventListener('over', () => { source.close(); source = null; log.dataset.open = 'false'; follow(false); if (followButton) followButton.hidden = true; tellErrors(); });
    };

    // Finding: the server looks through the whole log, the page marks what it shows.
    const input = $('[data-log-find]', card), tally = $('[data-log-tally]', card);
    const paint = (root) => {
      for (const m of $$('mark', root)) m.replaceWith(m.textContent);
      const text = input.value.toLowerCase();
      if (!text) return;
      const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT, (n) =>
        n.parentElement.closest('a, time') || !n.nodeValue.toLowerCase().includes(text) ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT);
      const nodes = [];
      while (walk.nextNode()) nodes.push(walk.currentNode);
      for (let n of nodes) {
        for (let i = n.nodeValue.toLowerCase().indexOf(text); i >= 0; i = n.nodeValue.toLowerCase().indexOf(text)) {
          const hitNode = n.splitText(i), rest = hitNode.splitText(text.length), m = document.createElement('mark');
          m.textContent = hitNode.nodeValue;
          hitNode.replaceWith(m);
          n = rest;
        }
      }
    };
    const find = async () => {
      hits = []; hit = -1;
      tally.textContent = '';
      log.normalize();
      paint(log);
      if (!input.value) return;
      const answer = await fetch(url + '/find?q=' + encodeURIComponent(input.value));
      if (!answer.ok) return;
      const d = await answer.json();
      hits = d.lines;
      if (hits.length === 0) tally.textContent = 'none';
      else step(1);
    };
    const step = (by) => {
      if (hits.length === 0) return;
      hit = (hit + by + hits.length) % hits.length;
      tally.textContent = hit + 1 + ' of ' + hits.length;
      goTo(hits[hit], true);
    };
    let findTimer;
    input.addEventListener('input', () => { clearTimeout(findTimer); findTimer = setTimeout(find, 180); });
    input.addEventListener('keydown', (e) => {
      if (e.key === 'Enter') { e.preventDefault(); step(e.shiftKey ? -1 : 1); }
      if (e.key === 'Escape') { input.value = ''; find(); input.blur(); }
    });
    let errorTimer, errors = [];
    const errorButton = $('[data-log-errors]', card);
    const tellErrors = () => {
      clearTimeout(errorTimer);
      errorTimer = setTimeout(async () => {
        const answer = await fetch(url + '/find');
        if (!answer.ok) return;
        const d = await answer.json();
        errors = d.lines;
        const words = [];
        if (d.errors) words.push(d.errors === 1 ? '1 error' : d.errors + ' errors');
        if (d.warnings) words.push(d.warnings === 1 ? '1 warning' : d.warnings + ' warnings');
        errorButton.textContent = words.join(', ');
        errorButton.hidden = words.length === 0;
      }, 400);
    };
    errorButton?.addEventListener('click', () => { if (errors.length) { hits = errors; hit = -1; step(1); } });

    $('[data-log-wrap]', card).addEventListener('click', (e) => {
      const on = log.classList.toggle('wrap');
      e.currentTarget.setAttribute('aria-pressed', String(on));
      try { localStorage.setItem('towpath.wrap', on ? '1' : ''); } catch { /* Private windows may refuse. */ }
    });
    try { if (localStorage.getItem('towpath.wrap')) $('[data-log-wrap]', card).click(); } catch { /* As above. */ }
    $('[data-log-link]', card).addEventListener('click', () => copy(location.href));
    log.addEventListener('click', (e) => {
      const a = e.target.closest('a[href^="#L"]');
      if (!a) return;
      e.preventDefault();
      history.replaceState(null, '', a.getAttribute('href'));
      goTo(Number(a.hash.slice(2)), true);
    });
    window.addEventListener('hashchange', atHash);

    // An address that names the step stays good when the run goes on.
    ensure();
    tellErrors();
    if (!atHash()) {
      if (log.dataset.open === 'true') { load(chunks.size - 1)?.then?.(() => follow(true)); follow(true); }
    }
    listen();
    return { input, step, close: () => { source?.close(); source = null; seen.disconnect(); window.removeEventListener('hashchange', atHash); } };
  };
  let viewer;
  const showLog = () => {
    const el = $('[data-log]');
    viewer = el && openLog(el);
  };
  showLog();
  // swapLog goes on to the step that runs now, when the address names none and nobody is
  // looking for something in the log.
  function swapLog(doc) {
    const was = $('#logslot'), is = $('#logslot', doc);
    if (!was || !is || new URLSearchParams(location.search).has('step') || viewer?.input.value || /^#L/.test(location.hash)) return;
    if (was.firstElementChild?.id === is.firstElementChild?.id) return;
    viewer?.close();
    was.replaceChildren(...[...is.childNodes].map((n) => document.importNode(n, true)));
    showLog();
  }

  // ---- Lines of files ----
  const lineAt = () => {
    if (viewer) return;
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
        const field = viewer?.input || $('[data-find]');
        if (field) { e.preventDefault(); field.focus(); field.select(); }
        break;
      }
      case 'n': viewer?.step(1); break;
      case 'N': viewer?.step(-1); break;
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
