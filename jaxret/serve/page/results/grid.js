// A grid of which only the rows in sight are in the page, however many there are.

import { el } from "../base/elements.js";

const ROWS_AROUND = 2;
const STILL = 70; // milliseconds that a card stands in sight before its image is fetched

/**
 * @param {object} hooks {
 *   make(group, place): {element, open, load()}, onEnd(): more are wanted, onFocus(group) }
 */
export function grid({ make, onEnd, onFocus }) {
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

  function draw() {
    frame = 0;
    const many = Math.ceil(groups.length / columns);
    rows.style.height = `${Math.max(0, many * (size.height + size.gap) - size.gap)}px`;
    const [first, last] = visible();
    const wanted = new Map();
    for (let place = first; place < last; place += 1) wanted.set(groups[place].item, place);
    if (groups[focused]) wanted.set(groups[focused].item, focused); // Tab finds it wherever the page is scrolled to
    for (const [item, one] of cards) {
      if (wanted.has(item) || one.card.element.contains(document.activeElement)) continue;
      one.card.element.remove();
      cards.delete(item);
    }
    for (const [item, place] of wanted) put(groups[place], item, place);
    clearTimeout(loading);
    loading = setTimeout(() => cards.forEach(({ card }) => card.load()), STILL);
    if (last >= groups.length - 2 * columns) onEnd();
  }

  function put(group, item, place) {
    const known = cards.get(item);
    const present = look(group);
    if (known && known.group === group && known.look === present && known.place === place) return stand(known, place);
    const had = known?.card.element.contains(document.activeElement);
    const one = { card: make(group, place), place, group, look: present };
    if (known) known.card.element.replaceWith(one.card.element);
    else rows.append(one.card.element);
    one.card.element.setAttribute("aria-setsize", groups.length);
    cards.set(item, one);
    stand(one, place);
    if (had) one.card.open.focus({ preventScroll: true });
    return undefined;
  }

  function stand({ card }, place) {
    const x = (place % columns) * (size.width + size.gap);
    const y = Math.floor(place / columns) * (size.height + size.gap);
    card.element.style.transform = `translate(${x}px, ${y}px)`;
    card.element.style.width = `${size.width}px`;
    card.element.style.height = `${size.height}px`;
    card.open.tabIndex = place === focused ? 0 : -1;
  }

  const soon = () => (frame ||= requestAnimationFrame(draw));

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
    draw();
    cards.get(groups[focused].item)?.card.open.focus({ preventScroll: true });
  }

  element.addEventListener("focusin", (event) => {
    for (const [, { card, place, group }] of cards) {
      if (!card.element.contains(event.target)) continue;
      if (focused !== place) {
        focused = place;
        cards.forEach((one) => (one.card.open.tabIndex = one.place === focused ? 0 : -1));
      }
      onFocus?.(group);
    }
  });
  addEventListener("scroll", soon, { passive: true });
  new ResizeObserver(() => {
    measure();
    cards.forEach((one) => (one.look = null)); // canvases are drawn at their size
    soon();
  }).observe(element);

  return {
    element,
    soon,
    focus,
    /** Show groups; `looks(group)` tells what else a card depends on. */
    show(next, looks = look) {
      groups = next;
      look = looks;
      focused = Math.min(focused, Math.max(0, groups.length - 1));
      measure();
      soon();
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
