// One result in the grid: its best frame, its box or the heat of its film, and what can be done with it.

import { boxOver } from "../base/boxes.js";
import { el, iconButton } from "../base/elements.js";
import { clock, count, figure, span } from "../base/format.js";
import { drawHeat, hitAt } from "../base/heat.js";
import { ofItem } from "../base/media.js";

/** What a result is, in one sentence for those who do not see it. */
function groupTitle({ best, hits }) {
  const parts = [best.name, best.kind];
  if (best.label) parts.push(`label ${best.label}`);
  if (Number.isFinite(best.distance)) parts.push(`distance ${figure(best.distance)}`);
  if (best.kind === "video" && Number.isFinite(best.distance)) parts.push(`best at ${span(best.start, best.end)}`);
  if (hits.length > 1) parts.push(count(hits.length, "place"));
  if (best.backwards) parts.push("backwards");
  if (best.missing) parts.push("file missing");
  return parts.join(", ");
}

/** The second that shows best what was found; of what is only browsed, the middle. */
const middle = (hit) => hit.moment ?? (Number.isFinite(hit.start) ? (hit.start + hit.end) / 2 : hit.duration / 2);

/**
 * @param {object} group of results/groups.js
 * @param {number} place in the list, from 0
 * @param {object} hooks {index, sign, onOpen(group, hit), onMark(group, sign), onSimilar(group), onCompare(group)}
 * @returns {{element, load(): void}} `load` fetches the image, once the card stands still.
 */
export function card(group, place, { index, sign, canCompare, onOpen, onMark, onSimilar, onCompare }) {
  const { best, hits } = group;
  const media = ofItem(index, group.item);
  const film = best.kind === "video";
  const image = el("img", { alt: "", decoding: "async", draggable: "false" });
  const open = el(
    "button",
    {
      type: "button",
      class: "card-open",
      tabindex: "-1",
      "aria-label": `${place + 1}. ${groupTitle(group)}`,
      on: { click: () => onOpen(group, best) },
    },
    image,
    best.box && boxOver(best.box, best.width, best.height),
    film &&
      el(
        "span",
        { class: "card-time" },
        Number.isFinite(best.distance) ? span(best.start, best.end) : clock(best.duration, 0),
      ),
    best.backwards && el("span", { class: "card-flag" }, "↩ backwards"),
    best.missing && el("span", { class: "card-flag" }, "file missing"),
  );

  const canvas =
    film &&
    hits.length &&
    Number.isFinite(best.distance) &&
    el("canvas", {
      class: "card-heat",
      "aria-hidden": "true",
      on: {
        click: (event) => {
          const area = canvas.getBoundingClientRect();
          onOpen(group, hitAt(hits, ((event.clientX - area.left) / area.width) * best.duration));
        },
      },
    });
  const score =
    Number.isFinite(best.distance) &&
    el(
      "span",
      { class: "score", title: best.metric ?? "distance" },
      el("span", { class: "meter", style: { "--fill": `${Math.round(100 * (best.closeness ?? 1))}%` } }),
      figure(best.cosine ?? best.distance),
    );
  const toggle = (name, label, key) =>
    iconButton(name, label, () => onMark(group, name), {
      tabindex: "-1",
      "aria-pressed": String(sign === name),
      "aria-keyshortcuts": key,
    });
  const element = el(
    "article",
    { class: sign ? `card ${sign}` : "card", role: "listitem", "aria-posinset": place + 1 },
    open,
    canvas || el("div", { class: "card-heat" }),
    el("div", { class: "card-text" }, el("span", { class: "card-name", title: best.name }, best.name), score),
    el(
      "div",
      { class: "card-foot" },
      el(
        "span",
        { class: "card-label" },
        [best.label, hits.length > 1 && count(hits.length, "place")].filter(Boolean).join(" · "),
      ),
      el(
        "span",
        { class: "card-tools" },
        toggle("plus", "More like this", "+"),
        toggle("minus", "Less like this", "-"),
        iconButton("similar", "Similar to this", () => onSimilar(group), { tabindex: "-1", "aria-keyshortcuts": "s" }),
        canCompare &&
          iconButton("compare", "Compare with the query", () => onCompare(group), {
            tabindex: "-1",
            "aria-keyshortcuts": "c",
          }),
      ),
    ),
  );
  return {
    element,
    open,
    load() {
      if (!image.src && !best.missing) image.src = media.thumbnail(middle(best), 320);
      if (canvas) drawHeat(canvas, hits, best.duration);
    },
  };
}
