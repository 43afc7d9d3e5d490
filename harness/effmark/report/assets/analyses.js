// What many records say together: a sentence each, with the tables that it comes from.

function renderAnalyses() {
  const scope = JSON.stringify([state.suite, state.machine]);
  if (byId("analyses").dataset.scope === scope) return; // what is open stays open
  byId("analyses").dataset.scope = scope;
  const { findings, missing } = packed.analyses;
  const shown = findings.filter(inScope);
  const several = distinct(shown.map((f) => f.suite + f.machine)).length > 1;
  byId("analyses").hidden = shown.length === 0 && missing.length === 0;
  byId("analyses-body").replaceChildren(...shown.map((f) => finding(f, several)), ...notAllowed(missing.filter(inScope), shown.length > 0));
}

function inScope({ suite, machine }) {
  return (!suite || !state.suite.length || state.suite.includes(suite)) && (!machine || !state.machine.length || state.machine.includes(machine));
}

function finding({ analysis, title, conclusion, suite, machine, workload, tables, caveats }, several) {
  const about = [...(several ? [suite, machine] : []), workload].filter(Boolean).join(" · ");
  return el("details", { class: "panel finding" },
    el("summary", { "data-key": `finding ${suite} ${machine} ${analysis}` }, el("span", { class: "quiet" }, title, about && ` · ${about}`), el("span", { class: "conclusion" }, conclusion)),
    tables.map(findingTable),
    caveats.length > 0 && el("ul", { class: "quiet" }, caveats.map((c) => el("li", {}, c))),
    el("p", { class: "quiet" }, "The same with other settings: ", el("code", {}, `effmark analyse ${analysis}`)));
}

function findingTable({ title, columns: heads, rows: lines }) {
  const body = el("tbody", {}, lines.map(findingLine));
  const sorting = { column: null, up: true };
  const sort = (column) => {
    sorting.up = sorting.column === column ? !sorting.up : true;
    sorting.column = column;
    body.replaceChildren(...[...lines].sort((a, b) => compareCells(a[column], b[column]) * (sorting.up ? 1 : -1)).map(findingLine));
    [...head.children].forEach((th, i) => th.setAttribute("aria-sort", i === column ? (sorting.up ? "ascending" : "descending") : "none"));
  };
  const head = el("tr", {}, heads.map((h, i) => (h
    ? el("th", { scope: "col", "aria-sort": "none" }, el("button", { type: "button", class: "head", onclick: () => sort(i) }, h)) : el("td"))));
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": title },
    el("table", { class: "plain numbers" }, el("caption", {}, title), el("thead", {}, head), body));
}

function findingLine(cells) {
  return el("tr", {}, cells.map((cell, i) => el(i === 0 ? "th" : "td", { scope: i === 0 ? "row" : null },
    cell.missing ? el("span", { class: "absent", tip: `${cell.missing.replaceAll("_", " ")}: ${cell.detail}`, tabindex: 0 }, cell.text) : cell.text)));
}

// Numbers by their value, words by the alphabet, what is missing last.
function compareCells(a, b) {
  if (Boolean(a.missing) !== Boolean(b.missing)) return a.missing ? 1 : -1;
  const [x, y] = [finite(a.value), finite(b.value)];
  return typeof x === "number" && typeof y === "number" ? x - y || 0 : a.text.localeCompare(b.text);
}

function notAllowed(missing, more) {
  if (!missing.length) return [];
  return [el("details", { class: "panel" }, el("summary", {}, `${missing.length} ${more ? "more " : ""}that these results do not allow, and what they need`),
    el("ul", {}, missing.map(({ needs, suite }) => el("li", {}, needs, suite && el("span", { class: "quiet" }, ` (${suite})`)))))];
}
