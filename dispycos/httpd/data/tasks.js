/**
 * The Tasks page, and the whole story of one task.
 * @module
 */
import { Buttons } from "./actions.js";
import { facts, h, mark, put, reshape, say, shape } from "./dom.js";
import { age, count, duration, time } from "./format.js";
import { idNumber, passes, terms } from "./order.js";
import { Table } from "./table.js";
import { Refusal } from "./transport.js";

/** @typedef {import("./main.js").App} App */
/** @typedef {import("./store.js").Row} Row */

const numeric = true;
const ASK_EVERY = 2000; // ms between questions for a task that lives

/** @param {App} app @param {Row} row */
function placeOf(app, row) {
  return app.store.row(row.server)?.location ?? row.server ?? "–";
}

/** @param {App} app @param {Row} row seconds, or null before it began */
function elapsed(app, row) {
  return row.begun ? (row.ended ?? app.now()) - row.begun : null;
}

/** @param {Row} cluster what is not in the list for being too much; "" if all of it is */
function sampled(cluster) {
  if (cluster.one_in > 1) return `More tasks than can be shown one by one: 1 in ${count(cluster.one_in)} is shown here, the counts are of all.`;
  return cluster.collapsed ? "Some tasks are not in the list: there were too many at a time. The counts are of all." : "";
}

/**
 * @param {App} app
 * @param {HTMLElement} root
 */
export function openTasks(app, root) {
  const { store } = app;
  const terminate = new Buttons(app, ["terminate"], () => [...table.chosen].map((id) => store.row(id)).filter((row) => row !== null), undefined, "Terminate selected");
  const filter = h("input.filter", { type: "search", "aria-label": "Filter", placeholder: "state:failed name:foo node:10.0.0.3 text", value: app.search, spellcheck: "false", autocomplete: "off", oninput: () => app.find(filter.value) });
  const table = new Table({
    name: "tasks",
    caption: "Tasks",
    select: true,
    chosen: () => terminate.paint(),
    tools: [terminate.element, filter],
    columns: [
      { id: "id", label: "Id", width: 8, value: (row) => idNumber(row.id), text: (row) => `#${row.id.slice(1)}`, link: (row) => `#/task/${row.id}` },
      { id: "name", label: "Name", width: 16, value: (row) => row.name },
      { id: "state", label: "State", width: 13, state: true, value: (row) => row.state, text: (row) => app.stateText(row) },
      { id: "attempt", label: "Attempt", width: 8.5, numeric, detail: true, spare: 3, value: (row) => row.attempt, text: (row) => (row.attempts ? `${row.attempt} of ${row.attempts}` : String(row.attempt ?? "–")) },
      { id: "server", label: "Server", width: 17, value: (row) => placeOf(app, row), link: (row) => (row.server ? `#/server/${row.server}` : null) },
      { id: "submitted", label: "Submitted", width: 10, numeric, detail: true, spare: 2, value: (row) => row.submitted, text: (row) => time(row.submitted, app.now()) },
      { id: "begun", label: "Begun", width: 10, numeric, value: (row) => row.begun, text: (row) => time(row.begun, app.now()) },
      { id: "elapsed", label: "Elapsed", width: 9.5, numeric, ticks: true, value: (row) => elapsed(app, row), text: (row) => (row.ended ? duration(elapsed(app, row)) : age(elapsed(app, row))) },
      { id: "args", label: "Arguments", width: 14, detail: true, spare: 2, value: (row) => (app.args ? row.args : null), text: (row) => (app.args ? (row.args ?? "–") : "hidden") },
      { id: "reason", label: "Reason", width: 14, value: (row) => row.reason || "", hint: (row) => row.reason || null },
    ],
    sort: { id: "id", descending: true },
    open: (row) => `#/task/${row.id}`,
    empty: () => (!store.loaded("tasks") ? (app.bye ? "This page was not open when the program ended, so its tasks were not kept." : "Loading …") : app.search ? "No task matches the filter." : "No task yet. Each one that the program submits appears here."),
  }, app.settings);
  const counts = h("span");
  const note = h("p.quiet", {}, "Running ones, the first 10,000 that wait, and the last 10,000 that failed or ended while somebody looked. ", counts);
  const sample = h("p.quiet", { role: "status" });
  put(root, h("h1", {}, "Tasks"), note, table.element, sample);
  return {
    title: "Tasks",
    topics: ["cluster", "tasks"],
    tables: [table],
    paint() {
      if (document.activeElement !== filter && filter.value !== app.search) filter.value = app.search;
      const wanted = terms(app.search);
      const rows = store.list("tasks", "task");
      const fits = (/** @type {Row} */ row) => {
        const server = store.row(row.server);
        return passes(wanted, { name: row.name, state: row.state, server: server?.location, node: server ? server.location : null, id: `#${row.id.slice(1)}`, kind: row.kind, reason: row.reason, args: app.args ? row.args : null });
      };
      const { done, failed } = store.cluster;
      say(counts, done ? `Done in all: ${count(done)}${failed ? `, ${count(failed)} of them failed` : ""}.` : "");
      say(sample, sampled(store.cluster));
      table.show(wanted.length ? rows.filter(fits) : rows, app.now);
      terminate.paint();
    },
    close: () => table.close(),
  };
}

/**
 * One task: what is known of it, its way, and how it ended.
 * @param {App} app
 * @param {HTMLElement} root
 * @param {string} id
 */
export function openTask(app, root, id) {
  const name = h("span");
  const state = h("span.state", { hidden: true }, shape(""), h("span"));
  const list = h("dl.facts");
  const reason = h("pre.log.whole", { tabindex: "0", "aria-label": "Reason" });
  const ended = h("section.panel", { "aria-label": "Reason", hidden: true }, h("div.table-bar", {}, h("h2", {}, "Reason")), reason);
  const frames = h("ol.stack");
  const where = h("section.panel", { "aria-label": "Where it is", hidden: true }, h("div.table-bar", {}, h("h2", {}, "Where it is"), h("span.quiet", {}, "innermost last")), frames);
  const note = h("p.quiet", {}, "Asking the monitor …");
  const server = h("a");
  /** @type {Row | null} */
  let task = null;
  let asked = 0;
  let lives = true;
  let closed = false;
  const terminate = new Buttons(app, ["terminate"], () => (task && lives ? [task] : []), () => app.store.row(task?.server ?? null));
  put(root, h("div.head", {}, h("h1", {}, "Task ", name), state, h("span.grow"), terminate.element), note, h("section.panel", { "aria-label": "Summary" }, list), where, ended);

  async function ask() {
    asked = Date.now();
    try {
      const answer = await app.transport.ask(`tasks/${encodeURIComponent(id)}`);
      if (closed) return;
      task = { ...answer.task, type: "task", rev: answer.seq };
      lives = answer.lives;
      // Who looks at its server is told how it ends; of what nobody looks at that is not kept.
      app.look(lives && task.server ? [`server/${task.server}`] : []);
      say(note, "");
      say(reason, answer.reason ?? "");
      ended.hidden = !answer.reason;
      show();
    } catch (error) {
      if (closed) return;
      lives = false;
      const gone = error instanceof Refusal && error.status === 404;
      if (gone && task) {
        task.state = "ended";
        terminate.paint();
      }
      say(note, !gone ? "The monitor did not answer." : task ? "It has ended before this page could be told how: this is the last that was known." : `Nothing is known of task ${id}: of those that ended while somebody looked, the last 10,000 are kept.`);
    }
  }

  function show() {
    if (!task) return;
    const now = app.now();
    say(name, `${task.name}#${id.slice(1)}`);
    state.hidden = false;
    reshape(/** @type {Element} */ (state.firstChild), task.state);
    say(/** @type {Element} */ (state.lastChild), app.stateText(task));
    say(server, placeOf(app, task));
    mark(server, "href", task.server ? `#/server/${task.server}` : null);
    const since = (/** @type {number | null} */ when) => (when ? `${time(when, now)}, ${age(now - when)} ago` : "–");
    facts(list, [
      ["Kind", task.kind ?? "–"],
      ["Attempt", task.attempts ? `${task.attempt} of ${task.attempts}` : String(task.attempt ?? "–")],
      ["Server", server],
      ["Submitted", since(task.submitted)],
      ["Waited", task.submitted ? duration((task.begun ?? task.ended ?? now) - task.submitted) : "–"],
      ["Begun", since(task.begun)],
      ["Ended", since(task.ended)],
      ["Elapsed", task.begun ? duration((task.ended ?? now) - task.begun) : "–"],
      ["Arguments", app.args ? (task.args ?? `– ${task.notes?.args ?? ""}`) : "hidden here: Show Task Arguments is off"],
    ]);
    where.hidden = !task.where?.length;
    put(frames, (task.where ?? []).map((/** @type {[string, number, string]} */ [file, line, frame]) => h("li", {}, h("strong", {}, frame), h("span.quiet", {}, ` ${file}:${line}`))));
    terminate.paint();
  }
  if (app.ready) ask();
  return {
    title: `Task #${id.slice(1)}`,
    topics: ["cluster"],
    paint() {
      if (app.ready && !app.bye && (asked === 0 || (lives && Date.now() - asked >= ASK_EVERY))) ask();
      show();
    },
    close() {
      closed = true;
    },
  };
}
