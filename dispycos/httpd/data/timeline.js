/**
 * The timeline: a lane for each server, a bar for each task, coloured by function, hatched if it failed.
 * @module
 */
import { Picture, colour, font, tall } from "./canvas.js";
import { download, h, mark, put, say } from "./dom.js";
import { count, duration, family, many, time } from "./format.js";
import { byNumber } from "./order.js";

/** @typedef {import("./main.js").App} App */
/** @typedef {import("./store.js").Row} Row */

const LANE = 20; // pixels
const AXIS = 22;
const SHORTEST = 0.05; // seconds that fill the width
const LONGEST = 86_400;
const LISTED = 500; // bars of the table
const HUES = 12; // custom properties --hue-0 to --hue-11

/** @type {Map<string, number>} */
const hues = new Map();

/**
 * The colour of a function: by its name, so that it is mostly the same in each run; of two with the same
 * one the later takes the next that is free.
 * @param {string} name
 * @returns {string}
 */
function hue(name) {
  let own = hues.get(name);
  if (own === undefined) {
    own = 0;
    for (const letter of name) own = (own * 31 + /** @type {number} */ (letter.codePointAt(0))) % HUES;
    const taken = new Set(hues.values());
    for (let tried = 0; tried < HUES && taken.has(own); tried += 1) own = (own + 5) % HUES;
    hues.set(name, own);
  }
  return `hue-${own}`;
}

/**
 * @param {App} app
 * @param {HTMLElement} root
 */
export function open(app, root) {
  return new Timeline(app, root);
}

class Timeline {
  /** @param {App} app @param {HTMLElement} root */
  constructor(app, root) {
    this._app = app;
    this.title = "Timeline";
    this.topics = ["cluster", "timeline"];
    this._span = 60; // seconds over the width
    this._end = 0; // the right edge; 0: now, and it moves on
    this._top = 0; // pixels that lanes are scrolled by
    /** @type {Row[]} */
    this._bars = [];
    /** @type {{id: string, name: string}[]} */
    this._lanes = [];
    /** @type {Map<string, number>} */
    this._lane = new Map();
    this._known = "";
    this._at = ""; // the task that is pointed at
    this._drag = /** @type {{x: number, y: number, end: number, top: number, moved: boolean} | null} */ (null);
    this._live = h("button", { type: "button", "aria-pressed": "true", title: "Follow the present (End)", onclick: () => this._go({ end: 0 }) }, "Now");
    const button = (/** @type {string} */ label, /** @type {string} */ title, /** @type {() => void} */ run) => h("button", { type: "button", title, onclick: run }, label);
    const tools = [
      button("−", "Longer (-)", () => this._zoom(2)), button("+", "Shorter (+)", () => this._zoom(0.5)),
      button("‹", "Earlier (←)", () => this._pan(-0.25)), button("›", "Later (→)", () => this._pan(0.25)),
      this._live, button("Export", "As a Chrome trace, for chrome://tracing or ui.perfetto.dev", () => this._export()),
    ];
    this._picture = new Picture("Tasks by server", {
      draw: (pen, width, height) => this._draw(pen, width, height),
      summary: () => this._summary(),
      table: () => this._list(),
      tall: () => Math.max(220, Math.min(tall - 300, this._lanes.length * LANE + AXIS)),
      key: (event) => this._key(event),
      tools,
    });
    this._told = h("output.told", { "aria-live": "off" });
    this._legend = h("ul.legend");
    this._picture.element.append(h("div.under", {}, this._legend, this._told));
    this._listen();
    put(root, h("h1", {}, "Timeline"), this._picture.element, h("p.quiet", {}, "Drag to move, Ctrl and wheel to zoom. With the keyboard: arrows, + and -, Home for all, End for now, n and b from task to task, Enter opens. Of tasks that ended before somebody looked only those that failed are here."));
  }

  paint() {
    const { store } = this._app;
    // Of a bar that was left out for being too many, only the end may be known: it can't be drawn.
    this._bars = store.list("timeline", "task").filter((row) => row.begun && row.name !== undefined);
    const servers = store.list("cluster", "server");
    const used = new Set(this._bars.map((row) => row.server));
    const known = `${servers.length} ${servers[servers.length - 1]?.id} ${used.size}`;
    if (known !== this._known) {
      this._known = known;
      const lanes = servers.filter((row) => row.state !== "closed" || used.has(row.id)).map((row) => ({ id: row.id, name: row.location ?? row.id, key: byNumber(row.location ?? "") ?? "" }));
      this._lanes = lanes.sort((a, b) => (a.key < b.key ? -1 : 1));
      this._lane = new Map(this._lanes.map((lane, at) => [lane.id, at]));
    }
    const sampled = (store.topics.get("timeline")?.sampled ?? 1) * (store.cluster.one_in ?? 1);
    const none = "No task has begun yet: each appears here as a bar when it does.";
    say(this._picture.note, this._bars.length ? `${many(this._bars.length, "bar")}${sampled > 1 ? `, sampled 1:${sampled}` : ""}` : none);
    this._names();
    this._picture.paint();
  }

  _names() {
    const counts = new Map();
    for (const row of this._bars) counts.set(row.name, (counts.get(row.name) ?? 0) + 1);
    const most = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 8);
    const text = most.map(([name]) => name).join("\n");
    if (text === this._text) return;
    this._text = text;
    put(this._legend, most.map(([name]) => h("li", {}, h(`span.swatch.${hue(name)}`), ` ${name}`)), h("li", {}, h("span.swatch.hatched"), " failed"));
  }

  get _now() {
    return this._end || this._app.now();
  }

  /** @param {{span?: number, end?: number, top?: number}} to */
  _go(to) {
    if (to.span) this._span = Math.max(SHORTEST, Math.min(LONGEST, to.span));
    if (to.end !== undefined) this._end = to.end >= this._app.now() ? 0 : to.end;
    const room = this._picture.frame.clientHeight - AXIS;
    if (to.top !== undefined) this._top = Math.max(0, Math.min(this._lanes.length * LANE - room, to.top));
    mark(this._live, "aria-pressed", String(this._end === 0));
    this._picture.paint();
  }

  /** @param {number} by @param {number} [part] of the width that stays where it is */
  _zoom(by, part = 1) {
    const span = Math.max(SHORTEST, Math.min(LONGEST, this._span * by));
    const end = this._end === 0 && part > 0.9 ? 0 : this._now + (span - this._span) * (1 - part);
    this._go({ span, end });
  }

  /** @param {number} by parts of the width */
  _pan(by) {
    this._go({ end: this._now + by * this._span });
  }

  /** @param {number} left @param {number} width @returns {[number, number]} start and end of the lanes */
  _edges(left, width) {
    const names = width >= 560 ? 150 : 0;
    return [left + names, width];
  }

  /** @param {CanvasRenderingContext2D} pen @param {number} width @param {number} height */
  _draw(pen, width, height) {
    const [left] = this._edges(0, width);
    const end = this._now;
    const scale = (width - left) / this._span;
    const x = (/** @type {number} */ when) => left + (when - (end - this._span)) * scale;
    this._top = Math.max(0, Math.min(this._top, this._lanes.length * LANE + AXIS - height));
    pen.font = font();
    pen.textBaseline = "middle";
    this._axis(pen, x, left, width, height);
    const first = Math.floor(this._top / LANE);
    const last = Math.min(this._lanes.length, Math.ceil((this._top + height - AXIS) / LANE));
    pen.save();
    pen.beginPath();
    pen.rect(0, AXIS, width, height - AXIS);
    pen.clip();
    for (let at = first; at < last; at += 1) {
      const y = AXIS + at * LANE - this._top;
      pen.fillStyle = colour("line");
      pen.fillRect(left, y + LANE - 1, width - left, 1);
      if (!left) continue;
      pen.fillStyle = colour("quiet");
      pen.fillText(this._lanes[at].name, 0, y + LANE / 2, left - 10);
    }
    pen.beginPath();
    pen.rect(left, AXIS, width - left, height - AXIS);
    pen.clip();
    /** @type {{row: Row, from: number, to: number, y: number}[]} */
    this._drawn = [];
    for (const row of this._bars) {
      const at = this._lane.get(row.server);
      if (at === undefined || at < first || at >= last) continue;
      const from = x(row.begun);
      const to = x(row.ended ?? this._app.now());
      if (to < left || from > width) continue;
      this._drawn.push({ row, from, to, y: AXIS + at * LANE - this._top + 2 });
    }
    // Tasks at the same server at the same time, as I/O tasks are: the later ones are drawn thin, over the first.
    this._drawn.sort((a, b) => a.y - b.y || a.from - b.from);
    let [lane, busy] = [-1, 0];
    for (const bar of this._drawn) {
      const thin = bar.y === lane && bar.from < busy - 1;
      if (!thin) [lane, busy] = [bar.y, bar.to];
      this._bar(pen, bar, left, thin);
    }
    pen.restore();
  }

  /** @param {CanvasRenderingContext2D} pen @param {{row: Row, from: number, to: number, y: number}} bar @param {number} left @param {boolean} thin */
  _bar(pen, { row, from, to, y: top }, left, thin) {
    const y = thin ? top + 8 : top;
    const high = thin ? LANE - 13 : LANE - 5;
    const start = Math.max(left, from);
    const wide = Math.max(1, to - start - (to - start > 4 ? 1 : 0));
    pen.fillStyle = colour(hue(row.name ?? ""));
    pen.globalAlpha = row.ended ? 0.8 : 1;
    pen.fillRect(start, y, wide, high);
    pen.globalAlpha = 1;
    if (family(row.state) === "failed") hatch(pen, start, y, wide, high);
    if (row.id === this._at) {
      pen.strokeStyle = colour("text");
      pen.lineWidth = 2;
      pen.strokeRect(start - 0.5, y - 0.5, wide + 1, high + 1);
    }
    if (wide > 60 && !thin) {
      pen.fillStyle = colour("on-hue");
      pen.save();
      pen.beginPath();
      pen.rect(start, y, wide - 3, LANE);
      pen.clip();
      pen.fillText(row.name ?? "", start + 4, y + (LANE - 5) / 2 + 0.5);
      pen.restore();
    }
  }

  /** @param {CanvasRenderingContext2D} pen @param {(when: number) => number} x @param {number} left @param {number} width @param {number} height */
  _axis(pen, x, left, width, height) {
    const steps = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800];
    const least = (this._span * 110) / Math.max(1, width - left);
    const step = steps.find((one) => one >= least) ?? 28800;
    const end = this._now;
    pen.textAlign = "center";
    for (let when = Math.ceil((end - this._span) / step) * step; when <= end; when += step) {
      const at = Math.round(x(when)) + 0.5;
      pen.fillStyle = colour("line");
      pen.fillRect(at, AXIS - 4, 1, height);
      const text = step < 1 ? `${time(when)}${(when % 1).toFixed(2).slice(1)}` : time(when);
      pen.fillStyle = colour("quiet");
      const half = pen.measureText(text).width / 2;
      if (at - half > left && at + half < width) pen.fillText(text, at, AXIS / 2 - 2);
    }
    pen.textAlign = "left";
  }

  // Pointer and keys.

  _listen() {
    const { canvas } = this._picture;
    canvas.addEventListener("wheel", (/** @type {WheelEvent} */ event) => {
      const room = this._lanes.length * LANE + AXIS > this._picture.frame.clientHeight;
      const width = this._picture.frame.clientWidth;
      const [left] = this._edges(0, width);
      if (event.ctrlKey || event.metaKey) this._zoom(event.deltaY > 0 ? 1.25 : 0.8, Math.max(0, (event.offsetX - left) / (width - left)));
      else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) this._pan((event.deltaX || event.deltaY) / width);
      else if (room) this._go({ top: this._top + event.deltaY });
      else return;
      event.preventDefault();
    }, { passive: false });
    canvas.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
      this._drag = { x: event.offsetX, y: event.offsetY, end: this._now, top: this._top, moved: false };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
      const drag = this._drag;
      if (!drag) {
        this._point(this._find(event.offsetX, event.offsetY));
        return;
      }
      const [dx, dy] = [event.offsetX - drag.x, event.offsetY - drag.y];
      drag.moved = drag.moved || Math.hypot(dx, dy) > 4;
      if (drag.moved) this._go({ end: drag.end - (dx * this._span) / this._picture.frame.clientWidth, top: drag.top - dy });
    });
    canvas.addEventListener("pointerup", (/** @type {PointerEvent} */ event) => {
      const moved = this._drag?.moved;
      this._drag = null;
      const row = moved ? null : this._find(event.offsetX, event.offsetY);
      if (row) location.hash = `#/task/${row.id}`;
    });
    canvas.addEventListener("pointercancel", () => (this._drag = null));
    canvas.addEventListener("pointerleave", () => this._point(null));
  }

  /** @param {number} left @param {number} top @returns {Row | null} */
  _find(left, top) {
    const found = (this._drawn ?? []).findLast(({ from, to, y }) => left >= from - 1 && left <= Math.max(to, from + 2) && top >= y - 2 && top < y + LANE - 2);
    return found?.row ?? null;
  }

  /** @param {Row | null} row */
  _point(row) {
    if ((row?.id ?? "") === this._at) return;
    this._at = row?.id ?? "";
    const took = row ? (row.ended ?? this._app.now()) - row.begun : 0;
    const lane = row && this._lane.get(row.server);
    say(this._told, row ? `${row.name}#${row.id.slice(1)} at ${typeof lane === "number" ? this._lanes[lane].name : row.server}: ${row.state}, begun ${time(row.begun)}, ${duration(took)}` : "");
    this._picture.paint();
  }

  /** @param {KeyboardEvent} event */
  _key(event) {
    const { key } = event;
    if (key === "ArrowLeft") this._pan(-0.1);
    else if (key === "ArrowRight") this._pan(0.1);
    else if (key === "ArrowUp") this._go({ top: this._top - LANE });
    else if (key === "ArrowDown") this._go({ top: this._top + LANE });
    else if (key === "+" || key === "=") this._zoom(0.5);
    else if (key === "-") this._zoom(2);
    else if (key === "End") this._go({ end: 0 });
    else if (key === "Home") this._all();
    else if (key === "n" || key === "b") this._next(key === "n" ? 1 : -1);
    else if (key === "Enter" && this._at) location.hash = `#/task/${this._at}`;
    else return false;
    return true;
  }

  _all() {
    const first = this._bars.reduce((least, row) => Math.min(least, row.begun), this._app.now());
    this._go({ span: this._app.now() - first + 1, end: 0 });
  }

  /** @param {number} by */
  _next(by) {
    const drawn = [...(this._drawn ?? [])].sort((a, b) => a.y - b.y || a.from - b.from);
    if (!drawn.length) return;
    const at = drawn.findIndex((bar) => bar.row.id === this._at);
    this._point(drawn[(at + by + drawn.length) % drawn.length].row);
  }

  // The same as a table, in words, and as a file.

  _list() {
    const inside = [...(this._drawn ?? [])].sort((a, b) => b.row.begun - a.row.begun).slice(0, LISTED);
    return {
      columns: ["Task", "Server", "State", "Begun", "Took"],
      rows: inside.map(({ row }) => [`${row.name}#${row.id.slice(1)}`, this._lanes[this._lane.get(row.server) ?? -1]?.name ?? "", row.state, time(row.begun), row.ended ? duration(row.ended - row.begun) : "runs"]),
    };
  }

  _summary() {
    const drawn = this._drawn ?? [];
    const failed = drawn.filter(({ row }) => family(row.state) === "failed").length;
    return `${many(drawn.length, "task")} at ${many(this._lanes.length, "server")} between ${time(this._now - this._span)} and ${time(this._now)}, ${count(failed)} failed${this._told.textContent ? `. At ${this._told.textContent}` : ""}`;
  }

  _export() {
    const events = this._bars.map((row) => ({ name: row.name, cat: row.state, ph: row.ended ? "X" : "B", ts: Math.round(row.begun * 1e6), ...(row.ended ? { dur: Math.round((row.ended - row.begun) * 1e6) } : {}), pid: 1, tid: (this._lane.get(row.server) ?? 0) + 1, args: { id: row.id, state: row.state } }));
    const names = this._lanes.map((lane, at) => ({ name: "thread_name", ph: "M", pid: 1, tid: at + 1, args: { name: lane.name } }));
    download("timeline.json", "application/json", JSON.stringify({ traceEvents: [...names, ...events] }));
  }

  close() {
    this._picture.close();
  }
}

/** @param {CanvasRenderingContext2D} pen @param {number} x @param {number} y @param {number} wide @param {number} high */
function hatch(pen, x, y, wide, high) {
  pen.save();
  pen.beginPath();
  pen.rect(x, y, wide, high);
  pen.clip();
  pen.strokeStyle = colour("failed");
  pen.lineWidth = 2;
  pen.strokeRect(x, y, wide, high);
  pen.beginPath();
  for (let at = x - high; at < x + wide; at += 6) {
    pen.moveTo(at, y + high);
    pen.lineTo(at + high, y);
  }
  pen.stroke();
  pen.restore();
}
