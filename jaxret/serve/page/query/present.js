// The present query: its name, and what of it is searched with.

import { el, fill, icon, iconButton } from "../base/elements.js";
import { ofQuery, queryTitle } from "../base/media.js";
import { state, when } from "../base/store.js";
import { preview } from "./preview.js";

/**
 * @param {object} hooks {onQuery(null): without it, onPending(): the query was changed and not searched with yet}
 */
export function presentQuery({ onQuery, onPending }) {
  const element = el("section", { class: "query-shown", "aria-label": "Present query" });

  /** A part is searched with when Search is pressed: until then only the state knows of it. */
  function changePart(part) {
    const { at, start, end, region, ...rest } = state.query;
    state.query = { ...rest, ...part };
    onPending();
  }

  when(["index", "query"], ({ query, index }) => {
    element.hidden = !query;
    if (!query) return fill(element);
    const title = queryTitle(query);
    const head = el(
      "div",
      { class: "query-head" },
      icon(query.kind === "video" ? "film" : "similar"),
      el("h2", { title }, title),
      iconButton("close", "Remove the query", () => onQuery(null)),
    );
    return fill(element, head, ofQuery(query) && preview(query, index, changePart));
  });
  return element;
}
