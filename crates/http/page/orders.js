// The list of orders: what the API lists, kept up to date by the feed.

import { orders as load, setStatus } from "./api.js";
import { $, drawing, element, time } from "./dom.js";

/** Rows that are drawn; the rest is only counted. */
const ROWS = 200;
const PAGE = 100;
const NEXT = { placed: ["paid", "cancelled"], paid: ["shipped", "cancelled"], shipped: ["delivered"] };

const known = new Map();
const fresh = new Set();
let older;
let choose = () => {};

export function start(onChoose) {
  choose = onChoose;
  $("status-filter").addEventListener("change", reload);
  $("older").addEventListener("click", () => fetchPage(older));
}

/** Everything anew: another filter, or events that were missed. */
export async function reload() {
  known.clear();
  await fetchPage(first());
}

function first() {
  const status = $("status-filter").value;
  return `/order?limit=${PAGE}${status && `&status=${status}`}`;
}

async function fetchPage(path) {
  const page = await load(path);
  page.orders.forEach(keep);
  older = page.next;
  draw();
}

/** Whichever is newer stays: the list and the feed may cross. */
function keep(order) {
  if ((known.get(order.id)?.position ?? 0) < order.position) {
    known.set(order.id, order);
    return true;
  }
  return false;
}

/** An event of the feed. */
export function take(event) {
  if (!event.order) {
    return;
  }
  if (event.type === "order.deleted") {
    known.delete(event.order_id);
  } else if (keep(event.order)) {
    fresh.add(event.order_id);
  }
  draw();
}

const draw = drawing(() => {
  const status = $("status-filter").value;
  const listed = [...known.values()].filter((order) => !status || order.status === status);
  listed.sort((a, b) => b.number - a.number);
  const focused = document.activeElement?.dataset?.key;
  $("orders").replaceChildren(...listed.slice(0, ROWS).map(row));
  if (focused) {
    document.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }
  fresh.clear();
  const shown = Math.min(listed.length, ROWS);
  $("orders-count").textContent = `${shown} shown of ${listed.length} here`;
  $("older").hidden = !older;
});

function row(order) {
  const open = element(
    "button",
    { class: "link", "data-key": `open ${order.id}`, onclick: () => choose(order) },
    String(order.number),
  );
  const steps = (NEXT[order.status] ?? []).map((next) =>
    element(
      "button",
      {
        class: "small",
        "data-key": `${next} ${order.id}`,
        "aria-label": `Order ${order.number}: ${next}`,
        onclick: () => setStatus(order.id, next).catch((problem) => alert(problem.message)),
      },
      next,
    ),
  );
  const cells = [
    open,
    order.status,
    order.customer?.name ?? order.customer?.id ?? "–",
    String(order.items_count),
    `${order.total} ${order.currency}`,
    time(order.updated_at),
  ];
  const actions = element("td", {}, ...steps.flatMap((step) => [step, " "]));
  return element(
    "tr",
    { class: fresh.has(order.id) ? "fresh" : undefined, "data-order": order.id },
    ...cells.map((cell) => element("td", {}, cell)),
    actions,
  );
}
