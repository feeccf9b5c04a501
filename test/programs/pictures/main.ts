/**
 * Makes the pictures of `docs/pictures`: the page of a shop as the Worker renders it, photographed
 * in Chromium. Nothing is started but a little server on 127.0.0.1 for the page and its two files.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";

import { raw } from "hono/html";
import type { BrowserContextOptions } from "playwright-core";

import { renderDocument } from "../../../src/page/html/frame.ts";
import { type Markup, toText } from "../../../src/page/html/markup.ts";
import { renderNamespacePage } from "../../../src/page/namespace-page.ts";
import { renderOverview } from "../../../src/page/overview.ts";
import { SCRIPT } from "../../../src/page/html/script.ts";
import { STYLESHEET } from "../../../src/page/html/stylesheet.ts";
import { startBrowser } from "../../support/browser.ts";
import { findChromium } from "../../support/find-chromium.ts";
import { LINKS } from "../../support/page-states.ts";
import { openShop } from "./shop.ts";

const FOLDER = fileURLToPath(new URL("../../../docs/pictures/", import.meta.url).href);
const SURROUNDINGS = { environment: "production", environments: ["production", "staging"] };

interface Picture {
  readonly path: keyof typeof pages;
  /** Selector of the last element shown. */
  readonly until: string;
  readonly browser?: BrowserContextOptions;
}

const shop = openShop(Date.now());
const pages = {
  "/": renderOverview(shop.overview, LINKS),
  "/operation": renderNamespacePage(shop.operation, LINKS),
  "/paused": renderNamespacePage(shop.paused, LINKS),
  "/drift": renderNamespacePage(shop.drift, LINKS),
  "/thousand": renderNamespacePage(shop.thousand, LINKS),
} as const;

const WIDTH = 1120;
const HEIGHT = 900;
/** Below what is shown last, in CSS pixels. */
const MARGIN = 20;
const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true } as const;
const pictures: Readonly<Record<string, Picture>> = {
  overview: { path: "/", until: "#events" },
  dark: { path: "/", until: "#namespaces", browser: { colorScheme: "dark" } },
  operation: { path: "/operation", until: "#rows" },
  paused: { path: "/paused", until: "#operation" },
  drift: { path: "/drift", until: "#drift" },
  "thousand-shards": { path: "/thousand", until: "#rows" },
  phone: { path: "/", until: "#namespaces tbody tr", browser: { ...PHONE, colorScheme: "dark" } },
};

const ASSETS = { stylesheet: "/style.css", script: "/script.js", build: "pictures" };

async function documentOf(main: Markup): Promise<string> {
  const text = raw(await toText(main));
  return renderDocument(text, {
    title: "production · shardctl",
    assets: ASSETS,
    etag: '"0"',
    surroundings: SURROUNDINGS,
    canSignOut: true,
  });
}

const server = createServer((request, response) => {
  const { pathname: path, searchParams } = new URL(request.url ?? "/", "http://127.0.0.1");
  // Nothing changes while the picture is taken.
  if (searchParams.has("part")) return void response.writeHead(304).end();
  const send = (type: string, body: string): void =>
    void response.writeHead(200, { "content-type": `${type}; charset=utf-8` }).end(body);
  if (path === ASSETS.stylesheet) return send("text/css", STYLESHEET);
  if (path === ASSETS.script) return send("text/javascript", SCRIPT);
  const page = Object.entries(pages).find(([known]) => known === path)?.[1];
  if (page === undefined) return void response.writeHead(404).end();
  void documentOf(page).then((body) => send("text/html", body));
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
const chromium = await findChromium();
if (chromium === null) throw new Error("There is no Chromium to take pictures with");
{
  await using browser = await startBrowser(chromium);
  const wanted = process.argv.slice(2);
  for (const [name, { path, until, browser: options = {} }] of Object.entries(pictures)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    const viewport = { width: WIDTH, height: HEIGHT };
    const { page, problems } = await browser.open({ deviceScaleFactor: 1.5, viewport, ...options });
    await page.goto(`${origin}${path}`);
    const last = await page.locator(until).first().boundingBox();
    if (last === null) throw new Error(`${name}: there is no ${until}`);
    const clip = {
      x: 0,
      y: 0,
      width: options.viewport?.width ?? WIDTH,
      height: Math.ceil(last.y + last.height + MARGIN),
    };
    await page.screenshot({
      path: `${FOLDER}${name}.png`,
      animations: "disabled",
      fullPage: true,
      clip,
    });
    if (problems.length > 0) throw new Error(`${name}: ${problems.join("; ")}`);
    console.log(`docs/pictures/${name}.png`);
  }
}
server.close();
