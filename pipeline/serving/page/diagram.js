// The schema as a picture: tables, columns, keys and the lines between them, in SVG. It scrolls and zooms; a click on a
// name inserts it into the SQL. The tab Tables says and does the same for those who cannot see or point.

import { $, cut, draw } from "./dom.js";
import { edges, passage, place } from "./layout.js";

const HEAD = 28;
const ROW = 20;
const LETTER = 6.7; // pixels a letter of the code font at 11 pixels
const MARK = 24;
const SHOWN = 14; // columns of a table before the rest is folded
const NAME = 26; // letters of a name
const TYPE = 10;
const MARGIN = 12;
const SMALLEST = 0.62; // a whole schema is not made smaller than can be read
const ZOOM = 1.25;

const canvas = $("canvas");
let tables = [];
let insert = () => {};
let used = new Set();
let folded = new Map(); // table -> "head" | "some" | "all"
let zoom = null; // null: what fits and can be read

const view = (table) => folded.get(table) ?? (table.columns.length > SHOWN + 1 ? "some" : "all");

/** The columns drawn: of a long table its keys and the first others. */
function rows(table) {
  if (view(table) === "head") return [];
  if (view(table) === "all") return table.columns;
  const keys = table.columns.filter((column) => mark(table, column));
  const others = table.columns.filter((column) => !keys.includes(column));
  const some = new Set([...keys, ...others].slice(0, SHOWN));
  return table.columns.filter((column) => some.has(column));
}

/** A type without its length: varchar(30) is varchar. */
const short = (type) => cut(type.toLowerCase().replace(/\s*\(.*/, ""), TYPE);

/** PK, FK or nothing. */
export function mark(table, column) {
  if (column.primary_key) return "PK";
  return table.foreign_keys.some((key) => key.column.toLowerCase() === column.name.toLowerCase()) ? "FK" : "";
}

function size(table) {
  const widest = table.columns.reduce(
    (most, column) => Math.max(most, cut(column.name, NAME).length + short(column.type).length + 2),
    0,
  );
  const letters = Math.max(cut(table.name, NAME).length + 4, widest);
  const shown = rows(table).length;
  const more = shown && shown < table.columns.length ? 1 : 0;
  return { width: Math.round(MARK + letters * LETTER + 16), height: HEAD + (shown + more) * ROW + (shown ? 6 : 0) };
}

export function showDiagram(schema, onName) {
  tables = schema?.tables ?? [];
  insert = onName;
  used = new Set();
  folded = new Map();
  zoom = null;
  $("fold").setAttribute("aria-pressed", "false");
  redraw();
}

/** Marks the tables that a query reads. */
export function markUsed(names) {
  used = new Set(names.map((name) => name.toLowerCase()));
  for (const group of canvas.querySelectorAll(".table"))
    group.classList.toggle("used", used.has(group.dataset.name.toLowerCase()));
}

function redraw() {
  const sizes = new Map(tables.map((table) => [table, size(table)]));
  const room = [Math.max(canvas.clientWidth, 200), Math.max(canvas.clientHeight, 200)];
  const { boxes, columns, width, height } = place(tables, sizes, room[0] / room[1]);
  const whole = { width: width + 2 * MARGIN, height: height + 2 * MARGIN };
  const fits = Math.min(1, room[0] / whole.width, room[1] / whole.height);
  const scale = zoom ?? Math.max(SMALLEST, fits);
  const described = `Diagram of ${tables.length} tables; the tab Tables holds the same as text.`;
  const picture = draw(
    "svg",
    {
      role: "img",
      "aria-label": described,
      viewBox: `${-MARGIN} ${-MARGIN} ${whole.width} ${whole.height}`,
      width: Math.round(whole.width * scale),
      height: Math.round(whole.height * scale),
    },
    edges(tables).map((edge) => line(edge, boxes, columns)),
    tables.map((table) => box(table, boxes.get(table))),
  );
  canvas.replaceChildren(picture);
  canvas.dataset.scale = scale;
  canvas.dataset.fits = fits;
  markUsed([...used]);
}

function box(table, { x, y, width, height }) {
  const all = rows(table);
  const group = draw("g", { class: "table", transform: `translate(${x} ${y})`, "data-name": table.name });
  const isFolded = view(table) === "head";
  const hover = (on) => () => highlight(table, on);
  group.addEventListener("pointerenter", hover(true));
  group.addEventListener("pointerleave", hover(false));
  group.append(
    draw("rect", { class: "box", width, height, rx: 6 }),
    draw("path", { class: "band", d: `M0 ${HEAD}V6a6 6 0 0 1 6-6H${width - 6}a6 6 0 0 1 6 6V${HEAD}z` }),
    named(table.name, 10, HEAD / 2 + 4, width - 30, "name", () => insert(table.name)),
    draw(
      "g",
      { class: "turn", click: () => turn(table, isFolded ? "all" : "head") },
      draw("title", {}, isFolded ? "Expand" : "Collapse"),
      draw("rect", { x: width - 28, width: 28, height: HEAD, class: "hit" }),
      draw("path", { d: isFolded ? `M${width - 19} 12l4 4 4-4` : `M${width - 19} 16l4-4 4 4` }),
    ),
  );
  all.forEach((column, at) => {
    const middle = HEAD + 3 + at * ROW + ROW / 2;
    group.append(
      draw(
        "g",
        { class: "column", click: () => insert(column.name) },
        draw("title", {}, `${table.name}.${column.name} ${column.type}`),
        draw("rect", { class: "hit", x: 1, y: middle - ROW / 2, width: width - 2, height: ROW }),
        draw("text", { class: "mark", x: 8, y: middle + 3.5 }, mark(table, column)),
        draw("text", { x: MARK + 4, y: middle + 4 }, cut(column.name, NAME)),
        draw("text", { class: "type", x: width - 8, y: middle + 4 }, short(column.type)),
      ),
    );
  });
  group.append(draw("rect", { class: "edge", width, height, rx: 6 }));
  if (all.length && all.length < table.columns.length) {
    const middle = HEAD + 3 + all.length * ROW + ROW / 2;
    group.append(
      draw(
        "g",
        { class: "column more", click: () => turn(table, "all") },
        draw("rect", { class: "hit", x: 1, y: middle - ROW / 2, width: width - 2, height: ROW }),
        draw("text", { x: MARK + 4, y: middle + 4 }, `${table.columns.length - all.length} more columns`),
      ),
    );
  }
  return group;
}

function named(name, x, y, width, kind, click) {
  return draw(
    "g",
    { class: "column head", click },
    draw("title", {}, name),
    draw("rect", { class: "hit", x: 1, y: 1, width: width + 1, height: HEAD - 2 }),
    draw("text", { class: kind, x, y }, cut(name, NAME)),
  );
}

/** A line from a foreign key (a fork: many) to what it refers to (a bar: one), below the tables. */
function line({ child, parent, key }, boxes, columns) {
  const from = boxes.get(child);
  const to = boxes.get(parent);
  const start = from.y + height(child, key.column);
  const end = to.y + height(parent, key.references ?? "");
  const leftward = from.x >= to.x + to.width;
  const rightward = from.x + from.width <= to.x;
  const a = leftward ? from.x : from.x + from.width;
  const b = rightward ? to.x : to.x + to.width;
  const out = leftward ? -1 : 1; // the direction in which the line leaves the child
  const into = rightward ? -1 : 1; // the side of the parent on which it arrives
  const between = columns.filter((column) => column.x > Math.min(a, b) && column.x + column.width < Math.max(a, b));
  if (a > b) between.reverse();
  let path = `M${a} ${start}`;
  let [x, y] = [a, start];
  const curve = (toX, toY, side) => {
    const bend = leftward || rightward ? Math.max(16, Math.abs(x - toX) / 2) : 40;
    path += `C${x + out * bend} ${y} ${toX + side * bend} ${toY} ${toX} ${toY}`;
  };
  for (const column of leftward || rightward ? between : []) {
    const [near, far] = a < b ? [column.x, column.x + column.width] : [column.x + column.width, column.x];
    const height = passage(column.boxes, start + ((near - a) / (b - a)) * (end - start));
    curve(near, height, -out);
    path += `H${far}`;
    [x, y] = [far, height];
  }
  curve(b, end, into);
  const fork = `M${a + out * 9} ${start}L${a} ${start - 5}M${a + out * 9} ${start}L${a} ${start + 5}`;
  const bar = `M${b + into * 7} ${end - 5}v10`;
  const group = draw("g", { class: "line", "data-child": child.name, "data-parent": parent.name });
  group.append(draw("path", { d: path }), draw("path", { d: fork }), draw("path", { d: bar }));
  return group;
}

/** How far below its table's top a column is drawn; the middle of the name where it is not. */
function height(table, column) {
  const at = rows(table).findIndex((each) => each.name.toLowerCase() === column.toLowerCase());
  return at < 0 ? HEAD / 2 : HEAD + 3 + at * ROW + ROW / 2;
}

function highlight(table, on) {
  for (const each of canvas.querySelectorAll(".line"))
    if (each.dataset.child === table.name || each.dataset.parent === table.name) each.classList.toggle("near", on);
}

function turn(table, to) {
  folded.set(table, to);
  redraw();
}

function zoomed(factor) {
  zoom = Math.min(2, Math.max(0.3, Number(canvas.dataset.scale) * factor));
  redraw();
}

$("larger").addEventListener("click", () => zoomed(ZOOM));
$("smaller").addEventListener("click", () => zoomed(1 / ZOOM));
$("fit").addEventListener("click", () => ((zoom = Number(canvas.dataset.fits)), redraw()));
$("fold").addEventListener("click", (event) => {
  const fold = event.currentTarget.getAttribute("aria-pressed") === "false";
  event.currentTarget.setAttribute("aria-pressed", fold);
  folded = new Map(fold ? tables.map((table) => [table, "head"]) : []);
  redraw();
});
canvas.addEventListener(
  "wheel",
  (event) => {
    if (!event.ctrlKey) return; // without Ctrl it scrolls
    event.preventDefault();
    zoomed(event.deltaY < 0 ? 1.1 : 1 / 1.1);
  },
  { passive: false },
);

// Dragging the ground moves it. Names stay clickable: nothing is captured before the pointer has moved.
let held = null;
canvas.addEventListener("pointerdown", (event) => {
  if (event.button === 0 && event.pointerType === "mouse" && !event.target.closest(".table"))
    held = { x: event.clientX + canvas.scrollLeft, y: event.clientY + canvas.scrollTop };
});
window.addEventListener("pointermove", (event) => {
  if (held) canvas.scrollTo(held.x - event.clientX, held.y - event.clientY);
});
window.addEventListener("pointerup", () => (held = null));

let width = 0;
new ResizeObserver(() => {
  if (canvas.clientWidth === width || !canvas.clientWidth) return;
  width = canvas.clientWidth;
  redraw();
}).observe(canvas);
