/**
 * What every page has: connection, pages, figures of the cluster, search, and what must be said aloud.
 * @module
 */
import { fill, h, mark, put, say, shape } from "./dom.js";
import { count, known, many, number, time } from "./format.js";
import * as cluster from "./cluster.js";

/** @typedef {import("./main.js").App} App */
/** @typedef {import("./main.js").Page} Page */

/** The pages, in the order of the menu, each with the second key after `g`. */
export const PAGES = [
  ["cluster", "Cluster", "c"],
  ["node", "Node", "n"],
  ["server", "Server", "s"],
  ["tasks", "Tasks", "t"],
  ["timeline", "Timeline", "l"],
  ["events", "Events", "e"],
  ["client", "Client", "i"],
  ["about", "About", "a"],
  ["why", "Why nothing runs", "w"],
];
// What a scheduler's menu calls otherwise than a program's.
const OWN = { client: "Client", why: "Why nothing runs" };
const LENT = { client: "Clients", why: "Why clients wait" };
/** What opens each page. @type {Record<string, (app: App, root: HTMLElement, id: string) => Promise<Page> | Page>} */
export const OPENERS = {
  cluster: async (app, root) => cluster.open(app, root, app.store.lends ? await lending() : null),
  node: async (app, root, id) => (await import("./places.js")).openNode(app, root, id),
  server: async (app, root, id) => (await import("./places.js")).openServer(app, root, id),
  tasks: async (app, root) => (app.store.lends ? (await lending()).open(app, root, "Tasks") : (await import("./tasks.js")).openTasks(app, root)),
  task: async (app, root, id) => (app.store.lends ? (await lending()).open(app, root, "Task") : (await import("./tasks.js")).openTask(app, root, id)),
  timeline: async (app, root) => (app.store.lends ? (await lending()).open(app, root, "Timeline") : (await import("./timeline.js")).open(app, root)),
  events: async (app, root) => (await import("./records.js")).openEvents(app, root),
  client: async (app, root) => (await import("./records.js")).openClient(app, root),
  about: async (app, root) => (await import("./records.js")).openAbout(app, root),
  why: async (app, root) => (await import("./why.js")).open(app, root),
};
const lending = () => import("./lending.js");
const SPEAK = 10_000; // ms between two sentences for those who listen

/** @param {string} id @returns {any} */
const by = (id) => document.getElementById(id);

/** Everything around the page. */
export class Bar {
  /** @param {App} app */
  constructor(app) {
    this._app = app;
    this._links = new Map();
    this._spoken = 0;
    /** @type {Record<string, any>} */
    this._before = {};
    /** @type {string[]} */
    this._unsaid = [];
    this._banner = "";
    this._titled = "";
    this._titledAt = 0;
    const list = h("ul");
    for (const [id, label, key] of PAGES) {
      const number = h("span.count");
      const link = h("a", { href: `#/${id}`, title: `g ${key}` }, h("span", {}, label), number);
      this._links.set(id, { link, number });
      list.append(h("li", {}, link));
    }
    put(by("navigation"), list);
    by("connection").addEventListener("click", () => app.transport.connect());
    by("menu").addEventListener("click", () => this.menu());
    by("skip").addEventListener("click", (/** @type {Event} */ event) => {
      event.preventDefault();
      by("page").focus();
    });
    this._tools();
    this._strip();
  }

  /** @param {boolean} [open] show or hide the menu of a narrow page */
  menu(open = by("menu").getAttribute("aria-expanded") !== "true") {
    mark(by("menu"), "aria-expanded", String(open));
    by("navigation").classList.toggle("open", open);
  }

  _tools() {
    const { _app: app } = this;
    this._pause = h("button.plain", { type: "button", "aria-pressed": "false", title: "Hold the order of rows (p)", onclick: () => app.pause() }, "Pause");
    this._theme = h("button.plain", { type: "button", title: "Light, dark, or as the system", onclick: () => app.theme() }, "Theme");
    const help = h("button.plain", { type: "button", title: "Keys and meanings (?)", onclick: () => app.help() }, "Help");
    const save = h("button.plain", { type: "button", title: "The present state as a file", onclick: () => app.report() }, "Save report");
    this._out = h("button.plain", { type: "button", hidden: true, onclick: () => app.logout() }, "Log out");
    put(by("tools"), this._pause, this._theme, help, save, this._out);
  }

  _strip() {
    /** @type {Map<string, HTMLElement>} */
    this._figures = new Map();
    const strip = by("strip");
    const list = h("dl");
    const figure = (/** @type {string} */ id, /** @type {string} */ state, /** @type {string} */ word) => {
      const value = h("strong");
      this._figures?.set(id, value);
      return h("span.figure", { title: word, "data-figure": id }, state ? shape(state) : null, value, h(state ? "span.unseen" : "span", {}, ` ${word}`));
    };
    this._client = h("dd");
    fill(list,
      h("div.who", {}, h("dt", {}, "Client"), this._client),
      h("div", {}, h("dt", {}, "Nodes"), h("dd", {}, figure("nodes_initialized", "initialized", "initialized"), figure("nodes_suspended", "suspended", "suspended"), figure("nodes_zombie", "zombie", "zombie"))),
      h("div", {}, h("dt", {}, "Servers"), h("dd", {}, figure("servers_busy", "busy", "busy"), figure("servers_idle", "idle", "idle"))),
      h("div", {}, h("dt", {}, "Tasks"), h("dd", {}, figure("running", "running", "running"), figure("waiting", "waiting", "waiting"), figure("done", "finished", "done"), figure("failed", "failed", "of them failed"))),
      h("div", {}, h("dt.unseen", {}, "Rate"), h("dd", {}, figure("rate", "", "tasks/s"))));
    this.search = h("input", { type: "search", placeholder: "Search  /", "aria-label": "Search: a node, server or task opens, any other text filters the page", autocomplete: "off", spellcheck: "false", maxlength: "200", list: "found" });
    this._found = h("datalist", { id: "found" });
    this.search.addEventListener("input", () => {
      this._app.find(this.search.value);
      this._offer(this.search.value.trim().toLowerCase());
    });
    this.search.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Enter" && this._jump(this.search.value.trim())) this.search.value = "";
      else if (event.key === "Escape") {
        this.search.value = "";
        this._app.find("");
        by("page").focus();
      }
    });
    put(strip, list);
    put(by("search"), this.search, this._found);
  }

  /** Bring all of it up to date. */
  paint() {
    const { _app: app } = this;
    const { store } = app;
    const { cluster } = store;
    document.body.classList.toggle("out", !app.ready);
    document.body.classList.toggle("stale", app.stale && !app.bye);
    say(by("program"), app.hello?.program ?? "dispycos");
    this._connection();
    for (const [id, element] of this._figures ?? []) {
      say(element, id === "rate" ? number(cluster[id]) : count(cluster[id]));
      // What there is none of, and needs nobody, takes no room.
      const needless = id === "nodes_suspended" || id === "nodes_zombie" || id === "failed";
      /** @type {HTMLElement} */ (element.parentElement).hidden = needless ? !cluster[id] : app.ready && cluster[id] === null;
    }
    const waiting = cluster.waiting_clients ?? 0;
    say(/** @type {HTMLElement} */ (this._client), cluster.client ? `${cluster.client}${waiting ? `, ${count(waiting)} waiting` : ""}` : waiting ? `${count(waiting)} waiting` : "none");
    const nodes = (cluster.nodes_initialized ?? 0) + (cluster.nodes_suspended ?? 0) + (cluster.nodes_zombie ?? 0) + (cluster.nodes_other ?? 0);
    const servers = (cluster.servers_busy ?? 0) + (cluster.servers_idle ?? 0) + (cluster.servers_other ?? 0);
    for (const [id, value] of [["node", nodes], ["server", servers], ["tasks", (cluster.running ?? 0) + (cluster.waiting ?? 0)], ["why", cluster.why ? "!" : ""]]) {
      const { number: place } = this._links.get(id);
      say(place, typeof value === "number" ? (app.ready ? count(value) : "") : value);
    }
    for (const [id, text] of Object.entries(store.lends ? LENT : OWN)) say(this._links.get(id).link.firstChild, text);
    for (const id of ["tasks", "timeline"]) this._links.get(id).link.parentElement.hidden = store.lends;
    for (const [id, { link }] of this._links) mark(link, "aria-current", app.route.page === id || (app.route.page === "task" && id === "tasks") ? "page" : null);
    mark(this._pause, "aria-pressed", String(app.paused));
    say(this._pause, app.paused ? "Paused" : "Pause");
    say(this._theme, `Theme: ${app.settings.values.theme}`);
    this._out.hidden = !app.transport.session;
    this._title();
    this._listen();
    this._say();
  }

  /** What the connection is, in a few words. */
  get words() {
    const { _app: app } = this;
    const { state, until } = app.standing;
    if (app.bye) return ["ended", `Ended at ${time(app.bye.time, app.bye.time)}`];
    if (app.newRun) return ["waiting", "A new run answers"];
    if (state === "login") return ["login", "Not logged in"];
    if (state === "refused") return ["waiting", "Refused"];
    if (app.transport.lost) return ["waiting", `No answer since ${time(app.transport.failing / 1000)}`];
    if (state === "waiting" || state === "busy") return ["waiting", `Reconnecting in ${Math.max(0, Math.ceil((until - Date.now()) / 1000))} s`];
    if (app.stale && app.ready) return ["stale", `Stale since ${time(app.heard / 1000)}`];
    if (state === "connecting") return ["connecting", "Connecting"];
    if (state === "polling") return ["polling", "Polling"];
    return ["live", app.interval ? `Every ${app.interval} s` : "Live"];
  }

  _connection() {
    const [state, text] = this.words;
    mark(by("connection"), "data-state", state);
    say(by("connection-text"), text);
  }

  _title() {
    const { _app: app } = this;
    const { cluster } = app.store;
    const [state, text] = this.words;
    const parts = [state === "live" || state === "polling" || state === "connecting" ? "" : text, app.page?.title ?? "", app.ready ? `${count(cluster.running)} running${known(cluster.waiting) ? `, ${count(cluster.waiting)} waiting` : ""}` : "", app.hello?.program ?? "dispycos"];
    const title = parts.filter(Boolean).join(" · ");
    // The browser's own window shows it: that costs more than all figures of this page, so they follow each second.
    const now = Date.now();
    if (document.title === title || (title.replace(/\d+/g, "") === this._titled && now - this._titledAt < 900)) return;
    document.title = title;
    this._titled = title.replace(/\d+/g, "");
    this._titledAt = now;
  }

  /** The line above the page, when the connection is not what it should be. */
  banner() {
    const { _app: app } = this;
    const { bye } = app;
    let text = "";
    let offer = null;
    if (app.newRun || (app.ready && app.standing.state === "login")) {
      const locked = app.standing.state === "login";
      text = locked ? "A new run answers here, or this session has ended. Open the link that the program printed when it started; the last state stays below." : "A new run answers here. The old state stays until you leave it.";
      offer = locked ? null : ["Show the new run", () => app.takeNewRun()];
    } else if (bye) {
      const { totals } = bye;
      const failed = totals.failed ? `, ${count(totals.failed)} failed` : "";
      const done = known(totals.done) ? `, ${many(totals.done, "task")} done` : "";
      text = `The ${app.store.lends ? "scheduler" : "program"} ended at ${time(bye.time, app.local())}: ${bye.reason}${done}${failed}.${bye.text ? ` ${bye.text}.` : ""} This is its last state.`;
      offer = ["Save report", () => app.report()];
    } else if (app.ready && app.transport.lost) text = `No answer since ${time(app.transport.failing / 1000)}; the program has probably ended. Last state shown.`;
    else if (app.standing.state === "refused") text = `The monitor refused this page: ${app.standing.text}. Reload it.`;
    if (text === this._banner) return;
    this._banner = text;
    put(by("banners"), text ? h(bye ? "div.banner.calm" : "div.banner", {}, h("p", {}, text), offer ? h("button", { type: "button", onclick: offer[1] }, offer[0]) : null) : null);
    say(by("alert"), text);
  }

  // For those who listen: changes of state only, at most one sentence in ten seconds.

  _listen() {
    const { cluster } = this._app.store;
    const { ready } = this._app;
    const before = this._before;
    const now = { zombies: cluster.nodes_zombie ?? 0, failed: cluster.failed ?? 0, state: cluster.state, ready };
    if (before.ready && ready) {
      if (now.zombies > before.zombies) this._note(`${many(now.zombies - before.zombies, "node")} lost: no pulse`);
      if (now.failed > before.failed) this._note(`${many(now.failed - before.failed, "task")} failed`);
      if (now.state !== before.state) this._note(`The client is ${now.state}`);
    }
    this._before = now;
  }

  /** @param {string} text */
  _note(text) {
    // Of one kind the last is enough, with the numbers of it.
    const [first] = text.split(" ").slice(-1);
    this._unsaid = [...this._unsaid.filter((other) => !other.endsWith(first)), text];
  }

  _say() {
    const now = Date.now();
    if (!this._unsaid.length || now - this._spoken < SPEAK) return;
    this._spoken = now;
    say(by("polite"), `${this._unsaid.join(". ")}.`);
    this._unsaid = [];
  }

  /** @param {string} wanted names with it are offered under the search */
  _offer(wanted) {
    const names = [];
    for (const row of this._app.store.rows.values()) {
      const name = row.type === "node" ? row.address : row.type === "server" ? row.location : "";
      const found = wanted.length > 1 && name && `${name} ${row.name ?? ""}`.toLowerCase().includes(wanted);
      if (found && names.push(name) >= 8) break;
    }
    put(/** @type {Element} */ (this._found), names.map((name) => h("option", { value: name })));
  }

  /** @param {string} wanted @returns {boolean} whether it named a place, which is opened now */
  _jump(wanted) {
    const { _app: app } = this;
    const task = /^(?:\S*#|t)(\d+)$/.exec(wanted);
    const rows = [...app.store.rows.values()];
    const node = rows.find((row) => row.type === "node" && (row.address === wanted || row.name === wanted));
    const server = rows.find((row) => row.type === "server" && row.location === wanted);
    const to = task ? `task/t${task[1]}` : node ? `node/${wanted}` : server ? `server/${server.id}` : "";
    if (to) {
      app.find("");
      location.hash = `#/${to}`;
      by("page").focus();
    } else if (wanted && !["tasks", "events", "cluster", "node", "server"].includes(app.route.page)) location.hash = "#/tasks";
    return Boolean(to);
  }
}
