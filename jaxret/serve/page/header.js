// The bar at the top: which index, the way back and forth, sessions, indexing, keys, light and dark.

import { button, el, fill, icon, iconButton } from "./base/elements.js";
import { count } from "./base/format.js";
import { menu } from "./base/menu.js";
import { attempt, notice } from "./base/notices.js";
import { loadSession, madeSearches, saveSession } from "./base/session.js";
import { state, when } from "./base/store.js";
import { nextTheme } from "./base/theme.js";

const place = document.getElementById("bar");
const MOST_STEPS = 12;

/** @param {object} hooks {onIndex(id), onParameters(URLSearchParams), onIndexing(), onKeys(), onHome()} */
export function header({ onIndex, onParameters, onIndexing, onKeys, onHome }) {
  const chooser = el("select", {
    id: "index-chooser",
    "aria-label": "Index",
    on: { change: () => onIndex(chooser.value) },
  });
  const size = el("span", { class: "timing", id: "index-size" });
  const file = el("input", {
    type: "file",
    accept: "application/json,.json",
    hidden: true,
    id: "choose-session",
    on: { change: load },
  });

  async function load() {
    const [chosen] = file.files;
    file.value = "";
    if (!chosen) return;
    const parameters = await attempt(() => loadSession(chosen));
    if (parameters) onParameters(parameters);
  }

  const session = menu(
    { label: [icon("session"), el("span", { class: "wide-only" }, "Session")], name: "Session", key: "h" },
    (close) => {
      const steps = madeSearches().slice(-MOST_STEPS).reverse();
      const past = steps.map(({ title, parameters }) =>
        el(
          "li",
          {},
          button(
            title,
            () => {
              close();
              onParameters(new URLSearchParams(parameters));
            },
            { class: "queue-item" },
          ),
        ),
      );
      return [
        button("Save this session", () => {
          close();
          attempt(async () => {
            const without = await saveSession();
            if (without) notice(`Too large to be saved with the session: ${count(without, "file")}.`);
          });
        }),
        button("Load a session", () => {
          close();
          file.click();
        }),
        el("h3", {}, "Searches"),
        steps.length ? el("ol", { class: "queue-list" }, past) : el("p", { class: "hint" }, "None so far."),
      ];
    },
  );
  const home = el(
    "button",
    { type: "button", class: "brand", on: { click: onHome }, "aria-label": "jaxret: all items of the index" },
    el("img", { src: "logo.svg", alt: "", width: 24, height: 24 }),
    el("span", { class: "wide-only" }, "jaxret"),
  );
  fill(
    place,
    el("h1", {}, home),
    chooser,
    size,
    el(
      "nav",
      { class: "bar-end", "aria-label": "Page" },
      iconButton("back", "Back to the search before", () => history.back(), { "aria-keyshortcuts": "[" }),
      iconButton("forward", "Forward to the search after", () => history.forward(), { "aria-keyshortcuts": "]" }),
      session.element,
      file,
      button([icon("folder"), el("span", { class: "wide-only" }, "Index a folder")], onIndexing, {
        "aria-label": "Index a folder",
        title: "Index a folder",
      }),
      iconButton(
        "theme",
        "Light or dark",
        () =>
          notice(
            `Colours: ${nextTheme() === "auto" ? "as the system has them" : document.documentElement.dataset.theme}`,
          ),
        { "aria-keyshortcuts": "t" },
      ),
      iconButton("help", "Keys", onKeys, { "aria-keyshortcuts": "?" }),
    ),
  );

  when(["indexes", "index"], () => {
    fill(
      chooser,
      state.indexes.map((one) => el("option", { value: one.id }, one.name)),
    );
    chooser.value = state.index?.id ?? "";
    const { index } = state;
    size.textContent = index
      ? [index.images && count(index.images, "image"), index.videos && count(index.videos, "film")]
          .filter(Boolean)
          .join(", ")
      : "";
    document.title = index ? `${index.name} · jaxret` : "jaxret";
  });
}
