// Unit tests of the client with a fake websocket.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FeedError, follow } from "../src/index.js";

const URL_OF_FEED = "http://orders.example/order-events";

/** Websocket that records calls and delivers the frames of the test. */
class FakeSocket {
  static all = [];
  sent = [];
  isClosed = false;

  constructor(url) {
    this.url = new URL(url);
    FakeSocket.all.push(this);
    FakeSocket.onopened?.(this);
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.isClosed = true;
  }

  receive(...frames) {
    for (const frame of frames) {
      this.onmessage({ data: JSON.stringify(frame) });
    }
  }

  closeWith(code, reason = "") {
    this.onclose({ code, reason });
  }
}

/** Follows a feed on fake sockets; returns what the callbacks received and the next new socket. */
function start(options = {}) {
  const received = { events: [], states: [], gaps: [] };
  const opened = [];
  const waiting = [];
  FakeSocket.onopened = (socket) => {
    // The client sets the handlers right after it has created the socket.
    queueMicrotask(() => {
      const next = waiting.shift();
      next ? next(socket) : opened.push(socket);
    });
  };
  const feed = follow(URL_OF_FEED, {
    WebSocket: FakeSocket,
    onEvent: (event) => received.events.push(event.position),
    onState: (state) => received.states.push(state),
    onGap: (gap) => received.gaps.push(gap),
    ...options,
  });
  const next = () =>
    opened.length > 0
      ? Promise.resolve(opened.shift())
      : new Promise((resolve) => waiting.push(resolve));
  return { feed, received, next };
}

const welcome = { type: "welcome", epoch: "e-1", head: 3, heartbeat_s: 25 };
const event = (position) => ({ type: "order.created", position, order_id: "o" });

test("events are delivered once and in order, and a lost connection is resumed at the last one", async () => {
  const { feed, received, next } = start({ since: 0 });
  const first = await next();
  assert.equal(first.url.protocol, "ws:");
  assert.equal(first.url.searchParams.get("since"), "0");
  first.receive(welcome, event(1), event(2), event(2), event(1));
  first.closeWith(1006);
  const second = await next();
  assert.equal(second.url.searchParams.get("since"), "2");
  assert.equal(second.url.searchParams.get("epoch"), "e-1");
  second.receive(welcome, event(3), { type: "live", position: 3 });
  feed.close();
  assert.deepEqual(received.events, [1, 2, 3]);
  assert.deepEqual(received.gaps, []);
  const names = received.states.map((state) => state.name);
  assert.deepEqual(names, [
    "connecting", "catching-up", "waiting", "connecting", "catching-up", "live", "closed",
  ]);
});

test("missing positions and a different log are reported", async () => {
  const { feed, received, next } = start({ since: 1, epoch: "e-0" });
  const socket = await next();
  socket.receive(welcome, event(2), event(4));
  assert.deepEqual(received.gaps.map(({ after, next: to }) => [after, to]), [[1, undefined], [2, 4]]);
  socket.closeWith(4010, "no such position");
  const again = await next();
  assert.equal(again.url.searchParams.get("since"), null);
  again.receive({ ...welcome, head: 9 });
  assert.deepEqual(received.gaps[2], { after: 4, next: 10, reason: "no such position" });
  feed.close();
});

test("final close codes end the feed, and failures without a close frame are retried", async () => {
  const { received, next } = start();
  const broken = await next();
  broken.onerror({ message: "connection refused" });
  assert.equal(received.states.at(-1).name, "waiting");
  assert.equal(received.states.at(-1).reason, "connection failed");
  // A `close` that follows is ignored.
  broken.closeWith(1006);
  assert.equal(received.states.length, 2);
  const refused = await next();
  refused.receive({ type: "error", code: "bad_request", message: "no such type" });
  refused.closeWith(4400);
  const { name, error } = received.states.at(-1);
  assert.equal(name, "closed");
  assert.ok(error instanceof FeedError);
  assert.equal(error.code, 4400);
  assert.equal(error.message, "no such type");
});

test("a token is sent in the first frame, never in the URL", async () => {
  const { feed, next } = start({ token: () => "t0ken", filter: { types: ["order.created"] } });
  const socket = await next();
  assert.equal(socket.url.search, "");
  socket.onopen({});
  assert.deepEqual(socket.sent, [
    { type: "subscribe", token: "t0ken", types: ["order.created"] },
  ]);
  socket.receive({ type: "ping" });
  assert.deepEqual(socket.sent.at(-1), { type: "pong" });
  feed.close();
  assert.ok(socket.isClosed);
});

test("a missing WebSocket is reported with a hint", () => {
  const own = globalThis.WebSocket;
  globalThis.WebSocket = undefined;
  try {
    assert.throws(() => follow(URL_OF_FEED), /options\.WebSocket/);
  } finally {
    globalThis.WebSocket = own;
  }
});
