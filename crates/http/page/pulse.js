// The last minute as two small charts: events a second, and how late they come.

import { $ } from "./dom.js";

const SECONDS = 60;
const counts = new Array(SECONDS).fill(0);
const lags = new Array(SECONDS).fill(0);

export function start() {
  setInterval(tick, 1_000);
}

/** An event of the feed, as it happens. */
export function take(event) {
  const lag = Math.max(0, Date.now() - Date.parse(event.at));
  counts[SECONDS - 1] += 1;
  lags[SECONDS - 1] = Math.max(lags[SECONDS - 1], lag);
}

function tick() {
  const count = counts[SECONDS - 1];
  $("rate-now").textContent = String(count);
  if (count > 0) {
    $("lag-now").textContent = `${lags[SECONDS - 1]} ms at most`;
  }
  draw("rate-chart", counts);
  draw("lag-chart", lags);
  for (const values of [counts, lags]) {
    values.shift();
    values.push(0);
  }
}

function draw(id, values) {
  const highest = Math.max(1, ...values);
  const points = values.map((value, index) => `${index} ${19 - (18 * value) / highest}`);
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", `M${points.join("L")}`);
  $(id).replaceChildren(path);
}
