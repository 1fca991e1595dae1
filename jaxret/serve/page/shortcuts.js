// What each key does.

import { canCompare } from "./base/store.js";
import { bind, listenForKeys, openKeys } from "./keyboard.js";

/**
 * @param {object} parts {cards: the grid, view: the viewer, onOpen(group, hit), onMark(group, sign), onSimilar(group),
 *   onCompare(group, hit), onSearchAgain()}
 */
export function bindShortcuts({ cards, view, onOpen, onMark, onSimilar, onCompare, onSearchAgain }) {
  const best = (group) => onOpen(group, group.best);

  /** With the result that has the focus, or that is open. */
  const current = (work) => () => {
    const group = cards.current();
    return group && (cards.hasFocus() || view.isOpen()) ? void work(group) : false;
  };
  const move = (by) => () => {
    if (!cards.size()) return false;
    cards.focus(cards.hasFocus() || view.isOpen() ? cards.place() + by() : cards.place());
    return view.isOpen() ? void best(cards.current()) : undefined;
  };
  const goToPlace = (by) => () => (view.isOpen() ? void view.place(by) : false);
  const press = (selector) => () => document.querySelector(selector)?.click();
  const pressKeyed = (key) => press(`[aria-keyshortcuts="${key}"]`);
  const writeWords = () => {
    const words = document.getElementById("words");
    return words ? void words.focus() : false;
  };
  const shortcuts = [
    [["ArrowLeft"], "", move(() => -1)],
    [["ArrowRight"], "", move(() => 1)],
    [["ArrowUp"], "", move(() => -cards.columns())],
    [["ArrowDown", "ArrowLeft", "ArrowUp", "ArrowRight"], "Go through the results", move(() => cards.columns())],
    [["Home"], "First result", () => cards.focus(0)],
    [["End"], "Last result that is loaded", () => cards.focus(cards.size() - 1)],
    [["Enter"], "Open the result and play from the hit", current(best)],
    [[" "], "Play or pause", current((group) => (view.isOpen() ? view.toggle() : best(group)))],
    [[","], "", goToPlace(-1)],
    [[".", ","], "Next place in the film, or the one before", goToPlace(1)],
    [["+", "="], "More like this", current((group) => onMark(group, "plus"))],
    [["-"], "Less like this", current((group) => onMark(group, "minus"))],
    [["r"], "Search again, refined", onSearchAgain],
    [["s"], "Similar to this", current(onSimilar)],
    [["c"], "Compare with the query", current((group) => canCompare() && onCompare(group))],
    [["u"], "Choose files", press("#choose-files")],
    [["/"], "Search with words", writeWords],
    [["f"], "Add a filter", pressKeyed("f")],
    [["x"], "Export the results, or copy the link", pressKeyed("x")],
    [["["], "Back to the search before", () => history.back()],
    [["]"], "Forward to the search after", () => history.forward()],
    [["h"], "Session: save, load, searches made", pressKeyed("h")],
    [["t"], "Light or dark", pressKeyed("t")],
    [["Escape"], "Close", () => (view.isOpen() ? void view.close() : false)],
    [["?"], "These keys", () => openKeys()],
  ];
  for (const [keys, said, run] of shortcuts) bind(keys, said, run);
  listenForKeys();
}
