// The query as it is seen: an image and its region, a film and its part, or one of its frames.

import { button, el, fill } from "../base/elements.js";
import { clock, span } from "../base/format.js";
import { ofQuery } from "../base/media.js";
import { timeline } from "../base/timeline.js";
import { player } from "../base/player.js";
import { regionMarker } from "./region.js";

/**
 * @param {object} query of an upload or an item
 * @param {object} index that is searched
 * @param {function(object): void} onPart told what of the query shall count: {} all, {at}, {start, end}, with {region}
 */
export function preview(query, index, onPart) {
  const element = el("div", { class: "preview" });
  const media = ofQuery(query);
  const regions = index.query_kinds.includes("region");
  let mode = query.start !== undefined ? "part" : query.at !== undefined ? "frame" : "whole";
  let part = { at: query.at, start: query.start, end: query.end, region: query.region };

  const tell = (patch) => {
    part = { ...part, ...patch };
    onPart(Object.fromEntries(Object.entries(part).filter(([, value]) => value !== undefined && value !== null)));
    words();
  };

  const said = el("p", { class: "preview-part", "aria-live": "polite" });
  function words() {
    const frame = part.at !== undefined ? `frame at ${clock(part.at)}` : "";
    const piece = part.start !== undefined ? `part ${span(part.start, part.end)}` : "";
    const region = part.region
      ? `region of ${Math.round(100 * part.region[2])} × ${Math.round(100 * part.region[3])} %`
      : "";
    said.textContent = [frame, piece, region].filter(Boolean).join(", ") || "the whole of it";
  }

  function still(at) {
    const address = media.thumbnail(at, 640);
    const alt = query.kind === "video" ? `Frame of ${query.name} at ${clock(at)}` : query.name;
    if (!regions) return [el("img", { class: "preview-still", src: address, alt })];
    const marker = regionMarker({ address, alt, ratio: query.width / query.height }, part.region ?? null, (region) => {
      tell({ region: region ?? undefined });
      tools.lastChild.hidden = !region;
    });
    const tools = el(
      "div",
      { class: "row" },
      button("Mark a region", marker.begin, { class: "button small" }),
      button("Remove it", marker.clear, { class: "button small", hidden: !part.region }),
    );
    return [marker.element, el("p", { class: "hint" }, "Draw a box around what shall be found."), tools];
  }

  function film() {
    const strip = { duration: query.duration, strip: media.filmstrip(12, 80), name: query.name };
    if (mode === "frame") {
      const line = timeline(strip, {
        onFrame: (at) => {
          tell({ at, region: undefined });
          fill(shown, still(at));
        },
      });
      line.setFrame(part.at ?? 0);
      const shown = el("div", {}, still(part.at ?? 0));
      return [shown, line.element];
    }
    let line = null;
    const screen = player(query, media, { preload: "metadata", onTime: (second) => line?.setHead(second) });
    line = timeline(strip, {
      onPart: mode === "part" ? (start, end) => tell({ start, end }) : undefined,
      onSeek: (second) => screen.seek(second),
    });
    if (mode === "part") line.setPart(part.start ?? 0, part.end ?? query.duration);
    if (query.width) screen.element.style.setProperty("aspect-ratio", `${query.width} / ${query.height}`);
    return [screen.element, line.element];
  }

  function choose(next) {
    mode = next;
    if (mode === "whole") tell({ at: undefined, start: undefined, end: undefined, region: undefined });
    if (mode === "part")
      tell({ at: undefined, region: undefined, start: part.start ?? 0, end: part.end ?? query.duration });
    if (mode === "frame") tell({ start: undefined, end: undefined, at: part.at ?? 0 });
    draw();
  }

  function modes() {
    const names = { whole: "Whole film", part: "Part", frame: "One frame" };
    return el(
      "div",
      { class: "segments", role: "group", "aria-label": "What of the film to search with" },
      Object.entries(names).map(([name, label]) =>
        button(label, () => choose(name), { class: "segment", "aria-pressed": String(mode === name) }),
      ),
    );
  }

  function draw() {
    words();
    const body = query.kind === "video" ? [modes(), film()].flat() : still(0);
    fill(element, body, said);
  }

  draw();
  return element;
}
