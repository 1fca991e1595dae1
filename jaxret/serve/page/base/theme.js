// Light, dark, or as the system has it; the choice stays in this browser.

const colours = new Map();
const ORDER = ["auto", "light", "dark"];

const kept = () => {
  try {
    return localStorage.getItem("jaxret.theme") ?? "auto";
  } catch {
    return "auto";
  }
};

/** Apply the kept choice; called before anything is drawn. */
export function applyTheme(theme = kept()) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  colours.clear();
  return theme;
}

/** The next of the three, and its name. */
export function nextTheme() {
  const theme = ORDER[(ORDER.indexOf(kept()) + 1) % ORDER.length];
  try {
    localStorage.setItem("jaxret.theme", theme);
  } catch {
    // private windows may refuse: the choice then lasts as long as the page
  }
  return applyTheme(theme);
}

/** A colour of the style sheets, for canvases. */
export function colour(name) {
  if (!colours.has(name)) colours.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
  return colours.get(name);
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => colours.clear());
