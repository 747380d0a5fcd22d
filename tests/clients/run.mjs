// Reads calls from stdin and makes them with the compiled TypeScript client.

import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";

const library = await import(pathToFileURL(`${process.argv[2]}/index.js`).href);
const environment = process.env;
const client = new library.Nivisco({
  url: environment.CLIENT_URL,
  businessId: environment.CLIENT_BUSINESS_ID,
  apiKey: environment.CLIENT_API_KEY,
  timeoutMs: Number(environment.CLIENT_TIMEOUT_SECONDS) * 1000,
});

const camel = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

function renamed(value, rename) {
  if (Array.isArray(value)) return value.map((each) => renamed(each, rename));
  if (value instanceof Date) return value.toISOString().replace(".000Z", "+00:00");
  if (typeof value !== "object" || value === null) return value;
  // The keys of metadata are the caller's own.
  const inner = (name, each) => (name === "metadata" ? each : renamed(each, rename));
  const entries = Object.entries(value);
  return Object.fromEntries(entries.map(([name, each]) => [rename(name), inner(name, each)]));
}

function shown(error) {
  return {
    ...renamed(error, snake),
    client_secret: error.clientSecret ?? null,
    body: error.body ?? {},
    message: error.message,
    kind: error.name.replace(/^(?!ApiError)(.*)Error$/, "$1"),
  };
}

async function listed(items) {
  const made = [];
  for await (const item of items) made.push(item);
  return made;
}

const print = (result) => process.stdout.write(`${JSON.stringify(result)}\n`);
const show = (value) => inspect(value, { depth: 9, showHidden: true }) + inspect(value);

print({ shown: show(client) + JSON.stringify(client) });
for await (const line of createInterface({ input: process.stdin })) {
  const call = JSON.parse(line);
  const fields = renamed(call.fields, camel);
  const options = call.idempotency_key === null ? {} : { idempotencyKey: call.idempotency_key };
  const method = client[camel(call.action)];
  const takesFields = call.action !== "change_api_key";
  try {
    const isIteration = call.action.startsWith("iterate_");
    const made = method.call(client, ...(takesFields ? [fields] : []), ...(isIteration ? [] : [options]));
    const result = isIteration ? { items: await listed(made) } : await made;
    print({ result: renamed(result, snake), shown: show(result) });
  } catch (error) {
    if (!(error instanceof library.NiviscoError)) throw error;
    print({ error: shown(error), shown: show(error) + error.stack });
  }
}
