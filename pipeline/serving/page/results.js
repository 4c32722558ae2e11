// What came of a query: its rows as a table to sort, leaf through and save, or as a chart; or why there are none.

import { chart, suggest } from "./chart.js";
import { csv, save } from "./csv.js";
import { $, counted, icon, make, say } from "./dom.js";

const PAGE = 100;
const LONG = 60; // characters of a cell that is cut
const WHOLE = 5000; // characters of a cell that are shown at all
const WORDS = new Intl.Collator(undefined, { numeric: true });

// The sandbox's categories in words.
const WHY = {
  syntax: "The query is not valid SQL.",
  no_such_table: "The query names a table that the database lacks.",
  no_such_column: "The query names a column that the database lacks.",
  no_statement: "There is no query to run.",
  refused: "The query was refused: queries may read, and nothing else.",
  timeout: "The query took too long and was stopped.",
  cpu: "The query took too much processor time and was stopped.",
  memory: "The query needed too much memory and was stopped.",
  too_many_rows: "The query has too many rows.",
  too_large: "The result is too large.",
  crashed: "The query ended the process that ran it.",
};

let shown = null; // the result on screen
let order = { at: null, falling: false };
let page = 0;
let asChart = false;
let name = "rows";

const place = $("result");

/** Nothing yet; `looks` are tables whose first rows a click shows. */
export function showNothing(text, looks = [], onLook = () => {}) {
  shown = null;
  $("count").textContent = "";
  $("result-tools").hidden = true;
  place.replaceChildren(make("p", { class: "nothing" }, text));
  if (!looks.length) return;
  const buttons = looks.map((table) => make("button", { type: "button", class: "chip", click: () => onLook(table) }, table));
  place.append(make("div", { class: "looks" }, make("span", { class: "quiet" }, "First rows of"), buttons));
}

/** One answer of the server; `file` names the CSV, `onEdit` leads back to the SQL. */
export function showResult(result, file, onEdit) {
  shown = result;
  name = file;
  order = { at: null, falling: false };
  page = 0;
  const rows = !result.error && result.columns.length > 0;
  $("result-tools").hidden = !rows || !result.rows.length;
  $("count").textContent = rows ? summary(result) : "";
  if (result.error) return failed(result.error, onEdit);
  if (!rows) return place.replaceChildren(make("p", { class: "nothing" }, result.sql ? "The query was not run." : "The model wrote no SQL. Ask in other words, or write the query above."));
  if (!result.rows.length) return place.replaceChildren(make("p", { class: "nothing" }, "The query returned no rows."));
  $("views").hidden = !suggest(result);
  show();
}

function summary({ rows, row_count: all, truncated }) {
  if (!truncated && all <= rows.length) return counted(all, "row");
  const some = rows.length.toLocaleString("en");
  return all > rows.length ? `first ${some} of ${counted(all, "row")}` : `first ${some} rows; there are more`;
}

function failed({ category, message }, onEdit) {
  $("count").textContent = "";
  const box = make(
    "div",
    { class: "failed" },
    icon("warn"),
    make(
      "div",
      {},
      make("h3", {}, WHY[category] ?? "The query failed."),
      message && make("p", { class: "message" }, message),
      make("p", { class: "quiet" }, make("span", { class: "category" }, category), " Edit the SQL and run it again, or ask in other words."),
      make("button", { type: "button", click: onEdit }, icon("edit"), "Edit the SQL"),
    ),
  );
  place.replaceChildren(box);
}

function show() {
  const suggestion = suggest(shown);
  const drawn = asChart && suggestion;
  $("as-table").setAttribute("aria-pressed", !drawn);
  $("as-chart").setAttribute("aria-pressed", Boolean(drawn));
  place.replaceChildren(drawn ? chart(shown, suggestion, place.clientWidth) : table());
}

const isNumber = (value) => typeof value === "number" || typeof value === "bigint";

function text(value) {
  if (value === null) return "NULL";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** Numbers by size, before texts; NULL last, whichever the direction. */
function sorted(rows) {
  const { at, falling } = order;
  if (at === null) return rows;
  const sign = falling ? -1 : 1;
  return [...rows].sort((one, other) => {
    const [a, b] = [one[at], other[at]];
    if (a === null || b === null) return (a === null) - (b === null);
    if (isNumber(a) && isNumber(b)) return sign * (a < b ? -1 : a > b ? 1 : 0);
    if (isNumber(a) !== isNumber(b)) return sign * (isNumber(a) ? -1 : 1);
    return sign * WORDS.compare(text(a), text(b));
  });
}

function table() {
  const { columns, rows } = shown;
  const numeric = columns.map((_, at) => rows.some((row) => row[at] !== null) && rows.every((row) => row[at] === null || isNumber(row[at])));
  const part = sorted(rows).slice(page * PAGE, (page + 1) * PAGE);
  const head = columns.map((column, at) => {
    const direction = order.at !== at ? "none" : order.falling ? "descending" : "ascending";
    const button = make("button", { type: "button", click: () => sort(at) }, make("span", {}, column), make("i", { "aria-hidden": "true" }));
    return make("th", { scope: "col", "aria-sort": direction, class: numeric[at] ? "number" : null }, button);
  });
  const body = part.map((row) => make("tr", {}, row.map((value, at) => cell(value, numeric[at]))));
  const grid = make("table", {}, make("thead", {}, make("tr", {}, head)), make("tbody", {}, body));
  const box = make("div", { class: "rows", tabindex: "0", role: "region", "aria-label": `Rows, ${$("count").textContent}` }, grid);
  return make("div", {}, box, rows.length > PAGE ? pages(rows.length) : null);
}

function cell(value, numeric) {
  if (value === null) return make("td", { class: numeric ? "number" : null }, make("span", { class: "null" }, "NULL"));
  const whole = text(value);
  if (whole.length <= LONG && !whole.includes("\n")) return make("td", { class: numeric ? "number" : null }, whole);
  const told = whole.length > WHOLE ? `${whole.slice(0, WHOLE)}… ${whole.length.toLocaleString("en")} characters in all` : whole;
  return make("td", {}, make("div", { class: "long", tabindex: "0", title: told }, told));
}

function sort(at) {
  order = { at: order.at === at && order.falling ? null : at, falling: order.at === at && !order.falling };
  page = 0;
  show();
  place.querySelectorAll("th button")[at].focus();
  say(order.at === null ? "In the query's order" : `Sorted by ${shown.columns[at]}, ${order.falling ? "falling" : "rising"}`);
}

function pages(count) {
  const [first, last] = [page * PAGE + 1, Math.min(count, (page + 1) * PAGE)];
  const turn = (by, label) => {
    const off = page + by < 0 || (page + by) * PAGE >= count;
    return make("button", { type: "button", disabled: off, click: () => leaf(by) }, label);
  };
  const told = `Rows ${first.toLocaleString("en")} to ${last.toLocaleString("en")} of ${count.toLocaleString("en")}`;
  return make("nav", { class: "pages", "aria-label": "Pages" }, turn(-1, "Previous"), make("span", {}, told), turn(1, "Next"));
}

function leaf(by) {
  page += by;
  show();
  place.querySelector(".rows").focus({ preventScroll: true });
  say(place.querySelector(".pages span").textContent);
}

for (const [button, on] of [
  ["as-table", false],
  ["as-chart", true],
])
  $(button).addEventListener("click", () => {
    asChart = on;
    show();
  });

$("csv").addEventListener("click", () => {
  save(`${name}.csv`, csv(shown.columns, shown.rows));
  say(`Saved ${counted(shown.rows.length, "row")}`);
});

let width = 0;
new ResizeObserver(() => {
  if (place.clientWidth === width) return;
  width = place.clientWidth;
  if (asChart && shown?.rows.length && !shown.error) show();
}).observe(place);
