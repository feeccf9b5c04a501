/**
 * A Worker of the tests on the real local runtime: `wrangler dev` on 127.0.0.1 and a directory of
 * its own, both gone at the end. It is bundled once before, by wrangler's own bundler: edits of the
 * sources while a test runs do not restart it.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { createRequire } from "node:module";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { findPort } from "../../../src/cli/dev/find-port.ts";
import { findWrangler, readLogTail, startWrangler } from "../../../src/cli/dev/run-wrangler.ts";

export interface LocalWorker extends AsyncDisposable {
  readonly endpoint: string;
  /** Returns the last output of the runtime, including the Worker's own log. */
  log(): string;
}

export interface LocalWorkerOptions {
  /** File in `test/support`. */
  readonly main: string;
  readonly objects: Readonly<Record<string, string>>;
  readonly variables: Readonly<Record<string, string>>;
}

const READY_TIMEOUT_MS = 60_000;
const READY_POLL_MS = 100;

/**
 * Starts the Worker and waits until it answers. @throws Error with the end of its log when it does
 * not.
 */
export async function startLocalWorker({
  main,
  objects,
  variables,
}: LocalWorkerOptions): Promise<LocalWorker> {
  const program = findWrangler(process.cwd());
  const port = await findPort(0);
  if (program === null || port === null)
    throw new Error("wrangler is not installed, or there is no free port");
  const folder = await mkdtemp(join(tmpdir(), "shardctl-worker-"));
  const logFile = join(folder, "wrangler.log");
  const configOf = (entry: string) => ({
    name: "shardctl-local",
    main: entry,
    compatibility_date: "2026-10-01",
    durable_objects: {
      bindings: Object.entries(objects).map(([name, className]) => ({
        name,
        class_name: className,
      })),
    },
    migrations: [{ tag: "v1", new_sqlite_classes: [...new Set(Object.values(objects))] }],
    vars: variables,
  });
  const source = fileURLToPath(new URL(`../${main}`, import.meta.url).href);
  const bundled = await bundle(program, folder, source);
  const config = join(folder, "wrangler.json");
  await writeFile(config, JSON.stringify({ ...configOf(bundled), no_bundle: true }));
  const wrangler = startWrangler(program, {
    folder,
    config,
    port,
    persistTo: join(folder, "state"),
    logFile,
    verbose: false,
    env: process.env,
  });
  const stop = async (): Promise<void> => {
    await wrangler.stop();
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  };
  const endpoint = `http://127.0.0.1:${port}`;
  const deadline = Date.now() + READY_TIMEOUT_MS;
  while (wrangler.isRunning() && Date.now() < deadline) {
    if (await answers(endpoint))
      return { endpoint, log: () => readLogTail(logFile), [Symbol.asyncDispose]: stop };
    await sleep(READY_POLL_MS);
  }
  const log = readLogTail(logFile);
  await stop();
  throw new Error(`The local Worker did not start:\n${log}`);
}

/** The part of esbuild that is used here: it comes with wrangler. */
interface Bundler {
  build(options: Readonly<Record<string, unknown>>): Promise<unknown>;
}

/** Gives the bundle's path. @throws Error with what is wrong when the Worker does not build. */
async function bundle(program: string, folder: string, source: string): Promise<string> {
  const bundler = createRequire(program)("esbuild") as Bundler;
  // Of its own folder: what lies beside the bundle belongs to the Worker.
  const path = join(folder, "bundle", "worker.js");
  await bundler.build({
    entryPoints: [source],
    outfile: path,
    bundle: true,
    format: "esm",
    target: "es2024",
    conditions: ["workerd", "worker", "browser"],
    external: ["cloudflare:*"],
    logLevel: "silent",
  });
  return path;
}

async function answers(endpoint: string): Promise<boolean> {
  try {
    return (await fetch(`${endpoint}/healthz`)).ok;
  } catch {
    return false; // not listening yet; a lasting reason shows in the log
  }
}
