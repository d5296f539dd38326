// An order's way through the stages, and how long each took.

import { history, moreHistory, receipt } from "./api.js";
import { $, element } from "./dom.js";

/** When operations were seen on the feed, by their ids; those of this page only. */
const seen = new Map();
let watched;

/** Events of an order's history that are shown at most. */
const MAX_EVENTS = 2_000;
/** The order whose history is shown, with its events so far and the address of the next page. */
let chosen;

export function start() {
  $("journey-more").addEventListener("click", showMore);
}

/** An event of the feed. */
export function take(event) {
  if (event.operation_id === watched?.id) {
    seen.set(event.operation_id, Date.now());
    watched.onSeen();
  }
}

/** Follows an operation of this page, which was sent and answered at these times. */
export async function follow(path, sent, answered) {
  const id = path.split("/").pop();
  chosen = undefined;
  const arrived = new Promise((resolve) => {
    watched = { id, onSeen: resolve };
    setTimeout(resolve, 5_000);
  });
  show("its operation is on its way", []);
  const found = await receipt(id);
  await arrived;
  if (watched?.id !== id) {
    // Something else is shown by now.
    return;
  }
  const stages = [["api-server: 202", answered - sent], ...between(found)];
  if (seen.has(id)) {
    const rest = seen.get(id) - Date.parse(found.executed_at);
    stages.push(["data-baker, and here", Math.max(rest, 0)]);
  }
  show(found.reason ? `refused: ${found.reason}` : `${found.type}, at position ${found.position}`, stages);
}

/** What the log knows of an order that was chosen: the first page of it. */
export async function choose(order) {
  watched = undefined;
  chosen = { order, events: [], next: undefined, isLoading: true };
  await load(chosen, history(order.id));
}

async function showMore() {
  if (chosen?.next && !chosen.isLoading) {
    chosen.isLoading = true;
    await load(chosen, moreHistory(chosen.next));
  }
}

/** Adds a page to a history, unless something else has been chosen meanwhile. */
async function load(history, request) {
  let page;
  try {
    page = await request;
  } catch (problem) {
    if (history === chosen) {
      history.isLoading = false;
      $("journey-hint").textContent = problem.message;
    }
    return;
  }
  if (history !== chosen) {
    return;
  }
  history.events.push(...page.lines);
  history.next = page.next;
  history.isLoading = false;
  const stages = history.events.flatMap((event) =>
    between(event).map(([stage, took]) => [`${event.position} ${stage}`, took]),
  );
  const count = `${history.events.length} events`;
  show(`Order ${history.order.number}: ${page.next ? `the first ${count}` : count}`, stages);
}

function between({ accepted_at, stored_at, executed_at }) {
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
  $("journey-hint").textContent = title;
  $("journey-more").hidden = !chosen?.next || chosen.events.length >= MAX_EVENTS;
  const longest = Math.max(1, ...stages.map(([, took]) => took));
  $("journey").replaceChildren(
    ...stages.map(([name, took]) => {
      const bar = element("span");
      bar.style.width = `${Math.max(1, (100 * took) / longest)}%`;
      const track = element("span", { class: "track", "aria-hidden": "true" }, bar);
      return element("li", {}, element("span", {}, name), track, element("output", {}, `${took} ms`));
    }),
  );
}
