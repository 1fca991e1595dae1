// Names above what is compared.

import { el } from "../base/elements.js";
import { clock } from "../base/format.js";

/** A name above an image or a film, with the second that is shown. */
export function caption(text) {
  const time = el("span", { class: "timing" });
  return {
    element: el("figcaption", {}, el("strong", {}, text), time),
    at: (second) => (time.textContent = clock(second, 2)),
  };
}
