// Asks for confirmation before a request that may move real money.

import { element } from "./elements.js";
import { envPath, shown, valueAt } from "./requests.js";

const at = (id) => document.getElementById(id);
const SHOWN = ["user_id", "recurring_id", "amount", "currency", "description"];

export class LiveQuestion {
  get isOpen() {
    return at("ask").open;
  }

  /** Resolves to whether the request was confirmed. */
  ask(action, request) {
    const path = envPath(action);
    const isLive = path !== undefined && valueAt(request, path) === "LIVE";
    at("ask-title").textContent = isLive ? "Send this to LIVE?" : "Send this? It may be LIVE.";
    at("ask-text").textContent = isLive
      ? "It moves real money."
      : "Its environment is not TEST, so it may move real money.";
    const rows = [["action", action.name], ...SHOWN.filter((name) => request.has(name)).map((name) => [name, shown(request.get(name))])];
    at("ask-what").replaceChildren(...rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
    return new Promise((resolve) => {
      const end = (isWanted) => {
        at("ask-yes").onclick = null;
        at("ask-no").onclick = null;
        at("ask").onclose = null;
        at("ask").close();
        resolve(isWanted);
      };
      at("ask-yes").onclick = () => end(true);
      at("ask-no").onclick = () => end(false);
      at("ask").onclose = () => end(false); // by Escape
      at("ask").showModal();
      at("ask-no").focus();
    });
  }
}
