// Cut a piece out of a film, its ends adjustable.

import { madeFile, save } from "../base/api.js";
import { button, el, icon } from "../base/elements.js";
import { attempt } from "../base/notices.js";

/** @returns {{element, setPart(start, end), part(): {start, end}}} */
export function cutForm(index, group) {
  const { duration, name } = group.best;
  const number = (label) => el("input", { type: "number", min: 0, max: duration, step: "any", "aria-label": label });
  const start = number("Cut from, seconds");
  const end = number("Cut to, seconds");
  const exact = el("input", { type: "checkbox" });
  const run = button([icon("scissors"), "Cut"], () => attempt(cut));
  const element = el(
    "div",
    { class: "cut row" },
    start,
    el("span", {}, "to"),
    end,
    el("span", {}, "s"),
    el(
      "label",
      {
        class: "check",
        title: "Encode anew, so that both ends are exact; else the cut begins at a key frame and keeps the quality.",
      },
      exact,
      el("span", {}, "exact ends"),
    ),
    run,
  );
  const part = () => ({ start: Number(start.value), end: Number(end.value) });

  async function cut() {
    run.disabled = true;
    try {
      const { blob, name: given } = await madeFile("/api/cuts", {
        index,
        item: group.item,
        ...part(),
        exact: exact.checked,
      });
      save(blob, given ?? name);
    } finally {
      run.disabled = false;
    }
  }

  return {
    element,
    part,
    setPart(from, to) {
      start.value = from.toFixed(2);
      end.value = to.toFixed(2);
    },
  };
}
