/**
 * Dialogs and messages: what asks, and what stays until it is read.
 * @module
 */
import { h, put } from "./dom.js";

/**
 * Open a dialog. The browser keeps the focus inside and gives it back; Esc closes.
 * @param {string} title
 * @param {(Node | string)[]} body
 * @param {(close: (value: boolean) => void) => Node[]} buttons
 * @returns {Promise<boolean>} what the buttons said; false if it was closed
 */
export function dialog(title, body, buttons) {
  return new Promise((resolve) => {
    const before = /** @type {HTMLElement | null} */ (document.activeElement);
    const box = h("dialog", { "aria-labelledby": "dialog-title" });
    let answer = false;
    const close = (/** @type {boolean} */ value) => {
      answer = value;
      box.close();
    };
    put(box, h("h2", { id: "dialog-title" }, title), h("div.dialog-body", {}, body), h("div.buttons", {}, buttons(close)));
    box.addEventListener("close", () => {
      box.remove();
      before?.focus?.({ preventScroll: true });
      resolve(answer);
    });
    document.body.append(box);
    box.showModal();
    /** @type {HTMLElement | null} */ (box.querySelector("[data-first]"))?.focus();
  });
}

/**
 * Ask whether to do something that can't be taken back.
 * @param {{title: string, text: string[], verb: string, typed?: string}} form `typed`: what must be typed first
 * @returns {Promise<boolean>}
 */
export function confirm(form) {
  const field = form.typed ? h("input", { id: "typed", autocomplete: "off", spellcheck: "false", "aria-describedby": "typed-wrong" }) : null;
  const wrong = h("p.wrong", { id: "typed-wrong", role: "alert" });
  const body = [...form.text.map((line) => h("p", {}, line))];
  if (field) body.push(h("label", { for: "typed" }, `Type ${form.typed} to go on`), field, wrong);
  return dialog(form.title, body, (close) => {
    const go = h("button.danger", { type: "button", onclick: () => {
      if (field && field.value.trim() !== form.typed) {
        put(wrong, `That is not ${form.typed}.`);
        field.setAttribute("aria-invalid", "true");
        field.focus();
      } else close(true);
    } }, form.verb);
    return [h("button", { type: "button", "data-first": true, onclick: () => close(false) }, "Cancel"), go];
  });
}

/** Messages, the newest last. */
export class Messages {
  /** @param {HTMLElement} place */
  constructor(place) {
    this._place = place;
  }

  /**
   * Say something that stays until it is read.
   * @param {string} text
   * @param {{bad?: boolean, lines?: string[], offer?: string, take?: () => void, seconds?: number}} [more] `offer`: a
   *   button's name; `take`: what it does; `seconds`: how long it is offered
   */
  say(text, more = {}) {
    const close = h("button.plain", { type: "button", "aria-label": "Dismiss", onclick: () => message.remove() }, "Dismiss");
    const lines = more.lines?.length ? h("ul", {}, more.lines.map((line) => h("li", {}, line))) : null;
    const offer = more.offer ? h("button", { type: "button", onclick: () => {
      message.remove();
      more.take?.();
    } }, more.offer) : null;
    const message = h(more.bad ? "div.message.bad" : "div.message", { role: more.bad ? "alert" : "status" }, h("div", {}, h("p", {}, text), lines), offer, close);
    this._place.append(message);
    if (offer && more.seconds) setTimeout(() => offer.remove(), more.seconds * 1000);
    while (this._place.children.length > 5) this._place.firstChild?.remove();
  }
}
