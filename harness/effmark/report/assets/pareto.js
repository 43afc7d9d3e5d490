// Quality against each cost: the fronts, and how probably each point is on them.

const PARETO_X = [
  ["latency", ["tpot_s", "latency_s", "ttft_s"]],
  ["energy", ["energy_j_per_output_token", "energy_j_per_image", "energy_j_per_request"]],
  ["memory", ["peak_memory_b", "device_memory_b", "model_size_b"]],
  ["cost", COSTS],
];
const POINTS_DRAWN = 400; // a chart with more tells nothing more; those that may be on the front come first

function renderPareto({ items }) {
  const y = METRICS.get(state.y);
  const across = y ? PARETO_X.map(([, names]) => names.find((n) => items.some((i) => numberOf(i, n) && numberOf(i, y.name)))).filter(Boolean).map((n) => METRICS.get(n)) : [];
  const told = across.map((x) => ({ x, ...frontOf(items, x, y) })).filter(({ points }) => points.length > 1);
  byId("pareto").hidden = told.length === 0;
  if (!told.length) return;
  const qualities = packed.metrics.filter((m) => m.family === "quality" && m.direction !== "none" && items.some((i) => numberOf(i, m.name)));
  byId("pareto-choice").replaceChildren(choice("y", "Quality", qualities.map((m) => [m.name, `${m.label} ${arrow(m)}`]), true));
  byId("charts").replaceChildren(...told.map((front) => paretoChart(front, y)));
  byId("legend").replaceChildren(...legend(items.filter((i) => numberOf(i, y.name))));
  byId("fronts-body").replaceChildren(frontsTable(told, y));
}

// Who may be on a front, with the probability; the same as the charts show, to read and to copy.
function frontsTable(told, y) {
  const may = distinct(told.flatMap(({ chances }) => [...chances].filter(([, p]) => p >= 0.05).map(([item]) => item)));
  const most = (item) => Math.max(...told.map(({ chances }) => chances.get(item) ?? 0));
  may.sort((a, b) => most(b) - most(a));
  return el("table", { class: "plain numbers" },
    el("caption", {}, `Probability that no other is at least as good in ${y.label} and in the cost of the column; below 5 % left out`),
    el("thead", {}, el("tr", {}, ["configuration", y.label, ...told.map(({ x }) => x.label)].map((h) => el("th", { scope: "col" }, h)))),
    el("tbody", {}, may.slice(0, LINES_SHOWN).map((item) => el("tr", {}, el("th", { scope: "row" }, label(item)),
      el("td", {}, formatNumber(numberOf(item, y.name), y.unit), " ", el("span", { class: "spread" }, formatSpread(numberOf(item, y.name)))),
      told.map(({ x, chances }) => el("td", {}, chances.has(item) ? formatPercent(chances.get(item)) : "–",
        chances.has(item) && el("span", { class: "spread" }, ` at ${formatNumber(numberOf(item, x.name), x.unit)}`)))))));
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

// The points of a chart, those that take part in its front, and how probably each is on it.
function frontOf(items, x, y) {
  const points = items.filter((i) => Number.isFinite(numberOf(i, x.name)?.value) && Number.isFinite(numberOf(i, y.name)?.value));
  const taking = points.filter((i) => !limitBroken(i) && !exclusion(i, x.name) && !exclusion(i, y.name));
  const chances = new Map();
  for (const members of comparableGroups(taking, x, y)) {
    const pairs = members.map((i) => [numberOf(i, x.name), numberOf(i, y.name)]);
    frontProbability(pairs, [x.direction, y.direction]).forEach((p, k) => chances.set(members[k], p));
  }
  return { points, taking, chances };
}

function paretoChart({ x, points: all, taking, chances }, y) {
  const likelyFirst = [...all].sort((a, b) => (chances.get(b) ?? -1) - (chances.get(a) ?? -1));
  const points = likelyFirst.slice(0, POINTS_DRAWN);
  const upwards = y.direction === "higher";
  const [bottom, top] = [FRAME.height - FRAME.bottom, FRAME.top];
  const leaders = bestByItems(points, y);
  const xScale = scaleOf(withIntervals(points.map((i) => numberOf(i, x.name))), FRAME.left, FRAME.width - FRAME.right, true);
  const qualities = withIntervals(points.map((i) => ({ ...numberOf(i, y.name), ...interval(numberOf(i, y.name), leaders) })));
  const yScale = scaleOf(qualities, upwards ? bottom : top, upwards ? top : bottom, y.unit === "nat");
  const order = [...points].sort((a, b) => numberOf(a, x.name).value - numberOf(b, x.name).value);
  const named = namedPoints(order, taking, x, y, chances);
  const picture = svg("svg", { viewBox: `0 0 ${FRAME.width} ${FRAME.height}`, role: "group", "aria-label": `${y.label} against ${x.label}, ${count(points.length, "point")}; arrow keys move between points`, onkeydown: walk },
    axes(xScale, yScale, x, y), limitLines(xScale, yScale, x, y),
    frontLine(taking, x, y, xScale, yScale),
    order.map((item) => point(item, x, y, xScale, yScale, chances.get(item), leaders)),
    tags(named, order, x, y, xScale, yScale));
  picture.querySelector(".mark-point")?.setAttribute("tabindex", 0);
  return el("figure", { class: "chart" },
    el("figcaption", {}, `${y.label} against ${x.label}`, el("span", { class: "quiet" }, chartNotes(x, y, all, taking).map((n) => ` · ${n}`)), frontless(all, taking, x, y)), picture, frontList(named, chances));
}

// What an axis must show: all values, and their intervals as far as these do not dwarf the values.
function withIntervals(numbers) {
  const values = numbers.map((n) => n.value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = (high - low || Math.abs(high) * 0.05) * 0.6;
  const ends = numbers.flatMap((n) => [n.low, n.high]).filter((v) => v !== null && v > Math.max(low - room, low > 0 ? low / 2 : -Infinity) && v < high + room);
  return [...values, ...ends];
}

// Where nothing may rank there is no front, unless somebody asks for it.
function frontless(all, taking, x, y) {
  if (taking.length > 0) return null;
  const why = distinct(all.flatMap((i) => [exclusion(i, x.name), exclusion(i, y.name)])).filter((mark) => mark in packed.marks && mark !== "suspect");
  const admit = () => update({ admit: distinct([...state.admit, ...why]) });
  return el("span", { class: "quiet" }, ` · no front: ${why.join(" and ") || "nothing here may rank"} `,
    why.length > 0 && el("button", { type: "button", class: "inline", onclick: admit, "data-key": `admit ${x.name}` }, "draw it all the same"));
}

function chartNotes(x, y, all, taking) {
  const groups = comparableGroups(taking, x, y).length;
  return [
    groups > 1 && `${groups} groups that do not compare, one front each`,
    all.length > POINTS_DRAWN && `${POINTS_DRAWN} of ${all.length.toLocaleString("en")} points drawn`,
  ].filter(Boolean);
}

function comparableGroups(items, x, y) {
  const groups = new Map();
  for (const item of items) {
    const key = comparableWith(item, x.name) + comparableWith(item, y.name);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(item);
  }
  return [...groups.values()];
}

function frontLine(items, x, y, xScale, yScale) {
  return comparableGroups(items, x, y).map((members) => {
    const best = bestByValue(members, x, y).sort((a, b) => numberOf(a, x.name).value - numberOf(b, x.name).value);
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

const POINTS_NAMED = 8;

// The points that may be on the front; without a front, those that no other beats by value.
function namedPoints(items, taking, x, y, chances) {
  const likely = taking.length
    ? items.filter((i) => (chances.get(i) ?? 0) >= 0.05)
    : comparableGroups(items, x, y).flatMap((members) => bestByValue(members, x, y));
  return likely.sort((a, b) => (chances.get(b) ?? 0) - (chances.get(a) ?? 0)).slice(0, POINTS_NAMED);
}

// A letter beside each named point, and what the letters stand for below the chart.
function tags(named, items, x, y, xScale, yScale) {
  const at = (item) => [xScale(numberOf(item, x.name).value), yScale(numberOf(item, y.name).value)];
  const boxes = items.map(at).map(([px, py]) => [px - 6, py - 6, px + 6, py + 6]);
  return named.map((item, k) => placedLabel(letter(k), ...at(item), boxes));
}

function letter(k) {
  return String.fromCharCode(65 + k);
}

// What tells an item from the others beside it.
function nameAmong(item, others) {
  const differs = (what) => distinct(others.map((i) => i[what])).length > 1;
  return [differs("model") && clipped(item.model), runtimeName(item), differs("machine") && `on ${clipped(item.machine)}`].filter(Boolean).join(" ");
}

function frontList(named, chances) {
  const name = (item) => nameAmong(item, named);
  return el("ol", { class: "front-list" }, named.map((item, k) => {
    const look = appearance(item);
    const chance = chances.get(item);
    return el("li", {}, el("b", {}, letter(k)),
      svg("svg", { viewBox: "-8 -8 16 16", class: "swatch", "aria-hidden": "true" }, shape(look.shape, 4.6, { class: `point c${look.colour}${chance === undefined ? " out" : ""}`, "fill-opacity": chance === undefined ? 0 : 0.12 + 0.88 * chance })),
      el("span", {}, name(item)), chance !== undefined && el("span", { class: "quiet" }, formatPercent(chance)));
  }));
}

function bestByValue(members, x, y) {
  const sign = { lower: -1, higher: 1 };
  return front(members.map((i) => [x, y].map((m) => sign[m.direction] * numberOf(i, m.name).value))).map((k) => members[k]);
}
