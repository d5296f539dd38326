// What the server says of itself (/metrics): how far each stage is behind, how
// many follow the feed, and how much is parked.

import { metrics } from "./api.js";
import { chart } from "./chart.js";
import { $, element } from "./dom.js";

const EVERY_MS = 2_000;
const POINTS = 60;

const CHARTS = [
  ["orders-manager is behind by", 'bakehouse_stage_lag_events{stage="orders-manager"}', "events"],
  ["data-baker is behind by", 'bakehouse_stage_lag_events{stage="data-baker"}', "events"],
  ["Feed clients of this server", "bakehouse_feed_clients", ""],
].map(([title, series, unit]) => ({ series, unit, values: [], ...figure(title) }));

function figure(title) {
  const now = element("output", {}, "–");
  const drawn = chart(`${title}, the last two minutes`);
  const whole = element("figure", {}, element("figcaption", {}, `${title}: `, now), drawn.svg);
  return { now, drawn, whole };
}

/** Looks now and every two seconds, while anybody can see it. */
export function start() {
  $("stages").replaceChildren(...CHARTS.map(({ whole }) => whole));
  const look = async () => {
    if (document.hidden) {
      return;
    }
    const series = await metrics().catch(() => new Map());
    for (const { series: name, unit, values, now, drawn } of CHARTS) {
      const value = series.get(name) ?? Number.NaN;
      now.textContent = Number.isNaN(value) ? "not known" : `${value} ${unit}`;
      values.push(Number.isNaN(value) ? 0 : value);
      values.splice(0, values.length - POINTS);
      drawn.draw(values);
    }
  };
  look();
  setInterval(look, EVERY_MS);
}
