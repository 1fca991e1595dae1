// Filters as chips: each is a condition, added by a small form of its column's kind.

import { el, fill, icon, iconButton } from "../base/elements.js";
import { change, state, when } from "../base/store.js";
import { menu } from "../base/menu.js";
import { conditionTitle } from "../base/conditions.js";
import { conditionForm } from "./condition_form.js";

/** What can be filtered by: what every item has, and the user's own columns. */
function choices(index) {
  const folders = index.folders.filter(({ folder }) => folder);
  const labels = index.labels.filter(({ label }) => label !== null);
  const kinds = [
    { value: "image", count: index.images },
    { value: "video", count: index.videos },
  ];
  return [
    folders.length && { name: "folder", type: "folder", values: folders },
    index.images && index.videos && { name: "kind", type: "text", values: kinds },
    labels.length && {
      name: "label",
      type: "text",
      values: labels.map(({ label, count }) => ({ value: label, count })),
    },
    index.videos && { name: "duration", type: "number" },
    { name: "modified", type: "time" },
    { name: "key", type: "text" },
    ...index.columns.map((one) => ({ ...one, values: one.values?.map((value) => ({ value })) })),
  ].filter(Boolean);
}

/** @param {function(): void} onChange search again */
export function filterChips(onChange) {
  const chips = el("ul", { class: "chips", "aria-label": "Filters" });
  const add = menu({ label: [icon("filter"), "Filter"], name: "Add a filter", key: "f" }, (close) => {
    const columns = choices(state.index);
    const place = el("div", {});
    const select = el(
      "select",
      { "aria-label": "Filter by", on: { change: show } },
      columns.map((one) => el("option", { value: one.name }, one.name)),
    );
    function show() {
      const column = columns.find((one) => one.name === select.value);
      fill(
        place,
        conditionForm(column, (condition) => {
          const others = state.conditions.filter((one) => one.column !== condition.column);
          change({ conditions: [...others, condition] });
          close();
          onChange();
        }),
      );
    }
    if (columns.length) show();
    return [select, place];
  });
  when(["conditions", "index"], () => {
    fill(
      chips,
      state.conditions.map((condition) =>
        el(
          "li",
          { class: "chip" },
          el("span", {}, conditionTitle(condition)),
          iconButton("close", `Remove the filter ${conditionTitle(condition)}`, () => {
            change({ conditions: state.conditions.filter((one) => one !== condition) });
            onChange();
          }),
        ),
      ),
    );
  });
  return el("div", { class: "filters" }, add.element, chips);
}
