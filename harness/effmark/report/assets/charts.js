// Drawings: axes, the Pareto charts, curves. Plain SVG, readable without colour.

const COLOURS = 7;
const SHAPES = ["circle", "square", "triangle", "diamond", "cross", "down", "star"];
const FRAME = { width: 440, height: 320, left: 52, right: 14, top: 12, bottom: 40 };

function scaleOf(values, from, to, logarithmic) {
  let [low, high] = [Math.min(...values), Math.max(...values)];
  const usable = logarithmic && low > 0;
  const forward = usable ? Math.log10 : (x) => x;
  const back = usable ? (x) => 10 ** x : (x) => x;
  const span = forward(high) - forward(low);
  const pad = span > 0 ? span * 0.08 : Math.abs(forward(low)) * 0.05 || 1;
  [low, high] = [forward(low) - pad, forward(high) + pad];
  const scale = (value) => from + ((forward(value) - low) / (high - low)) * (to - from);
  return Object.assign(scale, { low: back(low), high: back(high), logarithmic: usable });
}

function ticks(scale, most = 6) {
  const { low, high } = scale;
  if (scale.logarithmic) {
    for (const steps of [[1, 2, 5], [1, 3], [1]]) {
      const found = [];
      for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
        found.push(...steps.map((s) => s * 10 ** power).filter((v) => v >= low && v <= high));
      }
      if (found.length >= 3 && found.length <= most) return found;
    }
  }
  const raw = (high - low) / (most - 1);
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((s) => s * unit).find((s) => s >= raw);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high; value += step) found.push(Number(value.toPrecision(10)));
  return found;
}

function tickText(value, unit) {
  if (value === 0) return "0";
  return formatQuantity(value, unit).replace(/(\.\d*?)0+(?=\D|$)/, "$1").replace(/\.(?=\D|$)/, "");
}

// Labels that tell neighbouring ticks apart, however small the step.
function tickTexts(values, unit) {
  let texts = values.map((v) => tickText(v, unit));
  for (let precision = 4; new Set(texts).size < texts.length && precision < 9 && unit === "ratio"; precision++) {
    texts = values.map((v) => v.toPrecision(precision));
  }
  return texts;
}

function axisUnit(unit) {
  return { "bit/B": "ratio", nat: "ratio", "J/token": "J", "J/image": "J", "J/request": "J" }[unit] || unit;
}

function axes(x, y, xMetric, yMetric, frame = FRAME) {
  const { width, height, left, right, top, bottom } = frame;
  const whole = (t) => xMetric.unit !== "count" || Number.isInteger(t);
  const [across, up] = [ticks(x).filter(whole), ticks(y, 5)];
  const [below, beside] = [tickTexts(across, axisUnit(xMetric.unit)), tickTexts(up, axisUnit(yMetric.unit))];
  return svg("g", { class: "axes" },
    across.map((t, i) => svg("g", {},
      svg("line", { x1: x(t), x2: x(t), y1: top, y2: height - bottom, class: "grid" }),
      svg("text", { x: x(t), y: height - bottom + 14, "text-anchor": "middle" }, below[i]))),
    up.map((t, i) => svg("g", {},
      svg("line", { x1: left, x2: width - right, y1: y(t), y2: y(t), class: "grid" }),
      svg("text", { x: left - 6, y: y(t) + 3.5, "text-anchor": "end" }, beside[i]))),
    svg("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle", class: "title" }, xMetric.title || `${xMetric.label} ${arrow(xMetric)}`),
    svg("text", { transform: `translate(11 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle", class: "title" }, yMetric.title || `${yMetric.label} ${arrow(yMetric)}`));
}

function shape(kind, size, attributes) {
  const s = size;
  const path = {
    square: `M${-s} ${-s}H${s}V${s}H${-s}Z`,
    triangle: `M0 ${-1.2 * s}L${1.15 * s} ${0.9 * s}H${-1.15 * s}Z`,
    down: `M0 ${1.2 * s}L${1.15 * s} ${-0.9 * s}H${-1.15 * s}Z`,
    diamond: `M0 ${-1.35 * s}L${1.35 * s} 0L0 ${1.35 * s}L${-1.35 * s} 0Z`,
    cross: `M${-s} ${-s / 3}H${-s / 3}V${-s}H${s / 3}V${-s / 3}H${s}V${s / 3}H${s / 3}V${s}H${-s / 3}V${s / 3}H${-s}Z`,
    star: `M0 ${-1.4 * s}L${0.4 * s} ${-0.4 * s}L${1.4 * s} 0L${0.4 * s} ${0.4 * s}L0 ${1.4 * s}L${-0.4 * s} ${0.4 * s}L${-1.4 * s} 0L${-0.4 * s} ${-0.4 * s}Z`,
  }[kind];
  return path ? svg("path", { d: path, ...attributes }) : svg("circle", { r: s * 1.1, ...attributes });
}

// Colour tells the runtime, shape the bits of the weights; both keep their meaning under filters.
const ADAPTERS = new Map(distinct(rows.map((r) => r.adapter)).sort().map((adapter, i) => [adapter, i]));

function appearance(item) {
  return { colour: ADAPTERS.get(item.adapter) % COLOURS, shape: SHAPES[bitsClass(item)] };
}

function bitsClass(item) {
  const bits = numberOf(item, "effective_bits")?.value ?? sourceRow(item, "effective_bits")?.numbers.get("effective_bits")?.value;
  if (bits === undefined) return 6;
  return bits > 24 ? 0 : bits > 12 ? 1 : bits > 6.5 ? 2 : bits > 3.5 ? 3 : 4;
}

const BITS_NAMES = ["about 32 bits", "about 16 bits", "about 8 bits", "about 4 bits", "fewer bits", "", "bits unknown"];

function clipped(name, most = 24) {
  const end = Math.floor(most / 3);
  return name.length > most ? `${name.slice(0, most - end - 1)}…${name.slice(-end)}` : name;
}

// A letter beside a point, at the nearest free place around it; farther away with a line to it.
const AROUND = [[1, 0], [-1, 0], [0, -1], [0, 1], [0.7, -0.7], [-0.7, -0.7], [0.7, 0.7], [-0.7, 0.7]];
const HALF_LETTER = 5;

function placedLabel(name, px, py, boxes, frame = FRAME) {
  for (const radius of [11, 17, 25, 34]) {
    for (const [dx, dy] of AROUND) {
      const [x, y] = [px + dx * radius, py + dy * radius];
      const box = [x - HALF_LETTER, y - HALF_LETTER, x + HALF_LETTER, y + HALF_LETTER];
      const fits = box[0] > frame.left && box[2] < frame.width - 2 && box[1] > 0 && box[3] < frame.height - frame.bottom;
      if (!fits || boxes.some((b) => box[0] < b[2] && box[2] > b[0] && box[1] < b[3] && box[3] > b[1])) continue;
      boxes.push(box);
      return svg("g", {},
        radius > 11 && svg("line", { x1: px + dx * 5, y1: py + dy * 5, x2: x - dx * HALF_LETTER, y2: y - dy * HALF_LETTER, class: "leader" }),
        svg("text", { x, y: y + 3.6, "text-anchor": "middle", class: "label" }, name));
    }
  }
  return null;
}

function walk(event) {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const points = [...event.currentTarget.querySelectorAll(".mark-point")];
  const at = points.indexOf(document.activeElement);
  if (!step || at < 0) return;
  event.preventDefault();
  const next = points[(at + step + points.length) % points.length];
  for (const each of points) each.setAttribute("tabindex", each === next ? 0 : -1);
  next.focus();
}
