/**
 * The store: rows of the monitor's model as this page knows them. It applies snapshots and differences,
 * finds gaps, and tells who looks which topics changed. Pure: no document, no clock, no network.
 * @module
 */
import { family } from "./format.js";

const HOUR = 720; // samples that are kept
const DAY = 1440;
const MARKS = 20; // of other runs
const LINES = 1000; // of a server's log
const LETTERS = { c: "client", n: "node", s: "server", t: "task", e: "event" };

/**
 * @typedef {Record<string, any> & {id: string, type: string, rev: number}} Row fields by name; `type` is of the row itself,
 *   as tasks and events have a field `kind`; `rev` grows with each change
 * @typedef {{end: number, step: number, series: string[], hour: (number|null)[][], day: (number|null)[][], marks?: number[]}} History
 *   `marks`: when another run went on with it
 * @typedef {{number: number, ids: Set<string>, lists: Map<string, Row[]>, history: History | null, log: [number, number, string][], sampled: number, gone: string}} Topic
 */

/**
 * @param {string} id
 * @returns {string}
 */
export function typeOf(id) {
  return id === "cluster" ? "cluster" : (LETTERS[/** @type {keyof LETTERS} */ (id[0])] ?? "");
}

/** @returns {Topic} */
function emptyTopic() {
  return { number: -1, ids: new Set(), lists: new Map(), history: null, log: [], sampled: 1, gone: "" };
}

/**
 * One history of two runs: the time between them is unknown.
 * @param {History} before @param {History} after
 * @returns {History}
 */
function joined(before, after) {
  const unknown = (/** @type {number} */ count) => Array.from({ length: Math.min(HOUR, Math.max(0, Math.round(count))) }, () => after.series.map(() => null));
  const began = after.end - after.hour.length * after.step;
  const pause = began - before.end;
  return {
    ...after,
    hour: [...before.hour, ...unknown(pause / after.step), ...after.hour].slice(-HOUR),
    day: [...before.day, ...unknown(pause / 60), ...after.day].slice(-DAY),
    marks: [...(before.marks ?? []), began].slice(-MARKS),
  };
}

/** Everything that the page knows. */
export class Store {
  constructor() {
    this.epoch = "";
    this.seq = -1;
    /** @type {Map<string, Topic>} */
    this.topics = new Map();
    /** @type {Map<string, Row>} */
    this.rows = new Map();
    /** @type {Set<string>} topics that changed since `take` */
    this.changed = new Set();
    /** @type {History | null} */
    this._before = null; // samples of a run that this one goes on with
    this.frozen = false; // the program has ended: nothing that is known is let go
    this._rev = 0;
  }

  /**
   * Look at these topics; what belongs to no topic any more is forgotten.
   * @param {string[]} wanted
   * @returns {boolean} whether that is another list than before
   */
  want(wanted) {
    const before = [...this.topics.keys()];
    for (const name of wanted) if (!this.topics.has(name)) this.topics.set(name, emptyTopic());
    if (!this.frozen) {
      const left = before.filter((name) => !wanted.includes(name));
      for (const name of left) {
        const topic = this.topics.get(name);
        this.topics.delete(name);
        if (topic) this._forget(topic.ids);
      }
    }
    const after = [...this.topics.keys()];
    return after.length !== before.length || after.some((name) => !before.includes(name));
  }

  /** Begin anew with another run. */
  clear() {
    for (const topic of this.topics.values()) Object.assign(topic, emptyTopic());
    this.rows.clear();
    this.seq = -1;
    this.frozen = false;
    for (const name of this.topics.keys()) this.changed.add(name);
  }

  /** Begin anew with another run of the same cluster: what was measured goes on. */
  startAgain() {
    const before = this.topics.get("cluster")?.history ?? null;
    this.clear();
    this._before = before;
  }

  /**
   * The number to go on from, if every topic has it.
   * @returns {number} -1: none
   */
  get since() {
    let number = this.seq;
    for (const topic of this.topics.values()) number = Math.min(number, topic.number);
    return this.topics.size ? number : -1;
  }

  /**
   * Take a snapshot, a difference, a tick or the end of a topic.
   * @param {any} message as docs/monitor-wire.md describes it
   * @returns {string | null} the topic of which something was missed
   */
  apply(message) {
    if (message.type === "tick") {
      this.seq = message.seq;
      for (const topic of this.topics.values()) if (topic.number >= 0) topic.number = message.seq;
      return null;
    }
    const topic = this.topics.get(message.topic);
    if (!topic) return null; // left while it was on its way
    if (message.type === "gone") topic.gone = message.text;
    else if (message.type === "snapshot") this._snapshot(topic, message);
    else if (topic.number < 0) return null; // its snapshot comes
    else if (message.from !== topic.number) {
      topic.number = -1;
      return message.topic;
    } else this._delta(topic, message);
    this.changed.add(message.topic);
    return null;
  }

  /** @param {Topic} topic @param {any} message */
  _snapshot(topic, message) {
    const before = topic.ids;
    topic.ids = new Set();
    topic.lists = new Map();
    topic.gone = "";
    for (const [id, values] of Object.entries(message.rows)) {
      /** @type {string[]} */
      const names = message.columns[typeOf(id)];
      const row = this._row(id);
      names.forEach((name, at) => (row[name] = values[at]));
      topic.ids.add(id);
      before.delete(id);
    }
    this._forget(before);
    topic.number = message.to;
    topic.log = message.log ?? [];
    topic.sampled = message.sampled ?? 1;
    topic.history = message.history ? { day: [], ...message.history } : null;
    if (message.topic === "cluster" && topic.history && this._before) {
      topic.history = joined(this._before, topic.history);
      this._before = null;
    }
  }

  /** @param {Topic} topic @param {any} message */
  _delta(topic, message) {
    const before = topic.ids.size;
    for (const { fields, rows } of message.changes) {
      for (const [id, values] of Object.entries(rows)) {
        const row = this._row(id);
        for (let at = 0; at < fields.length; at += 1) row[fields[at]] = values[at];
        topic.ids.add(id);
      }
    }
    if (message.gone) {
      for (const id of message.gone) topic.ids.delete(id);
      this._forget(message.gone);
    }
    if (message.gone || topic.ids.size !== before) topic.lists = new Map();
    topic.number = message.to;
    topic.sampled = message.sampled ?? 1;
    if (message.log) topic.log = topic.log.concat(message.log).slice(-LINES);
    const { history } = message;
    if (history) {
      const old = topic.history;
      topic.history = {
        ...history,
        marks: old?.marks,
        hour: [...(old?.hour ?? []), ...history.hour].slice(-HOUR),
        day: [...(old?.day ?? []), ...(history.day ?? [])].slice(-DAY),
      };
    }
  }

  /** @param {string} id @returns {Row} */
  _row(id) {
    let row = this.rows.get(id);
    if (!row) {
      row = { id, type: typeOf(id), rev: 0 };
      this.rows.set(id, row);
    }
    this._rev += 1;
    row.rev = this._rev;
    return row;
  }

  /** @param {Iterable<string>} ids */
  _forget(ids) {
    for (const id of ids) {
      let used = false;
      for (const topic of this.topics.values()) used = used || topic.ids.has(id);
      if (!used) this.rows.delete(id);
    }
  }

  // What views read.

  /**
   * @param {string | null} id
   * @returns {Row | null}
   */
  row(id) {
    return (id && this.rows.get(id)) || null;
  }

  /** @returns {Row} the totals; empty before the first snapshot */
  get cluster() {
    return this.rows.get("cluster") ?? { id: "cluster", type: "cluster", rev: 0 };
  }

  /** Whether a shared scheduler is shown, which lends its servers and sees no tasks. */
  get lends() {
    return Boolean(this.cluster.elsewhere);
  }

  /**
   * Rows of a type in a topic, in the monitor's order; the same list until one comes or goes.
   * @param {string} topic
   * @param {string} type
   * @returns {readonly Row[]}
   */
  list(topic, type) {
    const held = this.topics.get(topic);
    if (!held) return [];
    let found = held.lists.get(type);
    if (!found) {
      found = [];
      for (const id of held.ids) {
        const row = this.rows.get(id);
        if (row && row.type === type) found.push(row);
      }
      held.lists.set(type, found);
    }
    return found;
  }

  /**
   * Whether a topic has had its snapshot.
   * @param {string} topic
   * @returns {boolean}
   */
  loaded(topic) {
    return (this.topics.get(topic)?.number ?? -1) >= 0;
  }

  /** @returns {Set<string>} topics that changed since the last call */
  take() {
    const changed = this.changed;
    this.changed = new Set();
    return changed;
  }
}

/** What servers look like: of thousands, those that look otherwise since they were drawn last. */
export class Looks {
  /** @param {Row[]} rows in the order in which they are numbered here */
  constructor(rows) {
    /** @type {{row: Row, rev: number, look: string}[]} */
    this._seen = rows.map((row) => ({ row, rev: -1, look: "" }));
    /** @type {Map<string, number>} servers by look */
    this.many = new Map();
    /** @type {Set<number>} those that look otherwise; whoever draws them clears it */
    this.stale = new Set();
  }

  /** Bring it up to date: only rows that were written since are looked at. */
  take() {
    const { _seen: seen, many } = this;
    for (let at = 0; at < seen.length; at += 1) {
      const one = seen[at];
      if (one.rev === one.row.rev) continue;
      one.rev = one.row.rev;
      const look = family(one.row.state);
      if (look === one.look) continue;
      if (one.look) many.set(one.look, (many.get(one.look) ?? 0) - 1);
      many.set(look, (many.get(look) ?? 0) + 1);
      one.look = look;
      this.stale.add(at);
    }
  }

  /** @param {number} at @returns {string} */
  of(at) {
    return this._seen[at].look;
  }
}
