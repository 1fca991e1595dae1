// What was marked with + and −.

import { el, fill, iconButton } from "../base/elements.js";
import { change, state, when } from "../base/store.js";

const SIGNS = { plus: ["+", "more"], minus: ["−", "less"] };

export function refinement() {
  const element = el("section", { class: "refine", "aria-label": "Refinement" });
  when(["plus", "minus"], () => {
    element.hidden = !state.plus.size && !state.minus.size;
    const chips = Object.keys(SIGNS).flatMap((name) => [...state[name]].map(([item, mark]) => chip(name, item, mark)));
    const hint = el("p", { class: "hint" }, "More like + and less like −, from the next search on.");
    fill(element, el("h2", {}, "Refine"), el("ul", { class: "chips" }, chips), hint);
  });
  return element;
}

function chip(name, item, { name: title }) {
  const [sign, word] = SIGNS[name];
  const takeBack = iconButton("close", `Take back: ${word} like ${title}`, () => {
    const rest = new Map(state[name]);
    rest.delete(item);
    change({ [name]: rest });
  });
  return el(
    "li",
    { class: `chip ${name}` },
    el("span", { class: "sign", "aria-hidden": "true" }, sign),
    el("span", {}, title),
    takeBack,
  );
}
