// The length of a film as a strip of its frames: heat of hits on it, two handles around a part, or one on a frame.

import { el } from "./elements.js";
import { clock } from "./format.js";
import { drawHeat } from "./heat.js";

const LEAST = 0.05; // seconds between the two handles

/**
 * @param {object} film {duration, strip: address of its frames side by side, name}
 * @param {object} hooks {onPart(start, end), onFrame(at), onSeek(second)}: what is left out cannot be done here.
 * @returns {{element, setPart(start, end), setFrame(at), setHead(second), setHits(hits)}}
 */
export function timeline(film, { onPart, onFrame, onSeek } = {}) {
  const { duration } = film;
  const part = { start: 0, end: duration, at: 0 };
  const share = (second) => `${((100 * second) / duration).toFixed(3)}%`;
  const within = (second) => Math.min(Math.max(second, 0), duration);

  const strip = el("img", { class: "timeline-strip", src: film.strip, alt: "", loading: "lazy", draggable: "false" });
  const canvas = el("canvas", { class: "timeline-heat", "aria-hidden": "true" });
  const range = el("div", { class: "timeline-range", "aria-hidden": "true" });
  const head = el("div", { class: "timeline-head", "aria-hidden": "true", hidden: true });
  const handles = {
    start:
      onPart && handle("start", "Start of the part", (second) => setPart(Math.min(second, part.end - LEAST), part.end)),
    end:
      onPart && handle("end", "End of the part", (second) => setPart(part.start, Math.max(second, part.start + LEAST))),
    at: onFrame && handle("at", "Frame", (second) => setFrame(second)),
  };
  const track = el("div", { class: "timeline-track" }, strip, canvas, range, head, Object.values(handles));
  const ends = el(
    "div",
    { class: "timeline-ends", "aria-hidden": "true" },
    el("span", {}, clock(0)),
    el("span", {}, clock(duration)),
  );
  const element = el("div", { class: "timeline" }, track, ends);
  track.addEventListener("click", (event) => {
    if (event.target.closest(".timeline-handle")) return;
    const second = secondAt(event.clientX);
    if (onFrame) tellFrame(second);
    onSeek?.(second);
  });

  function secondAt(x) {
    const box = track.getBoundingClientRect();
    return within(((x - box.left) / box.width) * duration);
  }

  function handle(name, label, move) {
    const told = () => (name === "at" ? onFrame(part.at) : onPart(part.start, part.end));
    const element = el("div", {
      class: `timeline-handle ${name}`,
      role: "slider",
      tabindex: "0",
      "aria-label": label,
      "aria-valuemin": "0",
      "aria-valuemax": duration.toFixed(2),
      on: {
        keydown: (event) => {
          const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[
            event.key
          ];
          const target =
            { Home: 0, End: duration }[event.key] ?? (step && part[name] + step * Math.min(0.1, duration / 40));
          if (target === undefined) return;
          event.preventDefault();
          event.stopPropagation();
          move(within(target));
          told();
        },
        pointerdown: (event) => {
          event.preventDefault();
          element.setPointerCapture(event.pointerId);
          element.focus();
        },
        pointermove: (event) => {
          if (!element.hasPointerCapture(event.pointerId)) return;
          move(secondAt(event.clientX));
          onSeek?.(part[name]);
        },
        pointerup: told,
      },
    });
    return element;
  }

  function say(name) {
    const second = part[name];
    handles[name].style.left = share(second);
    handles[name].setAttribute("aria-valuenow", second.toFixed(2));
    handles[name].setAttribute("aria-valuetext", clock(second));
  }

  function setPart(start, end) {
    Object.assign(part, { start: within(start), end: within(end) });
    range.style.left = share(part.start);
    range.style.width = share(part.end - part.start);
    if (!onPart) return;
    say("start");
    say("end");
  }

  function setFrame(at) {
    part.at = within(at);
    if (onFrame) say("at");
  }

  function tellFrame(second) {
    setFrame(second);
    onFrame(part.at);
  }

  function setHead(second) {
    head.hidden = false;
    head.style.left = share(within(second));
  }

  function setHits(hits) {
    const draw = () => drawHeat(canvas, hits, duration);
    if (canvas.isConnected) draw();
    new ResizeObserver(draw).observe(canvas);
  }

  if (onPart) setPart(0, duration);
  if (onFrame) setFrame(0);
  return { element, setPart, setFrame, setHead, setHits };
}
