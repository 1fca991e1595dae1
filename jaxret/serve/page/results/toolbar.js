// The line above the results: filters, threshold, order, ways out, and how the search went.

import { button, el, fill } from "../base/elements.js";
import { count, milliseconds } from "../base/format.js";
import { change, state, when } from "../base/store.js";
import { filterChips } from "./filters.js";
import { outputsMenu } from "./outputs.js";
import { thresholdSlider } from "./threshold.js";

/** How a search stands, in one sentence. */
function statusText({ search, hits, groups, index }) {
  if (!index) return "";
  if (!search) return "";
  if (search.state === "waiting")
    return search.position > 0
      ? `Waiting: ${count(search.position, "search", "searches")} before this one`
      : "Searching…";
  if (search.state === "running" || (search.state === "done" && search.total && !hits.length)) return "Searching…";
  if (search.state === "cancelled") return "Cancelled.";
  if (search.state === "failed") return "";
  if (search.browsing)
    return `${index.name}: ${count(Number.isFinite(search.total) ? search.total : index.items, "item")}`;
  if (!search.total) return "Nothing was found.";
  const places = hits.length < search.total ? `${hits.length} of ${search.total}` : String(hits.length);
  return `${count(groups.length, "result")}, ${places} ${search.total === 1 ? "place" : "places"}`;
}

function timingText({ search }) {
  const parts = Object.entries(search?.timings ?? {}).filter(([, seconds]) => Number.isFinite(seconds));
  return parts.map(([name, seconds]) => `${name} ${milliseconds(seconds)}`).join(" · ");
}

function orders(index) {
  if (!index) return [];
  const columns = [
    "key",
    index.labels.length && "label",
    index.videos && "duration",
    "modified",
    ...index.columns.map((one) => one.name),
  ].filter(Boolean);
  return columns.flatMap((name) => [
    [name, `${name} ↑`],
    [`-${name}`, `${name} ↓`],
  ]);
}

/** @param {object} hooks {onChange(): search again, onOptions(options), onCancel()} */
export function toolbar({ onChange, onOptions, onCancel }) {
  const said = el("p", { class: "status", role: "status" });
  const timing = el("p", { class: "timing" });
  const cancel = button("Cancel", onCancel, { class: "button small", hidden: true });
  const sort = el("select", {
    "aria-label": "Order",
    id: "sort",
    on: {
      change: () => {
        change({ sort: sort.value });
        onChange();
      },
    },
  });
  const failure = el("p", { class: "failure", role: "alert", hidden: true });
  const bar = el("div", { class: "spinner-line", "aria-hidden": "true", hidden: true });
  const element = el(
    "div",
    { class: "toolbar" },
    el(
      "div",
      { class: "toolbar-row" },
      filterChips(onChange),
      thresholdSlider(onOptions),
      el("div", { class: "toolbar-end" }, sort, outputsMenu().element),
    ),
    el("div", { class: "toolbar-row quiet" }, said, cancel, timing),
    bar,
    failure,
  );

  when(["index", "sort", "query", "plus"], () => {
    fill(
      sort,
      el("option", { value: "" }, state.query || state.plus.size ? "nearest first" : "as indexed"),
      orders(state.index).map(([value, label]) => el("option", { value }, label)),
    );
    sort.value = state.sort;
  });
  when(["search", "groups", "index"], () => {
    const busy = ["waiting", "running"].includes(state.search?.state);
    if (said.textContent !== statusText(state)) said.textContent = statusText(state);
    timing.textContent = timingText(state);
    cancel.hidden = !busy;
    bar.hidden = !busy;
    const wrong =
      state.search?.state === "failed"
        ? state.search.error
        : state.search?.damage && `The query is damaged: ${state.search.damage}`;
    failure.hidden = !wrong;
    if (failure.textContent !== (wrong || "")) failure.textContent = wrong || "";
  });
  return element;
}
