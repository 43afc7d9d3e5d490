// What the visitor chose; lives in the address, so that a link shows the same page.

const DIMENSIONS = ["suite", "machine", "model", "adapter", "precision", "device", "load"];
const LIMITS = ["quality", "latency", "energy", "memory", "cost"];
const COSTS = packed.metrics.filter((m) => m.direction === "lower" && (m.unit.startsWith("USD") || /^cost_of_pass_(usd|j)$/.test(m.name))).map((m) => m.name);
const PREFERRED = ["tpot_s", "latency_s", "ttft_s", "bits_per_byte", "accuracy", "eff_at_1", "pass_at_1", "cost_of_pass_usd"];
const DEFAULTS = {
  view: "configurations", by: "", flip: false, workload: "", text: "", tasks: "", y: "",
  suite: [], machine: [], model: [], adapter: [], precision: [], device: [], load: [],
  admit: [], strict: false, hide: false,
  quality: null, latency: null, energy: null, memory: null, cost: null,
  cell: "", compare: [], columns: [],
};
const state = structuredClone(DEFAULTS);

function readAddress() {
  Object.assign(state, structuredClone(DEFAULTS), usualScope());
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    if (!(name in DEFAULTS)) continue;
    if (LIMITS.includes(name)) state[name] = readLimit(value);
    else if (Array.isArray(DEFAULTS[name])) state[name] = readList(value);
    else state[name] = typeof DEFAULTS[name] === "boolean" ? value === "1" : value;
  }
  settle();
}

function readList(value) {
  try {
    const list = JSON.parse(value);
    return Array.isArray(list) ? list.filter((entry) => typeof entry === "string") : [];
  } catch {
    return [];
  }
}

function readLimit(value) {
  const [metric, bound] = value.split(":");
  return METRICS.has(metric) && Number.isFinite(Number(bound)) ? { metric, bound: Number(bound) } : null;
}

function writeAddress() {
  const usual = { ...DEFAULTS, ...usualScope(), ...usualChoices() };
  const parts = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) {
    if (JSON.stringify(value) === JSON.stringify(usual[name])) continue;
    if (LIMITS.includes(name)) parts.set(name, `${value.metric}:${value.bound}`);
    else if (Array.isArray(value)) parts.set(name, JSON.stringify(value));
    else parts.set(name, value === true ? "1" : value === false ? "0" : value);
  }
  const address = parts.size ? `#${parts}` : location.pathname + location.search;
  history.replaceState(null, "", address);
}

// Several suites on one page: the largest is shown first, the others are one click away.
function usualScope() {
  const suites = distinct(rows.map((r) => r.suite));
  return suites.length > 1 ? { suite: [mostCommon(rows.map((r) => r.suite))] } : {};
}

function scopedRows() {
  return rows.filter((row) =>
    DIMENSIONS.every((d) => !state[d].length || state[d].includes(row[d]) || (d === "load" && state.view !== "cells")));
}

function labelsOf(kind, candidates = scopedRows()) {
  return distinct(candidates.filter((r) => r.kind === kind).map((r) => r.workload));
}

function usualChoices() {
  const scoped = scopedRows();
  const known = new Set(scoped.flatMap((r) => [...r.numbers.keys()]));
  const quality = ["bits_per_byte", "accuracy", "top1_agreement", "pass_at_1", "eff_at_1"].find((m) => known.has(m)) || "";
  return {
    workload: mainWorkload(scoped),
    text: labelsOf("text", scoped)[0] || "",
    tasks: labelsOf("tasks", scoped)[0] || labelsOf("labels", scoped)[0] || "",
    by: PREFERRED.find((m) => known.has(m)) || [...known].find((m) => METRICS.get(m)?.direction !== "none") || "",
    y: quality,
  };
}

// Choices that the data does not offer fall back to the usual ones.
function settle() {
  const scoped = scopedRows();
  const usual = usualChoices();
  const offered = distinct(scoped.map((r) => r.workload));
  for (const name of ["workload", "text", "tasks"]) {
    if (!offered.includes(state[name])) state[name] = usual[name];
  }
  if (!METRICS.has(state.by)) state.by = usual.by;
  if (!METRICS.has(state.y)) state.y = usual.y;
  state.compare = state.compare.filter((id) => rowById.has(id)).slice(0, 2);
}

function update(changes) {
  Object.assign(state, changes);
  settle();
  writeAddress();
  render();
}
