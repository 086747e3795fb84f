/**
 * Events, Client and About: what happened, who has the cluster, and what all of it is made of.
 * @module
 */
import { download, facts, h, put, say } from "./dom.js";
import { age, count, duration, time } from "./format.js";
import { clients, where } from "./lending.js";
import { byNumber, idNumber, passes, terms } from "./order.js";
import { Table } from "./table.js";

/** @typedef {import("./main.js").App} App */
/** @typedef {import("./store.js").Row} Row */

const LEVELS = ["info", "warning", "error"];
const PAGES = { c: "client", n: "node", s: "server", t: "task" };
/** @type {Record<string, string>} */
const WORDS = { name: "Program", release: "dispycos", python: "Python", platform: "Platform", wire: "Version of the wire" };
const numeric = true;

/**
 * @param {App} app
 * @param {HTMLElement} root
 */
export function openEvents(app, root) {
  const { store } = app;
  const level = h("select", { "aria-label": "Level", onchange: () => app.repaint() }, LEVELS.map((name) => h("option", { value: name }, name === "info" ? "All levels" : name === "warning" ? "Warnings and errors" : "Errors")));
  const subject = h("input.filter", { type: "search", "aria-label": "Filter by subject or text", placeholder: "Filter", value: app.search, spellcheck: "false", autocomplete: "off", oninput: () => app.find(subject.value) });
  const follow = h("button.plain", { type: "button", "aria-pressed": "true", onclick: () => {
    table.paused = !table.paused;
    follow.setAttribute("aria-pressed", String(!table.paused));
    if (!table.paused) table.refresh();
  } }, "Follow");
  const save = h("button.plain", { type: "button", onclick: () => download("events.jsonl", "application/x-ndjson", chosen().map((row) => `${JSON.stringify(row, (key, value) => (key === "rev" ? undefined : value))}\n`).join("")) }, "Download");
  const table = new Table({
    name: "events",
    caption: "Events",
    tools: [level, subject, follow, save],
    columns: [
      { id: "time", label: "Time", width: 13, value: (row) => idNumber(row.id), text: (row) => time(row.time, app.now()) },
      { id: "level", label: "Level", width: 13, state: true, value: (row) => LEVELS.indexOf(row.level), text: (row) => row.level ?? "–" },
      { id: "about", label: "About", width: 8, detail: true, value: (row) => row.kind },
      { id: "subject", label: "Subject", width: 26, value: (row) => row.subject, link: (row) => address(row) },
      { id: "text", label: "What happened", value: (row) => row.text, hint: (row) => row.text },
    ],
    sort: { id: "time", descending: true },
    open: (row) => address(row),
    empty: () => (!store.loaded("events") ? "Loading …" : app.search ? "No event matches the filter." : "Nothing has happened yet. Changes of state, failures and actions appear here."),
  }, app.settings);
  const chosen = () => {
    const wanted = terms(app.search);
    const least = LEVELS.indexOf(level.value);
    return store.list("events", "event").filter((row) => LEVELS.indexOf(row.level) >= least && passes(wanted, { subject: row.subject, text: row.text, about: row.kind, level: row.level }));
  };
  put(root, h("h1", {}, "Events"), table.element);
  return {
    title: "Events",
    topics: ["cluster", "events"],
    tables: [table],
    paint() {
      if (document.activeElement !== subject && subject.value !== app.search) subject.value = app.search;
      table.show(chosen(), app.now);
    },
    close: () => table.close(),
  };
}

/** @param {Row} row @returns {string | null} the page of whom it is about */
function address(row) {
  const page = row.row ? /** @type {any} */ (PAGES)[row.row[0]] : "";
  return page ? (page === "client" ? "#/client" : `#/${page}/${row.row}`) : null;
}

/**
 * @param {App} app
 * @param {HTMLElement} root
 */
export function openClient(app, root) {
  const { store } = app;
  const list = h("dl.facts");
  const counters = h("dl.facts");
  const elsewhere = where(app);
  const table = clients(app);
  const options = settingsOf(app, (said) => said.client);
  put(root, h("h1", {}, store.lends ? "Clients" : "Client"), store.lends ? elsewhere.element : null, h("section.panel", { "aria-label": "Summary" }, list), table.element, h("section.panel", { "aria-label": "Counters" }, h("div.table-bar", {}, h("h2", {}, "Counters")), counters), options.element);
  return {
    title: "Client",
    topics: ["cluster"],
    tables: [table],
    paint() {
      const { cluster } = store;
      const now = app.now();
      elsewhere.paint();
      facts(list, [
        [store.lends ? "Scheduler" : "Program", app.hello?.program ?? "–"],
        ["State", cluster.state ?? "–"],
        ["In possession", cluster.client || "none"],
        ["Scheduled", cluster.scheduled ? `${time(cluster.scheduled, now)}, ${age((cluster.closed ?? now) - cluster.scheduled)} ago` : "–"],
        ["Closed", cluster.closed ? time(cluster.closed, now) : "–"],
        ["pulse_interval", cluster.pulse_interval ? duration(cluster.pulse_interval) : "–"],
        ["Nodes", `${count(cluster.nodes_initialized)} initialized, ${count(cluster.nodes_suspended)} suspended, ${count(cluster.nodes_zombie)} zombie, ${count(cluster.nodes_other)} other`],
      ]);
      facts(counters, [
        ["Submitted", count(cluster.submitted)],
        ["Done", count(cluster.done)],
        ["Failed", count(cluster.failed), cluster.notes?.failed],
        ["Browsers that watch", count(cluster.browsers)],
        ["Changes not shown one by one", count(cluster.collapsed), "Changes of tasks that were too many to be sent"],
      ]);
      table.show(store.list("cluster", "client"), app.now);
      options.paint();
    },
    close: () => table.close(),
  };
}

/**
 * A list of what the program says of itself, whatever its form.
 * @param {App} app
 * @param {(said: any) => any} part
 */
function settingsOf(app, part) {
  const list = h("dl.facts");
  const element = h("section.panel", { "aria-label": "Options", hidden: true }, h("div.table-bar", {}, h("h2", {}, "Options")), list);
  let asked = false;
  return {
    element,
    async paint() {
      if (asked || !app.ready) return;
      asked = true;
      const said = await app.transport.ask("versions").then(part, () => null);
      const found = flat(said);
      element.hidden = !found.length;
      facts(list, found);
    },
  };
}

/** @param {any} value @param {string} [name] @returns {[string, string][]} every leaf with its path */
function flat(value, name = "") {
  if (value !== null && typeof value === "object" && !Array.isArray(value)) return Object.entries(value).flatMap(([key, inner]) => flat(inner, name ? `${name}.${key}` : key));
  return name ? [[name, Array.isArray(value) ? value.map((one) => (typeof one === "object" ? JSON.stringify(one) : String(one))).join(", ") || "none" : String(value ?? "–")]] : [];
}

/**
 * @param {App} app
 * @param {HTMLElement} root
 */
export function openAbout(app, root) {
  const list = h("dl.facts");
  const setup = h("dl.facts");
  const note = h("p.quiet", {}, "Asking the monitor …");
  /** @type {any} */
  let said = null;
  let asked = false;
  const differs = (/** @type {Row} */ row) => (said ? ["release", "python"].filter((field) => row[field] && row[field] !== said.program[field]) : []);
  const nodes = new Table({
    name: "versions",
    caption: "Versions of the nodes",
    columns: [
      { id: "address", label: "IP address", width: 16, value: (row) => byNumber(row.address), text: (row) => row.address ?? "–", link: (row) => `#/node/${row.id}` },
      { id: "name", label: "Name", width: 18, value: (row) => row.name },
      { id: "release", label: "dispycos", width: 18, value: (row) => row.release, text: (row) => `${row.release ?? "–"}${differs(row).includes("release") ? " ≠ here" : ""}` },
      { id: "python", label: "Python", width: 18, value: (row) => row.python, text: (row) => `${row.python ?? "–"}${differs(row).includes("python") ? " ≠ here" : ""}` },
      { id: "platform", label: "Platform", value: (row) => row.platform, hint: (row) => row.platform },
    ],
    sort: { id: "address", descending: false },
    open: (row) => `#/node/${row.id}`,
    empty: () => (said ? "No node is known." : "Loading …"),
  }, app.settings);
  const dump = h("button", { type: "button", onclick: () => app.report("json") }, "Download a dump");
  const box = h("input", { type: "checkbox", id: "keys", checked: app.settings.values.keys, onchange: () => app.settings.set({ keys: box.checked }) });
  put(root, h("div.head", {}, h("h1", {}, "About"), h("span.grow"), dump), note, h("section.panel", { "aria-label": "This program" }, list), nodes.element, h("section.panel", { "aria-label": "Configuration" }, h("div.table-bar", {}, h("h2", {}, "Configuration")), setup), h("p", {}, box, " ", h("label", { for: "keys" }, "Keys of this page are on (the list: ?)")));
  return {
    title: "About",
    topics: ["cluster"],
    tables: [nodes],
    async paint() {
      nodes.show(said ? said.nodes.map((/** @type {any} */ node) => ({ ...node, type: "node", rev: 0 })) : [], app.now);
      if (asked || !app.ready) return;
      asked = true;
      try {
        said = await app.transport.ask("versions");
        const apart = said.nodes.filter((/** @type {Row} */ node) => differs(node).length).length;
        say(note, apart ? `${count(apart)} of ${count(said.nodes.length)} nodes run another version than this program; they are marked.` : "Every node runs the versions of this program.");
      } catch {
        say(note, "The monitor did not answer; versions are asked for again when this page is opened anew.");
        return;
      }
      facts(list, flat(said.program).map(([name, value]) => [WORDS[name] ?? name, value]));
      facts(setup, flat(said.configuration));
      app.repaint();
    },
    close: () => nodes.close(),
  };
}
