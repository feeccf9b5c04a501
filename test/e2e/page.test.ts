/**
 * The status page in a real Chromium, against the Worker on the real local runtime: what it shows,
 * an operation that advances before the reader's eyes, and that it can be read small, in the dark,
 * by keyboard, and with nothing from outside.
 */
import { createHash } from "node:crypto";

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Page } from "playwright-core";

import type { Run } from "../../src/model/api.ts";
import type { Plan } from "../../src/model/plan.ts";
import type { NamespaceSpec } from "../../src/model/spec.ts";
import { toText } from "../../src/page/html/markup.ts";
import { renderOverview } from "../../src/page/overview.ts";
import { STYLESHEET } from "../../src/page/html/stylesheet.ts";
import { startBrowser, type TestBrowser, type Watched } from "../support/browser.ts";
import { findChromium } from "../support/find-chromium.ts";
import { type LocalWorker, startLocalWorker } from "../support/gitops/local-worker.ts";
import { BUSY, LINKS } from "../support/page-states.ts";
import { desired, spec } from "../support/state.ts";

const chromium = await findChromium();
const TOKEN = "page-test-token";
const THINGS = 900;
const ROWS_PER_SECOND = 40;
/** A tag, an attribute and an entity: names with characters of direction are refused. */
const HOSTILE = `z<img src=x onerror=alert(1)>"'&amp;evil`;
const PHONE = { viewport: { width: 320, height: 640 } };
/**
 * Cumulative layout shift that counts as none that a reader notices. Source: web.dev/articles/cls.
 */
const SHIFT_MAX = 0.1;
/** Counts in the page how much what is read moves about. */
const WATCH_SHIFTS = `window.shift = 0;
new PerformanceObserver((list) => { for (const { value, hadRecentInput } of list.getEntries()) if (!hadRecentInput) window.shift += value; })
  .observe({ type: "layout-shift", buffered: false });`;
/** Notes in the page what changes in it, but for the moments that tell their age. */
const WATCH_CHANGES = `window.changes = [];
const isTime = (node) => (node.nodeType === 1 ? node : node.parentElement)?.closest("time") || node.nodeName === "TIME";
new MutationObserver((records) => {
  for (const { type, target, addedNodes, removedNodes } of records) {
    const touched = [...addedNodes, ...removedNodes];
    if (isTime(target) || (type === "childList" && touched.every((node) => node.nodeName === "TIME"))) continue;
    window.changes.push(type + " " + target.nodeName + " " + target.textContent.slice(0, 60));
  }
}).observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });`;

let worker: LocalWorker;
let browser: TestBrowser;
const watched: Watched[] = [];

async function call<Body>(method: string, path: string, body?: unknown): Promise<Body> {
  const response = await fetch(`${worker.endpoint}${path}`, {
    method,
    headers: { authorization: `Bearer ${TOKEN}` },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return (text === "" ? null : JSON.parse(text)) as Body;
}

async function apply(namespaces: readonly NamespaceSpec[]): Promise<Run> {
  const plan = await call<Plan>("POST", "/v1/plans", { desired: desired(...namespaces) });
  return call<Run>("POST", `/v1/plans/${plan.fingerprint}/apply`, {
    overrides: plan.blocks.map(({ guard }) => guard),
  });
}

async function ended(run: Run): Promise<Run> {
  let now = run;
  for (let polls = 0; polls < 60 && now.finishedAt === null; polls++) {
    now = await call<Run>("GET", `/v1/runs/${run.id}?wait=2&since=${now.updatedAt}`);
  }
  return now;
}

/** A page that has signed in; at the end of the file it must have had no problem. */
async function open(path: string, options: Parameters<TestBrowser["open"]>[0] = {}): Promise<Page> {
  const one = await browser.open(options);
  watched.push(one);
  await one.page.goto(`${worker.endpoint}${path}`);
  await one.page.getByLabel("Token").fill(TOKEN);
  await one.page.getByRole("button", { name: "Sign in" }).click();
  await one.page.waitForSelector("h1");
  return one.page;
}

/** Returns the declared namespaces: fakes of any size, and carts that really move. */
function declared(carts: number, rowsPerSecondMax: number | null): readonly NamespaceSpec[] {
  return [
    spec("events", { count: 1000, policy: { maxSkew: 2 } }),
    spec("sessions", { count: 6, policy: { maxSkew: 1.2 } }),
    spec(HOSTILE, { count: 3, policy: { maxSkew: 2 } }),
    spec("carts", { object: "THINGS", count: carts, policy: { rowsPerSecondMax, maxSkew: 3 } }),
  ];
}

describe.skipIf(chromium === null)("the status page in Chromium", () => {
  beforeAll(async () => {
    const sha256 = createHash("sha256").update(TOKEN).digest("hex");
    worker = await startLocalWorker({
      main: "page-worker.ts",
      objects: { THINGS: "ThingsObject", ORDERS: "LargeNamespace", SHARDCTL: "Reconciler" },
      variables: { SHARDCTL_TOKENS: JSON.stringify([{ name: "tester", role: "apply", sha256 }]) },
    });
    browser = await startBrowser(chromium ?? "");
    const things = Array.from({ length: THINGS }, (_, index) => ({
      id: `cart-${index}`,
      data: { total: index },
    }));
    await call("POST", "/data/THINGS/carts/things", things);
    await call("PUT", "/test/events/1000/20000");
    await call("PUT", "/test/sessions/6/60");
    await call("PUT", `/test/${encodeURIComponent(HOSTILE)}/3/30`);
    const run = await ended(await apply(declared(2, null)));
    if (run.state !== "succeeded")
      throw new Error(`The carts could not be sharded: ${JSON.stringify(run)}`);
    await call("POST", "/v1/reconcile?environment=production");
  });
  afterAll(async () => {
    await browser?.[Symbol.asyncDispose]();
    await worker?.[Symbol.asyncDispose]();
  });

  it("asks for a token, refuses a wrong one, lets in with a right one, and out again", async () => {
    const { page, problems } = await browser.open();
    await page.goto(`${worker.endpoint}/?environment=production`);
    await page.getByLabel("Token").fill("wrong");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").waitFor();
    expect(await page.getByRole("alert").textContent()).toContain("not known");
    await page.getByLabel("Token").fill(TOKEN);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1, name: "production" }).waitFor();
    expect(new URL(page.url()).search).toBe("?environment=production");
    expect(await page.evaluate("document.cookie")).toBe("");
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("Token").waitFor();
    await page.goto(`${worker.endpoint}/`);
    expect(new URL(page.url()).pathname).toBe("/login");
    // The browser itself notes the refusal of the wrong token.
    expect(problems.filter((text) => !text.includes("401"))).toEqual([]);
  });

  it("shows an operation advance, without a reload, and leaves focus, scroll, selection and opened details alone", async () => {
    const page = await open("/namespaces/THINGS/carts?environment=production");
    // A sign-in may take long enough to miss most of the operation.
    const run = await apply(declared(5, ROWS_PER_SECOND));
    await page.reload();
    await page.evaluate("window.isSameDocument = true");
    await page.getByText("All members").click();
    const progress = page.getByRole("progressbar", { name: "Progress of carts" });
    await progress.waitFor();
    await page.getByText("The picture as a table").focus();
    await page.evaluate("scrollTo(0, 120)");
    await page.evaluate("getSelection().selectAllChildren(document.querySelector('h1'))");
    const selected = await page.evaluate("getSelection().toString()");
    await page.evaluate(WATCH_SHIFTS);
    let shift = 0;
    const seen = new Set<number>();
    const steps = new Set<string>();
    while ((await progress.count()) > 0) {
      const value = await progress.getAttribute("value", { timeout: 500 }).catch(() => null);
      const step = await page
        .locator("[aria-current=step]")
        .textContent({ timeout: 500 })
        .catch(() => null);
      if (value !== null) seen.add(Number(value));
      if (step !== null) steps.add(step);
      // Parts that come and go with the operation itself may move the content below them.
      if (value !== null) shift = Number(await page.evaluate("window.shift"));
      await page.waitForTimeout(300);
    }
    expect(seen.size).toBeGreaterThan(2);
    expect([...seen]).toEqual([...seen].toSorted((left, right) => left - right));
    expect([...steps].join()).toContain("copy");
    expect(await ended(run)).toMatchObject({ state: "succeeded" });
    await page.getByText("hash(id) × 5").first().waitFor();
    expect(await page.evaluate("window.isSameDocument")).toBe(true);
    expect(await page.evaluate("document.activeElement.textContent")).toBe(
      "The picture as a table",
    );
    expect(await page.evaluate("scrollY")).toBe(120);
    expect(selected).toContain("carts");
    expect(await page.evaluate("getSelection().toString()")).toBe(selected);
    expect(shift).toBeLessThan(SHIFT_MAX);
    expect(await page.getByText("All members").locator("..").getAttribute("open")).toBe("");
    expect(await page.locator("tr[data-key=carts-shard-4]").count()).toBe(1);
    expect(await page.locator("#history tbody tr").count()).toBe(2);
  });

  it("shows every namespace with its state, what happened lately, and the pause as soon as it is there", async () => {
    const page = await open("/?environment=production");
    const table = page.getByRole("table", { name: /^Namespaces/ });
    for (const name of ["carts", "events", "sessions"])
      expect(await table.getByRole("link", { name, exact: true }).count()).toBe(1);
    expect(await table.getByRole("row", { name: /events/ }).textContent()).toMatch(
      /✓ Ready.*hash\(id\) × 1,000.*rows/s,
    );
    expect(await table.getByRole("img").first().getAttribute("aria-label")).toMatch(
      /^Rows over \d/,
    );
    expect(await page.locator("#runs tbody tr").count()).toBe(2);
    expect(await page.locator("#plans tbody tr").count()).toBe(2);
    expect(await page.locator("#events").textContent()).toMatch(
      /the run succeeded: 1 done[\s\S]*rebalance 2 → 5 members, operation 2 completed/,
    );
    expect(await page.getByRole("status").nth(1).textContent()).toContain("Namespaces:");
    await call("PUT", "/v1/pause", { reason: "database upgrade" });
    await page.getByText("Paused: nothing is applied.").waitFor({ timeout: 15_000 });
    expect(await page.locator("#paused").textContent()).toContain("database upgrade");
    await call("DELETE", "/v1/pause");
  });

  it("shows a thousand shards in a picture with words, and the fullest by name", async () => {
    const page = await open("/namespaces/ORDERS/events?environment=production");
    const image = page.getByRole("img");
    expect(await image.getAttribute("aria-label")).toMatch(
      /^Rows over 1,000 shards: least \d+ \(events-shard-\d+\), average \d+, most \d+ \(events-shard-\d+\)$/,
    );
    expect(await page.locator("svg rect").count()).toBeLessThanOrEqual(128);
    await page.getByText("25 of 1,000 members").click();
    expect(
      await page
        .getByRole("table", { name: /^Members of events/ })
        .getByRole("row")
        .count(),
    ).toBe(26);
  });

  it("shows a hostile name as text, and its page", async () => {
    const page = await open("/?environment=production");
    await page.getByRole("link", { name: "<img src=x" }).first().click();
    await page.getByRole("heading", { level: 1 }).waitFor();
    expect(await page.getByRole("heading", { level: 1 }).textContent()).toContain(
      `<img src=x onerror=alert(1)>"'&amp;evil`,
    );
    expect(await page.locator("main img").count()).toBe(0);
    expect(await page.getByText("hash(id) × 3").count()).toBeGreaterThan(0);
  });

  it("fits 320 pixels, and is dark where the reader's system is", async () => {
    const page = await open("/?environment=production", {
      ...PHONE,
      colorScheme: "dark",
      isMobile: true,
    });
    const paths = [
      "/?environment=production",
      "/namespaces/ORDERS/events?environment=production",
      `/namespaces/ORDERS/${encodeURIComponent(HOSTILE)}?environment=production`,
      "/login",
    ];
    for (const path of paths) {
      await page.goto(`${worker.endpoint}${path}`);
      await page.evaluate(
        "document.querySelectorAll('details').forEach((one) => (one.open = true))",
      );
      expect([path, await page.evaluate("document.documentElement.scrollWidth")]).toEqual([
        path,
        320,
      ]);
      expect(await page.evaluate("getComputedStyle(document.body).backgroundColor")).toBe(
        "rgb(16, 21, 28)",
      );
    }
    const light = await open("/?environment=production");
    expect(await light.evaluate("getComputedStyle(document.body).backgroundColor")).toBe(
      "rgb(255, 255, 255)",
    );
  });

  it("is used by keyboard alone", async () => {
    const page = await open("/?environment=production");
    await page.keyboard.press("Tab");
    expect(await page.evaluate("document.activeElement.textContent")).toBe("Skip to the content");
    expect(await page.getByText("Skip to the content").isVisible()).toBe(true);
    await page.keyboard.press("Enter");
    expect(await page.evaluate("document.activeElement.id")).toBe("main");
    await page.getByLabel("Name contains").focus();
    await page.keyboard.type("event");
    await page.keyboard.press("Enter");
    await page.waitForURL(/search=event/);
    expect(await page.locator("#namespaces tbody tr").count()).toBe(1);
    const focused = (): Promise<unknown> => page.evaluate("document.activeElement.textContent");
    for (let presses = 0; presses < 40 && (await focused()) !== "events"; presses++) {
      await page.keyboard.press("Tab");
    }
    expect(await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")).toBe(
      "solid",
    );
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1, name: /^events/ }).waitFor();
    await page.getByText("The picture as a table").focus();
    await page.keyboard.press("Enter");
    expect(await page.getByRole("table", { name: /^Rows over the shards/ }).isVisible()).toBe(true);
  });

  it("does not touch what has not changed: nothing flickers, and nothing is read out twice", async () => {
    const page = await open("/namespaces/ORDERS/sessions?environment=production");
    await page.clock.install();
    await page.reload();
    await page.evaluate(WATCH_CHANGES);
    const answers: number[] = [];
    page.on(
      "response",
      (response) => void (response.url().includes("part=main") && answers.push(response.status())),
    );
    for (let refreshes = 1; refreshes <= 4; refreshes++) {
      // The last two are answered in full, though nothing is new.
      if (refreshes === 3) {
        await page.route(/part=main/, async (route) => {
          const { "if-none-match": _tag, ...headers } = route.request().headers();
          await route.continue({ headers });
        });
      }
      // The page asks again only when it has read the answer before, and on a busy machine both
      // take their time: its clock goes on until it has.
      const answered = async (): Promise<number> => {
        await page.clock.runFor(1_000);
        return answers.length;
      };
      await expect.poll(answered, { timeout: 60_000 }).toBeGreaterThanOrEqual(refreshes);
    }
    await page.waitForTimeout(200);
    expect(answers).toContain(200);
    expect(await page.evaluate("window.changes")).toEqual([]);
  });

  it.each([
    ["wide", { viewport: { width: 1280, height: 900 } }],
    ["narrow", PHONE],
  ])("reads the same to a screen reader on a %s screen", async (_name, options) => {
    const { page } = await browser.open(options);
    const main = await toText(renderOverview(BUSY, LINKS));
    await page.setContent(
      `<!doctype html><html lang="en"><title>x</title><style>${STYLESHEET}</style><body>${main}</body></html>`,
    );
    await expect(`${await page.locator("main").ariaSnapshot()}\n`).toMatchFileSnapshot(
      "../golden/page/busy.aria.yaml",
    );
  });

  it("says when it is not connected, and goes on when it is again", async () => {
    const page = await open("/?environment=production");
    await page.clock.install();
    await page.reload();
    await page.route(/part=main/, (route) => route.abort());
    const connection = async (): Promise<string | null> => {
      await page.clock.runFor(60_000);
      return page.locator("#connection").textContent();
    };
    await expect
      .poll(connection, { timeout: 30_000 })
      .toBe("Not connected: what you see may be old.");
    await page.unroute(/part=main/);
    await expect.poll(connection, { timeout: 30_000 }).toBe("");
    // Requests that the test itself cut off are no problems.
    const own = watched.at(-1);
    expect(own?.problems.filter((text) => !text.includes("ERR_FAILED"))).toEqual([]);
    watched.pop();
  });

  it("reloads itself without JavaScript, and is whole", async () => {
    const page = await open("/?environment=production", { javaScriptEnabled: false });
    expect(await page.locator("noscript meta[http-equiv=refresh]").count()).toBe(1);
    expect(await page.locator("#namespaces tbody tr").count()).toBe(4);
    expect(await page.locator("time").first().textContent()).toMatch(
      /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ$/,
    );
  });

  it("had no error, no blocked resource and no request to anywhere else on any page", () => {
    expect(watched.length).toBeGreaterThan(5);
    for (const { problems, strangers } of watched) {
      expect(problems).toEqual([]);
      expect(strangers).toEqual([]);
    }
  });
});
