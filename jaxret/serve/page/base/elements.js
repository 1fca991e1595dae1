// Making elements: text is always text, so that no file name or label can become markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element: `on` holds its listeners, `style` custom properties, other names attributes or properties. */
export function el(tag, attributes = {}, ...children) {
  return dress(document.createElement(tag), attributes, children);
}

/** The same for drawings. */
export function svg(tag, attributes = {}, ...children) {
  return dress(document.createElementNS(SVG, tag), attributes, children);
}

function dress(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "style") for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
    else if (name === "value" || name === "checked" || name === "muted") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** One drawing of icons.svg; the button around it carries the words. */
export function icon(name) {
  return svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: `icons.svg#${name}` }));
}

/** A button of an icon alone, named for those who do not see it, with its key where it has one. */
export function iconButton(name, label, onClick, attributes = {}) {
  const key = attributes["aria-keyshortcuts"];
  const title = key ? `${label} (${key})` : label;
  return el(
    "button",
    { type: "button", class: "icon-button", "aria-label": label, title, on: { click: onClick }, ...attributes },
    icon(name),
  );
}

export function button(label, onClick, attributes = {}) {
  return el("button", { type: "button", class: "button", on: { click: onClick }, ...attributes }, label);
}

/** Put new children in place of the old. */
export function fill(element, ...children) {
  element.replaceChildren(
    ...children.flat().filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

/** A label above what it names. */
export function field(label, control) {
  return el("label", { class: "field" }, el("span", { class: "field-name" }, label), control);
}

let made = 0;
/** An id that nothing else on the page has. */
export const freshId = (stem) => `${stem}-${++made}`;
