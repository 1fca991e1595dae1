// Where images and film of an item or an upload are.
//
// A query is {source: "upload"|"item"|"path"|"text", id, index, name, kind, width, height, duration, playable, file?},
// and what of it counts: {at} a frame, {start, end} a part, {region: [x, y, width, height]} a box in shares.

const of = (id) => encodeURIComponent(id);

function addresses(media, thumbnails, filmstrips) {
  return {
    media,
    thumbnail: (at, width) => `${thumbnails}?${new URLSearchParams({ at: (at ?? 0).toFixed(3), width })}`,
    filmstrip: (frames, width) => `${filmstrips}?${new URLSearchParams({ frames, width })}`,
  };
}

/** Of an item of an index. */
export function ofItem(index, item) {
  const name = `${of(index)}/${of(item)}`;
  return addresses(`/api/media/${name}`, `/api/thumbnails/${name}`, `/api/filmstrips/${name}`);
}

/** Of a query; null of words and of paths, which the page does not see. */
export function ofQuery(query) {
  if (query.source === "item") return ofItem(query.index, query.id);
  if (query.source !== "upload") return null;
  const base = `/api/uploads/${of(query.id)}`;
  return addresses(`${base}/media`, `${base}/thumbnail`, `${base}/filmstrip`);
}

/** An item of the index as a query. */
export function itemQuery(index, hit, part = {}) {
  const { item, name, kind, width, height, duration, playable } = hit;
  return { source: "item", id: item, index, name, kind, width, height, duration, playable, ...part };
}

/** What the server said of an upload as a query; the file is kept for a session and for when the server forgets it. */
export function uploadQuery(said, file, part = {}) {
  const { upload, name, kind, width, height, duration, playable } = said;
  return { source: "upload", id: upload, name, kind, width, height, duration, playable, file, ...part };
}

/** As the API takes it. */
export function queryRequest(query) {
  const { at, start, end, region } = query;
  const key = query.source === "text" ? "text" : query.source;
  const request = { [key]: query.id };
  if (at !== undefined) request.at = at;
  if (start !== undefined) Object.assign(request, { start, end });
  if (region) request.region = region;
  return request;
}

/** One line that tells a query from others. */
export function queryTitle(query) {
  return query.source === "text" ? `“${query.id}”` : query.name;
}
