/**
 * The Cluster page: totals, the grid of all servers, the last hour, and the table of nodes.
 * @module
 */
import { Chart } from "./chart.js";
import { h, mark, put, say, sparkline } from "./dom.js";
import { age, bytes, count, number, percent, zone } from "./format.js";
import { Grid } from "./grid.js";
import { byNumber, passes, terms } from "./order.js";
import { Table } from "./table.js";

/** @typedef {import("./main.js").App} App */
/** @typedef {import("./store.js").Row} Row */

const FEW = 40; // servers
const STEPS = [[0, "Live"], [1, "1 s"], [2, "2 s"], [5, "5 s"], [10, "10 s"], [30, "30 s"], [60, "60 s"]];

/** Columns of a table of nodes. @param {App} app @returns {import("./table.js").Column[]} */
export function nodeColumns(app) {
  const numeric = true;
  return [
    { id: "address", label: "IP address", width: 13.5, value: (row) => byNumber(row.address), text: (row) => row.address ?? "–", link: (row) => `#/node/${row.id}` },
    { id: "name", label: "Name", width: 9.5, value: (row) => row.name, hint: (row) => row.name },
    { id: "state", label: "State", width: 14.5, state: true, value: (row) => row.state, text: (row) => app.stateText(row), hint: (row) => row.why || null },
    { id: "servers", label: "Servers", width: 8.5, numeric, value: (row) => row.servers, text: (row) => count(row.servers) },
    { id: "cpu", label: "CPU available", width: 13, numeric, meter: true, value: (row) => row.cpu, text: (row) => percent(row.cpu) },
    { id: "memory", label: "Memory", width: 9.5, numeric, spare: 1, value: (row) => row.memory, text: (row) => bytes(row.memory) },
    { id: "swap", label: "Swap", width: 9.5, numeric, detail: true, spare: 3, value: (row) => row.swap, text: (row) => bytes(row.swap) },
    { id: "disk", label: "Disk", width: 9.5, numeric, detail: true, spare: 2, value: (row) => row.disk, text: (row) => bytes(row.disk) },
    app.store.lends
      ? { id: "holder", label: "Lent to", width: 10.5, value: (row) => row.holder || "", hint: (row) => row.holder || null }
      : { id: "submitted", label: "Submitted", width: 10, numeric, spare: 1, value: (row) => row.submitted, text: (row) => count(row.submitted) },
    { id: "done", label: "Done", width: 8.5, numeric, spare: app.store.lends ? 1 : 0, value: (row) => row.done, text: (row) => count(row.done) },
    { id: "running", label: "Running", width: 8.5, numeric, value: (row) => row.running, text: (row) => count(row.running) },
    { id: "pulse", label: "Last pulse", width: 10, numeric, ticks: true, value: (row) => row.pulse, text: (row) => age(row.pulse ? app.now() - row.pulse : null) },
  ];
}

/**
 * @param {App} app
 * @param {HTMLElement} root
 * @param {typeof import("./lending.js") | null} lending of a shared scheduler
 */
export function open(app, root, lending) {
  const { store, settings } = app;
  const hint = new Hint(lending ? "" : "Why is nothing running?");
  const elsewhere = lending?.where(app);
  const clients = lending?.clients(app);
  const tiles = new Map();
  const totals = h("dl.totals");
  for (const [id, label, series] of [["submitted", "Submitted"], ["done", "Done"], ...(lending ? [] : [["failed", "Of these failed"]]), ["running", "Running", "running"], ["waiting", "Waiting"], ["rate", "Tasks/s", "rate"]]) {
    const value = h("dd");
    const line = series ? sparkline([]) : null;
    tiles.set(id, { value, line, series });
    totals.append(h("div", {}, h("dt", {}, label), value, line));
  }
  const grid = new Grid((id) => store.row(id));
  const charts = [
    new Chart({ caption: "Tasks ended per second", series: "rate", height: 92, text: (value) => (value === null ? "–" : `${number(value)}/s`) }),
    new Chart({ caption: "Tasks running", series: "running", height: 92, text: (value) => (value !== null && value % 1 ? number(value) : count(value)) }),
  ];
  const nodes = new Table({
    name: "nodes",
    caption: "Nodes",
    columns: nodeColumns(app),
    sort: { id: "address", descending: true },
    open: (row) => `#/node/${row.id}`,
    empty: () => (!app.ready ? "Loading …" : app.search ? "No node matches the search." : "No node is known yet. Each appears here when it is heard: start dispycosnode on a machine, with the same key."),
  }, settings);
  const interval = intervalControl(app);
  const args = argsControl(app);
  /** @type {import("./store.js").History | null} */
  let drawn = null;
  const pictures = h("div.columns-2", {}, grid.element, h("div.side-charts", {}, charts.map((chart) => chart.element)));
  put(root, h("div.head", {}, h("h1", {}, "Cluster"), h("span.grow"), interval.element, lending ? null : args.element), hint.element, totals, elsewhere?.element, clients?.element, pictures, nodes.element, h("p.quiet.zone", {}, `Times are of ${zone()}.`));
  return {
    title: "Cluster",
    topics: ["cluster"],
    tables: clients ? [clients, nodes] : [nodes],
    paint() {
      const { cluster } = store;
      const history = store.topics.get("cluster")?.history ?? null;
      for (const [id, tile] of tiles) {
        say(tile.value, id === "rate" ? number(cluster.rate) : count(cluster[id]));
        const at = history && history !== drawn && tile.series ? history.series.indexOf(tile.series) : -1;
        if (history && at >= 0) sparkline(history.hour.map((row) => row[at]), tile.line);
        mark(tile.value, "title", cluster.notes?.[id] ?? null);
        if (id === "failed") mark(tile.value, "data-some", cluster.failed ? "" : null);
      }
      drawn = history;
      hint.show(cluster.why);
      elsewhere?.paint();
      clients?.show(store.list("cluster", "client"), app.now);
      const servers = store.list("cluster", "server");
      // A handful of cells needs no half of the page.
      pictures.classList.toggle("few", servers.length <= FEW);
      grid.show(servers);
      for (const chart of charts) chart.show(history);
      const wanted = terms(app.search);
      const rows = store.list("cluster", "node");
      nodes.show(wanted.length ? rows.filter((row) => passes(wanted, { name: row.name, node: row.address, address: row.address, state: row.state })) : rows, app.now);
      interval.paint();
      args.paint();
    },
    close() {
      grid.close();
      nodes.close();
      clients?.close();
      for (const chart of charts) chart.close();
    },
  };
}

/** The line that leads to the causes, there only when something keeps tasks from running. */
class Hint {
  /** @param {string} question that it answers; "": it speaks for itself */
  constructor(question) {
    this._text = h("span");
    this.element = h("a.hint", { href: "#/why", hidden: true }, question && h("strong", {}, question), " ", this._text, h("span.more", {}, "All causes"));
  }

  /** @param {string | null | undefined} why */
  show(why) {
    this.element.hidden = !why;
    say(this._text, why ? `${why[0].toUpperCase()}${why.slice(1)}.` : "");
  }
}

/** Update Interval: a choice, or seconds that are typed. @param {App} app */
function intervalControl(app) {
  const typed = h("input.seconds", { type: "number", min: "0.2", max: "3600", step: "any", "aria-label": "Seconds between updates", "aria-describedby": "interval-wrong", hidden: true });
  const wrong = h("span.wrong", { id: "interval-wrong", role: "alert" });
  const choice = h("select", { id: "interval" }, STEPS.map(([value, label]) => h("option", { value }, label)), h("option", { value: "other" }, "Other …"));
  choice.addEventListener("change", () => {
    say(wrong, "");
    mark(typed, "aria-invalid", null);
    typed.hidden = choice.value !== "other";
    if (choice.value === "other") {
      typed.value = String(app.interval || 3);
      typed.focus();
    } else app.setInterval(Number(choice.value));
  });
  typed.addEventListener("change", () => {
    const seconds = Number(typed.value);
    const fits = seconds >= 0.2 && seconds <= 3600;
    say(wrong, fits ? "" : "0.2 to 3600 seconds");
    mark(typed, "aria-invalid", fits ? null : "true");
    if (fits) app.setInterval(seconds);
  });
  return {
    element: h("div.control", {}, h("label", { for: "interval" }, "Update Interval"), choice, typed, wrong),
    paint() {
      // What is wrong stays until it is put right, or another choice is made.
      if (document.activeElement === choice || document.activeElement === typed || wrong.textContent) return;
      const known = STEPS.some(([value]) => value === app.interval);
      choice.value = known ? String(app.interval) : "other";
      typed.hidden = known;
      if (!known && !typed.value) typed.value = String(app.interval);
    },
  };
}

/** Show Task Arguments: a viewer's own display, an operator's program. @param {App} app */
function argsControl(app) {
  const box = h("input", { type: "checkbox", id: "show-args" });
  box.addEventListener("change", () => app.showArgs(box.checked));
  return {
    element: h("div.control", {}, box, h("label", { for: "show-args" }, "Show Task Arguments")),
    paint() {
      const program = Boolean(app.store.cluster.show_args);
      const viewer = app.role !== "operator";
      box.checked = program && app.settings.values.args;
      box.disabled = viewer && !program;
      mark(box.parentElement, "title", viewer && !program ? "The program does not show arguments" : null);
    },
  };
}
