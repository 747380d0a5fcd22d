// Writes a request as code to copy: cURL, or a call of the client library of a language.

import { JsonNumber, write } from "./exact-json.js";
import { KEY } from "./requests.js";

const WHOLE = /^(?:0|-?[1-9][0-9]{0,14})$/; // exact in each of these languages
const ENVELOPE = ["business_id", "api_key", "action"];

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;
const PYTHON_KEYWORDS = new Set((
  "False None True and as assert async await break class continue def del elif else except finally for " +
  "from global if import in is lambda nonlocal not or pass raise return try while with yield"
).split(" "));

/** The languages, with their names. */
export const LANGUAGES = { curl: "cURL", python: "Python", php: "PHP", typescript: "TypeScript" };

/**
 * Returns the code for `language`, one of LANGUAGES, that sends the envelope to the address. `action`
 * has the fields' kinds. The libraries take amounts as text, so that no language reads a float.
 */
export function codeFor(language, address, action, envelope) {
  const [businessId, apiKey] = ENVELOPE.map((name) => envelope.get(name));
  const fields = new Map([...envelope].filter(([name]) => !ENVELOPE.includes(name)));
  return WRITERS[language]({ address, businessId, apiKey, action, fields, envelope });
}

function curl({ address, envelope }) {
  return `curl -sS --max-time 30 ${shellQuoted(address)} \\
  -H 'Content-Type: application/json' \\
  --data-binary @- <<'JSON'
${write(envelope)}
JSON
`;
}

function python({ address, businessId, apiKey, action, fields }) {
  const used = new Set(["Nivisco"]);
  const given = [...fields].map(([name, value]) => {
    const written = pythonValue(value, fieldOf(action.fields, name), "        ", used);
    return `        ${pythonArgument(name, written)},\n`;
  });
  const [host, id, key] = [address, businessId, apiKey].map(PYTHON.string);
  return `from nivisco_client import ${[...used].sort().join(", ")}

with Nivisco(${host}, ${id}, ${key}) as nivisco:
    result = nivisco.${action.name}(${given.length ? `\n${given.join("")}    ` : ""})
print(result)
`;
}

function php({ address, businessId, apiKey, action, fields }) {
  const [host, id, key] = [address, businessId, apiKey].map(PHP.string);
  return `<?php
require __DIR__ . '/vendor/autoload.php';

$nivisco = new Nivisco\\Client(${host}, ${id}, ${key});
$result = $nivisco->${camel(action.name)}(${fields.size ? literal(fields, action.fields, PHP, "") : ""});
print_r($result);
`;
}

function typescript({ address, businessId, apiKey, action, fields }) {
  const [host, id, key] = [address, businessId, apiKey].map(TYPESCRIPT.string);
  const takesKey = action.mutates && fields.has(KEY);
  const own = new Map([...fields].filter(([name]) => !takesKey || name !== KEY));
  const given = own.size || (takesKey && action.fields.length > 1) ? [literal(own, action.fields, TYPESCRIPT, "")] : [];
  if (takesKey) given.push(`{ idempotencyKey: ${literal(fields.get(KEY), [], TYPESCRIPT, "")} }`);
  return `import { Nivisco } from "@nivisco/client";

const nivisco = new Nivisco({
  url: ${host},
  businessId: ${id},
  apiKey: ${key},
});
const result = await nivisco.${camel(action.name)}(${given.join(", ")});
console.log(result);
`;
}

const WRITERS = { curl, python, php, typescript };

const PYTHON = {
  indent: "    ",
  words: { true: "True", false: "False", null: "None" },
  string: (text) => JSON.stringify(text),
  object: ["{", "}"],
  empty: "{}",
  pair: (key, value) => `${PYTHON.string(key)}: ${value}`,
};
const PHP = {
  indent: "    ",
  words: { true: "true", false: "false", null: "null" },
  string: (text) => `'${String(text).replace(/[\\']/g, "\\$&")}'`,
  object: ["[", "]"],
  empty: "[]",
  pair: (key, value) => `${PHP.string(key)} => ${value}`,
};
const TYPESCRIPT = {
  indent: "  ",
  words: { true: "true", false: "false", null: "null" },
  string: (text) => JSON.stringify(text),
  object: ["{", "}"],
  empty: "{}",
  pair: (key, value, isField) => `${typescriptKey(isField ? camel(key) : key)}: ${value}`,
};

function pythonArgument(name, written) {
  if (IDENTIFIER.test(name) && !PYTHON_KEYWORDS.has(name)) return `${name}=${written}`;
  return `**{${PYTHON.string(name)}: ${written}}`;
}

/** Returns a value for Python: objects as the library's classes, null as what clears a value. */
function pythonValue(value, field, margin, used) {
  if (value === null && field?.clearable) return named("CLEAR", used);
  if (!(value instanceof Map) || !field?.type) return literal(value, field?.fields, PYTHON, margin, isText(field));
  const inner = `${margin}    `;
  const items = [...value].map(([name, each]) => pythonArgument(name, pythonValue(each, fieldOf(field.fields, name), inner, used)));
  return items.length ? onLines([`${named(field.type, used)}(`, ")"], items, inner, margin) : `${named(field.type, used)}()`;
}

function named(name, used) {
  used.add(name);
  return name;
}

function literal(value, fields, language, margin, asText = false) {
  const inner = margin + language.indent;
  if (value instanceof JsonNumber) return WHOLE.test(value.text) && !asText ? value.text : language.string(value.text);
  if (value instanceof Map) {
    if (value.size === 0) return language.empty;
    const pairs = [...value].map(([key, each]) => {
      const field = fieldOf(fields, key);
      return language.pair(key, literal(each, field?.fields, language, inner, isText(field)), field !== undefined);
    });
    return onLines(language.object, pairs, inner, margin);
  }
  if (Array.isArray(value)) {
    return value.length ? onLines(["[", "]"], value.map((each) => literal(each, fields, language, inner)), inner, margin) : "[]";
  }
  return typeof value === "string" ? language.string(value) : language.words[String(value)];
}

function fieldOf(fields, name) {
  return fields?.find((field) => field.name === name);
}

function isText(field) {
  return field?.kind === "amount";
}

function camel(name) {
  return name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
}

function typescriptKey(key) {
  if (key === "__proto__") return `["${key}"]`; // as a plain key it would set the prototype
  return IDENTIFIER.test(key) ? key : JSON.stringify(key);
}

function onLines([open, close], items, inner, margin) {
  return `${open}\n${items.map((item) => `${inner}${item},\n`).join("")}${margin}${close}`;
}

/** Returns a command that sends the action's example over gRPC to a core on this machine. */
export function grpcExample(action, envelope) {
  return `grpcurl -plaintext \\
  -H ${shellQuoted(`x-business-id: ${envelope.get("business_id")}`)} \\
  -H ${shellQuoted(`x-api-key: ${envelope.get("api_key")}`)} \\
  -d @ 127.0.0.1:50051 \\
  ${action.rpc} <<'JSON'
${action.message}
JSON
`;
}

const PARTS = new RegExp(
  ["(?<string>\"(?:[^\"\\\\\\n]|\\\\.)*\"|'(?:[^'\\\\\\n]|\\\\.)*')", "(?<number>(?<![\\w.-])\\d+(?![\\w.-]))",
    "(?<word>\\b(?:import|from|with|as|const|await|new|require|print|print_r|true|false|null|True|False|None)\\b)"].join("|"),
  "g",
);

/** Returns the code as parts `{kind, text}` with the kinds `string`, `number`, `word` and `mark`. */
export function partsOfCode(text) {
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(PARTS)) {
    const [kind] = Object.entries(match.groups).find(([, found]) => found !== undefined);
    parts.push({ kind: "mark", text: text.slice(end, match.index) }, { kind, text: match[0] });
    end = match.index + match[0].length;
  }
  parts.push({ kind: "mark", text: text.slice(end) });
  return parts;
}

function shellQuoted(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
