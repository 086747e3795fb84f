/**
 * What a shared scheduler shows in place of tasks, which it does not see: who has its servers, who waits, and whom to ask.
 * @module
 */
import { h, mark, put } from "./dom.js";
import { age, count } from "./format.js";
import { Table } from "./table.js";

/** @typedef {import("./main.js").App} App */

const numeric = true;
const LOOPBACK = /^(127\.0\.0\.1|\[?::1\]?|localhost)$/;

/**
 * Where tasks are seen, with a link to there.
 * @param {App} app
 */
export function where(app) {
  const element = h("p.quiet.elsewhere");
  let shown = "";
  return {
    element,
    paint() {
      const text = app.store.cluster.elsewhere ?? "";
      const address = app.store.list("cluster", "client").find((row) => row.place === 0 && row.state !== "closed")?.monitor;
      if (text === shown) return;
      shown = text;
      const at = address ? text.lastIndexOf(address) : -1;
      // Another machine's own address would lead to this one.
      const far = address && LOOPBACK.test(new URL(address).hostname) && !LOOPBACK.test(location.hostname);
      if (at < 0 || far) put(element, text);
      else put(element, text.slice(0, at), h("a", { href: address, target: "_blank", rel: "noreferrer" }, address), text.slice(at + address.length));
    },
  };
}

/**
 * The clients: who has the cluster, and who waits, in their order.
 * @param {App} app
 */
export function clients(app) {
  const { lends } = app.store;
  const untold = lends ? ["submitted"] : ["pid", "servers", "running"];
  /** @type {import("./table.js").Column[]} */
  const columns = [
    { id: "place", label: "Place", width: 9, value: (row) => row.place, text: (row) => (row.state === "closed" ? "–" : row.place === 0 ? "has it" : count(row.place)) },
    { id: "name", label: "Name", width: 15, value: (row) => row.name, hint: (row) => row.name },
    { id: "state", label: "State", width: 13, state: true, value: (row) => row.state },
    { id: "location", label: "Location", width: 17, value: (row) => row.location },
    { id: "pid", label: "Process", width: 9, numeric, detail: true, spare: 3, value: (row) => row.pid },
    { id: "since", label: "For", width: 11, numeric, ticks: true, spare: lends ? 1 : 0, value: (row) => (row.since ? -row.since : null), text: (row) => age(row.since ? app.now() - row.since : null) },
    { id: "servers", label: "Servers", width: 8.5, numeric, spare: 1, value: (row) => row.servers, text: (row) => count(row.servers) },
    { id: "running", label: "Running", width: 8.5, numeric, value: (row) => row.running, text: (row) => count(row.running) },
    { id: "submitted", label: "Submitted", width: 10, numeric, spare: 1, value: (row) => row.submitted, text: (row) => count(row.submitted) },
    { id: "done", label: "Done", width: 8.5, numeric, spare: 1, value: (row) => row.done, text: (row) => count(row.done) },
    { id: "why", label: "Waits for", value: (row) => row.why || "", hint: (row) => row.why || null },
  ];
  const none = lends ? "No client asks for the cluster. Each appears here when its program calls client.schedule()." : "No client is known: the program has not made one, or it has closed.";
  return new Table({
    name: lends ? "borrowers" : "clients",
    caption: "Clients",
    columns: columns.filter(({ id }) => !untold.includes(id)),
    sort: { id: "place", descending: false },
    empty: () => (app.ready ? none : "Loading …"),
  }, app.settings);
}

/**
 * A page of tasks, where none are seen.
 * @param {App} app @param {HTMLElement} root @param {string} title
 */
export function open(app, root, title) {
  const told = where(app);
  put(root, h("h1", {}, title), told.element);
  mark(told.element, "class", "elsewhere");
  return { title, topics: /** @type {string[]} */ ([]), paint: () => told.paint() };
}
