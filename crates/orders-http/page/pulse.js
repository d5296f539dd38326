// The last minute as this page saw it: events a second, and how late they came.

import { chart } from "./chart.js";
import { $ } from "./dom.js";

const SECONDS = 60;
const counts = new Array(SECONDS).fill(0);
const lags = new Array(SECONDS).fill(0);
const rate = chart("Events a second during the last minute");
const lateness = chart("Milliseconds from the log to this page during the last minute");

export function start() {
  $("rate-figure").append(rate.svg);
  $("lag-figure").append(lateness.svg);
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
  rate.draw(counts);
  lateness.draw(lags);
  for (const values of [counts, lags]) {
    values.shift();
    values.push(0);
  }
}
