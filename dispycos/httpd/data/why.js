/**
 * Why is nothing running? The monitor knows the causes; this shows them.
 * @module
 */
import { h, mark, put, say } from "./dom.js";
import { where } from "./lending.js";

const EVERY = 5000; // ms between questions while somebody looks

/** @typedef {import("./main.js").App} App */

/**
 * The page: each cause with its evidence and one thing to do.
 * @param {App} app
 * @param {HTMLElement} root
 */
export function open(app, root) {
  const list = h("ol.causes");
  const state = h("p.quiet", {}, "Asking the monitor …");
  let last = "";
  let asked = 0;
  let closed = false;
  const title = app.store.lends ? "Why do clients wait?" : "Why is nothing running?";
  const elsewhere = where(app);
  put(root, h("h1", {}, title), state, list, app.store.lends ? elsewhere.element : null);

  async function ask() {
    asked = Date.now();
    try {
      const answer = await app.transport.ask("why");
      if (closed) return;
      const text = JSON.stringify(answer.causes);
      if (text === last) return;
      last = text;
      const { causes } = answer;
      say(state, causes.length ? "The most specific cause stands first." : app.store.lends ? "No client waits." : "Nothing keeps tasks from running: as far as the monitor sees, all is well.");
      put(list, causes.map((/** @type {any} */ cause) => h("li.panel", {}, h("h2", {}, cause.title), h("ul", {}, cause.evidence.map((/** @type {string} */ line) => h("li", {}, line))), h("p.advice", {}, cause.advice))));
    } catch {
      if (!closed) say(state, app.bye ? "The program has ended; the causes below are the last that were known." : "The monitor did not answer; the causes below are the last that were known.");
    }
  }
  if (app.ready) ask();
  return {
    title,
    topics: /** @type {string[]} */ ([]),
    paint() {
      elsewhere.paint();
      mark(list, "aria-busy", app.ready ? null : "true");
      if (app.ready && !app.bye && Date.now() - asked >= EVERY) ask();
    },
    close() {
      closed = true;
    },
  };
}
