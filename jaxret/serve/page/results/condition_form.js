// The small form that makes a filter of a column: what it offers depends on the kind of the column.

import { el, field } from "../base/elements.js";

const MOST_VALUES = 200; // that are offered as boxes

/** A form for one column; `onCondition` gets what was chosen, see base/conditions.js. */
export function conditionForm(column, onCondition) {
  const { fields, read } = fieldsOf(column);
  const apply = el("button", { class: "button primary small", type: "submit" }, "Apply");
  const form = el("form", { class: "condition-form" }, fields, apply);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const condition = read();
    if (condition) onCondition({ column: column.name, ...condition });
  });
  return form;
}

/** Controls, and a function that reads them: part of a condition, or null where nothing is chosen. */
function fieldsOf(column) {
  if (column.type === "folder") return folderField(column);
  if (column.type === "boolean") return truthField(column);
  if (column.type === "number") return rangeFields(column, { type: "number", step: "any" }, Number);
  if (column.type === "time")
    return rangeFields(column, { type: "date" }, (day, end) => (end ? `${day}T23:59:59` : day));
  const few = column.values?.length && column.values.length <= MOST_VALUES;
  return few ? valueBoxes(column) : textField();
}

function folderField({ values }) {
  const options = values.map(({ folder, count }) => el("option", { value: folder }, `${folder} (${count})`));
  const select = el("select", { "aria-label": "Folder" }, options);
  return { fields: [select], read: () => ({ folder: select.value }) };
}

function truthField({ name }) {
  const options = [el("option", { value: "true" }, "yes"), el("option", { value: "false" }, "no")];
  const select = el("select", { "aria-label": name }, options);
  return { fields: [select], read: () => ({ in: [select.value === "true"] }) };
}

function valueBoxes({ name, values }) {
  const boxes = values.map(() => el("input", { type: "checkbox" }));
  const labels = values.map(({ value, count }, place) =>
    el(
      "label",
      { class: "check" },
      boxes[place],
      el("span", {}, String(value)),
      count !== undefined && el("small", {}, count),
    ),
  );
  const read = () => {
    const chosen = values.map(({ value }) => value).filter((_, place) => boxes[place].checked);
    return chosen.length ? { in: chosen } : null;
  };
  return { fields: [el("div", { class: "checks", role: "group", "aria-label": name }, labels)], read };
}

function rangeFields({ name }, attributes, valueOf) {
  const unit = name === "duration" ? " (seconds)" : "";
  const [from, to] = [el("input", attributes), el("input", attributes)];
  const read = () => {
    const ends = {};
    if (from.value) ends.from = valueOf(from.value, false);
    if (to.value) ends.to = valueOf(to.value, true);
    return Object.keys(ends).length ? ends : null;
  };
  return { fields: [field(`From${unit}`, from), field(`To${unit}`, to)], read };
}

function textField() {
  const input = el("input", { type: "text" });
  const read = () => (input.value.trim() ? { like: input.value.trim() } : null);
  return { fields: [field("Contains", input)], read };
}
