// Parked operations with their reasons, and the forms to retry or discard them.

import { discard, parked, retry } from "./api.js";
import { $, element, setChildren, time } from "./dom.js";

/** Lines by operation and position in its order; lines are reused so that input is not lost. */
const shown = new Map();

/** Reloads the list; hides the section if the token does not permit to read it. */
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
    ? "These orders are on hold until you retry or discard the change. Other orders are not affected."
    : "Nothing is parked. All changes are processed.";
  const first = new Set();
  const kept = new Map(shown);
  shown.clear();
  for (const parked of lines) {
    // Only the first parked operation of an order can be resolved; the others wait for it.
    const isFirst = !first.has(parked.order_id);
    first.add(parked.order_id);
    const key = `${isFirst} ${parked.operation_id}`;
    shown.set(key, kept.get(key) ?? line(parked, isFirst));
  }
  setChildren($("parked"), [...shown.values()]);
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
    isFirst ? resolutionForm(parked) : undefined,
  );
}

/** Creates the form that retries or discards a parked operation. */
function resolutionForm({ position, operation_id }) {
  const showProblem = (request) =>
    request.catch((problem) => ($("parked-hint").textContent = problem.message));
  const retryButton = element(
    "button",
    {
      type: "button",
      class: "small",
      "aria-label": `Retry event ${position}`,
      onclick: () => showProblem(retry(operation_id)),
    },
    "retry",
  );
  const reason = element("input", { name: "reason", required: "", placeholder: "reason", "aria-label": `Reason to discard event ${position}` });
  const discardButton = element("button", { class: "small", "aria-label": `Discard event ${position}` }, "discard");
  const onsubmit = (event) => {
    event.preventDefault();
    showProblem(discard(operation_id, reason.value));
  };
  return element("form", { class: "inline", onsubmit }, retryButton, reason, discardButton);
}
