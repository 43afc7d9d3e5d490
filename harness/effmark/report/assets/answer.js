// The answer at the head of the page: who is first, how surely, and what that costs.

const TILES = [
  ["tpot_s", "latency_s", "ttft_s"], ["accuracy", "pass_at_1"], ["bits_per_byte", "eff_at_1"],
  ["energy_j_per_output_token", "energy_j_per_image", "energy_j_per_call"], ["peak_memory_b"], ["effective_bits"], COSTS,
];
const NAMED = 3;

function renderAnswer({ items, places }) {
  const metric = METRICS.get(state.by);
  const ranked = items.filter((i) => places.get(i).low !== undefined);
  const counted = byId("counted");
  byId("tiles").replaceChildren();
  if (!metric || !ranked.length) {
    byId("answer").replaceChildren(rows.length ? `Nothing can be ranked${metric ? ` by ${metric.label}` : ""}${boundsText()}${whyNot(places)}.` : "No records yet.");
    counted.replaceChildren();
    return;
  }
  const first = leaders(ranked, places, metric);
  byId("answer").replaceChildren(...answer(first[0], metric));
  byId("tiles").replaceChildren(...tiles(first[0], items, metric));
  const others = first.slice(1).map((i) => shortName(i, first));
  const shown = others.slice(0, NAMED).join(", ") + (others.length > NAMED ? ` and ${count(others.length - NAMED, "other")}` : "");
  const several = ranked.some((i) => places.get(i).group > 0);
  counted.replaceChildren(
    several ? `This is the largest group, ${groupName(places.get(first[0]).key)}. ` : "",
    others.length ? `Not clearly ahead of ${shown}. ` : places.get(first[0]).of > 1 ? `Clearly ahead of all others. ` : "",
    `${ranked.length.toLocaleString("en")} of ${count(items.length, state.view === "cells" ? "cell" : "configuration")} ranked.`);
}

// The reasons why nobody ranks, the most frequent first.
function whyNot(places) {
  const counts = new Map();
  for (const { reason } of places.values()) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  const told = [...counts].sort((a, b) => b[1] - a[1]).map(([reason, n]) => `${n.toLocaleString("en")} ${reason.replaceAll("_", " ")}`);
  return told.length ? `: ${told.join(", ")}` : "";
}

// All that may be first, the best value before the others.
function leaders(ranked, places, metric) {
  const sign = metric.direction === "higher" ? -1 : 1;
  const value = (item) => numberOf(item, metric.name).value;
  return ranked.filter((i) => places.get(i).low === 1 && places.get(i).group === 0).sort((a, b) => sign * (value(a) - value(b)));
}

function answer(best, metric) {
  const number = numberOf(best, metric.name);
  const ofMachine = [metric, ...activeLimits().map((limit) => METRICS.get(limit.metric))].some((m) => m.machine);
  const where = ofMachine && best.machine ? `On ${best.machine}${boundsText()}, ` : boundsText() ? `With${boundsText().slice(5)}, ` : "";
  const way = metric.direction === "higher" ? "highest" : "lowest";
  return [
    where || null, el("b", {}, bestName(best)), ` ${where ? "gives" : "has"} the ${way} `,
    el("span", { class: "how", tip: definition(metric), tabindex: 0 }, metric.label), ": ",
    el("b", { class: "whole" }, formatNumber(number, metric.unit), el("span", { class: "spread" }, ` ${formatSpread(number)}`)),
  ].filter(Boolean);
}

function boundsText() {
  const bounds = activeLimits().map(({ metric, bound }) => `${METRICS.get(metric).label} ${limitText(METRICS.get(metric), bound)}${isEstimated(metric) ? " (estimated)" : ""}`);
  return bounds.length ? ` with ${bounds.join(" and ")}` : "";
}

function isEstimated(metric) {
  return rows.some((r) => r.numbers.get(metric)?.source === "model_estimate");
}

const LONGEST = 60;

function bestName(item) {
  return `${clipped(item.model, LONGEST)} · ${clipped(runtimeName(item), LONGEST)}`;
}

function shortName(item, among) {
  const oneModel = distinct(among.map((i) => i.model)).length === 1;
  const runtime = clipped(runtimeName(item), 40);
  const name = oneModel ? runtime : `${clipped(item.model, 40)} · ${runtime}`;
  return state.view === "cells" ? `${name} ${item.workload}` : name;
}

// The usual numbers of the first line, beside those of the baseline of its model.
function tiles(best, items, metric) {
  const names = distinct([metric.name, ...TILES.map((group) => group.find((m) => numberOf(best, m)))]).filter((m) => m && METRICS.has(m));
  const base = items.find((i) => i !== best && i.row.base && i.model === best.model && i.machine === best.machine && i.suite === best.suite);
  return names.slice(0, 6).map((name) => tile(METRICS.get(name), numberOf(best, name), base && numberOf(base, name), base));
}

function tile(metric, number, theirs, base) {
  const estimated = number.source === "model_estimate";
  return el("div", { class: "tile", tip: definition(metric), tabindex: 0 },
    el("dt", {}, metric.label, estimated && " (estimated)"),
    el("dd", {}, el("span", { class: estimated ? "value estimated" : "value" }, cellText(number, metric)), " ", el("span", { class: "spread" }, formatSpread(number)),
      theirs && el("span", { class: "base-value" }, `${runtimeName(base)}: ${cellText(theirs, metric)}`)));
}
