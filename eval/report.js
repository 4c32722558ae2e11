"use strict";
// The browser of examples. What it shows was written by models and by the authors of data sets, so all of it
// becomes text nodes, never markup. The part of the address after # says what is shown: filters, or an example.

const data = JSON.parse(document.getElementById("data").textContent);
const { runs, questions, categories, metrics } = data;
const PAGE = 25;
const TITLE_LENGTH = 300;
const DIFF_TOKENS = 1500; // of either query; beyond, two are shown without marks
const SELECTS = ["run", "verdict", "category", "hardness", "db", "feature", "tables", "words"];
const TITLE = document.title;
const byId = new Map(questions.map((question) => [question.id, question]));
const [overview, detail, form, results, more, count, clear] = [
  "overview", "detail", "filters", "results", "more", "count", "clear",
].map((id) => document.getElementById(id));
const search = form.elements.namedItem("q");
let filters = {};
let found = questions;
let shown = 0;
let own = false; // the form changed the address, so it needs no change itself and the page no scrolling

/** An element; strings become text, null and "" nothing. Many children come as an array: a call takes only so many. */
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  for (const child of children.flat()) if (child !== null && child !== "") element.append(child);
  return element;
}

const quiet = (...children) => make("p", { class: "quiet" }, ...children);
const address = (state) => "#" + (new URLSearchParams(state).toString() || "list");

// --- which examples ---

/** The run that verdict and category are about. */
const judged = () => Number(filters.run ?? runs.length - 1);

/** true, false, or null where nothing was counted: no answer, or a gold query that failed. */
function isRight(answer) {
  return !answer || answer.category === "gold_failed" ? null : answer.ex === 1;
}

const pair = (before, after) => (question) =>
  isRight(question.answers[0]) === before && isRight(question.answers[1]) === after;
const VERDICTS = {
  right: ["right", (question) => isRight(question.answers[judged()]) === true],
  wrong: ["wrong", (question) => isRight(question.answers[judged()]) === false],
  ...(runs.length === 2 && {
    won: [`won by ${runs[1]}`, pair(false, true)],
    lost: [`lost by ${runs[1]}`, pair(true, false)],
    both: ["right with both", pair(true, true)],
    neither: ["wrong with both", pair(false, false)],
  }),
};

function haystack(question) {
  const { id, db_id, question: asked, gold, answers } = question;
  question.lower ??= [id, db_id, asked, gold, ...answers.map((answer) => answer?.sql)].join("\n").toLowerCase();
  return question.lower;
}

/** The group of the breakdown by tables. */
const tablesOf = ({ tables }) => (tables === undefined ? "" : tables > 3 ? "4+" : String(Math.max(tables, 1)));

/** Whether the question is as long as "9-12 words" or "21 words or more" says. */
function isLong(question, span) {
  const [low = Infinity, high = Infinity] = span.match(/\d+/g)?.map(Number) ?? [];
  const words = (question.question ?? "").split(/\s+/).filter(Boolean).length;
  return low <= words && words <= high;
}

function matching() {
  const words = (filters.q ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const verdict = filters.verdict ? (VERDICTS[filters.verdict]?.[1] ?? (() => false)) : null;
  return questions.filter(
    (question) =>
      (!verdict || verdict(question)) &&
      (!filters.category || question.answers[judged()]?.category === filters.category) &&
      (!filters.hardness || question.hardness === filters.hardness) &&
      (!filters.db || question.db_id === filters.db) &&
      (!filters.feature || question.features?.includes(filters.feature)) &&
      (!filters.tables || tablesOf(question) === filters.tables) &&
      (!filters.words || isLong(question, filters.words)) &&
      words.every((word) => haystack(question).includes(word)),
  );
}

// --- the list ---

function chip(text, right, of = "") {
  const look = right === null ? "chip" : right ? "chip good" : "chip bad";
  return make("span", { class: look }, ...(of ? [make("span", { class: "of" }, of), " "] : []), text);
}

function outcome(answer, of = "") {
  return chip(answer ? (categories[answer.category] ?? answer.category) : "no answer", isRight(answer), of);
}

function entry(question) {
  const href = address({ ...filters, example: question.id });
  const title = question.question || question.gold || question.id;
  const link = make("a", { href }, title.length > TITLE_LENGTH ? title.slice(0, TITLE_LENGTH) + "…" : title);
  const about = [question.id, question.db_id, question.hardness].filter(Boolean).join(" · ");
  const chips = question.answers.map((answer, place) => outcome(answer, runs.length > 1 ? runs[place] : ""));
  return make("li", {}, make("div", {}, link, make("small", {}, about)), make("div", { class: "chips" }, chips));
}

function showMore() {
  const next = found.slice(shown, shown + PAGE).map(entry);
  for (const item of next) results.append(item);
  shown += next.length;
  more.hidden = shown >= found.length;
  more.textContent = `Show ${Math.min(PAGE, found.length - shown)} more`;
  return next[0];
}

function showList() {
  found = matching();
  shown = 0;
  results.replaceChildren();
  showMore();
  const filtered = Object.keys(filters).length > 0;
  const all = questions.length === 1 ? "1 example" : `${questions.length} examples`;
  count.textContent = filtered ? `${found.length} of ${all}` : all;
  clear.hidden = !filtered;
  if (own) return;
  search.value = filters.q ?? "";
  for (const name of SELECTS.filter((name) => form.elements[name])) form.elements[name].value = filters[name] ?? "";
}

/** The values that occur, in the given order, then in that of the alphabet. */
function occurring(values, order = []) {
  const seen = new Set(values.filter(Boolean));
  const known = order.filter((value) => seen.has(value));
  return [...known, ...[...seen].filter((value) => !known.includes(value)).sort()];
}

function fillForm() {
  const fill = (name, options) => {
    const field = form.elements[name];
    if (!field) return;
    for (const [value, label] of options) field.append(make("option", { value }, label));
    field.parentElement.hidden = options.length < 2;
  };
  const any = (values, labels = {}) => [["", "any"], ...values.map((value) => [value, labels[value] ?? value])];
  const kinds = questions.flatMap((question) => question.answers.map((answer) => answer?.category));
  const labels = Object.fromEntries(Object.entries(VERDICTS).map(([name, [label]]) => [name, label]));
  fill("run", runs.map((name, place) => [place === runs.length - 1 ? "" : String(place), name]));
  fill("verdict", any(Object.keys(labels), labels));
  fill("category", any(occurring(kinds, Object.keys(categories)), categories));
  fill("hardness", any(occurring(questions.map((question) => question.hardness), data.hardness)));
  fill("db", any(occurring(questions.map((question) => question.db_id))));
  fill("feature", any(occurring(questions.flatMap((question) => question.features ?? []))));
  fill("tables", any(occurring(questions.map(tablesOf))));
  fill("words", any(data.lengths));
}

// --- one example ---

const TOKEN = /'(?:[^']|'')*'|"[^"]*"|`[^`]*`|[\p{L}_][\p{L}\p{N}_$]*|[\d.]+|[<>!=]=|<>|\|\||\s+|./gsu;
const compared = (token) => (/^['"`]/.test(token) ? token : token.toLowerCase());
const silent = (token) => /^[\s;]+$/.test(token);

/** The places, in two lists of tokens, of their longest common subsequence; null if the lists are too long. */
function common(left, right) {
  const [a, b] = [left, right].map((tokens) =>
    tokens.map((token, place) => [compared(token), place]).filter(([token]) => !silent(token)),
  );
  if (Math.max(a.length, b.length) > DIFF_TOKENS) return null;
  const width = b.length + 1;
  const length = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1, at = i * width + j; j >= 0; j--, at--)
      length[at] = a[i][0] === b[j][0] ? length[at + width + 1] + 1 : Math.max(length[at + width], length[at + 1]);
  const kept = [new Set(), new Set()];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    if (a[i][0] === b[j][0]) {
      kept[0].add(a[i++][1]);
      kept[1].add(b[j++][1]);
    } else if (length[(i + 1) * width + j] >= length[i * width + j + 1]) i++;
    else j++;
  }
  return kept;
}

/** A text of a question or an answer; where only its beginning is in the page, its length is told. */
function whole(source, key) {
  const length = source.cut?.[key];
  return [source[key] ?? "", length ? make("i", { class: "quiet" }, `… ${length.toLocaleString("en")} characters in all`) : null];
}

/** Gold and prediction, the tokens marked that only one of them has; null if they are too long for that. */
function marked(question, answer) {
  if (!answer.sql || question.cut?.gold || answer.cut?.sql) return null;
  const sides = [question.gold ?? "", answer.sql].map((sql) => sql.match(TOKEN) ?? []);
  const kept = common(...sides);
  const drawn = (tokens, side) =>
    tokens.map((token, place) => (kept[side].has(place) || silent(token) ? token : make("mark", {}, token)));
  return kept && sides.map(drawn);
}

function table(result, fact = "") {
  const told = (rows) => quiet([rows, fact].filter(Boolean).join(" · "));
  if (!result?.columns?.length) return told("no result");
  const cell = (value) =>
    value === null
      ? make("td", {}, make("i", {}, "NULL"))
      : make("td", typeof value === "number" ? { class: "number" } : {}, String(value));
  const head = make("tr", {}, result.columns.map((name) => make("th", { scope: "col" }, String(name))));
  const rows = result.rows.map((row) => make("tr", {}, row.map(cell)));
  const drawn = make("table", { class: "rows" }, make("thead", {}, head), make("tbody", {}, rows));
  const all = result.row_count === 0 ? "no rows" : `${result.row_count} row${result.row_count === 1 ? "" : "s"}`;
  const cut = rows.length < result.row_count ? `first ${rows.length} of ` : "";
  return make("div", {}, make("div", { class: "scroll" }, drawn), told(cut + all));
}

function answerBlock(question, answer, place) {
  const heading = make("h2", { class: `name s${place}` }, runs[place]);
  if (!answer) return make("section", {}, heading, quiet("This run has no answer to the question."));
  const marks = marked(question, answer);
  const [gold, predicted] = marks ?? [whole(question, "gold"), whole(answer, "sql")];
  const alike = question.gold === answer.sql && !answer.cut?.sql;
  const unmarked = answer.sql && !marks && !alike ? quiet("Too long to mark the differences.") : null;
  const scored = Object.entries(metrics).filter(([name]) => name in answer && answer.category !== "gold_failed");
  const chips = scored.map(([name, label]) => chip(answer[name] === 1 ? "right" : "wrong", answer[name] === 1, label));
  const query = (side, parts) => make("pre", { class: side }, parts);
  const raw = [make("summary", {}, "Everything the model wrote"), make("pre", {}, whole(answer, "text"))];
  return make(
    "section", {}, heading,
    make("p", { class: "chips" }, outcome(answer), chips),
    answer.message ? make("p", { class: "message" }, whole(answer, "message")) : null,
    make("div", { class: "pair" },
      make("div", {}, make("h3", {}, "Gold"), query("gold", gold), table(question.gold_result)),
      make("div", {}, make("h3", {}, "Predicted"), answer.sql ? query("predicted", predicted) : quiet("no SQL"),
        table(answer.predicted_result, "ms" in answer ? `ran in ${answer.ms} ms` : ""),
      ),
    ),
    unmarked,
    answer.prompt_digest ? quiet(`prompt digest ${answer.prompt_digest}`) : null,
    answer.text ? make("details", {}, raw) : null,
  );
}

/** The question of an id, or of its number in the page where no id is so. */
const asked = (id) => byId.get(id) ?? (/^\d+$/.test(id) ? questions[Number(id) - 1] : undefined);

function showDetail(id) {
  const question = asked(id);
  const link = (label, rel, state) => make("a", { rel, href: address(state) }, label);
  const back = link("Back to the list", "up", filters);
  if (!question) {
    detail.replaceChildren(make("nav", {}, back), make("h1", { tabindex: "-1" }, `There is no example “${id}”`));
    return;
  }
  const row = found.includes(question) ? found : questions;
  const place = row.indexOf(question);
  const step = (label, rel, to) =>
    to ? link(label, rel, { ...filters, example: to.id }) : make("span", { class: "quiet" }, label);
  const tables = question.tables ? `${question.tables} table${question.tables === 1 ? "" : "s"}` : "";
  const named = question.question ? id : ""; // else the id is the heading
  const about = [named, question.split, question.db_id, question.hardness, ...(question.features ?? []), tables];
  const legend = make(
    "p", { class: "quiet legend" },
    make("mark", { class: "gold" }, "Marked in gold"), ": not in the prediction. ",
    make("mark", { class: "predicted" }, "Marked in the prediction"), ": not in gold. ",
    "Letter case and spaces do not count.",
  );
  detail.replaceChildren(
    make("nav", { "aria-label": "Examples" }, back,
      step("Previous", "prev", row[place - 1]), step("Next", "next", row[place + 1]),
      make("span", { class: "quiet" }, `${place + 1} of ${row.length}`),
    ),
    make("h1", { tabindex: "-1" }, question.question ? whole(question, "question") : question.id),
    quiet(about.filter(Boolean).join(" · ")),
    ...question.answers.map((answer, number) => answerBlock(question, answer, number)),
  );
  if (detail.querySelector("pre mark")) detail.append(legend);
}

// --- the address ---

function follow(event) {
  const hash = location.hash.slice(1);
  const state = Object.fromEntries(new URLSearchParams(hash));
  // An address without "=" is a place in the page: it leaves the filters as they are.
  if (hash.includes("=") || hash === "list") {
    filters = Object.fromEntries(["q", ...SELECTS].filter((name) => state[name]).map((name) => [name, state[name]]));
    // The last run is meant where none is named.
    if (!Object.keys(runs).slice(0, -1).includes(filters.run)) delete filters.run;
  }
  const left = detail.hidden ? null : byId.get(detail.dataset.id);
  const open = "example" in state;
  showList();
  [detail.hidden, overview.hidden] = [!open, open];
  const id = asked(state.example)?.id ?? state.example;
  document.title = open ? `${id}: ${TITLE}` : TITLE;
  if (open) {
    detail.dataset.id = id;
    showDetail(id);
    scrollTo(0, 0);
    if (event) detail.querySelector("h1").focus({ preventScroll: true });
  } else if (left && found.includes(left)) {
    while (shown <= found.indexOf(left)) showMore();
    const item = results.children[found.indexOf(left)];
    item.scrollIntoView({ block: "center" });
    item.querySelector("a").focus({ preventScroll: true });
  } else if (!own && hash.includes("=")) document.getElementById("examples").scrollIntoView();
  else if (left) document.getElementById(hash)?.scrollIntoView();
  own = false;
}

function change() {
  const fields = ["q", ...SELECTS].map((name) => [name, form.elements[name]?.value.trim()]);
  const next = address(Object.fromEntries(fields.filter(([, value]) => value)));
  if (next === (location.hash || "#list")) return;
  own = true;
  location.replace(next);
}

let wait = 0;
search.addEventListener("input", () => {
  clearTimeout(wait);
  wait = setTimeout(change, 150);
});
form.addEventListener("change", change);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  change();
});
more.addEventListener("click", () => showMore()?.querySelector("a").focus());
addEventListener("keydown", (event) => {
  // Where a wide table has the focus the arrows scroll it.
  const busy = event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || event.target.closest(".scroll");
  const rel = { ArrowLeft: "prev", ArrowRight: "next", Escape: "up" }[event.key];
  if (!detail.hidden && !busy) detail.querySelector(`a[rel="${rel}"]`)?.click();
});
addEventListener("hashchange", follow);
fillForm();
form.hidden = count.parentElement.hidden = false;
follow(null);
