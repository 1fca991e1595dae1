// Query and hit side by side, and why they match.

import { comparison } from "../base/api.js";
import { el, fill, iconButton } from "../base/elements.js";
import { figure, span } from "../base/format.js";
import { ofItem, ofQuery, queryRequest, queryTitle } from "../base/media.js";
import { attempt } from "../base/notices.js";
import { state } from "../base/store.js";
import { difference } from "./difference.js";
import { alignedFilms } from "./films.js";
import { matchedRegions } from "./regions.js";

const dialog = el("dialog", { class: "compare", "aria-labelledby": "compare-title" });
document.body.append(dialog);
let stop = () => {};
dialog.addEventListener("close", () => {
  stop();
  stop = () => {};
  fill(dialog);
});

/** Open the comparison of the present query with a hit. */
export async function compare(group, hit = group.best) {
  const { query, index, options } = state;
  const body = el("div", { class: "compare-body" }, el("p", { class: "hint", role: "status" }, "Comparing…"));
  const title = el("h2", { id: "compare-title" }, "Query and result");
  fill(
    dialog,
    el(
      "div",
      { class: "viewer-head" },
      title,
      el("p", { class: "status" }, summary(hit)),
      iconButton("close", "Close", () => dialog.close(), { "aria-keyshortcuts": "Escape" }),
    ),
    body,
  );
  if (!dialog.open) dialog.showModal();
  const request = { index: index.id, query: queryRequest(query), item: group.item, start: hit.start, end: hit.end };
  if (options) request.options = options;
  const said = await attempt(() => comparison(request));
  if (!dialog.open) return;
  if (!said) return void fill(body, el("p", { class: "failure" }, "These two cannot be compared."));
  const two = {
    query,
    queryName: queryTitle(query),
    queryMedia: ofQuery(query),
    hit,
    itemMedia: ofItem(index.id, group.item),
    index: index.id,
  };
  const parts =
    { alignment: alignedFilms, regions: matchedRegions }[said.kind]?.(two, said) ?? matchedRegions(two, said);
  const apart = difference(two, parts.times);
  fill(body, parts.element);
  (parts.aside ?? body).append(apart.element);
  parts.onTimes?.(apart.show);
  parts.begin?.();
  stop = parts.stop ?? (() => {});
}

function summary(hit) {
  const where = hit.kind === "video" ? ` at ${span(hit.start, hit.end)}` : "";
  const apart = Number.isFinite(hit.distance) ? `, distance ${figure(hit.distance)}` : "";
  return `${hit.name}${where}${apart}${hit.backwards ? ", one of the two backwards" : ""}`;
}
