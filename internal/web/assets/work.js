// The board and the backlog: items are moved by dragging and by keys. Without this script
// an item's page moves it.
(() => {
  'use strict';
  const $$ = (sel, at = document) => [...at.querySelectorAll(sel)];
  const box = () => document.querySelector('#board[data-move], #backlog[data-move]');
  const may = () => box()?.dataset.may === 'true';
  const say = (text) => { const s = document.getElementById('said'); if (s) s.textContent = text; };
  const toast = (text) => {
    const t = document.getElementById('toast');
    if (!t) return;
    t.textContent = text;
    t.classList.add('on');
    setTimeout(() => t.classList.remove('on'), 4000);
  };

  const send = async (move, undo) => {
    const b = box();
    const answer = await fetch(b.dataset.move, { method: 'POST', body: new URLSearchParams({ csrf: b.dataset.csrf, move: JSON.stringify(move) }) }).catch(() => null);
    if (answer?.ok) return;
    undo();
    const doc = answer && new DOMParser().parseFromString(await answer.text(), 'text/html');
    toast(doc?.querySelector('.errpage p')?.textContent.trim() || 'It was not moved: the server does not answer.');
  };

  const number = (e) => Number(e.dataset.item);
  const near = (e, side) => {
    let n = e[side];
    while (n && !n.dataset?.item) n = n[side];
    return n;
  };
  // place puts an item where it stands now, both for the server and for who listens.
  const place = (item, undo) => {
    const move = { items: [number(item)] };
    const next = near(item, 'nextElementSibling'), previous = near(item, 'previousElementSibling');
    if (next) move.before = number(next); else if (previous) move.after = number(previous);
    const column = item.closest('.boardcol');
    if (column) move.state = column.dataset.state;
    say('Item ' + item.dataset.item + (column ? ' is in ' + column.dataset.state : ' was moved'));
    send(move, undo);
  };
  const remember = (item) => {
    const parent = item.parentNode, next = item.nextSibling;
    return () => parent.insertBefore(item, next);
  };

  // ---- Dragging ----
  let dragged, back;
  document.addEventListener('dragstart', (e) => {
    const item = e.target.closest?.('[data-item]');
    if (!item || !may()) { if (item) e.preventDefault(); return; }
    dragged = item;
    back = remember(item);
    e.dataTransfer.effectAllowed = 'move';
    e.dataTransfer.setData('text/plain', '#' + item.dataset.item);
    requestAnimationFrame(() => item.classList.add('dragged'));
  });
  document.addEventListener('dragover', (e) => {
    if (!dragged) return;
    const list = e.target.closest('.boardcol') || (dragged.matches('tr') && e.target.closest('tbody'));
    if (!list) return;
    e.preventDefault();
    const after = $$('[data-item]', list).find((i) => i !== dragged && e.clientY < i.getBoundingClientRect().top + i.offsetHeight / 2);
    list.insertBefore(dragged, after || null);
  });
  document.addEventListener('drop', (e) => {
    if (!dragged) return;
    e.preventDefault();
    place(dragged, back);
    dragged.classList.remove('dragged');
    dragged = null;
  });
  document.addEventListener('dragend', () => {
    if (!dragged) return;
    dragged.classList.remove('dragged');
    back();
    dragged = null;
  });

  // ---- Keys ----
  const typing = (t) => t.closest?.('input, textarea, select, [contenteditable]');
  document.addEventListener('keydown', (e) => {
    if (e.defaultPrevented || typing(e.target) || e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.key === 'c' && !e.shiftKey) {
      const to = document.querySelector('[data-new-item]');
      if (to) { e.preventDefault(); to.click(); }
      return;
    }
    const item = document.activeElement?.closest?.('[data-item]') || document.querySelector('[data-item].at');
    if (!item || !e.shiftKey || !may()) return;
    const undo = remember(item);
    const column = item.closest('.boardcol');
    if (e.key === 'ArrowUp' || e.key === 'ArrowDown') {
      const other = near(item, e.key === 'ArrowUp' ? 'previousElementSibling' : 'nextElementSibling');
      if (!other) return;
      e.preventDefault();
      if (e.key === 'ArrowUp') other.before(item); else other.after(item);
    } else if (column && (e.key === 'ArrowLeft' || e.key === 'ArrowRight')) {
      const all = $$('.boardcol', column.parentNode);
      const to = all[all.indexOf(column) + (e.key === 'ArrowLeft' ? -1 : 1)];
      if (!to) return;
      e.preventDefault();
      to.prepend(item);
    } else {
      return;
    }
    (item.querySelector('a') || item).focus();
    place(item, undo);
  });
})();
