// Ways out: tables of the results, an edit decision list, and a link that reproduces the search.

import { madeFile, save } from "../base/api.js";
import { button, icon } from "../base/elements.js";
import { link } from "../base/history.js";
import { menu } from "../base/menu.js";
import { attempt, notice } from "../base/notices.js";
import { state } from "../base/store.js";
import { measureOf, passes } from "./groups.js";

const FORMATS = { csv: "Table (CSV)", json: "JSON", edl: "Edit decision list (EDL)" };

/** Save the results within the threshold, or those marked with + where there are any. */
async function exported(format, marked) {
  const measure = measureOf(state.hits);
  const kept = state.hits.filter(
    (hit) => passes(hit, state.threshold, measure) && (!marked || state.plus.has(hit.item)),
  );
  const request = { search: state.search.id, format };
  if (marked || state.threshold !== null) request.ranks = kept.map((hit) => hit.rank);
  const { blob, name } = await madeFile("/api/exports", request);
  save(blob, name ?? `results.${format}`);
}

/** Copy a link to the present search; a file that was uploaded is behind it only as long as the server runs. */
async function copyLink() {
  const address = link();
  const short = state.query?.source === "upload" ? " It holds as long as the server keeps the uploaded file." : "";
  try {
    await navigator.clipboard.writeText(address);
    notice(`The link to this search is copied.${short}`);
  } catch {
    notice(`The link to this search: ${address}`);
  }
}

export function outputsMenu() {
  return menu({ label: [icon("download"), "Export"], name: "Export the results", key: "x" }, (close) => {
    const run = (work) => async () => {
      close();
      await attempt(work);
    };
    const searched = state.search?.id && state.search.state === "done";
    const formats = Object.entries(FORMATS).map(([format, label]) =>
      button(
        label,
        run(() => exported(format, false)),
        { disabled: !searched },
      ),
    );
    const marked =
      state.plus.size &&
      searched &&
      button(
        "Only those marked + (CSV)",
        run(() => exported("csv", true)),
      );
    return [...formats, marked, button([icon("link"), "Copy a link to this search"], run(copyLink))];
  });
}
