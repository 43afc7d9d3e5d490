// The page: what belongs together is drawn together, again after every change.

function render() {
  const focus = document.activeElement?.dataset?.key;
  renderFilters();
  renderViews();
  const standing = standings();
  renderAnswer(standing);
  renderTable(standing);
  renderPareto(standing);
  renderCompare(standing.items);
  renderRoofline(standing.items);
  renderAnalyses();
  renderCell();
  renderRankNote(standing);
  if (focus) document.querySelector(`[data-key="${CSS.escape(focus)}"]`)?.focus({ preventScroll: true });
  document.documentElement.dataset.ready = "yes";
}

function renderViews() {
  for (const button of byId("views").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.view === state.view));
  }
  const changed = JSON.stringify({ ...state, cell: "" }) !== JSON.stringify({ ...structuredClone(DEFAULTS), ...usualScope(), ...usualChoices(), view: state.view });
  byId("reset").hidden = !changed;
}

function renderRankNote({ items, places }) {
  const groups = new Set(items.map((i) => places.get(i).key).filter(Boolean));
  byId("rank-note").textContent = groups.size > 1
    ? `${groups.size} groups that do not compare with each other (another suite, machine, workload or text): ranks hold within each.` : "";
}

function renderNotes() {
  const notes = honestNotes();
  byId("notes").hidden = notes.length === 0;
  byId("notes-summary").replaceChildren(`Before you trust it: `, el("span", {}, notes.map(([title]) => title).join(" · ")));
  byId("notes-list").replaceChildren(...notes.map(([title, body]) => el("li", {}, el("b", {}, title), " – ", body)));
}

function honestNotes() {
  const marked = (mark) => rows.filter((r) => r.marks.includes(mark));
  const models = (mark) => distinct(marked(mark).map((r) => r.model)).slice(0, 5).join(", ");
  const estimated = rows.some((r) => [...r.numbers.values()].some((n) => n.source === "model_estimate"));
  const { count: damaged, places } = packed.damage;
  const left = packed.left_out;
  const machines = distinct(rows.map((r) => r.machine));
  const failed = rows.filter((r) => r.outcome !== "ok");
  const some = (list, title, body) => (list.length ? [`${list.length.toLocaleString("en")} of ${count(rows.length, "cell")} ${title}`, body] : null);
  return [
    some(marked("invalid"), "invalid", "A check found that their numbers do not hold: kept on the page, not ranked."),
    some(marked("suspect"), "suspect", "Something disturbed the measurement; the cell says what, and what helps. They rank, with their mark."),
    estimated && ["energy estimated", "Numbers marked ~ come from a model of the hardware, not from a meter; they are not ranked unless you ask for it."],
    marked("dequantised").length && ["dequantised weights", `${models("dequantised")}: the full-precision weights are a dequantised low-bit file. They show cost; no ranking of low-bit schemes by quality is drawn from them.`],
    marked("random").length && ["random weights", `${models("random")}: no quality is ranked.`],
    some(marked("unproven"), "unproven", "There was no reference to hold what was measured against: whether it computes its model is not known. They rank, with their mark."),
    some(marked("emulated"), "emulated", "Low-bit weights were expanded before the arithmetic; no speed or energy is ranked."),
    some(marked("foreign"), "imported", "Measured by another tool and by its rules; shown, not ranked unless you ask for it."),
    some(failed, "without numbers", "They failed, did not fit or are not supported; the list of what is missing has each reason."),
    machines.length > 1 && [`${machines.length} machines`, "Times, energy and memory rank only within a machine."],
    packed.skewed && [`${count(packed.skewed, "cell")} from the future`, "Some clock was wrong: they say that they were measured after this page was made. Nothing is ordered by dates."],
    damaged && [`${count(damaged, "unreadable line")}`, `Not on this page, because the journals are damaged there: ${places.slice(0, 3).join("; ")}${damaged > 3 ? " …" : ""}`],
    left.rows && [`${count(left.rows, "cell")} left out`, "To keep this page small; the best by each headline metric are here. `effmark leaderboard --format csv` has all."],
    left.draws && ["more ties than needed", "There are too many cells to compare quality in pairs on this page: ranks by quality share more places than they must."],
    left.details && [`${count(left.details, "cell")} without curves`, "To keep this page small; `effmark show` has their curves and provenance."],
  ].filter(Boolean);
}

function renderMissing() {
  const reasons = new Map();
  const note = (why, what) => {
    if (!reasons.has(why)) reasons.set(why, []);
    reasons.get(why).push(what);
  };
  for (const row of rows) {
    const name = `${fullName(row)} · ${row.workload}`;
    if (row.outcome !== "ok") note(`${row.outcome.replaceAll("_", " ")}: ${row.detail}`, name);
    for (const [metric, { reason, detail }] of row.missing) {
      note(`${METRICS.get(metric)?.label || metric} ${reason.replaceAll("_", " ")}: ${detail}`, name);
    }
  }
  byId("missing").hidden = reasons.size === 0;
  byId("missing-list").replaceChildren(...[...reasons].sort((a, b) => b[1].length - a[1].length).slice(0, 200).map(([why, cells]) =>
    el("li", {}, el("b", {}, count(cells.length, "cell")), ` – ${why} `, el("span", { class: "quiet" }, clipped(cells[0], 90), cells.length > 1 ? " …" : ""))));
}

function renderDefinitions() {
  byId("definitions").replaceChildren(...packed.metrics.flatMap((m) => [
    el("dt", {}, m.label, " ", arrow(m), " ", el("code", {}, m.name)), el("dd", {}, definition(m))]));
}

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  byId("theme").textContent = { dark: "dark", light: "light" }[theme] || "auto";
  try {
    localStorage.setItem("effmark-theme", theme);
  } catch {
    // a page opened from a file may have no storage; the choice then lasts until it is closed
  }
}

function storedTheme() {
  try {
    return localStorage.getItem("effmark-theme") || "";
  } catch {
    return "";
  }
}

function start() {
  watchTips();
  const narrow = matchMedia("(max-width: 700px)");
  byId("controls").open = !narrow.matches;
  narrow.addEventListener("change", () => {
    byId("controls").open = !narrow.matches;
  });
  setTheme(storedTheme());
  const themes = ["", "dark", "light"];
  byId("theme").addEventListener("click", () => {
    setTheme(themes[(themes.indexOf(document.documentElement.dataset.theme || "") + 1) % themes.length]);
  });
  for (const button of byId("views").querySelectorAll("button")) {
    button.addEventListener("click", () => update({ view: button.dataset.view, compare: [] }));
  }
  byId("reset").addEventListener("click", () => {
    history.replaceState(null, "", location.pathname + location.search);
    readAddress();
    render();
  });
  byId("link").addEventListener("click", copyLink);
  byId("cell-close").addEventListener("click", () => update({ cell: "" }));
  byId("cell").addEventListener("close", () => state.cell && update({ cell: "" }));
  byId("cell").addEventListener("click", (event) => event.target === byId("cell") && update({ cell: "" }));
  addEventListener("hashchange", () => {
    readAddress();
    render();
  });
  addEventListener("beforeprint", () => {
    byId("notes").firstElementChild.open = true;
  });
  document.addEventListener("click", closeMenus);
  document.addEventListener("keydown", (event) => event.key === "Escape" && closeMenus({ target: document.body }));
  renderNotes();
  renderMissing();
  renderDefinitions();
  readAddress();
  render();
}

async function copyLink() {
  byId("link-said").textContent = (await copied(location.href)) ? "copied" : "copy the address above";
}

function closeMenus(event) {
  for (const menu of document.querySelectorAll("details.filter[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
}

start();
window.effmark = { packed, rows, state, update, standings, numberOf, ranks, frontProbability, formatQuantity };
