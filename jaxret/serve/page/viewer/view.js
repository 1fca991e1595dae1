// The chosen result: played from its hit, with all its places, and what can be made of it.

import { boxOver } from "../base/boxes.js";
import { button, el, fill, icon, iconButton } from "../base/elements.js";
import { clock, count, figure, span, words } from "../base/format.js";
import { itemQuery, ofItem } from "../base/media.js";
import { canCompare, change, signOf, state } from "../base/store.js";
import { timeline } from "../base/timeline.js";
import { cutForm } from "./cut.js";
import { player } from "../base/player.js";

const place = document.getElementById("viewer");

/**
 * @param {object} hooks {onQuery(query), onMark(group, sign), onCompare(group, hit), onStep(by), onClosed()}
 */
export function viewer({ onQuery, onMark, onCompare, onStep, onClosed }) {
  let shown = null; // {group, hit, screen, line}

  function open(group, hit = group.best) {
    if (shown?.group.item === group.item && !place.hidden) {
      shown.group = group;
      return goTo(hit);
    }
    shown?.screen.stop();
    const media = ofItem(state.index.id, group.item);
    const film = hit.kind === "video";
    const screen = player(hit, media, { onTime: (second) => shown?.line?.setHead(second) });
    const cut = film ? cutForm(state.index.id, group) : null;
    const strip = { duration: hit.duration, strip: media.filmstrip(12, 80), name: hit.name };
    const line = film
      ? timeline(strip, { onSeek: (second) => screen.seek(second), onPart: (start, end) => cut.setPart(start, end) })
      : null;
    shown = { group, hit, screen, line, cut };
    draw();
    place.hidden = false;
    document.body.classList.add("viewing");
    change({ chosen: group.item });
    line?.setHits(group.hits);
    return goTo(hit);
  }

  function goTo(hit) {
    shown.hit = hit;
    if (!shown.line) return;
    const start = hit.start ?? 0;
    const end = hit.end > start ? hit.end : hit.start === undefined ? hit.duration : Math.min(start + 2, hit.duration);
    shown.line.setPart(start, end);
    shown.cut.setPart(start, end);
    shown.screen.seek(hit.moment ?? start);
    shown.screen.play();
    place
      .querySelectorAll(".place")
      .forEach((one, number) => one.setAttribute("aria-current", String(shown.group.hits[number] === hit)));
  }

  function places(group) {
    if (!(group.hits.length > 1 || Number.isFinite(group.best.distance)) || group.best.kind !== "video") return null;
    return el(
      "section",
      {},
      el("h3", {}, count(group.hits.length, "place")),
      el(
        "ol",
        { class: "places" },
        group.hits.map((hit) =>
          el(
            "li",
            {},
            button(
              [
                el("span", { class: "place-time" }, span(hit.start, hit.end)),
                hit.backwards && el("span", {}, "↩ backwards"),
                el("span", { class: "meter", style: { "--fill": `${Math.round(100 * (hit.closeness ?? 1))}%` } }),
                el("span", {}, figure(hit.cosine ?? hit.distance)),
              ],
              () => goTo(hit),
              { class: "place" },
            ),
          ),
        ),
      ),
    );
  }

  function actions(group) {
    const { index } = state;
    const film = group.best.kind === "video";
    const here = () => Math.min(shown.screen.time(), Math.max(0, group.best.duration - 0.001));
    const sign = signOf(group.item);
    return el(
      "div",
      { class: "row actions" },
      button([icon("similar"), "Similar to this"], () => onQuery(itemQuery(index.id, group.best)), {
        class: "button primary",
      }),
      film &&
        button("Similar to this part", () => {
          const { start, end } = shown.cut.part();
          onQuery(itemQuery(index.id, group.best, { start, end }));
        }),
      film &&
        index.query_kinds.includes("image") &&
        button("Search with this frame", () => onQuery(itemQuery(index.id, group.best, { at: here() }))),
      canCompare() && button([icon("compare"), "Compare"], () => onCompare(group, shown.hit)),
      button([icon("plus"), "More like this"], () => mark("plus"), { "aria-pressed": String(sign === "plus") }),
      button([icon("minus"), "Less like this"], () => mark("minus"), { "aria-pressed": String(sign === "minus") }),
    );
  }

  function mark(sign) {
    onMark(shown.group, sign, shown.hit);
    const before = place.querySelector(".actions");
    before.replaceWith(actions(shown.group));
  }

  function facts({ best }) {
    const rows = {
      folder: best.folder,
      kind: best.kind,
      label: best.label,
      duration: best.kind === "video" ? clock(best.duration) : null,
      size: best.width ? `${best.width} × ${best.height}` : null,
      ...best.columns,
    };
    const given = Object.entries(rows).filter(([, value]) => value !== null && value !== undefined && value !== "");
    return el(
      "dl",
      { class: "facts" },
      given.flatMap(([name, value]) => [el("dt", {}, words(name)), el("dd", {}, String(value))]),
    );
  }

  function draw() {
    const { group, screen, line, cut } = shown;
    const { best } = group;
    const head = el(
      "div",
      { class: "viewer-head" },
      el("h2", { title: best.name }, best.name),
      iconButton("back", "Previous result", () => onStep(-1)),
      iconButton("forward", "Next result", () => onStep(1)),
      iconButton("close", "Close", close, { "aria-keyshortcuts": "Escape" }),
    );
    const note = best.missing
      ? el("p", { class: "failure" }, "The file is no longer where it was when it was indexed.")
      : null;
    const stage = el("div", { class: "stage" }, screen.element, best.box && boxOver(best.box, best.width, best.height));
    fill(place, head, stage, note, line?.element, places(group), actions(group), cut?.element, facts(group));
  }

  function close() {
    if (place.hidden) return;
    shown.screen.stop();
    shown = null;
    place.hidden = true;
    document.body.classList.remove("viewing");
    fill(place);
    change({ chosen: null });
    onClosed();
  }

  /** Go to a place in the film that was hit, later or earlier in time. */
  function goBy(by) {
    const order = [...shown.group.hits].sort((one, other) => one.start - other.start);
    goTo(order[(order.indexOf(shown.hit) + by + order.length) % order.length]);
  }

  return { open, close, place: goBy, isOpen: () => !place.hidden, toggle: () => shown?.screen.toggle() };
}
