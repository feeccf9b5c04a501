/**
 * A real Chromium for tests of the status page, driven by playwright-core, and what went wrong in
 * its pages.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import {
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from "playwright-core";

/** Flags that work as root, without a display, and contact nobody outside. */
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/**
 * A page and its problems: messages of the console, exceptions, and anything that the content
 * security policy blocked.
 */
export interface Watched {
  readonly page: Page;
  readonly problems: readonly string[];
  /** Addresses outside of the page's origin that it asked for. */
  readonly strangers: readonly string[];
}

export interface TestBrowser extends AsyncDisposable {
  /** A page in a context of its own. */
  open(options?: BrowserContextOptions): Promise<Watched>;
}

/** Starts the browser with a fresh profile. */
export async function startBrowser(executablePath: string): Promise<TestBrowser> {
  const profile = await mkdtemp(join(tmpdir(), "shardctl-browser-"));
  const browser = await chromium.launch({
    executablePath,
    headless: true,
    args: [...FLAGS, `--crash-dumps-dir=${profile}`],
  });
  const contexts: BrowserContext[] = [];
  return {
    async open(options = {}) {
      const context = await browser.newContext(options);
      contexts.push(context);
      const page = await context.newPage();
      const problems: string[] = [];
      const strangers: string[] = [];
      page.on("console", (message) => {
        if (message.type() === "error" || message.type() === "warning")
          problems.push(message.text());
      });
      page.on("pageerror", (error) => problems.push(error.message));
      page.on("request", (request) => {
        const url = new URL(request.url());
        if (url.protocol !== "data:" && url.hostname !== "127.0.0.1") strangers.push(request.url());
      });
      return { page, problems, strangers };
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(contexts.map((context) => context.close()));
      await browser.close();
      await rm(profile, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}
