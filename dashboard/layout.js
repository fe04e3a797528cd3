/*
 * Places a directed acyclic graph from left to right in layers: a node stands behind all that it
 * reads; long edges get a place of their own in each layer between, so that they run around nodes;
 * sweeps of barycentres take crossings out; neighbours then pull each other level. Where there is no
 * room for layers, on a phone, it is an outline from top to bottom instead.
 */

const SWEEPS = 8;
const INDENT = 28;

function depths(names, edges) {
  const depth = new Map(names.map((name) => [name, 0]));
  for (let round = 0; round < names.length; round++) {
    for (const { from, to } of edges) {
      depth.set(to, Math.max(depth.get(to), depth.get(from) + 1));
    }
  }
  return depth;
}

/* Layers of places, each knowing its neighbours; `paths` has the places of each edge. */
function place(names, edges) {
  const depth = depths(names, edges);
  const layers = Array.from({ length: Math.max(...depth.values()) + 1 }, () => []);
  const places = new Map();
  const add = (layer, name) => {
    const made = { name, layer, left: [], right: [], y: 0 };
    layers[layer].push(made);
    return made;
  };
  for (const name of names) {
    places.set(name, add(depth.get(name), name));
  }
  const paths = edges.map(({ from, to }) => {
    const path = [places.get(from)];
    for (let layer = depth.get(from) + 1; layer < depth.get(to); layer++) {
      path.push(add(layer, null));
    }
    path.push(places.get(to));
    for (let i = 1; i < path.length; i++) {
      path[i - 1].right.push(path[i]);
      path[i].left.push(path[i - 1]);
    }
    return path;
  });
  return { layers, places, paths };
}

const mean = (list, value, otherwise) =>
  list.length > 0 ? list.reduce((total, item) => total + value(item), 0) / list.length : otherwise;

function order(layers) {
  const index = () => layers.forEach((layer) => layer.forEach((p, i) => (p.index = i)));
  index();
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const side = sweep % 2 === 0 ? "left" : "right";
    for (const layer of side === "left" ? layers : [...layers].reverse()) {
      layer.forEach((p) => (p.wish = mean(p[side], (other) => other.index, p.index)));
      layer.sort((a, b) => a.wish - b.wish || a.index - b.index);
      layer.forEach((p, i) => (p.index = i));
    }
  }
}

/* Gives each place the height that its neighbours wish, and keeps the order and the distances. */
function level(layer, side, step) {
  const wishes = layer.map((p) => mean(p[side], (other) => other.y, p.y));
  let previous = -Infinity;
  layer.forEach((p, i) => {
    p.y = Math.max(wishes[i], previous + step);
    previous = p.y;
  });
  const shift = mean([...layer.keys()], (i) => layer[i].y - wishes[i], 0);
  layer.forEach((p) => (p.y -= shift));
}

/* A path through points, level at each. */
function curve(points) {
  let path = `M${points[0].x},${points[0].y}`;
  for (let i = 1; i < points.length; i++) {
    const [a, b] = [points[i - 1], points[i]];
    const middle = (a.x + b.x) / 2;
    path += `C${middle},${a.y} ${middle},${b.y} ${b.x},${b.y}`;
  }
  return path;
}

/*
 * names: of the nodes; edges: {from, to}; box: width, height, gapX, gapY.
 * Returns the drawing's width and height, `nodes` (name -> {x, y} of its upper left corner) and
 * `paths`: each edge as the "d" of an SVG path.
 */
export function layout(names, edges, box) {
  const { layers, places, paths } = place(names, edges);
  const step = box.height + box.gapY;
  order(layers);
  layers.forEach((layer) => layer.forEach((p) => (p.y = p.index * step)));
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const side = sweep % 2 === 0 ? "left" : "right";
    (side === "left" ? layers : [...layers].reverse()).forEach((l) => level(l, side, step));
  }
  const all = layers.flat();
  const top = Math.min(...all.map((p) => p.y));
  all.forEach((p) => {
    p.x = p.layer * (box.width + box.gapX);
    p.y += box.gapY - top;
  });
  const points = (path) =>
    path.flatMap((p, i) => {
      const y = p.y + box.height / 2;
      const ends = [{ x: p.x, y }, { x: p.x + box.width, y }];
      return i === 0 ? [ends[1]] : i === path.length - 1 ? [ends[0]] : ends;
    });
  return {
    width: layers.length * (box.width + box.gapX) - box.gapX,
    height: Math.max(...all.map((p) => p.y)) + box.height,
    nodes: new Map([...places].map(([name, p]) => [name, { x: p.x, y: p.y }])),
    paths: paths.map((path) => curve(points(path))),
  };
}

/* The same as an outline, for `width`: one node a line, indented below what it reads. */
export function outline(names, edges, box, width) {
  const depth = depths(names, edges);
  const deepest = Math.max(1, ...depth.values());
  const indent = Math.min(INDENT, (width - box.width) / deepest);
  const at = new Map();
  const add = (name) => {
    const x = depth.get(name) * indent;
    at.set(name, { x, y: box.gapY + at.size * (box.height + box.gapY) });
    const readers = edges.filter((edge) => edge.from === name).map((edge) => edge.to);
    // one that reads several stands below the last of them
    const ready = (to) => edges.every((edge) => edge.to !== to || at.has(edge.from));
    readers.filter((to) => !at.has(to) && ready(to)).forEach((to) => at.has(to) || add(to));
  };
  names.filter((name) => depth.get(name) === 0).forEach(add);
  const path = ({ from, to }) => {
    const [a, b] = [at.get(from), at.get(to)];
    const [x, y] = [a.x + indent / 2, b.y + box.height / 2];
    return `M${x},${a.y + box.height}V${y - indent / 2}Q${x},${y} ${b.x},${y}`;
  };
  return {
    width,
    height: box.gapY + at.size * (box.height + box.gapY) - box.gapY,
    nodes: at,
    paths: edges.map(path),
  };
}
