// Light, dark, or as the system has it.

import { keep, kept } from "./kept.js";

const ORDER = ["auto", "light", "dark"];
const colours = new Map(); // as canvases take them, by name
const root = document.documentElement;

/** Apply the kept choice; called before anything is drawn. */
export function applyTheme(theme = kept("theme") ?? "auto") {
  if (theme === "auto") delete root.dataset.theme;
  else root.dataset.theme = theme;
  colours.clear();
  return theme;
}

/** The next of the three, and its name. */
export function nextTheme() {
  const theme = ORDER[(ORDER.indexOf(kept("theme") ?? "auto") + 1) % ORDER.length];
  keep("theme", theme);
  return applyTheme(theme);
}

/** A colour of the style sheets as the scheme has it now, for canvases. */
export function colour(name) {
  if (!colours.has(name)) {
    const probe = document.createElement("span");
    probe.hidden = true;
    probe.style.color = `var(--${name})`;
    document.body.append(probe);
    colours.set(name, getComputedStyle(probe).color);
    probe.remove();
  }
  return colours.get(name);
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => colours.clear());
