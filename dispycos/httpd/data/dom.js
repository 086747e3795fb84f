/**
 * Elements and text. Everything that a task can print or name enters the page here, as text only.
 * @module
 */
import { family, printable } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * Make an element: `h("p.quiet", { title: "..." }, "text", child)`.
 * @param {string} name tag and classes, with dots between
 * @param {Record<string, unknown>} [props] `on...` are listeners, `true` an empty attribute, null or false none
 * @param {...(Child | Child[])} children
 * @returns {any} the element; typed loosely, as the tag is text
 */
export function h(name, props = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(props)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), /** @type {EventListener} */ (value));
    else if (key === "value" || key === "checked") /** @type {any} */ (element)[key] = value;
    else if (value === true) element.setAttribute(key, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, printable(String(value)));
  }
  fill(element, ...children);
  return element;
}

/**
 * Put children at the end of an element; texts become text nodes, never markup.
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function fill(element, ...children) {
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : printable(String(child)));
  }
}

/** @type {Set<() => void>} what is painted with the next frame */
const unpainted = new Set();
let frame = 0;

/**
 * Paint with the next frame, or still with this one while it is made: what one update changes is laid out once.
 * @param {() => void} paint is called once in a frame, however often it is asked for
 */
export function soon(paint) {
  unpainted.add(paint);
  frame ||= requestAnimationFrame(paintAll);
}

/** @param {() => void} paint is not called any more */
export function never(paint) {
  unpainted.delete(paint);
}

function paintAll() {
  const done = new Set();
  try {
    // What is asked for meanwhile is met at the end of this loop; what asks for itself again has its turn next time.
    for (const paint of unpainted) {
      if (done.has(paint)) continue;
      done.add(paint);
      unpainted.delete(paint);
      paint();
    }
  } finally {
    frame = unpainted.size ? requestAnimationFrame(paintAll) : 0;
  }
}

/**
 * Make an element the last of its parent.
 * @param {any} element
 * @returns {any} what stood behind it
 */
export function toEnd(element) {
  const next = element.nextSibling;
  element.parentNode.append(element);
  return next;
}

/**
 * Replace what is in an element.
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function put(element, ...children) {
  element.replaceChildren();
  fill(element, ...children);
}

/**
 * Set an element's text, if it differs: what did not change is not painted.
 * @param {Element} element
 * @param {string} text
 */
export function say(element, text) {
  const shown = printable(text);
  if (element.textContent !== shown) element.textContent = shown;
}

/**
 * Set or remove an attribute, if it differs.
 * @param {Element} element
 * @param {string} name
 * @param {string | null} value null: remove it
 */
export function mark(element, name, value) {
  if (value === null) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== value) {
    element.setAttribute(name, printable(value));
  }
}

/**
 * The shape of a state.
 * @param {string} state
 * @returns {SVGElement}
 */
export function shape(state) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  svg.append(use);
  svg.setAttribute("aria-hidden", "true");
  reshape(svg, state);
  return svg;
}

/**
 * Have a shape show another state.
 * @param {Element} svg
 * @param {string} state
 */
export function reshape(svg, state) {
  const wanted = family(state);
  mark(svg, "class", `mark ${wanted}`);
  mark(/** @type {Element} */ (svg.firstChild), "href", `#mark-${wanted}`);
}

/**
 * A line of 60 points, without axes.
 * @param {(number | null)[]} values
 * @param {SVGElement} [old] drawn again in place
 * @returns {SVGElement}
 */
export function sparkline(values, old) {
  const svg = old ?? document.createElementNS(SVG, "svg");
  if (!old) {
    svg.setAttribute("class", "spark");
    svg.setAttribute("viewBox", "0 0 60 16");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    svg.append(document.createElementNS(SVG, "path"));
  }
  const shown = values.slice(-60);
  const top = Math.max(1e-9, ...shown.map((value) => value ?? 0));
  let path = "";
  let pen = "M";
  shown.forEach((value, at) => {
    if (value === null) pen = "M";
    else {
      path += `${pen}${at + 60 - shown.length} ${(15 - (14 * value) / top).toFixed(1)}`;
      pen = "L";
    }
  });
  mark(/** @type {Element} */ (svg.firstChild), "d", path);
  return /** @type {SVGElement} */ (svg);
}

/**
 * A list of names and values, kept up to date in place.
 * @param {HTMLElement} list a dl
 * @param {[string, string | Node, string?][]} facts name, value, hint
 */
export function facts(list, facts) {
  facts.forEach(([name, value, hint], at) => {
    let pair = list.children[at];
    if (!pair) list.append((pair = h("div", {}, h("dt"), h("dd"))));
    say(/** @type {Element} */ (pair.firstChild), name);
    const held = /** @type {Element} */ (pair.lastChild);
    if (value instanceof Node) {
      if (held.firstChild !== value) put(held, value);
    } else say(held, value);
    mark(held, "title", hint ?? null);
  });
  while (list.children.length > facts.length) list.lastChild?.remove();
}

/**
 * Hand a text to the user as a file.
 * @param {string} name
 * @param {string} type
 * @param {string} text
 */
export function download(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  // The browser takes the data after the click; a minute is more than it needs.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
