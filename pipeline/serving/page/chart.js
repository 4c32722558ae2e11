// A chart where the rows suggest one: a label and one or two numbers make bars, a date or year and numbers a line.
// Drawn by hand in SVG; the rows themselves are the chart's text.

import { cut, draw, make } from "./dom.js";

const MOST_BARS = 40;
const MOST_POINTS = 1000;
const APART = 20; // a second number this many times larger or smaller than the first would hide it
const DATE = /^\d{4}-\d{2}(-\d{2}([ T].*)?)?$/;
const YEAR = /(^|_| )(year|yr)$/i;
const NO_MEASURE = /(^|_| )(id|key|code|zip|phone)$/i;
const LETTER = 6.4;

const isNumber = (value) => typeof value === "number" || typeof value === "bigint";
const filled = (rows, at) => rows.map((row) => row[at]).filter((value) => value !== null);

/** {kind: "bars" | "line", label, series: [{name, at}]}, or null where rows suggest none. */
export function suggest({ columns, rows }) {
  if (rows.length < 2 || columns.length < 2 || columns.length > 3) return null;
  const places = columns.map((_, at) => at);
  const numeric = places.filter((at) => filled(rows, at).length && filled(rows, at).every(isNumber));
  const isTime = (at) => {
    const values = filled(rows, at);
    if (values.length < rows.length || new Set(values).size < rows.length) return false;
    if (YEAR.test(columns[at])) return values.every((value) => /^\d{4}$/.test(String(value)));
    return values.every((value) => typeof value === "string" && DATE.test(value) && !Number.isNaN(Date.parse(value)));
  };
  const time = places.find(isTime);
  const label = time ?? places.find((at) => !numeric.includes(at));
  if (label === undefined) return null;
  const measures = places.filter((at) => at !== label && numeric.includes(at) && !NO_MEASURE.test(columns[at]));
  if (measures.length !== columns.length - 1) return null;
  if (time === undefined && (rows.length > MOST_BARS || new Set(rows.map((row) => row[label])).size < rows.length)) return null;
  if (rows.length > MOST_POINTS) return null;
  const largest = (at) => Math.max(...filled(rows, at).map((value) => Math.abs(Number(value))));
  const [first, second] = measures;
  const far = second !== undefined && Math.max(largest(first) / largest(second), largest(second) / largest(first)) > APART;
  const series = (far ? [first] : measures).map((at) => ({ name: columns[at], at }));
  return { kind: time !== undefined && rows.length > 2 ? "line" : "bars", label, series };
}

/** A figure of the width given. */
export function chart(result, suggestion, width) {
  const { columns, rows } = result;
  const { kind, label, series } = suggestion;
  const names = series.map((each) => each.name).join(" and ");
  const picture = (kind === "line" ? lines : bars)(rows, suggestion, Math.max(width, 240));
  picture.setAttribute("role", "img");
  picture.setAttribute("class", "chart");
  picture.setAttribute("aria-label", `${names} by ${columns[label]}: ${rows.length} values. The table holds them all.`);
  const legend = series.map(({ name }, at) => make("span", { class: `s${at}` }, name));
  const left = columns.filter((name, at) => at !== label && !series.some((each) => each.at === at));
  return make(
    "figure",
    {},
    make("figcaption", {}, legend, make("span", { class: "by" }, `by ${columns[label]}`), left.length ? ` (${left.join(", ")}: see the table)` : null),
    picture,
  );
}

/** Round values that reach from the least to the most, zero among them. */
export function ticks(least, most, about) {
  const span = most - least || 1;
  const power = 10 ** Math.floor(Math.log10(span / about));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => span / size <= about);
  const first = Math.floor(least / step);
  const last = Math.ceil(most / step);
  return Array.from({ length: last - first + 1 }, (_, at) => Number(((first + at) * step).toPrecision(12)));
}

const short = (value) =>
  Math.abs(value) >= 10_000
    ? new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(value)
    : String(Number(value.toPrecision(6)));

const range = (rows, series) => {
  const values = series.flatMap(({ at }) => filled(rows, at).map(Number));
  return [Math.min(0, ...values), Math.max(0, ...values)];
};

function bars(rows, { label, series }, width) {
  const thick = series.length > 1 ? 10 : 16;
  const step = series.length * thick + 10;
  const labels = rows.map((row) => (row[label] === null ? "NULL" : String(row[label])));
  const most = Math.min(width * 0.38, 200);
  const left = Math.min(most, Math.max(...labels.map((text) => text.length)) * LETTER + 8) + 4;
  const [least, largest] = range(rows, series);
  const marks = ticks(least, largest, Math.max(2, Math.floor((width - left) / 90)));
  const right = width - 48;
  const x = (value) => left + ((value - marks[0]) / (marks.at(-1) - marks[0] || 1)) * (right - left);
  const bottom = rows.length * step + 4;
  const picture = draw("svg", { viewBox: `0 0 ${width} ${bottom + 22}`, width, height: bottom + 22 });
  for (const value of marks)
    picture.append(
      draw("path", { class: value === 0 ? "axis" : "grid", d: `M${x(value)} 0V${bottom}` }),
      draw("text", { class: "tick", x: x(value), y: bottom + 15, "text-anchor": "middle" }, short(value)),
    );
  rows.forEach((row, at) => {
    const middle = at * step + step / 2;
    picture.append(
      draw("text", { class: "label", x: left - 8, y: middle + 4, "text-anchor": "end" }, draw("title", {}, labels[at]), cut(labels[at], Math.floor((left - 8) / LETTER))),
    );
    series.forEach(({ name, at: place }, which) => {
      if (row[place] === null) return;
      const value = Number(row[place]);
      const top = middle - (series.length * thick) / 2 + which * thick;
      const [from, to] = [x(Math.min(0, value)), x(Math.max(0, value))];
      picture.append(
        draw("rect", { class: `bar s${which}`, x: from, y: top, width: Math.max(to - from, 0.5), height: thick - 1, rx: 1.5 }, draw("title", {}, `${labels[at]}: ${name} ${row[place]}`)),
        draw("text", { class: "value", x: (value < 0 ? x(0) : to) + 5, y: top + thick / 2 + 3.5 }, short(value)),
      );
    });
  });
  return picture;
}

function lines(rows, { label, series }, width) {
  const height = 260;
  const [top, bottom] = [10, height - 28];
  const when = (value) => (/^\d{4}$/.test(String(value)) ? Number(value) : Date.parse(value));
  const sorted = [...rows].sort((one, other) => when(one[label]) - when(other[label]));
  const [least, largest] = range(rows, series);
  const marks = ticks(least, largest, 5);
  const left = Math.max(...marks.map((value) => short(value).length)) * LETTER + 12;
  const right = width - 16;
  const [start, end] = [when(sorted[0][label]), when(sorted.at(-1)[label])];
  const x = (value) => left + ((when(value) - start) / (end - start)) * (right - left);
  const y = (value) => bottom - ((Number(value) - marks[0]) / (marks.at(-1) - marks[0])) * (bottom - top);
  const picture = draw("svg", { viewBox: `0 0 ${width} ${height}`, width, height });
  for (const value of marks)
    picture.append(
      draw("path", { class: value === 0 ? "axis" : "grid", d: `M${left} ${y(value)}H${right}` }),
      draw("text", { class: "tick", x: left - 8, y: y(value) + 4, "text-anchor": "end" }, short(value)),
    );
  const widest = Math.max(...sorted.map((row) => String(row[label]).slice(0, 10).length)) * LETTER + 16;
  let taken = -Infinity;
  for (const row of sorted) {
    const at = x(row[label]);
    const centre = Math.min(Math.max(at, widest / 2), width - widest / 2); // within the picture
    if (centre - widest / 2 < taken) continue;
    taken = centre + widest / 2;
    picture.append(draw("text", { class: "tick", x: centre, y: bottom + 18, "text-anchor": "middle" }, String(row[label]).slice(0, 10)));
  }
  series.forEach(({ name, at: place }, which) => {
    const points = sorted.filter((row) => row[place] !== null);
    picture.append(
      draw("path", { class: `curve s${which}`, d: points.map((row, at) => `${at ? "L" : "M"}${x(row[label])} ${y(row[place])}`).join("") }),
    );
    for (const row of points)
      picture.append(
        draw("circle", { class: `dot s${which}`, cx: x(row[label]), cy: y(row[place]), r: points.length > 80 ? 1.5 : 3.5 }, draw("title", {}, `${row[label]}: ${name} ${row[place]}`)),
      );
  });
  return picture;
}
