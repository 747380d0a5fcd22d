/** Calls a core that the suite started; its address and keys are in the environment. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";

import { create } from "@bufbuild/protobuf";
import { Code, connect, decimal, money, type Options, ApiError } from "@nivisco/payments-grpc";
import { MoneySchema } from "@nivisco/payments-grpc/gen/google/type/money_pb.js";
import { HealthCheckResponse_ServingStatus as Serving } from "@nivisco/payments-grpc/gen/grpc_health/v1/health_pb.js";
import {
  ChargeCustomerRequestSchema,
  PaymentStatus,
} from "@nivisco/payments-grpc/gen/nivisco/payments/v1/payments_pb.js";

function setting(name: string): string {
  const value = process.env[name];
  assert.ok(value, `${name} is not set`);
  return value;
}

const isGuarded = "NIVISCO_CA" in process.env;
const tls = {
  ca: isGuarded ? readFileSync(setting("NIVISCO_CA")) : "",
  cert: isGuarded ? readFileSync(setting("NIVISCO_CERTIFICATE")) : "",
  key: isGuarded ? readFileSync(setting("NIVISCO_KEY")) : "",
};
const options: Options = {
  url: `${isGuarded ? "https" : "http"}://${setting("NIVISCO_CORE")}`,
  businessId: setting("NIVISCO_BUSINESS_ID"),
  apiKey: setting("NIVISCO_API_KEY"),
  ...(isGuarded && { tls }),
};
const gateway = setting("NIVISCO_GATEWAY");
const shop = connect(options);
const REPLAYED = "idempotency-replayed";
let userId = "";

async function customer(token = "pm_card_visa"): Promise<string> {
  const created = await shop.users.createUser({
    user: { name: "Alicia Gomez", email: "alicia@example.com" },
  });
  const user = created.user?.userId ?? "";
  assert.match(user, /^USR-/);
  await shop.cards.createStripeCustomer({ userId: user, paymentMethodToken: token });
  return user;
}

async function errorOf(call: Promise<unknown>): Promise<ApiError> {
  try {
    await call;
  } catch (error) {
    return ApiError.from(error);
  }
  throw assert.fail("the call succeeded");
}

async function fault(kind: string, times: number, seconds = 0): Promise<void> {
  const match = { path: "/v1/payment_intents", method: "POST" };
  const body = JSON.stringify({ kind, match, times, ...(seconds && { seconds }) });
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${gateway}/_sandbox/faults`, { method: "POST", body, headers });
  assert.ok(response.ok, await response.text());
}

async function chargesOf(user: string): Promise<string[]> {
  const { payments } = await shop.payments.getPaymentRecords({ userId: user });
  return payments
    .filter(({ status }) => status === PaymentStatus.SUCCEEDED)
    .map(({ amount }) => decimal(amount ?? money("0"), 2));
}

before(async () => {
  userId = await customer();
});

after(() => shop.close());

test("the core and its database are healthy", async () => {
  for (const service of ["", "nivisco.database"]) {
    assert.equal((await shop.health.check({ service })).status, Serving.SERVING);
  }
});

test("a charge and a funding are exact", async () => {
  const charged = await shop.payments.chargeCustomer({ userId, amount: money("25.50", "usd") });
  assert.ok(charged.transactionId.startsWith("pi_"));
  assert.equal(charged.status, PaymentStatus.SUCCEEDED);
  assert.ok(charged.amount);
  assert.deepEqual(
    [charged.amount.units, charged.amount.nanos, charged.amount.currencyCode],
    [25n, 500_000_000, "USD"],
  );
  const funded = await shop.payments.fundCustomer({ userId, amount: money("1.07") });
  assert.ok(funded.wallet?.balance);
  assert.equal(decimal(funded.wallet.balance, 2), "1.07");
});

test("an amount of twelve digits goes through a wallet exactly", async () => {
  const amount = money("999999999999.99", "usd");
  const { newBalance } = await shop.wallet.addWalletFunds({ userId: await customer(), amount });
  assert.ok(newBalance);
  assert.equal(newBalance.units, 999_999_999_999n);
  assert.equal(decimal(newBalance), "999999999999.99");
  assert.equal(decimal(money("0.5", "usd")), "0.50");
  assert.equal(decimal(money("5", "jpy")), "5");
});

test("an amount beyond a float's precision is an error of its field, not rounded", async () => {
  const error = await errorOf(
    shop.payments.chargeCustomer({ userId, amount: money("9007199254740993.01", "usd") }),
  );
  assert.equal(error.reason, "INVALID_FIELDS");
  assert.equal(error.code, Code.InvalidArgument);
  assert.deepEqual(
    error.fields.map(({ field }) => field),
    ["amount"],
  );
  assert.match(error.fields[0]?.description ?? "", /12 digits/);
});

test("a decline has its reason and the decline code", async () => {
  const poor = await customer("pm_card_chargeCustomerFail");
  const error = await errorOf(
    shop.payments.chargeCustomer({ userId: poor, amount: money("10", "usd") }),
  );
  assert.equal(error.reason, "CARD_DECLINED");
  assert.equal(error.code, Code.FailedPrecondition);
  assert.equal(error.metadata["decline_code"], "generic_decline");
  assert.ok(error.message);
});

test("all that is wrong with a request is listed by field", async () => {
  const error = await errorOf(
    shop.users.createUser({ user: { name: "", email: "nobody", currency: "usdollar" } }),
  );
  assert.equal(error.reason, "INVALID_FIELDS");
  assert.deepEqual(error.fields.map(({ field }) => field).sort(), [
    "user.currency",
    "user.email",
    "user.name",
  ]);
});

test("wrong keys are an error", async () => {
  const stranger = connect({ ...options, apiKey: "0".repeat(64) });
  const error = await errorOf(stranger.users.getAllUsers({}));
  stranger.close();
  assert.equal(error.reason, "INVALID_CREDENTIALS");
  assert.equal(error.code, Code.Unauthenticated);
});

test("two calls with one idempotency key are one charge, and a different request is an error", async () => {
  const payer = await customer();
  const request = { userId: payer, amount: money("3.10", "usd"), idempotencyKey: randomUUID() };
  const marks: (string | null)[] = [];
  const onHeader = (header: Headers) => void marks.push(header.get(REPLAYED));
  const first = await shop.payments.chargeCustomer(request, { onHeader });
  const second = await shop.payments.chargeCustomer(request, { onHeader });
  assert.deepEqual(second, first);
  assert.deepEqual(marks, [null, "true"]);
  assert.deepEqual(await chargesOf(payer), ["3.10"]);
  const other = await errorOf(
    shop.payments.chargeCustomer({ ...request, amount: money("3.11", "usd") }),
  );
  assert.equal(other.reason, "IDEMPOTENCY_KEY_REUSED");
});

test("one message that is sent twice without a key is two charges", async () => {
  const payer = await customer();
  const request = create(ChargeCustomerRequestSchema, { userId: payer, amount: money("4") });
  await shop.payments.chargeCustomer(request);
  await shop.payments.chargeCustomer(request);
  assert.equal(request.idempotencyKey, undefined);
  assert.deepEqual(await chargesOf(payer), ["4.00", "4.00"]);
});

test("a busy gateway costs a second attempt, and one charge is made", async () => {
  const payer = await customer();
  const once = connect({ ...options, attempts: 1 });
  await fault("rate_limit", 2);
  const request = { userId: payer, amount: money("5.25", "usd"), idempotencyKey: randomUUID() };
  const error = await errorOf(once.payments.chargeCustomer(request));
  once.close();
  assert.equal(error.reason, "GATEWAY_UNAVAILABLE");
  assert.equal(error.idempotencyKey, request.idempotencyKey);
  assert.equal(error.code, Code.Unavailable);
  assert.equal(error.retryAfterMs, 1000);
  await shop.payments.chargeCustomer(request);
  assert.deepEqual(await chargesOf(payer), ["5.25"]);
});

test("a passed deadline is an unknown outcome, which the same request learns", async () => {
  const payer = await customer();
  await fault("delay_after", 1, 1);
  const request = { userId: payer, amount: money("7", "usd") };
  const error = await errorOf(shop.payments.chargeCustomer(request, { timeoutMs: 250 }));
  assert.equal(error.code, Code.DeadlineExceeded);
  assert.equal(error.reason, "OUTCOME_UNKNOWN");
  assert.deepEqual([error.wasSent, error.outcomeIsUnknown], [true, true]);
  assert.ok(error.requestId);
  assert.ok(error.idempotencyKey);
  const { idempotencyKey } = error;
  const charged = await shop.payments.chargeCustomer({ ...request, idempotencyKey });
  assert.equal(charged.status, PaymentStatus.SUCCEEDED);
  assert.deepEqual(await chargesOf(payer), ["7.00"]);
});

test("a core that is away, or is no core, is an unknown outcome too", async () => {
  const { protocol } = new URL(options.url);
  for (const { host } of [new URL("http://127.0.0.1:9"), new URL(gateway)]) {
    const nowhere = connect({ ...options, url: `${protocol}//${host}`, attempts: 2 });
    const error = await errorOf(nowhere.users.getAllUsers({}));
    nowhere.close();
    assert.equal(error.reason, "OUTCOME_UNKNOWN");
    assert.ok([Code.Unavailable, Code.Internal].includes(error.code), String(error.code));
    assert.deepEqual([error.idempotencyKey, error.outcomeIsUnknown], [undefined, false]);
    assert.equal(error.wasSent, host !== "127.0.0.1:9");
  }
});

test("a change that found no core was not sent, and one that no core answered may have been", async () => {
  const { protocol } = new URL(options.url);
  for (const { host } of [new URL("http://127.0.0.1:9"), new URL(gateway)]) {
    const nowhere = connect({ ...options, url: `${protocol}//${host}`, attempts: 2 });
    const error = await errorOf(nowhere.wallet.addWalletFunds({ amount: money("1") }));
    nowhere.close();
    assert.equal(error.wasSent, host !== "127.0.0.1:9");
    assert.equal(error.outcomeIsUnknown, error.wasSent);
    assert.ok(error.idempotencyKey);
  }
});

test("a key is never sent where it could be read", () => {
  for (const url of [
    "http://payments.example.com:50051",
    "http://127.0.0.1.example.com",
    "http://127.0.0.1@example.com",
    "https://127.0.0.1:50051",
  ]) {
    assert.throws(() => connect({ url, businessId: "b", apiKey: "k" }), /loopback/);
  }
});

test("decimals become amounts and amounts decimals, exactly", () => {
  const cases: [string, bigint, number][] = [
    ["25.5", 25n, 500_000_000],
    ["0.000000001", 0n, 1],
    ["-1.25", -1n, -250_000_000],
    ["-0.5", 0n, -500_000_000],
    ["9007199254740993.999999999", 9007199254740993n, 999_999_999],
    ["9223372036854775807", 9223372036854775807n, 0],
    ["0", 0n, 0],
  ];
  for (const [text, units, nanos] of cases) {
    const amount = money(text, "usd");
    assert.deepEqual([amount.units, amount.nanos, amount.currencyCode], [units, nanos, "USD"]);
    assert.equal(decimal(amount, 0), text);
  }
  assert.equal(decimal(money("25.50"), 2), "25.50");
  assert.equal(decimal(money("25"), 2), "25.00");
  for (const text of ["", "1e3", "1,5", ".5", "5.", "+1", " 1", "1\n", "0.0000000001", "NaN", "٣"]) {
    assert.throws(() => money(text), RangeError, text);
  }
  assert.throws(() => money("9223372036854775808"), RangeError);
  assert.throws(() => decimal(create(MoneySchema, { units: 1n, nanos: -1 })), RangeError);
});
