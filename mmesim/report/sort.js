"use strict";
// Tables are sorted by a click on a head: best first (or upwards), then the other way, then as they came. What has no
// value stays last; rows in the foot stay where they are. On paper every fold is open.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], came = [...body.rows], heads = [...table.tHead.rows[0].cells];
  const compare = (a, b) => isNaN(a) || isNaN(b) ? String(a).localeCompare(String(b), "en", { numeric: true }) : a - b;
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const first = head.dataset.better === "1" ? "descending" : "ascending";
    const second = first === "ascending" ? "descending" : "ascending";
    const now = head.getAttribute("aria-sort"), next = now === "none" ? first : now === first ? second : "none";
    for (const each of heads) each.setAttribute("aria-sort", each === head ? next : "none");
    const value = row => row.cells[column].dataset.v, sign = next === "ascending" ? 1 : -1;
    const sorted = next === "none" ? came : [...came].sort((a, b) => {
      const x = value(a), y = value(b);
      return x === undefined || y === undefined ? (x === undefined) - (y === undefined) : sign * compare(x, y);
    });
    body.append(...sorted);
  }));
}
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const each of folded) each.open = true;
});
addEventListener("afterprint", () => { for (const each of folded) each.open = false; });
