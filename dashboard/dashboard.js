/* Asks the endpoint each second while the page is looked at, and shows what it says. */
import { drawChart } from "./chart.js";
import { forgetEvents, showEvents } from "./events.js";
import * as form from "./format.js";
import { Graph, noteOf } from "./graph.js";
import { showLive } from "./live.js";
import { History, series, view } from "./model.js";
import { element, setAttribute, setText } from "./format.js";

const EVERY_MS = 1000;
const FIRST_MS = 250; // from the first answer to the second, which makes rates
const ANSWER_LIMIT_MS = 5000;

const byId = (id) => document.getElementById(id);
const history = new History();
const graph = new Graph(byId("graph"), select);
let topology = null;
let selected = null;
let configOf = null; // the node that was selected when the topology was asked for
let mayOrder = false;
let shown = null;
let lostSince = null;

/* ---- the verdict ---- */

const list = (names) => names.join(", ");

function sentence({ node, input }, windowS) {
  const whom = input.holdsBack.length > 0 ? ` holds back ${list(input.holdsBack)}` : " is full";
  const oldest = input.oldestUs > 0 ? `, its oldest row waits ${form.time(input.oldestUs)}` : "";
  const share = form.percent(input.fullShare);
  const lasting = Math.max(1, Math.round(windowS));
  const full = `its buffer of ${input.name} was full ${share} of the last ${lasting} s`;
  return `${node.name}${whom}: ${full}${oldest}.`;
}

function verdict(now) {
  const held = now.culprits.map((found) => sentence(found, now.windowS));
  if (now.failed.length > 0) {
    const names = list(now.failed.map((node) => node.name));
    return ["bad", `Failed: ${names}.`, ...held];
  }
  if (now.culprits.length > 0) {
    return ["bad", ...held];
  }
  if (now.unready.length > 0) {
    return ["wait", `Not running yet: ${list(now.unready.map((n) => `${n.name} (${n.state})`))}.`];
  }
  if (now.held.length > 0) {
    const names = now.held.map((node) => `${node.name} (${node.state})`);
    return ["wait", `By order: ${list(names)}. Everything else flows.`];
  }
  if (now.nodes.every((node) => node.state === "drained")) {
    return ["good", "All input has ended and is committed."];
  }
  return ["good", "Everything flows: no buffer is full, no node has failed."];
}

function showVerdict([kind, ...sentences]) {
  setAttribute(byId("verdict"), "class", kind);
  setText(byId("verdict"), sentences.join(" "));
}

function showFailures(failed) {
  const lines = failed.map((node) => `${node.name}: ${node.failure ?? "it failed"}`);
  byId("failures").hidden = lines.length === 0;
  if (byId("failures").innerText !== lines.join("\n")) {
    byId("failures").replaceChildren(...lines.map((line) => element("li", {}, line)));
  }
}

/* ---- tiles ---- */

/* In records where the sources know where their topics end, else by the records' age. */
function lagTile({ lag, ageUs }) {
  const age = ageUs === null ? null : form.time(ageUs);
  if (lag !== null) {
    return ["Lag", `${form.compact(lag)} records`, age === null ? "not read yet" : `age when read: ${age}`];
  }
  return ["Lag", age ?? "–", age === null ? "no record has a timestamp" : "age of records when they are read"];
}

function tilesOf(now) {
  const of = now.quality;
  return [
    ["Events read", form.perSecond(now.readRate), `${form.count(now.readRows)} in this run`],
    [
      "Read to durable, p99",
      now.slowest ? form.time(now.slowest.latency.p99_us) : "–",
      now.slowest ? `slowest sink: ${now.slowest.name}` : "nothing committed yet",
    ],
    lagTile(now),
    [
      "Data quality",
      of ? form.percent(1 - of.rejected, 2) : "–",
      of
        ? `${form.percent(of.rejected, 2)} rejected, ${form.percent(of.duplicates, 2)} duplicates`
        : "no node that validates",
    ],
    ["Commits", form.perSecond(now.commitRate), `${form.count(now.commits)} in this run`],
    ["Memory", form.bytes(now.rssBytes), `at most ${form.bytes(now.peakRssBytes)}`],
    ["CPU", form.percent(now.cpu), `of one core; ${now.lanes} lanes`],
  ];
}

function showTiles(tiles) {
  const host = byId("tiles");
  if (host.children.length === 0) {
    const empty = () => [element("dd", { class: "value" }), element("dd")];
    const tile = ([name]) => element("div", {}, element("dt", {}, name), ...empty());
    host.append(...tiles.map(tile));
  }
  tiles.forEach(([, value, words], i) => {
    setText(host.children[i].children[1], value);
    setText(host.children[i].children[2], words);
  });
}

/* ---- the table ---- */

function rowsOf(now) {
  return now.nodes.flatMap((node) => {
    const p99 = node.latency ? form.time(node.latency.p99_us) : "–";
    const ends = [form.count(node.commits), p99, form.percent(node.cpu)];
    const starts = [node.name, node.plugin, node.state];
    if (node.inputs.length === 0) {
      const moved = [form.perSecond(node.rate), form.count(node.rows)];
      return [{ held: false, cells: [...starts, "–", ...moved, "–", "–", "–", ...ends] }];
    }
    return node.inputs.map((input) => ({
      held: input.held,
      cells: [
        ...starts,
        input.name,
        form.perSecond(input.rate),
        form.count(input.rows),
        `${form.bytes(input.bytes)} of ${now.lanes} × ${form.bytes(input.limitBytes)}`,
        form.percent(input.fullShare),
        input.held || input.detached ? noteOf(input).replace("full: holds back ", "") : "–",
        ...ends,
      ],
    }));
  });
}

function showTable(rows) {
  const body = byId("rows");
  while (body.rows.length > rows.length) {
    body.deleteRow(-1);
  }
  rows.forEach(({ held, cells }, r) => {
    const row = body.rows[r] ?? body.insertRow();
    while (row.cells.length < cells.length) {
      row.append(row.cells.length === 0 ? element("th", { scope: "row" }) : element("td"));
    }
    setAttribute(row, "class", held ? "held" : cells[2]);
    cells.forEach((cell, c) => setText(row.cells[c], cell));
  });
}

/* ---- one node ---- */

function facts(pairs) {
  const made = pairs.flatMap(([name, value]) => [
    element("dt", {}, name),
    element("dd", {}, String(value)),
  ]);
  return element("dl", { class: "facts" }, ...made);
}

function latencyFacts({ latency }) {
  if (!latency) {
    return [];
  }
  const values = [latency.p50_us, latency.p99_us, latency.max_us];
  return [["p50, p99, longest", values.map(form.time).join(", ")]];
}

function flowFacts(node, lanes) {
  return [
    ["state", node.state],
    ...(node.failure ? [["failure", node.failure]] : []),
    ...(node.restarts > 0 ? [["restarts", node.restarts]] : []),
    ["rows/s", form.perSecond(node.rate)],
    ...(node.lag === null ? [] : [["lag", `${form.count(node.lag)} records`]]),
    ["CPU of one core", form.percent(node.cpu, 1)],
    ["commits", `${form.count(node.commits)} (${form.count(node.commit_retries)} retries)`],
    ...latencyFacts(node),
    ...node.inputs.map((input) => [
      `input ${input.name}`,
      `${form.count(input.rows)} rows, buffer ${form.bytes(input.bytes)} of ${lanes} × ` +
        `${form.bytes(input.limitBytes)}${noteOf(input) ? `, ${noteOf(input)}` : ""}`,
    ]),
    ...node.outputs.map(({ name, rows }) => [
      `output ${name || "(first)"}`,
      `${form.count(rows)} rows`,
    ]),
    ...Object.entries(node.dropped).map(([why, rows]) => [`dropped: ${why}`, form.count(rows)]),
  ];
}

function showDetail(now) {
  const host = byId("detail");
  const node = now.nodes.find((one) => one.name === selected);
  host.hidden = node === undefined;
  if (node === undefined) {
    return;
  }
  const part = (title, pairs) => element("div", {}, element("h3", {}, title), facts(pairs));
  const counts = Object.entries(node.metrics).map(([name, value]) => [name, form.count(value)]);
  const moving = [part("Now", flowFacts(node, now.lanes)), part("What the plugin counts", counts)];
  if (host.dataset.node === node.name) {
    moving.forEach((made, i) => host.children[i + 2].replaceWith(made));
  } else {
    host.dataset.node = node.name;
    const config = topology?.[`${node.kind}s`]?.[node.name]?.config ?? {};
    const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));
    host.replaceChildren(
      element("h2", { id: "detail-title" }, `${node.name} (${node.plugin})`),
      orderButtons(node.name),
      ...moving,
      part("Its config", Object.entries(config).map(([name, value]) => [name, text(value)])),
    );
  }
  for (const button of host.querySelectorAll("#orders button")) {
    button.hidden = !mayOrder || !ORDERS[button.dataset.order].when.includes(node.state);
  }
}

/* What can be ordered, and of a node in which state. */
const ORDERS = {
  pause: { method: "PUT", done: "paused", when: ["running", "waiting", "failed"] },
  stop: { method: "PUT", done: "stopped", when: ["running", "waiting", "failed", "paused"] },
  resume: { method: "PUT", done: "resumed", when: ["paused", "stopped"] },
  restart: { method: "POST", done: "restarted", when: ["running", "waiting", "failed"] },
};

function orderButton(name, order) {
  const text = `${order[0].toUpperCase()}${order.slice(1)} ${name}`;
  const button = element("button", { type: "button", "data-order": order }, text);
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await ask(`connectors/${encodeURIComponent(name)}/${order}`, ORDERS[order].method);
      await refresh();
    } catch (error) {
      showVerdict(["bad", `${name} was not ${ORDERS[order].done}: ${error.message}`]);
    }
    button.disabled = false;
  });
  return button;
}

function orderButtons(name) {
  const buttons = Object.keys(ORDERS).map((order) => orderButton(name, order));
  return element("div", { id: "orders" }, ...buttons);
}

function select(name) {
  selected = selected === name ? null : name;
  byId("detail").dataset.node = "";
  show();
}

/* ---- all of it ---- */

function show() {
  if (shown === null || !history.hasRates) {
    return;
  }
  showVerdict(verdict(shown));
  showFailures(shown.failed);
  showTiles(tilesOf(shown));
  graph.update(shown, selected);
  showDetail(shown);
  showTable(rowsOf(shown));
  const read = series(history, (node) => node.kind === "source");
  const of = (name) => ({ name, points: series(history, (node) => node.name === name) });
  drawChart(byId("chart"), read, selected === null ? null : of(selected));
  setText(byId("since"), `runs for ${form.time(shown.elapsedUs)}`);
}

async function ask(path, method = "GET") {
  const answer = await fetch(path, {
    method,
    headers: { Accept: "application/json" },
    signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
  });
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw new Error(told.message ?? `${path} answered ${answer.status}`);
  }
  const text = await answer.text();
  return text === "" ? null : JSON.parse(text);
}

async function refresh() {
  try {
    const status = await ask("v1/status");
    const same = history.add(status);
    const isNew = !same || shown === null || topology === null;
    if (isNew || configOf !== selected) {
      configOf = selected;
      topology = await ask("v1/topology?effective=true");
    }
    if (isNew) {
      mayOrder = ["operator", "admin"].includes((await ask("v1/user")).role);
      setText(byId("pipeline"), topology.pipeline);
      document.title = `${topology.pipeline} · sluice`;
    }
    shown = view(history);
    if (isNew) {
      graph.draw(shown.nodes);
      forgetEvents();
    }
    lostSince = null;
    show();
    showLive(document.hidden ? null : shown.nodes, mayOrder);
    await showEvents(ask);
  } catch (error) {
    lostSince ??= new Date();
    showVerdict(["bad", `No answer since ${lostSince.toLocaleTimeString()}: ${error.message}`]);
  }
  document.body.classList.toggle("stale", lostSince !== null);
}

/* One question at a time; a page that nobody looks at asks nothing. */
async function turn() {
  if (!document.hidden) {
    await refresh();
  }
  setTimeout(turn, history.hasRates ? EVERY_MS : FIRST_MS);
}

document.addEventListener("visibilitychange", () =>
  document.hidden ? showLive(null) : refresh(),
);
window.addEventListener("resize", show);
turn();
