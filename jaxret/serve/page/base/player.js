// Plays a film, shows an image or, where the browser cannot play the film, its frames.

import { el, fill } from "./elements.js";
import { clock } from "./format.js";

const FRAMES_A_SECOND = 4; // of films shown by their frames
const WIDTH = 960;

/**
 * @param {object} thing {name, kind, duration, playable} of an item or a query
 * @param {object} media its addresses, see base/media.js
 * @param {object} settings {controls, preload, onTime(second)}
 * @returns {{element, play(), pause(), toggle(), seek(second), time(): number, paused(): boolean, rate(value), stop()}}
 */
export function player(thing, media, { controls = true, preload = "auto", onTime = () => {} } = {}) {
  const element = el("div", { class: "player" });
  if (thing.kind !== "video") return { ...still(thing, media, element), element };
  const byFrames = () => {
    const hint = el("p", { class: "player-hint" }, "Your browser cannot play this film: these are its frames.");
    const shown = frames(thing, media, onTime);
    fill(element, shown.image, hint);
    return shown;
  };
  let screen = thing.playable ? film(thing, media, { controls, preload, onTime }) : byFrames();
  if (!thing.playable) return through(element, () => screen);
  fill(element, screen.video);
  screen.video.addEventListener("error", () => {
    // names tell only so much: a codec may be unknown
    if (!screen.video?.hasAttribute("src")) return;
    const [second, playing] = [screen.time(), !screen.paused()];
    screen = byFrames();
    screen.seek(second);
    if (playing) screen.play();
  });
  return through(element, () => screen);
}

/** A player whose screen may be another one later. */
function through(element, screen) {
  const passed =
    (name) =>
    (...given) =>
      screen()[name](...given);
  const names = ["play", "pause", "toggle", "seek", "time", "paused", "rate", "stop"];
  return { element, ...Object.fromEntries(names.map((name) => [name, passed(name)])) };
}

function still(thing, media, element) {
  const image = el("img", { src: media.media, alt: thing.name });
  image.addEventListener("error", () => (image.src = media.thumbnail(0, WIDTH)), { once: true });
  fill(element, image);
  const nothing = () => {};
  return {
    play: nothing,
    pause: nothing,
    toggle: nothing,
    seek: nothing,
    rate: nothing,
    stop: nothing,
    time: () => 0,
    paused: () => true,
  };
}

function film(thing, media, { controls, preload, onTime }) {
  const video = el("video", {
    src: media.media,
    controls,
    playsinline: true,
    muted: true,
    preload,
    "aria-label": thing.name,
  });
  let wanted = null;
  video.addEventListener("loadedmetadata", () => wanted !== null && (video.currentTime = wanted));
  video.addEventListener("timeupdate", () => onTime(video.currentTime));
  const play = () => video.play().catch(() => {}); // a pause or a new film may come first
  return {
    video,
    play,
    pause: () => video.pause(),
    toggle: () => (video.paused ? play() : video.pause()),
    seek(second) {
      wanted = second;
      if (video.readyState > 0) video.currentTime = second;
    },
    rate: (value) => (video.playbackRate = value),
    time: () => (video.readyState > 0 ? video.currentTime : (wanted ?? 0)),
    paused: () => video.paused,
    stop() {
      video.pause();
      video.removeAttribute("src");
      video.load();
    },
  };
}

function frames(thing, media, onTime) {
  const image = el("img", { alt: thing.name });
  let second = 0;
  let timer = null;
  const show = () => {
    image.src = media.thumbnail(second, WIDTH);
    image.alt = `${thing.name} at ${clock(second)}`;
    onTime(second);
  };
  const pause = () => {
    clearInterval(timer);
    timer = null;
  };
  const play = () => {
    pause();
    timer = setInterval(() => {
      if (!image.complete) return; // the frame before is on its way
      second = second + 1 / FRAMES_A_SECOND > thing.duration ? 0 : second + 1 / FRAMES_A_SECOND;
      show();
    }, 1000 / FRAMES_A_SECOND);
  };
  show();
  return {
    image,
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
