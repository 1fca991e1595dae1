// How to search, as a form made of what the server says of the options: a new one appears by itself.

import { el, fill, freshId } from "../base/elements.js";
import { words } from "../base/format.js";

const TITLES = { VectorSearch: "Vectors", SequenceSearch: "Sequences", RegionSearch: "Regions" };

/** The help of an option, shown when it is wanted. */
function help(text, id) {
  return el(
    "details",
    { class: "option-help" },
    el("summary", { "aria-label": "What is this?" }, "?"),
    el("p", { id }, text),
  );
}

function choice(field, value, onValue) {
  const blank = field.default === null && !field.required ? [el("option", { value: "" }, "default")] : [];
  const choices = field.choices.map((one) => el("option", { value: one }, one));
  const select = el(
    "select",
    { on: { change: () => onValue(select.value === "" ? null : select.value) } },
    blank,
    choices,
  );
  select.value = value ?? "";
  return select;
}

function number(field, value, onValue) {
  const whole = field.type === "integer";
  const read = () => {
    if (input.value.trim() === "") return onValue(field.default);
    return input.checkValidity() ? onValue(Number(input.value)) : input.reportValidity();
  };
  const input = el("input", {
    type: "number",
    min: field.minimum,
    max: field.maximum,
    step: whole ? "1" : "any",
    value: value ?? "",
    placeholder: field.default === null ? "default" : String(field.default),
    on: { change: read },
  });
  return input;
}

function control(field, value, onValue) {
  if (field.choices?.length) return choice(field, value, onValue);
  if (field.type === "integer" || field.type === "number") return number(field, value, onValue);
  if (field.type === "boolean") {
    const box = el("input", { type: "checkbox", checked: Boolean(value), on: { change: () => onValue(box.checked) } });
    return box;
  }
  const input = el("input", { type: "text", value: value ?? "", on: { change: () => onValue(input.value || null) } });
  return input;
}

/**
 * @param {object} index with its `options` and `default_options`
 * @param {object|null} options chosen so far: {class, name: value of those that differ from the default}
 * @param {function(object|null): void} onOptions
 */
export function optionsForm(index, options, onOptions) {
  const initial = index.default_options?.class ?? index.options[0]?.name;
  const element = el("div", { class: "options" });

  const told = (kind, values) =>
    onOptions(Object.keys(values).length || kind.name !== initial ? { class: kind.name, ...values } : null);

  function draw(chosen, changed = false) {
    const kind = index.options.find((one) => one.name === (chosen?.class ?? initial)) ?? index.options[0];
    if (!kind) return;
    const values = { ...chosen };
    delete values.class;
    for (const field of kind.fields)
      if (field.required && !(field.name in values)) values[field.name] = field.choices?.[0] ?? field.minimum;
    const tell = (name, value, standard) => {
      if (value === standard || value === null) delete values[name];
      else values[name] = value;
      told(kind, values);
    };
    const kinds = el(
      "select",
      { id: freshId("option"), on: { change: () => draw({ class: kinds.value }, true) } },
      index.options.map((one) => el("option", { value: one.name }, TITLES[one.name] ?? one.name)),
    );
    kinds.value = kind.name;
    const rows = kind.fields.map((field) => {
      const standard =
        index.default_options?.class === kind.name && field.name in index.default_options
          ? index.default_options[field.name]
          : field.default;
      const input = control({ ...field, default: standard }, values[field.name] ?? standard, (value) =>
        tell(field.name, value, standard),
      );
      input.id = freshId("option");
      const helped = field.help && freshId("option-help");
      if (helped) input.setAttribute("aria-describedby", helped);
      return el(
        "div",
        { class: field.type === "boolean" ? "option switch" : "option" },
        el("label", { for: input.id }, words(field.name)),
        input,
        helped && help(field.help, helped),
      );
    });
    const chooser =
      index.options.length > 1 && el("div", { class: "option" }, el("label", { for: kinds.id }, "compare by"), kinds);
    fill(element, chooser, rows);
    if (changed) told(kind, values);
  }

  draw(options);
  return element;
}
