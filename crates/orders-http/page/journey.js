// An order's way through the stages, and how long each took.

import { history, receipt } from "./api.js";
import { $, element } from "./dom.js";

/** When operations were seen on the feed, by their ids; those of this page only. */
const seen = new Map();
let watched;

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
  const arrived = new Promise((resolve) => {
    watched = { id, onSeen: resolve };
    setTimeout(resolve, 5_000);
  });
  show("its operation is on its way", []);
  const found = await receipt(id);
  await arrived;
  const stages = [["api-server: 202", answered - sent], ...between(found)];
  if (seen.has(id)) {
    const rest = seen.get(id) - Date.parse(found.executed_at);
    stages.push(["data-baker, and here", Math.max(rest, 0)]);
  }
  show(found.reason ? `refused: ${found.reason}` : `${found.type}, at position ${found.position}`, stages);
}

/** What the log knows of an order that was chosen. */
export async function choose(order) {
  watched = undefined;
  const events = await history(order.id);
  const stages = events.flatMap((event) =>
    between(event).map(([stage, took]) => [`${event.position} ${stage}`, took]),
  );
  show(`Order ${order.number}: ${events.length} events`, stages);
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
