// Where in a film the hits are, drawn as bars: the nearer the hit, the higher and the stronger.

import { colour } from "./theme.js";

const LEAST_SHARE = 0.012; // of the film's length: a single frame is seen, too

/** For each of `bins` even pieces of a film the closeness, 0.15 to 1, of its nearest hit; 0 where there is none. */
export function heat(hits, duration, bins) {
  const bars = new Float32Array(bins);
  if (!(duration > 0)) return bars;
  for (const hit of hits) {
    const half = Math.max(hit.end - hit.start, duration * LEAST_SHARE) / 2;
    const middle = (hit.start + hit.end) / 2;
    const first = Math.max(0, Math.floor(((middle - half) / duration) * bins));
    const last = Math.min(bins - 1, Math.ceil(((middle + half) / duration) * bins) - 1);
    const strength = 0.15 + 0.85 * (hit.closeness ?? 1);
    for (let bin = first; bin <= last; bin += 1) bars[bin] = Math.max(bars[bin], strength);
  }
  return bars;
}

/** Draw the bars at a canvas's own size. */
export function drawHeat(canvas, hits, duration) {
  const scale = Math.min(devicePixelRatio || 1, 2);
  const width = Math.max(1, Math.round(canvas.clientWidth * scale));
  const height = Math.max(1, Math.round(canvas.clientHeight * scale));
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, width, height);
  const bins = Math.min(width, 160);
  const bars = heat(hits, duration, bins);
  pen.fillStyle = colour("heat");
  for (let bin = 0; bin < bins; bin += 1) {
    if (!bars[bin]) continue;
    const left = Math.floor((bin * width) / bins);
    const right = Math.floor(((bin + 1) * width) / bins);
    pen.globalAlpha = 0.45 + 0.55 * bars[bin];
    pen.fillRect(left, height * (1 - bars[bin]), right - left, height * bars[bin]);
  }
  pen.globalAlpha = 1;
}

/** The hit nearest in time to a second of the film. */
export function hitAt(hits, second) {
  const away = (hit) => Math.max(hit.start - second, second - hit.end, 0);
  return hits.reduce((best, hit) => (best === null || away(hit) < away(best) ? hit : best), null);
}
