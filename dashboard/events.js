/* The event log: the last lines of sluice's own log, newest first. */
import { element } from "./format.js";

const SHOWN = 60;

let last = 0;

/* ask(path) answers the endpoint's JSON. */
export async function showEvents(ask) {
  const events = await ask(`v1/events?after=${last}`);
  if (events.length === 0) {
    return;
  }
  last = events.at(-1).number;
  const list = document.getElementById("events");
  for (const { time, level, node, message } of events.slice(-SHOWN)) {
    const at = new Date(time);
    list.prepend(
      element(
        "li",
        { class: level },
        element("time", { datetime: time }, at.toLocaleTimeString("en-GB")),
        element("b", {}, node ?? ""),
        element("span", {}, message),
      ),
    );
  }
  while (list.children.length > SHOWN) {
    list.lastChild.remove();
  }
}

/* Another run numbers its events anew. */
export function forgetEvents() {
  last = 0;
  document.getElementById("events").replaceChildren();
}
