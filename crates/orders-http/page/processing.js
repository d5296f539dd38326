// Time that each service took to process an order.

import { history, moreHistory, receipt } from "./api.js";
import { $, element } from "./dom.js";

/** Times at which operations sent by this page arrived on the feed, by operation id. */
const arrivals = new Map();
/** Operation that is being followed. */
let followed;

/** Maximum number of events shown of an order's history. */
const MAX_EVENTS = 2_000;
/** Longest wait for an operation's event on the feed. */
const ARRIVAL_TIMEOUT_MS = 5_000;
/** Order whose history is shown, with the events loaded so far and the path of the next page. */
let selected;

export function start() {
  $("processing-more").addEventListener("click", showMore);
}

/** Handles an event of the feed. */
export function onEvent(event) {
  if (event.operation_id === followed?.id) {
    arrivals.set(event.operation_id, Date.now());
    followed.onArrival();
  }
}

/** Shows the processing of an operation that this page sent; times are in milliseconds. */
export async function follow(path, sentAt, answeredAt) {
  const id = path.split("/").pop();
  selected = undefined;
  const arrived = new Promise((resolve) => {
    followed = { id, onArrival: resolve };
    setTimeout(resolve, ARRIVAL_TIMEOUT_MS);
  });
  show("The order is being processed.", []);
  const found = await receipt(id);
  await arrived;
  if (followed?.id !== id) {
    // Another operation or order is shown by now.
    return;
  }
  const stages = [["api-server", answeredAt - sentAt], ...durations(found)];
  if (arrivals.has(id)) {
    const rest = arrivals.get(id) - Date.parse(found.executed_at);
    stages.push(["data-baker, display", Math.max(rest, 0)]);
  }
  show(found.reason ? `Rejected: ${found.reason}` : `Processed as event ${found.position}: ${found.type}`, stages);
}

/** Shows the first page of an order's history. */
export async function showHistory(order) {
  followed = undefined;
  selected = { order, events: [], next: undefined, isLoading: true };
  await load(selected, history(order.id));
}

async function showMore() {
  if (selected?.next && !selected.isLoading) {
    selected.isLoading = true;
    await load(selected, moreHistory(selected.next));
  }
}

/** Adds a page to a history, unless another order has been selected in the meantime. */
async function load(history, request) {
  let page;
  try {
    page = await request;
  } catch (problem) {
    if (history === selected) {
      history.isLoading = false;
      $("processing-hint").textContent = problem.message;
    }
    return;
  }
  if (history !== selected) {
    return;
  }
  history.events.push(...page.lines);
  history.next = page.next;
  history.isLoading = false;
  const stages = history.events.flatMap((event) =>
    durations(event).map(([stage, ms]) => [`${event.position} ${stage}`, ms]),
  );
  const count = `${history.events.length} events`;
  show(`Order ${history.order.number}: ${page.next ? `first ${count}` : count}`, stages);
}

/** Returns the services that processed an event, each with its duration in milliseconds. */
function durations({ accepted_at, stored_at, executed_at }) {
  const stages = [];
  if (stored_at) {
    stages.push(["events-writer", Date.parse(stored_at) - Date.parse(accepted_at)]);
  }
  if (executed_at) {
    stages.push(["orders-manager", Date.parse(executed_at) - Date.parse(stored_at)]);
  }
  return stages;
}

function show(title, stages) {
  $("processing-hint").textContent = title;
  $("processing-more").hidden = !selected?.next || selected.events.length >= MAX_EVENTS;
  const longest = Math.max(1, ...stages.map(([, ms]) => ms));
  $("processing").replaceChildren(
    ...stages.map(([name, ms]) => {
      const bar = element("span");
      bar.style.width = `${Math.max(1, (100 * ms) / longest)}%`;
      const track = element("span", { class: "track", "aria-hidden": "true" }, bar);
      return element("li", {}, element("span", {}, name), track, element("output", {}, `${ms} ms`));
    }),
  );
}
