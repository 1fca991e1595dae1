// Hits by what was found: a film that is hit in several places is one result.

/** Cosine where the search gave one, else distance. */
export const measureOf = (hits) =>
  hits.length && hits.every((hit) => Number.isFinite(hit.cosine)) ? "cosine" : "distance";

/** Whether a hit is as near as a threshold wants it. */
export function passes(hit, threshold, measure) {
  if (threshold === null || hit[measure] === null || hit[measure] === undefined) return true;
  return measure === "cosine" ? hit.cosine >= threshold : hit.distance <= threshold;
}

/** Least and greatest of a measure. */
export function range(hits, measure) {
  let low = Infinity;
  let high = -Infinity;
  for (const hit of hits) {
    if (!Number.isFinite(hit[measure])) continue;
    low = Math.min(low, hit[measure]);
    high = Math.max(high, hit[measure]);
  }
  return low <= high ? [low, high] : null;
}

/**
 * Groups in the order of their first hit: {item, best, hits, closest}. `closeness` of a hit is 1 for the nearest of all
 * results and 0 for the farthest.
 */
export function grouped(hits, threshold) {
  const measure = measureOf(hits);
  const ends = range(hits, measure);
  const groups = new Map();
  for (const hit of hits) {
    if (!passes(hit, threshold, measure)) continue;
    hit.closeness = closeness(hit[measure], ends, measure);
    const group = groups.get(hit.item);
    if (group) group.hits.push(hit);
    else groups.set(hit.item, { item: hit.item, best: hit, hits: [hit] });
  }
  return [...groups.values()];
}

function closeness(value, ends, measure) {
  if (!ends || !Number.isFinite(value)) return null;
  const [low, high] = ends;
  if (high === low) return 1;
  return measure === "cosine" ? (value - low) / (high - low) : (high - value) / (high - low);
}
