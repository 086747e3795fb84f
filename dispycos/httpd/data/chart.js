/**
 * A chart: one line over an hour or a day, with what the pointer or the arrow keys are at.
 * @module
 */
import { Picture, colour, font } from "./canvas.js";
import { h, say } from "./dom.js";
import { DASH, time } from "./format.js";

const ROWS = 60; // of the chart's table
const LEFT = 4;
const TOP = 8;
const FOOT = 20; // for the times

/** @typedef {import("./store.js").History} History */

/** One chart. */
export class Chart {
  /**
   * @param {{caption: string, series: string, text: (value: number | null) => string, top?: number, binary?: boolean, height?: number}} form
   *   `series`: its name in the history; `top`: the value of the upper edge, if that is fixed; `binary`: counted in units of 1,024
   */
  constructor(form) {
    this._form = form;
    this._long = false;
    /** @type {History | null} */
    this._history = null;
    /** @type {(number | null)[]} */
    this._values = [];
    this._step = 5;
    this._at = -1; // the sample that is pointed at
    this._now = h("output", { "aria-live": "off" });
    this._span = h("button.plain", { type: "button", title: "Hour or day", "aria-pressed": "false", onclick: () => this.turn() }, "24 h");
    this._picture = new Picture(form.caption, {
      draw: (pen, width, height) => this._draw(pen, width, height),
      summary: () => this._summary(),
      table: () => this._table(),
      tall: () => form.height ?? 132,
      key: (event) => this._key(event),
      tools: [this._span],
    });
    this.element = this._picture.element;
    this.element.classList.add("chart");
    this._picture.note.append(this._now);
    const { canvas } = this._picture;
    canvas.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => this._point(this._index(event.offsetX)));
    canvas.addEventListener("pointerleave", () => this._point(-1));
    canvas.addEventListener("blur", () => this._point(-1));
  }

  /** @param {History | null} history */
  show(history) {
    if (history === this._history) return;
    this._history = history;
    this._take();
  }

  /** Change between the hour and the day. */
  turn() {
    this._long = !this._long;
    this._span.setAttribute("aria-pressed", String(this._long));
    this._take();
  }

  _take() {
    const history = this._history;
    const at = history ? history.series.indexOf(this._form.series) : -1;
    const day = history?.day ?? [];
    this._span.hidden = !day.length;
    const rows = (this._long && day.length ? day : history?.hour) ?? [];
    this._step = this._long && day.length ? 60 : (history?.step ?? 5);
    this._values = rows.map((row) => (at < 0 ? null : row[at]));
    if (this._at >= this._values.length) this._at = -1;
    this._say();
    this._picture.paint();
  }

  get _top() {
    if (this._form.top !== undefined) return this._form.top;
    const most = this._values.reduce((/** @type {number} */ top, value) => Math.max(top, value ?? 0), 0);
    if (!most) return 1;
    // A few round numbers, whose halves are round, too: the axis moves seldom.
    const unit = this._form.binary ? 1024 ** Math.floor(Math.log(most) / Math.log(1024)) : 1;
    const size = unit * 10 ** Math.floor(Math.log10(most / unit));
    return size * (/** @type {number} */ ([1, 2, 3, 4, 6, 8, 10].find((part) => part * size >= most * 1.02)) ?? 20);
  }

  /** @param {CanvasRenderingContext2D} pen @param {number} width @param {number} height */
  _draw(pen, width, height) {
    const top = this._top;
    const bottom = height - FOOT;
    const slots = this._slots;
    const x = (/** @type {number} */ at) => LEFT + ((at + slots - this._values.length) / Math.max(1, slots - 1)) * (width - 2 * LEFT);
    const y = (/** @type {number} */ value) => bottom - (value / top) * (bottom - TOP);
    pen.font = font();
    pen.lineWidth = 1;
    pen.strokeStyle = colour("line");
    for (const part of [0, 0.5, 1]) {
      const line = Math.round(y(top * part)) + 0.5;
      pen.beginPath();
      pen.moveTo(0, line);
      pen.lineTo(width, line);
      pen.stroke();
    }
    this._line(pen, x, y, bottom);
    pen.fillStyle = colour("quiet");
    pen.textBaseline = "top";
    // The scale stands on the ground, so that the line can't hide it.
    for (const part of [0.5, 1]) this._label(pen, this._form.text(top * part), LEFT, y(top * part) + 2);
    if (this._history) {
      const end = this._history.end;
      const labels = width > 480 ? 4 : 2;
      for (let at = 0; at <= labels; at += 1) {
        pen.textAlign = at === 0 ? "left" : at === labels ? "right" : "center";
        const when = end - (slots - 1) * this._step * (1 - at / labels);
        pen.fillText(time(when).slice(0, 5), LEFT + ((width - 2 * LEFT) * at) / labels, bottom + 5);
      }
      pen.textAlign = "left";
    }
    this._marks(pen, x, bottom);
    if (this._at >= 0) this._cross(pen, x(this._at), bottom, y);
  }

  /** Where another run went on: nothing is known of the time before it. @param {CanvasRenderingContext2D} pen @param {(at: number) => number} x @param {number} bottom */
  _marks(pen, x, bottom) {
    const last = this._values.length - 1;
    pen.strokeStyle = colour("quiet");
    pen.setLineDash([3, 3]);
    for (const when of this._shownMarks) {
      const left = Math.round(x(last - ((this._history?.end ?? 0) - when) / this._step)) + 0.5;
      pen.beginPath();
      pen.moveTo(left, TOP);
      pen.lineTo(left, bottom);
      pen.stroke();
      this._label(pen, "restart", left + 4, TOP);
    }
    pen.setLineDash([]);
  }

  get _shownMarks() {
    return (this._history?.marks ?? []).filter((when) => when >= this._when(0));
  }

  /** @param {CanvasRenderingContext2D} pen @param {string} text @param {number} left @param {number} top */
  _label(pen, text, left, top) {
    pen.fillStyle = colour("panel");
    pen.globalAlpha = 0.75;
    pen.fillRect(left - 2, top - 1, pen.measureText(text).width + 4, 16);
    pen.globalAlpha = 1;
    pen.fillStyle = colour("quiet");
    pen.fillText(text, left, top);
  }

  /** @param {CanvasRenderingContext2D} pen @param {(at: number) => number} x @param {(value: number) => number} y @param {number} bottom */
  _line(pen, x, y, bottom) {
    const line = new Path2D();
    const area = new Path2D();
    let from = -1;
    const values = this._values;
    for (let at = 0; at <= values.length; at += 1) {
      const value = at < values.length ? values[at] : null;
      if (value === null) {
        if (from >= 0) {
          area.lineTo(x(at - 1), bottom);
          area.lineTo(x(from), bottom);
          if (from === at - 1) line.lineTo(x(from) + 1, y(values[from] ?? 0));
        }
        from = -1;
      } else if (from < 0) {
        from = at;
        line.moveTo(x(at), y(value));
        area.moveTo(x(at), y(value));
      } else {
        line.lineTo(x(at), y(value));
        area.lineTo(x(at), y(value));
      }
    }
    pen.fillStyle = colour("accent");
    pen.globalAlpha = 0.12;
    pen.fill(area);
    pen.globalAlpha = 1;
    pen.strokeStyle = colour("accent");
    pen.lineWidth = 1.5;
    pen.lineJoin = "round";
    pen.stroke(line);
  }

  /** @param {CanvasRenderingContext2D} pen @param {number} left @param {number} bottom @param {(value: number) => number} y */
  _cross(pen, left, bottom, y) {
    pen.strokeStyle = colour("quiet");
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(Math.round(left) + 0.5, TOP);
    pen.lineTo(Math.round(left) + 0.5, bottom);
    pen.stroke();
    const value = this._values[this._at];
    if (value === null) return;
    pen.fillStyle = colour("text");
    pen.beginPath();
    pen.arc(left, y(value), 3, 0, 7);
    pen.fill();
  }

  // A young history is drawn over ten minutes, so that it can be seen; then over the hour or the day.
  get _slots() {
    if (this._long) return 1440;
    return this._values.length <= 120 ? 120 : this._values.length <= 360 ? 360 : 720;
  }

  /** @param {number} left pixels */
  _index(left) {
    const width = this._picture.frame.clientWidth - 2 * LEFT;
    const at = Math.round(((left - LEFT) / width) * (this._slots - 1)) - (this._slots - this._values.length);
    return at < 0 || at >= this._values.length ? -1 : at;
  }

  /** @param {number} at */
  _point(at) {
    if (at === this._at) return;
    this._at = at;
    this._say();
    this._picture.paint();
  }

  /** @param {KeyboardEvent} event */
  _key(event) {
    const last = this._values.length - 1;
    if (event.key === "Escape" && this._at >= 0) this._point(-1);
    else if (event.key === "ArrowLeft") this._point(Math.max(0, (this._at < 0 ? last + 1 : this._at) - 1));
    else if (event.key === "ArrowRight") this._point(Math.min(last, this._at + 1));
    else return false;
    return true;
  }

  /** @param {number} at */
  _when(at) {
    return (this._history?.end ?? 0) - (this._values.length - 1 - at) * this._step;
  }

  _say() {
    const last = this._values.length - 1;
    const at = this._at < 0 ? last : this._at;
    const value = at < 0 ? null : this._values[at];
    say(this._now, `${this._form.text(value)}${this._at < 0 ? "" : ` at ${time(this._when(at))}`}`);
  }

  _summary() {
    const found = /** @type {number[]} */ (this._values.filter((value) => value !== null));
    const again = this._shownMarks.map((when) => `, restarted at ${time(when)}`).join("");
    if (!found.length) return `${this._form.caption}: nothing is known yet${again}`;
    const { text } = this._form;
    const low = found.reduce((a, b) => Math.min(a, b));
    const high = found.reduce((a, b) => Math.max(a, b));
    return `${this._form.caption}: now ${text(this._values[this._values.length - 1])}, between ${text(low)} and ${text(high)} since ${time(this._when(0))}${again}`;
  }

  _table() {
    const every = Math.max(1, Math.ceil(this._values.length / ROWS));
    const rows = [];
    for (let at = this._values.length - 1; at >= 0; at -= every) rows.push([time(this._when(at)), this._values[at] === null ? DASH : this._form.text(this._values[at])]);
    return { columns: ["Time", this._form.caption], rows };
  }

  /** Let go of what outlives the element. */
  close() {
    this._picture.close();
  }
}
