/**
 * Help, and what is shown to who has not logged in.
 * @module
 */
import { dialog } from "./dialog.js";
import { h, put, say, shape } from "./dom.js";

/** @typedef {import("./main.js").App} App */

const MEANINGS = [
  ["running", "running, busy, initialized, scheduled"],
  ["idle", "idle, waiting, being prepared"],
  ["suspended", "suspended, paused, closing"],
  ["zombie", "zombie: not heard for too long"],
  ["failed", "failed, lost, timed out, rejected, abandoned"],
  ["closed", "closed, finished, cancelled"],
];

/**
 * @param {App} app
 * @param {import("./keys.js").Binding[]} bindings
 */
export function help(app, bindings) {
  const keys = h("dl.keys", {}, bindings.map(({ keys, text }) => h("div", {}, h("dt", {}, keys.split(" ").map((key) => h("kbd", {}, key))), h("dd", {}, text))));
  keys.append(h("div", {}, h("dt", {}, h("kbd", {}, "d")), h("dd", {}, "A picture as a table")));
  const meanings = h("ul.meanings", {}, MEANINGS.map(([state, text]) => h("li", {}, shape(state), ` ${text}`)));
  const box = h("input", { type: "checkbox", id: "help-keys", checked: app.settings.values.keys, onchange: () => app.settings.set({ keys: box.checked }) });
  dialog("Keys and meanings", [keys, h("p", {}, box, " ", h("label", { for: "help-keys" }, "Keys are on")), meanings], (close) => [h("button", { type: "button", "data-first": true, onclick: () => close(true) }, "Close")]);
}

/**
 * The page of who is not logged in.
 * @param {App} app
 * @param {HTMLElement} root
 */
export function welcome(app, root) {
  const wrong = h("p.wrong", { id: "token-wrong", role: "alert" }, app.wrong);
  const field = h("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", "aria-describedby": "token-wrong" });
  const form = h("form.login.panel", { onsubmit: async (/** @type {Event} */ event) => {
    event.preventDefault();
    const token = field.value.trim().replace(/^.*#token=/, "");
    say(wrong, token ? "" : "Paste the link or its token first.");
    if (!token) return;
    const answer = await app.login(token);
    say(wrong, answer);
    field.setAttribute("aria-invalid", String(Boolean(answer)));
    if (answer) field.focus();
  } }, h("h1", {}, "Log in"), h("p", {}, "Open the link that the program printed when it started, or paste it here:"), h("pre", {}, `${location.origin}/#token=…`), h("label", { for: "token" }, "Link or token"), field, wrong, h("button.primary", { type: "submit" }, "Log in"), h("p.quiet", {}, "Each run of a program prints a link for operators, who may act, and one for viewers. This browser then stays logged in for 12 hours after its last use."));
  put(root, form);
  return { title: "Log in", topics: ["cluster"], paint() {} };
}
