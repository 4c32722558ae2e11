// Rows as a CSV file (RFC 4180). Text that a spreadsheet would run as a formula gets an apostrophe in front, for what a
// database holds may be hostile; numbers, also those written as text, stay as they are.

const FORMULA = /^[=+\-@\t\r]/;
const PLAIN_NUMBER = /^[+-]?[\d., ]+(?:e[+-]?\d+)?$/i;

function field(value) {
  if (value === null) return "";
  if (typeof value !== "string") return typeof value === "object" ? quoted(JSON.stringify(value)) : String(value);
  const safe = FORMULA.test(value) && !PLAIN_NUMBER.test(value) ? `'${value}` : value;
  return safe === "" || /[",\r\n]/.test(safe) ? quoted(safe) : safe; // "" is the empty text, nothing is NULL
}

const quoted = (text) => `"${text.replaceAll('"', '""')}"`;

export const csv = (columns, rows) => [columns, ...rows].map((row) => `${row.map(field).join(",")}\r\n`).join("");

/** Hands the browser a file to save. */
export function save(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
