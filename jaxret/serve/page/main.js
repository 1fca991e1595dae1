// Puts the page together: what each part tells of is handed to the others here.

import * as api from "./base/api.js";
import { FIRST, remember, restore } from "./base/history.js";
import { itemQuery, queryTitle } from "./base/media.js";
import { attempt, notice } from "./base/notices.js";
import { note } from "./base/session.js";
import { change, state } from "./base/store.js";
import { applyTheme } from "./base/theme.js";
import { compare } from "./compare/view.js";
import { header } from "./header.js";
import { openIndexing } from "./indexing.js";
import { openKeys } from "./keyboard.js";
import { listenForFiles } from "./query/intake.js";
import { queryPanel } from "./query/panel.js";
import { resultsView } from "./results/view.js";
import * as search from "./search.js";
import { bindShortcuts } from "./shortcuts.js";
import { viewer } from "./viewer/view.js";

applyTheme();

const onQuery = (query) => {
  change({ query, plus: new Map(), minus: new Map(), sort: "", k: FIRST });
  return onSearch();
};

function onSearch() {
  view.close();
  remember();
  if (search.isSearching()) note(searchTitle());
  return search.start();
}

/** The present search in the list of those made. */
function searchTitle() {
  if (state.query) return queryTitle(state.query);
  return `more like ${[...state.plus.values()].map(({ name }) => name).join(", ")}`;
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

bindShortcuts({
  cards,
  view,
  onOpen,
  onMark,
  onSimilar,
  onCompare,
  onSearchAgain: () => (search.isSearching() ? void onSearch() : false),
});

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
