/**
 * The entry: puts store, transport, bar and pages together, and keeps what belongs to none of them.
 * @module
 */
import { Bar, OPENERS } from "./bar.js";
import { recolour } from "./canvas.js";
import { h, put, soon } from "./dom.js";
import { decoded } from "./format.js";
import { Keys, bindings } from "./keys.js";
import { Settings } from "./settings.js";
import { Store } from "./store.js";
import { Transport } from "./transport.js";

/**
 * @typedef {{title: string, topics: string[], paint: () => void, close?: () => void, tables?: import("./table.js").Table[], lends?: boolean}} Page
 * @typedef {{page: string, id: string}} Route
 */

const SYSTEM = "(prefers-color-scheme: light)";
// The rule of monitor.css that makes it light.
const LIGHT = /** @type {CSSMediaRule} */ ([...document.styleSheets[0].cssRules].find((rule) => rule instanceof CSSMediaRule && rule.media.mediaText === SYSTEM));
const HIDDEN = 10; // seconds between updates of a hidden tab
const place = /** @type {HTMLElement} */ (document.getElementById("page"));

/** What all parts of the page share. */
export class App {
  constructor() {
    this.store = new Store();
    this.settings = new Settings();
    this.transport = new Transport(() => this._position(), (message) => this._hear(message), (standing) => this._stood(standing));
    this.standing = this.transport.standing;
    /** @type {any} */
    this.hello = null;
    /** @type {any} */
    this.bye = null;
    /** @type {any} */
    this.newRun = null; // the greeting of another run at this address
    this.role = "viewer";
    this.heard = 0; // ms of Date.now() at the last update
    this.interval = 0;
    this.paused = false;
    this.search = "";
    /** @type {Map<string, {verb: string, state: string, until: number}>} */
    this.requested = new Map();
    /** @type {Set<string>} */
    this.acting = new Set();
    /** @type {Route} */
    this.route = { page: "cluster", id: "" };
    /** @type {Page | null} */
    this.page = null;
    this.wrong = ""; // why the last login failed
    this._offset = 0; // seconds that the program's clock is ahead
    this._at = 0; // the program's clock at the last update
    this._turn = 0;
    this.bar = new Bar(this);
    this.now = this.now.bind(this);
  }

  // State.

  /** Whether there is something to show. */
  get ready() {
    return this.store.loaded("cluster");
  }

  /** Whether three updates are missing. */
  get stale() {
    const tick = Math.max(this.hello?.tick ?? 0.5, document.hidden ? HIDDEN : this.interval);
    return this.heard > 0 && Date.now() - this.heard > 3000 * tick + 500;
  }

  /** Seconds on the program's clock; it stands still when nothing is heard. */
  now() {
    return this.bye ? this.bye.time : this.stale ? this._at : this.local();
  }

  /** Seconds on the program's clock, whatever is heard. */
  local() {
    return Date.now() / 1000 + this._offset;
  }

  /** Whether arguments of tasks are shown. */
  get args() {
    return this.settings.values.args && Boolean(this.store.cluster.show_args);
  }

  /** @param {import("./store.js").Row} row @returns {string} its state, and what was asked of it and has not happened yet */
  stateText(row) {
    const asked = this.requested.get(row.id);
    if (asked && asked.state === row.state && Date.now() < asked.until) return `${row.state}, ${asked.verb} requested`;
    if (asked) this.requested.delete(row.id);
    return row.state ?? "–";
  }

  // Connection.

  _position() {
    const interval = document.hidden ? Math.max(HIDDEN, this.interval) : this.interval;
    return { epoch: this.store.epoch, since: this.store.since, topics: [...this.store.topics.keys()], interval };
  }

  /** @param {any} message */
  _hear(message) {
    if (message.type === "hello") {
      const other = this.store.epoch && message.epoch !== this.store.epoch && this.ready;
      if (other && message.cluster && message.cluster === this.hello?.cluster) this._startedAgain(message);
      else if (other) {
        this.newRun = message;
        this.transport.rest();
      } else this._greeted(message);
    } else if (message.type === "bye") {
      this.bye = message;
      this.store.frozen = true;
    } else {
      if (message.type === "tick") this._ticked(message.time);
      const missed = this.store.apply(message);
      if (missed) this.transport.missed(missed);
      if (message.type !== "tick") return; // topics are shown together, when the tick has come that ends them
    }
    this.repaint();
  }

  /**
   * The same cluster is watched by a new process, which numbers everything anew: go on with it.
   * @param {any} hello
   */
  _startedAgain(hello) {
    const { page, id } = this.route;
    const row = this.store.row(id);
    this.bye = null;
    this.store.startAgain();
    this._greeted(hello);
    // An id of before may be another one's now.
    if (page === "node" || page === "server") history.replaceState(null, "", row ? `#/${page}/${row.address ?? row.location}` : "#/cluster");
    this.open();
  }

  /** @param {any} hello */
  _greeted(hello) {
    const first = this.hello === null;
    this.hello = hello;
    this.role = hello.role;
    this.store.epoch = hello.epoch;
    this.settings.remember({ epoch: hello.epoch, key: this.transport.session, role: hello.role });
    this._offset = hello.time - Date.now() / 1000;
    if (first && this.settings.values.interval === null && hello.interval) this.setInterval(hello.interval, false);
  }

  /** @param {number} time */
  _ticked(time) {
    this.heard = Date.now();
    this._at = time;
    const offset = time - this.heard / 1000;
    // What arrives late makes the difference smaller: the largest one is the truest.
    this._offset = Math.abs(offset - this._offset) > 2 ? offset : Math.max(offset, this._offset);
  }

  /** @param {import("./transport.js").Standing} standing */
  _stood(standing) {
    this.standing = standing;
    if (standing.state === "login" && !this.ready) this.open();
    this.repaint();
  }

  /** Leave the old run for the one that answers now. */
  takeNewRun() {
    this.newRun = null;
    this.bye = null;
    this.hello = null;
    this.store.clear();
    this.store.epoch = "";
    this.transport.ended = false;
    this.transport.connect();
    this.open();
  }

  /**
   * Log in with the token of the printed link.
   * @param {string} token
   * @returns {Promise<string>} "" or why not
   */
  async login(token) {
    try {
      const answer = await this.transport.login(token);
      this.settings.remember({ epoch: answer.epoch, key: answer.session, role: answer.role });
      this.transport.connect();
      this.open();
      return "";
    } catch (error) {
      return error instanceof TypeError ? "Nothing answers at this address." : error instanceof Error && /** @type {any} */ (error).status === 401 ? "That is no link or token of this run. Each run of the program prints a new one." : /** @type {Error} */ (error).message;
    }
  }

  /** Forget this session, here and there. */
  async logout() {
    const { session } = this.transport;
    await this.transport.ask("logout", {}).catch(() => null);
    this.settings.forget(session);
    location.hash = "";
    location.reload();
  }

  // What the user chooses.

  /** @param {number} seconds 0: live @param {boolean} [keep] over reloads */
  setInterval(seconds, keep = true) {
    this.interval = seconds;
    if (keep) this.settings.set({ interval: seconds });
    this.transport.interval();
    this.repaint();
  }

  /** @param {boolean} show arguments: here, and by an operator in the program */
  async showArgs(show) {
    this.settings.set({ args: show });
    this.repaint();
    if (this.role !== "operator" || this.store.cluster.show_args === show) return;
    await this.transport.ask("settings", { show_args: show }).catch((error) => this.message(`Show Task Arguments: ${error.message}`, { bad: true }));
  }

  /** Hold the order of rows, or let it go. */
  pause() {
    this.paused = !this.paused;
    for (const table of this.page?.tables ?? []) {
      table.paused = this.paused;
      if (!this.paused) table.refresh();
    }
    this.repaint();
  }

  /** The next theme. */
  theme() {
    const themes = ["system", "light", "dark"];
    this.settings.set({ theme: themes[(themes.indexOf(this.settings.values.theme) + 1) % themes.length] });
    this.dress();
    this.repaint();
  }

  /** Put the chosen theme on. */
  dress() {
    const { theme } = this.settings.values;
    LIGHT.media.mediaText = { light: "all", dark: "not all" }[theme] ?? SYSTEM;
    recolour();
  }

  /** @param {string} text a filter for what the page shows */
  find(text) {
    this.search = text.trim();
    if (this.bar.search.value !== text) this.bar.search.value = text;
    this.repaint();
  }

  /** @param {string} text @param {object} [more] see dialog.js */
  async message(text, more) {
    const { Messages } = await import("./dialog.js");
    new Messages(/** @type {HTMLElement} */ (document.getElementById("messages"))).say(text, more);
  }

  /** Out of a table or the menu, to the page. */
  leave() {
    this.bar.menu(false);
    place.focus({ preventScroll: true });
  }

  /** Show the keys and what the shapes mean. */
  async help() {
    (await import("./help.js")).help(this, keys.bindings);
  }

  /** @param {string} [form] html, json, or both */
  async report(form) {
    (await import("./report.js")).save(this, form);
  }

  // Pages.

  /** Open what the address line names. */
  async open() {
    const [, page = "", id = ""] = location.hash.split("/").map(decoded);
    const turn = ++this._turn;
    const { lends } = this.store;
    const known = page in OPENERS ? page : "cluster";
    const other = known !== this.route.page || id !== this.route.id;
    this.route = { page: known, id };
    if (other && known !== "tasks" && known !== "events") this.find("");
    this.page?.close?.();
    this.page = null;
    this.bar.menu(false);
    const root = h("div.page", { "data-page": known });
    const locked = this.standing.state === "login" && !this.ready;
    const opened = await (async () => (locked ? (await import("./help.js")).welcome(this, root) : OPENERS[known](this, root, id)))().catch(() => {
      put(root, h("h1", {}, "Not here"), h("p", {}, "This part of the page could not be fetched: the program does not answer. Reload when it does."));
      return /** @type {Page} */ ({ title: "Not here", topics: [], paint() {} });
    });
    if (turn !== this._turn) {
      opened.close?.();
      return;
    }
    put(place, root);
    this.page = Object.assign(opened, { lends });
    for (const table of opened.tables ?? []) table.paused = this.paused;
    if (other) {
      scrollTo(0, 0);
      if (document.activeElement === document.body || !document.activeElement?.isConnected) place.focus({ preventScroll: true });
    }
    this.look(opened.topics);
    this.repaint();
  }

  /** @param {string[]} topics that the page needs from now on, beside the totals */
  look(topics) {
    if (this.store.want([...new Set(["cluster", ...topics])])) this.transport.topics();
  }

  /** Bring everything up to date with the next frame. */
  repaint = () => soon(this._paint);

  _paint = () => {
    this.store.take();
    this.bar.banner();
    this.bar.paint();
    if (this.ready && !this._whole) this._fetch();
    // A page by address waits for the addresses, and a scheduler's page is another one than a program's.
    if (this.page && this.ready && (this._unresolved || this.page.lends !== this.store.lends)) this.open();
    this.page?.paint();
  };

  /** When the first view stands, the rest is fetched: it must be here when the program has ended. */
  _fetch() {
    this._whole = true;
    const rest = ["places", "tasks", "timeline", "records", "lending", "why", "report", "help", "dialog"];
    // What fails now is asked for again, and said, when its page is opened.
    setTimeout(() => rest.forEach((name) => import(`./${name}.js`).catch(() => null)), 100);
  }

  get _unresolved() {
    const { page, id } = this.route;
    if ((page !== "node" && page !== "server") || !id || this.page?.topics.length !== 1) return false;
    const field = page === "node" ? "address" : "location";
    return this.store.list("cluster", page).filter((row) => (row[field] === id || row.name === id) && row.state !== "closed").length === 1;
  }
}

const app = new App();
app.dress();
const keys = new Keys(bindings(app), () => app.settings.values.keys);

/** Come back at once, where that may help. */
function wake() {
  const { state } = app.standing;
  const late = app.heard > 0 && app.stale && (state === "live" || state === "polling");
  if (!app.bye && !app.newRun && (state === "waiting" || late)) app.transport.connect();
}

addEventListener("hashchange", () => begin() || app.open());
addEventListener("online", wake);
addEventListener("focus", wake);
document.addEventListener("visibilitychange", () => {
  app.transport.interval();
  if (!document.hidden) wake();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => app.dress());
// Ages tick, and the connection may have become stale.
setInterval(() => {
  if (!document.hidden) app.repaint();
  // A connection that is dead and does not know it is given up.
  if (app.heard && !app.bye && app.standing.state === "live" && Date.now() - app.heard > 4 * Math.max(5000, 1000 * app.interval, document.hidden ? 1000 * HIDDEN : 0)) {
    app.heard = Date.now();
    app.transport.connect();
  }
}, 1000);

/** @returns {boolean} whether the address line held a token; it is taken out of it */
function begin() {
  const token = /^#token=([\w-]+)$/.exec(location.hash)?.[1];
  if (!token) return false;
  history.replaceState(null, "", location.pathname);
  const before = app.ready;
  app.login(token).then((wrong) => {
    // Nothing of an earlier run or role stays.
    if (!wrong && before) location.reload();
    if (wrong) {
      app.transport.session = "";
      app.wrong = wrong;
      app.transport.connect();
    }
  });
  return true;
}

if (app.settings.values.interval !== null) app.interval = app.settings.values.interval;
app.store.want(["cluster"]);
if (!("DecompressionStream" in window) || !("HTMLDialogElement" in window) || !("ResizeObserver" in window)) {
  put(place, h("h1", {}, "This browser is too old"), h("p", {}, "The page needs one of the year 2023 or later. The same facts are served as JSON under /api/v1/."));
} else if (!begin()) {
  app.transport.session = app.settings.session?.key ?? "";
  app.open();
  app.transport.connect();
}
