/**
 * A canvas that is sharp on every screen, repaints once per frame, and has its data as a table one key away.
 * @module
 */
import { h, mark, never, put, soon } from "./dom.js";

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

let family = "";

/** The font of the page's data. */
export function font() {
  family ||= getComputedStyle(document.body).fontFamily;
  return `13px ${family}`;
}

/** The height of the window; asking for it in the middle of an update would have the page laid out twice. */
export let tall = innerHeight;
addEventListener("resize", () => (tall = innerHeight));

/** One canvas with its caption, its summary and its table. */
export class Picture {
  /**
   * @param {string} caption
   * @param {{
   *   draw: (pen: CanvasRenderingContext2D, width: number, height: number) => void, summary: () => string,
   *   redraw?: (pen: CanvasRenderingContext2D) => boolean,
   *   table: () => {columns: string[], rows: string[][]}, tall: (width: number) => number,
   *   key?: (event: KeyboardEvent) => boolean, tools?: Node[],
   * }} form `redraw`: draws only what differs from the last picture, or answers false: draw it all;
   *   `tall`: the height in pixels for a width; `key`: whether it took a key
   */
  constructor(caption, form) {
    this._form = form;
    this._width = 0; // of the frame, as it was seen last
    this._drawn = false; // the picture is of this size and theme
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
    this._sizes = new ResizeObserver(() => {
      this._width = this.frame.clientWidth;
      this.paint();
    });
    this._sizes.observe(this.frame);
    addEventListener("recolour", (this._recoloured = () => {
      this._drawn = false;
      this.paint();
    }));
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
    soon(this._draw);
  }

  _draw = () => {
    const width = this._width;
    if (!width || !this.pen) return;
    const height = Math.round(this._form.tall(width));
    const scale = devicePixelRatio || 1;
    const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
    if (this.canvas.width !== wide || this.canvas.height !== high) {
      this.canvas.width = wide;
      this.canvas.height = high;
      this.canvas.style.height = `${height}px`;
      this._drawn = false;
    }
    this.pen.setTransform(scale, 0, 0, scale, 0, 0);
    if (!this._drawn || !this._form.redraw?.(this.pen)) {
      this.pen.clearRect(0, 0, width, height);
      this._form.draw(this.pen, width, height);
      this._drawn = true;
    }
    mark(this.canvas, "aria-label", this._form.summary());
    this._fill();
  };

  /** Let go of what outlives the element. */
  close() {
    this._sizes.disconnect();
    removeEventListener("recolour", this._recoloured);
    never(this._draw);
  }
}
