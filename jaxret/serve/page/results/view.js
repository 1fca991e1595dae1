// The middle of the page: the toolbar and the grid of results.

import { el, fill } from "../base/elements.js";
import { canCompare, change, signOf, state, when } from "../base/store.js";
import { card } from "./card.js";
import { grid } from "./grid.js";
import { grouped } from "./groups.js";
import { toolbar } from "./toolbar.js";

const place = document.getElementById("results");

/** Why there are no results. */
function whyNothing() {
  if (!state.index.items) return "This index is empty: index a folder first.";
  return state.conditions.length ? "Nothing passes these filters." : "Nothing was found.";
}

/**
 * @param {object} hooks {onChange, onOptions, onCancel, onMore, onOpen(group, hit), onMark(group, sign),
 *   onSimilar(group), onCompare(group)}
 */
export function resultsView(hooks) {
  const cards = grid({
    make: (group, number) =>
      card(group, number, { ...hooks, index: state.index.id, sign: signOf(group.item), canCompare: canCompare() }),
    onEnd: hooks.onMore,
  });
  const empty = el("div", { class: "empty", hidden: true });
  fill(place, toolbar(hooks), empty, cards.element);

  when(["hits", "threshold"], () => change({ groups: grouped(state.hits, state.threshold) }));
  when(["groups", "plus", "minus", "chosen"], () => {
    cards.show(
      state.groups,
      (group) =>
        `${signOf(group.item)}${group.hits.length}${group.best.closeness}${state.chosen === group.item}${canCompare()}`,
    );
    place.classList.toggle("busy", ["waiting", "running"].includes(state.search?.state));
  });
  when(["search"], () => {
    place.classList.toggle("busy", ["waiting", "running"].includes(state.search?.state));
    if (state.search?.state === "waiting" && !state.hits.length) cards.top();
    const none = state.search?.state === "done" && state.search.total === 0;
    empty.hidden = !none;
    fill(empty, none && el("p", {}, whyNothing()));
  });
  return cards;
}
