/**
 * What the page remembers over reloads, under one key with a version. Without storage it works all the same.
 * @module
 */

const KEY = "dispycos-monitor";
const VERSION = 1;

/**
 * @typedef {{id: string, descending: boolean}} Sorting
 * @typedef {{
 *   version: number, theme: string, interval: number | null, args: boolean, keys: boolean,
 *   sorts: Record<string, Sorting>, hidden: Record<string, string[]>, sessions: {epoch: string, key: string, role: string}[],
 * }} Values
 */

/** @returns {Values} */
function fresh() {
  return { version: VERSION, theme: "system", interval: null, args: true, keys: true, sorts: {}, hidden: {}, sessions: [] };
}

/** Settings of this browser for this address. */
export class Settings {
  constructor() {
    /** @type {Values} */
    this.values = fresh();
    try {
      const kept = JSON.parse(localStorage.getItem(KEY) ?? "null");
      if (kept && kept.version === VERSION) this.values = { ...this.values, ...kept };
    } catch {
      // Storage is refused, or holds what is not ours: the page begins anew.
    }
  }

  /**
   * Change some and keep them.
   * @param {Partial<Values>} changes
   */
  set(changes) {
    Object.assign(this.values, changes);
    try {
      localStorage.setItem(KEY, JSON.stringify(this.values));
    } catch {
      // Refused or full: what was chosen holds for as long as the page is open.
    }
  }

  /** The session to try: the one that was used last. */
  get session() {
    return this.values.sessions[0] ?? null;
  }

  /**
   * Remember a session, so that a new tab needs no login.
   * @param {{epoch: string, key: string, role: string}} session
   */
  remember(session) {
    // A cluster's next run knows its sessions, too: of one key the last epoch counts.
    const others = this.values.sessions.filter((known) => known.epoch !== session.epoch && known.key !== session.key);
    this.set({ sessions: [session, ...others].slice(0, 4) });
  }

  /**
   * Forget a session.
   * @param {string} key
   */
  forget(key) {
    this.set({ sessions: this.values.sessions.filter((known) => known.key !== key) });
  }
}
