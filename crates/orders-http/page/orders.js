// List of orders, loaded from the API and kept up to date by the feed.

import { orders as load, setStatus } from "./api.js";
import { $, element, oncePerFrame, setChildren, time } from "./dom.js";

/** Number of rows shown at first, and added for each click on "Older orders". */
const PAGE_SIZE = 100;
/** Interval between attempts to load the list. */
const RETRY_INTERVAL_MS = 1_000;
/** Statuses that may follow each status. */
const NEXT_STATUSES = { placed: ["paid", "cancelled"], paid: ["shipped", "cancelled"], shipped: ["delivered"] };

/** Orders by id, each with its row if it has been shown. */
const known = new Map();
/** Maximum number of rows shown; more orders may be known from the feed. */
let shown = PAGE_SIZE;
/** Path of the next page, if there is one. */
let nextPage;
/** Ids of orders deleted according to the feed; a page of the list may be older than that. */
const deleted = new Set();
/** Number of the latest reload; answers to requests of earlier ones are ignored. */
let latestReload = 0;
let onSelect = () => {};

export function start(select) {
  onSelect = select;
  $("status-filter").addEventListener("change", reload);
  $("older").addEventListener("click", showOlder);
}

/** Reloads the list, after the filter has changed or events were missed. */
export async function reload() {
  latestReload += 1;
  const thisReload = latestReload;
  known.clear();
  deleted.clear();
  nextPage = undefined;
  shown = PAGE_SIZE;
  while (thisReload === latestReload) {
    const status = await fetchPage(firstPage());
    // A client error other than 429 would be repeated.
    if (status === 200 || (status >= 400 && status < 500 && status !== 429)) {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_INTERVAL_MS));
  }
}

/** Shows more rows: of orders that are known, then of orders loaded from the server. */
async function showOlder() {
  shown += PAGE_SIZE;
  const thisReload = latestReload;
  while (thisReload === latestReload && nextPage && listed().length < shown) {
    if ((await fetchPage(nextPage)) !== 200) {
      shown -= PAGE_SIZE;
      return;
    }
  }
  draw();
}

function firstPage() {
  const status = $("status-filter").value;
  return `order?limit=${PAGE_SIZE}${status && `&status=${status}`}`;
}

/** Loads a page and returns the status of the answer, or 0 if there was none. */
async function fetchPage(path) {
  const thisReload = latestReload;
  let page;
  try {
    page = await load(path);
  } catch (problem) {
    if (thisReload === latestReload) {
      $("orders-count").textContent = problem.message;
    }
    return problem.status ?? 0;
  }
  if (thisReload === latestReload) {
    page.lines.forEach((order) => keep(order));
    nextPage = page.next;
    draw();
  }
  return 200;
}

/** Stores an order unless a newer version of it is known, from the feed or the list. */
function keep(order, isNew = false) {
  if (deleted.has(order.id)) {
    return;
  }
  if ((known.get(order.id)?.order.position ?? 0) < order.position) {
    known.set(order.id, { order, isNew, row: undefined });
  }
}

/** Handles an event of the feed. */
export function onEvent(event) {
  if (!event.order) {
    return;
  }
  if (event.type === "order.deleted") {
    known.delete(event.order_id);
    deleted.add(event.order_id);
  } else {
    keep(event.order, true);
  }
  draw();
}

function listed() {
  const status = $("status-filter").value;
  return [...known.values()]
    .filter(({ order }) => !status || order.status === status)
    .sort((a, b) => b.order.number - a.order.number);
}

const draw = oncePerFrame(() => {
  const all = listed();
  const visible = all.slice(0, shown);
  for (const entry of visible) {
    entry.row ??= row(entry.order, entry.isNew);
  }
  const focused = document.activeElement?.dataset?.key;
  setChildren(
    $("orders"),
    visible.map((entry) => entry.row),
  );
  if (focused && document.activeElement === document.body) {
    refocus(focused);
  }
  $("orders-count").textContent = `${visible.length} of ${all.length} loaded orders shown`;
  $("older").hidden = !nextPage && all.length <= shown;
});

/** Restores the focus to the order whose row was replaced. */
function refocus(key) {
  const [, id] = key.split(" ");
  const row = document.querySelector(`[data-order="${CSS.escape(id)}"]`);
  const same = row?.querySelector(`[data-key="${CSS.escape(key)}"]`);
  (same ?? row?.querySelector("button.small, button.link"))?.focus();
}

function row(order, isNew) {
  const open = element(
    "button",
    { class: "link", "data-key": `open ${order.id}`, onclick: () => onSelect(order) },
    String(order.number),
  );
  const steps = (NEXT_STATUSES[order.status] ?? []).map((next) =>
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
    { class: isNew ? "fresh" : undefined, "data-order": order.id },
    ...cells.map((cell) => element("td", {}, cell)),
    actions,
  );
}
