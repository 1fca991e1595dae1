// Where files are dropped or chosen, and how far an upload is.

import { button, el, fill, icon } from "../base/elements.js";
import { when } from "../base/store.js";
import { takeFiles } from "./intake.js";

/** @param {function(object): void} onQuery search with this query */
export function dropzone(onQuery) {
  const files = chooser("choose-files", { accept: "image/*,video/*", multiple: true }, onQuery);
  const folder = chooser("choose-folder", { webkitdirectory: true }, onQuery);
  const choose = button([icon("upload"), "Choose files"], () => files.click(), {
    class: "button primary",
    "aria-keyshortcuts": "u",
  });
  const chooseFolder = button([icon("folder"), "A folder"], () => folder.click());
  const element = el(
    "div",
    { class: "dropzone" },
    el("p", { class: "dropzone-title" }, "Drop an image or a film here"),
    el("p", { class: "hint" }, "or paste it, or"),
    el("div", { class: "row" }, choose, chooseFolder),
    files,
    folder,
  );
  when(["query"], ({ query }) => element.classList.toggle("slim", Boolean(query)));
  return element;
}

function chooser(id, attributes, onQuery) {
  const input = el("input", { type: "file", id, hidden: true, ...attributes });
  input.addEventListener("change", () => {
    takeFiles(input.files, onQuery);
    input.value = ""; // so that the same file can be chosen again
  });
  return input;
}

export function uploadProgress() {
  const element = el("div", { class: "upload-progress", role: "status" });
  when(["uploading"], ({ uploading }) => {
    const bar = uploading && el("progress", { value: uploading.share, max: 1 });
    fill(element, uploading && el("label", {}, `Uploading ${uploading.name}`, bar));
  });
  return element;
}
