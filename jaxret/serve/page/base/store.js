// What the page knows. Parts change it by `change` and hear of changes by `when`; none reaches into another.

export const state = {
  indexes: [],
  index: null, // one of `indexes`
  query: null, // see base/media.js
  queue: [], // of a folder of queries
  uploading: null, // {name, share} while a file is sent
  plus: new Map(), // item -> {name, start?, end?}: of a film a part
  minus: new Map(),
  options: null, // {class, ...} of values that differ from the default
  conditions: [], // filters, see results/conditions.js
  sort: "",
  k: 200,
  search: null, // {id, state, position, total, timings, error}
  hits: [], // loaded so far, in order; what is browsed is a hit without distance
  threshold: null, // the largest distance, or the least cosine, that is shown
  groups: [], // hits by item, those within the threshold
  chosen: null, // item of the group that is open
};

const listeners = [];

/** Call `listener` after any of the named parts changed. */
export function when(names, listener) {
  listeners.push([new Set(names), listener]);
}

export function change(patch) {
  Object.assign(state, patch);
  const changed = Object.keys(patch);
  for (const [names, listener] of listeners) {
    if (changed.some((name) => names.has(name))) listener(state);
  }
}

/** How an item is marked: "plus", "minus" or not at all. */
export const signOf = (item) => (state.plus.has(item) ? "plus" : state.minus.has(item) ? "minus" : "");

/** Whether there is a query that can be laid beside its hits; words cannot. */
export const canCompare = () => Boolean(state.query) && state.query.source !== "text" && !state.search?.browsing;
