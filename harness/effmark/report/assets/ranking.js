// Who takes part, who is clearly better, who is on the front: as effmark.ranking computes it.

const CONFIDENCE = 0.95;
const DRAWS = 200;
const BARRED = {
  cost: ["invalid", "foreign", "emulated"],
  energy: ["invalid", "foreign", "emulated"],
  joined: ["invalid", "foreign", "emulated", "random", "dequantised"],
  quality: ["invalid", "foreign", "random", "dequantised"],
  size: ["invalid", "foreign"],
};

// Why an item has no rank by a metric; an empty text where it has one.
function exclusion(item, name) {
  const row = sourceRow(item, name);
  if (!row) return item.cost && item.cost.outcome !== "ok" ? item.cost.outcome : "not measured";
  if (row.outcome !== "ok") return row.outcome;
  const number = row.numbers.get(name);
  if (!number) return row.missing.get(name).reason.replaceAll("_", " ");
  if (number.source === "model_estimate" && !state.admit.includes("estimated")) return "estimated";
  const barred = BARRED[METRICS.get(name).family];
  const mark = row.marks.find((m) => barred.includes(m) && !state.admit.includes(m));
  return mark || (state.strict && row.marks.includes("suspect") ? "suspect" : "");
}

// What must agree for two numbers to compare: the page never ranks one group against another.
function comparableWith(item, name) {
  const metric = METRICS.get(name);
  const parts = [item.suite];
  if (!metric.process) parts.push(sourceRow(item, name).workload);
  if (metric.machine) parts.push(item.machine);
  if (name === "perplexity") parts.push(item.model);
  return JSON.stringify(parts);
}

function rankItems(items, name) {
  const places = new Map();
  const groups = new Map();
  for (const item of items) {
    const reason = exclusion(item, name);
    if (reason) places.set(item, { reason });
    else {
      const key = comparableWith(item, name);
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(item);
    }
  }
  const largestFirst = [...groups].sort((a, b) => b[1].length - a[1].length);
  largestFirst.forEach(([key, members], group) => {
    const numbers = members.map((item) => numberOf(item, name));
    ranks(numbers, METRICS.get(name).direction).forEach((rank, i) => places.set(members[i], { ...rank, group, key }));
  });
  return places;
}

// Rank intervals that all hold together: Bonferroni over pairs, paired where items are shared.
function ranks(numbers, direction) {
  const n = numbers.length;
  const better = new Array(n).fill(0);
  const worse = new Array(n).fill(0);
  const critical = n > 1 ? normalQuantile(1 - (1 - CONFIDENCE) / (n * (n - 1))) : 0;
  const sign = direction === "higher" ? 1 : -1;
  const values = Float64Array.from(numbers, (number) => sign * number.value);
  const squares = Float64Array.from(numbers, (number) => (critical * (number.error ?? 0)) ** 2);
  for (let i = 0; i < n; i++) {
    for (let j = i + 1; j < n; j++) {
      if (values[i] === values[j]) continue;
      const lead = values[i] - values[j];
      const clear = arePaired(numbers[i], numbers[j])
        ? Math.abs(lead) > critical * spreadOfDifference(numbers[i].draws, numbers[j].draws)
        : lead * lead > squares[i] + squares[j];
      if (!clear) continue;
      better[lead > 0 ? j : i]++;
      worse[lead > 0 ? i : j]++;
    }
  }
  return numbers.map((number, i) => ({ low: 1 + better[i], high: n - worse[i], of: n, certain: number.error !== null }));
}

function arePaired(a, b) {
  return a.draws !== undefined && b.draws !== undefined && a.items === b.items;
}

function errorOfDifference(a, b) {
  if (arePaired(a, b)) return spreadOfDifference(a.draws, b.draws);
  return Math.hypot(a.error ?? 0, b.error ?? 0);
}

function spreadOfDifference(a, b) {
  let sum = 0;
  let squares = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] - b[i];
  const mean = sum / a.length;
  for (let i = 0; i < a.length; i++) squares += (a[i] - b[i] - mean) ** 2;
  return Math.sqrt(squares / a.length);
}

// The share of possible worlds in which no other point is at least as good in both.
function frontProbability(points, directions) {
  const signs = directions.map((direction) => (direction === "higher" ? 1 : -1));
  const hopeful = hopefulPoints(points.map((pair) => pair.map((number, axis) => reach(number, signs[axis]))));
  const worlds = hopeful.map((p) => points[p].map((number, axis) => possibleValues(number, 7919 * p + axis + 1, signs[axis])));
  const hits = new Array(points.length).fill(0);
  for (let draw = 0; draw < DRAWS; draw++) {
    for (const index of front(worlds.map(([x, y]) => [x[draw], y[draw]]))) hits[hopeful[index]]++;
  }
  return hits.map((hit) => hit / DRAWS);
}

// How bad and how good a number may turn out, larger being better.
const FARTHEST = 5; // standard errors: no draw of a page goes beyond

function reach(number, sign) {
  if (number.draws) return [Math.min(...number.draws.map((d) => sign * d)), Math.max(...number.draws.map((d) => sign * d))];
  const half = FARTHEST * (number.error ?? 0);
  return [sign * number.value - half, sign * number.value + half];
}

// Points that some world may have on its front: at their best, nothing at its worst beats them.
function hopefulPoints(reaches) {
  const worst = reaches.map(([x, y]) => [x[0], y[0]]);
  const sure = front(worst).map((i) => worst[i]).sort((a, b) => a[0] - b[0]);
  const beaten = ([x, y]) => sure.some((p) => p[0] > x[1] && p[1] > y[1]);
  return reaches.map((_, i) => i).filter((i) => !beaten(reaches[i]));
}

function possibleValues(number, seed, sign) {
  if (number.draws) return number.draws.map((d) => sign * d);
  const random = generator(seed);
  return Float64Array.from({ length: DRAWS }, () => sign * (number.value + (number.error ?? 0) * gauss(random)));
}

// Indices of the points, larger being better, that no other dominates.
function front(points) {
  const order = points.map((_, i) => i).sort((a, b) => points[b][0] - points[a][0] || points[b][1] - points[a][1]);
  const found = [];
  let best = -Infinity;
  let bestAt = null;
  for (const i of order) {
    const [x, y] = points[i];
    if (y > best || (y === best && x === bestAt)) found.push(i);
    if (y > best) [best, bestAt] = [y, x];
  }
  return found;
}

function generator(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function gauss(random) {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

// Acklam's rational approximation, relative error below 1.2e-9.
function normalQuantile(p) {
  const a = [-39.69683028665376, 220.9460984245205, -275.9285104469687, 138.357751867269, -30.66479806614716, 2.506628277459239];
  const b = [-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572];
  const c = [-0.007784894002430293, -0.3223964580411365, -2.400758277161838, -2.549732539343734, 4.374664141464968, 2.938163982698783];
  const d = [0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416];
  const poly = (k, x) => k.reduce((sum, each) => sum * x + each, 0);
  if (p > 0.97575) return -normalQuantile(1 - p);
  if (p < 0.02425) {
    const q = Math.sqrt(-2 * Math.log(p));
    return poly(c, q) / poly([...d, 1], q);
  }
  const q = p - 0.5;
  return (poly(a, q * q) * q) / poly([...b, 1], q * q);
}
