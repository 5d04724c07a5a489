// The map: what is beside a service stands out while it is pointed at or has the focus. The
// map itself needs no script.
(() => {
  'use strict';
  const box = document.querySelector('[data-map]');
  if (!box) return;
  const nodes = [...box.querySelectorAll('[data-node]')], edges = [...box.querySelectorAll('[data-from]')];
  const show = (e) => {
    const on = e?.closest('a');
    box.classList.toggle('lit', Boolean(on));
    const near = new Set();
    for (const edge of edges) {
      const { from, to } = edge.dataset, lit = on === edge || on?.dataset.node === from || on?.dataset.node === to;
      edge.classList.toggle('lit', lit);
      if (lit) { near.add(from); near.add(to); }
    }
    for (const n of nodes) n.classList.toggle('lit', n === on || near.has(n.dataset.node));
  };
  box.addEventListener('pointerover', (e) => show(e.target));
  box.addEventListener('pointerleave', () => show(null));
  box.addEventListener('focusin', (e) => show(e.target));
  box.addEventListener('focusout', () => show(null));
})();
