/**
 * Values as people read them. Pure: no document, no clock.
 * @module
 */

/** What is unknown. */
export const DASH = "–";

const FAMILIES = {
  running: ["running", "busy", "initialized", "scheduled"],
  suspended: ["suspended", "paused", "closing", "warning"],
  zombie: ["zombie"],
  failed: ["failed", "lost", "timed out", "rejected", "abandoned", "error"],
  ended: ["closed", "finished", "cancelled", "ended"],
};
/** @type {Map<string, string>} */
const FAMILY = new Map();
for (const [name, states] of Object.entries(FAMILIES)) for (const state of states) FAMILY.set(state, name);

/** The six looks of a state, in the order of legends. */
export const LOOKS = ["running", "idle", "suspended", "zombie", "failed", "ended"];

/**
 * Which of the six looks a state has.
 * @param {string | null} state
 * @returns {string}
 */
export function family(state) {
  return FAMILY.get(state ?? "") ?? "idle";
}

// C0 and C1 controls but for tab and newline, direction marks, and (by the flag u) halves of a surrogate pair.
const UNSEEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]/gu;

/**
 * A text with what can't be seen, or would turn the rest around, made visible.
 * @param {string} text
 * @returns {string}
 */
export function printable(text) {
  return text.replace(UNSEEN, (found) => {
    const code = found.charCodeAt(0);
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    return `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

/**
 * @param {number | null | undefined} value
 * @returns {string}
 */
export function count(value) {
  return known(value) ? Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, ",") : DASH;
}

/**
 * @param {number | null | undefined} value
 * @returns {string} with one decimal, where that says something
 */
export function number(value) {
  if (!known(value)) return DASH;
  return value !== 0 && Math.abs(value) < 100 ? value.toFixed(1) : count(value);
}

/**
 * @param {number | null | undefined} value
 * @returns {string}
 */
export function percent(value) {
  return known(value) ? `${Math.round(value)} %` : DASH;
}

/**
 * @param {number | null | undefined} value
 * @returns {string} in binary units
 */
export function bytes(value) {
  if (!known(value)) return DASH;
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let at = 0;
  let left = value;
  while (left >= 1024 && at < units.length - 1) {
    left /= 1024;
    at += 1;
  }
  return `${at && left < 100 ? left.toFixed(1) : Math.round(left)} ${units[at]}`;
}

/**
 * @param {number | null | undefined} value seconds
 * @returns {string} in at most two units
 */
export function duration(value) {
  if (!known(value)) return DASH;
  const seconds = Math.max(0, value);
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const two = (/** @type {number} */ part) => String(part).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two(Math.floor(whole / 60) % 60)} min`;
  return `${Math.floor(whole / 86400)} d ${two(Math.floor(whole / 3600) % 24)} h`;
}

/**
 * @param {number | null | undefined} value seconds
 * @returns {string} whole seconds, for what ticks in a table
 */
export function age(value) {
  if (!known(value)) return DASH;
  const seconds = Math.max(0, value);
  return seconds < 60 ? `${Math.floor(seconds)} s` : duration(seconds);
}

/**
 * @param {number | null | undefined} value seconds since the epoch
 * @param {number} [now] a time of another day gets its date
 * @returns {string}
 */
export function time(value, now) {
  if (!known(value)) return DASH;
  const date = new Date(value * 1000);
  const two = (/** @type {number} */ part) => String(part).padStart(2, "0");
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  if (now === undefined || new Date(now * 1000).toDateString() === date.toDateString()) return clock;
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock}`;
}

/**
 * @returns {string} the browser's zone, as it is named
 */
export function zone() {
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const minutes = -new Date().getTimezoneOffset();
  const hours = Math.floor(Math.abs(minutes) / 60);
  const rest = Math.abs(minutes) % 60;
  const offset = `UTC${minutes < 0 ? "-" : "+"}${hours}${rest ? `:${String(rest).padStart(2, "0")}` : ""}`;
  return name && name !== "UTC" ? `${name}, ${offset}` : "UTC";
}

/**
 * Frames of a stack in one line, innermost last.
 * @param {[string, number, string][] | null} frames
 * @returns {string}
 */
export function stack(frames) {
  if (!frames || !frames.length) return DASH;
  return frames.map(([file, line, name]) => `${name} ${file.split("/").pop()}:${line}`).join(" › ");
}

/** @param {string} part @returns {string} of an address, as it was meant; what is no such part is taken as it stands */
export function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/**
 * `3 tasks`, `1 task`.
 * @param {number} amount
 * @param {string} noun
 * @returns {string}
 */
export function many(amount, noun) {
  return `${count(amount)} ${noun}${amount === 1 ? "" : "s"}`;
}

/**
 * @param {unknown} value
 * @returns {value is number}
 */
export function known(value) {
  return typeof value === "number" && Number.isFinite(value);
}
