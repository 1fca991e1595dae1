// Keeps two films in step along an alignment path.

const LOOSE = 0.25; // seconds that a film may be off before it jumps
const STANDING = 2; // steps a second where both films stand still on the path

/** Seconds of query and item at each step of a path of [query, item] places. */
export function pathTimes({ path, query_times: queryTimes, item_times: itemTimes }) {
  return { query: path.map(([place]) => queryTimes[place]), item: path.map(([, place]) => itemTimes[place]) };
}

function between(values, step) {
  const below = Math.min(Math.floor(step), values.length - 1);
  const above = Math.min(below + 1, values.length - 1);
  return values[below] + (values[above] - values[below]) * (step - below);
}

/** Steps a second so that the faster of the two plays at its own speed. */
function stepsPerSecond(path, step) {
  const place = Math.min(Math.floor(step), path.query.length - 2);
  if (place < 0) return STANDING;
  const seconds = Math.max(
    Math.abs(path.query[place + 1] - path.query[place]),
    Math.abs(path.item[place + 1] - path.item[place]),
  );
  return seconds > 0 ? 1 / seconds : STANDING;
}

/**
 * @param {{query: number[], item: number[]}} path seconds of both at each step
 * @param {object|null} query player of the query
 * @param {object} item player of the result
 * @param {object} hooks {onStep(step, {query, item}), onPlaying(boolean)}
 */
export function pacer(path, query, item, { onStep, onPlaying }) {
  const last = path.query.length - 1;
  let step = 0;
  let frame = 0;
  let before = 0;
  const times = () => ({ query: between(path.query, step), item: between(path.item, step) });

  /** A film that runs forwards plays and is nudged; one that stands or runs back is shown frame by frame. */
  function steer(screen, second, speed) {
    if (!screen) return;
    const off = second - screen.time();
    if (speed > 0.05 && speed <= 4) {
      if (Math.abs(off) > LOOSE) screen.seek(second);
      screen.rate(Math.min(4, Math.max(0.1, speed + off)));
      if (screen.paused()) screen.play();
    } else {
      screen.pause();
      if (Math.abs(off) > 0.08) screen.seek(second);
    }
  }

  function tick(now) {
    const passed = Math.min(0.1, Math.max(0, (now - before) / 1000)); // a frame's time may lie before its request
    before = now;
    const from = times();
    step = Math.min(last, step + passed * stepsPerSecond(path, step));
    const at = times();
    const speed = (name) => (passed > 0 ? (at[name] - from[name]) / passed : 0);
    steer(query, at.query, speed("query"));
    steer(item, at.item, speed("item"));
    onStep(step, at);
    if (step >= last) pause();
    else frame = requestAnimationFrame(tick);
  }

  function pause() {
    cancelAnimationFrame(frame);
    frame = 0;
    query?.pause();
    item.pause();
    onPlaying(false);
  }

  function seek(target) {
    step = Math.min(Math.max(target, 0), last);
    const at = times();
    query?.seek(at.query);
    item.seek(at.item);
    onStep(step, at);
  }

  return {
    times,
    seek,
    stop: pause,
    toggle() {
      if (frame) return pause();
      if (step >= last) seek(0);
      onPlaying(true);
      before = performance.now();
      frame = requestAnimationFrame(tick);
      return undefined;
    },
  };
}
