/**
 * A canvas that is sharp on every screen, repaints once per frame, and has its data as a table one key away.
 * @module
 */
import { h, mark, put } from "./dom.js";

/** The colours of the present theme, read once for each change of it. */
let palette = /** @type {Record<string, string> | null} */ (null);

/**
 * @param {string} name a custom property of monitor.css, without the dashes
 * @returns {string}
 */
export function colour(name) {
  palette ??= {};
  palette[name] ??= getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  return palette[name];
}

/** The theme has changed: every canvas is drawn anew. */
export function recolour() {
  palette = null;
  dispatchEvent(new Event("recolour"));
}

/** The font of the page's data. */
export function font() {
  return `13px ${getComputedStyle(document.body).fontFamily}`;
}

/** One canvas with its caption, its summary and its table. */
export class Picture {
  /**
   * @param {string} caption
   * @param {{
   *   draw: (pen: CanvasRenderingContext2D, width: number, height: number) => void, summary: () => string,
   *   table: () => {columns: string[], rows: string[][]}, tall?: (width: number) => number,
   *   key?: (event: KeyboardEvent) => boolean, tools?: Node[],
   * }} form `tall`: the height in pixels for a width; `key`: whether it took a key
   */
  constructor(caption, form) {
    this._form = form;
    this._waiting = 0;
    this._listed = false;
    this.canvas = h("canvas", { role: "img", tabindex: "0" });
    this.pen = this.canvas.getContext("2d");
    this._button = h("button.plain", { type: "button", "aria-pressed": "false", title: "As a table (d)", onclick: () => this.list() }, "Table");
    this.note = h("span.quiet");
    this._table = h("div.listing", { hidden: true, tabindex: "0", role: "region", "aria-label": `${caption}, as a table` });
    this.frame = h("div.canvas", {}, this.canvas);
    this.element = h("figure.panel.picture", {}, h("figcaption", {}, h("h2", {}, caption), this.note, h("span.grow"), form.tools ?? [], this._button), this.frame, this._table);
    this.canvas.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const taken = event.key === "d" ? (this.list(), true) : form.key?.(event);
      if (taken) {
        event.preventDefault();
        event.stopPropagation();
      }
    });
    this._sizes = new ResizeObserver(() => this.paint());
    this._sizes.observe(this.frame);
    addEventListener("recolour", (this._recoloured = () => this.paint()));
  }

  /** Show or hide the same data as a table. */
  list() {
    this._listed = !this._listed;
    this._table.hidden = !this._listed;
    mark(this._button, "aria-pressed", String(this._listed));
    this._fill();
  }

  _fill() {
    if (!this._listed) return;
    const { columns, rows } = this._form.table();
    // What somebody reads or scrolls keeps its place.
    const { scrollTop } = this._table;
    put(this._table, h("table", {}, h("thead", {}, h("tr", {}, columns.map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, rows.map((row) => h("tr", {}, row.map((text) => h("td", {}, text)))))));
    this._table.scrollTop = scrollTop;
  }

  /** Draw with the next frame. */
  paint() {
    if (!this._waiting) this._waiting = requestAnimationFrame(() => this._draw());
  }

  _draw() {
    this._waiting = 0;
    const width = this.frame.clientWidth;
    if (!width || !this.pen) return;
    const height = Math.round(this._form.tall ? this._form.tall(width) : this.frame.clientHeight);
    const scale = devicePixelRatio || 1;
    const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
    if (this.canvas.width !== wide || this.canvas.height !== high) {
      this.canvas.width = wide;
      this.canvas.height = high;
      this.canvas.style.height = `${height}px`;
    }
    this.pen.setTransform(scale, 0, 0, scale, 0, 0);
    this.pen.clearRect(0, 0, width, height);
    this._form.draw(this.pen, width, height);
    mark(this.canvas, "aria-label", this._form.summary());
    this._fill();
  }

  /** Let go of what outlives the element. */
  close() {
    this._sizes.disconnect();
    removeEventListener("recolour", this._recoloured);
    if (this._waiting) cancelAnimationFrame(this._waiting);
  }
}
