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
  byId("compare-body").replaceChildren(pairTable(...pair), differences(...pair), el("p", {}, clear));
}

function pairTable(a, b) {
  const shared = packed.metrics.filter((m) => numberOf(a, m.name) && numberOf(b, m.name));
  const lines = shared.map((m) => pairLine(m, a, b));
  const head = ["metric", `A: ${label(a)}`, `B: ${label(b)}`, "B / A", "verdict"];
  return el("div", { class: "scroll" }, el("table", { class: "plain numbers" },
    el("caption", {}, "Each line at 95 % confidence on its own. Unpaired numbers are treated as independent."),
    el("thead", {}, el("tr", {}, head.map((h) => el("th", { scope: "col" }, h)))), el("tbody", {}, lines)));
}

function label(item) {
  return state.view === "cells" ? `${fullName(item)} · ${item.workload}` : fullName(item);
}

function pairLine(metric, a, b) {
  const [x, y] = [numberOf(a, metric.name), numberOf(b, metric.name)];
  const ratio = ratioOf(x, y);
  const [word, kind] = comparableWith(a, metric.name) === comparableWith(b, metric.name) ? judged(metric, x, y) : ["do not compare", "none"];
  return el("tr", {},
    el("th", { scope: "row", tip: definition(metric) }, metric.label, " ", arrow(metric)),
    el("td", {}, formatNumber(x, metric.unit), " ", el("span", { class: "spread" }, formatSpread(x))),
    el("td", {}, formatNumber(y, metric.unit), " ", el("span", { class: "spread" }, formatSpread(y))),
    el("td", {}, ratio), el("td", { class: `verdict ${kind}` }, word));
}

function ratioOf(x, y) {
  if (!x.value || !Number.isFinite(x.value + y.value)) return "–";
  const ratio = y.value / x.value;
  const relative = relativeError(x, y);
  if (!relative) return `${digits(ratio)} ×`;
  const half = Z * Math.abs(ratio) * relative;
  return `${digits(ratio)} × (${digits(ratio - half)} – ${digits(ratio + half)})`;
}

// The relative error of y / x; paired draws give that of the ratio itself.
function relativeError(x, y) {
  if (x.draws && y.draws && x.items === y.items && x.value && y.value) {
    return spreadOfDifference(y.draws.map((d) => d / y.value), x.draws.map((d) => d / x.value));
  }
  if (x.error === null || y.error === null || !y.value) return null;
  return Math.hypot(x.error / x.value, y.error / y.value);
}

function judged(metric, x, y) {
  const difference = y.value - x.value;
  if (difference === 0 || Number.isNaN(difference)) return ["same", "none"];
  if (x.error === null || y.error === null) return ["one sample: undecided", "none"];
  if (Math.abs(difference) <= Z * errorOfDifference(x, y)) return ["undecided", "none"];
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
