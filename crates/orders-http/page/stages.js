// Figures from /metrics: the backlog of each service and the number of feed clients.

import { metrics } from "./api.js";
import { chart } from "./chart.js";
import { $, element } from "./dom.js";

const REFRESH_INTERVAL_MS = 2_000;
const MAX_POINTS = 60;

const CHARTS = [
  ["Waiting for orders-manager", 'bakehouse_stage_lag_events{stage="orders-manager"}', "events"],
  ["Waiting for data-baker", 'bakehouse_stage_lag_events{stage="data-baker"}', "events"],
  ["Connected feed clients", "bakehouse_feed_clients", ""],
].map(([title, series, unit]) => ({ series, unit, values: [], ...figure(title) }));

function figure(title) {
  const now = element("output", {}, "–");
  const { svg, draw } = chart(`${title}, during the last two minutes`);
  const node = element("figure", {}, element("figcaption", {}, `${title}: `, now), svg);
  return { now, draw, node };
}

/** Refreshes the figures now and at each interval while the page is visible. */
export function start() {
  $("stages").replaceChildren(...CHARTS.map(({ node }) => node));
  const refresh = async () => {
    if (document.hidden) {
      return;
    }
    const latest = await metrics().catch(() => new Map());
    for (const { series, unit, values, now, draw } of CHARTS) {
      const value = latest.get(series) ?? Number.NaN;
      now.textContent = Number.isNaN(value) ? "unknown" : `${value} ${unit}`;
      values.push(Number.isNaN(value) ? 0 : value);
      values.splice(0, values.length - MAX_POINTS);
      draw(values);
    }
  };
  refresh();
  setInterval(refresh, REFRESH_INTERVAL_MS);
}
