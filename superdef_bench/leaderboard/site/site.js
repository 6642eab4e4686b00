"use strict";

function valueOf(row, column, numeric) {
  const cell = row.cells[column];
  if (!numeric) return cell.textContent.trim();
  return "value" in cell.dataset ? Number(cell.dataset.value) : null;
}

function compare(a, b, sign, numeric) {
  if (a === null || b === null) return (a === null) - (b === null); // nothing comes last
  return sign * (numeric ? a - b : a.localeCompare(b, "en", { numeric: true }));
}

function sortBy(table, head, column) {
  const numeric = head.dataset.sort === "number";
  const before = head.getAttribute("aria-sort");
  const first = numeric ? "descending" : "ascending";
  const second = numeric ? "ascending" : "descending";
  const order = before === first ? second : first;
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => ({ row, value: valueOf(row, column, numeric) }));
  rows.sort((a, b) => compare(a.value, b.value, sign, numeric));
  body.append(...rows.map((entry) => entry.row));
}

function makeSortable(table) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sortBy(table, head, column));
  });
}

function makeFilterable(controls, table) {
  const search = controls.querySelector("input[type=search]");
  const hide = controls.querySelector("input[type=checkbox]");
  const facets = [...controls.querySelectorAll("select")];
  const told = controls.querySelector("output");
  const rows = [...table.tBodies[0].rows];

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const wanted =
        words.every((word) => text.includes(word)) &&
        facets.every((facet) => !facet.value || row.dataset[facet.dataset.facet] === facet.value) &&
        !(hide && hide.checked && "hide" in row.dataset);
      row.hidden = !wanted;
    }
    told.value = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
  }

  controls.addEventListener("input", filter);
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.hidden = false;
  filter();
}

for (const sheet of document.querySelectorAll(".sheet")) {
  const table = sheet.querySelector("table");
  makeSortable(table);
  const controls = sheet.querySelector(".controls");
  if (controls) makeFilterable(controls, table);
}
