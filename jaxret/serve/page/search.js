// One search at a time: what is asked for, where it stands, and its results as they are scrolled to.

import * as api from "./base/api.js";
import { amend } from "./base/history.js";
import { attempt } from "./base/notices.js";
import { queryRequest, uploadQuery } from "./base/media.js";
import { change, state } from "./base/store.js";
import { whereText } from "./base/conditions.js";

const PAGE = 100;
const MOST_AT_ONCE = 1000; // that the server hands out
const MOST = 10_000; // that it finds

let following = null;
let running = null; // an AbortController of the requests of the latest search
let loading = false;

/** The search that the page now describes, as the API takes it. */
function searchRequest() {
  const request = { index: state.index.id, k: state.k };
  if (state.query) request.query = queryRequest(state.query);
  for (const sign of ["plus", "minus"]) {
    if (state[sign].size)
      request[sign] = [...state[sign]].map(([item, { start, end }]) => (end > start ? { item, start, end } : item));
  }
  if (state.options) request.options = state.options;
  const where = whereText(state.conditions);
  if (where) request.where = where;
  if (state.sort) request.sort = state.sort;
  return request;
}

/** Whether there is something to look for, rather than the index to leaf through. */
export const isSearching = () => Boolean(state.query || state.plus.size);

function forget() {
  following?.();
  running?.abort();
  if (["waiting", "running"].includes(state.search?.state) && state.search.id)
    api.cancelSearch(state.search.id).catch(() => {});
  following = null;
  loading = false;
  running = new AbortController();
  return running.signal;
}

/** Start anew with what the page describes. */
export async function start() {
  const signal = forget();
  if (!isSearching()) return browse();
  change({ hits: [], threshold: null, chosen: null, search: { id: null, state: "waiting", total: 0 } });
  await submit(signal);
  return undefined;
}

async function submit(signal) {
  try {
    const { search } = await api.startSearch(searchRequest(), signal);
    if (signal.aborted) return void api.cancelSearch(search).catch(() => {});
    following = api.follow(`/api/searches/${encodeURIComponent(search)}`, async (said) => {
      if (signal.aborted) return;
      if (said.state === "failed" && (await sentAgain())) return void submit(signal);
      change({ search: { ...said, id: search } });
      if (said.state === "done") more();
    });
  } catch (error) {
    if (error.name === "AbortError") return;
    if (await sentAgain()) return void submit(signal);
    change({ search: { id: null, state: "failed", error: error.message, field: error.field, total: 0 } });
  }
}

/** The server keeps uploads for a while only: one that is gone is sent once more, if this page still has the file. */
async function sentAgain() {
  const { source, id, file, at, start, end, region } = state.query ?? {};
  if (source !== "upload" || !file) return false;
  const gone = await api.upload(id).then(
    () => false,
    (error) => error.status === 404,
  );
  const said = gone && (await attempt(() => api.sendFile(file, () => {})));
  if (!said) return false;
  change({ query: uploadQuery(said, file, { at, start, end, region }) });
  amend();
  return true;
}

/** Show that a search comes, before it is known which. */
export function announce() {
  forget();
  change({ search: { id: null, state: "waiting", total: 0 } });
}

export function cancel() {
  forget();
  change({ search: { id: null, state: "cancelled", total: 0 } });
}

function browse() {
  change({
    hits: [],
    threshold: null,
    chosen: null,
    search: { id: null, state: "done", browsing: true, total: Infinity },
  });
  return more();
}

/** Load the next results; where the search ended at k and the index holds more, search for more. */
export async function more() {
  const { search, hits } = state;
  if (loading || search?.state !== "done") return;
  if (hits.length >= search.total) return void widen();
  loading = true;
  const { signal } = running;
  const page = await attempt(() =>
    search.browsing
      ? api.items(
          state.index.id,
          { where: whereText(state.conditions), sort: state.sort, offset: hits.length, limit: PAGE },
          signal,
        )
      : api.searchState(search.id, hits.length, PAGE),
  );
  if (signal.aborted || search !== state.search) return;
  loading = false;
  if (!page) return void change({ search: { ...search, total: hits.length } });
  const found = page.items ?? page.hits;
  const total = found.length ? page.total : hits.length;
  change({ hits: [...hits, ...found], search: { ...search, timings: page.timings ?? search.timings, total } });
}

/** Search for three times as many; what was loaded is loaded anew, since more candidates can change the order. */
async function widen() {
  const { search, hits, k } = state;
  const most = Math.min(MOST, state.index.items);
  if (search.browsing || k >= most || new Set(hits.map((hit) => hit.item)).size < k) return;
  loading = true;
  const { signal } = running;
  state.k = Math.min(k * 3, most);
  const wider = await attempt(() => api.startSearch(searchRequest(), signal));
  if (!wider) return;
  following = api.follow(`/api/searches/${encodeURIComponent(wider.search)}`, async (said) => {
    if (signal.aborted || said.state !== "done") return;
    const page = await attempt(() => api.searchState(wider.search, 0, Math.min(MOST_AT_ONCE, hits.length + PAGE)));
    loading = false;
    if (page && !signal.aborted) change({ hits: page.hits, search: { ...said, id: wider.search } });
  });
}
