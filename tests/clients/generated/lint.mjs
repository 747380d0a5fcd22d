// Prints what Redocly's recommended rules find in OpenAPI documents, one line for each problem.
import openapi from "@redocly/openapi-core";

const { createConfig, lint } = openapi;
const config = await createConfig({
  extends: ["recommended"],
  // It takes `nullable` beside `allOf` to the letter (docs/decisions/0066). Our tests check examples.
  rules: { "no-invalid-media-type-examples": "off" },
});
for (const file of process.argv.slice(2)) {
  for (const { severity, ruleId, message, location } of await lint({ ref: file, config })) {
    console.log([severity, ruleId, message, location[0].pointer].join(" | "));
  }
}
