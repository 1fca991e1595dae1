// Short sentences at the edge of the page, read aloud too.

import { el, iconButton } from "./elements.js";

const place = document.getElementById("notices");

/** Tell something; an error stays until it is closed. */
export function notice(text, { error = false } = {}) {
  const box = el("div", { class: error ? "notice error" : "notice" }, el("p", {}, error ? `Error: ${text}` : text));
  box.append(iconButton("close", "Dismiss", () => box.remove()));
  place.append(box);
  while (place.children.length > 4) place.firstChild.remove();
  if (!error) setTimeout(() => box.remove(), 5000);
}

/** Run what a person started; what goes wrong is told, not lost. */
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    if (error.name !== "AbortError") notice(error.message, { error: true });
    return undefined;
  }
}
