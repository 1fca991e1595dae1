// The left column: what is searched for.

import { button, el, fill, icon, iconButton } from "../base/elements.js";
import { count } from "../base/format.js";
import { ofQuery, queryTitle } from "../base/media.js";
import { change, state, when } from "../base/store.js";
import { optionsForm } from "./options.js";
import { preview } from "./preview.js";
import { takeFile, takeFiles } from "./intake.js";

const place = document.getElementById("query");

/**
 * @param {object} hooks {onQuery(query): search with it, onSearch(): search with what the page describes}
 */
export function queryPanel({ onQuery, onSearch }) {
  const chooser = el("input", {
    type: "file",
    accept: "image/*,video/*",
    multiple: true,
    hidden: true,
    on: {
      change: () => {
        takeFiles(chooser.files, onQuery);
        chooser.value = "";
      },
    },
  });
  const folderChooser = el("input", {
    type: "file",
    webkitdirectory: true,
    hidden: true,
    on: {
      change: () => {
        takeFiles(folderChooser.files, onQuery);
        folderChooser.value = "";
      },
    },
  });
  chooser.id = "choose-files";
  folderChooser.id = "choose-folder";
  const dropzone = el(
    "div",
    { class: "dropzone" },
    el("p", { class: "dropzone-title" }, "Drop an image or a film here"),
    el("p", { class: "hint" }, "or paste it, or"),
    el(
      "div",
      { class: "row" },
      button([icon("upload"), "Choose files"], () => chooser.click(), {
        class: "button primary",
        "aria-keyshortcuts": "u",
      }),
      button([icon("folder"), "A folder"], () => folderChooser.click()),
    ),
    chooser,
    folderChooser,
  );
  const progress = el("div", { class: "upload-progress", role: "status" });
  const words = el("form", { class: "words", role: "search", on: { submit: sendWords } });
  const shown = el("section", { class: "query-shown", "aria-label": "Present query" });
  const queue = el("section", { class: "queue", "aria-label": "Folder of queries" });
  const refine = el("section", { class: "refine", "aria-label": "Refinement" });
  const options = el("details", { class: "options-box" });
  const search = button([icon("similar"), "Search"], () => (typed() ? words.requestSubmit() : onSearch()), {
    class: "button primary wide",
    id: "search-button",
  });
  const fold = button([], () => foldUp(!place.classList.contains("folded")), {
    class: "button wide fold",
    hidden: true,
  });
  fill(place, fold, dropzone, words, progress, shown, queue, refine, options, search);

  /** On phones the results come first once there are some. */
  function foldUp(folded) {
    place.classList.toggle("folded", folded);
    fold.setAttribute("aria-expanded", String(!folded));
    fold.hidden = !state.query;
    fill(
      fold,
      el("span", { class: "fold-title" }, state.query ? queryTitle(state.query) : ""),
      el("span", { class: "hint" }, folded ? "Edit the query" : "Hide the query"),
    );
  }

  /** Words or a path that were typed, and not searched with yet. */
  function typed() {
    const data = new FormData(words);
    const text = String(data.get("text") ?? "").trim();
    const path = String(data.get("path") ?? "").trim();
    return Boolean((text && text !== state.query?.id) || (!text && path && path !== state.query?.id));
  }

  const allow = () => (search.disabled = !state.query && !state.plus.size && !typed());
  words.addEventListener("input", allow);

  function sendWords(event) {
    event.preventDefault();
    const data = new FormData(words);
    const text = String(data.get("text") ?? "").trim();
    const path = String(data.get("path") ?? "").trim();
    if (text) onQuery({ source: "text", id: text });
    else if (path) onQuery({ source: "path", id: path, name: path });
  }

  function drawWords() {
    const knows = state.index?.knows_words;
    const text =
      knows &&
      el("input", {
        name: "text",
        type: "search",
        id: "words",
        "aria-label": "Search with words",
        placeholder: "Describe what to find",
        autocomplete: "off",
        "aria-keyshortcuts": "/",
      });
    const path =
      state.index?.media_root !== false &&
      el(
        "details",
        { class: "path" },
        el("summary", {}, "A file on the server"),
        el(
          "div",
          { class: "row" },
          el("input", {
            name: "path",
            type: "text",
            "aria-label": "Path under the media root",
            placeholder: "folder/file.mp4",
            autocomplete: "off",
            spellcheck: "false",
          }),
          el("button", { class: "button", type: "submit" }, "Search with it"),
        ),
      );
    fill(words, text, path);
  }

  function drawQuery() {
    const { query } = state;
    if (words.elements.text) words.elements.text.value = query?.source === "text" ? query.id : "";
    shown.hidden = !query;
    dropzone.classList.toggle("slim", Boolean(query));
    if (!query) return;
    const media = ofQuery(query);
    const head = el(
      "div",
      { class: "query-head" },
      icon(query.kind === "video" ? "film" : "similar"),
      el("h2", { title: queryTitle(query) }, queryTitle(query)),
      iconButton("close", "Remove the query", () => onQuery(null)),
    );
    const parts = media ? preview(query, state.index, (part) => changePart(part)) : null;
    fill(shown, head, parts);
  }

  /** A part is searched when Search is pressed: until then only the state knows of it. */
  function changePart(part) {
    const { at, start, end, region, ...rest } = state.query;
    state.query = { ...rest, ...part };
    search.classList.add("waiting");
  }

  function drawQueue() {
    queue.hidden = state.queue.length < 2;
    if (queue.hidden) return;
    const current = state.queue.findIndex((file) => file === state.query?.file);
    const list = el(
      "ol",
      { class: "queue-list" },
      state.queue.map((file, place) =>
        el(
          "li",
          {},
          button(file.name, () => takeFile(file, onQuery), {
            class: "queue-item",
            "aria-current": place === current ? "true" : null,
          }),
        ),
      ),
    );
    const step = (by) => takeFile(state.queue[(current + by + state.queue.length) % state.queue.length], onQuery);
    fill(
      queue,
      el(
        "div",
        { class: "query-head" },
        el("h2", {}, count(state.queue.length, "query", "queries")),
        iconButton("back", "Previous query", () => step(-1)),
        iconButton("forward", "Next query", () => step(1)),
        iconButton("close", "Close the folder of queries", () => change({ queue: [] })),
      ),
      list,
    );
  }

  function drawRefine() {
    refine.hidden = !state.plus.size && !state.minus.size;
    const chips = (marked, sign, name, key) =>
      [...marked].map(([item, { name: title }]) =>
        el(
          "li",
          { class: `chip ${name}` },
          el("span", { class: "sign", "aria-hidden": "true" }, sign),
          el("span", {}, title),
          iconButton("close", `Take back: ${name === "plus" ? "more" : "less"} like ${title}`, () => {
            const rest = new Map(state[key]);
            rest.delete(item);
            change({ [key]: rest });
          }),
        ),
      );
    fill(
      refine,
      el("h2", {}, "Refine"),
      el("ul", { class: "chips" }, chips(state.plus, "+", "plus", "plus"), chips(state.minus, "−", "minus", "minus")),
      el("p", { class: "hint" }, "More like + and less like −, from the next search on."),
    );
  }

  function drawOptions() {
    options.hidden = !state.index?.options.length;
    if (options.hidden) return;
    const summary = el("summary", {}, "How to search", state.options && el("span", { class: "badge" }, "changed"));
    fill(
      options,
      summary,
      optionsForm(state.index, state.options, (chosen) => {
        state.options = chosen;
        fill(summary, "How to search", chosen && el("span", { class: "badge" }, "changed"));
        search.classList.add("waiting");
      }),
    );
  }

  when(["index"], drawWords);
  when(["index", "query"], drawQuery);
  when(["queue", "query"], drawQueue);
  when(["plus", "minus"], () => {
    drawRefine();
    search.classList.add("waiting");
  });
  when(["index", "options"], drawOptions);
  when(["search"], ({ search: { id } }) => {
    search.classList.remove("waiting");
    if (!id) foldUp(Boolean(state.query));
  });
  when(["query", "plus", "index"], allow);
  when(["uploading"], ({ uploading }) => {
    fill(
      progress,
      uploading && el("label", {}, `Uploading ${uploading.name}`, el("progress", { value: uploading.share, max: 1 })),
    );
  });
}
