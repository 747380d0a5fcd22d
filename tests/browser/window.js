// Opens windows of a real browser on a running Nivisco, and fails if a page logs an error or sends a
// request to another host.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

export const BASE = process.env.BROWSER_TEST_URL;
/** A business with Stripe's test keys: `business_id` and `api_key`. */
export const BUSINESS = JSON.parse(process.env.BROWSER_TEST_BUSINESS);
export const WIDE = { width: 1440, height: 900 };
export const MIDDLE = { width: 820, height: 1180 };
export const NARROW = { width: 390, height: 844 };

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PATIENCE_MS = 20_000;
const ARGUMENTS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

/** Starts the browser, with a profile of its own. */
export function startBrowser() {
  return chromium.launch({ executablePath: process.env.BROWSER_TEST_CHROMIUM, args: ARGUMENTS });
}

/** Runs `use(page)` in a new window; fails on an error of the page or a request to another host. */
export async function inWindow(browser, { size = WIDE, scheme = "light", expectedErrors = [] }, use) {
  const context = await browser.newContext({ viewport: size, colorScheme: scheme, serviceWorkers: "block" });
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: BASE });
  await context.addInitScript({ content: AXE });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const wrong = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) wrong.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => wrong.push(`page: ${error}`));
  page.on("request", (request) => {
    if (!request.url().startsWith(`${BASE}/`)) wrong.push(`another host: ${request.url()}`);
  });
  try {
    const result = await use(page);
    const unexpected = wrong.filter((each) => !expectedErrors.some((pattern) => pattern.test(each)));
    assert.deepEqual(unexpected, []);
    return result;
  } finally {
    await context.close();
  }
}

/** The browser's own log line for an error status of the API. */
export const ERROR_STATUS = /^console: Failed to load resource: the server responded with a status of (4\d\d|5\d\d)/;

/** Fails if axe-core finds a serious or critical accessibility problem in the page. */
export async function assertAccessible(page, what) {
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  const serious = violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.target} ${node.failureSummary}`));
  assert.deepEqual(serious, [], what);
}

/** Fails where the page is wider than its window. */
export async function assertFits(page) {
  const [wide, window] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert.ok(wide <= window, `${wide} px of page in ${window} px of window`);
}
