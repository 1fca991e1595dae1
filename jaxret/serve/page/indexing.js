// Indexing from the page: a folder below the media root, progress, and what could not be read.

import * as api from "./base/api.js";
import { button, el, fill, icon, iconButton } from "./base/elements.js";
import { count } from "./base/format.js";
import { attempt } from "./base/notices.js";
import { state } from "./base/store.js";

const dialog = el("dialog", { class: "sheet", "aria-labelledby": "indexing-title" });
document.body.append(dialog);
let stopFollowing = () => {};
let running = null; // the job that goes on while the dialog is closed

/** @param {function(): void} onIndexed told when a job ended: there may be a new index */
export function openIndexing(onIndexed) {
  const body = el("div", {});
  fill(
    dialog,
    el(
      "div",
      { class: "viewer-head" },
      el("h2", { id: "indexing-title" }, "Index a folder"),
      iconButton("close", "Close", () => dialog.close()),
    ),
    body,
  );
  if (!dialog.open) dialog.showModal();
  if (running) showJob(body, running, onIndexed);
  else chooseFolder(body, "", onIndexed);
}

async function chooseFolder(body, path, onIndexed) {
  fill(body, el("p", { class: "hint" }, "Looking…"));
  let said;
  try {
    said = await api.folders(path);
  } catch (error) {
    fill(
      body,
      el("p", { class: "failure" }, error.message),
      el("p", { class: "hint" }, "Start the server with --media-root FOLDER to index from here."),
    );
    return;
  }
  const go = (target) => chooseFolder(body, target, onIndexed);
  const into = el(
    "select",
    { id: "indexing-into" },
    state.indexes.map((one) => el("option", { value: one.id }, one.name)),
  );
  into.value = state.index?.id ?? "";
  const list = el(
    "ul",
    { class: "folders" },
    said.parent !== null &&
      el(
        "li",
        {},
        button([icon("back"), "Up"], () => go(said.parent), { class: "queue-item" }),
      ),
    said.folders.map((one) =>
      el(
        "li",
        {},
        button([icon("folder"), one.name], () => go(one.path), { class: "queue-item" }),
      ),
    ),
  );
  const start = button(
    "Index this folder",
    async () => {
      const started = await attempt(() => api.startIndexing({ folder: said.path, index: into.value }));
      if (started) showJob(body, (running = started.job), onIndexed);
    },
    { class: "button primary" },
  );
  fill(
    body,
    el(
      "p",
      { class: "folder-path" },
      icon("folder"),
      el("strong", {}, said.path || "media root"),
      ` ${count(said.media, "media file")}`,
    ),
    list,
    el("div", { class: "row end" }, el("label", { for: "indexing-into" }, "into"), into, start),
  );
}

function showJob(body, job, onIndexed) {
  const bar = el("progress", { max: 1, "aria-label": "Progress of indexing" });
  const said = el("p", { role: "status" });
  const skipped = el("details", { class: "skipped", hidden: true });
  const cancel = button("Cancel", () => attempt(() => api.cancelJob(job)));
  const again = button("Another folder", () => chooseFolder(body, "", onIndexed), { hidden: true });
  fill(body, bar, said, skipped, el("div", { class: "row end" }, again, cancel));
  stopFollowing();
  stopFollowing = api.follow(`/api/jobs/${encodeURIComponent(job)}`, (now) => {
    if (now.total) bar.value = now.done / now.total;
    said.textContent = sentence(now);
    const unread = now.skipped ?? [];
    skipped.hidden = !unread.length;
    if (unread.length)
      fill(
        skipped,
        el("summary", {}, `${count(unread.length, "file")} could not be read`),
        el(
          "ul",
          {},
          unread.map(({ path, reason }) => el("li", {}, el("strong", {}, path), ` ${reason}`)),
        ),
      );
    if (["waiting", "running"].includes(now.state)) return;
    running = null;
    cancel.hidden = true;
    again.hidden = false;
    onIndexed(now);
  });
}

function sentence({ state: now, done, total, error }) {
  const part = total ? `${(done ?? 0).toLocaleString("en")} of ${count(total, "file")}` : "";
  if (now === "failed") return `It failed: ${error}`;
  if (now === "cancelled") return `Cancelled after ${part || "nothing"}; what was indexed stays.`;
  if (now === "done") return `Done: ${part}.`;
  return now === "waiting" ? "Waiting…" : `Indexing ${part}`;
}
