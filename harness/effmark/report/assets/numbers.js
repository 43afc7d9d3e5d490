// Quantities as text, by the rules of effmark.units: three digits, a prefix, the unit.

const Z = 1.959963984540054; // half-width of a 95 % interval in standard errors
const DECIMAL = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]];
const SMALL = [[1, ""], [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"]];
const DENOMINATORS = ["token", "request", "image", "call", "step"];
const PREFIXED = new Set(["s", "J", "W", "Hz", "J·s/token", "FLOP", "FLOP/s", ...DENOMINATORS.flatMap((d) => [`J/${d}`, `g/${d}`])]);
const BARE = new Set(["count", "FLOP/token", "instruction/token"]);

function formatQuantity(value, unit) {
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "-∞";
  if (unit === "B") return prefixed(value, "B", DECIMAL);
  if (PREFIXED.has(unit)) return prefixed(value, unit, Math.abs(value) >= 1 ? DECIMAL : SMALL);
  if (unit.startsWith("USD/") && DENOMINATORS.includes(unit.slice(4))) return `${digits(value * 1e6)} USD/M ${unit.slice(4)}`; // as prices of tokens are told
  if (unit === "ratio" || unit === "") return digits(value);
  if (BARE.has(unit)) return prefixed(value, "", DECIMAL);
  return `${digits(value)} ${unit}`;
}

function prefixed(value, unit, steps) {
  const [scale, prefix] = steps.find(([s]) => Math.abs(value) >= s * 0.9995) || steps.at(-1);
  return `${digits(value / scale)} ${prefix}${unit}`.trimEnd();
}

function digits(value) {
  if (value === 0) return "0";
  const magnitude = Number(value.toExponential(2).split("e")[1]); // of the rounded value: 99.97 is 100
  if (magnitude < -4) return value.toExponential(2).replace(/e([+-])(\d)$/, "e$10$2");
  return value.toFixed(Math.max(0, 2 - magnitude));
}

function formatPercent(share) {
  const percent = 100 * share;
  return percent >= 1 ? `${percent.toFixed(0)} %` : `${Number(percent.toPrecision(1))} %`;
}

function relativeHalf(number) {
  if (number.low === null || number.high === null || number.value === 0) return null;
  return (number.high - number.low) / 2 / Math.abs(number.value);
}

function formatNumber(number, unit) {
  const mark = number.source === "model_estimate" ? "~" : "";
  return mark + formatQuantity(number.value, unit);
}

function formatSpread(number) {
  const half = relativeHalf(number);
  return half === null ? "" : `±${formatPercent(half)}`;
}
