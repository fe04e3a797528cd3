/*
 * What needs a look at rows: the newest results, and samples of what is rejected. Each is a tap of
 * the endpoint (server-sent events), open only while the page is looked at; who may not look at
 * rows sees the rest of the page.
 */
import { element, setText } from "./format.js";

const ROWS_A_SECOND = 200;
const KEPT_GROUPS = 500;
const SHOWN_GROUPS = 12;
const SHOWN_REJECTS = 5;
const VALUE_CHARACTERS = 160;

const byId = (id) => document.getElementById(id);

/* One tap that is opened and closed as it is wanted. */
class Tap {
  constructor(show) {
    this.show = show;
    this.url = null;
    this.source = null;
  }

  /* null: nothing. A refusal ends it until another is asked for. */
  follow(url) {
    if (url === this.url) {
      return;
    }
    this.source?.close();
    this.url = url;
    this.source = url === null ? null : new EventSource(url);
    this.source?.addEventListener("rows", (event) => this.show(JSON.parse(event.data)));
  }
}

/* ---- the newest results ---- */

const isTime = (value) => typeof value === "string" && /^\d{4}-\d\d-\d\dT/.test(value);
const isLabel = (value) => typeof value === "string" && !isTime(value);
const columnsOf = (row, kind) => Object.keys(row).filter((name) => kind(row[name]));

/* The newest row of each group: of open windows the later one, of the same one the last sent. */
class Results {
  constructor() {
    this.groups = new Map();
    this.newest = "";
  }

  add(look) {
    for (const row of look.rows) {
      const times = columnsOf(row, isTime);
      const window = times.length > 0 ? row[times[0]] : "";
      const labels = columnsOf(row, isLabel);
      const key = labels.map((name) => row[name]).join(", ");
      const known = this.groups.get(key);
      if (!known || known.window <= window) {
        this.groups.delete(key);
        this.groups.set(key, { label: key, by: labels.join(", "), window, row });
        this.newest = window > this.newest ? window : this.newest;
      }
    }
    while (this.groups.size > KEPT_GROUPS) {
      this.groups.delete(this.groups.keys().next().value);
    }
  }

  get numbers() {
    const [first] = this.groups.values();
    return first ? columnsOf(first.row, (value) => typeof value === "number") : [];
  }

  top(column) {
    const all = [...this.groups.values()].filter(({ row }) => typeof row[column] === "number");
    return all.sort((a, b) => b.row[column] - a.row[column]).slice(0, SHOWN_GROUPS);
  }
}

let results = new Results();
let of = null; // the node that makes them

function showChoice(numbers) {
  const choice = byId("gold-column");
  const known = [...choice.options].map((option) => option.value);
  if (known.join("\n") !== numbers.join("\n")) {
    choice.replaceChildren(...numbers.map((name) => element("option", { value: name }, name)));
  }
  return choice.value;
}

function showResults() {
  const numbers = results.numbers;
  byId("gold").hidden = numbers.length === 0;
  if (numbers.length === 0) {
    return;
  }
  const column = showChoice(numbers);
  const top = results.top(column);
  const highest = Math.max(...top.map(({ row }) => Math.abs(row[column])), 1e-9);
  const list = byId("gold-rows");
  while (list.children.length > top.length) {
    list.lastChild.remove();
  }
  top.forEach(({ label, row }, i) => {
    if (i === list.children.length) {
      const bar = element("span", { class: "bar" });
      list.append(element("li", {}, element("span"), bar, element("span", { class: "number" })));
    }
    const [name, bar, number] = list.children[i].children;
    setText(name, label || "all");
    bar.style.width = `${((60 * Math.abs(row[column])) / highest).toFixed(1)}%`;
    setText(number, row[column].toLocaleString("en", { maximumFractionDigits: 2 }));
  });
  const window = results.newest ? `, window of ${results.newest.replace("T", " ")}` : "";
  const by = top[0]?.by ? ` by ${top[0].by}` : "";
  const groups = results.groups.size > top.length ? `, ${top.length} highest groups` : "";
  setText(byId("gold-title"), `Newest results of ${of}${by}${window}${groups}`);
}

/* ---- rejects ---- */

let samples = [];

function addRejects(look) {
  const now = new Date().toLocaleTimeString("en-GB");
  samples = [...look.rows.map((row) => ({ ...row, node: look.node, now })), ...samples];
  samples = samples.slice(0, SHOWN_REJECTS);
  showSamples();
}

const cut = (text) =>
  text.length > VALUE_CHARACTERS ? `${text.slice(0, VALUE_CHARACTERS)}…` : text;

function showSamples() {
  const line = ({ now, node, reason, path, detail, topic, partition, offset, value }) =>
    element(
      "li",
      {},
      element("b", {}, `${reason}: ${[path, detail].filter(Boolean).join(": ")}`),
      element("span", {}, `${now}, ${node}, ${topic} partition ${partition} offset ${offset}`),
      element("code", {}, cut(typeof value === "string" ? value : JSON.stringify(value))),
    );
  byId("reject-samples").replaceChildren(...samples.map(line));
}

function showReasons(nodes) {
  const reasons = nodes.flatMap((node) =>
    Object.entries(node.rejected).map(([reason, rows]) => ({ node: node.name, reason, rows })),
  );
  byId("rejects").hidden = reasons.length === 0;
  const text = reasons
    .sort((a, b) => b.rows - a.rows)
    .map(({ node, reason, rows }) => `${node}: ${reason} ${rows.toLocaleString("en")}`)
    .join("\n");
  const list = byId("reject-reasons");
  if (list.dataset.text !== text) {
    list.dataset.text = text;
    list.replaceChildren(...text.split("\n").map((line) => element("li", {}, line)));
  }
}

/* ---- both ---- */

const gold = new Tap((look) => {
  results.add(look);
  showResults();
});
const rejects = new Tap(addRejects);
byId("gold-column").addEventListener("change", showResults);

const tapOf = (node, output, rows) =>
  `v1/nodes/${encodeURIComponent(node.name)}/tap?output=${output}&rows=${rows}`;

/* The nodes of the view, null: nobody looks; and whether he who does may look at rows. */
export function showLive(nodes, mayLook) {
  if (nodes === null) {
    gold.follow(null);
    rejects.follow(null);
    return;
  }
  const made = nodes.find((node) => node.kind === "transform" && /^gold-/.test(node.plugin));
  const rejecting = nodes.find((node) =>
    node.outputs.some((output) => output.name === "rejects" && output.rows > 0),
  );
  if ((made?.name ?? null) !== of) {
    of = made?.name ?? null;
    results = new Results();
  }
  gold.follow(made && mayLook ? tapOf(made, "", ROWS_A_SECOND) : null);
  rejects.follow(rejecting && mayLook ? tapOf(rejecting, "rejects", 1) : null);
  showReasons(nodes);
}
