// The roofline: what the machine could do, from peaks measured on it, and what the cells do.

const ROOF = { width: 640, height: 320, left: 84, right: 16, top: 12, bottom: 42 };
const INTENSITY = { label: "arithmetic intensity", unit: "ratio", direction: "none", title: "FLOPs per byte that must be read" };
const SPEED = { label: "speed", unit: "FLOP/s", direction: "higher", title: "FLOP per second" };

function renderRoofline(items) {
  const places = new Map();
  for (const item of items) {
    const row = item.cost;
    const peaks = peaksOf(row);
    const work = peaks && workOf(row);
    if (!work) continue;
    const key = JSON.stringify([row.machine, peaks]);
    if (!places.has(key)) places.set(key, []);
    places.get(key).push({ item, ...work, peaks });
  }
  const figures = [...largestPeaks(places)].map(rooflineChart);
  byId("roofline").hidden = figures.length === 0;
  byId("roofs").replaceChildren(...figures);
  byId("roof-note").textContent = roofNote([...places.values()].flat());
}

function roofNote(points) {
  const above = points.filter(({ intensity, speed, peaks }) => speed > Math.min(peaks.flops, peaks.bandwidth * intensity)).length;
  return "The line is what the machine can do, from peaks measured on it in the same run: as fast as memory delivers, up to what the cores compute. "
    + "MBU and MFU, in the table and at each point, say how close a cell comes."
    + (above ? ` ${count(above, "point")} above the line: the peak was measured while other work ran, or the weights stayed in a cache.` : "");
}

function peaksOf(row) {
  const state_ = row?.environment?.state || {};
  const [bandwidth, flops] = [state_.peak_bandwidth_b_per_s, state_.peak_flop_per_s];
  return bandwidth > 0 && flops > 0 ? { bandwidth, flops } : null;
}

// Every run measures its own peaks; one picture per machine takes the largest.
function largestPeaks(places) {
  const machines = new Map();
  for (const points of places.values()) {
    const name = points[0].item.machine;
    const known = machines.get(name) || { name, points: [], peaks: { bandwidth: 0, flops: 0 } };
    known.points.push(...points);
    for (const axis of ["bandwidth", "flops"]) known.peaks[axis] = Math.max(known.peaks[axis], points[0].peaks[axis]);
    machines.set(name, known);
  }
  return machines.values();
}

function workOf(row) {
  if (!row.work || row.outcome !== "ok" || row.marks.includes("invalid")) return null;
  const [weights, kv, flopsPerToken, prompt, fresh] = row.work;
  const time = row.numbers.get(row.kind === "prefill" ? "ttft_s" : "tpot_s")?.value;
  if (!time || !flopsPerToken) return null;
  const tokens = row.kind === "prefill" ? prompt * row.batch : row.batch;
  const context = row.kind === "prefill" ? prompt / 2 : prompt + fresh / 2;
  const bytes = weights + (kv || 0) * context * row.batch;
  return { intensity: (flopsPerToken * tokens) / bytes, speed: (flopsPerToken * tokens) / time };
}

function rooflineChart({ name, points: all, peaks }) {
  const points = all.slice(0, POINTS_DRAWN);
  const ridge = peaks.flops / peaks.bandwidth;
  const x = scaleOf([...points.map((p) => p.intensity), ridge, ridge * 4], ROOF.left, ROOF.width - ROOF.right, true);
  const y = scaleOf([...points.map((p) => p.speed), peaks.flops], ROOF.height - ROOF.bottom, ROOF.top, true);
  const roof = `M${x(x.low)} ${y(Math.max(peaks.bandwidth * x.low, y.low))}L${x(ridge)} ${y(peaks.flops)}H${x(x.high)}`;
  const dots = points.map(({ item, intensity, speed }) => {
    const look = appearance(item);
    const told = `${fullName(item)}, ${item.row.workload}: ${formatShare(item, "mbu")}, ${formatShare(item, "mfu")}`;
    const open = () => update({ cell: item.row.id });
    return svg("g", { class: "mark-point", tabindex: -1, role: "button", "aria-label": told, tip: told, transform: `translate(${x(intensity)} ${y(speed)})`, onclick: open, onkeydown: (e) => e.key === "Enter" && open() },
      svg("circle", { r: 12, class: "target" }), shape(look.shape, 4.6, { class: `point c${look.colour}` }));
  });
  const named = nearestToRoof(points);
  const picture = svg("svg", { viewBox: `0 0 ${ROOF.width} ${ROOF.height}`, role: "group", "aria-label": `roofline of ${name}; arrow keys move between points`, onkeydown: walk },
    axes(x, y, INTENSITY, SPEED, ROOF), svg("path", { d: roof, class: "roof" }), dots, roofLabels(points, named, x, y));
  picture.querySelector(".mark-point")?.setAttribute("tabindex", 0);
  return el("figure", { class: "chart" }, el("figcaption", {}, `${name}: `,
    `${formatQuantity(peaks.bandwidth, "B")}/s and ${formatQuantity(peaks.flops, "FLOP")}/s measured here`), picture, roofList(points, named));
}

// The points nearest to what the machine can do, with letters; what they are stands below.
function nearestToRoof(points) {
  const share = ({ intensity, speed, peaks }) => speed / Math.min(peaks.flops, peaks.bandwidth * intensity);
  return [...points].sort((a, b) => share(b) - share(a)).slice(0, POINTS_NAMED);
}

function roofLabels(points, named, x, y) {
  const boxes = points.map(({ intensity, speed }) => [x(intensity) - 6, y(speed) - 6, x(intensity) + 6, y(speed) + 6]);
  return named.map(({ intensity, speed }, k) => placedLabel(letter(k), x(intensity), y(speed), boxes, ROOF));
}

function roofList(points, named) {
  return el("ol", { class: "front-list" }, named.map(({ item }, k) => {
    const look = appearance(item);
    return el("li", {}, el("b", {}, letter(k)),
      svg("svg", { viewBox: "-8 -8 16 16", class: "swatch", "aria-hidden": "true" }, shape(look.shape, 4.6, { class: `point c${look.colour}` })),
      el("span", {}, nameAmong(item, points.map((p) => p.item))),
      el("span", { class: "quiet" }, `${formatShare(item, "mbu")}, ${formatShare(item, "mfu")}`));
  }));
}

function formatShare(item, metric) {
  const number = item.cost?.numbers.get(metric);
  return number ? `${METRICS.get(metric).label} ${formatPercent(number.value)}${number.value > 1 ? " (above the peak)" : ""}` : `${metric.toUpperCase()} missing`;
}
