// Lists the requests of this tab, newest first, in memory only and without keys.

import { duration, mood } from "./response-panel.js";
import { element } from "./elements.js";
import { verdict } from "./exchange.js";
import { envPath, valueAt } from "./requests.js";

const MOST = 50;
const at = (id) => document.getElementById(id);

export class History {
  /** Calls `onChoose(entry)` when an entry is clicked. */
  constructor(onChoose) {
    this.onChoose = onChoose;
    at("forget").addEventListener("click", () => {
      at("history").replaceChildren();
      at("forget").hidden = true;
      at("history-note").hidden = false;
    });
  }

  add(entry) {
    const { action, request, outcome, context } = entry;
    const path = envPath(action);
    const env = path === undefined ? "" : valueAt(request, path);
    const now = new Date();
    const button = element(
      "button",
      { type: "button" },
      element("time", { datetime: now.toISOString() }, now.toLocaleTimeString([], { hour12: false })),
      element("code", {}, action.name),
      element("span", { class: env === "LIVE" ? "env live" : "env" }, typeof env === "string" ? env : ""),
      element("span", { class: `outcome ${mood(outcome)}` }, verdict(outcome, context).title),
      element("span", { class: "time" }, duration(outcome.milliseconds)),
    );
    button.addEventListener("click", () => this.onChoose(entry));
    at("history").prepend(element("li", {}, button));
    at("history").children[MOST]?.remove();
    at("forget").hidden = false;
    at("history-note").hidden = true;
  }
}
