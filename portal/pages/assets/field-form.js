// A form for an action's fields, in sync with the request, with the problems below each field.

import { element, prose } from "./elements.js";
import { KEY, leaves, newKey, shown, typed, valueAt } from "./requests.js";

const HINTS = { amount: "25.50", currency: "usd", time: "2024-03-01T08:00:00Z", map: '{"order_id": "6735"}' };

export class FieldForm {
  /**
   * Builds the form in `place`; calls `onEdit(path, value)` when a field is edited. `cards` are the
   * test cards to choose from, by the path of the field that takes them.
   */
  constructor(place, cards, onEdit) {
    this.place = place;
    this.cards = cards;
    this.onEdit = onEdit;
    this.inputs = new Map();
    this.groups = new Map();
  }

  /** Shows the action's fields except the one at `hiddenPath`. */
  build(action, hiddenPath) {
    this.inputs.clear();
    this.groups.clear();
    const fields = action.fields.filter((field) => field.path !== hiddenPath);
    const all = fields.map((field) => this.field(field, hiddenPath));
    if (fields.length === 0) all.push(element("p", { class: "quiet" }, "No fields of its own."));
    this.place.replaceChildren(...all);
  }

  field(field, hiddenPath) {
    if (leaves([field])[0] === field) return this.leaf(field);
    const inner = field.fields.filter((each) => each.path !== hiddenPath).map((each) => this.field(each, hiddenPath));
    const id = `field-${field.path}-problem`;
    const problem = element("p", { class: "problem", id });
    const group = element(
      "div",
      { class: "group", role: "group", "aria-labelledby": `field-${field.path}-name`, "aria-describedby": id },
      element("p", { class: "name", id: `field-${field.path}-name` }, element("code", {}, field.name), ...marks(field)),
      problem,
      element("p", { class: "about" }, ...prose(field.description)),
      ...inner,
    );
    this.groups.set(field.path, { group, problem });
    return group;
  }

  leaf(field) {
    const id = `field-${field.path}`;
    const input = control(field, id);
    const problem = element("p", { class: "problem", id: `${id}-problem` });
    input.addEventListener("input", () => {
      this.clear(field.path);
      this.onEdit(field.path, typed(field, input.value));
    });
    const nullButton = field.clearable ? this.nullButton(field) : undefined;
    this.inputs.set(field.path, { field, input, problem, nullButton });
    const label = element("label", { for: id }, element("code", {}, field.name), ...marks(field));
    const beside = field.path === KEY ? this.keyButton(input) : nullButton ? [nullButton] : [];
    return element(
      "div",
      { class: "field" },
      label,
      element("div", { class: "line" }, input, ...beside),
      ...(field.path in this.cards ? [this.cardPicker(field.path, input)] : []),
      problem,
      element("p", { class: "about", id: `${id}-about` }, ...about(field)),
    );
  }

  /** A list of test cards, by what they do; the choice goes into the field. */
  cardPicker(path, input) {
    const groups = new Map(this.cards[path].map(({ group }) => [group, this.cards[path].filter((card) => card.group === group)]));
    const picker = element(
      "select",
      { class: "cards", "aria-label": `Test card for ${path}` },
      element("option", { value: "" }, "Choose a test card…"),
      ...[...groups].map(([label, cards]) => element(
        "optgroup",
        { label },
        ...cards.map((card) => element("option", { value: card.value }, card.label)),
      )),
    );
    picker.addEventListener("change", () => {
      if (!picker.value) return;
      input.value = picker.value;
      this.clear(path);
      this.onEdit(path, picker.value);
    });
    return picker;
  }

  keyButton(input) {
    const button = element("button", { type: "button" }, "New key");
    button.addEventListener("click", () => {
      input.value = newKey();
      this.clear(KEY);
      this.onEdit(KEY, input.value);
    });
    return [button];
  }

  /** A button that sends null, which clears the stored value; pressed again, nothing is sent. */
  nullButton(field) {
    const button = element("button", { type: "button", "aria-pressed": "false", "aria-label": `null for ${field.name}` }, "null");
    button.addEventListener("click", () => {
      const value = button.getAttribute("aria-pressed") === "true" ? undefined : null;
      this.clear(field.path);
      this.showValue(field.path, value);
      this.onEdit(field.path, value);
    });
    return button;
  }

  /** Shows the values of the request. */
  refresh(request) {
    for (const [path, { field, input }] of this.inputs) {
      const value = valueAt(request, path);
      if (document.activeElement === input && sameValue(typed(field, input.value), value)) continue;
      this.showValue(path, value);
    }
  }

  showValue(path, value) {
    const { input, nullButton } = this.inputs.get(path);
    const text = shown(value);
    if (input instanceof HTMLSelectElement && ![...input.options].some((option) => option.value === text)) {
      input.append(element("option", { value: text }, text));
    }
    input.value = text;
    if (nullButton) {
      input.disabled = value === null;
      nullButton.setAttribute("aria-pressed", String(value === null));
    }
  }

  /** Shows each problem at its field; returns those without a field in the form. */
  showProblems(problems) {
    for (const path of this.inputs.keys()) this.clear(path);
    for (const { problem } of this.groups.values()) problem.textContent = "";
    return problems.filter(({ field: path, description }) => {
      const found = this.inputs.get(path) ?? this.mapAround(path);
      const group = this.groups.get(path);
      if (found) showProblem(found.input, found.problem, description);
      else if (group) group.problem.textContent = sentence(description);
      return !found && !group;
    });
  }

  /** Returns the input of the map that the path is a pair of, if it is of one. */
  mapAround(path) {
    for (const [outer, found] of this.inputs) {
      if (found.field.kind === "map" && path.startsWith(`${outer}.`)) return found;
    }
    return undefined;
  }

  /** Focuses the field at a path; returns whether there is one. */
  focus(path) {
    const found = this.inputs.get(path)?.input ?? this.groups.get(path)?.group.querySelector("input, select");
    found?.focus();
    return Boolean(found);
  }

  clear(path) {
    const { input, problem } = this.inputs.get(path);
    showProblem(input, problem, "");
    for (const [outer, group] of this.groups) if (path.startsWith(`${outer}.`)) group.problem.textContent = "";
  }
}

/** Shows a problem at an input; "" removes it. */
export function showProblem(input, place, description) {
  const already = place.textContent;
  place.textContent = already && description ? `${already} ${sentence(description)}` : description && sentence(description);
  if (description) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}

function sentence(text) {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}

function sameValue(one, other) {
  return shown(one) === shown(other);
}

function marks(field) {
  return field.required ? [" ", element("span", { class: "required" }, "required")] : [];
}

function about(field) {
  const { description, limits } = field;
  return prose(limits.length ? `${description} ${sentence(limits.join("; "))}` : description);
}

function control(field, id) {
  const common = {
    id,
    required: field.required,
    "aria-describedby": `${id}-problem ${id}-about`,
    autocomplete: "off",
  };
  const words = field.kind === "boolean" ? ["true", "false"] : field.words;
  if (words.length > 0) {
    const options = words.map((word) => element("option", { value: word }, word));
    return element("select", common, element("option", { value: "" }, "not sent"), ...options);
  }
  const inputmode = { amount: "decimal", integer: "numeric" }[field.kind];
  const placeholder = HINTS[field.kind];
  return element("input", { ...common, type: "text", inputmode, placeholder, spellcheck: "false", autocapitalize: "off" });
}
