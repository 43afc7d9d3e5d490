"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const table = document.createElement("table");
function line(cells, tag) {
  const tr = document.createElement("tr");
  for (const text of cells) { const td = document.createElement(tag); td.textContent = text; tr.append(td); }
  table.append(tr);
}
line(["model", "runtime", "precision", "workload", "outcome", ...data.metrics.map((m) => m.label)], "th");
for (const row of data.rows) {
  line([row.model, row.adapter, row.precision, row.workload, row.outcome, ...data.metrics.map((m) => row.text[m.name] || "")], "td");
}
document.getElementById("page").append(table);
