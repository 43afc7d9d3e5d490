// The table: ranked lines first, then the others with the reason why they have no rank.

const COSTS_SHOWN = ["device_usd_per_output_token", "electricity_usd_per_output_token", "cost_of_pass_usd", "cost_of_pass_j"];
const COLUMN_GROUPS = [
  ["speed", ["tpot_s", "latency_s", "ttft_s", "output_token_throughput", "image_throughput", "speedup"]],
  ["energy and memory", ["energy_j_per_output_token", "energy_j_per_image", "energy_j_per_call", "peak_memory_b", "device_memory_b", "effective_bits"]],
  ["quality", ["accuracy", "bits_per_byte", "kl_divergence", "pass_at_1", "pass_at_10", "eff_at_1", "eff_at_10", "dps", "majority_accuracy"]],
  ["quality for its cost", ["information_capacity", "accuracy_per_j", "eff_at_1_per_j", ...COSTS.filter((m) => COSTS_SHOWN.includes(m))]],
];
const USUAL_COLUMNS = COLUMN_GROUPS.flatMap(([, names]) => names);
const FAMILY_GROUPS = { cost: "speed", energy: "energy and memory", size: "energy and memory", quality: "quality", joined: "quality for its cost" };
const LINES_SHOWN = 100;
const LINES_SHOWN_NARROW = 20;
const TALL = 30; // lines from which the table scrolls by itself, under its heading
let linesShown = innerWidth <= 700 ? LINES_SHOWN_NARROW : LINES_SHOWN;

function allItems() {
  const scoped = scopedRows();
  return state.view === "cells" ? scoped.map(cellItem) : configurations(scoped, state.workload);
}

function standings() {
  const items = allItems();
  const within = items.filter((item) => !limitBroken(item));
  const places = rankItems(within, state.by);
  for (const item of items) {
    if (!places.has(item)) places.set(item, { reason: exclusion(item, state.by) || "over the limit", detail: limitBroken(item) });
  }
  return { items: sorted(items, places), places };
}

function sorted(items, places) {
  const sign = (METRICS.get(state.by)?.direction === "higher" ? -1 : 1) * (state.flip ? -1 : 1);
  const ranked = (item) => places.get(item).low !== undefined;
  const value = (item) => numberOf(item, state.by)?.value;
  return [...items].sort((a, b) => {
    if (ranked(a) !== ranked(b)) return ranked(a) ? -1 : 1;
    if (ranked(a) && places.get(a).group !== places.get(b).group) return places.get(a).group - places.get(b).group;
    const [x, y] = [value(a), value(b)];
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined) || fullName(a).localeCompare(fullName(b));
    return x === y ? fullName(a).localeCompare(fullName(b)) : sign * (x - y);
  });
}

// The ranked metric first, the others in their groups.
function columns(items) {
  const present = packed.metrics.filter((m) => items.some((i) => numberOf(i, m.name))).map((m) => m.name);
  const wanted = new Set(state.columns.length ? state.columns : USUAL_COLUMNS);
  const order = COLUMN_GROUPS.map(([group]) => group);
  const known = distinct([...USUAL_COLUMNS, ...packed.metrics.map((m) => m.name)]).filter((m) => present.includes(m) && wanted.has(m) && m !== state.by);
  known.sort((a, b) => order.indexOf(columnGroup(a)) - order.indexOf(columnGroup(b)));
  return [...(present.includes(state.by) ? [state.by] : []), ...known].map((m) => METRICS.get(m));
}

function columnGroup(name) {
  return COLUMN_GROUPS.find(([, names]) => names.includes(name))?.[0] ?? FAMILY_GROUPS[METRICS.get(name).family];
}

function renderTable({ items, places }) {
  const shown = state.hide ? items.filter((i) => places.get(i).low !== undefined) : items;
  const chosen = columns(items);
  const axis = intervalAxis(shown.filter((i) => places.get(i).low !== undefined));
  const isRanked = (item) => places.get(item).low !== undefined;
  const common = [commonMarks(shown.filter(isRanked)), commonMarks(shown.filter((i) => !isRanked(i)))];
  const page = shown.slice(0, linesShown);
  byId("head").replaceChildren(groupRow(chosen, axis), headRow(chosen, axis));
  byId("body").replaceChildren(...lines(page, places, chosen, axis, common));
  byId("table").classList.toggle("tall", page.length > TALL);
  const more = shown.length - linesShown;
  byId("more").replaceChildren(...(more > 0 ? [el("button", { type: "button", onclick: showMore, "data-key": "more" }, `show ${Math.min(more, LINES_SHOWN)} more of ${count(more, "line")}`)] : []));
  byId("empty").hidden = shown.length > 0;
  byId("empty").textContent = rows.length ? "No line fits these filters." : "There are no records yet: run `effmark run` first.";
  byId("common").replaceChildren(...(common[0].length ? ["All ranked lines:", ...common[0].map(markOf)] : []));
  renderColumnMenu(items);
}

// A mark that every line carries is said once, above the table.
function commonMarks(items) {
  return items.length < 2 ? [] : Object.keys(packed.marks).filter((mark) => items.every((i) => i.marks.includes(mark)));
}

function markOf(mark) {
  return el("span", { class: `mark ${mark}`, tip: packed.marks[mark], tabindex: 0 }, mark);
}

// Groups that do not compare stand one below the other, each with its own first place.
function lines(shown, places, chosen, axis, common) {
  const several = shown.some((item) => places.get(item).group > 0);
  const width = chosen.length + (axis ? 4 : 3);
  const unranked = shown.filter((item) => places.get(item).low === undefined).length;
  const nothing = el("span", { class: "marks" }, `${count(unranked, "line")} not ranked by ${METRICS.get(state.by)?.label ?? "anything"}`,
    common[1].length > 0 && [", all of them", common[1].map(markOf)]);
  let previous;
  return shown.flatMap((item) => {
    const key = places.get(item).key ?? "";
    const wanted = key === "" || several;
    const heading = wanted && key !== previous && el("tr", { class: "group" },
      el("th", { colspan: width, scope: "rowgroup" }, key ? groupName(key) : nothing));
    previous = key;
    return [heading, line(item, places.get(item), chosen, axis, common[key ? 0 : 1])].filter(Boolean);
  });
}

function groupName(key) {
  return JSON.parse(key).filter(Boolean).join(" · ");
}

function showMore() {
  linesShown += LINES_SHOWN;
  render();
}

function groupRow(chosen, axis) {
  const spans = [];
  for (const [at, metric] of chosen.entries()) {
    const name = at === 0 && metric.name === state.by ? "ranked by" : columnGroup(metric.name);
    if (spans.at(-1)?.name === name) spans.at(-1).width++;
    else spans.push({ name, width: 1 });
  }
  return el("tr", { class: "spans" }, el("td", { colspan: axis ? 4 : 3 }),
    spans.map(({ name, width }) => el("th", { colspan: width, scope: "colgroup" }, el("span", {}, name))));
}

function headRow(chosen, axis) {
  const metric = METRICS.get(state.by);
  return el("tr", {},
    el("th", { scope: "col", class: "pick" }, el("span", { class: "unseen" }, "compare")),
    el("th", { scope: "col", class: "rank", tip: "Lines share a rank unless their difference is clear: 95 % confidence that every order shown is right. 2–4: could hold places 2 to 4.", tabindex: 0 }, "rank"),
    el("th", { scope: "col", class: "name" }, state.view === "cells" ? "cell" : "configuration"),
    axis && el("th", { scope: "col", class: "interval" }, `${metric.label} with 95 % interval`),
    chosen.map(headCell));
}

function headCell(metric) {
  const mine = metric.name === state.by;
  const descending = (metric.direction === "higher") !== state.flip;
  const order = mine ? (descending ? "descending" : "ascending") : "none";
  const click = () => update(mine ? { flip: !state.flip } : { by: metric.name, flip: false });
  return el("th", { scope: "col", "aria-sort": order, class: "number" },
    el("button", { type: "button", onclick: click, "data-key": `sort ${metric.name}`, "data-metric": metric.name, tip: definition(metric) },
      metric.label, " ", el("span", { class: "arrow" }, arrow(metric))));
}

function definition(metric) {
  const way = { lower: "Lower is better.", higher: "Higher is better.", none: "" }[metric.direction];
  const unit = metric.unit === "ratio" ? "" : ` In ${metric.unit}.`;
  return `${metric.definition[0].toUpperCase()}${metric.definition.slice(1)}.${unit} ${way}`.trim();
}

function line(item, place, chosen, axis, common) {
  const ranked = place.low !== undefined;
  return el("tr", { class: ranked ? (place.low === 1 ? "ranked first" : "ranked") : "unranked", "data-id": item.id },
    el("td", { class: "pick" }, el("input", {
      type: "checkbox", checked: state.compare.includes(item.id), "aria-label": `compare ${fullName(item)}`,
      "data-key": `compare ${item.id}`, onchange: () => pick(item.id),
    })),
    el("td", { class: "rank" }, rankText(place)),
    el("th", { scope: "row", class: "name" }, nameCell(item, common)),
    axis && el("td", { class: "interval" }, ranked && intervalMark(numberOf(item, state.by), axis)),
    chosen.map((metric) => valueCell(item, metric)));
}

function rankText(place) {
  if (place.low === undefined) {
    return el("span", { class: "reason", tip: place.detail || packed.marks[place.reason] || `no rank: ${place.reason}` }, place.reason.replaceAll("_", " "));
  }
  const span = place.low === place.high ? "" : `–${place.high}`;
  const tip = place.certain
    ? `rank ${place.low}; could hold places ${place.low} to ${place.high} of ${place.of}`
    : `rank ${place.low} of ${place.of} by value alone: one sample has no error of its own`;
  return el("span", { tip, tabindex: -1 }, el("b", {}, place.low), el("span", { class: "span" }, span), !place.certain && el("span", { class: "span" }, " ?"));
}

function nameCell(item, common) {
  const workload = state.view === "cells" ? ` · ${item.workload}` : "";
  const open = () => update({ cell: item.row.id });
  return el("div", { class: "named" },
    el("button", { type: "button", class: "open", onclick: open, "data-key": `open ${item.id}` },
      modelName(item.model), el("span", { class: "runtime" }, runtimeName(item) + workload)),
    el("span", { class: "marks" }, item.marks.filter((mark) => !common.includes(mark)).map((mark) => el("span", { class: `mark ${mark}`, tip: packed.marks[mark] }, mark)),
      item.row.base && el("span", { class: "mark base", tip: "what the suite compares with" }, "baseline")));
}

// A long name keeps its end, which tells it from its neighbours.
const LONG = 34;
const END = 12;

function modelName(name) {
  if (name.length <= LONG) return el("span", { class: "model" }, name);
  return el("span", { class: "model long", tip: name }, el("span", {}, name.slice(0, -END)), el("span", {}, name.slice(-END)));
}

function valueCell(item, metric) {
  const row = sourceRow(item, metric.name);
  const attributes = { class: metric.name === state.by ? "number by" : "number", "data-label": metric.label };
  const number = row?.numbers.get(metric.name);
  if (number) {
    const estimated = number.source === "model_estimate";
    return el("td", { ...attributes, tip: numberTip(number, metric) },
      el("span", { class: estimated ? "value estimated" : "value" }, cellText(number, metric)), " ",
      el("span", { class: "spread" }, formatSpread(number)));
  }
  const absent = row?.missing.get(metric.name);
  if (absent) return el("td", { ...attributes, tip: `${absent.reason.replaceAll("_", " ")}: ${absent.detail}` }, el("span", { class: "absent" }, "missing"));
  const failed = row || item.cost;
  if (failed && failed.outcome !== "ok" && !isShared(metric.name)) {
    return el("td", { ...attributes, tip: failed.detail || failed.outcome }, el("span", { class: "absent" }, failed.outcome.replaceAll("_", " ")));
  }
  return el("td", { ...attributes, class: `${attributes.class} blank` });
}

// The heading says what a number is per; the cell does not repeat it.
function cellText(number, metric) {
  return formatNumber(number, metric.unit).replace(/ (token\/s|image\/s|bit|bit\/B|nat|1\/J|USD|USD\/M token)$/, "").replace(/\/(token|image|request|call|step)$/, "");
}

function abovePeak(number, metric) {
  return ["mbu", "mfu"].includes(metric.name) && number.value > 1;
}

function numberTip(number, metric) {
  const bounds = number.low === null ? "no interval" : `95 % interval ${formatQuantity(number.low, metric.unit)} to ${formatQuantity(number.high, metric.unit)}`;
  const source = number.source === "model_estimate" ? "estimated by a model, not measured" : `source: ${number.source}`;
  const flag = abovePeak(number, metric) ? "; above the measured peak, which was too low, or the weights stayed in a cache" : "";
  return `${formatQuantity(number.value, metric.unit)}, ${bounds}, ${count(number.n, "sample")}, ${source}${flag}`;
}

// The interval of the ranked metric, all lines on one axis.

function intervalAxis(items) {
  const numbers = items.map((i) => numberOf(i, state.by)).filter((n) => Number.isFinite(n.value));
  if (numbers.length < 2) return null;
  const ends = numbers.flatMap((n) => [n.value, n.low ?? n.value, n.high ?? n.value]).filter(Number.isFinite);
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  if (low === high) return null;
  const logarithmic = low > 0 && high / low > 3;
  const scale = logarithmic ? Math.log : (x) => x;
  return (value) => 4 + (112 * (scale(value) - scale(low))) / (scale(high) - scale(low));
}

function intervalMark(number, axis) {
  if (!Number.isFinite(number.value)) return null;
  const [low, high] = [number.low ?? number.value, number.high ?? number.value].map(axis);
  return svg("svg", { viewBox: "0 0 120 14", class: "whisker", "aria-hidden": "true" },
    svg("line", { x1: 0, x2: 120, y1: 7, y2: 7, class: "rail" }),
    svg("line", { x1: low, x2: high, y1: 7, y2: 7, class: "range" }),
    svg("circle", { cx: axis(number.value), cy: 7, r: 3.2, class: "dot" }));
}

function renderColumnMenu(items) {
  const present = packed.metrics.filter((m) => items.some((i) => numberOf(i, m.name)));
  const chosen = columns(items).map((m) => m.name);
  const toggleColumn = (name) => (event) => update({ columns: event.target.checked ? [...chosen, name] : chosen.filter((c) => c !== name) });
  byId("columns").replaceChildren(...present.map((m) => el("label", {},
    el("input", { type: "checkbox", checked: chosen.includes(m.name), "data-key": `column ${m.name}`, onchange: toggleColumn(m.name) }),
    el("span", { tip: definition(m) }, m.label))));
}
