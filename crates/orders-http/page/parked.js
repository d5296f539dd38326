// What has been set aside, with the reason, and what an operator can do about it.

import { discard, parked, retry } from "./api.js";
import { $, arrange, element, time } from "./dom.js";

/** Lines by what they show: one that somebody types in is not drawn anew. */
const shown = new Map();

/** Looks anew; who may not see it sees nothing of it. */
export async function reload() {
  let lines;
  try {
    lines = await parked();
  } catch (problem) {
    $("parked-section").hidden = problem.status === 401 || problem.status === 403;
    $("parked-hint").textContent = problem.message;
    return;
  }
  $("parked-section").hidden = false;
  $("parked-hint").textContent = lines.length
    ? "Their orders wait; all others go on."
    : "Nothing is parked: every order goes on.";
  const first = new Set();
  const kept = new Map(shown);
  shown.clear();
  for (const parked of lines) {
    // Only the first of an order can be settled; the others follow it.
    const isFirst = !first.has(parked.order_id);
    first.add(parked.order_id);
    const key = `${isFirst} ${parked.operation_id}`;
    shown.set(key, kept.get(key) ?? line(parked, isFirst));
  }
  arrange($("parked"), [...shown.values()]);
}

function line(parked, isFirst) {
  return element(
    "li",
    { "data-position": parked.position },
    element("strong", {}, String(parked.position)),
    element("span", {}, parked.operation),
    element("span", { class: "fault" }, parked.reason),
    element("time", { datetime: parked.stored_at }, time(parked.stored_at)),
    element("code", {}, parked.order_id),
    isFirst ? remedies(parked) : undefined,
  );
}

function remedies({ position, operation_id }) {
  const answer = (sent) =>
    sent.catch((problem) => ($("parked-hint").textContent = problem.message));
  const again = element(
    "button",
    {
      type: "button",
      class: "small",
      "aria-label": `Retry position ${position}`,
      onclick: () => answer(retry(operation_id)),
    },
    "retry",
  );
  const reason = element("input", { name: "reason", required: "", placeholder: "why", "aria-label": `Reason to discard position ${position}` });
  const giveUp = element("button", { class: "small", "aria-label": `Discard position ${position}` }, "discard");
  const onsubmit = (event) => {
    event.preventDefault();
    answer(discard(operation_id, reason.value));
  };
  return element("form", { class: "inline", onsubmit }, again, reason, giveUp);
}
