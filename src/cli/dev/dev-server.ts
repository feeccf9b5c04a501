/**
 * Starts the local runtime and waits until it answers: state lock, port, generated Worker,
 * wrangler, health. Stops it again.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { type CliResult, fail } from "../failure.ts";
import { type Host } from "../host.ts";
import { findPort } from "./find-port.ts";
import { type DevWorkerSources, generateDevWorker } from "./generate-worker.ts";
import {
  type WranglerProcess,
  findWrangler,
  hasLoggedError,
  readLogTail,
  startWrangler,
} from "./run-wrangler.ts";
import { DEV_FOLDER, removeRuntime, writeRuntime } from "./runtime-file.ts";
import { lockState } from "./state-lock.ts";

export interface DevOptions {
  /** The project's folder: `.shardctl/dev` is made in it. */
  readonly folder: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly persistTo: string;
  /** Bindings of the manifests; ignored with a wrangler config of the user's own. */
  readonly bindings: readonly string[];
  readonly wranglerConfig: string | null;
  readonly verbose: boolean;
}

export interface DevServer {
  readonly endpoint: string;
  readonly wrangler: WranglerProcess;
  readonly logFile: string;
  stop(this: void): Promise<void>;
}

const READY_TIMEOUT_MS = 60_000;
const READY_POLL_MS = 150;
const PROBE_TIMEOUT_MS = 5_000;

export async function startDevServer(
  host: Host,
  options: DevOptions,
  signal: AbortSignal,
): Promise<CliResult<DevServer>> {
  const program = findWrangler(options.folder);
  if (program === null)
    return fail(
      "dev",
      "wrangler is not installed: it runs the local runtime.",
      "Install it: npm install --save-dev wrangler",
    );
  const lock = await lockState(options.persistTo);
  if ("holder" in lock) {
    return fail(
      "dev",
      `The state in ${options.persistTo} is in use by process ${lock.holder}, another shardctl dev.`,
      "Stop that one, or use another folder with --persist-to. If no such process is a shardctl dev, remove shardctl-dev.pid there.",
    );
  }
  const started = await startLocked(host, program, options, signal);
  if (!started.ok) {
    await lock.release();
    return started;
  }
  const { stop } = started.value;
  return {
    ok: true,
    value: {
      ...started.value,
      stop: async () => {
        await stop();
        await lock.release();
      },
    },
  };
}

async function startLocked(
  host: Host,
  program: string,
  options: DevOptions,
  signal: AbortSignal,
): Promise<CliResult<DevServer>> {
  const port = await findPort(options.port);
  if (port === null)
    return fail(
      "dev",
      `Port ${options.port} is in use.`,
      "Stop the process that uses it, or choose another: shardctl dev --port 0",
    );
  const folder = join(options.folder, DEV_FOLDER);
  await mkdir(folder, { recursive: true });
  const config = options.wranglerConfig ?? (await writeWorker(folder, options.bindings));
  const logFile = join(folder, "wrangler.log");
  const wrangler = startWrangler(program, { ...options, config, port, logFile, env: host.env });
  const endpoint = `http://127.0.0.1:${port}`;
  const trouble = await waitUntilReady(host, endpoint, wrangler, logFile, signal);
  if (trouble !== null) {
    await wrangler.stop();
    if (signal.aborted)
      return fail("interrupted", "Interrupted before the local runtime was ready.");
    const log = options.verbose ? "" : `\n${readLogTail(logFile)}`;
    return fail(
      "dev",
      `The local runtime did not start: ${trouble}.${log}`,
      `The whole log is in ${logFile}.`,
    );
  }
  await writeRuntime(options.folder, { endpoint, pid: process.pid });
  const stop = async (): Promise<void> => {
    await removeRuntime(options.folder, process.pid);
    await wrangler.stop();
  };
  return { ok: true, value: { endpoint, wrangler, logFile, stop } };
}

async function writeWorker(folder: string, bindings: readonly string[]): Promise<string> {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const source = (path: string): string =>
    fileURLToPath(new URL(`../../${path}.${extension}`, import.meta.url).href);
  const sources: DevWorkerSources = {
    worker: source("server/dev"),
    objects: source("shards/index"),
  };
  const entryName = `worker.${extension}`;
  const { entry, config } = generateDevWorker(bindings, sources, entryName);
  const configPath = join(folder, "wrangler.json");
  await writeFile(join(folder, entryName), entry);
  await writeFile(configPath, config);
  return resolve(configPath);
}

/** Null when it answers, else why it does not. */
async function waitUntilReady(
  host: Host,
  endpoint: string,
  wrangler: WranglerProcess,
  logFile: string,
  signal: AbortSignal,
): Promise<string | null> {
  let exit: string | null = null;
  void wrangler.ended.then((reason) => (exit = reason));
  const deadline = host.now() + READY_TIMEOUT_MS;
  while (host.now() < deadline) {
    if (signal.aborted) return "interrupted";
    if (exit !== null) return `wrangler ended with ${String(exit)}`;
    if (await answers(host, endpoint)) return null;
    // wrangler stays and waits for an edit when the Worker does not build; nobody is there to make
    // one.
    if (hasLoggedError(logFile)) return "the Worker does not build or start";
    await host.sleep(READY_POLL_MS, signal);
  }
  return `it did not answer within ${READY_TIMEOUT_MS / 1000} s`;
}

async function answers(host: Host, endpoint: string): Promise<boolean> {
  try {
    const response = await host.fetch(`${endpoint}/healthz`, {
      signal: AbortSignal.timeout(PROBE_TIMEOUT_MS),
    });
    await response.body?.cancel();
    // The API says that it is not well when it has not been ticked for long, as after a night: that
    // is an answer.
    return (
      response.status < 500 ||
      response.headers.get("content-type")?.includes("problem+json") === true
    );
  } catch {
    // Not listening yet is what we are waiting out; a lasting reason shows as the end of wrangler
    // or the timeout.
    return false;
  }
}
