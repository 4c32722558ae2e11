// The questions of this and earlier visits, one list a database, kept in the browser. Rows are kept in memory only.

import { $, counted, make, say } from "./dom.js";
import { local } from "./store.js";

const MOST = 100;

const read = () => {
  const known = local.get("history", []);
  return Array.isArray(known) ? known.filter((entry) => typeof entry?.database === "string" && typeof entry.sql === "string" && Number.isFinite(entry.time)) : [];
};

/** Adds an entry {id, database, question, sql, written, earlier, rows, failed, time}, or replaces the one of its id. */
export function remember(entry) {
  const known = read();
  const at = known.findIndex((each) => each.id === entry.id);
  if (at >= 0) known[at] = entry;
  else known.unshift(entry);
  local.set("history", known.slice(0, MOST));
}

/** The list of one database; `onPick(entry)`. `current` is the id of the entry on screen. */
export function showHistory(database, current, onPick) {
  const all = read();
  const here = all.filter((entry) => entry.database === database);
  const items = here.map((entry) =>
    make(
      "li",
      {},
      make(
        "button",
        { type: "button", class: "past", "aria-current": entry.id === current ? "true" : null, click: () => onPick(entry) },
        make("span", { class: entry.question ? "asked" : "asked code" }, entry.question || entry.sql),
        make(
          "small",
          {},
          make("time", { datetime: new Date(entry.time).toISOString() }, ago(entry.time)),
          entry.failed ? make("span", { class: "bad" }, "failed") : entry.rows === null ? null : counted(entry.rows, "row"),
          entry.earlier ? "follow-up" : null,
          entry.question && entry.sql !== entry.written ? "edited" : null,
        ),
      ),
    ),
  );
  const again = () => showHistory(database, current, onPick);
  const clear = make("button", { type: "button", class: "plain", click: () => forget(all, database, again) }, "Clear");
  $("history").replaceChildren(
    here.length
      ? make("div", { class: "zoom tools" }, make("span", { class: "quiet" }, counted(here.length, "question")), clear)
      : make("p", { class: "nothing" }, "Questions about this database will be listed here. They stay in this browser."),
    make("ol", {}, items),
  );
}

/** Clears one database's list; what was there can be brought back until something else is shown. */
function forget(all, database, again) {
  local.set("history", all.filter((entry) => entry.database !== database));
  again();
  const undo = make("button", { type: "button", class: "plain", click: () => (local.set("history", all), again(), say("Brought back")) }, "Undo");
  $("history").prepend(make("div", { class: "zoom tools" }, make("span", { class: "quiet" }, "Cleared"), undo));
  undo.focus();
  say("History cleared");
}

function ago(time) {
  const minutes = Math.round((Date.now() - time) / 60_000);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  if (minutes < 24 * 60) return `${Math.round(minutes / 60)} h ago`;
  return new Date(time).toLocaleDateString("en", { day: "numeric", month: "short", year: "numeric" });
}
