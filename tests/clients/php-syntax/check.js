// Prints what in the given PHP files is not PHP 7.4.

const { readFileSync } = require("node:fs");
const { Engine } = require("php-parser");

const NEW_TYPES = ["false", "mixed", "never", "null", "static", "true"];
const NEW_FUNCTIONS = [
  "array_is_list", "enum_exists", "get_debug_type", "get_resource_id", "json_validate",
  "str_contains", "str_ends_with", "str_starts_with",
];

/** The parser refuses the new statements and expressions; these it accepts in every version. */
function problemsOf(node) {
  const found = [];
  if (node.kind === "uniontype" || node.kind === "intersectiontype") found.push("a type of several");
  if (node.kind === "parameter" && node.flags) found.push("a promoted parameter");
  if (NEW_TYPES.includes(node.type?.name) || node.type?.kind === "staticreference") found.push("a new type");
  if (node.readonly || node.isReadonly) found.push("readonly");
  if (node.kind === "call" && NEW_FUNCTIONS.includes(node.what?.name)) found.push("a new function");
  return found;
}

function walk(node, report) {
  if (typeof node !== "object" || node === null) return;
  if (typeof node.kind === "string") problemsOf(node).forEach((each) => report(each, node));
  for (const [name, each] of Object.entries(node)) if (name !== "loc") walk(each, report);
}

const engine = new Engine({ parser: { version: "7.4" }, ast: { withPositions: true } });
for (const file of process.argv.slice(2)) {
  try {
    const tree = engine.parseCode(readFileSync(file, "utf8"), file);
    walk(tree, (problem, { loc }) => console.log(`${file}:${loc.start.line}: ${problem}`));
  } catch (error) {
    console.log(`${file}: ${error.message}`);
  }
}
