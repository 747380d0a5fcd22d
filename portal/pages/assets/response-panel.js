// Shows the outcome of a request: status, time, headers and body, or why there is no response.

import { offerCopy } from "./copying.js";
import { element, showParts } from "./elements.js";
import { bodyOf, isOpen, partsOf, problemsOf, verdict } from "./exchange.js";
import { KEY } from "./requests.js";

/** What the panel says while it has no response. */
export const NOTHING_SENT = "No request of this action sent yet.";
const at = (id) => document.getElementById(id);

/** Returns a duration as text, for example `38 ms` or `30.0 s`. */
export function duration(milliseconds) {
  return milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}

/** Returns the style of an outcome: `good`, `error` or `open`. */
export function mood(outcome) {
  return isOpen(outcome) ? "open" : outcome.status < 300 ? "good" : "error";
}

export class ResponsePanel {
  /** Calls `onField(path)`, `onRepeat(context)` and `onAccount({businessId, apiKey})` on a click. */
  constructor({ onField, onRepeat, onAccount }) {
    Object.assign(this, { onField, onRepeat, onAccount, text: "" });
  }

  clear() {
    this.text = "";
    at("waiting").textContent = NOTHING_SENT;
    at("response").replaceChildren();
    at("copy-response").hidden = true;
  }

  /** Says that the request of an action that is no longer shown has ended. */
  mention(outcome, context) {
    const { title } = verdict(outcome, context);
    at("waiting").textContent = `${context.action.name} ended with ${title}: it is in the history.`;
    at("announcement").textContent = at("waiting").textContent;
  }

  /** Shows an outcome; `elsewhere` are the problems without a field in the form. */
  show(outcome, context, elsewhere) {
    const { title, text } = verdict(outcome, context);
    at("waiting").textContent = "";
    at("announcement").textContent = `${context.action.name}: ${title}. ${text}`;
    const parts = [
      element(
        "p",
        { class: `outcome ${mood(outcome)}` },
        element("strong", {}, title),
        element("code", { class: "action" }, context.action.name),
        element("span", { class: "time" }, duration(outcome.milliseconds)),
      ),
    ];
    if (text) parts.push(element("p", { class: "verdict" }, text));
    const problems = problemsOf(outcome);
    if (problems.length > 0) parts.push(this.problemList(problems, elsewhere));
    const offers = this.offers(outcome, context);
    if (offers.length > 0) parts.push(element("p", { class: "offers" }, ...offers));
    if (outcome.kind === "response") parts.push(headers(outcome), this.body(outcome));
    at("response").replaceChildren(...parts);
    at("copy-response").hidden = outcome.kind !== "response" || !navigator.clipboard;
    at("response").scrollIntoView({ block: "nearest" });
  }

  problemList(problems, elsewhere) {
    const items = problems.map(({ field, description }) => {
      const isHere = !elsewhere.some((each) => each.field === field);
      const name = isHere ? element("button", { type: "button", class: "link" }, field) : element("code", {}, field);
      if (isHere) name.addEventListener("click", () => this.onField(field));
      return element("li", {}, name, ` ${description}`);
    });
    return element("ul", { class: "problems" }, ...items);
  }

  offers(outcome, context) {
    const { request, mutates } = context;
    const offers = [];
    const offer = (name, act) => {
      const button = element("button", { type: "button" }, name);
      button.addEventListener("click", act);
      offers.push(button);
    };
    if (request === null) return offers; // from the history, which has no keys
    if (mutates && request.has(KEY)) offer("Send again with the same key", () => this.onRepeat(context));
    const [businessId, apiKey] = ["business_id", "api_key"].map((name) => bodyOf(outcome).get(name));
    if (typeof businessId === "string" && typeof apiKey === "string") {
      offer("Use this id and key", () => this.onAccount({ businessId, apiKey }));
    }
    return offers;
  }

  body(outcome) {
    const laidOut = partsOf(outcome);
    const code = element("code");
    if (laidOut === null) code.textContent = outcome.text || "(an empty body)";
    else showParts(code, laidOut);
    this.text = laidOut === null ? outcome.text : code.textContent;
    return element("pre", { tabindex: "0", role: "region", "aria-label": "Response body" }, code);
  }
}

function copyButton(name, label, text) {
  const button = element("button", { type: "button", class: "small", "aria-label": label }, name);
  offerCopy(button, () => text);
  return button;
}

function headers(outcome) {
  const rows = outcome.headers.flatMap(([name, value]) => [
    element("dt", {}, name),
    element("dd", {}, value, ...(name === "X-Request-Id" ? [" ", copyButton("Copy", "Copy the request id", value)] : [])),
  ]);
  return element("dl", { class: "headers" }, ...rows);
}
