// A button that opens a small panel below it; Escape and a click elsewhere close it.

import { button, el, fill, freshId } from "./elements.js";

/**
 * @param {object} face {label: what the button shows, name: said of button and panel, key: its shortcut}
 * @param {function(function): Element[]} content made anew at each opening; gets a function that closes
 */
export function menu({ label, name, key, attributes = {} }, content) {
  const id = freshId("menu");
  const opener = button(label, () => (panel.hidden ? open() : close()), {
    "aria-label": name,
    "aria-expanded": "false",
    "aria-controls": id,
    "aria-keyshortcuts": key,
    title: key ? `${name} (${key})` : name,
    ...attributes,
  });
  const panel = el("div", { class: "menu-panel", id, role: "group", "aria-label": name, hidden: true });
  const element = el("div", { class: "menu" }, opener, panel);

  function open() {
    fill(panel, content(close));
    panel.hidden = false;
    opener.setAttribute("aria-expanded", "true");
    panel.classList.toggle("to-left", opener.getBoundingClientRect().left + panel.offsetWidth > innerWidth - 8);
    panel.querySelector("select, input, button")?.focus();
  }

  function close() {
    if (panel.hidden) return;
    const had = panel.contains(document.activeElement);
    panel.hidden = true;
    opener.setAttribute("aria-expanded", "false");
    if (had) opener.focus();
  }

  element.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || panel.hidden) return;
    event.stopPropagation();
    close();
  });
  addEventListener("pointerdown", (event) => !element.contains(event.target) && close());
  return { element, open, close };
}
