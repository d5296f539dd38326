// Event log with search; rejections are shown with their reasons.

import { $, element, oncePerFrame, setChildren, time } from "./dom.js";

/** Maximum number of events kept in memory. */
const MAX_EVENTS = 20_000;
/** Maximum number of lines shown. */
const MAX_LINES = 200;

const log = [];

export function start() {
  $("search").addEventListener("input", draw);
  $("rejected-only").addEventListener("change", draw);
}

/** Removes all events, before another feed is followed. */
export function clear() {
  log.length = 0;
  draw();
}

/** Adds an event of the feed. */
export function onEvent(event) {
  const customer = event.order?.customer?.id ?? "";
  const resolved = (event.settled ?? []).map(({ reason }) => reason);
  const text = [event.type, event.order_id, event.order?.number, event.order?.status, customer, event.reason, ...resolved];
  log.push({ event, text: text.join(" ").toLowerCase(), line: undefined });
  if (log.length > MAX_EVENTS * 1.1) {
    log.splice(0, log.length - MAX_EVENTS);
  }
  draw();
}

const draw = oncePerFrame(() => {
  const query = $("search").value.trim().toLowerCase();
  const isRejectedOnly = $("rejected-only").checked;
  const found = [];
  let count = 0;
  for (let index = log.length - 1; index >= 0; index -= 1) {
    const entry = log[index];
    if ((!isRejectedOnly || entry.event.reason) && entry.text.includes(query)) {
      count += 1;
      if (found.length < MAX_LINES) {
        entry.line ??= line(entry.event);
        found.push(entry.line);
      }
    }
  }
  setChildren($("events"), found);
  $("events-count").textContent = `${found.length} of ${count} matching events shown, ${log.length} loaded`;
});

function line(event) {
  return element(
    "li",
    { "data-position": event.position },
    element("strong", {}, String(event.position)),
    element("span", {}, event.type),
    description(event),
    element("time", { datetime: event.at }, time(event.at)),
    element("code", {}, event.order_id),
  );
}

function description(event) {
  if (event.reason) {
    const outcome = event.type === "order.parked" ? "parked" : "rejected";
    return element("span", { class: "fault" }, `${outcome}: ${event.reason}`);
  }
  const parts = [];
  if (event.order) {
    parts.push(`order ${event.order.number} is ${event.order.status}`);
  }
  for (const { position, status, reason } of event.settled ?? []) {
    parts.push(`event ${position} ${status}${reason ? `: ${reason}` : ""}`);
  }
  return element("span", {}, parts.join("; "));
}
