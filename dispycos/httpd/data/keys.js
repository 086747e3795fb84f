/**
 * Keys: one table of what they do, read by the listener and by the help that lists them.
 * @module
 */
import { PAGES } from "./bar.js";

/** @typedef {{keys: string, text: string, run: () => void}} Binding `keys`: one key, or two after each other */

const PAIR = 1500; // ms between the two keys of a pair

/** Listens for the page's keys. */
export class Keys {
  /** @param {Binding[]} bindings @param {() => boolean} enabled */
  constructor(bindings, enabled) {
    this.bindings = bindings;
    this._enabled = enabled;
    this._first = "";
    this._at = 0;
    document.addEventListener("keydown", (event) => this._down(event));
  }

  /** @param {KeyboardEvent} event */
  _down(event) {
    const target = /** @type {Element} */ (event.target);
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.repeat && event.key !== "j" && event.key !== "k") return;
    if (target.closest("input:not([type=checkbox]),select,textarea,dialog,[contenteditable]")) return;
    // Enter on a button or link is the browser's.
    if (event.key === "Enter" && target.closest("a,button,summary,canvas,input")) return;
    if (!this._enabled() && event.key !== "Escape") return;
    const pair = event.timeStamp - this._at < PAIR ? `${this._first} ${event.key}` : "";
    const found = this.bindings.find((one) => one.keys === pair) ?? this.bindings.find((one) => one.keys === event.key);
    const begins = this.bindings.some((one) => one.keys.startsWith(`${event.key} `));
    this._first = begins ? event.key : "";
    this._at = event.timeStamp;
    if (!found) return;
    this._first = "";
    event.preventDefault();
    found.run();
  }
}

/**
 * What the page's keys do.
 * @param {import("./main.js").App} app
 * @returns {Binding[]}
 */
export function bindings(app) {
  const table = () => (app.page?.tables ?? []).find((one) => one.focused) ?? app.page?.tables?.[0];
  return [
    ...PAGES.map(([page, label, key]) => ({ keys: `g ${key}`, text: label, run: () => (location.hash = `#/${page}`) })),
    { keys: "j", text: "Next row", run: () => table()?.step(1) },
    { keys: "k", text: "Row before", run: () => table()?.step(-1) },
    { keys: "Enter", text: "Open the row", run: () => table()?.enter() },
    { keys: "x", text: "Select the row", run: () => table()?.toggle() },
    { keys: "/", text: "Search", run: () => app.bar.search.focus() },
    { keys: "r", text: "Take the order that is held", run: () => (app.page?.tables ?? []).forEach((one) => one.refresh()) },
    { keys: "p", text: "Hold the order of rows, or let it go", run: () => app.pause() },
    { keys: "?", text: "This help", run: () => app.help() },
    { keys: "Escape", text: "Close, or leave the table", run: () => app.leave() },
  ];
}
