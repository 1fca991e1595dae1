// The left column: what is searched for.

import { button, el, fill, icon } from "../base/elements.js";
import { queryTitle } from "../base/media.js";
import { state, when } from "../base/store.js";
import { dropzone, uploadProgress } from "./files.js";
import { optionsForm } from "./options.js";
import { presentQuery } from "./present.js";
import { queryQueue } from "./queue.js";
import { refinement } from "./refinement.js";
import { wordsForm } from "./words.js";

const place = document.getElementById("query");

/** @param {object} hooks {onQuery(query): search with it, onSearch(): search with what the page describes} */
export function queryPanel({ onQuery, onSearch }) {
  const words = wordsForm(onQuery);
  const start = () => (words.typed() ? onQuery(words.typed()) : onSearch());
  const search = button([icon("similar"), "Search"], start, { class: "button primary wide", id: "search-button" });
  const onPending = () => search.classList.add("waiting");
  const allow = () => (search.disabled = !state.query && !state.plus.size && !words.typed());
  words.element.addEventListener("input", allow);
  fill(
    place,
    folding(),
    dropzone(onQuery),
    words.element,
    uploadProgress(),
    presentQuery({ onQuery, onPending }),
    queryQueue(onQuery),
    refinement(),
    howToSearch(onPending),
    search,
  );
  when(["query", "plus", "index"], allow);
  when(["plus", "minus"], onPending);
  when(["search"], () => search.classList.remove("waiting"));
}

/** On phones the results come first once there are some; this line brings the query back. */
function folding() {
  const fold = button([], () => foldUp(!place.classList.contains("folded")), {
    class: "button wide fold",
    hidden: true,
  });

  function foldUp(folded) {
    place.classList.toggle("folded", folded);
    fold.setAttribute("aria-expanded", String(!folded));
    fold.hidden = !state.query;
    const title = el("span", { class: "fold-title" }, state.query ? queryTitle(state.query) : "");
    fill(fold, title, el("span", { class: "hint" }, folded ? "Edit the query" : "Hide the query"));
  }

  when(["search"], ({ search }) => search.id === null && foldUp(Boolean(state.query)));
  return fold;
}

/** The options, folded away, and whether some were changed. */
function howToSearch(onPending) {
  const element = el("details", { class: "options-box" });
  const summary = el("summary", {});
  const say = (options) => fill(summary, "How to search", options && el("span", { class: "badge" }, "changed"));
  when(["index", "options"], ({ index, options }) => {
    element.hidden = !index?.options.length;
    if (element.hidden) return;
    say(options);
    const form = optionsForm(index, options, (chosen) => {
      state.options = chosen; // searched with when Search is pressed
      say(chosen);
      onPending();
    });
    fill(element, summary, form);
  });
  return element;
}
