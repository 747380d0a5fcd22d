// The reference in a browser: it loads from this host only, can be searched, and is accessible.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { BASE, NARROW, WIDE, assertFits, assertAccessible, inWindow, startBrowser } from "./window.js";

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

test("a search leads to the entry, and the live test to the page beside it", async () => {
  await inWindow(browser, {}, async (page) => {
    await page.goto(`${BASE}/docs`);
    await page.locator("#search").waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("fund_cust");
    await page.keyboard.press("Enter");
    await page.waitForURL(/#fund_customer$/);
    await page.getByRole("link", { name: "Live test" }).click();
    await page.waitForURL(`${BASE}/live-test`);
    await page.locator("#send").waitFor();
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
