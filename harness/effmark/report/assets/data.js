// The data of the page: rows as objects, and rows joined to configurations.

const packed = await unpack(byId("data").textContent);
const METRICS = new Map(packed.metrics.map((m) => [m.name, m]));
const COST_KINDS = ["decode", "infer", "prefill"];
const rows = packed.rows.map(unpackRow);
const rowById = new Map(rows.map((row) => [row.id, row]));

// The data are deflated JSON in base64; nothing is fetched to read them.
async function unpack(encoded) {
  if (typeof DecompressionStream === "undefined") {
    byId("answer").textContent = "This browser is too old for this page (before 2023). The same numbers: effmark leaderboard --format md.";
  }
  const bytes = Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).json();
}

function text(index) {
  return index === undefined || index === null ? "" : packed.texts[index];
}

function unpackRow(body) {
  const row = { ...body };
  for (const name of ["suite", "machine", "model", "adapter", "precision", "options", "device", "workload", "detail"]) {
    row[name] = text(body[name]);
  }
  row.load = row.workload;
  row.environment = body.environment === undefined ? null : packed.environments[body.environment];
  row.advice = (body.advice || []).map(([severity, ...rest]) => {
    const [code, message, remedy] = rest.map(text);
    return { severity, code, message, remedy };
  });
  row.numbers = new Map(Object.entries(body.numbers).map(([name, value]) => [name, unpackNumber(value)]));
  row.missing = new Map(
    Object.entries(body.missing).map(([name, [reason, detail]]) => [name, { reason, detail: text(detail) }]),
  );
  for (const [name, draws] of Object.entries(body.draws || {})) unpackDraws(row.numbers.get(name), draws);
  return row;
}

function unpackNumber([value, low, high, n, source, error]) {
  const number = { value: finite(value), low: finite(low), high: finite(high), n, source, error: error ?? null };
  if (number.low !== null && number.high !== null && Number.isFinite(number.high - number.low)) {
    number.error = (number.high - number.low) / (2 * Z);
  }
  return number;
}

function finite(value) {
  return typeof value === "string" ? (value === "inf" ? Infinity : -Infinity) : value;
}

function unpackDraws(number, [items, low, high, encoded]) {
  if (!number) return;
  const bytes = Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0));
  number.items = items;
  number.draws = Float64Array.from({ length: bytes.length / 2 }, (_, i) =>
    low + ((high - low) * (bytes[2 * i] + 256 * bytes[2 * i + 1])) / 65535);
}

// An item is what the table shows a line of: a configuration, or one cell.

function cellItem(row) {
  return { id: row.id, row, cost: row, quality: [], rows: [row], marks: row.marks, ...identity(row) };
}

function identity(row) {
  const { suite, machine, model, adapter, precision, options, device, workload } = row;
  return { suite, machine, model, adapter, precision, options, device, workload };
}

function configurationKey(row) {
  return JSON.stringify([row.suite, row.machine, row.model, row.model_id, row.adapter, row.precision, row.options, row.device]);
}

function configurations(chosenRows, workload) {
  const groups = new Map();
  for (const row of chosenRows) {
    const key = configurationKey(row);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(row);
  }
  return [...groups.values()].map((members) => configurationItem(members, workload));
}

function configurationItem(members, workload) {
  const cost = bestAttempt(members.filter((r) => r.workload === workload));
  const labels = distinct(members.filter((r) => !COST_KINDS.includes(r.kind)).map((r) => r.workload));
  const quality = labels.map((label) => bestAttempt(members.filter((r) => r.workload === label)));
  const chosen = [state.text, state.tasks].filter(Boolean);
  quality.sort((a, b) => chosen.includes(b.workload) - chosen.includes(a.workload));
  const row = cost || quality[0] || members[0];
  const marks = Object.keys(packed.marks).filter((m) => [cost, ...quality].some((r) => r?.marks.includes(m)));
  return { ...identity(row), id: row.id, row, cost, quality, rows: members, marks };
}

// The last row that has numbers, else the last: suites that changed leave several.
function bestAttempt(attempts) {
  return attempts.findLast((r) => r.outcome === "ok") || attempts.at(-1) || null;
}

// The row that a metric of an item comes from: cost from the chosen workload only.
function sourceRow(item, name) {
  const has = (row) => row && (row.numbers.has(name) || row.missing.has(name));
  if (has(item.cost)) return item.cost;
  return isShared(name) ? item.quality.find(has) || item.rows.find(has) || null : null;
}

// Facts of the model process and its quality stand beside the cost of any workload.
function isShared(name) {
  return Boolean(METRICS.get(name)?.shared);
}

function numberOf(item, name) {
  return sourceRow(item, name)?.numbers.get(name) || null;
}

function runtimeName(item) {
  const where = item.device === "cpu" ? "" : `on ${item.device}`;
  return [item.adapter, item.precision, item.options, where].filter(Boolean).join(" ");
}

function fullName(item) {
  return `${item.model} · ${runtimeName(item)}`;
}

function distinct(values) {
  return [...new Set(values)];
}

function mostCommon(values) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) || 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0] ?? "";
}

function mainWorkload(candidates) {
  for (const kind of COST_KINDS) {
    const labels = candidates.filter((r) => r.kind === kind && r.outcome === "ok").map((r) => r.workload);
    if (labels.length) return mostCommon(labels);
  }
  return "";
}
