// Requests as Maps in the order of their action's fields. Pure functions, without the page.

import { JsonNumber, isNumber, parse, write } from "./exact-json.js";

export const KEY = "idempotency_key";
const ENV = "env";
const KEY_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789";

/** Returns the value at a path such as `user.name`, or undefined. */
export function valueAt(request, path) {
  let value = request;
  for (const name of path.split(".")) {
    if (!(value instanceof Map)) return undefined;
    value = value.get(name);
  }
  return value;
}

/** Returns the request with the value at the path; undefined removes it. */
export function withValue(request, path, value) {
  const [name, ...inner] = path.split(".");
  const changed = new Map(request);
  if (inner.length > 0) {
    const held = request.get(name);
    value = withValue(held instanceof Map ? held : new Map(), inner.join("."), value);
    if (value.size === 0) value = undefined;
  }
  if (value === undefined) changed.delete(name);
  else changed.set(name, value);
  return changed;
}

/** Returns the request with its keys in the order of the fields, unknown ones last. */
export function inOrder(request, fields) {
  const sorted = new Map();
  for (const field of fields) {
    if (!request.has(field.name)) continue;
    const value = request.get(field.name);
    sorted.set(field.name, value instanceof Map ? inOrder(value, field.fields) : value);
  }
  for (const [name, value] of request) if (!sorted.has(name)) sorted.set(name, value);
  return sorted;
}

/** Returns the fields that are not objects, in order. */
export function leaves(fields) {
  return fields.flatMap((field) => (field.fields.length > 0 && !field.repeated ? leaves(field.fields) : [field]));
}

/** Returns the path of the environment field, or undefined. */
export function envPath(action) {
  return leaves(action.fields).find((field) => field.name === ENV)?.path;
}

/** Returns the value to send for the text of a field; undefined if it is absent. */
export function typed(field, text) {
  if (text === "") return undefined;
  if (field.repeated || ["object", "map"].includes(field.kind)) return parsedOr(text);
  if (field.kind === "boolean" && (text === "true" || text === "false")) return text === "true";
  const bare = text.trim();
  if ((field.kind === "amount" || field.kind === "integer") && isNumber(bare)) return new JsonNumber(bare);
  return text; // also if it is invalid: the server says why
}

function parsedOr(text) {
  try {
    return parse(text);
  } catch {
    return text;
  }
}

/** Returns the text of a field for its value. */
export function shown(value) {
  if (value === undefined) return "";
  return typeof value === "string" ? value : write(value, { onOneLine: true });
}

/**
 * Returns the first request of an action: its example for `env`, with the known ids of users and jobs
 * and a new idempotency key.
 */
export function firstRequest(action, env, knownIds) {
  let request = parse(action.example);
  for (const field of action.fields) {
    if (isId(field.name)) request = withValue(request, field.name, knownIds.get(field.name));
  }
  const path = envPath(action);
  if (path !== undefined) request = withValue(request, path, env);
  request = withValue(request, KEY, action.mutates ? newKey() : undefined);
  return inOrder(request, action.fields);
}

/** Stores the ids of users and jobs in a request and its response. */
export function learnIds(knownIds, ...bodies) {
  for (const body of bodies) {
    for (const [name, value] of body) {
      if (value instanceof Map) learnIds(knownIds, value);
      else if (isId(name) && typeof value === "string" && value) knownIds.set(name, value);
    }
  }
}

function isId(name) {
  return name === "user_id" || name === "recurring_id";
}

/** Returns a new random idempotency key. */
export function newKey() {
  const random = crypto.getRandomValues(new Uint8Array(20)); // randomUUID needs HTTPS
  return `live-test-${Array.from(random, (byte) => KEY_ALPHABET[byte % KEY_ALPHABET.length]).join("")}`;
}

/** Returns the value with secrets replaced by `replace(name)`, or removed if that is undefined. */
export function withoutSecrets(value, secrets, replace) {
  if (Array.isArray(value)) return value.map((each) => withoutSecrets(each, secrets, replace));
  if (!(value instanceof Map)) return value;
  const kept = new Map();
  for (const [name, each] of value) {
    const isSecret = secrets.has(name) && each !== null;
    const replaced = isSecret ? replace(name) : withoutSecrets(each, secrets, replace);
    if (replaced !== undefined) kept.set(name, replaced);
  }
  return kept;
}

/** Returns whether the request may move real money: its environment is not TEST. */
export function mayMoveRealMoney(action, request) {
  const path = envPath(action);
  return action.movesMoney && (path === undefined || valueAt(request, path) !== "TEST");
}

/** Returns the body to send: the envelope's fields, then the request's other ones. */
export function enveloped(account, action, request) {
  const envelope = new Map([
    ["business_id", account.businessId],
    ["api_key", account.apiKey],
    ["action", action.name],
  ]);
  for (const [name, value] of request) if (!envelope.has(name)) envelope.set(name, value);
  return envelope;
}
