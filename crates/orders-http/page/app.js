// The page: a form, a list, a log, and the feed that keeps them up to date. It
// uses nothing but the public API.

import { bearer, orders as load, place, useToken } from "./api.js";
import { $, element } from "./dom.js";
import * as events from "./events.js";
import { follow } from "./feed.js";
import * as journey from "./journey.js";
import * as orders from "./orders.js";
import * as parked from "./parked.js";
import * as pulse from "./pulse.js";
import * as stages from "./stages.js";

/** Events from before the page was opened. */
const PAST = 500;

let isLive = false;
/** The feed that is followed. */
let feed;
let later;
let starts = 0;

function take(event) {
  $("position").value = event.position;
  events.take(event);
  orders.take(event);
  journey.take(event);
  if (isLive && (event.settled || event.type === "order.parked")) {
    parked.reload();
  }
  if (isLive) {
    pulse.take(event);
  }
}

function show(state) {
  const wasLive = isLive;
  isLive = state.name === "live";
  if (isLive && !wasLive) {
    parked.reload();
  }
  const texts = {
    "catching-up": "catching up",
    waiting: `waiting: ${state.reason}`,
    closed: state.error ? `closed: ${state.error.message}` : "closed",
  };
  $("feed-state").textContent = texts[state.name] ?? state.name;
  $("feed-state").className = state.name;
}

/** Where to begin, so that the log shows what has just happened as well. */
async function start() {
  clearTimeout(later);
  starts += 1;
  const mine = starts;
  let newest;
  try {
    const page = await load("order?limit=1&sort=-updated_at");
    newest = page.lines[0]?.position ?? 0;
  } catch (problem) {
    if (mine !== starts) {
      return;
    }
    if (problem.status === 401 || problem.status === 403) {
      $("token-section").hidden = false;
      $("feed-state").textContent = problem.message;
      return;
    }
    $("feed-state").textContent = `waiting: ${problem.message}`;
    later = setTimeout(start, 1_000);
    return;
  }
  // Somebody gave another token meanwhile.
  if (mine !== starts) {
    return;
  }
  $("token-section").hidden = true;
  feed?.close();
  events.forget();
  feed = follow("order-events", {
    since: Math.max(0, newest - PAST),
    token: bearer(),
    onEvent: take,
    onState: show,
    onGap: () => orders.reload(),
  });
  await orders.reload();
}

// ---- the form ----

function faults(problem, form) {
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

// What has been sent and not been answered for good: sent again, it is the same order.
let sending;

function keyOf(order) {
  const body = JSON.stringify(order);
  if (sending?.body !== body) {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    sending = { body, key: Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("") };
  }
  return sending.key;
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
  const sent = Date.now();
  try {
    const answer = await place(order, keyOf(order));
    const answered = Date.now();
    sending = undefined;
    faults({ faults: [] }, form);
    result.replaceChildren(element("p", { class: "good" }, "202: accepted, and on disk"));
    await journey.follow(answer.headers.get("operation-location"), sent, answered);
  } catch (problem) {
    if (!("faults" in problem)) {
      throw problem;
    }
    if (problem.status >= 400 && problem.status < 500) {
      sending = undefined;
    }
    result.replaceChildren(...faults(problem, form));
  }
}

$("place-form").addEventListener("submit", submit);
$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useToken(new FormData(event.target).get("token"));
  start();
});
events.start();
pulse.start();
stages.start();
orders.start((order) => journey.choose(order));
journey.start();
start();
