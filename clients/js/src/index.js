// Client of the feed of a Bakehouse server; index.d.ts documents the types.

/** First close code (up to 4999) after which reconnecting is useless. */
const FIRST_FINAL_CODE = 4400;
/** Close code: the server does not have the requested position. */
const POSITION_NOT_AVAILABLE = 4010;
/** Close code: the connection ended without a close frame. */
const ABNORMAL_CLOSURE = 1006;
/** Delay before the second attempt to connect; doubles with each failure up to the maximum. */
const INITIAL_BACKOFF_MS = 250;
const MAX_BACKOFF_MS = 10_000;
/** Maximum time until the server sends `welcome`. */
const CONNECT_TIMEOUT_MS = 10_000;
/** Number of heartbeat intervals without a message after which a connection counts as dead. */
const MAX_SILENT_HEARTBEATS = 2.5;
/** Idle timeout until the server has announced its heartbeat interval. */
const INITIAL_IDLE_TIMEOUT_MS = 15_000;

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
    const hint = "use Node.js 22 or later, or pass that of the package `ws` as `options.WebSocket`";
    throw new TypeError(`bakehouse-feed: no WebSocket available: ${hint}`);
  }
  return new FeedClient(url, options, Socket);
}

class FeedClient {
  #url;
  #options;
  #Socket;
  #position;
  #epoch;
  #state = { name: "connecting" };
  #socket;
  #timer;
  #watchdog;
  #idleTimeout = INITIAL_IDLE_TIMEOUT_MS;
  #failures = 0;
  #attempt = 0;
  /** Error message that the server sent before closing. */
  #lastError;
  /** Gap that is reported once the next position is known. */
  #pendingGap;

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
    this.#disconnect();
    this.#setState({ name: "closed" });
  }

  /** Callbacks may close the feed, so this is checked after each of them. */
  #isClosed() {
    return this.#state.name === "closed";
  }

  #setState(state) {
    this.#state = state;
    this.#options.onState?.(state);
  }

  /** Closes the connection and ignores everything that it still delivers. */
  #disconnect() {
    clearTimeout(this.#timer);
    clearTimeout(this.#watchdog);
    this.#attempt += 1;
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.close();
  }

  async #connect() {
    this.#setState({ name: "connecting" });
    if (this.#isClosed()) {
      return;
    }
    this.#lastError = undefined;
    const attempt = this.#attempt;
    // The callback for the token may never settle.
    this.#restartWatchdog();
    const { token } = this.#options;
    let bearer;
    try {
      bearer = typeof token === "function" ? await token() : token;
    } catch (error) {
      if (attempt === this.#attempt) {
        this.#disconnect();
        this.#retry(`no token: ${error?.message ?? error}`);
      }
      return;
    }
    if (attempt !== this.#attempt) {
      return; // Closed or timed out in the meantime.
    }
    const socket = new this.#Socket(this.#address(bearer === undefined));
    this.#socket = socket;
    this.#restartWatchdog();
    const ifCurrent = (handle) => (event) => this.#socket === socket && handle(event);
    socket.onopen = ifCurrent(() => {
      if (bearer !== undefined) {
        // The token is not sent in the URL, because URLs are logged.
        socket.send(JSON.stringify({ type: "subscribe", token: bearer, ...this.#subscription() }));
      }
    });
    socket.onmessage = ifCurrent((event) => this.#onFrame(JSON.parse(event.data)));
    socket.onclose = ifCurrent((event) => this.#onClose(event));
    // `close` does not always follow `error` (Node.js 22), and `ws` throws without a listener.
    socket.onerror = ifCurrent(() => this.#onClose({ code: ABNORMAL_CLOSURE, reason: "connection failed" }));
  }

  #subscription() {
    const { order, customer, types } = this.#options.filter ?? {};
    return { since: this.#position, epoch: this.#epoch, order, customer, types };
  }

  #address(hasQuery) {
    const url = new URL(this.#url);
    if (hasQuery) {
      const { types, ...others } = this.#subscription();
      for (const [name, value] of Object.entries({ ...others, type: types?.join(",") })) {
        if (value !== undefined && value !== "") {
          url.searchParams.set(name, value);
        }
      }
    }
    return url.href;
  }

  /** Restarts the timer that reconnects when no message arrives: dead connections send no close. */
  #restartWatchdog() {
    clearTimeout(this.#watchdog);
    const isConnecting = this.state.name === "connecting";
    const timeout = isConnecting ? Math.min(CONNECT_TIMEOUT_MS, this.#idleTimeout) : this.#idleTimeout;
    this.#watchdog = setTimeout(() => {
      this.#disconnect();
      this.#retry("connection timed out");
    }, timeout);
  }

  #onFrame(frame) {
    this.#restartWatchdog();
    switch (frame.type) {
      case "welcome":
        this.#onWelcome(frame);
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
        this.#setState({ name: "live" });
        break;
      case "error":
        this.#lastError = frame;
        break;
      default:
        if (frame.position !== undefined) {
          this.#onEvent(frame);
        }
    }
  }

  #onWelcome({ epoch, head, heartbeat_s }) {
    if (this.#epoch !== undefined && this.#epoch !== epoch) {
      this.#reportGap({ after: this.#position ?? 0, reason: "the server has a different log" });
    }
    this.#epoch = epoch;
    this.#position ??= head;
    if (this.#isClosed()) {
      return;
    }
    if (this.#pendingGap) {
      // The subscription is active, so a client that reloads its data now misses nothing.
      this.#reportGap({ ...this.#pendingGap, next: head + 1 });
      this.#pendingGap = undefined;
      if (this.#isClosed()) {
        return;
      }
    }
    if (heartbeat_s > 0) {
      this.#idleTimeout = heartbeat_s * 1_000 * MAX_SILENT_HEARTBEATS;
      this.#restartWatchdog();
    }
    this.#setState({ name: "catching-up", head });
  }

  #advance(position) {
    this.#position = Math.max(this.#position ?? 0, position);
  }

  #onEvent(event) {
    const before = this.#position ?? 0;
    if (event.position <= before) {
      return; // Delivered before.
    }
    const { order, customer, types } = this.#options.filter ?? {};
    const isFiltered = order ?? customer ?? types?.length;
    if (!isFiltered && !this.#options.token && event.position !== before + 1) {
      this.#reportGap({ after: before, next: event.position, reason: "positions are missing" });
      if (this.#isClosed()) {
        return;
      }
    }
    this.#position = event.position;
    this.#options.onEvent?.(event);
  }

  #reportGap(gap) {
    if (this.#options.onGap) {
      this.#options.onGap(gap);
    } else {
      console.warn("bakehouse-feed: events may be missing", gap);
    }
  }

  #onClose({ code, reason }) {
    this.#disconnect();
    const message = this.#lastError?.message ?? (reason || "connection lost");
    if (code >= FIRST_FINAL_CODE && code < 5_000) {
      this.#setState({ name: "closed", error: new FeedError(code, message) });
      return;
    }
    if (code === POSITION_NOT_AVAILABLE) {
      // The same position would be refused again, so the next attempt starts at the current one.
      this.#pendingGap ??= { after: this.#position ?? 0, reason: message };
      this.#position = undefined;
      this.#epoch = undefined;
    }
    this.#retry(message, this.#lastError?.retry_after_ms);
  }

  #retry(reason, retryAfterMs) {
    const backoff = Math.min(INITIAL_BACKOFF_MS * 2 ** this.#failures, MAX_BACKOFF_MS);
    const delay = retryAfterMs ?? backoff * (0.5 + Math.random() / 2);
    this.#failures += 1;
    this.#setState({ name: "waiting", retryAt: Date.now() + delay, reason });
    if (this.#isClosed()) {
      return;
    }
    this.#timer = setTimeout(() => this.#connect(), delay);
  }
}
