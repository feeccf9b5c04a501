/**
 * Runs the CLI for tests: in this process with captured streams, or as a child the way a shell
 * would.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { fileURLToPath } from "node:url";

import { type Host, nodeHost, sleep } from "../../../src/cli/host.ts";
import { runCli } from "../../../src/cli/program.ts";
import { NOON } from "./states.ts";

export const TEST_VERSION = "1.2.3";
export const MAIN = fileURLToPath(new URL("../../../src/cli/main.ts", import.meta.url).href);

export interface CliRun {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  /** The typed input. When it is given, stdin counts as a terminal. */
  readonly typed?: string;
  /** True makes stdout and stderr terminals. */
  readonly terminal?: boolean;
  readonly host?: Partial<Host>;
}

/** The clock stands a little after what happened in the states. */
const CLOCK_MS = 65_000;

/** Waits of retries are cut short, so that a test of backoff does not wait. */
const SLEEP_MS_MAX = 5;

export async function runInProcess(argv: readonly string[], options: RunOptions): Promise<CliRun> {
  const stdout = capture(options.terminal === true);
  const stderr = capture(options.terminal === true);
  const stdin = Object.assign(new PassThrough(), { isTTY: options.typed !== undefined });
  if (options.typed !== undefined) stdin.end(options.typed);
  const host: Host = {
    ...nodeHost(),
    cwd: options.cwd,
    env: { ...options.env },
    stdin,
    stdout: stdout.stream,
    stderr: stderr.stream,
    now: () => NOON + CLOCK_MS,
    random: () => 0,
    sleep: (timeMs, signal) => sleep(Math.min(timeMs, SLEEP_MS_MAX), signal),
    ...options.host,
  };
  const exitCode = await runCli(host, TEST_VERSION, argv);
  return { exitCode, stdout: stdout.text(), stderr: stderr.text() };
}

export interface CliChild {
  readonly process: ChildProcess;
  readonly ended: Promise<CliRun>;
  /** Resolves once stdout and stderr together contain the text. */
  waitFor(text: string): Promise<void>;
}

/** The part of its own environment that a test hands on to a child: no tokens. */
const HANDED_ON = Object.fromEntries(
  ["PATH", "HOME", "NODE_COMPILE_CACHE"].flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value]];
  }),
);

/**
 * Runs the CLI in this process as a child would run: by the real clock, with real waits. Starting a
 * process for each command of a long story takes as long as all that the commands do.
 */
export function runHere(
  argv: readonly string[],
  options: Pick<RunOptions, "cwd" | "env">,
): Promise<CliRun> {
  const { now, random, sleep: wait } = nodeHost();
  return runInProcess(argv, {
    cwd: options.cwd,
    env: { ...HANDED_ON, ...options.env },
    host: { now, random, sleep: wait },
  });
}

/** Starts the CLI as a child under this very Node. */
export function spawnCli(
  argv: readonly string[],
  options: Omit<RunOptions, "terminal" | "typed" | "host">,
): CliChild {
  const child = spawn(process.execPath, [MAIN, ...argv], {
    cwd: options.cwd,
    env: { ...HANDED_ON, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  const watchers = new Set<() => void>();
  const changed = (): void => watchers.forEach((watch) => watch());
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    changed();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
    changed();
  });
  const ended = new Promise<CliRun>((resolve) => {
    child.once("close", (code, signal) => {
      resolve({ exitCode: code ?? (signal === "SIGINT" ? 130 : 143), stdout, stderr });
      changed();
    });
  });
  const waitFor = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if ((stdout + stderr).includes(text)) resolve();
        else if (child.exitCode !== null)
          reject(
            new Error(
              `The CLI ended with ${child.exitCode} before it said "${text}":\n${stdout}${stderr}`,
            ),
          );
        else return;
        watchers.delete(look);
      };
      watchers.add(look);
      look();
    });
  return { process: child, ended, waitFor };
}

/** A folder that is removed at the end of its scope. */
export async function temporaryFolder(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "shardctl-test-"));
  return {
    path,
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 3 }),
  };
}

function capture(isTTY: boolean): { readonly stream: Host["stdout"]; text(): string } {
  const chunks: string[] = [];
  const stream = new PassThrough();
  stream.on("data", (chunk: Buffer) => chunks.push(chunk.toString("utf8")));
  return {
    stream: Object.assign(stream, { isTTY, columns: 100, rows: 40 }),
    text: () => chunks.join(""),
  };
}
