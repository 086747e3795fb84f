/**
 * The grid: one cell for each server, by state, the servers of a node side by side.
 * @module
 */
import { Picture, colour, tall } from "./canvas.js";
import { h, say, shape } from "./dom.js";
import { LOOKS, count, many } from "./format.js";
import { byNumber } from "./order.js";
import { Looks } from "./store.js";

const WORDS = { running: "busy", idle: "idle or preparing", suspended: "suspended", zombie: "zombie", failed: "failed", ended: "closed" };
const LARGEST = 22; // pixels from cell to cell
const SMALLEST = 3;

/** @typedef {import("./store.js").Row} Row */

/** The grid of a cluster's or a node's servers. */
export class Grid {
  /** @param {(id: string) => Row | null} node */
  constructor(node) {
    this._node = node;
    /** @type {readonly Row[]} */
    this._given = [];
    /** @type {Row[]} */
    this._servers = [];
    this._looks = new Looks([]);
    /** @type {{x: number, y: number, row: Row}[]} one for each server, in their order */
    this._cells = [];
    this._fresh = true; // nothing was drawn at these places yet
    this._pitch = LARGEST;
    this._at = -1;
    this._drawnAt = -1; // the cell that was drawn as pointed at
    this._flowed = ""; // for which width and height the places are
    this._height = 0;
    this._legend = h("ul.legend");
    /** @type {Map<string, HTMLElement>} */
    this._counts = new Map();
    for (const look of LOOKS) {
      const number = h("strong");
      this._counts.set(look, number);
      this._legend.append(h("li", { hidden: true }, shape(/** @type {any} */ ({ running: "busy", idle: "idle", suspended: "suspended", zombie: "zombie", failed: "failed", ended: "closed" })[look]), " ", number, ` ${/** @type {any} */ (WORDS)[look]}`));
    }
    this._told = h("output.told", { "aria-live": "off" });
    this._picture = new Picture("Servers", {
      draw: (pen) => this._draw(pen),
      redraw: (pen) => this._redraw(pen),
      summary: () => this._summary(),
      table: () => ({ columns: ["Server", "Node", "State", "Running"], rows: this._servers.map((row) => [row.location ?? row.id, this._node(row.node)?.name ?? "", row.state ?? "", String(row.running ?? "")]) }),
      tall: (width) => this._arrange(width),
      key: (event) => this._move(event),
    });
    this.element = this._picture.element;
    this.element.append(h("div.under", {}, this._legend, this._told));
    const { canvas } = this._picture;
    canvas.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => this._point(this._find(event.offsetX, event.offsetY)));
    canvas.addEventListener("pointerleave", () => this._point(-1));
    canvas.addEventListener("click", (/** @type {PointerEvent} */ event) => this._open(this._find(event.offsetX, event.offsetY)));
    canvas.addEventListener("blur", () => this._point(-1));
  }

  /** @param {readonly Row[]} servers the same list, unless some came or went */
  show(servers) {
    if (servers !== this._given) {
      // Places are by address, so that a node is found again; sorted only when servers come or go.
      this._given = servers;
      const keyed = servers.map((row) => ({ row, key: `${byNumber(this._node(row.node)?.address ?? "")} ${row.node} ${byNumber(row.location ?? "")}` }));
      this._servers = keyed.sort((a, b) => (a.key < b.key ? -1 : 1)).map((one) => one.row);
      this._looks = new Looks(this._servers);
      this._flowed = "";
    }
    this._looks.take();
    for (const [look, element] of this._counts) {
      const number = this._looks.many.get(look) ?? 0;
      say(element, count(number));
      /** @type {HTMLElement} */ (element.parentElement).hidden = !number;
    }
    this._tell();
    this._picture.paint();
  }

  /** @param {number} width @returns {number} the height that the cells take */
  _arrange(width) {
    const tallest = Math.max(96, Math.min(280, tall * 0.3));
    const wanted = `${width} ${tallest}`;
    if (wanted === this._flowed) return this._height;
    this._flowed = wanted;
    this._fresh = true;
    let pitch = LARGEST;
    let height = this._flow(width, pitch);
    while (height > tallest && pitch > SMALLEST) height = this._flow(width, --pitch);
    this._pitch = pitch;
    this._height = Math.max(pitch, height);
    return this._height;
  }

  /** @param {number} width @param {number} pitch */
  _flow(width, pitch) {
    const gap = pitch >= 6 ? Math.round(pitch / 2) : 0;
    this._cells = [];
    let [x, y] = [0, 0];
    for (let at = 0; at < this._servers.length; at += 1) {
      const row = this._servers[at];
      const first = at === 0 || this._servers[at - 1].node !== row.node;
      if (first && at) {
        x += gap;
        // A node that fits into a line is not broken.
        let many = 1;
        while (at + many < this._servers.length && this._servers[at + many].node === row.node) many += 1;
        if (gap && x + many * pitch > width && many * pitch <= width) [x, y] = [0, y + pitch];
      }
      if (x + pitch > width) [x, y] = [0, y + pitch];
      this._cells.push({ x, y, row });
      x += pitch;
    }
    return y + pitch;
  }

  get _size() {
    const pitch = this._pitch;
    return pitch >= 8 ? pitch - Math.max(2, Math.round(pitch / 7)) : pitch - 1;
  }

  /** @param {CanvasRenderingContext2D} pen */
  _draw(pen) {
    this._cover(pen, this._cells.keys());
    this._looks.stale.clear();
    this._fresh = false;
    this._drawnAt = this._at;
    const pointed = this._cells[this._at];
    if (pointed) {
      pen.strokeStyle = colour("text");
      pen.lineWidth = 2;
      pen.strokeRect(pointed.x, pointed.y, this._size, this._size);
    }
  }

  /** @param {CanvasRenderingContext2D} pen @returns {boolean} */
  _redraw(pen) {
    // A frame around a cell reaches into its neighbours, and between two pixels an edge can't be wiped away.
    if (this._fresh || this._at >= 0 || this._drawnAt >= 0 || !Number.isInteger(devicePixelRatio)) return false;
    const { stale } = this._looks;
    for (const at of stale) pen.clearRect(this._cells[at].x, this._cells[at].y, this._pitch, this._pitch);
    this._cover(pen, stale);
    stale.clear();
    return true;
  }

  /** @param {CanvasRenderingContext2D} pen @param {Iterable<number>} which cells, on a ground that is free */
  _cover(pen, which) {
    const size = this._size;
    // Thousands of cells are a few shapes: all of one look that are plain squares are filled at once.
    /** @type {Map<string, Path2D>} */
    const squares = new Map();
    for (const at of which) {
      const { x, y } = this._cells[at];
      const look = this._looks.of(at);
      if (size >= 6 && look !== "running") cell(pen, look, x, y, size);
      else {
        let path = squares.get(look);
        if (!path) squares.set(look, (path = new Path2D()));
        path.rect(x, y, size, size);
      }
    }
    for (const [look, path] of squares) {
      pen.fillStyle = colour(look);
      pen.fill(path);
    }
  }

  /** @param {number} left @param {number} top */
  _find(left, top) {
    const pitch = this._pitch;
    return this._cells.findIndex(({ x, y }) => left >= x && left < x + pitch && top >= y && top < y + pitch);
  }

  /** @param {number} at */
  _point(at) {
    if (at === this._at) return;
    this._at = at;
    this._tell();
    this._picture.paint();
  }

  _tell() {
    const row = this._cells[this._at]?.row;
    const none = this._servers.length ? "" : "A cell for each server appears here as soon as a node is prepared.";
    say(this._told, row ? `${row.location} on ${this._node(row.node)?.name ?? "?"}: ${row.state}, ${count(row.running)} running` : none);
  }

  /** @param {number} at */
  _open(at) {
    const row = this._cells[at]?.row;
    if (row) location.hash = `#/server/${row.id}`;
  }

  /** @param {KeyboardEvent} event */
  _move(event) {
    const here = this._cells[this._at];
    const last = this._cells.length - 1;
    const down = event.key === "ArrowDown";
    if (event.key === "ArrowRight") this._point(Math.min(last, this._at + 1));
    else if (event.key === "ArrowLeft") this._point(Math.max(0, this._at - 1));
    else if ((down || event.key === "ArrowUp") && here) {
      const to = this._find(here.x + 1, here.y + (down ? this._pitch : -this._pitch) + 1);
      if (to >= 0) this._point(to);
    } else if (event.key === "Enter" && here) this._open(this._at);
    else if (event.key === "Escape" && here) this._point(-1);
    else return false;
    return true;
  }

  _summary() {
    const parts = [...this._counts].filter(([, element]) => element.textContent !== "0").map(([look, element]) => `${element.textContent} ${/** @type {any} */ (WORDS)[look]}`);
    const pointed = this._at >= 0 && this._told.textContent;
    return `${many(this._servers.length, "server")}: ${parts.join(", ") || "none"}${pointed ? `. At ${pointed}` : ""}`;
  }

  /** Let go of what outlives the element. */
  close() {
    this._picture.close();
  }
}

/**
 * A cell: the colour says the state, and so does the shape.
 * @param {CanvasRenderingContext2D} pen
 * @param {string} look
 * @param {number} x
 * @param {number} y
 * @param {number} size
 */
function cell(pen, look, x, y, size) {
  pen.fillStyle = pen.strokeStyle = colour(look);
  pen.lineWidth = 1.5;
  if (look === "idle") pen.strokeRect(x + 0.75, y + 0.75, size - 1.5, size - 1.5);
  else if (look === "suspended") {
    // Narrower than the cell, or those of neighbours would run into each other.
    pen.fillRect(x + size * 0.1, y, size * 0.28, size);
    pen.fillRect(x + size * 0.62, y, size * 0.28, size);
  } else if (look === "ended") pen.fillRect(x, y + size * 0.38, size, size * 0.24);
  else {
    pen.beginPath();
    if (look === "zombie") {
      pen.moveTo(x + size / 2, y);
      pen.lineTo(x + size, y + size / 2);
      pen.lineTo(x + size / 2, y + size);
      pen.lineTo(x, y + size / 2);
      pen.fill();
    } else {
      pen.lineWidth = Math.max(2, size / 5);
      pen.moveTo(x + 1, y + 1);
      pen.lineTo(x + size - 1, y + size - 1);
      pen.moveTo(x + size - 1, y + 1);
      pen.lineTo(x + 1, y + size - 1);
      pen.stroke();
    }
  }
}
