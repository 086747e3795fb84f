/**
 * The way to the monitor: login, a WebSocket, requests where that can't be opened, and coming back.
 * It hands over messages in order and says how the connection stands; it knows nothing of the page.
 * @module
 */

const API = "api/v1/";
const FIRST_PAUSE = 0.5; // seconds before the second try; doubles up to ...
const LONGEST_PAUSE = 15;
const ENDED_PAUSE = 30; // seconds between looks for a new run, after the program said goodbye
const LOST_AFTER = 10; // seconds of refused connections, then the program has probably ended
const OPEN_WITHIN = 10; // seconds for a WebSocket to open

/**
 * @typedef {"connecting" | "live" | "polling" | "waiting" | "login" | "busy" | "refused" | "ended"} State
 * @typedef {{state: State, until: number, text: string}} Standing `until`: when it is tried again, in ms of Date.now()
 * @typedef {{epoch: string, since: number, topics: string[], interval: number}} Position where the page stands
 */

/** An answer that is an error. */
export class Refusal extends Error {
  /** @param {number} status @param {string} text */
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

/** One connection, for as long as the page is open. */
export class Transport {
  /**
   * @param {() => Position} position
   * @param {(message: any) => void} hear
   * @param {(standing: Standing) => void} changed
   */
  constructor(position, hear, changed) {
    this._position = position;
    this._hear = hear;
    this._changed = changed;
    /** @type {Standing} */
    this.standing = { state: "connecting", until: 0, text: "" };
    this.session = "";
    this.failing = 0; // ms of Date.now() since when nothing answers; 0: it does
    this.ended = false; // the program has said goodbye
    /** @type {WebSocket | null} */
    this._socket = null;
    /** @type {AbortController | null} */
    this._poll = null;
    this._queue = Promise.resolve();
    this._pause = FIRST_PAUSE;
    this._timer = 0;
    /** @type {number[]} */
    this._misses = []; // when WebSockets could not be opened
  }

  // Requests.

  /**
   * Ask for JSON, or say some.
   * @param {string} path below /api/v1/
   * @param {object} [body] given: POST
   * @param {AbortSignal} [signal]
   * @returns {Promise<any>} Refusal if the monitor says no; TypeError if it does not answer
   */
  async ask(path, body, signal) {
    const response = await this._fetch(path, body, signal);
    return response.json();
  }

  /** @param {string} path @param {object} [body] @param {AbortSignal} [signal] */
  async _fetch(path, body, signal) {
    const headers = /** @type {Record<string, string>} */ ({});
    if (this.session) headers.Authorization = `Bearer ${this.session}`;
    if (body) headers["Content-Type"] = "application/json";
    const response = await fetch(API + path, {
      method: body ? "POST" : "GET",
      headers,
      body: body ? JSON.stringify(body) : undefined,
      credentials: "omit",
      cache: "no-store",
      signal,
    });
    if (response.ok) return response;
    const said = await response.json().catch(() => ({}));
    let text = typeof said.error === "string" ? said.error : `the monitor answered ${response.status}`;
    const wait = response.headers.get("Retry-After");
    if (wait) text += ` ${wait} s`;
    throw new Refusal(response.status, text);
  }

  /**
   * Change a token for a session.
   * @param {string} token
   * @returns {Promise<{session: string, role: string, epoch: string}>}
   */
  async login(token) {
    const answer = await this.ask("login", { token });
    this.session = answer.session;
    return answer;
  }

  // The connection.

  /** Connect now, whatever was planned. */
  connect() {
    clearTimeout(this._timer);
    this._drop();
    if (!this.session) {
      this._stand("login", "");
      return;
    }
    if (!this.ended && this.standing.state !== "waiting") this._stand("connecting", "");
    const address = new URL(`${API}live`, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    this._socket = socket;
    let opened = false;
    const late = setTimeout(() => this._closed(socket, 1006, "", opened), OPEN_WITHIN * 1000);
    socket.onopen = () => {
      opened = true;
      clearTimeout(late);
      this._misses = [];
      const { epoch, since, topics, interval } = this._position();
      socket.send(JSON.stringify({ type: "login", login: this.session, epoch, since, topics, interval }));
    };
    socket.onmessage = (event) => this._enqueue(event.data, () => this._socket === socket, "live");
    socket.onclose = (event) => {
      clearTimeout(late);
      this._closed(socket, event.code, event.reason, opened);
    };
  }

  /** Let go, and come back only by `connect`. */
  rest() {
    this._drop();
    clearTimeout(this._timer);
  }

  /** Let go of whatever is open. */
  _drop() {
    const socket = this._socket;
    this._socket = null;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
    this._poll?.abort();
    this._poll = null;
  }

  /** @param {State} state @param {string} text @param {number} [seconds] until the next try */
  _stand(state, text, seconds = 0) {
    this.standing = { state, text, until: seconds ? Date.now() + seconds * 1000 : 0 };
    clearTimeout(this._timer);
    if (seconds) this._timer = window.setTimeout(() => this.connect(), seconds * 1000);
    this._changed(this.standing);
  }

  /**
   * Messages are opened one after the other, so that none overtakes.
   * @param {string | ArrayBuffer | Uint8Array} data
   * @param {() => boolean} current whether its connection is still ours
   * @param {State} state what the connection is when a message has come
   */
  _enqueue(data, current, state) {
    this._queue = this._queue.then(async () => {
      if (!current()) return;
      try {
        const message = JSON.parse(typeof data === "string" ? data : await inflate(data));
        if (!current()) return;
        this._pause = FIRST_PAUSE;
        this.failing = 0;
        if (message.type === "bye") this.ended = true;
        if (message.type === "hello") this.ended = false;
        this._hear(message);
        if (!this.ended && this.standing.state !== state && current()) this._stand(state, "");
      } catch (error) {
        console.error("a message of the monitor could not be read", error);
        if (current()) this.connect();
      }
    });
  }

  /** @param {WebSocket} socket @param {number} code @param {string} reason @param {boolean} opened */
  _closed(socket, code, reason, opened) {
    // What came before the close is heard first.
    this._queue = this._queue.then(() => {
      if (this._socket !== socket) return;
      this._drop();
      this._plan(code, reason, opened);
    });
  }

  /** @param {number} code @param {string} reason @param {boolean} opened */
  _plan(code, reason, opened) {
    const now = Date.now();
    if (code === 4001) this._stand("login", reason);
    else if (code === 4002) this._stand("login", "You are logged out.");
    else if (code === 4004) this._stand("refused", reason);
    else if (code === 4003) this._stand("busy", reason, 10);
    else if (this.ended) this._stand("ended", "", ENDED_PAUSE);
    else {
      if (!opened) {
        this._misses = [...this._misses.filter((miss) => now - miss < 10_000), now];
        if (this._misses.length > 1) {
          this._misses = [];
          this._begin();
          return;
        }
      }
      this._retry();
    }
  }

  _retry() {
    if (!this.failing) this.failing = Date.now();
    const seconds = this._pause * (0.8 + 0.4 * Math.random());
    this._pause = Math.min(LONGEST_PAUSE, this._pause * 2);
    this._stand("waiting", "", seconds);
  }

  /** Whether nothing has answered for so long that the program has probably ended. */
  get lost() {
    return this.failing > 0 && Date.now() - this.failing > LOST_AFTER * 1000;
  }

  // Without a WebSocket.

  async _begin() {
    const poll = new AbortController();
    this._poll = poll;
    const current = () => this._poll === poll;
    try {
      while (current()) {
        const { epoch, since, topics, interval } = this._position();
        const query = new URLSearchParams({ epoch, since: String(since), topics: topics.join(",") });
        const response = await this._fetch(`updates?${query}`, undefined, poll.signal);
        const data = new DataView(await response.arrayBuffer());
        for (let at = 0; at < data.byteLength; ) {
          const size = data.getUint32(at);
          this._enqueue(new Uint8Array(data.buffer, at + 4, size), current, "polling");
          at += 4 + size;
        }
        await this._queue;
        if (this.ended && current()) {
          this._poll = null;
          this._stand("ended", "", ENDED_PAUSE);
          return;
        }
        if (interval) await wait(interval * 1000, poll.signal);
      }
    } catch (error) {
      if (!current()) return;
      this._poll = null;
      if (error instanceof Refusal && error.status === 401) this._stand("login", error.message);
      else if (error instanceof Refusal && error.status === 429) this._stand("busy", error.message, 60);
      else if (this.ended) this._stand("ended", "", ENDED_PAUSE);
      else this._retry();
    }
  }

  // What the page says.

  /** @param {object} message */
  _say(message) {
    if (this._socket && this._socket.readyState === WebSocket.OPEN) this._socket.send(JSON.stringify(message));
    else if (this._poll) {
      // The request that is held asks for what is no longer wanted.
      this._poll.abort();
      this._begin();
    }
  }

  /** The page looks at other topics now. */
  topics() {
    this._say({ type: "topics", topics: this._position().topics });
  }

  /** The page wants updates more or less often now. */
  interval() {
    this._say({ type: "interval", seconds: this._position().interval });
  }

  /** @param {string} topic of which something was missed */
  missed(topic) {
    console.warn(`updates of ${topic} were missed; asking for all of it`);
    this._say({ type: "snapshot", topic });
  }
}

/**
 * Open raw deflate.
 * @param {ArrayBuffer | Uint8Array} data
 * @returns {Promise<string>}
 */
async function inflate(data) {
  const stream = new DecompressionStream("deflate-raw");
  const writer = stream.writable.getWriter();
  // What is wrong with the data fails the reader, too.
  writer.write(/** @type {BufferSource} */ (data)).catch(() => {});
  writer.close().catch(() => {});
  return new Response(stream.readable).text();
}

/** @param {number} ms @param {AbortSignal} signal */
function wait(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve(undefined);
    });
  });
}
