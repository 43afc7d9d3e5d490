// Drawings: axes, the Pareto charts, curves. Plain SVG, readable without colour.

const COLOURS = 7;
const SHAPES = ["circle", "square", "triangle", "diamond", "cross", "down", "star"];
const PARETO_X = [
  ["latency", ["tpot_s", "latency_s", "ttft_s"]],
  ["energy", ["energy_j_per_output_token", "energy_j_per_image", "energy_j_per_request"]],
  ["memory", ["peak_memory_b", "model_size_b"]],
];
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
function appearance(item) {
  const adapters = distinct(rows.map((r) => r.adapter)).sort();
  return { colour: adapters.indexOf(item.adapter) % COLOURS, shape: SHAPES[bitsClass(item)] };
}

function bitsClass(item) {
  const bits = numberOf(item, "effective_bits")?.value ?? sourceRow(item, "effective_bits")?.numbers.get("effective_bits")?.value;
  if (bits === undefined) return 6;
  return bits > 24 ? 0 : bits > 12 ? 1 : bits > 6.5 ? 2 : bits > 3.5 ? 3 : 4;
}

const BITS_NAMES = ["about 32 bits", "about 16 bits", "about 8 bits", "about 4 bits", "fewer bits", "", "bits unknown"];

function renderPareto({ items, places }) {
  const y = METRICS.get(state.y);
  const charts = y ? PARETO_X.map(([, names]) => names.find((n) => items.some((i) => numberOf(i, n) && numberOf(i, y.name))))
    .filter(Boolean).map((name) => paretoChart(items, METRICS.get(name), y)).filter(Boolean) : [];
  byId("pareto").hidden = charts.length === 0;
  if (!charts.length) return;
  const qualities = packed.metrics.filter((m) => m.family === "quality" && items.some((i) => numberOf(i, m.name)));
  byId("pareto-choice").replaceChildren(choice("y", "Quality", qualities.map((m) => [m.name, `${m.label} ${arrow(m)}`]), true));
  byId("charts").replaceChildren(...charts);
  byId("legend").replaceChildren(...legend(items.filter((i) => numberOf(i, y.name))));
}

function legend(items) {
  const adapters = distinct(items.map((i) => i.adapter)).sort();
  const bits = distinct(items.map(bitsClass)).sort();
  const swatch = (mark) => svg("svg", { viewBox: "-8 -8 16 16", class: "swatch", "aria-hidden": "true" }, mark);
  return [
    ...adapters.map((adapter) => el("span", {}, swatch(shape("circle", 5, { class: `point c${appearance({ adapter, rows: [], quality: [] }).colour}` })), adapter)),
    ...bits.map((b) => el("span", {}, swatch(shape(SHAPES[b], 5, { class: "point plain" })), BITS_NAMES[b])),
    el("span", {}, swatch(shape("circle", 5, { class: "point plain", "fill-opacity": 0.12 })), "faint: unlikely on the front"),
    el("span", {}, swatch(shape("circle", 5, { class: "point plain out" })), "dashed: not ranked"),
  ];
}

function paretoChart(items, x, y) {
  const points = items.filter((i) => Number.isFinite(numberOf(i, x.name)?.value) && Number.isFinite(numberOf(i, y.name)?.value));
  if (points.length < 2) return null;
  const taking = points.filter((i) => !limitBroken(i) && !exclusion(i, x.name) && !exclusion(i, y.name));
  const chances = frontOf(taking, x, y);
  const xScale = scaleOf(points.map((i) => numberOf(i, x.name).value), FRAME.left, FRAME.width - FRAME.right, true);
  const upwards = y.direction === "higher";
  const [bottom, top] = [FRAME.height - FRAME.bottom, FRAME.top];
  const qualities = points.map((i) => numberOf(i, y.name).value);
  const yScale = scaleOf(qualities, upwards ? bottom : top, upwards ? top : bottom, y.unit === "nat");
  const leaders = bestByItems(points, y);
  const order = [...points].sort((a, b) => numberOf(a, x.name).value - numberOf(b, x.name).value);
  const picture = svg("svg", { viewBox: `0 0 ${FRAME.width} ${FRAME.height}`, role: "group", "aria-label": `${y.label} against ${x.label}, ${count(points.length, "point")}; arrow keys move between points`, onkeydown: walk },
    axes(xScale, yScale, x, y), limitLines(xScale, yScale, x, y),
    frontLine(taking, x, y, xScale, yScale),
    order.map((item) => point(item, x, y, xScale, yScale, chances.get(item), leaders)),
    labels(order, x, y, xScale, yScale, chances));
  picture.querySelector(".mark-point")?.setAttribute("tabindex", 0);
  const title = `${y.label} against ${x.label}`;
  return el("figure", { class: "chart" }, el("figcaption", {}, title, groupNote(taking, x, y)), picture);
}

function frontOf(items, x, y) {
  const found = new Map();
  for (const members of comparableGroups(items, x, y)) {
    const pairs = members.map((i) => [numberOf(i, x.name), numberOf(i, y.name)]);
    frontProbability(pairs, [x.direction, y.direction]).forEach((p, k) => found.set(members[k], p));
  }
  return found;
}

function comparableGroups(items, x, y) {
  const groups = new Map();
  for (const item of items) {
    const key = comparableWith(item, x.name) + comparableWith(item, y.name);
    groups.set(key, [...(groups.get(key) || []), item]);
  }
  return [...groups.values()];
}

function groupNote(items, x, y) {
  const n = comparableGroups(items, x, y).length;
  return n > 1 ? el("span", { class: "quiet" }, ` · ${n} groups that do not compare, one front each`) : null;
}

function frontLine(items, x, y, xScale, yScale) {
  return comparableGroups(items, x, y).map((members) => {
    const sign = { lower: -1, higher: 1 };
    const pairs = members.map((i) => [sign[x.direction] * numberOf(i, x.name).value, sign[y.direction] * numberOf(i, y.name).value]);
    const best = front(pairs).map((k) => members[k]).sort((a, b) => numberOf(a, x.name).value - numberOf(b, x.name).value);
    const path = best.map((item, k) => {
      const [px, py] = [xScale(numberOf(item, x.name).value), yScale(numberOf(item, y.name).value)];
      return k === 0 ? `M${px} ${py}` : `H${px}V${py}`;
    });
    return svg("path", { d: path.join(""), class: "front" });
  });
}

function limitLines(xScale, yScale, x, y) {
  return activeLimits().map(({ metric, bound }) => {
    if (metric === x.name && bound > xScale.low && bound < xScale.high) {
      return svg("line", { x1: xScale(bound), x2: xScale(bound), y1: FRAME.top, y2: FRAME.height - FRAME.bottom, class: "bound" });
    }
    if (metric === y.name && bound > yScale.low && bound < yScale.high) {
      return svg("line", { x1: FRAME.left, x2: FRAME.width - FRAME.right, y1: yScale(bound), y2: yScale(bound), class: "bound" });
    }
    return null;
  });
}

// The best point of those that answered the same items: what the others are compared with.
function bestByItems(points, y) {
  const sign = y.direction === "higher" ? -1 : 1;
  const found = new Map();
  for (const number of points.map((i) => numberOf(i, y.name)).filter((n) => n.draws)) {
    const best = found.get(number.items);
    if (!best || sign * number.value < sign * best.value) found.set(number.items, number);
  }
  return found;
}

// The interval to draw: of the difference from the best where items are shared, else the number's.
function interval(number, leaders) {
  const best = number.draws && leaders.get(number.items);
  if (!best) return number;
  const half = best === number ? 0 : Z * spreadOfDifference(number.draws, best.draws);
  return { low: number.value - half, high: number.value + half };
}

function point(item, x, y, xScale, yScale, chance, leaders) {
  const [a, b] = [numberOf(item, x.name), numberOf(item, y.name)];
  const [px, py] = [xScale(a.value), yScale(b.value)];
  const look = appearance(item);
  const out = chance === undefined;
  const why = out ? limitBroken(item) || exclusion(item, x.name) || exclusion(item, y.name) : `on the front with ${formatPercent(chance)} probability`;
  const told = `${fullName(item)}: ${x.label} ${formatNumber(a, x.unit)} ${formatSpread(a)}, ${y.label} ${formatNumber(b, y.unit)} ${formatSpread(b)}; ${out ? `not ranked: ${why}` : why}`;
  const open = () => update({ cell: item.row.id });
  return svg("g", {
    class: "mark-point", tabindex: -1, role: "button", "aria-label": told, tip: told, onclick: open,
    onkeydown: (event) => (event.key === "Enter" || event.key === " ") && (event.preventDefault(), open()),
  },
    whisker(a, (v) => [xScale(v), py], xScale), whisker(interval(b, leaders), (v) => [px, yScale(v)], yScale),
    svg("g", { transform: `translate(${px} ${py})` },
      svg("circle", { r: 12, class: "target" }),
      shape(look.shape, 4.6, { class: `point c${look.colour}${out ? " out" : ""}`, "fill-opacity": out ? 0 : 0.12 + 0.88 * chance })));
}

function whisker(number, place, scale) {
  if (number.low === null || number.high === null) return null;
  const clamp = (v) => Math.min(Math.max(v, scale.low), scale.high);
  const [[x1, y1], [x2, y2]] = [place(clamp(number.low)), place(clamp(number.high))];
  return svg("line", { x1, y1, x2, y2, class: "error" });
}

// Names of the points that may be on the front, where there is room for them.
function labels(items, x, y, xScale, yScale, chances) {
  const boxes = items.map((i) => {
    const [px, py] = [xScale(numberOf(i, x.name).value), yScale(numberOf(i, y.name).value)];
    return [px - 6, py - 6, px + 6, py + 6];
  });
  const likely = items.filter((i) => (chances.get(i) ?? 0) >= 0.05).sort((a, b) => chances.get(b) - chances.get(a));
  const several = distinct(likely.map((i) => i.model)).length > 1;
  return likely.map((item) => {
    const name = (several ? `${clipped(item.model)} ` : "") + clipped(runtimeName(item));
    const share = chances.get(item) < 0.995 ? ` ${formatPercent(chances.get(item))}` : "";
    return placedLabel(name + share, xScale(numberOf(item, x.name).value), yScale(numberOf(item, y.name).value), boxes);
  });
}

function clipped(name, most = 22) {
  return name.length > most ? `${name.slice(0, most - 1)}…` : name;
}

function placedLabel(name, px, py, boxes) {
  const width = name.length * 5.3;
  for (const [dx, dy, anchor] of [[9, 3.5, "start"], [-9, 3.5, "end"], [9, -8, "start"], [9, 15, "start"], [-9, -8, "end"], [-9, 15, "end"]]) {
    const left = anchor === "start" ? px + dx : px + dx - width;
    const box = [left, py + dy - 9, left + width, py + dy + 3];
    const fits = box[0] > FRAME.left && box[2] < FRAME.width - 2 && box[1] > 2 && box[3] < FRAME.height - FRAME.bottom;
    if (!fits || boxes.some((b) => box[0] < b[2] && box[2] > b[0] && box[1] < b[3] && box[3] > b[1])) continue;
    boxes.push(box);
    return svg("text", { x: px + dx, y: py + dy, "text-anchor": anchor, class: "label" }, name);
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
