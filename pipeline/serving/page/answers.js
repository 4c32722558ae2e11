// Asking and running: one answer is on screen, {id, database, question, written, sql, earlier, result, kept}, where
// `written` is the model's SQL and `result` what the server said of the SQL that ran last.

import { $, counted, cut, duration, icon, make, say } from "./dom.js";
import { markUsed } from "./diagram.js";
import { editor } from "./editor.js";
import { startFeedback } from "./feedback.js";
import { remember, showHistory } from "./history.js";
import { showNothing, showResult } from "./results.js";
import { formatted, same, spelt } from "./sql.js";

const LOOKS = 12; // tables offered on an empty page
const FIRST = 100; // rows of a table that is looked at

let request = null; // request(path, {body, signal, waiting}), which speaks of what goes wrong by `trouble`
let trouble = null;
let database = null; // one of the server's databases
let now = null; // the answer on screen
let working = null; // the AbortController of what is under way
let refreshFeedback = () => {};
const results = new Map(); // id -> result, of this visit

const question = $("question");

/** Another database: nothing asked yet. */
export function chooseDatabase(chosen) {
  working?.abort();
  database = chosen;
  now = null;
  editor.text = "";
  question.placeholder = chosen ? `Ask a question about ${chosen.name}` : "";
  for (const id of ["question", "send", "sql"]) $(id).disabled = !chosen;
  $("follow").checked = false;
  describe();
  const looks = chosen?.tables.slice(0, LOOKS).map((table) => table.name);
  showNothing(chosen ? "The rows of an answer appear here." : "There is no database to ask about.", looks, look);
}

/** Runs a query for a table's first rows. */
export function look(table) {
  if (!database) return;
  now = null;
  editor.text = `SELECT * FROM ${spelt(table, database.dialect)} LIMIT ${FIRST}`;
  run();
}

/** Everything about the answer but its rows. */
function describe() {
  const result = now?.result;
  $("warnings").replaceChildren(...(result?.warnings ?? []).map((text) => make("li", {}, icon("warn"), make("span", {}, text))));
  $("warnings").hidden = !result?.warnings.length;
  $("about").hidden = !result;
  const facts = result?.tables.length ? ["Reads ", ...result.tables.flatMap((name, at) => [at ? ", " : "", make("b", {}, name)]), " · "] : [];
  const earlier = now?.earlier ? ` · follow-up to “${cut(now.earlier.question, 60)}”` : "";
  $("facts").replaceChildren(...(result ? [...facts, duration(result.ms), earlier] : []));
  markUsed(result?.tables ?? []);
  const follows = Boolean(now?.question && now.result.sql);
  $("follow-chip").hidden = !follows;
  $("keys").hidden = follows; // known by now, and there is no room for both
  if (!follows) $("follow").checked = false;
  else {
    $("follow-chip").querySelector("q").textContent = cut(now.question, 40);
    $("follow-chip").title = now.question;
  }
  tellOrigin();
  refreshFeedback();
  showHistory(database?.name ?? "", now?.id ?? null, bringBack);
}

function tellOrigin() {
  const sql = editor.text.trim();
  for (const id of ["run", "format", "copy"]) $(id).disabled = !sql || (id === "run" && working !== null);
  const model = now?.question && sql && same(sql, now.written);
  const changed = sql && now && !same(sql, now.result.sql);
  const origin = changed ? "edited, not run yet" : model ? "written by the model" : now?.question && sql ? "edited" : "";
  const elsewhere = origin && now?.question && question.value.trim() !== now.question; // the next question is being typed
  $("origin").textContent = elsewhere ? `${origin}, for “${cut(now.question, 40)}”` : origin;
  $("run").querySelector("span").textContent = now && !changed ? "Run again" : "Run";
}

function bringBack(entry) {
  if (working) return;
  question.value = entry.question;
  const result = results.get(entry.id);
  editor.text = entry.sql;
  if (!result) {
    now = { ...entry, result: { sql: entry.sql, warnings: [], tables: [], ms: 0, error: null }, kept: null };
    run();
    return;
  }
  now = { ...entry, result, kept: null };
  present();
  say(`Brought back: ${entry.question || entry.sql}`);
}

/** Shows the answer of now and notes it in the history. */
function present() {
  const { result } = now;
  results.set(now.id, result);
  const { id, database: of, question: asked, written, earlier, time } = now;
  const rows = result.error ? null : result.row_count;
  remember({ id, database: of, question: asked, sql: result.sql, written, earlier, rows, failed: Boolean(result.error), time });
  describe();
  showResult(result, `${of}-${new Date(time).toISOString().slice(0, 10)}`, () => editor.focus());
}

function told({ error, row_count: rows, ms, sql }) {
  if (error) return `The query failed: ${error.message || error.category}`;
  return sql ? `${counted(rows, "row")} in ${duration(ms)}` : "The model wrote no SQL";
}

/** One request with its seconds counted on screen; null where it was stopped or came to nothing. */
async function work(doing, path, body) {
  working?.abort();
  const own = new AbortController();
  working = own;
  const start = performance.now();
  const count = () => ($("seconds").textContent = `${((performance.now() - start) / 1000).toFixed(1)} s`);
  const timer = setInterval(count, 100);
  const waiting = (left) =>
    ($("doing").textContent = left ? `The server is busy; trying again in ${left} s` : doing);
  $("doing").textContent = doing;
  count();
  busy(true);
  say(doing);
  try {
    return await request(path, { body, signal: own.signal, waiting });
  } catch (error) {
    if (own.signal.aborted) say("Stopped");
    else trouble(error);
    return null;
  } finally {
    clearInterval(timer);
    if (working === own) {
      working = null;
      busy(false);
    }
  }
}

function busy(on) {
  const [sent, stopped] = [$("send"), $("stop")].map((button) => button === document.activeElement);
  for (const id of ["busy", "stop"]) $(id).hidden = !on;
  $("send").hidden = on;
  $("keys").hidden = on || !$("follow-chip").hidden;
  document.body.classList.toggle("working", on);
  tellOrigin();
  $("result-panel").setAttribute("aria-busy", on);
  if (sent && on) $("stop").focus(); // a button that is hidden would lose the focus
  if (stopped && !on) question.focus();
}

/** An answer that is not in the history yet. */
const fresh = (parts) => ({
  id: crypto.getRandomValues(new Uint32Array(2)).join("-"),
  database: database.name,
  kept: null,
  time: Date.now(),
  ...parts,
});

async function ask() {
  const text = question.value.trim();
  if (!text || !database || working) return;
  const earlier = $("follow").checked && now ? { question: now.question, sql: now.result.sql } : null;
  const result = await work("Writing SQL", "v1/sql", { database: database.name, question: text, earlier });
  if (!result) return;
  now = fresh({ question: text, written: result.sql, earlier, result });
  editor.text = result.sql;
  present();
  say(told(result));
}

/** Runs what the editor holds; whether the query could be run. */
async function run() {
  const sql = editor.text.trim();
  if (!sql || !database || working) return false;
  const asked = now?.question ?? "";
  const result = await work("Running", "v1/run", { database: database.name, sql, question: asked });
  if (!result) return false;
  if (now && (now.question || same(now.result.sql, sql))) now.result = { ...result, sql };
  else now = fresh({ question: "", written: "", earlier: null, result: { ...result, sql } });
  present();
  say(told(result));
  return !result.error;
}

async function copy() {
  const label = $("copy").querySelector("span");
  label.textContent = (await editor.copy()) ? "Copied" : "Not copied";
  say(label.textContent);
  setTimeout(() => (label.textContent = "Copy"), 1500);
}

/** `send(path, {body, signal, waiting})` makes a request, `onTrouble(error)` says why one came to nothing. */
export function startAnswers(send, onTrouble) {
  [request, trouble] = [send, onTrouble];
  refreshFeedback = startFeedback({ answer: () => now, run, send: (body) => send("v1/feedback", { body }), failed: onTrouble });
  editor.onChange(tellOrigin);
  question.addEventListener("input", tellOrigin);
  editor.onRun(run);
  question.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    ask();
  });
  $("ask").addEventListener("submit", (event) => (event.preventDefault(), ask()));
  $("stop").addEventListener("click", () => working?.abort());
  $("run").addEventListener("click", run);
  $("copy").addEventListener("click", copy);
  $("format").addEventListener("click", () => editor.rewrite(formatted(editor.text)));
  $("follow").addEventListener("change", (event) => {
    if (event.target.checked && question.value.trim() === now?.question) question.value = "";
    question.focus();
  });
}
