/*
 * The topology as a drawing: made once for a topology and the kind of screen, then only its numbers
 * change.
 */
import { bytes, percent, perSecond, setAttribute, setText, svg, time } from "./format.js";
import { layout, outline } from "./layout.js";

const BOX = { width: 190, height: 74, gapX: 84, gapY: 40 };
const LINE = { ...BOX, gapY: 26 }; // in an outline
const SMALLEST = 0.7; // a drawing that does not fit is made smaller, to this; then it scrolls
const NARROW = 600; // px
const MARGIN = 8;
const NAME_CHARACTERS = 19;
const NOTE_CHARACTERS = 33;
const THINNEST = 1.5;
const THICKEST = 9;

const WAYS = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

/* What an edge has to say of itself; "" when all is well. */
export function noteOf(input) {
  if (input.held) {
    return input.holdsBack.length > 0 ? `full: holds back ${input.holdsBack.join(", ")}` : "full";
  }
  return input.detached ? `detached: ${input.behind.toLocaleString("en")} rows behind` : "";
}

function drawNode(node, at, select) {
  const text = (y, kind, of = "") => svg("text", { x: 18, y, class: kind }, of);
  const made = {
    note: svg("text", { x: 2, y: -9, class: "note" }),
    title: svg("title"),
    rate: text(62, "rate"),
    state: svg("text", { x: BOX.width - 10, y: 62, class: "state", "text-anchor": "end" }),
    shape: svg("g", {
      class: "node",
      tabindex: "0",
      role: "button",
      transform: `translate(${at.x},${at.y})`,
      "data-node": node.name,
    }),
  };
  made.shape.append(
    made.title,
    svg("rect", { class: "box", width: BOX.width, height: BOX.height, rx: 10 }),
    svg("path", {
      class: "layer",
      d: `M10,0a10,10 0 0 0 -10,10v${BOX.height - 20}a10,10 0 0 0 10,10z`,
    }),
    text(23, "name", cut(node.name, NAME_CHARACTERS)),
    text(41, "plugin", node.plugin),
    made.rate,
    made.state,
    made.note,
  );
  made.shape.addEventListener("click", () => select(node.name));
  return made;
}

export class Graph {
  /* select(name) is called when a node is chosen. */
  constructor(host, select) {
    this.host = host;
    this.select = select;
    host.addEventListener("keydown", (event) => this.key(event));
  }

  /* From left to right; as an outline where that does not fit at all. */
  place(names, edges) {
    const placed = layout(names, edges, BOX);
    const room = this.host.clientWidth - 2 * MARGIN;
    const deepest = (placed.width - BOX.width) / (BOX.width + BOX.gapX);
    const fits = placed.width * SMALLEST <= room;
    // an outline of very deep topologies would have no indents left
    this.isOutline = !fits && room < NARROW && room - BOX.width >= 6 * deepest;
    return this.isOutline ? outline(names, edges, LINE, room) : placed;
  }

  draw(nodes) {
    const edges = nodes.flatMap((node) =>
      node.inputs.map((input) => ({ from: input.from, to: node.name, name: input.name })),
    );
    const placed = this.place(nodes.map((node) => node.name), edges);
    this.width = this.host.clientWidth;
    this.at = placed.nodes;
    this.edges = new Map();
    const lines = svg("g", { class: "edges" });
    edges.forEach((edge, e) => {
      const title = svg("title");
      const key = `${edge.name}>${edge.to}`;
      const line = svg("path", { d: placed.paths[e], "data-edge": key }, title);
      lines.append(line);
      this.edges.set(key, { line, title });
    });
    this.nodes = new Map(
      nodes.map((node) => [node.name, drawNode(node, placed.nodes.get(node.name), this.select)]),
    );
    const above = this.isOutline ? 0 : BOX.gapY / 2;
    const [width, height] = [placed.width + 2 * MARGIN, placed.height + 2 * MARGIN - above];
    const drawing = svg("svg", {
      width,
      height,
      viewBox: `${-MARGIN} ${above - MARGIN} ${width} ${height}`,
    });
    drawing.style.minWidth = this.isOutline ? "" : `${Math.round(width * SMALLEST)}px`;
    drawing.append(lines, ...[...this.nodes.values()].map((made) => made.shape));
    this.host.replaceChildren(drawing);
  }

  update(view, selected) {
    if (this.host.clientWidth !== this.width) {
      this.draw(view.nodes);
    }
    const fastest = Math.max(1, ...view.nodes.flatMap((n) => n.inputs.map((i) => i.rate)));
    for (const node of view.nodes) {
      this.updateNode(node, node.name === selected, view);
      for (const input of node.inputs) {
        this.updateEdge(node, input, fastest, view.lanes);
      }
    }
  }

  updateNode(node, isSelected, view) {
    const made = this.nodes.get(node.name);
    const held = node.inputs.some((input) => input.held);
    const notes = node.inputs.map(noteOf).filter((note) => note !== "");
    const failed = node.state === "failed";
    const culprit = view.culprits.some((found) => found.node.name === node.name);
    const classes = ["node", node.layer, node.state, held && "held", culprit && "culprit"];
    setAttribute(made.shape, "class", classes.filter(Boolean).join(" "));
    setAttribute(made.shape, "aria-pressed", isSelected);
    setText(made.rate, perSecond(node.rate));
    const p99 = node.latency ? `p99 ${time(node.latency.p99_us)}` : "";
    setText(made.state, node.state === "running" ? p99 : node.state.toUpperCase());
    const note = failed ? "failed: see above" : notes.join("; ");
    setText(made.note, cut(note, NOTE_CHARACTERS));
    const words = [node.name, node.kind, node.plugin, node.state, perSecond(node.rate), p99];
    const label = [...words, ...notes].filter(Boolean).join(", ");
    setText(made.title, label);
    setAttribute(made.shape, "aria-label", label);
  }

  updateEdge(node, input, fastest, lanes) {
    const { line, title } = this.edges.get(`${input.name}>${node.name}`);
    const width = THINNEST + (THICKEST - THINNEST) * Math.sqrt(input.rate / fastest);
    const kind = input.held ? "full" : input.detached ? "detached" : "";
    setAttribute(line, "stroke-width", (input.held ? Math.max(width, 4) : width).toFixed(1));
    setAttribute(line, "class", kind);
    setText(
      title,
      `${input.name} → ${node.name}: ${perSecond(input.rate)}, buffer ${bytes(input.bytes)} of ` +
        `${lanes} × ${bytes(input.limitBytes)}, full ${percent(input.fullShare)} of the ` +
        `last 10 s ${noteOf(input)}`,
    );
  }

  /* Enter and space choose; arrows go to the nearest node on that side. */
  key(event) {
    const name = event.target.dataset?.node;
    const way = WAYS[event.key];
    if (name === undefined || (!way && event.key !== "Enter" && event.key !== " ")) {
      return;
    }
    event.preventDefault();
    if (!way) {
      this.select(name);
      return;
    }
    const here = this.at.get(name);
    let [nearest, least] = [null, Infinity];
    for (const [other, at] of this.at) {
      const [dx, dy] = [at.x - here.x, at.y - here.y];
      const ahead = dx * way[0] + dy * way[1];
      const aside = Math.abs(dx * way[1]) + Math.abs(dy * way[0]);
      if (ahead > 1 && ahead + 2 * aside < least) {
        [nearest, least] = [other, ahead + 2 * aside];
      }
    }
    if (nearest !== null) {
      this.nodes.get(nearest).shape.focus();
    }
  }
}
