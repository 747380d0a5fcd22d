// What a request holds, as a Map in the order of its action's fields; pure, it touches no page.

import { JsonNumber, isNumber, parse, write } from "./exact-json.js";

export const KEY = "idempotency_key";
const ENV = "env";
const KEY_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789";

/** Returns the value at a path such as `user.name`, undefined where there is none. */
export function valueAt(request, path) {
  let value = request;
  for (const name of path.split(".")) {
    if (!(value instanceof Map)) return undefined;
    value = value.get(name);
  }
  return value;
}

/** Returns the request with the value at the path, or, with undefined, without what was there. */
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

/** Returns the request with its keys in the order of the fields; what is no field comes last. */
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

/** Returns the fields that hold a value themselves, from the top down. */
export function leaves(fields) {
  return fields.flatMap((field) => (field.fields.length > 0 && !field.repeated ? leaves(field.fields) : [field]));
}

/** Returns the path of the field that says TEST or LIVE, undefined where the action has none. */
export function envPath(action) {
  return leaves(action.fields).find((field) => field.name === ENV)?.path;
}

/** Returns what was typed for a field as it is sent; undefined where the field stays away. */
export function typed(field, text) {
  if (text === "") return undefined;
  if (field.repeated || field.kind === "object") return parsedOr(text);
  if (field.kind === "boolean" && (text === "true" || text === "false")) return text === "true";
  const bare = text.trim();
  if ((field.kind === "amount" || field.kind === "integer") && isNumber(bare)) return new JsonNumber(bare);
  return text; // also where it cannot be right: the server says why
}

function parsedOr(text) {
  try {
    return parse(text);
  } catch {
    return text;
  }
}

/** Returns a value as the text of its field. */
export function shown(value) {
  if (value === undefined) return "";
  return typeof value === "string" ? value : write(value, { onOneLine: true });
}

/**
 * Returns the action's example as a request to start with: for `env`, with the ids that are known of
 * this tab's users and jobs in place of the example's, and with a key of its own.
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

/** Remembers the ids of users and jobs that an answer, or else its request, names. */
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

/** Returns a new idempotency key, which nobody will have used. */
export function newKey() {
  const random = crypto.getRandomValues(new Uint8Array(20)); // where randomUUID is missing, without HTTPS
  return `live-test-${Array.from(random, (byte) => KEY_ALPHABET[byte % KEY_ALPHABET.length]).join("")}`;
}

/** Returns the value with `replace(name)` in place of every secret in it, undefined for nothing. */
export function withoutSecrets(value, secrets, replace) {
  if (Array.isArray(value)) return value.map((each) => withoutSecrets(each, secrets, replace));
  if (!(value instanceof Map)) return value;
  const kept = new Map();
  for (const [name, each] of value) {
    const isSecret = secrets.has(name) && each !== null;
    const shownInstead = isSecret ? replace(name) : withoutSecrets(each, secrets, replace);
    if (shownInstead !== undefined) kept.set(name, shownInstead);
  }
  return kept;
}

/** Returns whether the request may move real money: all of it that does not say TEST itself. */
export function mayMoveRealMoney(action, request) {
  const path = envPath(action);
  return action.movesMoney && (path === undefined || valueAt(request, path) !== "TEST");
}

/** Returns what is sent: the envelope's keys, and then the request's that are not among them. */
export function enveloped(account, action, request) {
  const envelope = new Map([
    ["business_id", account.businessId],
    ["api_key", account.apiKey],
    ["action", action.name],
  ]);
  for (const [name, value] of request) if (!envelope.has(name)) envelope.set(name, value);
  return envelope;
}
