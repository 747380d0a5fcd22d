// Writes a request as code to copy: cURL, PHP, Python or JavaScript.
// A number that a language would read as a float is written as a string, which the API accepts, too.

import { JsonNumber, write } from "./exact-json.js";

const WHOLE = /^(?:0|-?[1-9][0-9]{0,14})$/; // exact in each of these languages
const SECONDS = 30;

/** Returns the code for `language`, one of LANGUAGES, that sends the envelope to the address. */
export function codeFor(language, address, envelope) {
  return WRITERS[language](address, envelope);
}

function curl(address, envelope) {
  return `curl -sS --max-time ${SECONDS} ${shellQuoted(address)} \\
  -H 'Content-Type: application/json' \\
  --data-binary @- <<'JSON'
${write(envelope)}
JSON
`;
}

function php(address, envelope) {
  return `<?php
$request = ${literal(envelope, PHP, "")};

$curl = curl_init(${PHP.string(address)});
curl_setopt_array($curl, [
    CURLOPT_POST => true,
    CURLOPT_POSTFIELDS => json_encode($request, JSON_THROW_ON_ERROR),
    CURLOPT_HTTPHEADER => ['Content-Type: application/json'],
    CURLOPT_RETURNTRANSFER => true,
    CURLOPT_TIMEOUT => ${SECONDS},
]);
$response = curl_exec($curl);
if ($response === false) {
    throw new RuntimeException('No response: ' . curl_error($curl));
}
echo curl_getinfo($curl, CURLINFO_RESPONSE_CODE), "\\n", $response, "\\n";
`;
}

function python(address, envelope) {
  return `import json
import urllib.error
import urllib.request

request = ${literal(envelope, PYTHON, "")}

sent = urllib.request.Request(
    ${PYTHON.string(address)},
    data=json.dumps(request).encode(),
    headers={"Content-Type": "application/json"},
)
try:
    response = urllib.request.urlopen(sent, timeout=${SECONDS})
except urllib.error.HTTPError as error:
    response = error
print(response.status, response.read().decode(), sep="\\n")
`;
}

function javascript(address, envelope) {
  return `const request = ${literal(envelope, JAVASCRIPT, "")};

const response = await fetch(${JAVASCRIPT.string(address)}, {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(request),
  signal: AbortSignal.timeout(${SECONDS}_000),
});
console.log(\`\${response.status}\\n\${await response.text()}\`);
`;
}

const WRITERS = { curl, php, python, javascript };

/** The languages, with their names. */
export const LANGUAGES = { curl: "cURL", php: "PHP", python: "Python", javascript: "JavaScript" };

const PHP = {
  indent: "    ",
  words: { true: "true", false: "false", null: "null" },
  string: (text) => `'${text.replace(/[\\']/g, "\\$&")}'`,
  object: ["[", "]"],
  emptyObject: "new stdClass()",
  pair: (key, value) => `${PHP.string(key)} => ${value}`,
};
const PYTHON = {
  indent: "    ",
  words: { true: "True", false: "False", null: "None" },
  string: (text) => JSON.stringify(text),
  object: ["{", "}"],
  emptyObject: "{}",
  pair: (key, value) => `${PYTHON.string(key)}: ${value}`,
};
const JAVASCRIPT = {
  indent: "  ",
  words: { true: "true", false: "false", null: "null" },
  string: (text) => JSON.stringify(text),
  object: ["{", "}"],
  emptyObject: "{}",
  pair: (key, value) => `${javascriptKey(key)}: ${value}`,
};

function javascriptKey(key) {
  if (key === "__proto__") return `["${key}"]`; // as a plain key it would set the prototype
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(key) ? key : JSON.stringify(key);
}

function literal(value, language, margin) {
  const inner = margin + language.indent;
  const item = (each) => literal(each, language, inner);
  if (value instanceof JsonNumber) return WHOLE.test(value.text) ? value.text : language.string(value.text);
  if (value instanceof Map) {
    if (value.size === 0) return language.emptyObject;
    const pairs = [...value].map(([key, each]) => language.pair(key, item(each)));
    return onLines(language.object, pairs, inner, margin);
  }
  if (Array.isArray(value)) return value.length ? onLines(["[", "]"], value.map(item), inner, margin) : "[]";
  return typeof value === "string" ? language.string(value) : language.words[String(value)];
}

function onLines([open, close], items, inner, margin) {
  return `${open}\n${items.map((item) => `${inner}${item},\n`).join("")}${margin}${close}`;
}

function shellQuoted(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
