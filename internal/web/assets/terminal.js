// The terminal of a kept job: bytes between xterm.js and the server, over one WebSocket.
'use strict';
(() => {
  const box = document.querySelector('[data-terminal]');
  if (!box) return;

  // xterm.js writes its rules into style elements and attributes, which the policy of our pages
  // refuses. The same rules as style sheets and properties made by script are allowed.
  const make = document.createElement.bind(document);
  document.createElement = (name, options) => {
    if (String(name).toLowerCase() !== 'style') return make(name, options);
    const sheet = new CSSStyleSheet();
    document.adoptedStyleSheets.push(sheet);
    const element = make('meta');
    Object.defineProperty(element, 'textContent', { set: (text) => sheet.replaceSync(text) });
    return element;
  };
  const attribute = Element.prototype.setAttribute;
  Element.prototype.setAttribute = function setAttribute(name, value) {
    if (name === 'style') this.style.cssText = value;
    else attribute.call(this, name, value);
  };

  const DATA = 0, RESIZE = 1, END = 2, TAKEN = 3; // kinds of frames, as package protocol has them, and how much was shown
  const MOST = 32 << 10; // bytes of a frame
  const say = (text) => { document.querySelector('[data-terminal-state]').textContent = text; };
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const theme = () => ({
    background: colour('--panel'), foreground: colour('--ink'), cursor: colour('--accent'), cursorAccent: colour('--panel'), selectionBackground: colour('--accent-soft'),
    red: colour('--a-red'), green: colour('--a-green'), yellow: colour('--a-yellow'), blue: colour('--a-blue'), magenta: colour('--a-magenta'), cyan: colour('--a-cyan'),
  });
  const term = new Terminal({ fontSize: 13, fontFamily: colour('--mono'), scrollback: 5000, theme: theme(), minimumContrastRatio: 4.5 });
  const fit = new FitAddon.FitAddon();
  term.loadAddon(fit);
  term.open(box);
  fit.fit();
  const dark = matchMedia('(prefers-color-scheme: dark)');
  dark.addEventListener('change', () => { term.options.theme = theme(); });
  new MutationObserver(() => { term.options.theme = theme(); }).observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] });

  const at = new URL(box.dataset.terminal, location.href);
  at.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  at.searchParams.set('columns', term.cols);
  at.searchParams.set('rows', term.rows);
  const socket = new WebSocket(at);
  socket.binaryType = 'arraybuffer';
  const send = (kind, bytes) => {
    if (socket.readyState !== WebSocket.OPEN) return;
    const frame = new Uint8Array(bytes.length + 1);
    frame[0] = kind;
    frame.set(bytes, 1);
    socket.send(frame);
  };
  const text = new TextEncoder();
  const type = (bytes) => { for (let i = 0; i < bytes.length; i += MOST) send(DATA, bytes.subarray(i, i + MOST)); };
  term.onData((s) => type(text.encode(s)));
  term.onBinary((s) => type(Uint8Array.from(s, (c) => c.charCodeAt(0))));
  term.onResize(({ cols, rows }) => send(RESIZE, text.encode(JSON.stringify({ columns: cols, rows }))));
  addEventListener('resize', () => fit.fit());

  let ended = false;
  const over = (why) => {
    if (ended) return;
    ended = true;
    say(why);
    box.dataset.over = 'true';
    term.options.disableStdin = true;
    document.querySelector('[data-terminal-again]').hidden = false;
  };
  socket.onopen = () => { say('open'); box.dataset.on = 'true'; term.focus(); };
  socket.onclose = (e) => over(e.reason || 'closed: the connection ended');
  socket.onmessage = ({ data }) => {
    const frame = new Uint8Array(data);
    if (frame[0] === DATA) {
      // What was shown is told, so that the server sends no more than can be.
      const n = frame.length - 1;
      term.write(frame.subarray(1), () => send(TAKEN, text.encode(String(n))));
    } else if (frame[0] === END) {
      const end = JSON.parse(new TextDecoder().decode(frame.subarray(1)));
      over(end.why ? 'closed: ' + end.why : 'the shell ended with code ' + end.code);
    }
  };
  // Tab belongs to the shell; Ctrl+] leaves the terminal for the page.
  term.attachCustomKeyEventHandler((e) => {
    if (e.ctrlKey && e.key === ']') {
      if (e.type === 'keydown') document.querySelector('[data-terminal-leave]').focus();
      return false;
    }
    return true;
  });
})();
