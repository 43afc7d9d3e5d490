// Two lines side by side: each number, the ratio with its interval, and what else differs.

function pick(id) {
  const others = state.compare.filter((c) => c !== id);
  update({ compare: state.compare.includes(id) ? others : [...others, id].slice(-2) });
}

function renderCompare(items) {
  const pair = state.compare.map((id) => items.find((i) => i.id === id) || cellItem(rowById.get(id)));
  byId("compare").hidden = pair.length === 0;
  if (!pair.length) return;
  const clear = el("button", { type: "button", onclick: () => update({ compare: [] }) }, "clear");
  if (pair.length === 1) {
    byId("compare-body").replaceChildren(el("p", {}, `${fullName(pair[0])} is chosen; tick a second line to compare. `, clear));
    return;
  }
  byId("compare-body").replaceChildren(pairTable(...pair), ...onlyOne(...pair), differences(...pair), el("p", {}, clear));
}

function pairTable(a, b) {
  const shared = packed.metrics.filter((m) => numberOf(a, m.name) && numberOf(b, m.name));
  const axis = ratioAxis(shared.map((m) => ratioOf(numberOf(a, m.name), numberOf(b, m.name))));
  const lines = shared.map((m) => pairLine(m, a, b, axis));
  const head = ["metric", `A: ${label(a)}`, `B: ${label(b)}`, "B / A", `${digits(1 / axis.most)} to ${digits(axis.most)} ×`, "verdict"];
  return el("div", { class: "scroll" }, el("table", { class: "plain numbers" },
    el("caption", {}, "Each line at 95 % confidence on its own. Numbers that share no items are treated as independent."),
    el("thead", {}, el("tr", {}, head.map((h) => el("th", { scope: "col" }, h)))), el("tbody", {}, lines)));
}

// What only one of two has, and why the other has not.
function onlyOne(a, b) {
  const gaps = packed.metrics.filter((m) => Boolean(numberOf(a, m.name)) !== Boolean(numberOf(b, m.name)));
  if (!gaps.length) return [];
  const why = (item, name) => {
    const absent = sourceRow(item, name)?.missing.get(name);
    return absent ? ` (${absent.reason.replaceAll("_", " ")}: ${absent.detail})` : "";
  };
  return [el("details", {}, el("summary", {}, `Only one of the two has ${count(gaps.length, "number")}`), el("ul", {}, gaps.map((m) => {
    const [has, lacks, name] = numberOf(a, m.name) ? [a, b, "A"] : [b, a, "B"];
    return el("li", {}, `${m.label}: ${name} ${formatNumber(numberOf(has, m.name), m.unit)}; the other has none${why(lacks, m.name)}`);
  })))];
}

function label(item) {
  return state.view === "cells" ? `${fullName(item)} · ${item.workload}` : fullName(item);
}

function pairLine(metric, a, b, axis) {
  const [x, y] = [numberOf(a, metric.name), numberOf(b, metric.name)];
  const ratio = ratioOf(x, y);
  const [word, kind] = comparableWith(a, metric.name) === comparableWith(b, metric.name) ? judged(metric, x, y) : ["do not compare", "none"];
  return el("tr", {},
    el("th", { scope: "row", tip: definition(metric) }, metric.label, " ", arrow(metric)),
    el("td", {}, formatNumber(x, metric.unit), " ", el("span", { class: "spread" }, formatSpread(x))),
    el("td", {}, formatNumber(y, metric.unit), " ", el("span", { class: "spread" }, formatSpread(y))),
    el("td", {}, ratioText(ratio)), el("td", {}, ratioMark(ratio, axis)), el("td", { class: `verdict ${kind}` }, word));
}

// B / A with bounds that no chance can make negative. Paired numbers: from the draws of the ratio.
// Others: the distances of both intervals on the logarithmic scale, added in quadrature side by
// side, so that a lopsided interval stays lopsided (MOVER; Zou and Donner 2008).
function ratioOf(x, y) {
  const value = y.value / x.value;
  if (!(value > 0) || !Number.isFinite(value)) return null;
  if (arePaired(x, y)) {
    const factor = Math.exp(Z * relativeError(x, y));
    return { value, low: value / factor, high: value * factor };
  }
  const [a, b] = [logDistances(x), logDistances(y)];
  if (!a || !b || a.down + a.up + b.down + b.up === 0) return { value, low: null, high: null };
  return { value, low: value * Math.exp(-Math.hypot(b.down, a.up)), high: value * Math.exp(Math.hypot(b.up, a.down)) };
}

function logDistances(number) {
  if (number.low > 0 && Number.isFinite(number.high)) return { down: Math.log(number.value / number.low), up: Math.log(number.high / number.value) };
  if (number.error === null) return null;
  const distance = (Z * number.error) / Math.abs(number.value);
  return { down: distance, up: distance };
}

function ratioText(ratio) {
  if (!ratio) return "–";
  const value = `${digits(ratio.value)} ×`;
  return ratio.high ? `${value} (${digits(ratio.low)} – ${digits(ratio.high)})` : value;
}

// All ratios on one logarithmic axis around 1, wide enough for most and never wider than 16 times.
const RATIO_WIDTH = 120;

function ratioAxis(ratios) {
  const known = ratios.filter((r) => r && r.value > 0).map((r) => Math.abs(Math.log(r.value))).sort((x, y) => x - y);
  const most = Math.min(Math.log(16), Math.max(Math.log(1.25), 1.3 * (known[Math.floor(known.length * 0.9)] ?? 0)));
  const axis = (ratio) => RATIO_WIDTH / 2 + (RATIO_WIDTH / 2 - 4) * Math.min(1, Math.max(-1, Math.log(Math.max(ratio, 1e-9)) / most));
  return Object.assign(axis, { most: Math.exp(most) });
}

function ratioMark(ratio, axis) {
  if (!ratio || ratio.value <= 0) return null;
  return svg("svg", { viewBox: `0 0 ${RATIO_WIDTH} 14`, class: "whisker wide", "aria-hidden": "true" },
    svg("line", { x1: 0, x2: RATIO_WIDTH, y1: 7, y2: 7, class: "rail" }), svg("line", { x1: RATIO_WIDTH / 2, x2: RATIO_WIDTH / 2, y1: 0, y2: 14, class: "one" }),
    ratio.high !== null && svg("line", { x1: axis(ratio.low), x2: axis(ratio.high), y1: 7, y2: 7, class: "range" }),
    svg("circle", { cx: axis(ratio.value), cy: 7, r: 3.2, class: "dot" }));
}

// The relative error of y / x from paired draws.
function relativeError(x, y) {
  return spreadOfDifference(y.draws.map((d) => d / y.value), x.draws.map((d) => d / x.value));
}

// Whether the interval of the ratio leaves out 1; of the difference 0, where there is no ratio.
function isApart(x, y) {
  const ratio = ratioOf(x, y);
  if (!ratio) return Math.abs(y.value - x.value) > Z * errorOfDifference(x, y);
  return ratio.high === null ? ratio.value !== 1 : ratio.low > 1 || ratio.high < 1;
}

function judged(metric, x, y) {
  const difference = y.value - x.value;
  if (difference === 0 || Number.isNaN(difference)) return ["same", "none"];
  if (x.error === null || y.error === null) return ["undecided: one sample", "none"];
  if (!isApart(x, y)) return ["undecided", "none"];
  if (metric.direction === "none") return ["differs", "none"];
  return difference > 0 === (metric.direction === "higher") ? ["B better ▲", "better"] : ["B worse ▼", "worse"];
}

function differences(a, b) {
  const told = (item) => new Map(flatFacts({
    suite: item.suite, machine: item.machine, workload: item.row.workload, threads: item.row.threads,
    ...(item.row.cell?.facts || {}), ...(item.row.environment || {}), adapter_version: item.row.cell?.adapter_version,
  }));
  const [x, y] = [told(a), told(b)];
  const changed = distinct([...x.keys(), ...y.keys()]).filter((k) => x.get(k) !== y.get(k));
  if (!changed.length) return el("p", { class: "quiet" }, "Machine, software and model facts are the same.");
  return el("details", {}, el("summary", {}, `What else differs: ${count(changed.length, "fact")}`),
    el("table", { class: "plain" }, el("tbody", {}, changed.map((k) =>
      el("tr", {}, el("th", { scope: "row" }, k), el("td", {}, x.get(k) ?? "–"), el("td", {}, y.get(k) ?? "–"))))));
}
