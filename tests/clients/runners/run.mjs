// Calls the TypeScript client as each line says, and prints what came.
import { createInterface } from "node:readline";
import { inspect } from "node:util";

const { Client, NiviscoError } = await import(process.env.MODULE);
const client = new Client({
  businessId: process.env.BUSINESS_ID,
  apiKey: process.env.API_KEY,
  baseUrl: process.env.URL,
  timeoutMs: Number(process.env.TIMEOUT) * 1000,
});
const show = (what) => console.log(JSON.stringify(what));
show({ dump: inspect(client, { depth: 9, showHidden: true }) + JSON.stringify(client) });
for await (const line of createInterface({ input: process.stdin })) {
  const { action, fields } = JSON.parse(line);
  const method = action.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
  try {
    show({ result: await client[method](fields) });
  } catch (error) {
    if (!(error instanceof NiviscoError)) throw error;
    show({
      error: {
        kind: error.name,
        message: error.message,
        idempotency_key: error.idempotencyKey ?? null,
        outcome_unknown: error.outcomeUnknown,
        status: error.status,
        code: error.code,
        decline_code: error.declineCode,
        retry_after: error.retryAfter,
        fields: error.fields,
      },
    });
  }
}
