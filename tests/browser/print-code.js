// Prints the code that the pages offer, by language, for each request on standard input.
// The input is `{actions, requests}`: the list of the pages, and `[action, request]` as JSON text.

import { readFileSync } from "node:fs";
import { LANGUAGES, codeFor, grpcExample, partsOfCode } from "../../portal/pages/assets/code-copies.js";
import { parse } from "../../portal/pages/assets/exact-json.js";

const [address] = process.argv.slice(2);
const { actions, requests } = JSON.parse(readFileSync(0, "utf8"));
const code = requests.map(([name, request]) => {
  const action = actions.find((each) => each.name === name);
  const envelope = new Map([["business_id", "B'1"], ["api_key", "<api_key>"], ["action", name], ...parse(request)]);
  const written = Object.keys(LANGUAGES).map((language) => [language, codeFor(language, address, action, envelope)]);
  written.push(["grpc", grpcExample(action, envelope)]);
  return Object.fromEntries(written.map(([language, text]) => [language, partsOfCode(text).map((part) => part.text).join("")]));
});
console.log(JSON.stringify(code));
