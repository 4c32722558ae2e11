// SQL as text: its tokens, their colours, its lines, and names spelt so that they can stand in it.

import { make } from "./dom.js";

const WORDS = new Set(
  (
    "all alter and any as asc between by case cast collate cross current date delete desc distinct else end escape except " +
    "exists false fetch filter first following from full glob group having ilike in inner insert intersect interval into is " +
    "isnull join last lateral left like limit natural not notnull null nulls offset on only or order outer over partition " +
    "preceding range recursive regexp right rlike row rows select set similar table then to true unbounded union unique " +
    "update using values when where window with xor"
  ).split(" "),
);
const TOKEN =
  /(?<comment>--[^\n]*|\/\*[\s\S]*?(?:\*\/|$))|(?<string>'(?:[^']|'')*(?:'|$))|(?<name>"(?:[^"]|"")*(?:"|$)|`(?:[^`]|``)*(?:`|$)|\[[^\]\n]*\])|(?<number>\b\d+(?:\.\d*)?(?:e[+-]?\d+)?\b)|(?<word>[\p{L}_][\p{L}\p{N}_$]*)|(?<space>\s+)|(?<other>[\s\S])/giu;
// Each begins a line of its own; JOIN only without the words before it.
const LINES = new Set(
  "select from where group having order limit offset union intersect except window with left right full inner cross natural join".split(" "),
);
const BEFORE_JOIN = new Set("left right full inner cross natural outer".split(" "));

/** The tokens of a text, which joined are the text: {kind, text}. */
export function tokens(sql) {
  return [...sql.matchAll(TOKEN)].map((found) => {
    const [kind, text] = Object.entries(found.groups).find(([, part]) => part !== undefined);
    return { kind: kind === "word" && WORDS.has(text.toLowerCase()) ? "keyword" : kind, text };
  });
}

/** The text in spans of their colours. */
export function coloured(sql) {
  const found = tokens(sql);
  return found.map(({ kind, text }, place) => {
    const calls = kind === "word" && found[place + 1]?.text === "(";
    const colour = calls ? "function" : kind;
    return ["space", "word"].includes(colour) ? text : make("span", { class: `t-${colour}` }, text);
  });
}

/** Whether two texts are the same query but for the space between tokens. */
export function same(one, other) {
  const [a, b] = [one, other].map((sql) => tokens(sql).filter((part) => part.kind !== "space").map((part) => part.text));
  return a.length === b.length && a.every((text, place) => text === b[place]);
}

/** The same query with a line for each clause: only the space between tokens changes. */
export function formatted(sql) {
  const parts = tokens(sql.trim());
  const written = parts.filter((part) => part.kind !== "space");
  const spaced = new Set(parts.filter((_, place) => parts[place - 1]?.kind === "space"));
  const frames = [{ query: true, between: false, cases: 0 }]; // one for each open parenthesis
  let text = "";
  let before = { kind: "", text: "" };
  for (const [place, part] of written.entries()) {
    const frame = frames.at(-1);
    const next = written[place + 1]?.text.toLowerCase();
    const word = part.kind === "keyword" ? part.text.toLowerCase() : "";
    const last = before.text.toLowerCase();
    const line = "\n" + "  ".repeat(frames.filter((each) => each.query).length - 1);
    let space = spaced.has(part) ? " " : "";
    if (before.text.startsWith("--")) space = line;
    else if (part.text === ")" && frame.query && frames.length > 1) space = line.slice(0, -2);
    else if (frame.query && text) {
      const joined = BEFORE_JOIN.has(last) && (word === "join" || BEFORE_JOIN.has(word));
      const called = ["left", "right"].includes(word) && next === "(";
      const both = (word === "and" && !frame.between) || word === "or";
      if (LINES.has(word) && !joined && !called && last !== "distinct") space = line;
      else if (both && frame.cases === 0) space = `${line}  `;
    }
    if (word === "between" || word === "and") frame.between = word === "between";
    if (word === "case" || word === "end") frame.cases += word === "case" ? 1 : -1;
    if (part.text === "(") frames.push({ query: ["select", "with"].includes(next), between: false, cases: 0 });
    if (part.text === ")" && frames.length > 1) frames.pop();
    text += space + part.text;
    before = part;
  }
  return text;
}

/** A table's or column's name as it has to be written in a query. */
export function spelt(name, dialect) {
  const bare = dialect === "postgres" ? /^[a-z_][a-z0-9_]*$/ : /^[A-Za-z_][A-Za-z0-9_]*$/;
  if (bare.test(name) && !WORDS.has(name.toLowerCase())) return name;
  const mark = dialect === "mysql" ? "`" : '"';
  return mark + name.replaceAll(mark, mark + mark) + mark;
}
