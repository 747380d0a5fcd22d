// How a request is built and edited, what is removed from it, and when LIVE needs confirmation.

import assert from "node:assert/strict";
import test from "node:test";
import { parse, write } from "../../portal/pages/assets/exact-json.js";
import {
  KEY, enveloped, envPath, firstRequest, inOrder, learnIds, mayMoveRealMoney, newKey, shown, typed, valueAt, withValue,
  withoutSecrets,
} from "../../portal/pages/assets/requests.js";

const line = (value) => write(value, { onOneLine: true });
const field = (path, kind = "string", more = {}) => ({
  name: path.split(".").at(-1), path, kind, words: [], limits: [], fields: [], repeated: false, required: false, ...more,
});
const CHARGE = {
  name: "charge_customer",
  mutates: true,
  movesMoney: true,
  fields: [field("user_id"), field("amount", "amount"), field("env", "word"), field(KEY)],
  example: '{"amount":25.50,"user_id":"USR-1","idempotency_key":"order-1"}',
};
const STORE_KEYS = {
  name: "add_stripe_credentials",
  mutates: true,
  movesMoney: false,
  fields: [field("credentials", "object", { fields: [field("credentials.env", "word"), field("credentials.stripe_secret_key")] })],
  example: '{"credentials":{"stripe_secret_key":"sk"}}',
};

test("what is typed as an amount is sent with the digits that were typed", () => {
  for (const [kind, text, sent] of [
    ["amount", "25.50", "25.50"],
    ["amount", " 0.10 ", "0.10"],
    ["amount", "12345678901234567890.01", "12345678901234567890.01"],
    ["amount", "25,50", '"25,50"'],
    ["amount", ".5", '".5"'],
    ["integer", "007", '"007"'],
    ["integer", "3", "3"],
    ["string", "25.50", '"25.50"'],
    ["string", " a ", '" a "'],
    ["boolean", "true", "true"],
  ]) {
    assert.equal(line(typed(field("x", kind), text)), sent);
  }
  assert.equal(typed(field("x", "amount"), ""), undefined);
});

test("a value is shown as it would be typed", () => {
  for (const [json, text] of [["25.50", "25.50"], ['"a"', "a"], ["true", "true"], ['{"a":1}', '{"a":1}']]) {
    assert.equal(shown(parse(json)), text);
  }
  assert.equal(shown(undefined), "");
});

test("a value comes and goes at its path, with the object around it", () => {
  const one = withValue(new Map(), "user.name", "Alicia");
  assert.equal(line(one), '{"user":{"name":"Alicia"}}');
  assert.equal(valueAt(one, "user.name"), "Alicia");
  assert.equal(line(withValue(one, "user.name", undefined)), "{}");
  assert.equal(line(one), '{"user":{"name":"Alicia"}}');
  assert.equal(line(withValue(parse('{"user":3}'), "user.name", "A")), '{"user":{"name":"A"}}');
  assert.equal(valueAt(parse('{"user":3}'), "user.name"), undefined);
});

test("the first request is the example in the chosen environment, with known ids and a key of its own", () => {
  const known = new Map();
  const first = firstRequest(CHARGE, "LIVE", known);
  assert.equal(line(first.get("amount")), "25.50");
  assert.deepEqual([...first.keys()], ["amount", "env", KEY]);
  assert.notEqual(first.get(KEY), "order-1");
  learnIds(known, parse('{"success":true,"user":{"user_id":"USR-9","name":"x"}}'));
  assert.deepEqual([...firstRequest(CHARGE, "TEST", known).keys()], ["user_id", "amount", "env", KEY]);
  assert.equal(firstRequest(CHARGE, "TEST", known).get("user_id"), "USR-9");
  assert.equal(envPath(STORE_KEYS), "credentials.env");
  assert.equal(line(firstRequest(STORE_KEYS, "TEST", known).get("credentials")), '{"env":"TEST","stripe_secret_key":"sk"}');
});

test("keys that are not the action's own come last", () => {
  const request = inOrder(parse('{"x":1,"env":"TEST","user_id":"U"}'), CHARGE.fields);
  assert.deepEqual([...request.keys()], ["user_id", "env", "x"]);
});

test("a generated key is new and fits its limits", () => {
  const keys = new Set(Array.from({ length: 500 }, newKey));
  assert.equal(keys.size, 500);
  for (const key of keys) assert.match(key, /^[ -~]{1,64}$/);
});

test("LIVE needs confirmation unless the environment is TEST", () => {
  for (const [env, asks] of [['"TEST"', false], ['"LIVE"', true], ['"test"', true], ["null", true], ['{"a":1}', true]]) {
    assert.equal(mayMoveRealMoney(CHARGE, parse(`{"env":${env}}`)), asks, env);
  }
  assert.ok(mayMoveRealMoney(CHARGE, parse("{}")));
  assert.ok(mayMoveRealMoney({ ...CHARGE, fields: [field("amount", "amount")] }, parse('{"env":"TEST"}')));
  assert.ok(!mayMoveRealMoney(STORE_KEYS, parse('{"credentials":{"env":"LIVE"}}')));
});

test("secrets are replaced or left out at any depth", () => {
  const body = parse('{"api_key":"k","a":[{"cvv":123}],"credentials":{"transaction_key":"t","env":"TEST"},"x":{"api_key":null}}');
  const secrets = new Set(["api_key", "cvv", "transaction_key"]);
  assert.equal(
    line(withoutSecrets(body, secrets, (name) => `<${name}>`)),
    '{"api_key":"<api_key>","a":[{"cvv":"<cvv>"}],"credentials":{"transaction_key":"<transaction_key>","env":"TEST"},"x":{"api_key":null}}',
  );
  assert.equal(line(withoutSecrets(body, secrets, () => undefined)), '{"a":[{}],"credentials":{"env":"TEST"},"x":{"api_key":null}}');
});

test("the envelope's own keys cannot be overridden by the request", () => {
  const envelope = enveloped({ businessId: "B", apiKey: "K" }, CHARGE, parse('{"api_key":"other","amount":1.0}'));
  assert.equal(line(envelope), '{"business_id":"B","api_key":"K","action":"charge_customer","amount":1.0}');
});
