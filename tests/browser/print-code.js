// Prints, for each language, the code that the live test offers for the request on standard input.

import { readFileSync } from "node:fs";
import { LANGUAGES, codeFor } from "../../portal/pages/assets/code-copies.js";
import { parse } from "../../portal/pages/assets/exact-json.js";

const [address] = process.argv.slice(2);
const request = parse(readFileSync(0, "utf8"));
const code = Object.keys(LANGUAGES).map((language) => [language, codeFor(language, address, request)]);
console.log(JSON.stringify(Object.fromEntries(code)));
