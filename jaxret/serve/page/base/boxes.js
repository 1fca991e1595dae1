// Boxes over images, in shares of their sides.

import { el } from "./elements.js";

/** A box as an element that lies over its image; null where there is none. */
export function foundBox(box) {
  if (!box) return null;
  const mark = el("div", { class: "found-box" });
  const [left, top, width, height] = box.map((share) => `${100 * share}%`);
  Object.assign(mark.style, { left, top, width, height });
  return mark;
}

/** The same over an image that is fitted into a frame of another shape (`object-fit: contain`). */
export function boxOver(box, width, height) {
  return el("div", { class: "fit", style: { "--ratio": `${width} / ${height}` } }, foundBox(box));
}
