// Reads and writes JSON whose numbers keep their text, never as a float.
// Objects are Maps, so that no key is special to JavaScript.

const NUMBER = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/;
const TOKEN = /[ \t\n\r]*(?:([{}[\]:,])|("(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")|(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)|(true|false|null))/y;
const SPACE = /[ \t\n\r]*/y;
const DEEPEST = 200;

/** A JSON number as it was written, for example `25.50`. */
export class JsonNumber {
  constructor(text) {
    if (!isNumber(text)) throw new TypeError(`${text} is not a JSON number`);
    this.text = text;
  }
}

/** A syntax error with its position; lines and columns count from 1. */
export class JsonError extends Error {
  constructor(what, text, at) {
    const before = text.slice(0, at).split("\n");
    super(`Line ${before.length}, column ${before.at(-1).length + 1}: ${what}`);
  }
}

/** Returns whether the text is a JSON number. */
export function isNumber(text) {
  return NUMBER.test(text);
}

/** Returns the tokens of a JSON text, each `{kind, text, at}`; throws JsonError. */
export function tokens(text) {
  const found = [];
  let end = 0;
  for (;;) {
    TOKEN.lastIndex = end;
    const match = TOKEN.exec(text);
    if (match === null) break;
    end = TOKEN.lastIndex;
    const [, mark, string, number, word] = match;
    const part = mark ?? string ?? number ?? word;
    const kind = mark ? "mark" : string ? "string" : number ? "number" : "word";
    found.push({ kind, text: part, at: end - part.length });
  }
  SPACE.lastIndex = end;
  SPACE.exec(text);
  if (SPACE.lastIndex < text.length) {
    throw new JsonError(`${shortened(text.slice(SPACE.lastIndex))} is not JSON`, text, SPACE.lastIndex);
  }
  found.push({ kind: "end", text: "", at: text.length });
  return found;
}

/** Returns the value of a JSON text; throws JsonError, also for a duplicate key. */
export function parse(text) {
  const reader = new Reader(text);
  const value = reader.value(0);
  reader.take("end", "", "Unexpected text after the end");
  return value;
}

class Reader {
  constructor(text) {
    this.text = text;
    this.tokens = tokens(text);
    this.next = 0;
  }

  value(depth) {
    const token = this.tokens[this.next];
    if (depth > DEEPEST) this.fail("Nested too deeply");
    if (token.text === "{") return this.object(depth);
    if (token.text === "[") return this.list(depth);
    this.next += 1;
    if (token.kind === "string") return JSON.parse(token.text);
    if (token.kind === "number") return new JsonNumber(token.text);
    if (token.kind === "word") return { true: true, false: false, null: null }[token.text];
    this.next -= 1;
    return this.fail("A value is missing");
  }

  object(depth) {
    const found = new Map();
    this.next += 1;
    if (this.has("}")) return found;
    do {
      const at = this.next;
      const key = JSON.parse(this.take("string", null, "A key in double quotes is missing"));
      if (found.has(key)) {
        this.next = at;
        this.fail(`Duplicate key “${shortened(key)}”`);
      }
      this.take("mark", ":", "A colon is missing after the key");
      found.set(key, this.value(depth + 1));
    } while (this.has(","));
    this.take("mark", "}", "A comma or } is missing");
    return found;
  }

  list(depth) {
    const found = [];
    this.next += 1;
    if (this.has("]")) return found;
    do found.push(this.value(depth + 1)); while (this.has(","));
    this.take("mark", "]", "A comma or ] is missing");
    return found;
  }

  has(mark) {
    const token = this.tokens[this.next];
    if (token.kind !== "mark" || token.text !== mark) return false;
    this.next += 1;
    return true;
  }

  take(kind, text, otherwise) {
    const token = this.tokens[this.next];
    if (token.kind !== kind || (text !== null && token.text !== text)) this.fail(otherwise);
    this.next += 1;
    return token.text;
  }

  fail(what) {
    throw new JsonError(what, this.text, this.tokens[this.next].at);
  }
}

/** Returns a value as JSON, indented by two spaces or on one line. */
export function write(value, { onOneLine = false } = {}) {
  return written(value, onOneLine ? null : "\n");
}

function written(value, newLine) {
  if (value instanceof JsonNumber) return value.text;
  const inner = newLine === null ? null : `${newLine}  `;
  const item = (each) => written(each, inner);
  if (Array.isArray(value)) return enclosed("[", value.map(item), "]", newLine);
  if (value instanceof Map) {
    const colon = newLine === null ? ":" : ": ";
    return enclosed("{", [...value].map(([key, each]) => JSON.stringify(key) + colon + item(each)), "}", newLine);
  }
  return JSON.stringify(value);
}

function enclosed(open, items, close, newLine) {
  if (items.length === 0) return open + close;
  if (newLine === null) return open + items.join(",") + close;
  return `${open}${newLine}  ${items.join(`,${newLine}  `)}${newLine}${close}`;
}

/**
 * Returns a JSON text indented, as parts `{kind, text}` with their original text and the kinds `key`,
 * `string`, `number`, `word` and `mark`; throws JsonError.
 */
export function laidOut(text) {
  parse(text);
  const parts = [];
  let level = 0;
  const newLine = () => parts.push({ kind: "mark", text: `\n${"  ".repeat(level)}` });
  const all = tokens(text).slice(0, -1);
  for (const [index, token] of all.entries()) {
    const follows = all[index + 1]?.text;
    const opens = token.kind === "mark" && (token.text === "{" || token.text === "[");
    const closes = token.kind === "mark" && (token.text === "}" || token.text === "]");
    const isEmpty = closes && ["{", "["].includes(all[index - 1].text) && all[index - 1].kind === "mark";
    if (closes) level -= 1;
    if (closes && !isEmpty) newLine();
    const isKey = token.kind === "string" && follows === ":" && all[index + 1].kind === "mark";
    parts.push({ kind: isKey ? "key" : token.kind, text: token.text === ":" && token.kind === "mark" ? ": " : token.text });
    if (opens) level += 1;
    const closesNext = follows === "}" || follows === "]";
    if ((opens && !(closesNext && all[index + 1].kind === "mark")) || (token.kind === "mark" && token.text === ",")) newLine();
  }
  return parts;
}

function shortened(text) {
  return text.length > 20 ? `${text.slice(0, 20)}…` : text;
}
