// Entry point of the page: the order form, and the feed that keeps all sections up to date. The
// page uses only the public API.

import { bearer, orders as load, place, setToken } from "./api.js";
import { $, element } from "./dom.js";
import * as events from "./events.js";
import { follow } from "./feed.js";
import * as orders from "./orders.js";
import * as parked from "./parked.js";
import * as processing from "./processing.js";
import * as stages from "./stages.js";
import * as throughput from "./throughput.js";

/** Number of events from before the page was opened that are loaded at the start. */
const PAST_EVENTS = 500;
const RETRY_INTERVAL_MS = 1_000;

let isLive = false;
/** Current subscription to the feed. */
let feed;
let retryTimer;
/** Number of calls of `start`; an earlier call stops when a later one has begun. */
let latestStart = 0;

function onEvent(event) {
  $("position").value = event.position;
  events.onEvent(event);
  orders.onEvent(event);
  processing.onEvent(event);
  if (isLive && (event.settled || event.type === "order.parked")) {
    parked.reload();
  }
  if (isLive) {
    throughput.onEvent(event);
  }
}

function onState(state) {
  const wasLive = isLive;
  isLive = state.name === "live";
  if (isLive && !wasLive) {
    parked.reload();
  }
  const texts = {
    "catching-up": "loading events",
    waiting: `reconnecting: ${state.reason}`,
    closed: state.error ? `disconnected: ${state.error.message}` : "disconnected",
  };
  $("feed-state").textContent = texts[state.name] ?? state.name;
  $("feed-state").className = state.name;
}

/** Follows the feed, beginning with the latest past events. */
async function start() {
  clearTimeout(retryTimer);
  latestStart += 1;
  const thisStart = latestStart;
  let newest;
  try {
    const page = await load("order?limit=1&sort=-updated_at");
    newest = page.lines[0]?.position ?? 0;
  } catch (problem) {
    if (thisStart !== latestStart) {
      return;
    }
    if (problem.status === 401 || problem.status === 403) {
      $("token-section").hidden = false;
      $("feed-state").textContent = problem.message;
      return;
    }
    $("feed-state").textContent = `reconnecting: ${problem.message}`;
    retryTimer = setTimeout(start, RETRY_INTERVAL_MS);
    return;
  }
  // Another token was entered in the meantime.
  if (thisStart !== latestStart) {
    return;
  }
  $("token-section").hidden = true;
  feed?.close();
  events.clear();
  feed = follow("order-events", {
    since: Math.max(0, newest - PAST_EVENTS),
    token: bearer(),
    onEvent,
    onState,
    onGap: () => orders.reload(),
  });
  await orders.reload();
}

// ---- the form ----

/** Marks the invalid fields of the form and returns the lines that describe the faults. */
function showFaults(problem, form) {
  for (const input of form.elements) {
    input.removeAttribute("aria-invalid");
  }
  const lines = problem.faults.map(({ pointer, detail }) => {
    const field = pointer.split("/").pop();
    const input = form.elements[field === "id" ? "customer" : field];
    input?.setAttribute("aria-invalid", "true");
    return element("p", { class: "fault" }, `${field}: ${detail}`);
  });
  return lines.length ? lines : [element("p", { class: "fault" }, problem.message)];
}

/** Order that was sent and has no final answer; sending it again must not place a second one. */
let pending;

/** Returns the idempotency key of an order: a new one unless the same order is pending. */
function idempotencyKey(order) {
  const body = JSON.stringify(order);
  if (pending?.body !== body) {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    pending = { body, key: Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("") };
  }
  return pending.key;
}

async function submit(event) {
  event.preventDefault();
  const form = event.target;
  const { name, price, quantity, customer } = Object.fromEntries(new FormData(form));
  const product = { name, price: price.trim() };
  if (quantity.trim()) {
    product.quantity = Number(quantity);
  }
  const order = { products: [product] };
  if (customer.trim()) {
    order.customer = { id: customer };
  }
  const result = $("place-result");
  const sentAt = Date.now();
  try {
    const answer = await place(order, idempotencyKey(order));
    const answeredAt = Date.now();
    pending = undefined;
    showFaults({ faults: [] }, form);
    result.replaceChildren(element("p", { class: "good" }, "Order accepted and saved."));
    await processing.follow(answer.headers.get("operation-location"), sentAt, answeredAt);
  } catch (problem) {
    if (!("faults" in problem)) {
      throw problem;
    }
    if (problem.status >= 400 && problem.status < 500) {
      pending = undefined;
    }
    result.replaceChildren(...showFaults(problem, form));
  }
}

$("place-form").addEventListener("submit", submit);
$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  setToken(new FormData(event.target).get("token"));
  start();
});
events.start();
throughput.start();
stages.start();
orders.start((order) => processing.showHistory(order));
processing.start();
start();
