// Two images, or a frame of each: the region searched for, the place found, and the points or words that agree.

import { foundBox } from "../base/boxes.js";
import { el, svg } from "../base/elements.js";
import { count } from "../base/format.js";
import { caption } from "./caption.js";

const WIDTH = 960;
const MOST_LINES = 120;

export function matchedRegions(two, said) {
  const times = {
    query: two.query.at ?? two.hit.query_start ?? two.query.start ?? 0,
    item: two.hit.moment ?? two.hit.start ?? 0,
  };
  const left = side(
    two.queryMedia?.thumbnail(times.query, WIDTH),
    "Query",
    two.queryName,
    said.query_box ?? two.query.region,
  );
  const right = side(two.itemMedia.thumbnail(times.item, WIDTH), two.hit.name, two.hit.name, said.box ?? two.hit.box);
  const lines = svg("svg", { class: "match-lines", "aria-hidden": "true" });
  const pair = el("div", { class: "compare-pair" }, left.element, right.element, lines);
  const points = said.points ?? [];
  const text = points.length ? `${count(points.length, "point")} of the query and the result agree.` : "";

  /** Points are shares of the images, which change size with the window. */
  function draw() {
    const origin = pair.getBoundingClientRect();
    const at = (image, [x, y]) => {
      const area = image.getBoundingClientRect();
      return [area.left - origin.left + x * area.width, area.top - origin.top + y * area.height];
    };
    const step = Math.max(1, Math.ceil(points.length / MOST_LINES));
    lines.replaceChildren(
      ...points
        .filter((_, number) => number % step === 0)
        .flatMap(({ query, item }) => {
          const [x1, y1] = at(left.image, query);
          const [x2, y2] = at(right.image, item);
          return [
            svg("line", { x1, y1, x2, y2 }),
            svg("circle", { cx: x1, cy: y1, r: 3 }),
            svg("circle", { cx: x2, cy: y2, r: 3 }),
          ];
        }),
    );
  }

  const watch = new ResizeObserver(draw);
  watch.observe(pair);
  for (const { image } of [left, right]) {
    image.addEventListener("load", () => {
      image.parentElement.style.setProperty("--ratio", image.naturalWidth / image.naturalHeight);
      draw();
    });
  }
  return {
    element: el("div", { class: "compare-regions" }, pair, text && el("p", { class: "hint" }, text)),
    times: () => times,
    stop: () => watch.disconnect(),
  };
}

function side(address, name, alt, box) {
  const image = el("img", { alt: address ? alt : "", src: address });
  return {
    image,
    element: el("figure", {}, caption(name).element, el("div", { class: "boxed" }, image, foundBox(box))),
  };
}
