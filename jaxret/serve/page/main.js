// Puts the page together: what each part tells of is handed to the others here.

import * as api from "./base/api.js";
import { FIRST, remember, restore } from "./base/history.js";
import { itemQuery, queryTitle } from "./base/media.js";
import { attempt, notice } from "./base/notices.js";
import { note } from "./base/session.js";
import { canCompare, change, state } from "./base/store.js";
import { applyTheme } from "./base/theme.js";
import { compare } from "./compare/view.js";
import { header } from "./header.js";
import { openIndexing } from "./indexing.js";
import { bind, listenForKeys, openKeys } from "./keyboard.js";
import { listenForFiles } from "./query/intake.js";
import { queryPanel } from "./query/panel.js";
import { resultsView } from "./results/view.js";
import * as search from "./search.js";
import { viewer } from "./viewer/view.js";

applyTheme();

const onQuery = (query) => {
  change({ query, plus: new Map(), minus: new Map(), sort: "", k: FIRST });
  return onSearch();
};

function onSearch() {
  view.close();
  remember();
  if (search.isSearching())
    note(
      state.query
        ? queryTitle(state.query)
        : `more like ${[...state.plus.values()].map(({ name }) => name).join(", ")}`,
    );
  return search.start();
}

function onMark(group, sign, hit = group.best) {
  const marked = { plus: new Map(state.plus), minus: new Map(state.minus) };
  const had = marked[sign].delete(group.item);
  marked[sign === "plus" ? "minus" : "plus"].delete(group.item);
  const { name, start, end } = hit;
  if (!had) marked[sign].set(group.item, end > start ? { name, start, end } : { name });
  change(marked);
}

function onOptions(options) {
  change({ options });
  return onSearch();
}

async function onParameters(parameters) {
  await attempt(() => restore(parameters));
  return onSearch();
}

function onIndex(id) {
  const index = state.indexes.find((one) => one.id === id);
  const stays = state.query && state.query.source !== "item";
  change({
    index,
    query: stays ? state.query : null,
    plus: new Map(),
    minus: new Map(),
    options: null,
    conditions: [],
    sort: "",
  });
  return onSearch();
}

async function onIndexed(job) {
  const indexes = await attempt(api.indexes);
  if (!indexes) return;
  change({ indexes, index: indexes.find((one) => one.id === (job.index ?? state.index?.id)) ?? indexes[0] ?? null });
  if (!search.isSearching()) search.start();
}

const onSimilar = (group) => onQuery(itemQuery(state.index.id, group.best));
const onCompare = (group, hit) => compare(group, hit);
const onOpen = (group, hit) => view.open(group, hit);

const view = viewer({
  onQuery,
  onMark,
  onCompare,
  onStep: (by) => step(by),
  onClosed: () => cards.focus(cards.place()),
});
header({
  onIndex,
  onParameters,
  onKeys: openKeys,
  onIndexing: () => openIndexing(onIndexed),
  onHome: () => onQuery(null),
});
queryPanel({ onQuery, onSearch });
const cards = resultsView({
  onChange: onSearch,
  onOptions,
  onCancel: search.cancel,
  onMore: search.more,
  onOpen,
  onMark,
  onSimilar,
  onCompare,
});
listenForFiles(onQuery);

/** Open the result that lies `by` places on. */
function step(by) {
  const place = cards.place() + by;
  const group = cards.groups()[place];
  if (!group) return;
  cards.focus(place);
  onOpen(group, group.best);
}

const current = (work) => () =>
  cards.current() && (cards.hasFocus() || view.isOpen()) ? void work(cards.current()) : false;
const move = (by) => () => {
  if (!cards.size()) return false;
  cards.focus(cards.hasFocus() ? cards.place() + by() : cards.place());
  if (view.isOpen() && cards.current()) onOpen(cards.current(), cards.current().best);
  return undefined;
};
const press = (selector) => () => document.querySelector(selector)?.click();

bind(
  ["ArrowLeft"],
  "",
  move(() => -1),
);
bind(
  ["ArrowRight"],
  "",
  move(() => 1),
);
bind(
  ["ArrowUp"],
  "",
  move(() => -cards.columns()),
);
bind(
  ["ArrowDown", "ArrowLeft", "ArrowUp", "ArrowRight"],
  "Go through the results",
  move(() => cards.columns()),
);
bind(["Home"], "First result", () => cards.focus(0));
bind(["End"], "Last result that is loaded", () => cards.focus(cards.size() - 1));
bind(
  ["Enter"],
  "Open the result and play from the hit",
  current((group) => onOpen(group, group.best)),
);
bind(
  [" "],
  "Play or pause",
  current((group) => (view.isOpen() ? view.toggle() : onOpen(group, group.best))),
);
bind([","], "", () => (view.isOpen() ? view.place(-1) : false));
bind([".", ","], "Next place in the film, or the one before", () => (view.isOpen() ? view.place(1) : false));
bind(
  ["+", "="],
  "More like this",
  current((group) => onMark(group, "plus")),
);
bind(
  ["-"],
  "Less like this",
  current((group) => onMark(group, "minus")),
);
bind(["r"], "Search again, refined", () => (search.isSearching() ? void onSearch() : false));
bind(["s"], "Similar to this", current(onSimilar));
bind(
  ["c"],
  "Compare with the query",
  current((group) => canCompare() && onCompare(group, group.best)),
);
bind(["u"], "Choose files", press("#choose-files"));
bind(["/"], "Search with words", () => document.getElementById("words")?.focus() ?? false);
bind(["f"], "Add a filter", press('[aria-keyshortcuts="f"]'));
bind(["x"], "Export the results, or copy the link", press('[aria-keyshortcuts="x"]'));
bind(["["], "Back to the search before", () => history.back());
bind(["]"], "Forward to the search after", () => history.forward());
bind(["h"], "Session: save, load, searches made", press('[aria-keyshortcuts="h"]'));
bind(["t"], "Light or dark", press('[aria-keyshortcuts="t"]'));
bind(["Escape"], "Close", () => (view.isOpen() ? void view.close() : false));
bind(["?"], "These keys", () => openKeys());
listenForKeys();

addEventListener("popstate", async () => {
  view.close();
  search.announce();
  await attempt(() => restore());
  search.start();
});

const indexes = await attempt(api.indexes);
if (indexes) {
  change({ indexes });
  if (!indexes.length) notice("There is no index here yet: index a folder first.");
  await attempt(() => restore());
  if (state.index) search.start();
}
