// The matrix of distances between two films, the alignment path over it: query downwards, result to the right.

import { el } from "../base/elements.js";
import { clock } from "../base/format.js";
import { colour } from "../base/theme.js";

const SIDE = 320; // of the drawing, in units of its own

/** @param {function(number): void} onStep told the step of the path nearest to a click */
export function matrix({ distances, path, query_times: queryTimes, item_times: itemTimes, backwards }, onStep) {
  const rows = distances.length;
  const columns = distances[0]?.length ?? 0;
  const turned = backwards ? ", going back" : "";
  const canvas = el("canvas", {
    width: SIDE,
    height: SIDE,
    role: "img",
    "aria-label":
      `Distances of ${queryTimes.length} places of the query from ${itemTimes.length} of the result, ` +
      `with a path of ${path.length} steps${turned}`,
    on: { click: (event) => onStep(nearest(event)) },
  });
  const pen = canvas.getContext("2d");
  const base = paint();
  // A matrix is shown with fewer cells than the films have places where it would be too large.
  const x = (place) => ((place + 0.5) / itemTimes.length) * SIDE;
  const y = (place) => ((place + 0.5) / queryTimes.length) * SIDE;

  function paint() {
    const image = new ImageData(Math.max(1, columns), Math.max(1, rows));
    const cells = distances.flat().filter(Number.isFinite);
    const low = cells.reduce((least, one) => Math.min(least, one), Infinity);
    const high = cells.reduce((most, one) => Math.max(most, one), -Infinity);
    distances.forEach((row, down) =>
      row.forEach((distance, right) => {
        const far = Number.isFinite(distance) && high > low ? (distance - low) / (high - low) : 1;
        const light = Math.round(30 + 215 * far ** 0.8);
        image.data.set(
          [Math.round(light * 0.92), Math.round(light * 0.97), Math.min(255, light + 18), 255],
          4 * (down * columns + right),
        );
      }),
    );
    const small = document.createElement("canvas");
    small.width = image.width;
    small.height = image.height;
    small.getContext("2d").putImageData(image, 0, 0);
    return small;
  }

  function nearest(event) {
    const area = canvas.getBoundingClientRect();
    const [right, down] = [
      ((event.clientX - area.left) / area.width) * SIDE,
      ((event.clientY - area.top) / area.height) * SIDE,
    ];
    const away = ([i, j]) => (x(j) - right) ** 2 + (y(i) - down) ** 2;
    return path.reduce((best, step, number) => (away(step) < away(path[best]) ? number : best), 0);
  }

  function draw(step) {
    pen.imageSmoothingEnabled = false;
    pen.drawImage(base, 0, 0, SIDE, SIDE);
    for (const [width, stroke] of [
      [5, "#fff"],
      [2.5, colour("path")],
    ]) {
      pen.lineWidth = width;
      pen.strokeStyle = stroke;
      pen.lineJoin = "round";
      pen.beginPath();
      path.forEach(([i, j], number) => (number ? pen.lineTo(x(j), y(i)) : pen.moveTo(x(j), y(i))));
      pen.stroke();
    }
    const below = Math.min(Math.floor(step), path.length - 1);
    const above = Math.min(below + 1, path.length - 1);
    const at = (side) => path[below][side] + (path[above][side] - path[below][side]) * (step - below);
    pen.beginPath();
    pen.arc(x(at(1)), y(at(0)), 7, 0, 2 * Math.PI);
    pen.fillStyle = colour("path");
    pen.fill();
    pen.lineWidth = 3;
    pen.strokeStyle = "#fff";
    pen.stroke();
  }

  draw(0);
  const ends = (times) => [clock(Math.min(...times)), clock(Math.max(...times))];
  const [first, final] = ends(itemTimes);
  const [top, bottom] = ends(queryTimes);
  return {
    setStep: draw,
    element: el(
      "div",
      { class: "matrix" },
      el("span", { class: "matrix-y" }, el("span", {}, top), el("span", {}, "query"), el("span", {}, bottom)),
      canvas,
      el("span", { class: "matrix-x" }, el("span", {}, first), el("span", {}, "result"), el("span", {}, final)),
    ),
  };
}
