// Samples of any page: the address of this host in them, their copy buttons and their languages.

import { LANGUAGES, codeFor, grpcExample, partsOfCode } from "./code-copies.js";
import { all } from "./contents.js";
import { offerCopy } from "./copying.js";
import { element, showParts } from "./elements.js";
import { parse } from "./exact-json.js";
import { moveWithin } from "./tabs.js";

const NAMES = { ...LANGUAGES, grpc: "gRPC" };
const STORED = "language";

function storedLanguage() {
  try {
    const stored = localStorage.getItem(STORED);
    return stored in NAMES ? stored : "curl";
  } catch {
    return "curl";
  }
}

/** A sample of an action: as it was served for cURL, and written here for the other languages. */
class Sample {
  constructor(figure, onChoose) {
    this.action = figure.dataset.sample;
    this.code = figure.querySelector("code");
    this.served = [...this.code.childNodes];
    this.fixed = figure.dataset.language; // a sample of one language has no tabs
    this.tabs = [];
    if (this.fixed) return;
    this.panel = figure.querySelector("pre");
    this.panel.id = `${this.code.id}-panel`;
    this.panel.setAttribute("role", "tabpanel");
    this.tabs = Object.entries(NAMES).map(([id, name]) => this.tab(id, name, onChoose));
    figure.querySelector("figcaption > span").replaceWith(
      element("div", { class: "tabs", role: "tablist", "aria-label": `${this.action} in` }, ...this.tabs),
    );
  }

  tab(id, name, onChoose) {
    const tab = element("button", { type: "button", role: "tab", id: `${this.code.id}-${id}`, "aria-controls": this.panel.id }, name);
    tab.addEventListener("click", () => onChoose(id, tab));
    tab.addEventListener("keydown", (event) => {
      const chosen = moveWithin(event, this.tabs);
      if (chosen) onChoose(Object.keys(NAMES)[this.tabs.indexOf(chosen)], chosen);
    });
    return tab;
  }

  show(chosen, actions) {
    const language = this.fixed ?? chosen;
    for (const tab of this.tabs) {
      const isShown = tab.id === `${this.code.id}-${language}`;
      tab.setAttribute("aria-selected", String(isShown));
      tab.tabIndex = isShown ? 0 : -1;
      if (isShown) this.panel.setAttribute("aria-labelledby", tab.id);
    }
    this.panel?.removeAttribute("aria-label");
    if (language === "curl") this.code.replaceChildren(...this.served);
    else showParts(this.code, partsOfCode(this.written(language, actions.get(this.action))));
  }

  written(language, action) {
    const { business, request } = this.code.dataset;
    const own = [...parse(request ?? action.example)];
    const envelope = new Map([["business_id", business], ["api_key", "<api_key>"], ["action", action.name], ...own]);
    return language === "grpc" ? grpcExample(action, envelope) : codeFor(language, `${location.origin}/`, action, envelope);
  }
}

async function offerLanguages() {
  const figures = all("[data-sample]");
  if (figures.length === 0) return;
  const response = await fetch(document.getElementById("content").dataset.actions);
  if (!response.ok) throw new Error(`The list of actions returned ${response.status}`);
  const actions = new Map((await response.json()).actions.map((action) => [action.name, action]));
  const choose = (language, tab) => {
    const before = tab.getBoundingClientRect().top;
    for (const sample of samples) sample.show(language, actions);
    scrollBy({ top: tab.getBoundingClientRect().top - before, behavior: "instant" }); // others grew above
    tab.focus({ preventScroll: true });
    try { localStorage.setItem(STORED, language); } catch { /* then only for this page */ }
  };
  const samples = figures.map((figure) => new Sample(figure, choose));
  const target = document.querySelector(":target");
  for (const sample of samples) sample.show(storedLanguage(), actions);
  if (target && storedLanguage() !== "curl") target.scrollIntoView();
}

for (const place of all("[data-endpoint]")) place.textContent = `${location.origin}/`;
for (const button of all("[data-copy]")) {
  offerCopy(button, () => document.getElementById(button.dataset.copy).textContent);
}
offerLanguages();
