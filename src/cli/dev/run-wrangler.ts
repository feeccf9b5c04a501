/**
 * Runs `wrangler dev` as a child in a process group of its own, offline and on 127.0.0.1 only, and
 * ends that group and nothing else. The group matters: wrangler starts helpers and two workerd
 * processes, and signals do not travel down by themselves.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { stripVTControlCharacters } from "node:util";

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
const LOG_LINES_MAX = 15;

/**
 * The path of wrangler's program, from the user's project or from beside this package; null when
 * neither has it. It is the program that the bin wraps: a signal to the wrapper would end the
 * wrapper and leave the program running.
 */
export function findWrangler(folder: string): string | null {
  for (const base of [pathToFileURL(join(folder, "package.json")), import.meta.url]) {
    try {
      const manifestPath = createRequire(base).resolve("wrangler/package.json");
      const manifest = JSON.parse(readFileSync(manifestPath, "utf8")) as { readonly main: string };
      return join(dirname(manifestPath), manifest.main);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "MODULE_NOT_FOUND") throw error;
    }
  }
  return null;
}

export function startWrangler(program: string, options: WranglerOptions): WranglerProcess {
  const log = openSync(options.logFile, "w");
  const child = spawn(process.execPath, ["--no-warnings", program, ...argumentsFor(options)], {
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
  return {
    pid,
    ended,
    isRunning: () => child.exitCode === null && child.signalCode === null,
    stop: () => stopGroup(child, ended),
  };
}

/** The last lines of the log, for messages. */
export function readLogTail(logFile: string): string {
  const lines = readLog(logFile).trimEnd().split("\n");
  return lines.slice(-LOG_LINES_MAX).join("\n");
}

/** True when wrangler has written an error of its own. */
export function hasLoggedError(logFile: string): boolean {
  return readLog(logFile).includes("[ERROR]");
}

/** Without the colours that the bundler writes whatever it is told. */
function readLog(logFile: string): string {
  return stripVTControlCharacters(readFileSync(logFile, "utf8"));
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

/** wrangler itself is asked, and ends its children; whoever is left in the group then is forced. */
async function stopGroup(child: ChildProcess, ended: Promise<string>): Promise<void> {
  const { pid } = child;
  if (pid === undefined) return;
  child.kill("SIGTERM");
  const given = new AbortController();
  await Promise.race([ended, sleep(STOP_GRACE_MS, given.signal)]);
  given.abort();
  killGroup(child, pid);
  await ended;
}

function killGroup(child: ChildProcess, pid: number): void {
  try {
    // A negative id names the group that `detached` made. Windows has no groups: there the child
    // alone is ended.
    if (process.platform === "win32") child.kill("SIGKILL");
    else process.kill(-pid, "SIGKILL");
  } catch (error) {
    // Nobody is left, or only the dead that nobody has collected yet.
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ESRCH" && code !== "EPERM") throw error;
  }
}
