// The live test: an action's form and JSON in sync, the request, and its outcome.
// Keys and requests are only in variables of this module.

import { NOTHING_SENT, ResponsePanel } from "./response-panel.js";
import { all, keepInView, offerContents, offerSearch } from "./contents.js";
import { offerCopy } from "./copying.js";
import { element, prose } from "./elements.js";
import { write } from "./exact-json.js";
import { isOpen, problemsOf, send, bodyOf } from "./exchange.js";
import { FieldForm, showProblem } from "./field-form.js";
import { History } from "./history.js";
import { LiveQuestion } from "./live-question.js";
import { RequestPanel } from "./request-panel.js";
import {
  KEY, envPath, enveloped, firstRequest, inOrder, leaves, learnIds, mayMoveRealMoney, newKey, shown, valueAt, withValue,
  withoutSecrets,
} from "./requests.js";

const ADDRESS = `${location.origin}/`;
const at = (id) => document.getElementById(id);

class LiveTest {
  constructor({ actions, secrets, cards }) {
    this.actions = new Map(actions.map((action) => [action.name, action]));
    this.secrets = new Set(secrets);
    this.drafts = new Map(); // the edited request of each action
    this.knownIds = new Map();
    this.generatedKeys = new Set();
    this.inFlight = null;
    this.form = new FieldForm(at("fields"), cards, (path, value) => this.edit(path, value));
    this.panel = new RequestPanel({
      onEdit: (request) => this.take(request),
      onEnvelope: (envelope) => this.takeEnvelope(envelope),
      action: () => this.action,
      envelope: (withKeys) => this.envelopeToShow(withKeys),
      address: ADDRESS,
    });
    this.response = new ResponsePanel({
      onField: (path) => this.focus(path),
      onRepeat: (context) => this.repeat(context),
      onAccount: (account) => this.useAccount(account),
    });
    this.history = new History((entry) => this.restore(entry));
    this.question = new LiveQuestion();
    this.listen();
  }

  listen() {
    at("request").addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !this.question.isOpen) {
        event.preventDefault();
        this.submit();
      }
    });
    for (const choice of all("[name=env]")) choice.addEventListener("change", () => this.chooseEnv(choice.value));
    for (const id of ["business-id", "api-key"]) {
      at(id).addEventListener("input", () => showProblem(at(id), at(`${id}-problem`), ""));
      at(id).addEventListener("input", () => this.panel.refreshCode());
    }
    at("cancel").addEventListener("click", () => this.inFlight?.abort());
    addEventListener("hashchange", () => this.follow(location.hash.slice(1)));
  }

  /** Shows the action in the URL's hash; the link that skips to the content has none. */
  follow(name) {
    if (!this.actions.has(name) || name === this.action.name) return;
    this.choose(name);
    const title = at("action-title");
    title.scrollIntoView({ block: "nearest" });
    if (!document.activeElement.checkVisibility()) title.focus(); // the choice closed the list
  }

  /** Shows an action, or the first one if there is none of that name. */
  choose(name) {
    const action = this.actions.get(name) ?? this.actions.values().next().value;
    if (action !== this.action) this.response.clear(); // it is another action's; the history has it
    this.action = action;
    if (!this.drafts.has(action.name)) {
      const first = firstRequest(action, this.env, this.knownIds);
      if (action.mutates) this.generatedKeys.add(first.get(KEY));
      this.drafts.set(action.name, first);
    }
    this.fillKnownIds();
    at("action-title").textContent = action.name;
    at("action-kind").textContent = action.mutates ? "write" : "read";
    at("action-description").replaceChildren(...prose(action.description));
    at("action-reference").href = `/docs#${action.name}`;
    at("action-reference").setAttribute("aria-label", `${action.name} in the reference`);
    showNotice(action);
    for (const link of all("nav.contents a")) {
      const isCurrent = link.hash === `#${action.name}`;
      if (isCurrent) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
      if (isCurrent) keepInView(link);
    }
    this.form.build(action, envPath(action));
    this.put(this.request);
  }

  get request() {
    return this.drafts.get(this.action.name);
  }

  get env() {
    return document.querySelector("[name=env]:checked")?.value;
  }

  get account() {
    return { businessId: at("business-id").value.trim(), apiKey: at("api-key").value.trim() };
  }

  fillKnownIds() {
    for (const field of this.action.fields) {
      if (field.required && !this.request.has(field.name) && this.knownIds.has(field.name)) {
        this.drafts.set(this.action.name, inOrder(withValue(this.request, field.name, this.knownIds.get(field.name)), this.action.fields));
      }
    }
  }

  /** Applies an edit in the form. */
  edit(path, value) {
    const changed = inOrder(withValue(this.request, path, value), this.action.fields);
    this.drafts.set(this.action.name, changed);
    this.panel.showJson(changed);
  }

  /** Applies an edit of the JSON. */
  take(request) {
    this.drafts.set(this.action.name, request);
    this.form.refresh(request);
    this.showEnv();
  }

  /** Applies a pasted whole request: moves the envelope's fields to their inputs. */
  takeEnvelope({ businessId, apiKey, action, request }) {
    if (businessId !== undefined) at("business-id").value = shown(businessId);
    if (apiKey !== undefined) at("api-key").value = shown(apiKey);
    const name = this.actions.has(action) ? action : this.action.name;
    this.go(this.actions.get(name), request);
  }

  /** Shows a request in the form and as JSON. */
  put(request) {
    this.drafts.set(this.action.name, request);
    this.form.refresh(request);
    this.panel.showJson(request);
    this.showEnv();
  }

  chooseEnv(env) {
    for (const [name, draft] of this.drafts) {
      const path = envPath(this.actions.get(name));
      if (path !== undefined) this.drafts.set(name, inOrder(withValue(draft, path, env), this.actions.get(name).fields));
    }
    this.put(this.request);
  }

  /** Shows the environment of the request in the choice between TEST and LIVE. */
  showEnv() {
    const path = envPath(this.action);
    const env = path === undefined ? this.env : valueAt(this.request, path);
    for (const choice of all("[name=env]")) choice.checked = choice.value === env;
    at("request").dataset.env = env === "LIVE" ? "LIVE" : "";
    at("send").textContent = env === "LIVE" ? "Send to LIVE" : "Send";
    at("env-note").textContent = path === undefined
      ? `${this.action.name} has no environment.`
      : env === "TEST" || env === "LIVE"
        ? ""
        : "No environment given: the business's default applies, which is LIVE once LIVE keys are stored.";
  }

  envelopeToShow(withKeys) {
    const { businessId, apiKey } = this.account;
    if (withKeys) return enveloped({ businessId, apiKey }, this.action, this.request);
    const bare = enveloped({ businessId: "<business_id>", apiKey: "<api_key>" }, this.action, this.request);
    return withoutSecrets(bare, this.secrets, (name) => `<${name}>`);
  }

  async submit() {
    if (this.inFlight !== null || !this.isComplete()) return;
    const { action, request, account } = this;
    if (mayMoveRealMoney(action, request) && !(await this.question.ask(action, request))) return;
    this.inFlight = new AbortController();
    const over = this.showWaiting();
    const outcome = await send(ADDRESS, write(enveloped(account, action, request), { onOneLine: true }), {
      cancel: this.inFlight.signal,
    });
    this.inFlight = null;
    over();
    this.settle(action, request, outcome);
  }

  isComplete() {
    for (const id of ["api-key", "business-id"]) {
      const input = at(id);
      showProblem(input, at(`${id}-problem`), "");
      if (input.value.trim()) continue;
      showProblem(input, at(`${id}-problem`), "is required");
      input.focus();
    }
    if (!at("business-id").value.trim() || !at("api-key").value.trim()) return false;
    return this.panel.settle();
  }

  settle(action, request, outcome) {
    const body = bodyOf(outcome);
    if (outcome.status === 200) learnIds(this.knownIds, request, body);
    const context = { action, request, mutates: action.mutates, hasKey: request.has(KEY), address: ADDRESS };
    const isShown = action === this.action;
    if (isShown) this.response.show(outcome, context, this.showProblems(problemsOf(outcome)));
    else this.response.mention(outcome, context);
    this.history.add({
      action,
      request: withoutSecrets(request, this.secrets, () => undefined),
      outcome: this.withoutSecrets(outcome),
      context: { ...context, request: null },
    });
    if (!isOpen(outcome)) this.renewKey(action, request.get(KEY));
  }

  withoutSecrets(outcome) {
    const body = bodyOf(outcome);
    if (body.size === 0) return outcome;
    const kept = withoutSecrets(body, this.secrets, () => "(not kept)");
    return { ...outcome, text: write(kept) };
  }

  /** Sets a new idempotency key for the next request of the action, unless the user chose the key. */
  renewKey(action, used) {
    const draft = this.drafts.get(action.name);
    if (!action.mutates || !this.generatedKeys.has(used) || draft.get(KEY) !== used) return;
    const key = newKey();
    this.generatedKeys.add(key);
    this.drafts.set(action.name, withValue(draft, KEY, key));
    if (action === this.action) this.put(this.request);
  }

  showProblems(problems) {
    const left = this.form.showProblems(problems);
    return left.filter(({ field, description }) => {
      const id = { business_id: "business-id", api_key: "api-key" }[field];
      if (id) showProblem(at(id), at(`${id}-problem`), description);
      return !id;
    });
  }

  /** Shows that the request is in flight; returns the function that ends this. */
  showWaiting() {
    const started = performance.now();
    const { name } = this.action;
    const showTime = () => { at("waiting").textContent = `Waiting for the response to ${name}, ${Math.floor((performance.now() - started) / 1000)} s`; };
    const timer = setInterval(showTime, 1000);
    this.response.clear();
    showTime();
    at("send").disabled = true;
    at("cancel").hidden = false;
    return () => {
      clearInterval(timer);
      at("waiting").textContent = NOTHING_SENT;
      const hadFocus = document.activeElement === at("cancel") || document.activeElement === document.body;
      at("send").disabled = false;
      at("cancel").hidden = true;
      if (hadFocus) at("send").focus({ preventScroll: true });
    };
  }

  repeat({ action, request }) {
    if (this.inFlight !== null) return;
    this.go(action, request);
    this.submit();
  }

  restore({ action, request, outcome, context }) {
    if (this.inFlight !== null) return;
    this.go(action, inOrder(request, action.fields));
    this.response.show(outcome, context, problemsOf(outcome));
  }

  /** Shows an action with this request as its draft. */
  go(action, request) {
    this.drafts.set(action.name, request);
    this.choose(action.name);
    if (location.hash !== `#${action.name}`) location.hash = action.name;
  }

  useAccount({ businessId, apiKey }) {
    at("business-id").value = businessId;
    at("api-key").value = apiKey;
    this.knownIds.clear();
    at("announcement").textContent = `Requests now use ${businessId}.`;
  }

  focus(path) {
    if (!this.form.focus(path)) at("json").focus();
  }
}

function showNotice(action) {
  const notices = [
    action.adminOnly && "Only the admin business may call this action.",
    action.isAnnounced && "Announced, not implemented yet: it returns 501.",
  ].filter(Boolean);
  at("action-notice").hidden = notices.length === 0;
  at("action-notice").textContent = notices.join(" ");
}

function maskKey() {
  const input = at("api-key");
  // A masked text field, because browsers offer to store passwords.
  const canMask = CSS.supports("-webkit-text-security", "disc");
  const show = (isShown) => {
    if (canMask) input.classList.toggle("masked", !isShown);
    else input.type = isShown ? "text" : "password";
    at("show-key").setAttribute("aria-pressed", String(isShown));
    at("show-key").textContent = isShown ? "Hide" : "Show";
    at("show-key").setAttribute("aria-label", `${isShown ? "Hide" : "Show"} the API key`);
  };
  show(false);
  at("show-key").addEventListener("click", () => show(at("show-key").getAttribute("aria-pressed") !== "true"));
}

async function begin() {
  for (const place of all("[data-endpoint]")) place.textContent = ADDRESS;
  const response = await fetch(at("content").dataset.actions);
  if (!response.ok) throw new Error(`The list of actions returned ${response.status}`);
  const page = new LiveTest(await response.json());
  maskKey();
  offerContents();
  offerSearch((link) => {
    const action = page.actions.get(link.hash.slice(1));
    const parts = [action.category, action.description, ...leaves(action.fields).map((field) => field.path)];
    return parts.map((text) => ({ text, hash: link.hash }));
  });
  offerCopy(at("copy-request"), () => page.panel.text);
  offerCopy(at("copy-response"), () => page.response.text);
  page.response.clear();
  at("request").hidden = false;
  page.choose(location.hash.slice(1));
}

begin().catch((error) => {
  at("content").append(element("p", { class: "notice", role: "alert" }, `The page could not start: ${error.message}. Reload it.`));
  throw error;
});
