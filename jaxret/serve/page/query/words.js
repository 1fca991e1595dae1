// Words to search with, where the encoder knows some, or the path of a file on the server.

import { el, fill } from "../base/elements.js";
import { state, when } from "../base/store.js";

/**
 * @param {function(object): void} onQuery search with this query
 * @returns {{element, typed(): object|null}} `typed` is a query that was typed and not searched with yet.
 */
export function wordsForm(onQuery) {
  const element = el("form", { class: "words", role: "search" });
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    const query = written();
    if (query) onQuery(query);
  });

  function written() {
    const data = new FormData(element);
    const text = String(data.get("text") ?? "").trim();
    const path = String(data.get("path") ?? "").trim();
    if (text) return { source: "text", id: text };
    return path ? { source: "path", id: path, name: path } : null;
  }

  when(["index"], ({ index }) => fill(element, index?.knows_words && textField(), pathField()));
  when(["index", "query"], ({ query }) => {
    for (const name of ["text", "path"]) {
      const input = element.elements[name];
      if (input) input.value = query?.source === name ? query.id : "";
    }
  });
  return {
    element,
    typed() {
      const query = written();
      return query && query.id !== state.query?.id ? query : null;
    },
  };
}

function textField() {
  return el("input", {
    name: "text",
    type: "search",
    id: "words",
    "aria-label": "Search with words",
    placeholder: "Describe what to find",
    autocomplete: "off",
    "aria-keyshortcuts": "/",
  });
}

function pathField() {
  const input = el("input", {
    name: "path",
    type: "text",
    "aria-label": "Path under the media root",
    placeholder: "folder/file.mp4",
    autocomplete: "off",
    spellcheck: "false",
  });
  const send = el("button", { class: "button", type: "submit" }, "Search with it");
  return el(
    "details",
    { class: "path" },
    el("summary", {}, "A file on the server"),
    el("div", { class: "row" }, input, send),
  );
}
