// Numbers keep their text through reading, writing and display.

import assert from "node:assert/strict";
import test from "node:test";
import { JsonNumber, isNumber, laidOut, parse, write } from "../../portal/pages/assets/exact-json.js";

const NUMBERS = [
  "0", "-0", "25.50", "0.10", "1E400", "9007199254740993", "123456789012345678901234567890.10", "1e-7", "100.00",
];

test("a number is written as it was read", () => {
  for (const number of NUMBERS) {
    assert.equal(write(parse(number)), number);
    assert.equal(write(parse(`{"a":[${number}]}`), { onOneLine: true }), `{"a":[${number}]}`);
    assert.ok(isNumber(number));
  }
});

test("what JSON does not write as a number is none", () => {
  for (const text of ["", "+1", "01", "1.", ".5", "1,5", "NaN", "Infinity", "0x1", "1e", " 1", "1 ", "１"]) {
    assert.ok(!isNumber(text), text);
    assert.throws(() => new JsonNumber(text), TypeError);
  }
});

test("display shows every part as it was received", () => {
  const text = '{"n":25.50,"s":"\\u0041\\/:,{}[]","empty":[[],{}],"w":[true,null]}';
  const parts = laidOut(text);
  assert.equal(
    parts.map((part) => part.text).join(""),
    `{
  "n": 25.50,
  "s": "\\u0041\\/:,{}[]",
  "empty": [
    [],
    {}
  ],
  "w": [
    true,
    null
  ]
}`,
  );
  const kinds = new Map(parts.map((part) => [part.text, part.kind]));
  assert.deepEqual(['"n"', "25.50", "true"].map((part) => kinds.get(part)), ["key", "number", "word"]);
});

test("reading agrees with JSON.parse wherever floats lose nothing", () => {
  const seen = ['{"a":{"b":[1,2,"x\\n\\u00e9"]},"c":""}', "[]", '"\\ud83d\\ude00"', " [ 1 , { } ] ", "-1.5", "null"];
  for (const text of seen) assert.deepEqual(JSON.parse(write(parse(text))), JSON.parse(text));
  for (const text of seen) assert.deepEqual(JSON.parse(write(parse(text), { onOneLine: true })), JSON.parse(text));
});

test("a syntax error has its position", () => {
  for (const [text, sentence] of [
    ["", "Line 1, column 1: A value is missing"],
    ['{\n  "a": 1,\n}', "Line 3, column 1: A key in double quotes is missing"],
    ['{"a" 1}', "Line 1, column 6: A colon is missing after the key"],
    ["[1 2]", "Line 1, column 4: A comma or ] is missing"],
    ["{'a': 1}", "Line 1, column 2: 'a': 1} is not JSON"],
    ['{"a":1,"a":2}', "Line 1, column 8: Duplicate key “a”"],
    ["1 2", "Line 1, column 3: Unexpected text after the end"],
    ["01", "Line 1, column 2: Unexpected text after the end"],
    ['"a\nb"', null],
    ['"\\x"', null],
    ["nul", null],
    ["[".repeat(100_000), "Line 1, column 202: Nested too deeply"],
  ]) {
    assert.throws(() => parse(text), (error) => sentence === null || error.message === sentence || assert.fail(error.message));
  }
});

test("no key is special", () => {
  const text = '{"__proto__":{"a":1},"constructor":2,"toString":3}';
  assert.equal(write(parse(text), { onOneLine: true }), text);
});
