/* Numbers as people read them, and elements of the page. Text from outside is only ever text. */

const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

export const count = (value) => plain.format(value);
export const compact = (value) => (value < 10000 ? plain.format(value) : short.format(value));
export const perSecond = (value) =>
  `${value > 0 && value < 10 ? value.toPrecision(2) : compact(value)}/s`;
export const percent = (share, digits = 0) => `${(share * 100).toFixed(digits)} %`;

export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) {
    value /= 1024;
  }
  return `${value < 10 && unit > 0 ? value.toFixed(1) : plain.format(value)} ${units[unit]}`;
}

export function time(us) {
  if (us < 1e6) {
    return `${plain.format(us / 1000)} ms`;
  }
  const s = us / 1e6;
  if (s < 60) {
    return `${s.toFixed(s < 10 ? 2 : 1)} s`;
  }
  const [h, m] = [Math.floor(s / 3600), Math.floor(s / 60) % 60];
  return h > 0 ? `${count(h)} h ${m} min` : `${m} min ${Math.floor(s % 60)} s`;
}

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

export const element = (name, attributes = {}, ...children) =>
  fill(document.createElement(name), attributes, children);
export const svg = (name, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

/* Writes only what has changed: the browser has little to do and nobody loses his place. */
export function setText(target, text) {
  if (target.textContent !== text) {
    target.textContent = text;
  }
}
export function setAttribute(target, name, value) {
  if (target.getAttribute(name) !== String(value)) {
    target.setAttribute(name, value);
  }
}
