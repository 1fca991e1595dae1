// Where two frames differ, as an image that the server makes.

import { el } from "../base/elements.js";

const WIDTH = 480;
const PAUSE = 250; // milliseconds that the films stand before their difference is made

/** @param {function(): {query, item}} times seconds that are shown now */
export function difference({ query, hit, index }, times) {
  const image = el("img", { alt: "Difference of the two frames: dark where they are alike", hidden: true });
  const element = el(
    "details",
    { class: "difference", on: { toggle: () => show(times()) } },
    el("summary", {}, "Difference image"),
    image,
  );
  let timer = null;
  if (query.source === "path" || query.source === "text") element.hidden = query.source === "text";

  function draw(at) {
    const wanted = new URLSearchParams({
      index,
      item: hit.item,
      item_at: at.item.toFixed(3),
      query_at: at.query.toFixed(3),
      width: WIDTH,
    });
    wanted.set(`query_${query.source}`, query.id);
    image.src = `/api/comparisons/difference?${wanted}`;
    image.hidden = false;
  }

  /** Show the difference at these seconds, soon, where it is wanted at all. */
  function show(at) {
    if (!element.open) return;
    clearTimeout(timer);
    timer = setTimeout(() => draw(at), PAUSE);
  }

  return { element, show };
}
