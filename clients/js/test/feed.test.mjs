// The client on its own, with a websocket that says what the test wants.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FeedError, follow } from "../src/index.js";

const URL_OF_FEED = "http://orders.example/order-events";

/** A websocket that remembers what was done with it. */
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

  say(...frames) {
    for (const frame of frames) {
      this.onmessage({ data: JSON.stringify(frame) });
    }
  }

  end(code, reason = "") {
    this.onclose({ code, reason });
  }
}

/** Follows with a fake socket: what was told, and the next socket that is opened. */
function start(options = {}) {
  const told = { events: [], states: [], gaps: [] };
  const opened = [];
  const waiting = [];
  FakeSocket.onopened = (socket) => {
    // The handlers are set right after it was made.
    queueMicrotask(() => {
      const next = waiting.shift();
      next ? next(socket) : opened.push(socket);
    });
  };
  const feed = follow(URL_OF_FEED, {
    WebSocket: FakeSocket,
    onEvent: (event) => told.events.push(event.position),
    onState: (state) => told.states.push(state),
    onGap: (gap) => told.gaps.push(gap),
    ...options,
  });
  const next = () =>
    opened.length > 0
      ? Promise.resolve(opened.shift())
      : new Promise((resolve) => waiting.push(resolve));
  return { feed, told, next };
}

const welcome = { type: "welcome", epoch: "e-1", head: 3, heartbeat_s: 25 };
const event = (position) => ({ type: "order.created", position, order_id: "o" });

test("events come once and in order, and a break is resumed from the last one", async () => {
  const { feed, told, next } = start({ since: 0 });
  const first = await next();
  assert.equal(first.url.protocol, "ws:");
  assert.equal(first.url.searchParams.get("since"), "0");
  first.say(welcome, event(1), event(2), event(2), event(1));
  first.end(1006);
  const second = await next();
  assert.equal(second.url.searchParams.get("since"), "2");
  assert.equal(second.url.searchParams.get("epoch"), "e-1");
  second.say(welcome, event(3), { type: "live", position: 3 });
  feed.close();
  assert.deepEqual(told.events, [1, 2, 3]);
  assert.deepEqual(told.gaps, []);
  const names = told.states.map((state) => state.name);
  assert.deepEqual(names, [
    "connecting", "catching-up", "waiting", "connecting", "catching-up", "live", "closed",
  ]);
});

test("missing positions and another log are told", async () => {
  const { feed, told, next } = start({ since: 1, epoch: "e-0" });
  const socket = await next();
  socket.say(welcome, event(2), event(4));
  assert.deepEqual(told.gaps.map(({ after, next: to }) => [after, to]), [[1, undefined], [2, 4]]);
  socket.end(4010, "no such position");
  const again = await next();
  assert.equal(again.url.searchParams.get("since"), null);
  again.say({ ...welcome, head: 9 });
  assert.deepEqual(told.gaps[2], { after: 4, next: 10, reason: "no such position" });
  feed.close();
});

test("what is final is final, and what failed without a close frame is tried again", async () => {
  const { told, next } = start();
  const broken = await next();
  broken.onerror({ message: "connection refused" });
  assert.equal(told.states.at(-1).name, "waiting");
  assert.equal(told.states.at(-1).reason, "the connection failed");
  // Where `close` does follow, it counts once.
  broken.end(1006);
  assert.equal(told.states.length, 2);
  const refused = await next();
  refused.say({ type: "error", code: "bad_request", message: "no such type" });
  refused.end(4400);
  const { name, error } = told.states.at(-1);
  assert.equal(name, "closed");
  assert.ok(error instanceof FeedError);
  assert.equal(error.code, 4400);
  assert.equal(error.message, "no such type");
});

test("a token goes into the first frame, never into the address", async () => {
  const { feed, next } = start({ token: () => "t0ken", filter: { types: ["order.created"] } });
  const socket = await next();
  assert.equal(socket.url.search, "");
  socket.onopen({});
  assert.deepEqual(socket.sent, [
    { type: "subscribe", token: "t0ken", types: ["order.created"] },
  ]);
  socket.say({ type: "ping" });
  assert.deepEqual(socket.sent.at(-1), { type: "pong" });
  feed.close();
  assert.ok(socket.isClosed);
});

test("without a WebSocket it says what to do", () => {
  const own = globalThis.WebSocket;
  globalThis.WebSocket = undefined;
  try {
    assert.throws(() => follow(URL_OF_FEED), /options\.WebSocket/);
  } finally {
    globalThis.WebSocket = own;
  }
});
