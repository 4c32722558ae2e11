// Where the tables of a diagram stand. Tables that others refer to stand left of those; connected tables stand near each
// other; tables without foreign keys follow in columns of their own. No two overlap. Pure: no page is read or changed.

const ROW_GAP = 20;
const COLUMN_GAP = 44;
const SWEEPS = 6;
const CLEAR = 8; // between a line and a box that it passes

/** [child, parent] for each foreign key between two of the tables. */
export function edges(tables) {
  const byName = new Map(tables.map((table) => [table.name.toLowerCase(), table]));
  const found = [];
  for (const child of tables)
    for (const key of child.foreign_keys) {
      const parent = byName.get(key.table.toLowerCase());
      if (parent) found.push({ child, parent, key });
    }
  return found;
}

/** How many tables one has to pass from each to one that refers to none; keys in a circle are not followed twice. */
function depths(tables, links) {
  const depth = new Map();
  const open = new Set();
  function visit(table) {
    if (depth.has(table)) return depth.get(table);
    if (open.has(table)) return -1;
    open.add(table);
    const parents = links.filter((link) => link.child === table).map((link) => link.parent);
    const deepest = parents.reduce((most, parent) => Math.max(most, visit(parent)), -1);
    open.delete(table);
    depth.set(table, deepest + 1);
    return deepest + 1;
  }
  tables.forEach(visit);
  // Then each as near as can be to those that refer to it, which shortens lines and levels the columns.
  for (const table of [...tables].sort((one, other) => depth.get(other) - depth.get(one))) {
    const nearest = links.reduce(
      (least, { child, parent }) => (parent === table ? Math.min(least, depth.get(child) - 1) : least),
      Infinity,
    );
    if (nearest < Infinity) depth.set(table, Math.max(depth.get(table), nearest));
  }
  return depth;
}

/** Columns of boxes no higher than `most` where a box allows it, evenly filled. */
function columnsOf(tables, sizes, most) {
  const height = (some) => some.reduce((sum, table) => sum + sizes.get(table).height + ROW_GAP, 0);
  const share = height(tables) / Math.max(1, Math.ceil(height(tables) / most));
  const columns = [];
  let room = 0;
  for (const table of tables) {
    const needed = sizes.get(table).height + ROW_GAP;
    if (!columns.length || room < needed / 2) {
      columns.push([]);
      room = share;
    }
    columns.at(-1).push(table);
    room -= needed;
  }
  return columns;
}

/**
 * Where a line at about this height can pass a column without touching its boxes: between two of them, above or below.
 */
export function passage(boxes, wish) {
  const edges = boxes.flatMap(({ y, height }) => [y, y + height]);
  const ends = [-Infinity, ...edges, Infinity];
  let best = wish;
  let least = Infinity;
  for (let at = 0; at < ends.length; at += 2) {
    const free = Math.min(Math.max(wish, ends[at] + CLEAR), ends[at + 1] - CLEAR);
    if (Math.abs(free - wish) < least) [best, least] = [free, Math.abs(free - wish)];
  }
  return best;
}

/**
 * Places for tables of known sizes (a Map from table to {width, height}) in an area of about this width by height:
 * {boxes: Map from table to {x, y, width, height}, columns: [{x, width, boxes}], width, height}.
 */
export function place(tables, sizes, aspect) {
  const links = edges(tables).filter((link) => link.child !== link.parent);
  const linked = new Set(links.flatMap((link) => [link.child, link.parent]));
  const area = tables.reduce((sum, table) => {
    const { width, height } = sizes.get(table);
    return sum + (width + COLUMN_GAP) * (height + ROW_GAP);
  }, 0);
  const tallest = Math.max(0, ...tables.map((table) => sizes.get(table).height));
  const most = Math.max(tallest + ROW_GAP, Math.sqrt(area / aspect));

  const depth = depths(tables, links);
  const layers = [];
  for (const table of tables) if (linked.has(table)) (layers[depth.get(table)] ??= []).push(table);
  untangle(layers.filter(Boolean), links);
  const columns = layers.filter(Boolean).flatMap((layer) => columnsOf(layer, sizes, most));
  const alone = tables.filter((table) => !linked.has(table));
  if (alone.length) columns.push(...columnsOf(alone, sizes, most));
  return stand(columns, sizes);
}

/** Orders each layer by where its neighbours in the others stand, back and forth. */
function untangle(layers, links) {
  const spot = new Map();
  const count = () => layers.forEach((layer) => layer.forEach((table, place) => spot.set(table, (place + 0.5) / layer.length)));
  count();
  for (let sweep = 0; sweep < SWEEPS; sweep += 1)
    for (const layer of sweep % 2 ? [...layers].reverse() : layers) {
      const wish = new Map(
        layer.map((table) => {
          const near = links.flatMap(({ child, parent }) => (child === table ? [parent] : parent === table ? [child] : []));
          return [table, near.reduce((sum, other) => sum + spot.get(other), 0) / near.length];
        }),
      );
      layer.sort((one, other) => wish.get(one) - wish.get(other));
      count();
    }
}

function stand(columns, sizes) {
  const heights = columns.map((column) => column.reduce((sum, table) => sum + sizes.get(table).height + ROW_GAP, -ROW_GAP));
  const height = Math.max(0, ...heights);
  const boxes = new Map();
  const stood = [];
  let x = 0;
  columns.forEach((column, place) => {
    let y = (height - heights[place]) / 2;
    const width = Math.max(...column.map((table) => sizes.get(table).width));
    for (const table of column) {
      const size = sizes.get(table);
      boxes.set(table, { x, y, ...size });
      y += size.height + ROW_GAP;
    }
    stood.push({ x, width, boxes: column.map((table) => boxes.get(table)) });
    x += width + COLUMN_GAP;
  });
  return { boxes, columns: stood, width: Math.max(0, x - COLUMN_GAP), height };
}
