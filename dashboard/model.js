/*
 * What the page shows, computed from what the endpoint answers: rates are differences of two
 * answers of /v1/status, by sluice's own clock. Knows nothing of the page.
 */

const RATE_SAMPLES = 3; // rates are over that many answers, so that commits do not make them jump
const FULL_SAMPLES = 10;
const KEPT_SAMPLES = 300;
const HELD_SHARE = 0.1; // full for so much of the time: it holds back, even if not at this moment

/* "silver.rejects" is an output of the node "silver"; a node's own name has no dot. */
export const nodeOf = (input) => input.split(".")[0];

/* bronze, silver or gold by the plugin's name, else as what it reads; a source has none. */
function layersOf(nodes) {
  const byName = new Map(nodes.map((node) => [node.name, node]));
  const layers = new Map();
  const layer = (node) => {
    if (!layers.has(node.name)) {
      const own = /^(bronze|silver|gold)-/.exec(node.plugin);
      const from = node.inputs.length > 0 ? byName.get(nodeOf(node.inputs[0].name)) : undefined;
      layers.set(node.name, node.kind === "source" ? "source" : (own?.[1] ?? layer(from)));
    }
    return layers.get(node.name);
  };
  nodes.forEach(layer);
  for (const node of nodes) {
    if (node.kind !== "source" && layers.get(node.name) === "source") {
      layers.set(node.name, "plain");
    }
  }
  return layers;
}

const sum = (list, value) => list.reduce((total, item) => total + value(item), 0);
const outputRows = (node) => sum(node.outputs, (output) => output.rows);
const inputRows = (node) => sum(node.inputs, (input) => input.rows);
/* What a node's rate counts: what it takes, of a source what it gives. */
export const handledRows = (node) => (node.kind === "source" ? outputRows : inputRows)(node);

/* The answers of one run, newest last. */
export class History {
  constructor() {
    this.samples = [];
  }

  /* False when the answer is of another run than those before it, which are forgotten. */
  add(status) {
    const last = this.samples.at(-1);
    const names = (of) => of.nodes.map((node) => node.name).join("\n");
    const same = !last || (status.elapsed_us > last.elapsed_us && names(status) === names(last));
    if (!same) {
      this.samples = [];
    }
    this.samples.push(status);
    if (this.samples.length > KEPT_SAMPLES) {
      this.samples.shift();
    }
    return same;
  }

  /* One answer has no rates. */
  get hasRates() {
    return this.samples.length > 1;
  }

  back(count) {
    return this.samples.at(-Math.min(this.samples.length, count + 1));
  }
}

/* Growth a second between two answers; 0 of a counter that began anew. */
function rate(now, before, value) {
  const seconds = (now.elapsed_us - before.elapsed_us) / 1e6;
  return seconds > 0 ? Math.max(0, value(now) - value(before)) / seconds : 0;
}

function inputView(history, n, i) {
  const input = (status) => status.nodes[n].inputs[i];
  const now = history.back(0);
  const { name, rows, dropped_rows: dropped, buffer } = input(now);
  const window = history.samples.slice(-FULL_SAMPLES - 1);
  const fullShare = rate(now, window[0], (status) => input(status).buffer.full_us) / 1e6;
  const held = buffer.is_full || fullShare > HELD_SHARE;
  const waiting = window.flatMap((status) => input(status).buffer.holds_back);
  return {
    name,
    from: nodeOf(name),
    rows,
    dropped,
    rate: rate(now, history.back(RATE_SAMPLES), (status) => input(status).rows),
    bytes: buffer.bytes,
    limitBytes: buffer.limit_bytes,
    fill: Math.min(1, buffer.bytes / (buffer.limit_bytes * now.lanes || 1)),
    oldestUs: buffer.oldest_us,
    fullShare: Math.min(1, fullShare),
    held,
    holdsBack: held ? [...new Set(waiting)] : [],
    detached: buffer.detached > 0,
    behind: buffer.behind ?? 0,
  };
}

function nodeView(history, n, layer) {
  const now = history.back(0);
  const before = history.back(RATE_SAMPLES);
  const node = now.nodes[n];
  return {
    ...node,
    layer,
    rows: handledRows(node),
    rate: rate(now, before, (status) => handledRows(status.nodes[n])),
    cpu: rate(now, before, (status) => status.nodes[n].cpu_us) / 1e6,
    commitRate: rate(now, history.back(FULL_SAMPLES), (status) => status.nodes[n].commits),
    inputs: node.inputs.map((_, i) => inputView(history, n, i)),
  };
}

/* Rejected rows and duplicates as shares of what the transforms that reject took: what a sink cannot
 * write has been judged before. */
function quality(nodes) {
  const rejects = (node) => node.outputs.filter((output) => output.name === "rejects");
  const judges = nodes.filter((node) => node.kind === "transform" && rejects(node).length > 0);
  const taken = sum(judges, (node) => node.rows);
  if (taken === 0) {
    return null;
  }
  return {
    rejected: sum(judges, (node) => sum(rejects(node), (output) => output.rows)) / taken,
    duplicates: sum(judges, (node) => node.dropped.duplicate ?? 0) / taken,
  };
}

/* The inputs that hold the pipeline back and are not full only because a node behind them is. */
function culprits(nodes) {
  const held = nodes.flatMap((node) =>
    node.inputs.filter((input) => input.held).map((input) => ({ node, input })),
  );
  return held.filter(({ node }) => !held.some((other) => other.input.from === node.name));
}

export function view(history) {
  const now = history.back(0);
  const before = history.back(RATE_SAMPLES);
  const layers = layersOf(now.nodes);
  const nodes = now.nodes.map((node, n) => nodeView(history, n, layers.get(node.name)));
  const sources = nodes.filter((node) => node.kind === "source");
  const cpu = (status) => status.cpu_user_us + status.cpu_system_us;
  const sinks = nodes.filter((node) => node.kind === "sink" && node.latency);
  return {
    elapsedUs: now.elapsed_us,
    lanes: now.lanes,
    windowS: (now.elapsed_us - history.back(FULL_SAMPLES).elapsed_us) / 1e6,
    nodes,
    readRate: sum(sources, (node) => node.rate),
    readRows: sum(sources, (node) => node.rows),
    commitRate: sum(nodes, (node) => node.commitRate),
    commits: sum(nodes, (node) => node.commits),
    slowest: sinks.reduce((a, b) => (a && a.latency.p99_us >= b.latency.p99_us ? a : b), null),
    quality: quality(nodes),
    lag: sources.reduce((a, { lag: b }) => (b === null ? a : (a ?? 0) + b), null),
    ageUs: sources.reduce((a, { record_age_us: b }) => (b === null || a > b ? a : b), null),
    rssBytes: now.rss_bytes,
    peakRssBytes: now.peak_rss_bytes,
    cpu: rate(now, before, cpu) / 1e6,
    failed: nodes.filter((node) => node.state === "failed"),
    unready: nodes.filter((node) => ["starting", "waiting", "restarting"].includes(node.state)),
    held: nodes.filter((node) => ["paused", "stopped"].includes(node.state)),
    culprits: culprits(nodes),
  };
}

/* Points of the chart: seconds since the run began, and rows a second of the nodes that count. */
export function series(history, counts) {
  const rows = (status) => sum(status.nodes.filter(counts), handledRows);
  return history.samples
    .slice(1)
    .map((now, i) => ({ s: now.elapsed_us / 1e6, rate: rate(now, history.samples[i], rows) }));
}
