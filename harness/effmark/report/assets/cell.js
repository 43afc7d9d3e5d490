// Everything about one cell: its numbers, its samples, what disturbed it, how to repeat it.

const WIDE = { width: 640, height: 190, left: 72, right: 12, top: 10, bottom: 34 };

function renderCell() {
  const dialog = byId("cell");
  const row = rowById.get(state.cell);
  if (!row) {
    if (dialog.open) dialog.close();
    return;
  }
  byId("cell-body").replaceChildren(...cellSections(row));
  if (!dialog.open) dialog.showModal();
  if (dialog.dataset.shown !== row.id) dialog.scrollTop = 0;
  dialog.dataset.shown = row.id;
}

function cellSections(row) {
  return [
    cellHead(row), siblings(row), verdict(row), row.cell?.proof && el("p", { class: "quiet" }, row.cell.proof), adviceList(row), repeat(row),
    row.cell?.series && seriesChart(row), row.cell?.series && spreadChart(row), row.cell?.tokens && tokensChart(row),
    powerChart(row), ...tracesCharts(row), row.cell?.items && itemsTable(row),
    numbersTable(row), missingTable(row), provenance(row),
  ].filter(Boolean);
}

function cellHead(row) {
  return el("header", {},
    el("h2", { id: "cell-title" }, row.model, " ", el("span", { class: "runtime" }, runtimeName(row))),
    el("p", { class: "quiet" }, [row.workload, row.device, count(row.threads, "thread"), row.machine, row.suite].join(" · ")),
    el("p", { class: "marks" }, row.marks.map((mark) => el("span", { class: `mark ${mark}` }, `${mark}: ${packed.marks[mark]}`))));
}

function siblings(row) {
  const key = configurationKey(row);
  const all = rows.filter((r) => configurationKey(r) === key);
  if (all.length < 2) return null;
  return el("nav", { class: "tabs", "aria-label": "cells of this configuration" }, all.map((r) =>
    el("button", { type: "button", "aria-current": r === row ? "true" : null, "data-key": `tab ${r.id}`, onclick: () => update({ cell: r.id }) },
      r.workload, r.outcome === "ok" ? null : ` (${r.outcome})`)));
}

function verdict(row) {
  const stop = row.cell?.stop;
  const rules = { precision: "the wanted precision was reached", budget: "the time budget was used up", count: "the number of blocks was reached" };
  const why = stop && rules[stop[0]] ? ` Measuring ended because ${rules[stop[0]]}` +
    `${stop[1] === null ? "" : ` (interval ±${formatPercent(stop[1])})`}; steady state: ${stop[2].replaceAll("_", " ")}.` : "";
  const outcome = row.outcome === "ok" ? "Measured." : `${row.outcome.replaceAll("_", " ")}: ${row.detail || "no details"}.`;
  return el("p", {}, el("b", {}, outcome), why);
}

function adviceList(row) {
  if (!row.advice.length) return null;
  return section("Advice", el("ul", { class: "advice" }, row.advice.map((a) =>
    el("li", { class: a.severity }, el("b", {}, `${a.severity}: `), a.message, ". ", el("span", { class: "quiet" }, `Remedy: ${a.remedy}.`)))));
}

function section(title, ...children) {
  return el("section", {}, el("h3", {}, title), children);
}

function numbersTable(row) {
  const told = packed.metrics.filter((m) => row.numbers.has(m.name));
  if (!told.length) return null;
  const methods = new Map(Object.entries(row.cell?.methods || {}).flatMap(([how, names]) => names.map((name) => [name, how])));
  return section("Numbers", el("div", { class: "scroll" }, el("table", { class: "plain numbers" },
    el("thead", {}, el("tr", {}, ["metric", "value", "95 % interval", "samples", "source"].map((h) => el("th", { scope: "col" }, h)))),
    el("tbody", {}, told.map((m) => numberLine(m, row.numbers.get(m.name), methods.get(m.name)))))));
}

function numberLine(metric, number, method) {
  const bounds = number.low === null ? "–" : `${formatQuantity(number.low, metric.unit)} – ${formatQuantity(number.high, metric.unit)}`;
  return el("tr", {},
    el("th", { scope: "row", tip: definition(metric) }, metric.label, " ", arrow(metric)),
    el("td", {}, formatNumber(number, metric.unit), " ", el("span", { class: "spread" }, formatSpread(number)),
      abovePeak(number, metric) && el("span", { class: "mark invalid" }, "above the peak")),
    el("td", {}, method ? el("span", { class: "how", tip: method, tabindex: 0 }, bounds) : bounds),
    el("td", {}, number.n.toLocaleString("en")), el("td", { class: "source" }, number.source.replaceAll("_", " ")));
}

function missingTable(row) {
  if (!row.missing.size) return null;
  const reasons = new Map();
  for (const [name, { reason, detail }] of row.missing) {
    const key = `${reason.replaceAll("_", " ")}: ${detail}`;
    reasons.set(key, [...(reasons.get(key) || []), METRICS.get(name)?.label || name]);
  }
  return section("Missing, and why", el("ul", {}, [...reasons].map(([why, names]) =>
    el("li", {}, el("b", {}, names.join(", ")), ` – ${why}`))));
}

function seriesChart(row) {
  const { metric, values, warmup, per_point: per, blocks } = row.cell.series;
  const told = METRICS.get(metric) || { label: metric, unit: "s", direction: "lower" };
  const x = scaleOf([0, Math.max(1, values.length - 1)], WIDE.left, WIDE.width - WIDE.right, false);
  const y = scaleOf(values, WIDE.height - WIDE.bottom, WIDE.top, false);
  const dots = values.map((v, i) => svg("circle", { cx: x(i), cy: y(v), r: 3, class: i < warmup ? "dot warm" : "dot" }));
  const number = row.numbers.get(metric);
  const [from, to] = [WIDE.left, WIDE.width - WIDE.right];
  const middle = number && [
    number.low !== null && svg("rect", { x: from, width: to - from, ...between(y(number.high), y(number.low), WIDE), class: "band" }),
    svg("line", { x1: from, x2: to, y1: y(number.value), y2: y(number.value), class: "middle" }),
  ];
  const axis = { label: "block", unit: "count", direction: "none", title: per > 1 ? `block, in order (each dot: median of ${per})` : "block, in order" };
  return section(`${told.label} of every block`,
    svg("svg", { viewBox: `0 0 ${WIDE.width} ${WIDE.height}`, role: "img", "aria-label": `${told.label} of ${blocks} blocks in order, ${warmup * per} of them warm-up` },
      axes(x, y, axis, told, WIDE), middle, dots),
    el("p", { class: "quiet" }, `${count(blocks, "block")}; hollow: warm-up, not counted. Line: the value that ranks; band: its 95 % interval.`));
}

// The part of a vertical range that lies in the frame.
function between(a, b, frame) {
  const [top, bottom] = [Math.min(a, b), Math.max(a, b)].map((v) => Math.min(Math.max(v, frame.top), frame.height - frame.bottom));
  return { y: top, height: Math.max(1, bottom - top) };
}

const RUG = 200; // more points than that make a solid line
const FEWEST_BINNED = 12;

// How often which value: a histogram where there are enough, and every value as a stroke below.
function spreadChart(row) {
  const { metric, values, warmup, per_point: per } = row.cell.series;
  const steady = values.slice(warmup);
  if (steady.length < 3) return null;
  const told = METRICS.get(metric) || { label: metric, unit: "s", direction: "lower" };
  const number = row.numbers.get(metric);
  const frame = { ...WIDE, height: 140, bottom: 40 };
  const x = scaleOf(steady, frame.left, frame.width - frame.right, false);
  const floor = frame.height - frame.bottom;
  const bins = steady.length >= FEWEST_BINNED ? histogram(steady) : [];
  const most = Math.max(1, ...bins.map((b) => b.n));
  const height = (n) => ((floor - 14 - frame.top) * n) / most;
  const inside = (v) => Math.min(Math.max(x(v), frame.left), frame.width - frame.right);
  return section("Distribution", svg("svg", { viewBox: `0 0 ${frame.width} ${frame.height}`, role: "img", "aria-label": `distribution of ${steady.length} values of ${told.label} from ${formatQuantity(Math.min(...steady), told.unit)} to ${formatQuantity(Math.max(...steady), told.unit)}` },
    number?.low != null && svg("rect", { x: inside(number.low), width: Math.max(1, inside(number.high) - inside(number.low)), y: frame.top, height: floor - frame.top, class: "band" }),
    bins.map((b) => svg("rect", { x: x(b.from) + 0.5, width: Math.max(1, x(b.to) - x(b.from) - 1), y: floor - 14 - height(b.n), height: height(b.n), class: "bar" })),
    steady.slice(0, RUG).map((v) => svg("line", { x1: x(v), x2: x(v), y1: floor - 11, y2: floor - 2, class: "rug" })),
    number && svg("line", { x1: inside(number.value), x2: inside(number.value), y1: frame.top, y2: floor, class: "middle" }),
    ticks(x).map((t) => svg("text", { x: x(t), y: floor + 14, "text-anchor": "middle" }, tickText(t, told.unit))),
    svg("text", { x: (frame.left + frame.width - frame.right) / 2, y: frame.height - 6, "text-anchor": "middle", class: "title" }, `${told.label} ${arrow(told)}`)),
    el("p", { class: "quiet" }, `Strokes: ${per > 1 ? `medians of ${per} blocks` : "every block"}. Dashed: the value that ranks; band: its 95 % interval.`));
}

function histogram(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const n = Math.max(5, Math.min(20, Math.ceil(Math.sqrt(values.length)) + 2));
  const width = (high - low || Math.abs(low) * 0.01 || 1) / n;
  const bins = Array.from({ length: n }, (_, i) => ({ from: low + i * width, to: low + (i + 1) * width, n: 0 }));
  for (const value of values) bins[Math.min(n - 1, Math.floor((value - low) / width))].n++;
  return bins;
}

function tokensChart(row) {
  const { first, step, mid, low, high } = row.cell.tokens;
  const at = (i) => 2 + i * step + (step - 1) / 2;
  const x = scaleOf([1, at(mid.length - 1)], WIDE.left, WIDE.width - WIDE.right, false);
  const y = scaleOf([...low, ...high, first], WIDE.height - WIDE.bottom, WIDE.top, first > 4 * Math.max(...high));
  const path = (values) => values.map((v, i) => `${x(at(i))} ${y(v)}`);
  const band = `M${[...path(high), ...path(low).reverse()].join("L")}Z`;
  const seconds = { label: "gap", unit: "s", direction: "lower", title: "gap before the token ↓" };
  return section("TTFT and gaps along the sequence",
    svg("svg", { viewBox: `0 0 ${WIDE.width} ${WIDE.height}`, role: "img", "aria-label": `time to first token ${formatQuantity(first, "s")}, then gaps of ${formatQuantity(mid[0], "s")} at the start and ${formatQuantity(mid.at(-1), "s")} at the end` },
      axes(x, y, { label: "token", unit: "count", direction: "none", title: "token of the output" }, seconds, WIDE),
      svg("path", { d: band, class: "band" }), svg("path", { d: `M${path(mid).join("L")}`, class: "curve" }),
      shape("diamond", 4, { class: "point c0", transform: `translate(${x(1)} ${y(first)})` })),
    el("p", { class: "quiet" }, "Diamond: time to the first token. Line: median gap; band: the middle 80 %."));
}

const TRACES = {
  memory_b: ["Memory over time", "B", "resident memory"],
  device_memory_b: ["Device memory over time", "B", "memory of the accelerator"],
  clock_hz: ["Clock over time", "Hz", "clock"],
  temperature_c: ["Temperature over time", "°C", "temperature"],
};

// Power as it was read, and the windows that energy is computed from.
function powerChart(row) {
  const power = row.cell?.power;
  const windows = power?.windows ?? [];
  const traces = (row.cell?.traces ?? []).filter((t) => t.quantity === "power_w" && t.values.some((v) => v !== null));
  if (!windows.length && !traces.length) return null;
  const estimated = power?.source === "model_estimate";
  const ends = [...windows.flatMap(([a, b]) => [a, b]), ...traces.flatMap(traceSpan)];
  const watts = [...windows.map((w) => w[2]), ...traces.flatMap((t) => t.values.filter((v) => v !== null))];
  const x = scaleOf(ends, WIDE.left, WIDE.width - WIDE.right, false);
  const y = scaleOf([0, ...watts], WIDE.height - WIDE.bottom, WIDE.top, false);
  const steps = windows.map(([a, b, w]) => svg("line", { x1: x(a), x2: Math.max(x(b), x(a) + 1.5), y1: y(w), y2: y(w), class: estimated ? "step estimated" : "step" }));
  const about = power ? `Bars: the windows that J/token comes from (${power.probe}, scope ${power.scope}, ${power.source.replaceAll("_", " ")}; ${power.shown}).` : "";
  return section(`Power over time${estimated ? " (estimated)" : ""}`,
    svg("svg", { viewBox: `0 0 ${WIDE.width} ${WIDE.height}`, role: "img", "aria-label": `power over time: ${[windows.length && count(windows.length, "window"), ...traces.map(traceText)].filter(Boolean).join("; ")}` },
      axes(x, y, TIME, { label: "power", unit: "W", direction: "lower" }, WIDE), traces.map((t) => tracePath(t, x, y)), steps),
    el("p", { class: "quiet" }, [about, ...traces.map(traceText)].filter(Boolean).join(" ")));
}

const TIME = { label: "time", unit: "s", direction: "none", title: "time since the first block" };

function tracesCharts(row) {
  const known = (row.cell?.traces ?? []).filter((t) => TRACES[t.quantity] && t.values.some((v) => v !== null));
  return known.map((trace) => {
    const [title, unit, label] = TRACES[trace.quantity];
    const x = scaleOf(traceSpan(trace), WIDE.left, WIDE.width - WIDE.right, false);
    const y = scaleOf([...(unit === "B" ? [0] : []), ...trace.values.filter((v) => v !== null)], WIDE.height - WIDE.bottom, WIDE.top, false);
    return section(title,
      svg("svg", { viewBox: `0 0 ${WIDE.width} ${WIDE.height}`, role: "img", "aria-label": `${label}: ${traceText(trace)}` },
        axes(x, y, TIME, { label, unit, direction: "none", title: label }, WIDE), tracePath(trace, x, y)),
      el("p", { class: "quiet" }, traceText(trace)));
  });
}

function traceSpan(trace) {
  return [trace.start, trace.start + trace.slot * trace.values.length];
}

function traceText({ source, slot, period, keeps }) {
  return `Line: ${source}, read every ${formatQuantity(period, "s")}, ${keeps === "max" ? "largest" : "mean"} of ${formatQuantity(slot, "s")} each.`;
}

// A line of steps that breaks where nothing was read.
function tracePath({ start, slot, values }, x, y) {
  const path = values.map((value, i) => {
    if (value === null) return "";
    const joined = i > 0 && values[i - 1] !== null;
    return `${joined ? "L" : "M"}${x(start + slot * i)} ${y(value)}H${x(start + slot * (i + 1))}`;
  });
  return svg("path", { d: path.join(""), class: "curve" });
}

function itemsTable(row) {
  return section("Accuracy by task", el("table", { class: "plain" }, el("tbody", {}, row.cell.items.map(([name, share, n]) =>
    el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, digits(share)), el("td", { class: "quiet" }, count(n, "item")))))));
}

const ID_DIGITS = 12;

// How to measure this cell again: alone from its record, or with the run that it came from.
function repeat(row) {
  const command = row.cell?.command;
  if (!command) return null;
  const only = `--model ${quoted(row.model)} --only ${quoted(`${row.adapter}/${row.precision}`)}`;
  const narrower = command.startsWith("effmark run") && !command.includes("--only");
  return section("Repeat it",
    !row.marks.includes("foreign") && commandLine("This cell again, and how it compares", `effmark rerun ${row.cell.records.at(-1).slice(0, ID_DIGITS)}`),
    narrower && commandLine("This configuration", `${command} ${only}`),
    commandLine(narrower ? "The whole run" : "The command that made it", command));
}

function commandLine(about, command) {
  const said = el("span", { class: "quiet", role: "status" });
  const code = el("code", {}, command);
  const copy = async () => {
    const done = await copied(command);
    if (!done) getSelection().selectAllChildren(code);
    said.textContent = done ? " copied" : " selected: press Ctrl+C";
  };
  return el("div", { class: "command" }, el("span", { class: "quiet" }, about, said), el("button", { type: "button", onclick: copy, "aria-label": `copy: ${about}` }, "copy"), code);
}

// One word for a shell, whatever is in it.
function quoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
}

function provenance(row) {
  const cell = row.cell;
  if (!cell) return section("Provenance", el("p", { class: "quiet" }, "Left out to keep this page small; `effmark show` has it."));
  const { facts, notes, command, series, tokens, power, traces, methods, items, stop, ...rest } = cell;
  const environment = row.environment || {};
  return section("Provenance",
    factList("Record", { ...rest, records: cell.records.join(", "), elapsed: cell.elapsed === null ? null : `${digits(cell.elapsed)} s`, ...notes }),
    factList("Model as loaded", facts), factList("Machine and software", environment));
}

function factList(title, body) {
  const lines = flatFacts(body);
  return lines.length === 0 ? null : el("details", {}, el("summary", {}, title),
    el("dl", {}, lines.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])));
}

function flatFacts(body, prefix = "") {
  return Object.entries(body || {}).flatMap(([name, value]) => {
    if (value === null || value === undefined || value === "") return [];
    if (typeof value === "object" && !Array.isArray(value)) return flatFacts(value, `${prefix}${name} `);
    return [[`${prefix}${name}`.replaceAll("_", " "), Array.isArray(value) ? value.join(", ") : String(value)]];
  });
}
