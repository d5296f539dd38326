// Small line chart of values over time, scaled to the highest value.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 60;
const HEIGHT = 20;

/** Creates an empty chart; `draw` sets its values, the latest at the right. */
export function chart(label) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  const attributes = {
    class: "chart",
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    preserveAspectRatio: "none",
    role: "img",
    "aria-label": label,
  };
  for (const [name, value] of Object.entries(attributes)) {
    svg.setAttribute(name, value);
  }
  svg.append(path);
  const draw = (values) => {
    const highest = Math.max(1, ...values);
    const left = WIDTH - values.length;
    const y = (value) => HEIGHT - 1 - ((HEIGHT - 2) * value) / highest;
    const points = values.map((value, index) => `${left + index} ${y(value)}`);
    path.setAttribute("d", points.length > 1 ? `M${points.join("L")}` : "");
  };
  return { svg, draw };
}
