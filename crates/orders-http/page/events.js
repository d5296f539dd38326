// The event log, with search; refusals with their reasons.

import { $, arrange, drawing, element, time } from "./dom.js";

/** Events that are kept, and lines that are drawn. */
const KEPT = 20_000;
const LINES = 200;

const log = [];

export function start() {
  $("search").addEventListener("input", draw);
  $("rejected-only").addEventListener("change", draw);
}

/** Everything, before a feed is followed from its beginning. */
export function forget() {
  log.length = 0;
  draw();
}

export function take(event) {
  const customer = event.order?.customer?.id ?? "";
  const text = [event.type, event.order_id, event.order?.number, event.order?.status, customer, event.reason, ...(event.settled ?? []).map((one) => one.reason)];
  log.push({ event, text: text.join(" ").toLowerCase(), line: undefined });
  if (log.length > KEPT * 1.1) {
    log.splice(0, log.length - KEPT);
  }
  draw();
}

const draw = drawing(() => {
  const wanted = $("search").value.trim().toLowerCase();
  const isRefused = $("rejected-only").checked;
  const found = [];
  let count = 0;
  for (let index = log.length - 1; index >= 0; index -= 1) {
    const entry = log[index];
    if ((!isRefused || entry.event.reason) && entry.text.includes(wanted)) {
      count += 1;
      if (found.length < LINES) {
        entry.line ??= line(entry.event);
        found.push(entry.line);
      }
    }
  }
  arrange($("events"), found);
  $("events-count").textContent = `${found.length} shown of ${count}; ${log.length} here`;
});

function line(event) {
  return element(
    "li",
    { "data-position": event.position },
    element("strong", {}, String(event.position)),
    element("span", {}, event.type),
    what(event),
    element("time", { datetime: event.at }, time(event.at)),
    element("code", {}, event.order_id),
  );
}

function what(event) {
  if (event.reason) {
    const outcome = event.type === "order.parked" ? "parked" : "refused";
    return element("span", { class: "fault" }, `${outcome}: ${event.reason}`);
  }
  const parts = [];
  if (event.order) {
    parts.push(`order ${event.order.number} is ${event.order.status}`);
  }
  for (const { position, status, reason } of event.settled ?? []) {
    parts.push(`position ${position} ${status}${reason ? `: ${reason}` : ""}`);
  }
  return element("span", {}, parts.join("; "));
}
