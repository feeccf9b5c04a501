/**
 * Runs `wrangler dev` as a child in a process group of its own, offline and on 127.0.0.1 only, and ends that group and nothing else.
 * The group matters: wrangler starts helpers and two workerd processes, and signals do not travel down by themselves.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

import { sleep } from "../host.ts";

export interface WranglerOptions {
  readonly folder: string;
  readonly config: string;
  readonly port: number;
  readonly persistTo: string;
  readonly logFile: string;
  /** True lets wrangler write to stderr too instead of the log file. */
  readonly verbose: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface WranglerProcess {
  readonly pid: number;
  /** Resolves when wrangler has ended, with its exit code or signal. */
  readonly ended: Promise<string>;
  isRunning(): boolean;
  /** Ends the whole group: asked first, forced after a while. */
  stop(): Promise<void>;
}

const HOST = "127.0.0.1";
const STOP_GRACE_MS = 5_000;
const STOP_POLL_MS = 50;
const LOG_LINES_MAX = 15;

/** The path of wrangler's bin, from the user's project or from beside this package; null when neither has it. */
export function findWrangler(folder: string): string | null {
  for (const base of [pathToFileURL(join(folder, "package.json")), import.meta.url]) {
    try {
      const manifestPath = createRequire(base).resolve("wrangler/package.json");
      const manifest = JSON.parse(readFileSync(manifestPath, "utf8")) as { readonly bin: { readonly wrangler: string } };
      return join(dirname(manifestPath), manifest.bin.wrangler);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "MODULE_NOT_FOUND") throw error;
    }
  }
  return null;
}

export function startWrangler(bin: string, options: WranglerOptions): WranglerProcess {
  const log = openSync(options.logFile, "w");
  const child = spawn(process.execPath, [bin, ...argumentsFor(options)], {
    cwd: options.folder,
    detached: true,
    stdio: ["ignore", options.verbose ? 2 : log, options.verbose ? 2 : log],
    env: { ...options.env, ...OFFLINE, WRANGLER_LOG_PATH: join(dirname(options.logFile), "logs") },
  });
  closeSync(log);
  const ended = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  const pid = child.pid ?? 0;
  return { pid, ended, isRunning: () => child.exitCode === null && child.signalCode === null, stop: () => stopGroup(child) };
}

/** The last lines of the log, for messages. */
export function readLogTail(logFile: string): string {
  const lines = readFileSync(logFile, "utf8").trimEnd().split("\n");
  return lines.slice(-LOG_LINES_MAX).join("\n");
}

/** True when wrangler has written an error of its own. */
export function hasLoggedError(logFile: string): boolean {
  return readFileSync(logFile, "utf8").includes("[ERROR]");
}

/** No questions, no telemetry, no request for `cf` data, no update check. */
const OFFLINE = {
  CI: "1",
  NO_COLOR: "1",
  FORCE_COLOR: undefined,
  WRANGLER_SEND_METRICS: "false",
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
  WRANGLER_HIDE_BANNER: "true",
} as const;

function argumentsFor(options: WranglerOptions): string[] {
  return [
    "dev",
    `--config=${options.config}`,
    `--ip=${HOST}`,
    `--port=${options.port}`,
    "--inspector-port=0",
    `--persist-to=${options.persistTo}`,
    "--show-interactive-dev-session=false",
  ];
}

async function stopGroup(child: ChildProcess): Promise<void> {
  const { pid } = child;
  if (pid === undefined) return;
  signalGroup(child, pid, "SIGTERM");
  for (let waitedMs = 0; waitedMs < STOP_GRACE_MS; waitedMs += STOP_POLL_MS) {
    if (!isGroupAlive(child, pid)) return;
    await sleep(STOP_POLL_MS);
  }
  signalGroup(child, pid, "SIGKILL");
}

function signalGroup(child: ChildProcess, pid: number, signal: NodeJS.Signals): void {
  try {
    // A negative id names the group that `detached` made. Windows has no groups: there the child alone is ended.
    if (process.platform === "win32") child.kill(signal);
    else process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function isGroupAlive(child: ChildProcess, pid: number): boolean {
  if (process.platform === "win32") return child.exitCode === null && child.signalCode === null;
  try {
    process.kill(-pid, 0);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw error;
  }
}
