// A session as a file: the searches made, and the uploaded files of those that are small enough.

import { save, sendFile } from "./api.js";
import { toParameters } from "./history.js";
import { state } from "./store.js";

const MOST_BYTES = 24 * 2 ** 20;
const steps = []; // {title, parameters} in the order of time

/** Note a search that was made. */
export function note(title) {
  const parameters = toParameters().toString();
  if (steps.at(-1)?.parameters !== parameters)
    steps.push({ title, parameters, file: state.query?.file ?? null, upload: state.query?.id });
}

export const madeSearches = () => steps.map(({ title, parameters }) => ({ title, parameters }));

function dataOf(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

/** Save all searches; tells how many files were too large to go along. */
export async function saveSession() {
  const uploads = {};
  let left = MOST_BYTES;
  let without = 0;
  for (const { file, upload } of steps) {
    if (!file || upload in uploads) continue;
    if (file.size > left) {
      without += 1;
      continue;
    }
    left -= file.size;
    uploads[upload] = { name: file.name, data: await dataOf(file) };
  }
  const searches = madeSearches();
  const text = JSON.stringify({ format: "jaxret session", version: 1, searches, uploads }, null, 1);
  save(new Blob([text], { type: "application/json" }), "jaxret-session.json");
  return without;
}

/** The parameters of the last search of a saved session, once its files are uploaded again. */
export async function loadSession(file) {
  let saved;
  try {
    saved = JSON.parse(await file.text());
  } catch {
    throw new Error(`${file.name} is no session: it is not JSON.`);
  }
  if (saved?.format !== "jaxret session" || saved.version !== 1 || !Array.isArray(saved.searches)) {
    throw new Error(`${file.name} is no session of this page.`);
  }
  const again = new Map();
  for (const [id, { name, data }] of Object.entries(saved.uploads ?? {})) {
    const blob = blobOf(String(data));
    const sent = new File([blob], String(name), { type: blob.type });
    again.set(id, { said: await sendFile(sent, () => {}), file: sent });
  }
  steps.length = 0;
  for (const { title, parameters } of saved.searches) {
    const wanted = new URLSearchParams(String(parameters));
    const known = again.get(wanted.get("upload"));
    if (known) wanted.set("upload", known.said.upload);
    steps.push({
      title: String(title),
      parameters: wanted.toString(),
      file: known?.file ?? null,
      upload: known?.said.upload,
    });
  }
  if (!steps.length) throw new Error(`${file.name} holds no search.`);
  return new URLSearchParams(steps.at(-1).parameters);
}

function blobOf(address) {
  const [head, data] = address.split(",", 2);
  const bytes = Uint8Array.from(atob(data ?? ""), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: /^data:([^;]*)/.exec(head)?.[1] ?? "" });
}
