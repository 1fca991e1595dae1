// Keys for everything, and the sheet that shows them.

import { el, fill, iconButton } from "./base/elements.js";
import { keep, kept } from "./base/kept.js";

const dialog = el("dialog", { class: "sheet", "aria-labelledby": "keys-title" });
document.body.append(dialog);
const bound = []; // {keys, said, run}

/** Single letters can be turned off for those whose software types them by voice. */
const lettersOff = () => kept("letters") === "off";

/**
 * @param {string[]} keys as events name them
 * @param {string} said what they do, for the sheet; empty where another line says it
 * @param {function(Event): boolean|void} run false: not now
 */
export function bind(keys, said, run) {
  bound.push({ keys, said, run });
}

const NAMES = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", " ": "Space", Escape: "Esc" };

export function openKeys() {
  const rows = bound
    .filter(({ said }) => said)
    .map(({ keys, said }) =>
      el(
        "div",
        {},
        el(
          "dt",
          {},
          keys.map((key) => el("kbd", {}, NAMES[key] ?? key)),
        ),
        el("dd", {}, said),
      ),
    );
  const letters = el("input", {
    type: "checkbox",
    checked: !lettersOff(),
    on: { change: () => keep("letters", letters.checked ? "on" : "off") },
  });
  fill(
    dialog,
    el(
      "div",
      { class: "viewer-head" },
      el("h2", { id: "keys-title" }, "Keys"),
      iconButton("close", "Close", () => dialog.close()),
    ),
    el("dl", { class: "keys" }, rows),
    el("label", { class: "check" }, letters, el("span", {}, "Keys of a single letter")),
  );
  if (!dialog.open) dialog.showModal();
}

/** Keys belong to the page unless a person types, a dialog is open, or a control has its own use for them. */
export function listenForKeys() {
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const { target, key } = event;
    if (document.querySelector("dialog[open]")) return;
    if (key !== "Escape" && target.closest?.("input:not([type=checkbox]), textarea, select, video, [role=slider]"))
      return;
    if ([" ", "Enter"].includes(key) && target.closest?.("button, a, summary, input") && !target.closest(".card-open"))
      return;
    if (key.length === 1 && key !== " " && key !== "?" && lettersOff()) return;
    for (const { keys, run } of bound) {
      if (!keys.includes(key)) continue;
      if (run(event) === false) continue;
      event.preventDefault();
      return;
    }
  });
}
