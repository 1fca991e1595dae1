// Filters as chips: each is a condition, added by a small form of its column's kind.

import { button, el, fill, icon, iconButton } from "../base/elements.js";
import { change, state, when } from "../base/store.js";
import { menu } from "../base/menu.js";
import { conditionTitle } from "../base/conditions.js";

const MOST_VALUES = 200;

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

/** A form for one column; `onCondition` gets what was chosen. */
function conditionForm(column, onCondition) {
  const values = column.values ?? [];
  const data = (form, name) => String(new FormData(form).get(name) ?? "").trim();
  const apply = el("button", { class: "button primary small", type: "submit" }, "Apply");
  const form = el("form", { class: "condition-form" });
  const build = (fields, read) => {
    fill(form, fields, apply);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const condition = read();
      if (condition) onCondition({ column: column.name, ...condition });
    });
    return form;
  };
  if (column.type === "folder") {
    const select = el(
      "select",
      { name: "folder", "aria-label": "Folder" },
      column.values.map(({ folder, count }) => el("option", { value: folder }, `${folder} (${count})`)),
    );
    return build(select, () => ({ folder: select.value }));
  }
  if (column.type === "boolean") {
    const select = el(
      "select",
      { name: "truth", "aria-label": column.name },
      el("option", { value: "true" }, "yes"),
      el("option", { value: "false" }, "no"),
    );
    return build(select, () => ({ in: [select.value === "true"] }));
  }
  if (column.type === "text" && values.length && values.length <= MOST_VALUES) {
    const boxes = values.map(({ value, count }) =>
      el(
        "label",
        { class: "check" },
        el("input", { type: "checkbox", name: "value", value }),
        el("span", {}, String(value)),
        count !== undefined && el("small", {}, count),
      ),
    );
    return build(el("div", { class: "checks", role: "group", "aria-label": column.name }, boxes), () => {
      const chosen = values
        .map(({ value }) => value)
        .filter((value, place) => boxes[place].querySelector("input").checked);
      return chosen.length ? { in: chosen } : null;
    });
  }
  if (column.type === "number" || column.type === "time" || column.type === "integer") {
    const time = column.type === "time";
    const input = (name, label) =>
      el(
        "label",
        { class: "field" },
        el("span", { class: "field-name" }, label),
        el("input", { name, type: time ? "date" : "number", step: "any" }),
      );
    const read = (name) => {
      const text = data(form, name);
      return text === "" ? {} : { [name]: time ? text : Number(text) };
    };
    const unit = column.name === "duration" ? " (seconds)" : "";
    return build([input("from", `From${unit}`), input("to", `To${unit}`)], () => {
      const ends = { ...read("from"), ...read("to") };
      if (time && ends.to) ends.to = `${ends.to}T23:59:59`;
      return Object.keys(ends).length ? ends : null;
    });
  }
  return build(
    el(
      "label",
      { class: "field" },
      el("span", { class: "field-name" }, "Contains"),
      el("input", { name: "text", type: "text" }),
    ),
    () => {
      const text = data(form, "text");
      return text ? { like: text } : null;
    },
  );
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
