// The live test in a browser: a merchant's first requests, and failures.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { BASE, BUSINESS, ERROR_STATUS, MIDDLE, NARROW, WIDE, assertFits, assertAccessible, inWindow, startBrowser } from "./window.js";

let browser;
before(async () => { browser = await startBrowser(); });
after(() => browser.close());

const inputOf = (page, path) => page.locator(`[id="field-${path}"]`);
const problemOf = (page, path) => page.locator(`[id="field-${path}-problem"]`);
const outcome = (page) => page.locator("#response .outcome strong");
const response = (page) => page.locator("#response pre");

async function open(page, action, { business = BUSINESS } = {}) {
  await page.goto(`${BASE}/live-test#${action}`);
  await page.getByLabel("Business id").fill(business.business_id);
  await page.getByLabel("API key", { exact: true }).fill(business.api_key);
}

/** Chooses an action as a person does: from the list, which a button shows in a narrow window. */
async function choose(page, action) {
  const menu = page.getByRole("button", { name: "Actions" });
  if (await menu.isVisible()) await menu.click();
  await page.getByRole("navigation", { name: "Actions" }).getByRole("link", { name: action, exact: true }).click();
  await page.getByRole("heading", { name: action, exact: true }).waitFor();
}

async function send(page, expected) {
  await page.locator("#send").click();
  await outcome(page).filter({ hasText: expected }).waitFor();
}

async function json(page) {
  return JSON.parse(await page.locator("#json").inputValue());
}

/** Has the cardholder of the sandbox pass 3-D Secure. */
async function authenticate(intent) {
  const body = JSON.stringify({ payment_intent: intent });
  const passed = await fetch(`${process.env.BROWSER_TEST_SANDBOX}/_sandbox/authentications`, { method: "POST", body });
  assert.equal(passed.status, 200);
}

/** Saves the first test card in the list that does this. */
async function saveCard(page, behaviour) {
  await choose(page, "create_stripe_customer");
  const picker = page.getByLabel("Test card for payment_method_token");
  await picker.selectOption(await picker.locator("option").filter({ hasText: behaviour }).first().getAttribute("value"));
  await send(page, "200 OK");
}

async function charge(page, expected) {
  await choose(page, "charge_customer");
  await send(page, expected);
  return JSON.parse(await response(page).textContent());
}

for (const [name, size] of [["wide", WIDE], ["middle", MIDDLE], ["narrow", NARROW]]) {
  for (const scheme of ["light", "dark"]) {
    test(`in a ${name} ${scheme} window one walks from the home page to a charge, a decline and 3-D Secure`, async () => {
      await inWindow(browser, { size, scheme, expectedErrors: [ERROR_STATUS] }, async (page) => {
        await page.goto(`${BASE}/`); // the 405 that a browser shows as the home page
        await assertAccessible(page, "the home page");
        await assertFits(page);
        await page.getByRole("link", { name: /^Docs Every action/ }).click();
        await page.getByRole("link", { name: "Try it: create_user in the live test" }).click();
        await page.getByRole("heading", { name: "create_user", exact: true }).waitFor();
        await page.getByLabel("Business id").fill(BUSINESS.business_id);
        await page.getByLabel("API key", { exact: true }).fill(BUSINESS.api_key);
        await assertAccessible(page, "the form");
        await send(page, "200 OK");
        const { user } = JSON.parse(await response(page).textContent());

        await saveCard(page, "visa …4242, succeeds");
        assert.equal(await inputOf(page, "user_id").inputValue(), user.user_id);
        assert.match(await response(page).textContent(), /"last4": "4242"/);
        await choose(page, "charge_customer");
        await inputOf(page, "amount").fill("25.50");
        assert.match(await page.locator("#json").inputValue(), /"amount": 25\.50,/);
        assert.equal((await charge(page, "200 OK")).status, "succeeded");
        await page.getByRole("button", { name: "Copy the request id" }).click();
        assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^[0-9A-Z]{26}$/);

        await saveCard(page, "charges are declined: generic_decline");
        assert.equal((await charge(page, "402 Payment Required")).code, "CARD_DECLINED");
        await assertAccessible(page, "the decline");
        await assertFits(page);

        await saveCard(page, "asks for 3-D Secure at every charge");
        const asked = await charge(page, "402 Payment Required");
        assert.equal(asked.code, "AUTHENTICATION_REQUIRED");
        await authenticate(asked.transaction_id);
        await choose(page, "get_payment");
        await page.locator("#json").fill(JSON.stringify({ transaction_id: asked.transaction_id, env: "TEST" }));
        for (let status = ""; status !== "succeeded";) { // the event is on its way
          await send(page, "200 OK");
          ({ payment: { status } } = JSON.parse(await response(page).textContent()));
        }
      });
    });
  }
}

test("a problem is shown at the field that the server names, and is gone once that is edited", async () => {
  await inWindow(browser, { expectedErrors: [ERROR_STATUS] }, async (page) => {
    await open(page, "create_user");
    await inputOf(page, "user.email").fill("not an address");
    await send(page, "400 Bad Request");
    assert.match(await problemOf(page, "user.email").textContent(), /e-mail address/);
    assert.equal(await inputOf(page, "user.email").getAttribute("aria-invalid"), "true");
    await assertAccessible(page, "the problem");
    await page.getByRole("button", { name: "user.email" }).click();
    assert.ok(await inputOf(page, "user.email").evaluate((input) => input === document.activeElement));
    await page.keyboard.press("x");
    assert.equal(await problemOf(page, "user.email").textContent(), "");

    await page.locator("#json").fill('{"user":{"name":"A","email":"a@example.com","shoe":1}}');
    await send(page, "400 Bad Request");
    assert.match(await page.locator("#response .problems").textContent(), /user\.shoe/);
    await page.getByLabel("Business id").fill("with space");
    await send(page, "401");
  });
});

test("a stored value is cleared with null, from the form as from the JSON", async () => {
  await inWindow(browser, {}, async (page) => {
    await open(page, "create_user");
    await send(page, "200 OK");
    await choose(page, "create_recurring");
    await inputOf(page, "max_cycles").fill("5");
    await send(page, "200 OK");
    const { recurring } = JSON.parse(await response(page).textContent());
    assert.equal(recurring.max_cycles, 5);
    await choose(page, "update_recurring");
    await page.locator("#json").fill(JSON.stringify({ recurring_id: recurring.recurring_id, description: null }));
    const [description, cycles] = ["description", "max_cycles"].map((name) => page.getByRole("button", { name: `null for ${name}` }));
    assert.equal(await description.getAttribute("aria-pressed"), "true");
    assert.ok(await inputOf(page, "description").isDisabled());
    await description.click();
    assert.ok(await inputOf(page, "description").isEnabled());
    await cycles.click();
    await assertAccessible(page, "a field with null");
    assert.deepEqual(await json(page), { recurring_id: recurring.recurring_id, max_cycles: null });
    await page.locator("#send").click();
    await page.locator("#ask-yes").click(); // the job may be a LIVE one
    await response(page).filter({ hasText: "Recurring job updated" }).waitFor();
    assert.equal(JSON.parse(await response(page).textContent()).recurring.max_cycles, null);
    await cycles.click();
    await inputOf(page, "max_cycles").fill("7");
    assert.equal((await json(page)).max_cycles, 7);
    assert.equal(await page.getByRole("button", { name: "null for recurring_id" }).count(), 0);
  });
});

test("form and JSON are in step both ways, with the digits that were typed", async () => {
  await inWindow(browser, {}, async (page) => {
    await open(page, "charge_customer");
    await page.locator("#json").fill('{"amount": 12345678901234567890.10, "description": "A", "env": "LIVE"}');
    assert.equal(await inputOf(page, "amount").inputValue(), "12345678901234567890.10");
    assert.ok(await page.getByRole("radio", { name: "LIVE" }).isChecked());
    await inputOf(page, "description").fill("B");
    assert.match(await page.locator("#json").inputValue(), /"amount": 12345678901234567890\.10,/);
    await page.getByRole("radio", { name: "TEST" }).check();
    assert.equal((await json(page)).env, "TEST");

    await page.locator("#json").fill('{"amount": 1,}');
    assert.match(await page.locator("#json-problem").textContent(), /Line 1, column 14: A key in double quotes is missing/);
    await page.locator("#send").click();
    assert.equal(await page.locator("#waiting").textContent(), "No request of this action sent yet.");
    assert.ok(await page.locator("#json").evaluate((input) => input === document.activeElement));
  });
});

test("a whole request that is pasted brings its action and keys along, which are not shown again", async () => {
  await inWindow(browser, {}, async (page) => {
    await page.goto(`${BASE}/live-test#charge_customer`);
    const whole = { ...BUSINESS, action: "get_all_users", limit: 3 };
    await page.locator("#json").fill(JSON.stringify(whole));
    await page.locator("#json").blur();
    await page.getByRole("heading", { name: "get_all_users" }).waitFor();
    assert.deepEqual(await json(page), { limit: 3 });
    assert.equal(await page.getByLabel("API key", { exact: true }).inputValue(), BUSINESS.api_key);
    await send(page, "200 OK");
  });
});

test("the same key again is the same response, and the next request has another", async () => {
  await inWindow(browser, {}, async (page) => {
    await open(page, "create_user");
    const key = (await json(page)).idempotency_key;
    await send(page, "200 OK");
    const first = await response(page).textContent();
    assert.notEqual((await json(page)).idempotency_key, key);
    await page.getByRole("button", { name: "Send again with the same key" }).click();
    await page.locator("#response dl").filter({ hasText: "Idempotency-Replayed" }).waitFor();
    assert.equal(await response(page).textContent(), first);
    await choose(page, "validate_business");
    assert.equal(await page.locator("#response").textContent(), ""); // it was the answer to create_user
    await send(page, "200 OK");
    assert.equal(await page.locator("#response .action").textContent(), "validate_business");
    assert.deepEqual(await json(page), {}); // a read gets no key
    await choose(page, "create_user");
    await send(page, "200 OK");
    await page.waitForFunction((old) => document.querySelector("#response pre")?.textContent !== old, first);
  });
});

test("an answer that comes when another action is shown goes to the history", async () => {
  await inWindow(browser, {}, async (page) => {
    let release;
    const released = new Promise((resolve) => { release = resolve; });
    await open(page, "create_user");
    await page.route(`${BASE}/`, async (route) => {
      await released;
      await route.continue();
    });
    await page.locator("#send").click();
    await choose(page, "validate_business");
    release();
    await page.locator("#waiting").filter({ hasText: "create_user ended with 200 OK" }).waitFor();
    assert.equal(await page.locator("#response").textContent(), "");
    await page.locator("#history button").click();
    await page.getByRole("heading", { name: "create_user", exact: true }).waitFor();
    assert.equal(await page.locator("#response .action").textContent(), "create_user");
  });
});

test("LIVE asks before it moves money, and Escape sends nothing", async () => {
  await inWindow(browser, { expectedErrors: [ERROR_STATUS] }, async (page) => {
    const sent = [];
    page.on("request", (request) => { if (request.method() === "POST") sent.push(request.postData()); });
    await open(page, "charge_customer");
    await inputOf(page, "user_id").fill("USR-1");
    await page.getByRole("radio", { name: "LIVE" }).check();
    await page.keyboard.press("Control+Enter");
    await page.getByRole("dialog", { name: "Send this to LIVE?" }).waitFor();
    await assertAccessible(page, "the question");
    await page.keyboard.press("Enter"); // on the button that has the focus: do not send
    await page.getByRole("dialog").waitFor({ state: "hidden" });
    await page.locator("#send").click();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "hidden" });
    assert.deepEqual(sent, []);
    await page.locator("#send").click();
    await page.getByRole("button", { name: "Send it" }).click();
    await outcome(page).filter({ hasText: /^4\d\d/ }).waitFor();
    assert.equal(sent.length, 1);

    await page.locator("#json").fill('{"user_id":"USR-1","amount":1}');
    await page.locator("#send").click();
    await page.getByRole("dialog", { name: "It may be LIVE" }).waitFor();
  });
});

test("keys are in no storage, address, history or copy, unless a copy is to have them", async () => {
  await inWindow(browser, {}, async (page) => {
    await open(page, "validate_business");
    assert.equal(await page.getByLabel("API key", { exact: true }).evaluate((input) => getComputedStyle(input).webkitTextSecurity), "disc");
    await send(page, "200 OK");
    const kept = await page.evaluate(async () => JSON.stringify([
      Object.entries(localStorage), Object.entries(sessionStorage), document.cookie, location.href, history.state,
      document.documentElement.outerHTML, await indexedDB.databases(), await caches.keys(),
    ]));
    assert.ok(!kept.includes(BUSINESS.api_key));
    for (const [tab, part] of [["cURL", "--data-binary"], ["Python", "nivisco_client"], ["PHP", "Nivisco\\Client"], ["TypeScript", "@nivisco/client"]]) {
      await page.getByRole("tab", { name: tab }).click();
      await page.getByRole("tabpanel").getByText(part).waitFor();
      await page.locator("#copy-request").click();
      const copied = await page.evaluate(() => navigator.clipboard.readText());
      assert.ok(copied.includes(part) && copied.includes("<api_key>") && !copied.includes(BUSINESS.api_key));
    }
    await assertAccessible(page, "the code");
    await page.getByLabel("Show my keys").check();
    assert.ok((await page.locator("#code").textContent()).includes(BUSINESS.api_key));
    await page.reload();
    await page.locator("#send").waitFor();
    assert.equal(await page.getByLabel("API key", { exact: true }).inputValue(), "");
  });
});

test("the history brings a request and its response back", async () => {
  await inWindow(browser, {}, async (page) => {
    await open(page, "get_all_users");
    await inputOf(page, "limit").fill("2");
    await send(page, "200 OK");
    const first = await response(page).textContent();
    await choose(page, "validate_business");
    await send(page, "200 OK");
    await page.locator("#history button").last().click();
    await page.getByRole("heading", { name: "get_all_users", exact: true }).waitFor();
    assert.equal((await json(page)).limit, 2);
    assert.equal(await response(page).textContent(), first);
    await page.getByRole("button", { name: "Clear" }).click();
    assert.equal(await page.locator("#history li").count(), 0);
  });
});

test("too large a body, a proxy's page and a dead server are shown as what they are", async () => {
  const failed = /^console: Failed to load resource: net::ERR_/;
  await inWindow(browser, { expectedErrors: [ERROR_STATUS, failed] }, async (page) => {
    await open(page, "create_user");
    await inputOf(page, "user.name").fill("x".repeat(70_000));
    await send(page, "413");
    assert.match(await page.locator("#response .verdict").textContent(), /larger than 64 KiB/);

    await page.route(`${BASE}/`, (route) => route.fulfill({ status: 502, contentType: "text/html", body: "<h1>Bad <b>gateway</b></h1>" }));
    await send(page, "502");
    assert.equal(await response(page).textContent(), "<h1>Bad <b>gateway</b></h1>");
    assert.match(await page.locator("#response .verdict").textContent(), /not JSON/);
    await page.unroute(`${BASE}/`);

    await page.route(`${BASE}/`, (route) => route.abort("connectionrefused"));
    const key = (await json(page)).idempotency_key;
    await send(page, "No response");
    assert.match(await page.locator("#response .verdict").textContent(), /did not respond.*same idempotency key/);
    assert.equal((await json(page)).idempotency_key, key);
    await assertAccessible(page, "no response");
  });
});

test("30 seconds without a response are a timeout, and waiting can be stopped", async () => {
  await inWindow(browser, {}, async (page) => {
    await page.addInitScript(() => {
      const timeout = AbortSignal.timeout.bind(AbortSignal);
      AbortSignal.timeout = (milliseconds) => timeout(milliseconds === 30_000 ? 300 : milliseconds);
    });
    await open(page, "create_user");
    await page.route(`${BASE}/`, () => {});
    await send(page, "Timeout");
  });
  await inWindow(browser, {}, async (page) => {
    await open(page, "create_user");
    await page.route(`${BASE}/`, () => {});
    await page.locator("#send").click();
    await page.getByRole("button", { name: "Stop waiting" }).click();
    await outcome(page).filter({ hasText: "Cancelled" }).waitFor();
    assert.ok(await page.locator("#send").evaluate((button) => button === document.activeElement));
  });
});

test("the content of a response is never parsed as markup", async () => {
  await inWindow(browser, {}, async (page) => {
    await open(page, "create_user");
    await inputOf(page, "user.name").fill('<img src=x onerror="alert(1)">');
    await send(page, "200 OK");
    await choose(page, "get_user_info");
    await send(page, "200 OK");
    assert.match(await response(page).textContent(), /<img src=x onerror=/);
    assert.equal(await page.locator("#response img").count(), 0);
  });
});

test("the list is searched by names and fields from the keyboard", async () => {
  await inWindow(browser, {}, async (page) => {
    await page.goto(`${BASE}/live-test`);
    await page.locator("#send").waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("payment_method_token");
    assert.deepEqual(await page.locator("nav.contents li:visible a.action").allTextContents(), ["create_stripe_customer"]);
    assert.equal(await page.locator("nav.contents li:visible mark").textContent(), "payment_method_token");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "create_stripe_customer", exact: true }).waitFor();
    await page.getByRole("link", { name: "Skip to content" }).focus();
    await page.keyboard.press("Enter");
    assert.equal(await page.locator("#action-title").textContent(), "create_stripe_customer");
    await page.getByRole("tab", { name: "JSON" }).focus();
    await page.keyboard.press("ArrowRight");
    await page.getByRole("tab", { name: "cURL", selected: true }).waitFor();
  });
});
