// The request as text: JSON that can be edited, and code to copy.

import { LANGUAGES, codeFor, partsOfCode } from "./code-copies.js";
import { element, showParts } from "./elements.js";
import { JsonError, parse, write } from "./exact-json.js";
import { moveWithin } from "./tabs.js";

const at = (id) => document.getElementById(id);
const ENVELOPE = ["business_id", "api_key", "action"];

export class RequestPanel {
  /**
   * Calls `onEdit(request)` when the JSON is edited, and `onEnvelope` when it contains fields of the
   * envelope. `action()` and `envelope(withKeys)` return the request in the code, which sends it to
   * `address`.
   */
  constructor({ onEdit, onEnvelope, action, envelope, address }) {
    Object.assign(this, { onEdit, onEnvelope, action, envelope, address, shown: "json" });
    at("json").addEventListener("input", () => this.read());
    at("json").addEventListener("change", () => this.settle());
    at("with-keys").addEventListener("change", () => this.refreshCode());
    this.buildTabs();
  }

  buildTabs() {
    const names = { json: "JSON", ...LANGUAGES };
    this.tabs = Object.entries(names).map(([id, name]) => {
      const panel = id === "json" ? "panel-json" : "panel-code";
      const tab = element("button", { type: "button", role: "tab", id: `tab-${id}`, "aria-controls": panel }, name);
      tab.addEventListener("click", () => this.show(id));
      tab.addEventListener("keydown", (event) => {
        const chosen = moveWithin(event, this.tabs);
        if (!chosen) return;
        this.show(Object.keys(names)[this.tabs.indexOf(chosen)]);
        chosen.focus();
      });
      return tab;
    });
    document.querySelector(".tabs").replaceChildren(...this.tabs);
    this.show("json");
  }

  show(id) {
    this.shown = id;
    for (const tab of this.tabs) {
      const isShown = tab.id === `tab-${id}`;
      tab.setAttribute("aria-selected", String(isShown));
      tab.tabIndex = isShown ? 0 : -1;
    }
    at("panel-json").hidden = id !== "json";
    at("panel-code").hidden = id === "json";
    at("panel-code").setAttribute("aria-labelledby", `tab-${id}`);
    if (id !== "json") this.refreshCode();
  }

  get text() {
    return this.shown === "json" ? at("json").value : at("code").textContent;
  }

  showJson(request) {
    at("json").value = write(request);
    this.showProblem("");
    this.refreshCode();
  }

  refreshCode() {
    if (this.shown === "json") return;
    const code = codeFor(this.shown, this.address, this.action(), this.envelope(at("with-keys").checked));
    showParts(at("code"), partsOfCode(code));
  }

  /** Reads the JSON; returns the request, or null if it is invalid. */
  read() {
    try {
      const request = parse(at("json").value);
      if (!(request instanceof Map)) throw new JsonError("A request is an object, { … }", "", 0);
      this.showProblem("");
      if (!ENVELOPE.some((name) => request.has(name))) this.onEdit(request);
      return request;
    } catch (error) {
      if (!(error instanceof JsonError)) throw error;
      this.showProblem(`${error.message}. The form is updated once the JSON is valid.`);
      return null;
    }
  }

  /** Applies the JSON; returns whether it can be sent. */
  settle() {
    const request = this.read();
    if (request === null) {
      this.show("json");
      at("json").focus();
      return false;
    }
    if (ENVELOPE.some((name) => request.has(name))) {
      const [businessId, apiKey, action] = ENVELOPE.map((name) => request.get(name));
      for (const name of ENVELOPE) request.delete(name);
      this.onEnvelope({ businessId, apiKey, action, request });
    }
    return true;
  }

  showProblem(text) {
    at("json-problem").textContent = text;
    if (text) at("json").setAttribute("aria-invalid", "true");
    else at("json").removeAttribute("aria-invalid");
  }
}
