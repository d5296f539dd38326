// The list of orders: what the API lists, kept up to date by the feed.

import { orders as load, setStatus } from "./api.js";
import { $, arrange, drawing, element, time } from "./dom.js";

/** Rows that are drawn at first, and how many more each time older ones are asked for. */
const PAGE = 100;
/** After which time a list that could not be had is asked for again. */
const AGAIN_MS = 1_000;
const NEXT = { placed: ["paid", "cancelled"], paid: ["shipped", "cancelled"], shipped: ["delivered"] };

/** Orders by their ids, each with the row that shows it, if one does. */
const known = new Map();
/** How many are shown; as many again may be known already, by the feed. */
let shown = PAGE;
let older;
/** What the feed told of as deleted: a page of the list may be from before that. */
const deleted = new Set();
/** Which list is wanted: answers that belong to an earlier one come too late. */
let wanted = 0;
let choose = () => {};

export function start(onChoose) {
  choose = onChoose;
  $("status-filter").addEventListener("change", reload);
  $("older").addEventListener("click", showOlder);
}

/** Everything anew: another filter, or events that were missed. */
export async function reload() {
  wanted += 1;
  const mine = wanted;
  known.clear();
  deleted.clear();
  older = undefined;
  shown = PAGE;
  while (mine === wanted) {
    const status = await fetchPage(first());
    // What is refused now is refused again.
    if (status === 200 || (status >= 400 && status < 500 && status !== 429)) {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

/** More rows: out of what is known, then from the server. */
async function showOlder() {
  shown += PAGE;
  const mine = wanted;
  while (mine === wanted && older && listed().length < shown) {
    if ((await fetchPage(older)) !== 200) {
      shown -= PAGE;
      return;
    }
  }
  draw();
}

function first() {
  const status = $("status-filter").value;
  return `order?limit=${PAGE}${status && `&status=${status}`}`;
}

/** The answer's status; 0: there was none. */
async function fetchPage(path) {
  const mine = wanted;
  let page;
  try {
    page = await load(path);
  } catch (problem) {
    if (mine === wanted) {
      $("orders-count").textContent = problem.message;
    }
    return problem.status ?? 0;
  }
  if (mine === wanted) {
    page.lines.forEach((order) => keep(order));
    older = page.next;
    draw();
  }
  return 200;
}

/** Whichever is newer stays: the list and the feed may cross. */
function keep(order, isNew = false) {
  if (deleted.has(order.id)) {
    return;
  }
  if ((known.get(order.id)?.order.position ?? 0) < order.position) {
    known.set(order.id, { order, isNew, row: undefined });
  }
}

/** An event of the feed. */
export function take(event) {
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

const draw = drawing(() => {
  const all = listed();
  const visible = all.slice(0, shown);
  for (const entry of visible) {
    entry.row ??= row(entry.order, entry.isNew);
  }
  const focused = document.activeElement?.dataset?.key;
  arrange(
    $("orders"),
    visible.map((entry) => entry.row),
  );
  if (focused && document.activeElement === document.body) {
    refocus(focused);
  }
  $("orders-count").textContent = `${visible.length} shown of ${all.length} here`;
  $("older").hidden = !older && all.length <= shown;
});

/** The focus stays with the order whose row was replaced. */
function refocus(key) {
  const [, id] = key.split(" ");
  const row = document.querySelector(`[data-order="${CSS.escape(id)}"]`);
  const same = row?.querySelector(`[data-key="${CSS.escape(key)}"]`);
  (same ?? row?.querySelector("button.small, button.link"))?.focus();
}

function row(order, isNew) {
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
    { class: isNew ? "fresh" : undefined, "data-order": order.id },
    ...cells.map((cell) => element("td", {}, cell)),
    actions,
  );
}
