// Numbers and times as people read them.

/** 75.25 -> "1:15.3"; whole seconds where `decimals` is 0. */
export function clock(seconds, decimals = 1) {
  if (!Number.isFinite(seconds)) return "–";
  const unit = 10 ** decimals;
  const rounded = Math.round(seconds * unit) / unit;
  const hours = Math.floor(rounded / 3600);
  const minutes = Math.floor(rounded / 60) % 60;
  const rest = (rounded % 60).toFixed(decimals).padStart(decimals ? 3 + decimals : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

export function span(start, end) {
  return end > start ? `${clock(start)}–${clock(end)}` : clock(start);
}

/** Distances of any scale: three figures that count, of next to nothing two. */
export function figure(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (Number.isInteger(value)) return String(value);
  if (Math.abs(value) < 0.001) return value.toExponential(1);
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

/** 0.034 -> "34 ms". */
export function milliseconds(seconds) {
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`;
}

/** `min_cosine` -> "min cosine". */
export const words = (name) => name.replaceAll("_", " ");
