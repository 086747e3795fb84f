/**
 * The Node and Server pages, and what is shown when none is named.
 * @module
 */
import { Buttons } from "./actions.js";
import { Chart } from "./chart.js";
import { nodeColumns } from "./cluster.js";
import { facts, h, mark, put, reshape, say, shape } from "./dom.js";
import { DASH, age, bytes, count, duration, known, number, percent, stack, time } from "./format.js";
import { Grid } from "./grid.js";
import { where } from "./lending.js";
import { byNumber, idNumber, passes, terms } from "./order.js";
import { Table } from "./table.js";

/** @typedef {import("./main.js").App} App */
/** @typedef {import("./store.js").Row} Row */

const ENDED = ["finished", "failed", "cancelled", "timed out", "rejected", "lost", "abandoned"];
const COUNTED = { submitted: "submitted", done: "done", failed: "of them failed", running: "running", waiting: "waiting there" };
const UNTOLD = ["submitted", "waiting", "cpu", "memory"]; // what a scheduler does not know of servers
const numeric = true;

/** @param {App} app @param {boolean} everywhere with the node, for servers of all nodes @returns {import("./table.js").Column[]} */
function serverColumns(app, everywhere) {
  /** @type {import("./table.js").Column[]} */
  const columns = [
    { id: "location", label: "Location", width: 21, value: (row) => byNumber(row.location), text: (row) => row.location ?? "–", link: (row) => `#/server/${row.id}` },
    { id: "state", label: "State", width: 20, state: true, value: (row) => row.state, text: (row) => app.stateText(row), hint: (row) => row.why || null },
    { id: "running", label: "Running", width: 8.5, numeric, value: (row) => row.running, text: (row) => count(row.running) },
  ];
  if (everywhere) {
    const node = (/** @type {Row} */ row) => app.store.row(row.node);
    columns.splice(1, 0, { id: "node", label: "Node", width: 18, value: (row) => node(row)?.name ?? null, link: (row) => `#/node/${row.node}` });
    return columns;
  }
  const own = [
    ...columns.slice(0, 2),
    { id: "submitted", label: "Submitted", width: 10, numeric, spare: 1, value: (row) => row.submitted, text: (row) => count(row.submitted) },
    { id: "done", label: "Done", width: 8.5, numeric, value: (row) => row.done, text: (row) => count(row.done) },
    columns[2],
    { id: "waiting", label: "Waiting there", width: 13, numeric, value: (row) => row.waiting, text: (row) => count(row.waiting) },
    { id: "cpu", label: "CPU", width: 7.5, numeric, value: (row) => row.cpu, text: (row) => percent(row.cpu) },
    { id: "memory", label: "Memory", width: 9.5, numeric, spare: 1, value: (row) => row.memory, text: (row) => bytes(row.memory) },
    { id: "pulse", label: "Last pulse", width: 10.5, numeric, ticks: true, value: (row) => row.pulse, text: (row) => age(row.pulse ? app.now() - row.pulse : null) },
  ];
  return app.store.lends ? own.filter(({ id }) => !UNTOLD.includes(id)) : own;
}

/**
 * Without an id: all of them, to choose one.
 * @param {App} app @param {HTMLElement} root @param {string} kind @param {string} asked an address that is not clear
 */
function choose(app, root, kind, asked) {
  const table = new Table({
    name: `all-${kind}s`,
    caption: kind === "node" ? "Choose a node" : "Choose a server",
    columns: kind === "node" ? nodeColumns(app) : serverColumns(app, true),
    sort: { id: kind === "node" ? "address" : "location", descending: false },
    open: (row) => `#/${kind}/${row.id}`,
    empty: () => (!app.ready ? "Loading …" : asked ? `No ${kind} at ${asked} is known.` : `No ${kind} is known yet; each appears here as soon as it is heard.`),
  }, app.settings);
  const text = asked ? `Which ${kind} at ${asked}? Closed ones stay for 10 minutes.` : "";
  const title = kind === "node" ? "Node" : "Server";
  put(root, h("h1", {}, title), text ? h("p", {}, text) : null, table.element);
  return {
    title,
    topics: ["cluster"],
    tables: [table],
    paint() {
      const wanted = terms(app.search);
      const own = (/** @type {Row} */ row) => (kind === "node" ? row.address : row.location);
      const rows = app.store.list("cluster", kind).filter((row) => !asked || own(row) === asked);
      table.show(rows.filter((row) => passes(wanted, { name: row.name, node: row.address, address: own(row), state: row.state })), app.now);
    },
    close: () => table.close(),
  };
}

/**
 * The id that an address names: a row's id, or the address of the only living one there.
 * @param {App} app @param {string} kind @param {string} asked
 * @returns {string | null}
 */
export function resolve(app, kind, asked) {
  if (new RegExp(`^${kind[0]}\\d+$`).test(asked)) return asked;
  const there = app.store.list("cluster", kind).filter((row) => asked === (kind === "node" ? row.address : row.location) || asked === row.name);
  const living = there.filter((row) => row.state !== "closed");
  return (living.length ? living : there).length === 1 ? (living.length ? living : there)[0].id : null;
}

/**
 * A page about one row: what it has in common for nodes and servers.
 * @param {App} app @param {string} kind @param {string} topic
 */
function frame(app, kind, topic) {
  const name = h("span");
  const state = h("span.state", {}, shape(""), h("span"));
  const why = h("p.quiet");
  const gone = h("p.banner", { hidden: true });
  return {
    name, state, why, gone,
    /** @param {Row | null} row @param {string} title */
    paint(row, title) {
      say(name, title);
      const lost = app.store.topics.get(topic)?.gone ?? "";
      gone.hidden = !lost;
      say(gone, lost ? `${lost[0].toUpperCase()}${lost.slice(1)}.` : "");
      state.hidden = !row;
      if (row) {
        reshape(/** @type {Element} */ (state.firstChild), row.state);
        say(/** @type {Element} */ (state.lastChild), app.stateText(row));
      }
      say(why, row?.why ?? "");
      why.hidden = !row?.why;
    },
  };
}

/**
 * @param {App} app
 * @param {HTMLElement} root
 * @param {string} asked an id, an address, or nothing
 */
export function openNode(app, root, asked) {
  const id = asked && resolve(app, "node", asked);
  if (!id) return choose(app, root, "node", asked);
  const { store } = app;
  const topic = `node/${id}`;
  const row = () => store.row(id);
  const about = frame(app, "node", topic);
  const list = h("dl.facts");
  const buttons = new Buttons(app, ["suspend", "resume", "close", "restart"], () => (row() ? [/** @type {Row} */ (row())] : []));
  const grid = new Grid((other) => store.row(other));
  const charts = [
    new Chart({ caption: "CPU available", series: "cpu", top: 100, text: percent }),
    new Chart({ caption: "Memory available", series: "memory", binary: true, text: bytes }),
    new Chart({ caption: "Tasks running", series: "running", text: (value) => (value !== null && value % 1 ? number(value) : count(value)) }),
    new Chart({ caption: "Tasks ended per second", series: "rate", text: (value) => (value === null ? "–" : `${value.toFixed(1)}/s`) }),
  ];
  const servers = new Table({
    name: "servers", caption: "Servers of this node", columns: serverColumns(app, false), sort: { id: "location", descending: false },
    open: (other) => `#/server/${other.id}`,
    empty: () => (app.ready ? "No server yet; they appear here when the node has been prepared." : "Loading …"),
  }, app.settings);
  put(root, h("div.head", {}, h("h1", {}, "Node ", about.name), about.state, h("span.grow"), buttons.element), about.gone, about.why, h("section.panel", { "aria-label": "Summary" }, list), grid.element, h("div.charts", {}, charts.map((chart) => chart.element)), servers.element);
  return {
    title: "Node",
    topics: ["cluster", topic],
    tables: [servers],
    paint() {
      const node = row();
      about.paint(node, node ? `${node.address ?? ""} ${node.name ?? ""}` : id);
      buttons.paint();
      if (node) facts(list, summary(app, node));
      const own = store.list(topic, "server");
      grid.show(own);
      const history = store.topics.get(topic)?.history ?? null;
      for (const chart of charts) chart.show(history);
      servers.show(own, app.now);
      this.title = `Node ${node?.name ?? id}`;
    },
    close() {
      grid.close();
      servers.close();
      for (const chart of charts) chart.close();
    },
  };
}

/** @param {Row} row @returns {string} what is known of its tasks */
function counted(row) {
  const found = Object.entries(COUNTED).filter(([name]) => known(row[name]) && (name !== "failed" || row.failed));
  return found.map(([name, word]) => `${count(row[name])} ${word}`).join(", ") || DASH;
}

/** @param {App} app @param {Row} node @returns {[string, string, string?][]} */
function summary(app, node) {
  const now = app.now();
  const hint = (/** @type {string} */ field) => node.notes?.[field];
  return [
    ["Address", `${node.address ?? "–"}:${node.port ?? "–"}`],
    ["Platform", node.platform ?? "–", hint("platform")],
    ["Python", node.python ?? "–"],
    ["dispycos", node.release ?? "–"],
    ["Servers", `${count(node.servers)} of ${count(node.granted)} granted, ${count(node.cpus)} possible`],
    ["CPU available", percent(node.cpu), hint("cpu")],
    ["Memory, swap", `${bytes(node.memory)}, ${bytes(node.swap)}`, hint("memory")],
    ["Disk", bytes(node.disk), hint("disk")],
    ["Tasks", counted(node), hint("submitted")],
    ["Last pulse", node.pulse ? `${age(now - node.pulse)} ago` : "–"],
    ["Granted for", node.since ? age((node.closed ?? now) - node.since) : "–"],
    ["Lease", node.holder ? `number ${node.lease}, of ${node.holder}${node.lease_end ? `, until ${time(node.lease_end, now)} unless renewed` : ""}` : "–"],
    ["Incarnation", node.incarnation ?? "–"],
  ];
}

/** @param {App} app @returns {import("./table.js").Column[]} */
function taskColumns(app) {
  const link = (/** @type {Row} */ row) => `#/task/${row.id}`;
  return [
    { id: "name", label: "Name", width: 19, value: (row) => row.name, text: (row) => `${row.name ?? "–"}#${row.id.slice(1)}`, link },
    { id: "state", label: "State", width: 20, state: true, value: (row) => row.state, text: (row) => app.stateText(row) },
    { id: "args", label: "Arguments", width: 20, spare: 1, value: (row) => (app.args ? row.args : null), text: (row) => (app.args ? (row.args ?? "–") : "hidden") },
    { id: "begun", label: "Started", width: 10, numeric, value: (row) => row.begun, text: (row) => time(row.begun, app.now()) },
    { id: "elapsed", label: "Elapsed", width: 9.5, numeric, ticks: true, value: (row) => (row.begun ? -row.begun : null), text: (row) => (row.begun ? age((row.ended ?? app.now()) - row.begun) : "–") },
    { id: "kind", label: "Kind", width: 7, value: (row) => row.kind },
    { id: "where", label: "Where it is", value: (row) => stack(row.where), hint: (row) => (row.where ? stack(row.where) : null), text: (row) => stack(row.where) },
  ];
}

/**
 * @param {App} app
 * @param {HTMLElement} root
 * @param {string} asked
 */
export function openServer(app, root, asked) {
  const id = asked && resolve(app, "server", asked);
  if (!id) return choose(app, root, "server", asked);
  const { store } = app;
  const topic = `server/${id}`;
  const row = () => store.row(id);
  const about = frame(app, "server", topic);
  const list = h("dl.facts");
  const buttons = new Buttons(app, ["suspend", "resume", "close", "restart"], () => (row() ? [/** @type {Row} */ (row())] : []));
  const columns = taskColumns(app);
  const picked = () => [...running.chosen].map((one) => store.row(one)).filter((task) => task !== null);
  const terminate = new Buttons(app, ["terminate"], () => /** @type {Row[]} */ (picked()), row, "Terminate selected");
  const running = new Table({
    name: "running", caption: "Running tasks", columns, sort: { id: "begun", descending: false }, select: true, chosen: () => terminate.paint(), tools: [terminate.element],
    open: (task) => `#/task/${task.id}`, empty: () => (store.loaded(topic) ? "Nothing runs here now. Tasks appear as soon as they begin." : "Loading …"),
  }, app.settings);
  const waiting = new Table({
    name: "handed", caption: "Next, waiting there", columns: [{ ...columns[0], value: (task) => idNumber(task.id) }, columns[1], { ...columns[2], spare: 0 }], sort: { id: "name", descending: false },
    open: (task) => `#/task/${task.id}`, empty: () => "No task waits at this server.",
  }, app.settings);
  const ended = new Table({
    name: "ended", caption: "Last 50 ended", columns: [...columns.slice(0, 2), { id: "ended", label: "Ended", width: 11, numeric, value: (task) => task.ended, text: (task) => time(task.ended, app.now()) }, { id: "took", label: "Took", width: 13, numeric, value: (task) => (task.begun ? task.ended - task.begun : null), text: (task) => (task.begun ? duration(task.ended - task.begun) : "–") }, { id: "reason", label: "Reason", value: (task) => task.reason || "", hint: (task) => task.reason || null }],
    sort: { id: "ended", descending: true }, open: (task) => `#/task/${task.id}`, empty: () => "No task has ended here yet.",
  }, app.settings);
  const log = new Log();
  const home = h("a");
  const elsewhere = where(app);
  const parts = store.lends ? [elsewhere] : [running, waiting, ended, log];
  put(root, h("div.head", {}, h("h1", {}, "Server ", about.name), about.state, h("span.grow"), buttons.element), about.gone, about.why, h("section.panel", { "aria-label": "Summary" }, list), parts.map((part) => part.element));
  return {
    title: "Server",
    topics: ["cluster", topic],
    tables: [running, waiting, ended],
    paint() {
      const server = row();
      about.paint(server, server?.location ?? id);
      buttons.paint();
      terminate.paint();
      if (server) {
        const node = store.row(server.node);
        say(home, `${node?.address ?? server.node} ${node?.name ?? ""}`);
        mark(home, "href", `#/node/${server.node}`);
        facts(list, serverSummary(app, server, home));
      }
      elsewhere.paint();
      const tasks = store.list(topic, "task");
      running.show(tasks.filter((task) => task.state === "running" || task.state === "paused"), app.now);
      waiting.show(tasks.filter((task) => task.state === "sent" || task.state === "waiting"), app.now);
      ended.show(tasks.filter((task) => ENDED.includes(task.state)), app.now);
      log.show(store.topics.get(topic)?.log ?? []);
      this.title = `Server ${server?.location ?? id}`;
    },
    close() {
      for (const table of [running, waiting, ended]) table.close();
    },
  };
}

/** @param {App} app @param {Row} server @param {Node} home @returns {[string, string | Node, string?][]} */
function serverSummary(app, server, home) {
  const hint = (/** @type {string} */ field) => server.notes?.[field];
  const told = app.store.lends ? [] : [
    ["A task takes", server.mean ? `${duration(server.mean)}, lately` : "–"],
    ["Ahead", server.credits ? `${count(server.credits)} at a time` : "–", "How many tasks may be at it at a time"],
    ["CPU", percent(server.cpu), hint("cpu")],
    ["Memory", bytes(server.memory), hint("memory")],
  ];
  return [
    ["Node", home],
    ["Tasks", counted(server), hint("submitted")],
    .../** @type {[string, string, string?][]} */ (told),
    ["Last pulse", server.pulse ? `${age(app.now() - server.pulse)} ago` : "–"],
    ["Yields", server.unresponsive ? `not for ${age(server.unresponsive)}` : "yes"],
    ["Process", `${server.pid ?? DASH}${server.since ? `, since ${time(server.since, app.now())}` : ""}`],
    ["Incarnation", server.incarnation ?? "–"],
  ];
}

/** What a server printed: follow, pause, copy. */
class Log {
  constructor() {
    this._follow = true;
    this._last = -1;
    this._lines = h("pre.log", { tabindex: "0", role: "log", "aria-live": "off", "aria-label": "What this server printed" });
    this._button = h("button.plain", { type: "button", "aria-pressed": "true", onclick: () => this.follow(!this._follow) }, "Follow");
    const copy = h("button.plain", { type: "button", onclick: async () => {
      // Without a clipboard (plain http to another host) the text is selected, to be copied by hand.
      try {
        await navigator.clipboard.writeText(this._lines.innerText);
        say(copy, "Copied");
      } catch {
        getSelection()?.selectAllChildren(this._lines);
        say(copy, "Selected");
      }
      setTimeout(() => say(copy, "Copy"), 2000);
    } }, "Copy");
    this.element = h("section.panel", { "aria-label": "Log" }, h("div.table-bar", {}, h("h2", {}, "Log"), h("span.grow"), this._button, copy), this._lines);
  }

  /** @param {boolean} follow */
  follow(follow) {
    this._follow = follow;
    mark(this._button, "aria-pressed", String(follow));
    this._down();
  }

  /** @param {[number, number, string][]} lines */
  show(lines) {
    const last = lines.length ? lines[lines.length - 1][0] : 0;
    if (last === this._last) return;
    const first = lines.length ? lines[0][0] : 0;
    if (this._last > last || this._last <= 0) put(this._lines);
    for (const [number, when, text] of lines) {
      if (number <= this._last) continue;
      this._lines.append(h("div.line", {}, h("time", {}, time(when)), text || " "));
    }
    if (!lines.length) put(this._lines, h("div.quiet", {}, "Nothing was printed yet. Lines are sent here while somebody looks at this page."));
    while (this._lines.children.length > Math.max(1, last - first + 1)) this._lines.firstChild?.remove();
    this._last = last;
    this._down();
  }

  _down() {
    if (this._follow) this._lines.scrollTop = this._lines.scrollHeight;
  }
}
