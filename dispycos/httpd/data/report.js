/**
 * Save report: the present state as one file that needs neither network nor script, or as JSON.
 * @module
 */
import { download } from "./dom.js";
import { bytes, count, number, percent, printable, time, zone } from "./format.js";
import { byNumber, sort } from "./order.js";

/** @typedef {import("./main.js").App} App */
/** @typedef {import("./store.js").Row} Row */

const MOST = 5000; // rows of one table
const STYLE = "body{font:13px/1.5 system-ui,sans-serif;margin:2em;color:#1b1f24;background:#fff}h1,h2{font-size:18px}table{border-collapse:collapse;margin:1em 0}th,td{text-align:left;padding:2px 14px 2px 0;border-bottom:1px solid #dde1e6;vertical-align:top}td{unicode-bidi:isolate;font-variant-numeric:tabular-nums}";

/** @param {unknown} value @returns {string} as text in HTML */
function escaped(value) {
  return printable(String(value ?? "–")).replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);
}

/** @param {string} title @param {string[]} columns @param {unknown[][]} rows */
function tableOf(title, columns, rows) {
  const shown = rows.slice(0, MOST);
  const more = rows.length > MOST ? `<p>and ${count(rows.length - MOST)} more</p>` : "";
  const cells = (/** @type {string} */ tag, /** @type {unknown[]} */ values) => `<tr>${values.map((value) => `<${tag}>${escaped(value)}</${tag}>`).join("")}</tr>`;
  return `<h2>${escaped(title)}, ${count(rows.length)}</h2><table><thead>${cells("th", columns)}</thead><tbody>${shown.map((row) => cells("td", row)).join("\n")}</tbody></table>${more}`;
}

/** @param {App} app @returns {string} what it is about, for the head of both forms */
function headline(app) {
  const [, words] = app.bar.words;
  return `${app.hello?.program ?? "dispycos"}, ${time(app.now(), 0)} (${zone()}), ${words}`;
}

/** @param {App} app */
function html(app) {
  const { store } = app;
  const { cluster } = store;
  const rows = (/** @type {string} */ type) => [...store.rows.values()].filter((row) => row.type === type);
  const at = (/** @type {Row} */ row) => store.row(row.server)?.location;
  const parts = [
    `<h1>${escaped(headline(app))}</h1>`,
    app.bye ? `<p>The program ended: ${escaped(app.bye.reason)}. ${escaped(app.bye.text)}</p>` : "",
    tableOf("Totals", ["Submitted", "Done", "Of these failed", "Running", "Waiting", "Tasks/s", "Client"], [[count(cluster.submitted), count(cluster.done), count(cluster.failed), count(cluster.running), count(cluster.waiting), number(cluster.rate), cluster.client]]),
    tableOf("Nodes", ["IP address", "Name", "State", "Servers", "CPU available", "Memory", "Swap", "Disk", "Submitted", "Done", "Running", "Last pulse"], sort(rows("node"), (row) => byNumber(row.address), true).map((row) => [row.address, row.name, row.state, count(row.servers), percent(row.cpu), bytes(row.memory), bytes(row.swap), bytes(row.disk), count(row.submitted), count(row.done), count(row.running), time(row.pulse)])),
    tableOf("Servers", ["Location", "Node", "State", "Running"], sort(rows("server"), (row) => byNumber(row.location), false).map((row) => [row.location, store.row(row.node)?.name, row.state, count(row.running)])),
  ];
  const tasks = rows("task");
  if (tasks.length) parts.push(tableOf("Tasks", ["Id", "Name", "State", "Server", "Begun", "Ended", "Arguments", "Reason"], tasks.map((row) => [row.id, row.name, row.state, at(row), time(row.begun), time(row.ended), app.args ? row.args : "hidden", row.reason])));
  const events = rows("event");
  if (events.length) parts.push(tableOf("Events", ["Time", "Level", "Subject", "What happened"], events.map((row) => [time(row.time), row.level, row.subject, row.text])));
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"><title>${escaped(headline(app))}</title><style>${STYLE}</style></head><body>${parts.join("\n")}</body></html>`;
}

/** @param {App} app */
function json(app) {
  /** @type {Record<string, object[]>} */
  const kinds = {};
  for (const row of app.store.rows.values()) {
    const { rev, type, ...own } = row;
    if (!app.args) delete own.args;
    (kinds[type] ??= []).push(own);
  }
  const history = app.store.topics.get("cluster")?.history ?? null;
  return JSON.stringify({ program: app.hello?.program, release: app.hello?.release, epoch: app.store.epoch, seq: app.store.seq, time: app.now(), ended: app.bye, rows: kinds, history }, null, 1);
}

/**
 * Hand the report to the user.
 * @param {App} app
 * @param {string} [form] "html", "json", or both
 */
export function save(app, form) {
  const stamp = time(app.now(), 0).replace(/[^0-9]+/g, "-");
  if (form !== "json") download(`dispycos-${stamp}.html`, "text/html", html(app));
  if (form !== "html") download(`dispycos-${stamp}.json`, "application/json", json(app));
}
