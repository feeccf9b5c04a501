/**
 * A real Chromium for tests of the status page: Debian's, driven by playwright-core. Installs it where that can be done; a machine without
 * one, where nothing may be installed, skips those tests, and says so where nobody misses it.
 */
import { execFile } from "node:child_process";
import { access, constants, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";

import { type BrowserContext, type BrowserContextOptions, chromium, type Page } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"] as const;
const INSTALL_TIMEOUT_MS = 110_000;
/** Those that work as root, without a display, and ask nobody outside. */
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Path of a Chromium, installed if need be; null when there is none to be had. */
export async function findChromium(): Promise<string | null> {
  const found = await findProgram();
  if (found !== null) return found;
  if (process.getuid?.() === 0) {
    await promisify(execFile)("sh", ["-c", "apt-get update && apt-get install -y --no-install-recommends chromium"], {
      timeout: INSTALL_TIMEOUT_MS,
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    }).catch((error: unknown) => console.warn(`chromium could not be installed: ${String(error)}`));
  }
  const installed = await findProgram();
  if (installed === null) {
    console.warn(`\n${"!".repeat(80)}\nNO CHROMIUM: the tests of the status page in a browser are SKIPPED.\n${"!".repeat(80)}\n`);
  }
  return installed;
}

async function findProgram(): Promise<string | null> {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    for (const name of NAMES) {
      const path = join(folder, name);
      const isThere = await access(path, constants.X_OK).then(
        () => true,
        () => false,
      );
      if (isThere) return path;
    }
  }
  return null;
}

/** What went wrong in a page: messages of the console, exceptions, and what the content security policy blocked. */
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
  const browser = await chromium.launch({ executablePath, headless: true, args: [...FLAGS, `--crash-dumps-dir=${profile}`] });
  const contexts: BrowserContext[] = [];
  return {
    async open(options = {}) {
      const context = await browser.newContext(options);
      contexts.push(context);
      const page = await context.newPage();
      const problems: string[] = [];
      const strangers: string[] = [];
      page.on("console", (message) => {
        if (message.type() === "error" || message.type() === "warning") problems.push(message.text());
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
