// Plays a film, an image or, where the browser cannot play it, the film's frames.

import { el } from "../base/elements.js";
import { clock } from "../base/format.js";

const FRAMES_A_SECOND = 4; // of films shown by their frames
const WIDTH = 960;

/**
 * @param {object} thing {name, kind, duration, playable} of an item or a query
 * @param {object} media its addresses, see base/media.js
 * @param {object} settings {controls, onTime(second)}
 * @returns {{element, play(), pause(), toggle(), seek(second), time(): number, paused(): boolean, rate(value), stop()}}
 */
export function player(thing, media, { controls = true, onTime = () => {} } = {}) {
  if (thing.kind !== "video") return still(thing, media);
  return thing.playable ? film(thing, media, controls, onTime) : frames(thing, media, onTime);
}

function still(thing, media) {
  const element = el("img", { class: "player", src: media.media, alt: thing.name });
  element.addEventListener("error", () => (element.src = media.thumbnail(0, WIDTH)), { once: true });
  const nothing = () => {};
  return { element, play: nothing, pause: nothing, toggle: nothing, seek: nothing, rate: nothing, stop: nothing, time: () => 0, paused: () => true };
}

function film(thing, media, controls, onTime) {
  const element = el("video", { class: "player", src: media.media, controls, playsinline: true, muted: true, preload: "auto", "aria-label": thing.name });
  let wanted = null;
  element.addEventListener("loadedmetadata", () => wanted !== null && (element.currentTime = wanted));
  element.addEventListener("timeupdate", () => onTime(element.currentTime));
  const play = () => element.play().catch(() => {}); // a pause or a new film may come first
  return {
    element,
    play,
    pause: () => element.pause(),
    toggle: () => (element.paused ? play() : element.pause()),
    seek(second) {
      wanted = second;
      if (element.readyState > 0) element.currentTime = second;
    },
    rate: (value) => (element.playbackRate = value),
    time: () => (element.readyState > 0 ? element.currentTime : (wanted ?? 0)),
    paused: () => element.paused,
    stop() {
      element.pause();
      element.removeAttribute("src");
      element.load();
    },
  };
}

function frames(thing, media, onTime) {
  const element = el("img", { class: "player", alt: thing.name });
  let second = 0;
  let timer = null;
  const show = () => {
    element.src = media.thumbnail(second, WIDTH);
    element.alt = `${thing.name} at ${clock(second)}`;
    onTime(second);
  };
  const pause = () => {
    clearInterval(timer);
    timer = null;
  };
  const play = () => {
    pause();
    timer = setInterval(() => {
      if (!element.complete) return; // the frame before is on its way
      second = second + 1 / FRAMES_A_SECOND > thing.duration ? 0 : second + 1 / FRAMES_A_SECOND;
      show();
    }, 1000 / FRAMES_A_SECOND);
  };
  show();
  return {
    element,
    play,
    pause,
    toggle: () => (timer ? pause() : play()),
    seek(target) {
      if (Math.abs(target - second) < 0.04) return;
      second = target;
      show();
    },
    rate() {},
    time: () => second,
    paused: () => timer === null,
    stop: pause,
  };
}
