// Ways in: files that are dropped, pasted or chosen, one or a folder of them, and words.

import { sendFile } from "../base/api.js";
import { uploadQuery } from "../base/media.js";
import { attempt, notice } from "../base/notices.js";
import { change, state } from "../base/store.js";

const MOST_FILES = 500;
const veil = document.getElementById("drop-veil");

/** Files of a drop, those of dropped folders included. */
async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  const files = [];
  for (const entry of entries) await walk(entry, files);
  return files;
}

async function walk(entry, files) {
  if (files.length >= MOST_FILES) return;
  if (entry.isFile) {
    files.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!batch.length) return;
    for (const one of batch) await walk(one, files);
  }
}

const isMedia = (file) =>
  /^(image|video)\//.test(file.type) ||
  /\.(avi|flv|m4v|mkv|mov|mp4|mpe?g|ts|webm|wmv|png|jpe?g|webp|gif|bmp|tiff?)$/i.test(file.name);

/** Search with files: one at once, several one after the other as a person goes through them. */
export async function takeFiles(files, onQuery) {
  const given = [...files];
  const media = given.length > 1 ? given.filter(isMedia).slice(0, MOST_FILES) : given;
  if (!media.length)
    return void (given.length && notice("None of these files is an image or a video.", { error: true }));
  media.sort((one, other) => one.name.localeCompare(other.name));
  change({ queue: media.length > 1 ? media : [] });
  await takeFile(media[0], onQuery);
}

/** Upload one file and search with it. */
export async function takeFile(file, onQuery) {
  change({ uploading: { name: file.name, share: 0 } });
  const said = await attempt(() => sendFile(file, (share) => change({ uploading: { name: file.name, share } })));
  change({ uploading: null });
  if (said) onQuery(uploadQuery(said, file));
}

/** Listen for drops anywhere on the page and for what is pasted. */
export function listenForFiles(onQuery) {
  let depth = 0;
  const carriesFiles = (event) => [...event.dataTransfer.types].includes("Files");
  const show = (shown) => (veil.hidden = !shown);
  addEventListener("dragenter", (event) => carriesFiles(event) && show((depth += 1) > 0));
  addEventListener("dragleave", (event) => carriesFiles(event) && show((depth -= 1) > 0));
  addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
  addEventListener("drop", async (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    show((depth = 0) > 0);
    const files = await attempt(() => droppedFiles(event.dataTransfer));
    if (files) takeFiles(files, onQuery);
  });
  addEventListener("paste", (event) => {
    const { files } = event.clipboardData;
    if (files.length) {
      event.preventDefault();
      takeFiles(files, onQuery);
      return;
    }
    const text = event.clipboardData.getData("text/plain").trim();
    const typing = event.target.closest?.("input, textarea, [contenteditable]");
    if (typing || !text || text.length > 500 || !state.index?.knows_words) return;
    event.preventDefault();
    onQuery({ source: "text", id: text });
  });
}
