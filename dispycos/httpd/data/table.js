/**
 * Tables: keyed rows that stay the same elements, virtual above 200, in an order that holds still while
 * somebody points at them. Under 640 px each row is a card.
 * @module
 */
import { h, mark, never, put, reshape, say, shape, soon, toEnd } from "./dom.js";
import { count, many } from "./format.js";
import { sortSoon } from "./order.js";

const ALL = 200; // rows up to which every one is an element
const MOST = 60; // elements above that
const HEIGHT = 28; // pixels of a row, as in monitor.css
const cards = matchMedia("(max-width: 639px)");

/** @typedef {import("./store.js").Row} Row */
/**
 * @typedef {{
 *   id: string, label: string, value: (row: Row) => import("./order.js").Key, text?: (row: Row) => string,
 *   width?: number, numeric?: boolean, ticks?: boolean, hint?: (row: Row) => string | null, link?: (row: Row) => string | null,
 *   state?: boolean, meter?: boolean, detail?: boolean, spare?: number,
 * }} Column `width` in ch; `ticks`: changes with time alone; `detail`: not on cards; `spare`: 1 to 3, 3 goes first without room
 * @typedef {{
 *   name: string, caption: string, columns: Column[], sort: {id: string, descending: boolean}, empty: () => string,
 *   open?: (row: Row) => string | null, select?: boolean, chosen?: () => void, tools?: Node[],
 * }} Form
 */

/** One table. */
export class Table {
  /** @param {Form} form @param {import("./settings.js").Settings} settings */
  constructor(form, settings) {
    this.form = form;
    this._settings = settings;
    const kept = settings.values.sorts[form.name];
    this.sorting = kept && form.columns.some((column) => column.id === kept.id) ? kept : form.sort;
    this.paused = false;
    /** @type {Set<string>} ids with a check mark */
    this.chosen = new Set();
    /** @type {Row[]} */
    this._rows = [];
    /** @type {Row[]} in the order of the page */
    this._order = [];
    /** @type {Map<string, any>} */
    this._elements = new Map();
    this._held = 0; // changes of order that wait
    this._over = false; // the pointer is over the rows
    this._scrolled = 0; // pixels; asking for them in the middle of an update would lay the page out twice
    this._stopSort = () => {};
    this._at = ""; // the row that keys are at
    this._now = () => 0;
    this._build();
    cards.addEventListener("change", (this._turned = () => this._reset()));
  }

  _build() {
    const { form } = this;
    this._head = h("thead");
    this._body = h("tbody");
    this._cols = h("colgroup");
    this._table = h("table", { "aria-label": form.caption, role: "table" }, this._cols, this._head, this._body);
    this._box = h("div.table-box", { tabindex: "-1" }, this._table);
    this._note = h("button.plain.held", { type: "button", hidden: true, onclick: () => this.refresh() });
    this._count = h("span.quiet", { "aria-live": "off" });
    this._sortMenu = h("select", { "aria-label": `Sort ${form.caption} by`, onchange: (/** @type {any} */ event) => this.sortBy(event.target.value) });
    this._choice = h("details.columns", {}, h("summary", {}, "Columns"), h("div.choices"));
    this._bar = h("div.table-bar", {}, h("h2", {}, form.caption), this._count, this._note, h("span.grow"), form.tools ?? [], h("label.cards-only", {}, "Sort by ", this._sortMenu), this._choice);
    this.element = h("section.panel.table", { "aria-label": form.caption }, this._bar, this._box);
    this._box.addEventListener("scroll", () => {
      this._scrolled = this._box.scrollTop;
      this._frame();
    });
    this._body.addEventListener("pointerenter", () => (this._over = true));
    this._body.addEventListener("pointerleave", () => this._let());
    this._body.addEventListener("focusout", () => setTimeout(() => this._let(true), 0));
    this._body.addEventListener("click", (/** @type {any} */ event) => this._click(event));
    this._body.addEventListener("focusin", (/** @type {any} */ event) => {
      const row = event.target.closest("tr[data-id]");
      if (row) this._point(row.dataset.id);
    });
    this._reset();
  }

  /** @returns {Column[]} those that are shown */
  get columns() {
    const hidden = this._settings.values.hidden[this.form.name] ?? [];
    return this.form.columns.filter((column, at) => (at === 0 || !hidden.includes(column.id)) && !(cards.matches && column.detail));
  }

  /** Make the head and all rows anew: other columns, or cards. */
  _reset() {
    const columns = this.columns;
    this._shown = columns;
    this._height = cards.matches ? 0 : HEIGHT;
    put(this._cols, this.form.select ? h("col.check") : null, columns.map((column) => {
      const col = h("col", { "data-spare": column.spare });
      if (column.width) col.style.width = `${column.width}ch`;
      return col;
    }));
    const least = columns.reduce((sum, column) => sum + (column.spare ? 0 : (column.width ?? 24)), this.form.select ? 5 : 0);
    this._table.style.minWidth = cards.matches ? "" : `min(${least}ch, 250%)`;
    put(this._head, h("tr", { role: "row", "aria-rowindex": "1" }, this.form.select ? h("th", { role: "columnheader", scope: "col" }, this._all()) : null, columns.map((column) => {
      const button = h("button.plain", { type: "button", onclick: () => this.sortBy(column.id) }, column.label);
      return h(column.numeric ? "th.numeric" : "th", { role: "columnheader", scope: "col", "data-column": column.id, "data-spare": column.spare }, button);
    })));
    put(this._sortMenu, columns.flatMap((column) => [h("option", { value: column.id }, column.label)]));
    const hidden = new Set(this._settings.values.hidden[this.form.name] ?? []);
    put(this._choice.lastChild, this.form.columns.slice(1).map((column) =>
      h("label", { "data-spare": column.spare }, h("input", { type: "checkbox", checked: !hidden.has(column.id), onchange: (/** @type {any} */ event) => this._hide(column.id, !event.target.checked) }), " ", column.label)));
    this._elements.clear();
    put(this._body);
    this._top = h("tr.gap", { "aria-hidden": "true" }, h("td"));
    this._bottom = h("tr.gap", { "aria-hidden": "true" }, h("td"));
    this._heads();
    this._frame();
  }

  _all() {
    this._every = h("input", { type: "checkbox", "aria-label": "Select all", onchange: (/** @type {any} */ event) => {
      this.chosen = new Set(event.target.checked ? this._order.map((row) => row.id) : []);
      this._picked();
    } });
    return this._every;
  }

  /** @param {string} id @param {boolean} hide */
  _hide(id, hide) {
    const hidden = new Set(this._settings.values.hidden[this.form.name] ?? []);
    if (hide) hidden.add(id);
    else hidden.delete(id);
    this._settings.set({ hidden: { ...this._settings.values.hidden, [this.form.name]: [...hidden] } });
    this._reset();
  }

  _heads() {
    for (const cell of this._head.querySelectorAll("[data-column]")) {
      mark(cell, "aria-sort", cell.dataset.column === this.sorting.id ? (this.sorting.descending ? "descending" : "ascending") : "none");
    }
    this._sortMenu.value = this.sorting.id;
  }

  /** Sort by a column; a second time turns it around @param {string} id */
  sortBy(id) {
    const column = this.form.columns.find((one) => one.id === id);
    if (!column) return;
    const descending = this.sorting.id === id ? !this.sorting.descending : Boolean(column.numeric);
    this.sorting = { id, descending };
    this._settings.set({ sorts: { ...this._settings.values.sorts, [this.form.name]: this.sorting } });
    this._heads();
    this.refresh();
  }

  // Rows.

  /**
   * Show these rows; their order waits while it is held.
   * @param {Row[]} rows
   * @param {() => number} now seconds, on the program's clock
   */
  show(rows, now) {
    this._rows = rows;
    this._now = now;
    this._sort(false);
  }

  /** Take the order that was held. */
  refresh = () => this._sort(true);

  get _holds() {
    return this._order.length > 0 && (this.paused || this._over || this._body.contains(document.activeElement));
  }

  /** @param {boolean} [left] the focus went, and not the pointer */
  _let(left) {
    if (!left) this._over = false;
    if (this._held && !this._holds) this.refresh();
  }

  /** @param {boolean} force */
  _sort(force) {
    const column = this.form.columns.find((one) => one.id === this.sorting.id) ?? this.form.columns[0];
    this._stopSort();
    this._stopSort = sortSoon(this._rows, column.value, this.sorting.descending, (rows) => this._sorted(rows, force));
  }

  /** @param {Row[]} rows @param {boolean} force */
  _sorted(rows, force) {
    if (force || !this._holds) {
      this._held = 0;
      this._order = rows;
      const known = new Set(rows.map((row) => row.id));
      for (const id of this.chosen) if (!known.has(id)) this.chosen.delete(id);
    } else {
      const before = new Set(this._order.map((row) => row.id));
      const kept = rows.filter((row) => before.has(row.id));
      const after = new Set(kept.map((row) => row.id));
      const still = this._order.filter((row) => after.has(row.id));
      let moved = 0;
      kept.forEach((row, at) => (moved += row.id === still[at].id ? 0 : 1));
      this._held = moved + (rows.length - kept.length) + (this._order.length - still.length);
    }
    this._frame();
  }

  _frame() {
    soon(this._paint);
  }

  _paint = () => {
    const rows = this._order;
    const virtual = rows.length > ALL;
    this._box.classList.toggle("virtual", virtual);
    if (!this._height && rows.length) this._height = this._measure(rows[0]);
    const height = this._height || HEIGHT;
    let from = 0;
    let to = rows.length;
    if (virtual) {
      const first = Math.floor(this._scrolled / height) - 4;
      from = Math.max(0, Math.min(first, rows.length - MOST));
      to = Math.min(rows.length, from + MOST);
    }
    const shown = rows.slice(from, to);
    const stay = new Set(shown.map((row) => row.id));
    const focus = document.activeElement?.closest("tr[data-id]");
    for (const [id, element] of this._elements) {
      // What has the focus stays where it is, though out of sight: the focus never moves by itself.
      if (!stay.has(id) && element !== focus) {
        element.remove();
        this._elements.delete(id);
      }
    }
    if (rows.length) {
      this._place(shown, from);
      this._space(this._top, from * height, this._body.firstChild);
      this._space(this._bottom, (rows.length - to) * height, null);
    } else {
      this._top.remove();
      this._bottom.remove();
      const columns = this._shown.filter((column) => !column.spare).length + (this.form.select ? 1 : 0);
      put(this._body, h("tr.empty", { role: "row" }, h("td", { role: "cell", colspan: columns }, this.form.empty())));
      this._elements.clear();
    }
    mark(this._table, "aria-rowcount", String(rows.length + 1));
    say(this._count, count(rows.length));
    this._note.hidden = !this._held;
    if (this._held) say(this._note, `${many(this._held, "change")} held, press r`);
    if (this._every) {
      this._every.checked = rows.length > 0 && this.chosen.size === rows.length;
      this._every.indeterminate = this.chosen.size > 0 && this.chosen.size < rows.length;
    }
  };

  /** @param {Row[]} shown @param {number} from */
  _place(shown, from) {
    this._body.querySelector("tr.empty")?.remove();
    let next = this._body.firstChild === this._top ? this._top.nextSibling : this._body.firstChild;
    if (!this._at || !shown.some((row) => row.id === this._at)) this._at = shown[0].id;
    shown.forEach((row, at) => {
      const element = this._elements.get(row.id) ?? this._element(row);
      this._update(element, row);
      mark(element, "aria-rowindex", String(from + at + 2));
      element.tabIndex = row.id === this._at ? 0 : -1;
      // What has the focus would lose it if it were moved: those before it go behind it.
      if (element.contains(document.activeElement)) while (next !== element) next = toEnd(next);
      if (next === element) next = element.nextSibling;
      else this._body.insertBefore(element, next);
    });
  }

  /** @param {HTMLElement} gap @param {number} pixels @param {Node | null} before */
  _space(gap, pixels, before) {
    if (!pixels) gap.remove();
    else {
      gap.style.height = `${pixels}px`;
      if (before === null ? this._body.lastChild !== gap : before !== gap) this._body.insertBefore(gap, before);
    }
  }

  /** @param {Row} row */
  _measure(row) {
    const element = this._element(row);
    this._update(element, row);
    this._body.append(element);
    const height = element.offsetHeight + 8; // and the space between two cards
    element.remove();
    return height;
  }

  /** @param {Row} row */
  _element(row) {
    const element = h("tr", { role: "row", "data-id": row.id });
    if (this.form.select) {
      const box = h("input", { type: "checkbox", onchange: () => this.toggle(row.id) });
      element.append(h("td.check", { role: "cell" }, box));
    }
    for (const column of this._shown ?? []) {
      const cell = h(column.numeric ? "td.numeric" : "td", { role: "cell", "data-label": column.label, "data-spare": column.spare });
      if (column.state) cell.append(shape(""));
      if (column.meter) cell.append(h("span.meter", { "aria-hidden": "true" }, h("span")));
      cell.append(column.link ? h("a") : h("span"));
      element.append(cell);
    }
    element.rev = -1;
    this._elements.set(row.id, element);
    return element;
  }

  /** @param {any} element @param {Row} row */
  _update(element, row) {
    const fresh = element.rev !== row.rev;
    element.rev = row.rev;
    const shift = this.form.select ? 1 : 0;
    if (shift) {
      const box = element.firstChild.firstChild;
      box.checked = this.chosen.has(row.id);
      mark(box, "aria-label", `Select ${row.name ?? row.location ?? row.id}`);
      mark(element, "aria-selected", box.checked ? "true" : null);
    }
    (this._shown ?? []).forEach((column, at) => {
      if (!fresh && !column.ticks) return;
      const cell = element.children[at + shift];
      const value = column.value(row);
      const text = column.text ? column.text(row) : String(value ?? "–");
      say(cell.lastChild, text);
      const reason = value === null || value === undefined ? row.notes?.[column.id] : null;
      mark(cell, "title", column.hint?.(row) ?? reason ?? null);
      if (reason) mark(cell.lastChild, "aria-label", `unknown: ${reason}`);
      else mark(cell.lastChild, "aria-label", null);
      if (column.link) mark(cell.lastChild, "href", column.link(row));
      if (column.state) reshape(cell.firstChild, row.state ?? row.level);
      if (column.meter) cell.firstChild.firstChild.style.width = `${Math.min(100, Number(value ?? 0))}%`;
    });
    if (fresh) mark(element, "data-state", row.state === "closed" ? "closed" : null);
  }

  // Keys and clicks.

  /** @param {any} event */
  _click(event) {
    if (event.target.closest("a,button,input,label") || String(getSelection())) return;
    const row = event.target.closest("tr[data-id]");
    if (row) this.enter(row.dataset.id);
  }

  /** @param {string} id */
  _point(id) {
    if (this._at === id) return;
    const old = this._elements.get(this._at);
    if (old) old.tabIndex = -1;
    this._at = id;
    const element = this._elements.get(id);
    if (element) element.tabIndex = 0;
  }

  /** Go to the next or an earlier row @param {number} by */
  step(by) {
    if (!this._order.length) return;
    const here = this._body.contains(document.activeElement);
    const at = this._order.findIndex((row) => row.id === this._at);
    const to = here ? Math.max(0, Math.min(this._order.length - 1, at + by)) : Math.max(0, at);
    const id = this._order[to].id;
    if (!this._elements.has(id)) {
      this._box.scrollTop = this._scrolled = Math.max(0, to - 5) * (this._height || HEIGHT);
      this._paint();
    }
    this._point(id);
    const element = this._elements.get(id);
    element?.focus({ preventScroll: true });
    element?.scrollIntoView({ block: "nearest" });
  }

  /** @param {string} [id] the row to open; else the one that keys are at */
  enter(id = this._at) {
    const row = this._order.find((one) => one.id === id);
    const address = row && this.form.open?.(row);
    if (address) location.hash = address;
  }

  /** @param {string} [id] the row to select or let go; else the one that keys are at */
  toggle(id = this._at) {
    if (!this.form.select || !this._order.some((row) => row.id === id)) return;
    if (!this.chosen.delete(id)) this.chosen.add(id);
    this._picked();
  }

  _picked = () => (this._frame(), this.form.chosen?.());

  /** Whether the focus is in it. */
  get focused() {
    return this.element.contains(document.activeElement);
  }

  /** Let go of what outlives the element. */
  close() {
    cards.removeEventListener("change", this._turned);
    this._stopSort();
    never(this._paint);
  }
}
