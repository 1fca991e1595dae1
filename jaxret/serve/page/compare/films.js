// Two films along their alignment: played in step, with the path drawn over the matrix of distances.

import { el, fill, icon, iconButton } from "../base/elements.js";
import { clock } from "../base/format.js";
import { player } from "../base/player.js";
import { caption } from "./caption.js";
import { matrix } from "./matrix.js";
import { pacer, pathTimes } from "./pace.js";

export function alignedFilms(two, said) {
  const path = pathTimes(said);
  const names = { query: caption("Query"), item: caption(two.hit.name) };
  const query = two.queryMedia ? player(two.query, two.queryMedia, { controls: false }) : null;
  const item = player(two.hit, two.itemMedia, { controls: false });
  const chart = matrix(said, (step) => pace.seek(step));
  const slider = el("input", {
    type: "range",
    min: 0,
    max: Math.max(1, path.query.length - 1),
    step: "any",
    value: 0,
    "aria-label": "Step of the alignment",
    on: { input: () => pace.seek(Number(slider.value)) },
  });
  const toggle = iconButton("play", "Play in step", () => pace.toggle(), {
    class: "icon-button primary",
    "aria-keyshortcuts": "Space",
  });
  const words = el("p", { class: "hint" }, sentence(said, path));
  let told = () => {};

  const pace = pacer(path, query, item, {
    onStep(step, times) {
      slider.value = step;
      slider.setAttribute("aria-valuetext", `query ${clock(times.query)}, result ${clock(times.item)}`);
      names.query.at(times.query);
      names.item.at(times.item);
      chart.setStep(step);
      told(times);
    },
    onPlaying(playing) {
      fill(toggle, icon(playing ? "pause" : "play"));
      toggle.setAttribute("aria-label", playing ? "Pause" : "Play in step");
    },
  });

  const aside = el("div", {}, el("h3", {}, "How they run together"), words, legend());
  const element = el(
    "div",
    { class: "compare-films" },
    el(
      "div",
      { class: "compare-pair" },
      el(
        "figure",
        {},
        names.query.element,
        query?.element ?? el("p", { class: "hint" }, "The query has no film to show."),
      ),
      el("figure", {}, names.item.element, item.element),
    ),
    el("div", { class: "compare-controls" }, toggle, slider),
    el("div", { class: "compare-matrix" }, chart.element, aside),
  );
  return {
    element,
    aside,
    times: () => pace.times(),
    onTimes: (listener) => (told = listener),
    begin: () => pace.seek(0),
    stop() {
      pace.stop();
      query?.stop();
      item.stop();
    },
  };
}

function sentence({ backwards, path }, { query, item }) {
  const ends = (times) => `${clock(Math.min(...times))} to ${clock(Math.max(...times))}`;
  const turned = backwards ? " One of the two is read backwards: as one runs on, the other runs back." : "";
  return `${path.length} steps pair the query from ${ends(query)} with the result from ${ends(item)}.${turned}`;
}

function legend() {
  return el(
    "ul",
    { class: "legend" },
    el("li", {}, el("span", { class: "swatch path" }), "the path that pairs the two films"),
    el("li", {}, el("span", { class: "swatch near" }), "near: little distance"),
    el("li", {}, el("span", { class: "swatch far" }), "far"),
  );
}
