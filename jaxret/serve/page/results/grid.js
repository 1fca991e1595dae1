// A grid of which only the rows in sight are in the page, however many there are.

import { el } from "../base/elements.js";

const ROWS_AROUND = 2;
const STILL = 70; // milliseconds that a card stands in sight before its image is fetched

/**
 * @param {object} hooks {
 *   make(group, place): {element, open, load()}, onEnd(): more are wanted }
 */
export function grid({ make, onEnd }) {
  const rows = el("div", { class: "grid-rows" });
  const element = el("div", { class: "grid", role: "list", "aria-label": "Results" }, rows);
  const cards = new Map(); // item -> {card, place, group, look}
  let groups = [];
  let look = () => "";
  let focused = 0;
  let columns = 1;
  let size = { width: 200, height: 200, gap: 12 };
  let loading = 0;
  let frame = 0;
  let drawn = [-1, -1]; // places of the first result in the page and after the last

  function measure() {
    const style = getComputedStyle(element);
    const least = parseFloat(style.getPropertyValue("--card-width"));
    const rest = parseFloat(style.getPropertyValue("--card-rest"));
    const gap = parseFloat(style.getPropertyValue("--card-gap"));
    const whole = element.clientWidth;
    columns = Math.max(1, Math.floor((whole + gap) / (least + gap)));
    const width = (whole - gap * (columns - 1)) / columns;
    size = { width, height: Math.round((width * 9) / 16 + rest), gap };
  }

  /** Rows that are in sight, and some around them. */
  function visible() {
    const top = -element.getBoundingClientRect().top;
    const step = size.height + size.gap;
    const first = Math.max(0, Math.floor(top / step) - ROWS_AROUND);
    const last = Math.ceil((top + innerHeight) / step) + ROWS_AROUND;
    return [first * columns, Math.min(groups.length, last * columns)];
  }

  /** Put the cards of the rows in sight where they belong; while the same rows are in sight there is nothing to do. */
  function draw() {
    frame = 0;
    const [first, last] = visible();
    if (drawn[0] === first && drawn[1] === last) return;
    drawn = [first, last];
    const many = Math.ceil(groups.length / columns);
    rows.style.height = `${Math.max(0, many * (size.height + size.gap) - size.gap)}px`;
    const wanted = new Map();
    for (let place = first; place < last; place += 1) wanted.set(groups[place].item, place);
    if (groups[focused]) wanted.set(groups[focused].item, focused); // Tab finds it wherever the page is scrolled to
    for (const [item, one] of cards) {
      if (wanted.has(item) || one.card.element.contains(document.activeElement)) continue;
      one.card.element.remove();
      cards.delete(item);
    }
    let after = null; // in the page's own order, too, for those who read it aloud
    for (const [item, place] of [...wanted].sort(([, one], [, other]) => other - one))
      after = put(groups[place], item, place, after);
    clearTimeout(loading);
    loading = setTimeout(() => cards.forEach(({ card }) => card.load()), STILL);
    if (last >= groups.length - 2 * columns) onEnd();
  }

  /** The element of a result at its place, the one there or a new one. */
  function put(group, item, place, after) {
    const known = cards.get(item);
    const present = look(group);
    const same = known && known.group === group && known.look === present && known.place === place;
    const one = same ? known : { card: make(group, place), place, group, look: present };
    const { element: card, open } = one.card;
    if (!same) {
      const had = known?.card.element.contains(document.activeElement);
      known?.card.element.remove();
      rows.insertBefore(card, after);
      cards.set(item, one);
      if (had) open.focus({ preventScroll: true });
    }
    card.setAttribute("aria-setsize", groups.length);
    open.tabIndex = place === focused ? 0 : -1;
    stand(card, place);
    return card;
  }

  function stand(card, place) {
    const x = (place % columns) * (size.width + size.gap);
    const y = Math.floor(place / columns) * (size.height + size.gap);
    card.style.transform = `translate(${x}px, ${y}px)`;
    card.style.width = `${size.width}px`;
    card.style.height = `${size.height}px`;
  }

  const soon = () => (frame ||= requestAnimationFrame(draw));
  const anew = () => {
    drawn = [-1, -1];
    soon();
  };

  /** Put the focus on a result, scrolled into sight. */
  function focus(place) {
    if (!groups.length) return;
    const before = cards.get(groups[focused]?.item);
    focused = Math.min(Math.max(place, 0), groups.length - 1);
    if (before) before.card.open.tabIndex = -1;
    const top = element.getBoundingClientRect().top + Math.floor(focused / columns) * (size.height + size.gap);
    const above = parseFloat(getComputedStyle(element).scrollMarginTop) || 0;
    if (top < above) scrollBy({ top: top - above });
    else if (top + size.height > innerHeight) scrollBy({ top: top + size.height - innerHeight + size.gap });
    drawn = [-1, -1];
    draw();
    cards.get(groups[focused].item)?.card.open.focus({ preventScroll: true });
  }

  element.addEventListener("focusin", (event) => {
    for (const { card, place } of cards.values()) {
      if (!card.element.contains(event.target)) continue;
      if (focused !== place) {
        focused = place;
        cards.forEach((one) => (one.card.open.tabIndex = one.place === focused ? 0 : -1));
      }
    }
  });
  addEventListener("scroll", soon, { passive: true });
  let width = 0;
  new ResizeObserver(() => {
    if (width === element.clientWidth) return; // it grows with its results
    width = element.clientWidth;
    measure();
    cards.forEach((one) => (one.look = null)); // canvases are drawn at their size
    anew();
  }).observe(element);

  return {
    element,
    focus,
    /** Show groups; `looks(group)` tells what else a card depends on. */
    show(next, looks = look) {
      groups = next;
      look = looks;
      focused = Math.min(focused, Math.max(0, groups.length - 1));
      measure();
      anew();
    },
    top() {
      focused = 0;
      scrollTo({ top: 0 });
    },
    /** The result that has the focus, or had it last. */
    current: () => groups[focused] ?? null,
    place: () => focused,
    columns: () => columns,
    hasFocus: () => element.contains(document.activeElement),
    size: () => groups.length,
    groups: () => groups,
  };
}
