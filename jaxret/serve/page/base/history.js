// Searches as addresses: a link reproduces a search, and the browser's own back and forward go through them.

import * as api from "./api.js";
import { itemQuery, uploadQuery } from "./media.js";
import { change, state } from "./store.js";

export const FIRST = 200; // results of a search, until a person scrolls to their end
const files = new Map(); // upload id -> File, while the page is open

/** The present search as the address's parameters. */
export function toParameters(from = state) {
  const wanted = new URLSearchParams();
  const put = (name, value) => value && wanted.set(name, value);
  put("index", from.index?.id);
  const { query } = from;
  if (query) {
    wanted.set(query.source, query.id);
    if (query.at !== undefined) put("at", query.at.toFixed(3));
    if (query.start !== undefined) put("part", `${query.start.toFixed(3)},${query.end.toFixed(3)}`);
    if (query.region) put("region", query.region.map((share) => share.toFixed(4)).join(","));
  }
  for (const sign of ["plus", "minus"]) {
    for (const [item, { start, end }] of from[sign]) {
      wanted.append(sign, end > start ? `${start.toFixed(3)},${end.toFixed(3)},${item}` : item);
    }
  }
  put("options", from.options && JSON.stringify(from.options));
  put("where", from.conditions.length && JSON.stringify(from.conditions));
  put("sort", from.sort);
  if (from.k !== FIRST) put("k", String(from.k));
  return wanted;
}

/** The address of the present search. */
export const link = () => `${location.origin}/?${toParameters()}`;

/** Give the present step of the history the present search. */
export function amend() {
  keepFile();
  history.replaceState(null, "", `/?${toParameters()}`);
}

const keepFile = () => state.query?.file && files.set(state.query.id, state.query.file);

/** Keep the present search as a step of the history. */
export function remember() {
  const address = `/?${toParameters()}`;
  keepFile();
  if (address !== `${location.pathname}${location.search}`) history.pushState(null, "", address);
}

function numbers(text, many) {
  const read = text ? text.split(",").map(Number) : [];
  return read.length === many && read.every(Number.isFinite) ? read : null;
}

function parsed(text, otherwise) {
  try {
    return JSON.parse(text) ?? otherwise;
  } catch {
    return otherwise;
  }
}

async function queryOf(wanted, index) {
  const part = {};
  const at = numbers(wanted.get("at"), 1);
  const ends = numbers(wanted.get("part"), 2);
  const region = numbers(wanted.get("region"), 4);
  if (at) [part.at] = at;
  if (ends) [part.start, part.end] = ends;
  if (region) part.region = region;
  if (wanted.has("item")) return itemQuery(index.id, await api.item(index.id, wanted.get("item")), part);
  if (wanted.has("upload")) {
    const id = wanted.get("upload");
    const file = files.get(id);
    try {
      return uploadQuery(await api.upload(id), file, part);
    } catch (error) {
      if (!file)
        throw new api.Refusal(
          "The file of this search is no longer on the server: drop it here once more.",
          error.status,
        );
      return uploadQuery(await api.sendFile(file, () => {}), file, part);
    }
  }
  if (wanted.has("path")) return { source: "path", id: wanted.get("path"), name: wanted.get("path"), ...part };
  if (wanted.has("text")) return { source: "text", id: wanted.get("text") };
  return null;
}

/** Marked items by their names; of a film a part is marked, "start,end,item". */
async function marked(index, texts) {
  const known = texts.map(async (text) => {
    const part = /^([\d.]+),([\d.]+),(.+)$/.exec(text);
    const item = part ? part[3] : text;
    const { name } = await api.item(index.id, item);
    return [item, part ? { name, start: Number(part[1]), end: Number(part[2]) } : { name }];
  });
  return new Map(await Promise.all(known));
}

/** Make the page's state that of parameters; an index that is not there gives the first. */
export async function restore(wanted = new URLSearchParams(location.search)) {
  const index = state.indexes.find((one) => one.id === wanted.get("index")) ?? state.indexes[0];
  if (!index) return;
  const conditions = parsed(wanted.get("where"), []);
  change({
    index,
    conditions: Array.isArray(conditions) ? conditions : [],
    options: parsed(wanted.get("options"), null),
    sort: wanted.get("sort") ?? "",
    k: Math.round(Number(wanted.get("k"))) > 0 ? Math.round(Number(wanted.get("k"))) : FIRST,
    query: null,
    plus: new Map(),
    minus: new Map(),
  });
  change({
    query: await queryOf(wanted, index),
    plus: await marked(index, wanted.getAll("plus")),
    minus: await marked(index, wanted.getAll("minus")),
  });
}
