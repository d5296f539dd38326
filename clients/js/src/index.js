// Follows the feed of a Bakehouse; the types and what they mean are in index.d.ts.

/** Codes below this one are worth coming back after. */
const FINAL = 4400;
/** The position cannot be served. */
const NOT_AVAILABLE = 4010;
/** The connection ended without a word. */
const ABNORMAL = 1006;
/** Milliseconds to wait after the first failure, and at most. */
const FIRST_WAIT = 250;
const LONGEST_WAIT = 10_000;
/** How long a server may take to say welcome. */
const LONGEST_OPENING = 10_000;
/** Heartbeats without a word after which a connection is taken for dead. */
const SILENT_BEATS = 2.5;
/** The same before the server has said how often its heart beats. */
const FIRST_SILENCE = 15_000;

export class FeedError extends Error {
  constructor(code, message) {
    super(message);
    this.name = "FeedError";
    this.code = code;
  }
}

export function follow(url, options = {}) {
  const Socket = options.WebSocket ?? globalThis.WebSocket;
  if (Socket === undefined) {
    const ways = "use Node.js 22 or later, or give the one of the package `ws` as `options.WebSocket`";
    throw new TypeError(`bakehouse-feed: there is no WebSocket here: ${ways}`);
  }
  return new Follower(url, options, Socket);
}

class Follower {
  #url;
  #options;
  #Socket;
  #position;
  #epoch;
  #state = { name: "connecting" };
  #socket;
  #timer;
  #watchdog;
  #silence = FIRST_SILENCE;
  #failures = 0;
  #attempt = 0;
  #farewell;
  /** What is missing and not told yet: only once it is known where it goes on. */
  #lost;

  constructor(url, options, Socket) {
    const base = globalThis.location?.href;
    this.#url = new URL(url, base);
    this.#url.protocol = this.#url.protocol.replace(/^http/, "ws");
    this.#options = options;
    this.#Socket = Socket;
    this.#position = options.since;
    this.#epoch = options.epoch;
    this.#connect();
  }

  get position() {
    return this.#position;
  }

  get epoch() {
    return this.#epoch;
  }

  get state() {
    return this.#state;
  }

  close() {
    this.#end();
    this.#become({ name: "closed" });
  }

  /** Whoever is told of something may close it there and then. */
  #isClosed() {
    return this.#state.name === "closed";
  }

  #become(state) {
    this.#state = state;
    this.#options.onState?.(state);
  }

  /** Lets go of the connection; nothing that it still says is heard. */
  #end() {
    clearTimeout(this.#timer);
    clearTimeout(this.#watchdog);
    this.#attempt += 1;
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.close();
  }

  async #connect() {
    this.#become({ name: "connecting" });
    if (this.#isClosed()) {
      return;
    }
    this.#farewell = undefined;
    const attempt = this.#attempt;
    // A token may never come.
    this.#watch();
    const { token } = this.#options;
    let bearer;
    try {
      bearer = typeof token === "function" ? await token() : token;
    } catch (error) {
      if (attempt === this.#attempt) {
        this.#end();
        this.#retry(`no token: ${error?.message ?? error}`);
      }
      return;
    }
    if (attempt !== this.#attempt) {
      return; // It was closed, or given up, meanwhile.
    }
    const socket = new this.#Socket(this.#address(bearer === undefined));
    this.#socket = socket;
    this.#watch();
    const ours = (handle) => (event) => this.#socket === socket && handle(event);
    socket.onopen = ours(() => {
      if (bearer !== undefined) {
        // A token is a secret: addresses end up in logs.
        socket.send(JSON.stringify({ type: "subscribe", token: bearer, ...this.#wishes() }));
      }
    });
    socket.onmessage = ours((event) => this.#hear(JSON.parse(event.data)));
    socket.onclose = ours((event) => this.#closed(event));
    // Not everywhere does `close` follow (Node.js 22), and `ws` throws where nobody listens.
    socket.onerror = ours(() => this.#closed({ code: ABNORMAL, reason: "the connection failed" }));
  }

  #wishes() {
    const { order, customer, types } = this.#options.filter ?? {};
    return { since: this.#position, epoch: this.#epoch, order, customer, types };
  }

  #address(hasWishes) {
    const url = new URL(this.#url);
    if (hasWishes) {
      const { types, ...wishes } = this.#wishes();
      for (const [name, value] of Object.entries({ ...wishes, type: types?.join(",") })) {
        if (value !== undefined && value !== "") {
          url.searchParams.set(name, value);
        }
      }
    }
    return url.href;
  }

  /** A connection may be dead without anybody saying so. */
  #watch() {
    clearTimeout(this.#watchdog);
    const isOpening = this.state.name === "connecting";
    const patience = isOpening ? Math.min(LONGEST_OPENING, this.#silence) : this.#silence;
    this.#watchdog = setTimeout(() => {
      this.#end();
      this.#retry("nothing was heard for a while");
    }, patience);
  }

  #hear(frame) {
    this.#watch();
    switch (frame.type) {
      case "welcome":
        this.#welcome(frame);
        break;
      case "ping":
        this.#socket.send('{"type":"pong"}');
        break;
      case "position":
        this.#advance(frame.position);
        break;
      case "live":
        this.#advance(frame.position);
        this.#failures = 0;
        this.#become({ name: "live" });
        break;
      case "error":
        this.#farewell = frame;
        break;
      default:
        if (frame.position !== undefined) {
          this.#event(frame);
        }
    }
  }

  #welcome({ epoch, head, heartbeat_s }) {
    if (this.#epoch !== undefined && this.#epoch !== epoch) {
      this.#gap({ after: this.#position ?? 0, reason: "the server has another log now" });
    }
    this.#epoch = epoch;
    this.#position ??= head;
    if (this.#isClosed()) {
      return;
    }
    if (this.#lost) {
      // Whoever reads everything anew now misses nothing: what comes next is on its way.
      this.#gap({ ...this.#lost, next: head + 1 });
      this.#lost = undefined;
      if (this.#isClosed()) {
        return;
      }
    }
    if (heartbeat_s > 0) {
      this.#silence = heartbeat_s * 1_000 * SILENT_BEATS;
      this.#watch();
    }
    this.#become({ name: "catching-up", head });
  }

  #advance(position) {
    this.#position = Math.max(this.#position ?? 0, position);
  }

  #event(event) {
    const before = this.#position ?? 0;
    if (event.position <= before) {
      return; // It has been here.
    }
    const { order, customer, types } = this.#options.filter ?? {};
    const isFiltered = order ?? customer ?? types?.length;
    if (!isFiltered && !this.#options.token && event.position !== before + 1) {
      this.#gap({ after: before, next: event.position, reason: "positions are missing" });
      if (this.#isClosed()) {
        return;
      }
    }
    this.#position = event.position;
    this.#options.onEvent?.(event);
  }

  #gap(gap) {
    if (this.#options.onGap) {
      this.#options.onGap(gap);
    } else {
      console.warn("bakehouse-feed: events may be missing", gap);
    }
  }

  #closed({ code, reason }) {
    this.#end();
    const why = this.#farewell?.message ?? (reason || "the connection was lost");
    if (code >= FINAL && code < 5_000) {
      this.#become({ name: "closed", error: new FeedError(code, why) });
      return;
    }
    if (code === NOT_AVAILABLE) {
      // Coming back with the same position would lead here again.
      this.#lost ??= { after: this.#position ?? 0, reason: why };
      this.#position = undefined;
      this.#epoch = undefined;
    }
    this.#retry(why, this.#farewell?.retry_after_ms);
  }

  #retry(reason, hint) {
    const step = Math.min(FIRST_WAIT * 2 ** this.#failures, LONGEST_WAIT);
    const wait = hint ?? step * (0.5 + Math.random() / 2);
    this.#failures += 1;
    this.#become({ name: "waiting", retryAt: Date.now() + wait, reason });
    if (this.#isClosed()) {
      return;
    }
    this.#timer = setTimeout(() => this.#connect(), wait);
  }
}
