/* Rows a second over the last minutes: the run's as an area, a chosen node's as a line above it. */
import { compact, perSecond, setAttribute } from "./format.js";

const HEIGHT = 170;
const LEFT = 52;
const BOTTOM = 22;
const SHORTEST_S = 60;

/* The least of 10, 20, 50, 100, … that is not below the value. */
function ceiling(value) {
  const ten = 10 ** Math.floor(Math.log10(Math.max(value, 10)));
  return ten * [1, 2, 5, 10].find((step) => step * ten >= value);
}

function axes(context, scale, style) {
  context.fillStyle = style.muted;
  context.strokeStyle = style.line;
  context.lineWidth = 1;
  context.textAlign = "right";
  for (const share of [0, 0.5, 1]) {
    const y = Math.round(scale.y(scale.top * share)) + 0.5;
    context.beginPath();
    context.moveTo(LEFT, y);
    context.lineTo(scale.width, y);
    context.stroke();
    context.fillText(compact(scale.top * share), LEFT - 6, y + 4);
  }
  context.textAlign = "left";
  context.fillText(`${Math.round(scale.spanS)} s ago`, LEFT, HEIGHT - 6);
  context.textAlign = "right";
  context.fillText("now", scale.width, HEIGHT - 6);
}

function line(context, points, scale, colour, area) {
  if (points.length < 2) {
    return;
  }
  context.beginPath();
  points.forEach((point) => context.lineTo(scale.x(point.s), scale.y(point.rate)));
  context.strokeStyle = colour;
  context.lineWidth = 2;
  context.stroke();
  if (area) {
    context.lineTo(scale.x(points.at(-1).s), scale.y(0));
    context.lineTo(scale.x(points[0].s), scale.y(0));
    context.globalAlpha = 0.18;
    context.fillStyle = colour;
    context.fill();
    context.globalAlpha = 1;
  }
}

/* chosen: {name, points}, or null. */
export function drawChart(canvas, read, chosen) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.parentElement.clientWidth - 32;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== HEIGHT * ratio) {
    canvas.width = Math.round(width * ratio);
    canvas.height = HEIGHT * ratio;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${HEIGHT}px`;
  }
  const of = (name) => getComputedStyle(canvas).getPropertyValue(name);
  const now = read.at(-1)?.s ?? 0;
  const highest = Math.max(0, ...[...read, ...(chosen?.points ?? [])].map((point) => point.rate));
  const spanS = Math.max(SHORTEST_S, now - (read[0]?.s ?? now));
  const scale = { width, spanS, top: ceiling(highest) };
  scale.x = (s) => width - ((now - s) / spanS) * (width - LEFT);
  scale.y = (rate) => HEIGHT - BOTTOM - (rate / scale.top) * (HEIGHT - BOTTOM - 10);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, HEIGHT);
  context.font = "12px system-ui, sans-serif";
  axes(context, scale, { muted: of("--muted"), line: of("--line") });
  line(context, read, scale, of("--source"), true);
  if (chosen) {
    line(context, chosen.points, scale, of("--accent"), false);
  }
  const last = (points) => perSecond(points.at(-1)?.rate ?? 0);
  const words = `read ${last(read)}${chosen ? `, ${chosen.name} ${last(chosen.points)}` : ""}`;
  setAttribute(canvas, "aria-label", `Events a second over the last five minutes; now ${words}`);
}
