// A slider for how near a result must be: by cosine where the search gave one (PAR), else by distance.

import { button, el, fill, freshId } from "../base/elements.js";
import { figure } from "../base/format.js";
import { change, state, when } from "../base/store.js";
import { measureOf, range } from "./groups.js";

const STEPS = 200;

/** @param {function(object): void} onOptions search again with these options */
export function thresholdSlider(onOptions) {
  const element = el("div", { class: "threshold" });
  const id = freshId("threshold");
  const input = el("input", { type: "range", id, min: 0, max: STEPS, step: 1, value: STEPS, on: { input: slide } });
  const name = el("label", { for: id });
  const value = el("output", { for: id });
  const par = button("PAR", usePar, {
    class: "button small",
    title: "Proximal-affinity re-ranking: keep what also points the same way",
  });
  let ends = null;
  let measure = "distance";

  const valueAt = (step) =>
    measure === "cosine"
      ? ends[0] + ((ends[1] - ends[0]) * (STEPS - step)) / STEPS
      : ends[0] + ((ends[1] - ends[0]) * step) / STEPS;

  function slide() {
    const all = Number(input.value) === STEPS;
    change({ threshold: all ? null : valueAt(Number(input.value)) });
  }

  function say() {
    const bound = state.threshold ?? (measure === "cosine" ? ends[0] : ends[1]);
    const text = measure === "cosine" ? `≥ ${figure(bound)}` : `≤ ${figure(bound)}`;
    value.textContent = text;
    input.setAttribute("aria-valuetext", `${measure} ${text}`);
  }

  /** PAR's class of options, where the index has it and the search did not use it. */
  function parClass() {
    const chosen = state.options?.class ?? state.index?.default_options?.class ?? state.index?.options[0]?.name;
    const kind = state.index?.options.find((one) => one.name === chosen);
    return kind?.fields.some((one) => one.name === "min_cosine") && state.query?.source !== "text" ? kind.name : null;
  }

  function usePar() {
    onOptions({ ...state.options, class: parClass(), min_cosine: -1 });
  }

  when(["hits"], () => {
    measure = measureOf(state.hits);
    ends = range(state.hits, measure);
    element.hidden = !ends || state.search?.browsing;
    if (element.hidden) return;
    if (state.threshold === null) input.value = STEPS;
    name.textContent = measure === "cosine" ? "Cosine" : "Distance";
    say();
    fill(element, name, input, value, measure === "distance" && parClass() && par);
  });
  when(["threshold"], () => ends && say());
  return element;
}
