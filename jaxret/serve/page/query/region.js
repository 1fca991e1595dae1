// A box drawn on an image: with a pointer, or with the keys (arrows move it, with Shift they size it).

import { el } from "../base/elements.js";

const STEP = 0.02;
const LEAST = 0.02;
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/**
 * @param {object} image {address, alt: what it shows, ratio: its width by its height}
 * @param {number[]|null} region the box at first, [x, y, width, height] in shares
 * @param {function(number[]|null): void} onRegion told when a box was drawn, moved or taken away
 */
export function regionMarker({ address, alt, ratio }, region, onRegion) {
  let box = region;
  let anchor = null;
  const frame = el("div", {
    class: "region-box",
    tabindex: "0",
    role: "group",
    hidden: !region,
    "aria-label": "Marked region: arrow keys move it, with Shift they change its size, Delete removes it",
  });
  const image = el("img", { src: address, alt, draggable: "false" });
  const element = el("div", { class: "region-marker", style: ratio ? { "--ratio": ratio } : {} }, image, frame);

  function place(next) {
    box = next;
    frame.hidden = !box;
    if (!box) return;
    const [x, y, width, height] = box.map((share) => `${100 * share}%`);
    Object.assign(frame.style, { left: x, top: y, width, height });
  }

  const point = (event) => {
    const area = image.getBoundingClientRect();
    return [
      clamp((event.clientX - area.left) / area.width, 0, 1),
      clamp((event.clientY - area.top) / area.height, 0, 1),
    ];
  };

  element.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    element.setPointerCapture(event.pointerId);
    anchor = point(event);
  });
  element.addEventListener("pointermove", (event) => {
    if (!anchor) return;
    const [x, y] = point(event);
    place([Math.min(x, anchor[0]), Math.min(y, anchor[1]), Math.abs(x - anchor[0]), Math.abs(y - anchor[1])]);
  });
  element.addEventListener("pointerup", () => {
    if (!anchor) return;
    anchor = null;
    if (box && (box[2] < LEAST || box[3] < LEAST)) place(null);
    onRegion(box);
  });
  frame.addEventListener("keydown", (event) => {
    if (event.key === "Delete" || event.key === "Backspace") {
      place(null);
      return onRegion(null);
    }
    const [right, down] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[
      event.key
    ] ?? [0, 0];
    if (!right && !down) return undefined;
    event.preventDefault();
    event.stopPropagation();
    const [x, y, width, height] = box;
    if (event.shiftKey)
      place([x, y, clamp(width + right * STEP, LEAST, 1 - x), clamp(height + down * STEP, LEAST, 1 - y)]);
    else place([clamp(x + right * STEP, 0, 1 - width), clamp(y + down * STEP, 0, 1 - height), width, height]);
    return onRegion(box);
  });

  if (region) place(region);
  return {
    element,
    /** Begin a box in the middle, for those who use no pointer. */
    begin() {
      place([0.25, 0.25, 0.5, 0.5]);
      frame.focus();
      onRegion(box);
    },
    clear() {
      place(null);
      onRegion(null);
    },
  };
}
