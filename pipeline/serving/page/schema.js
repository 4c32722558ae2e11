// The schema as a list: each table with its columns, types and keys, every name a button that inserts it into the SQL.

import { $, counted, icon, make } from "./dom.js";
import { mark } from "./diagram.js";

const narrow = matchMedia("(max-width: 60rem)"); // as in style.css
const OPEN = 8; // tables; of more, all begin closed

/** `onName(name)` inserts, `onLook(table)` shows the table's rows. */
export function showList(schema, onName, onLook) {
  const tables = schema?.tables ?? [];
  const list = tables.map((table) => {
    const known = new Map(table.foreign_keys.map((key) => [key.column.toLowerCase(), key]));
    return make(
      "details",
      { open: tables.length <= OPEN && !narrow.matches },
      make(
        "summary",
        {},
        make("span", { class: "name" }, table.name),
        make("small", {}, counted(table.columns.length, "column")),
      ),
      make(
        "div",
        { class: "tools" },
        make("button", { type: "button", class: "plain", click: () => onName(table.name) }, icon("edit"), "Insert name"),
        make("button", { type: "button", class: "plain", click: () => onLook(table.name) }, icon("grid"), "First rows"),
      ),
      make(
        "ul",
        {},
        table.columns.map((column) => {
          const key = known.get(column.name.toLowerCase());
          return make(
            "li",
            {},
            make("span", { class: "mark" }, mark(table, column)),
            make("button", { type: "button", class: "word", click: () => onName(column.name) }, column.name),
            make("small", {}, column.type.toLowerCase()),
            key && make("small", { class: "target" }, `to ${key.table}${key.references ? `.${key.references}` : ""}`),
          );
        }),
      ),
    );
  });
  $("list").replaceChildren(...list);
  $("size").textContent = schema ? counted(tables.length, "table") : "";
}
