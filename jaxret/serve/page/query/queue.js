// A folder of queries, gone through one by one.

import { button, el, fill, iconButton } from "../base/elements.js";
import { count } from "../base/format.js";
import { change, when } from "../base/store.js";
import { takeFile } from "./intake.js";

/** @param {function(object): void} onQuery search with this query */
export function queryQueue(onQuery) {
  const element = el("section", { class: "queue", "aria-label": "Folder of queries" });
  when(["queue", "query"], ({ queue, query }) => {
    element.hidden = queue.length < 2;
    if (element.hidden) return fill(element);
    const current = queue.indexOf(query?.file);
    const step = (by) => takeFile(queue[(current + by + queue.length) % queue.length], onQuery);
    const head = el(
      "div",
      { class: "query-head" },
      el("h2", {}, count(queue.length, "query", "queries")),
      iconButton("back", "Previous query", () => step(-1)),
      iconButton("forward", "Next query", () => step(1)),
      iconButton("close", "Close the folder of queries", () => change({ queue: [] })),
    );
    const items = queue.map((file, place) =>
      button(file.name, () => takeFile(file, onQuery), {
        class: "queue-item",
        "aria-current": place === current ? "true" : null,
      }),
    );
    return fill(
      element,
      head,
      el(
        "ol",
        { class: "queue-list" },
        items.map((item) => el("li", {}, item)),
      ),
    );
  });
  return element;
}
