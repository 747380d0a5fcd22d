// The reference in a browser: it loads from this host only, can be searched, and is accessible.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { BASE, ERROR_STATUS, MIDDLE, NARROW, WIDE, assertFits, assertAccessible, inWindow, startBrowser } from "./window.js";

let browser;
before(async () => { browser = await startBrowser(); });
after(() => browser.close());

for (const [name, size] of [["wide", WIDE], ["narrow", NARROW]]) {
  for (const scheme of ["light", "dark"]) {
    test(`in a ${name} ${scheme} window the reference is complete and accessible`, async () => {
      await inWindow(browser, { size, scheme }, async (page) => {
        await page.goto(`${BASE}/docs#charge_customer`);
        await page.getByRole("heading", { name: "charge_customer", exact: true }).waitFor();
        await assertAccessible(page, "the reference");
        await assertFits(page);
        assert.equal(await page.locator("[data-endpoint]").first().textContent(), `${BASE}/`);
      });
    });
  }
}

for (const [size, scheme] of [[WIDE, "dark"], [MIDDLE, "light"], [NARROW, "light"]]) {
  test(`the guides, the libraries, the status and an error are accessible at ${size.width} px`, async () => {
    await inWindow(browser, { size, scheme, expectedErrors: [ERROR_STATUS] }, async (page) => {
      for (const path of ["/guides", "/sdk", "/status", "/nothing"]) {
        await page.goto(`${BASE}${path}`);
        if (path === "/sdk") await page.locator("#php-sample").getByText("Nivisco\\Client").waitFor();
        if (path === "/guides") await page.getByRole("tab", { name: "cURL", selected: true }).first().waitFor();
        await assertAccessible(page, path);
        await assertFits(page);
      }
    });
  });
}

test("a hash that is no text leaves the languages of the samples", async () => {
  await inWindow(browser, {}, async (page) => {
    await page.goto(`${BASE}/docs#%`);
    await page.getByRole("tab", { name: "cURL", selected: true }).first().waitFor();
  });
});

test("a search leads to the entry, and the live test to the page beside it", async () => {
  await inWindow(browser, {}, async (page) => {
    await page.goto(`${BASE}/docs`);
    await page.locator("#search").waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("fund_cust");
    await page.keyboard.press("Enter");
    await page.waitForURL(/#fund_customer$/);
    await page.getByRole("link", { name: "Live test", exact: true }).click();
    await page.waitForURL(`${BASE}/live-test`);
    await page.locator("#send").waitFor();
  });
});

test("a search shows why it found an entry, and leads to the field", async () => {
  await inWindow(browser, {}, async (page) => {
    await page.goto(`${BASE}/docs`);
    await page.locator("#search").fill("payment_method_token");
    const why = page.locator("nav.contents li:visible .why");
    assert.equal(await why.first().locator("mark").textContent(), "payment_method_token");
    await assertAccessible(page, "the search");
    await why.first().click();
    await page.waitForURL(/#create_stripe_customer\.payment_method_token$/);
    await page.locator("#search").fill("no_such_word_anywhere");
    assert.equal(await page.locator("nav.contents li:visible").count(), 0);
  });
});

test("samples are in the chosen language, also on the next visit, and lead to the live test", async () => {
  await inWindow(browser, { size: NARROW }, async (page) => {
    await page.goto(`${BASE}/docs`);
    const entry = page.locator("#create_user");
    await entry.getByRole("tab", { name: "cURL", selected: true }).focus();
    await page.keyboard.press("ArrowRight");
    await entry.getByRole("tab", { name: "Python", selected: true }).waitFor();
    assert.match(await page.locator("#charge_customer-sample").textContent(), /nivisco\.charge_customer\(/);
    await page.reload();
    await page.locator("#charge_customer").getByRole("tab", { name: "Python", selected: true }).waitFor();
    await page.locator("#charge_customer").getByRole("tab", { name: "gRPC" }).click();
    await page.locator("#charge_customer").getByRole("button", { name: /^Copy/ }).first().click();
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    assert.match(copied, /^grpcurl .*PaymentsService\/ChargeCustomer/s);
    const [heading, sample, fields] = await Promise.all(["h3", ".request", ".text"].map((part) =>
      page.locator(`#charge_customer ${part}`).first().evaluate((each) => each.getBoundingClientRect().top)));
    assert.ok(heading < sample && sample < fields, "on a phone the sample follows its heading");
    assert.ok(await page.locator("#get_payment pre").last().evaluate((pre) => pre.scrollHeight <= pre.clientHeight));
    await page.getByRole("link", { name: "Try it: charge_customer in the live test" }).click();
    await page.waitForURL(`${BASE}/live-test#charge_customer`);
    await page.locator("#send").waitFor();
    assert.equal(JSON.parse(await page.locator("#json").inputValue()).description, "Single latte");
  });
});

test("a request is copied as it is shown, and the colours stay as they were chosen", async () => {
  await inWindow(browser, {}, async (page) => {
    await page.goto(`${BASE}/docs`);
    await page.locator("[data-copy]").first().click();
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    assert.match(copied, /^curl -s .*validate_business/s);
    await page.locator("[data-theme-toggle]").click();
    await page.reload();
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
  });
});
