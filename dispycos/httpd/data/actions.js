/**
 * Actions: what an operator may do to nodes, servers and tasks, asked back with the present numbers.
 * @module
 */
import { confirm } from "./dialog.js";
import { h, mark } from "./dom.js";
import { many } from "./format.js";
import { Refusal } from "./transport.js";

/** @typedef {import("./main.js").App} App */
/** @typedef {import("./store.js").Row} Row */

const UNDO = 10; // seconds that a suspension can be taken back

const VERBS = { terminate: "Terminate", suspend: "Suspend", resume: "Resume", close: "Close", restart: "Restart" };

/**
 * Why this browser may not act now; "" if it may.
 * @param {App} app
 * @returns {string}
 */
export function barred(app) {
  if (app.bye) return "The program has ended";
  if (app.store.lends) return "A scheduler does nothing to nodes: the monitor of the client that has them does";
  if (app.hello && !app.hello.actions) return "The program was started so that nobody may act here";
  if (app.role !== "operator") return "You are a viewer; the operator's link allows actions";
  if (app.standing.state !== "live" && app.standing.state !== "polling") return "There is no connection to the program";
  return "";
}

/** @param {Row} row */
function nameOf(row) {
  return row.type === "node" ? (row.name ?? row.address) : row.type === "server" ? row.location : `${row.name}#${row.id.slice(1)}`;
}

/**
 * What an action would do, in sentences with the present numbers.
 * @param {string} verb
 * @param {Row[]} rows
 * @param {Row | null} server of tasks
 * @returns {string[]}
 */
export function effect(verb, rows, server) {
  const kind = rows[0].type;
  const sum = (/** @type {string} */ field) => rows.reduce((total, row) => total + (row[field] ?? 0), 0);
  const running = sum("running");
  const what = rows.length === 1 ? nameOf(rows[0]) : many(rows.length, kind);
  if (kind === "task") {
    const others = Math.max(0, (server?.running ?? 0) + (server?.waiting ?? 0) - rows.length);
    const subject = rows.length === 1 ? `${what} gets` : `${many(rows.length, "task")} get`;
    return [`${subject} KeyboardInterrupt and ${rows.length === 1 ? "has" : "have"} 5 s to end; then by force.`, server ? `${many(others, "other task")} at this server ${others === 1 ? "goes" : "go"} on.` : ""].filter(Boolean);
  }
  if (verb === "suspend") return [`${what} will get no new tasks.`, running ? `${many(running, "task")} that ${running === 1 ? "runs" : "run"} there ${running === 1 ? "goes" : "go"} on.` : "Nothing runs there now."];
  if (verb === "resume") return [`${what} will get tasks again.`];
  const ending = running ? `${many(running, "running task")} there ${running === 1 ? "is" : "are"} terminated.` : "Nothing runs there now.";
  const waiting = sum("waiting");
  const placed = waiting ? `${many(waiting, "task")} that did not begin there ${waiting === 1 ? "is" : "are"} placed again.` : "";
  const next = verb === "restart" ? `Then ${kind === "node" ? "it is prepared anew" : "another process takes its place"}.` : kind === "node" ? "It is given back, with all its servers." : "Its process ends.";
  return [ending, placed, next].filter(Boolean);
}

/**
 * Ask, act, and say what became of it.
 * @param {App} app
 * @param {string} verb
 * @param {Row[]} rows of one kind, at least one
 * @param {Row | null} [server] of tasks
 * @returns {Promise<boolean>} whether every target was done or had gone
 */
export async function act(app, verb, rows, server = null) {
  const why = barred(app);
  if (why || !rows.length) return false;
  const seen = app.store.seq;
  const kind = rows[0].type;
  const title = `${/** @type {any} */ (VERBS)[verb]} ${rows.length === 1 ? nameOf(rows[0]) : many(rows.length, kind)}?`;
  const running = rows.reduce((total, row) => total + (row.running ?? 0), 0);
  const typed = kind === "node" && (verb === "close" || verb === "restart") && running ? nameOf(rows[0]) : undefined;
  if (verb !== "resume" && !(await confirm({ title, text: effect(verb, rows, server), verb: `${/** @type {any} */ (VERBS)[verb]} ${rows.length === 1 ? kind : many(rows.length, kind)}`, typed }))) return false;
  return send(app, verb, rows, seen);
}

/** @param {App} app @param {string} verb @param {Row[]} rows @param {number} seen */
async function send(app, verb, rows, seen) {
  const kind = rows[0].type;
  const action = kind === "task" ? "terminate_tasks" : `${verb}_${kind}`;
  const ids = rows.map((row) => row.id);
  const key = `${action} ${ids.join(" ")}`;
  // A second click while the first is on its way asks for nothing.
  if (app.acting.has(key)) return false;
  app.acting.add(key);
  for (const row of rows) app.requested.set(row.id, { verb, state: row.state, until: Date.now() + 15_000 });
  app.repaint();
  try {
    const { results } = await app.transport.ask("actions", { action, targets: ids, seen });
    return told(app, verb, rows, results);
  } catch (error) {
    for (const id of ids) app.requested.delete(id);
    const text = error instanceof Refusal ? error.message : "the monitor did not answer; look whether it was done";
    app.message(`${/** @type {any} */ (VERBS)[verb]}: ${text}`, { bad: true });
    return false;
  } finally {
    app.acting.delete(key);
    app.repaint();
  }
}

/** @param {App} app @param {string} verb @param {Row[]} rows @param {{id: string, result: string, text: string}[]} results */
function told(app, verb, rows, results) {
  const byId = new Map(rows.map((row) => [row.id, row]));
  const refused = results.filter((one) => one.result === "refused");
  for (const one of results) if (one.result !== "done") app.requested.delete(one.id);
  const counts = ["done", "gone", "refused"].map((word) => [word, results.filter((one) => one.result === word).length]).filter(([, n]) => n);
  const [only] = results;
  const head = results.length === 1 ? (only.text.includes(nameOf(rows[0])) ? only.text : `${nameOf(rows[0])}: ${only.text || only.result}`) : `${/** @type {any} */ (VERBS)[verb]} ${many(rows.length, rows[0].type)}: ${counts.map(([word, n]) => `${n} ${word}`).join(", ")}`;
  const lines = results.length === 1 ? [] : results.filter((one) => one.result !== "done").slice(0, 8).map((one) => `${nameOf(/** @type {Row} */ (byId.get(one.id)))}: ${one.text}`);
  const done = results.filter((one) => one.result === "done").map((one) => /** @type {Row} */ (byId.get(one.id)));
  const undo = verb === "suspend" && done.length ? { offer: "Undo", seconds: UNDO, take: () => send(app, "resume", done, app.store.seq) } : {};
  app.message(head, { bad: refused.length > 0, lines, ...undo });
  return refused.length === 0;
}

/** Buttons of actions at what is shown. */
export class Buttons {
  /** @param {App} app @param {string[]} verbs @param {() => Row[]} rows @param {() => Row | null} [server] @param {string} [label] of all */
  constructor(app, verbs, rows, server = () => null, label = "") {
    this._app = app;
    this._rows = rows;
    this.why = h("span.quiet");
    this.element = h("div.actions", { role: "group", "aria-label": "Actions" });
    this._buttons = verbs.map((verb) => {
      const danger = verb === "close" || verb === "terminate" ? ".danger" : "";
            const button = h(`button${danger}`, { type: "button", onclick: () => act(app, verb, this._rows(), server()) }, label || /** @type {any} */ (VERBS)[verb]);
      this.element.append(button);
      return { verb, button };
    });
  }

  /** Bring them up to what may be done now. */
  paint() {
    const rows = this._rows();
    const why = barred(this._app);
    for (const { verb, button } of this._buttons) {
      const state = rows[0]?.state;
      const none = !rows.length ? "Nothing is selected" : "";
      const closed = state === "closed" ? "It is closed" : "";
      const fits = verb === "suspend" && state === "suspended" ? "It is suspended" : verb === "resume" && rows[0]?.type !== "task" && state !== "suspended" ? "It is not suspended" : "";
      const reason = why || none || closed || fits;
      button.disabled = Boolean(reason);
      mark(button, "title", reason || null);
    }
    mark(this.element, "title", why || null);
  }
}
