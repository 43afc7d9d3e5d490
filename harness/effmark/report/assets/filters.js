// Filters, limits and switches above the table.

const NAMES = { suite: "Suite", machine: "Machine", model: "Model", adapter: "Runtime", precision: "Precision", device: "Device", load: "Workload" };
const CHOICES_SHOWN = 100;
const LIMIT_METRICS = {
  quality: ["accuracy", "bits_per_byte", "top1_agreement", "pass_at_1", "eff_at_1", "majority_accuracy", "information_capacity", "kl_divergence", "quality_retention"],
  latency: ["tpot_s", "latency_s", "ttft_s", "e2e_latency_s", "tpot_p95_s", "ttft_p95_s"],
  energy: ["energy_j_per_output_token", "energy_j_per_image", "energy_j_per_request"],
  memory: ["peak_memory_b", "device_memory_b", "model_size_b"],
  cost: COSTS,
};
const LIMIT_NAMES = { quality: "Quality floor", latency: "Latency budget", energy: "Energy budget", memory: "Memory budget", cost: "Cost budget" };
const STEPS = 60;

function renderFilters() {
  byId("filters").replaceChildren(...DIMENSIONS.map(filter).filter(Boolean));
  byId("choices").replaceChildren(...choices().filter(Boolean));
  renderLimits();
  byId("switches").replaceChildren(...switches());
}

// A slider or field under the hand is never replaced: only its text follows.
function renderLimits() {
  const held = document.activeElement;
  if (!held?.dataset.held || !byId("limits").contains(held)) byId("limits").replaceChildren(...LIMITS.map(limit).filter(Boolean));
}

function filter(name) {
  const values = distinct(rows.map((r) => r[name])).sort();
  if (values.length < 2 || (name === "load" && state.view !== "cells")) return null;
  const open = byId("filters").querySelector(`details[data-name="${name}"]`)?.open;
  const chosen = state[name];
  const summary = el("summary", { "data-key": `filter ${name}` },
    NAMES[name], el("span", { class: "chosen" }, chosen.length ? chosen.join(", ") : "all"));
  const list = el("div", { class: "options", role: "group", "aria-label": NAMES[name] });
  const show = (part) => list.replaceChildren(...options(name, values, part));
  show("");
  const search = values.length > 12 && el("input", {
    type: "search", placeholder: "find …", "aria-label": `find a ${NAMES[name].toLowerCase()}`,
    oninput: (event) => show(event.target.value),
  });
  return el("details", { class: "filter", "data-name": name, open }, summary, el("div", { class: "menu" },
    search, list, chosen.length > 0 && el("button", { type: "button", onclick: () => update({ [name]: [] }) }, "all")));
}

function options(name, values, part) {
  const fitting = values.filter((v) => v.toLowerCase().includes(part.toLowerCase()));
  const shown = fitting.slice(0, CHOICES_SHOWN).map((value) => option(name, value));
  const more = fitting.length - CHOICES_SHOWN;
  return more > 0 ? [...shown, el("p", {}, `${more} more; type to find them`)] : shown;
}

function option(name, value) {
  const toggle = (event) => update({
    [name]: event.target.checked ? [...state[name], value] : state[name].filter((v) => v !== value),
  });
  return el("label", {},
    el("input", { type: "checkbox", checked: state[name].includes(value), "data-key": `${name} ${value}`, onchange: toggle }),
    el("span", {}, value || "–"));
}

function choices() {
  const scoped = scopedRows();
  const cost = distinct(scoped.filter((r) => COST_KINDS.includes(r.kind)).map((r) => r.workload));
  const inConfigurations = state.view === "configurations";
  const metrics = knownMetrics().map((m) => [m.name, `${m.label} ${arrow(m)}`]);
  return [
    choice("by", "Rank by", metrics),
    inConfigurations && choice("workload", "Workload", cost.map((w) => [w, w])),
    inConfigurations && choice("text", "Text", labelsOf("text", scoped).map((w) => [w, w])),
    inConfigurations && choice("tasks", "Tasks", labelsOf("tasks", scoped).map((w) => [w, w])),
  ];
}

function choice(name, label, values, always = false) {
  if (values.length < 2 && !always) return null;
  return el("label", { class: "choice" }, el("span", {}, label),
    el("select", { "data-key": name, onchange: (event) => update({ [name]: event.target.value, ...(name === "by" && { flip: false }) }) },
      values.map(([value, shown]) => el("option", { value, selected: value === state[name] }, shown))));
}

function knownMetrics() {
  const known = new Set(scopedRows().flatMap((r) => [...r.numbers.keys()]));
  return packed.metrics.filter((m) => known.has(m.name) && m.direction !== "none");
}

function arrow(metric) {
  return { lower: "↓", higher: "↑", none: "" }[metric.direction];
}

// A limit is a slider from "any" to the strictest value that somebody still meets.

function limit(name) {
  const items = allItems();
  const offered = LIMIT_METRICS[name].filter((m) => METRICS.has(m) && items.some((i) => numberOf(i, m)));
  if (!offered.length) return null;
  const metric = METRICS.get(offered.includes(state[name]?.metric) ? state[name].metric : offered[0]);
  const scale = limitScale(items, metric);
  const bound = state[name]?.metric === metric.name ? state[name].bound : null;
  const shown = limitText(metric, bound);
  const about = `${LIMIT_NAMES[name]}, ${metric.label}`;
  const field = el("input", {
    type: "text", class: "bound-text", value: shown, size: 9, "aria-label": `${about}, typed`, autocomplete: "off", spellcheck: "false",
    "data-key": `typed ${name}`, tip: `Type a bound, such as ${formatQuantity(scale.value(STEPS / 2), metric.unit)}; empty for any.`,
  });
  const input = el("input", {
    type: "range", min: 0, max: STEPS, step: 1, value: bound === null ? 0 : scale.step(bound), "data-held": "yes",
    "aria-label": about, "aria-valuetext": shown, "data-key": `limit ${name}`,
  });
  input.addEventListener("input", () => {
    const value = Number(input.value) === 0 ? null : scale.value(Number(input.value));
    field.value = limitText(metric, value);
    input.setAttribute("aria-valuetext", field.value);
    update({ [name]: value === null ? null : { metric: metric.name, bound: value } });
  });
  field.addEventListener("change", () => {
    const value = readQuantity(field.value, metric.unit, scale.value(STEPS / 2));
    update({ [name]: value === null ? null : { metric: metric.name, bound: value } });
  });
  field.addEventListener("focus", () => field.select());
  return el("div", { class: bound === null ? "limit" : "limit active" }, el("div", { class: "limit-head" },
    el("span", {}, LIMIT_NAMES[name]), limitMetric(name, metric, offered), field), input);
}

const PREFIXES = { T: 1e12, G: 1e9, M: 1e6, k: 1e3, K: 1e3, "": 1, m: 1e-3, "µ": 1e-6, "μ": 1e-6, u: 1e-6, n: 1e-9 };

// What somebody typed, in the unit of the metric: `20 ms`, `2 J/token`, `500M`; null for no bound.
// A bare number takes the prefix that numbers of this size are shown with.
function readQuantity(typed, unit, usual) {
  const found = /^[\s≤≥<>=~]*([0-9]*[.,]?[0-9]+(?:e[-+]?[0-9]+)?)\s*(.*)$/i.exec(typed.trim());
  if (!found) return null;
  const number = Number(found[1].replace(",", "."));
  const short = unit === "ratio" ? "" : unit.split("/")[0];
  const rest = found[2].replace(/\s*\/.*$/, "").trim();
  const suffix = rest || (formatQuantity(usual, unit).split(" ")[1] || "").replace(/\/.*$/, "");
  if (unit.startsWith("USD/")) return number / 1e6;
  const prefix = short && suffix.endsWith(short) ? suffix.slice(0, -short.length) : suffix;
  if (suffix === "%" && !short) return number / 100;
  return prefix in PREFIXES ? Number((number * PREFIXES[prefix]).toPrecision(12)) : null;
}

function limitMetric(name, metric, offered) {
  if (offered.length === 1) return el("span", { class: "quiet" }, metric.label);
  const change = (event) => {
    const usual = limitScale(allItems(), METRICS.get(event.target.value));
    update({ [name]: { metric: event.target.value, bound: usual.value(1) } });
  };
  return el("select", { "aria-label": `metric of the ${LIMIT_NAMES[name].toLowerCase()}`, "data-key": `metric ${name}`, onchange: change },
    offered.map((m) => el("option", { value: m, selected: m === metric.name }, METRICS.get(m).label)));
}

function limitScale(items, metric) {
  const values = items.map((i) => numberOf(i, metric.name)?.value).filter(Number.isFinite);
  const [best, worst] = metric.direction === "higher"
    ? [Math.max(...values), Math.min(...values)] : [Math.min(...values), Math.max(...values)];
  const logarithmic = Math.min(...values) > 0 && metric.family !== "quality";
  const [from, to] = logarithmic ? [Math.log(worst), Math.log(best)] : [worst, best];
  const back = logarithmic ? Math.exp : (x) => x;
  return {
    value: (step) => outward(back(from + ((to - from) * step) / STEPS), metric),
    step: (value) => Math.round((((logarithmic ? Math.log(value) : value) - from) / (to - from || 1)) * STEPS),
  };
}

// Rounded to three digits, away from the stricter side, so that the strictest bound keeps somebody.
function outward(value, metric) {
  if (value === 0) return 0;
  const unit = 10 ** (Math.floor(Math.log10(Math.abs(value))) - 2);
  const rounded = metric.direction === "higher" ? Math.floor(value / unit) : Math.ceil(value / unit);
  return Number((rounded * unit).toPrecision(3));
}

function limitText(metric, bound) {
  if (bound === null) return "any";
  return `${metric.direction === "higher" ? "≥" : "≤"} ${formatQuantity(bound, metric.unit)}`;
}

function activeLimits() {
  return LIMITS.filter((name) => state[name]).map((name) => ({ name, ...state[name] }));
}

// Why an item does not meet a limit; a number that is missing does not meet it.
function limitBroken(item) {
  for (const { metric, bound } of activeLimits()) {
    const told = METRICS.get(metric);
    const number = numberOf(item, metric);
    if (!number) return `${told.label} is missing`;
    const fits = told.direction === "higher" ? number.value >= bound : number.value <= bound;
    if (!fits) return `${told.label} is ${formatQuantity(number.value, told.unit)}, not ${limitText(told, bound)}`;
  }
  return "";
}

function switches() {
  const present = new Set(rows.flatMap((r) => r.marks));
  if (rows.some((r) => [...r.numbers.values()].some((n) => n.source === "model_estimate"))) present.add("estimated");
  const shown = Object.keys(packed.marks).filter((m) => present.has(m) && m !== "suspect" && m !== "unproven");
  const admit = (mark) => (event) => update({
    admit: event.target.checked ? [...state.admit, mark] : state.admit.filter((m) => m !== mark),
  });
  return [
    shown.length > 0 && el("span", { class: "quiet" }, "Also rank"),
    ...shown.map((mark) => toggle(mark, state.admit.includes(mark), admit(mark), `rank what is ${mark}, too: ${packed.marks[mark]}`)),
    el("span", { class: "quiet" }, "Leave out"),
    present.has("suspect") && toggle("suspect", state.strict, (e) => update({ strict: e.target.checked }), `rank nothing that is suspect: ${packed.marks.suspect}`),
    toggle("unranked", state.hide, (e) => update({ hide: e.target.checked }), "hide lines that have no rank by this metric"),
  ].filter(Boolean);
}

function toggle(label, checked, onchange, tip) {
  return el("label", { class: "switch", tip },
    el("input", { type: "checkbox", checked, onchange, "data-key": `switch ${label}` }), el("span", {}, label));
}
