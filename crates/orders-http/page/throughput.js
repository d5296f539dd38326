// Events per second and their delay during the last minute, as seen by this page.

import { chart } from "./chart.js";
import { $ } from "./dom.js";

const SECONDS = 60;
const counts = new Array(SECONDS).fill(0);
const delays = new Array(SECONDS).fill(0);
const rateChart = chart("Events per second during the last minute");
const delayChart = chart("Milliseconds from saving to display during the last minute");

export function start() {
  $("rate-figure").append(rateChart.svg);
  $("lag-figure").append(delayChart.svg);
  setInterval(tick, 1_000);
}

/** Handles a live event of the feed. */
export function onEvent(event) {
  const delay = Math.max(0, Date.now() - Date.parse(event.at));
  counts[SECONDS - 1] += 1;
  delays[SECONDS - 1] = Math.max(delays[SECONDS - 1], delay);
}

function tick() {
  const count = counts[SECONDS - 1];
  $("rate-now").textContent = String(count);
  if (count > 0) {
    $("lag-now").textContent = `at most ${delays[SECONDS - 1]} ms`;
  }
  rateChart.draw(counts);
  delayChart.draw(delays);
  for (const values of [counts, delays]) {
    values.shift();
    values.push(0);
  }
}
