// The outcome of a request, against real sockets.

import assert from "node:assert/strict";
import http from "node:http";
import net from "node:net";
import test from "node:test";
import { isOpen, partsOf, problemsOf, send, verdict } from "../../portal/pages/assets/exchange.js";

const NEVER = new AbortController().signal;
const CONTEXT = { mutates: true, hasKey: true, address: "the address" };

async function withServer(server, use) {
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    return await use(`http://127.0.0.1:${server.address().port}/`);
  } finally {
    server.closeAllConnections?.();
    await new Promise((resolve) => server.close(resolve));
  }
}

const responding = (status, body, headers = {}) => http.createServer((request, response) => {
  request.resume();
  request.on("end", () => response.writeHead(status, headers).end(body));
});

test("a response comes with its status, headers and text as they were sent", async () => {
  const body = '{"success":true,"amount":12345678901234567890.10}';
  const headers = { "X-Request-Id": "R1", "Idempotency-Replayed": "true", "Content-Type": "application/json", "X-Other": "1" };
  const outcome = await withServer(responding(200, body, headers), (address) => send(address, "{}", { cancel: NEVER }));
  assert.equal(outcome.kind, "response");
  assert.equal(outcome.text, body);
  assert.deepEqual(outcome.headers, [["X-Request-Id", "R1"], ["Idempotency-Replayed", "true"], ["Content-Type", "application/json"]]);
  assert.equal(verdict(outcome, CONTEXT).title, "200 OK");
  assert.ok(!isOpen(outcome));
  assert.ok(outcome.milliseconds >= 0);
});

test("an error shows its message and its fields", async () => {
  const body = '{"success":false,"error":"Invalid field a.b: is required","code":"INVALID_FIELDS","fields":[{"field":"a.b","description":"is required"}]}';
  const outcome = await withServer(responding(400, body), (address) => send(address, "{}", { cancel: NEVER }));
  assert.deepEqual(verdict(outcome, CONTEXT), { title: "400 Bad Request", text: "Invalid field a.b: is required" });
  assert.deepEqual(problemsOf(outcome), [{ field: "a.b", description: "is required" }]);
});

test("a response that is not JSON is shown unchanged", async () => {
  const page = "<html><script>alert(1)</script>";
  const outcome = await withServer(responding(502, page), (address) => send(address, "{}", { cancel: NEVER }));
  assert.equal(partsOf(outcome), null);
  assert.equal(outcome.text, page);
  assert.match(verdict(outcome, CONTEXT).text, /not JSON/);
  assert.deepEqual(problemsOf(outcome), []);
  assert.ok(isOpen(outcome));
});

test("an unreachable server and a broken connection are no response", async () => {
  const gone = await withServer(responding(200, ""), (address) => address);
  const breaking = net.createServer((socket) => socket.on("data", () => socket.destroy()));
  const outcomes = [
    await send(gone, "{}", { cancel: NEVER }),
    await withServer(breaking, (address) => send(address, "{}", { cancel: NEVER })),
  ];
  for (const outcome of outcomes) {
    assert.equal(outcome.kind, "unreachable");
    assert.match(verdict(outcome, CONTEXT).text, /may have taken effect.*same idempotency key/);
    assert.match(verdict(outcome, { ...CONTEXT, hasKey: false }).text, /Without an idempotency key, check the records/);
    assert.match(verdict(outcome, { ...CONTEXT, mutates: false }).text, /It is a read/);
    assert.ok(isOpen(outcome));
  }
});

test("a response that does not come, or does not end, is a timeout", async () => {
  const silent = http.createServer((request) => request.resume());
  const endless = http.createServer((_request, response) => response.writeHead(200).write("{"));
  for (const server of [silent, endless]) {
    const outcome = await withServer(server, (address) => send(address, "{}", { cancel: NEVER, timeoutMs: 200 }));
    assert.equal(outcome.kind, "timeout");
    assert.match(verdict(outcome, CONTEXT).text, /no response within 30 seconds/);
  }
});

test("a cancelled request is shown as cancelled", async () => {
  const cancel = new AbortController();
  const silent = http.createServer(() => cancel.abort());
  const outcome = await withServer(silent, (address) => send(address, "{}", { cancel: cancel.signal }));
  assert.equal(outcome.kind, "cancelled");
  assert.ok(isOpen(outcome));
});
