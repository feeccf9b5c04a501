/**
 * Temporary folders and child processes of a benchmark, to be removed and ended whenever it ends:
 * by itself, by an error or by a signal. A signal is handled once; the second ends the process by
 * force.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";

type Undo = () => Promise<void>;

const toUndo = new Set<Undo>();
let isEnding = false;

/**
 * Has `undo` called at the end, unless the returned function has been called before. @throws Error
 * when the end has begun.
 */
export function undoAtEnd(undo: Undo): () => void {
  if (isEnding) throw new Error("The benchmark is ending");
  toUndo.add(undo);
  return () => toUndo.delete(undo);
}

/** Undoes everything, the newest first. Nothing new may be begun afterwards. */
export async function undoAll(): Promise<void> {
  isEnding = true;
  for (const undo of [...toUndo].toReversed()) {
    toUndo.delete(undo);
    await undo();
  }
}

/** True from when the end has begun: what fails then, fails because of it. */
export function hasBegunToEnd(): boolean {
  return isEnding;
}

/** Ends the process with code 130 when it is interrupted, with nothing left behind. */
export function undoOnSignals(): void {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => {
      console.error(`${signal}: ending what was started`);
      void undoAll().finally(() => process.exit(130));
    });
  }
}

/** A new folder below `base`, removed at the end or by `remove`. */
export async function makeTemporaryFolder(
  base = tmpdir(),
): Promise<{ readonly folder: string; readonly remove: Undo }> {
  const folder = await mkdtemp(join(base, "shardctl-bench-"));
  const remove = async (): Promise<void> => {
    forget();
    await rm(folder, { recursive: true, force: true });
  };
  let forget = (): void => {};
  try {
    forget = undoAtEnd(remove);
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
  return { folder, remove };
}

export interface ChildOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** Runs a program to its end. @throws Error with everything that it wrote when it fails. */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: ChildOptions = {},
): Promise<{ readonly stdout: string }> {
  const forget = undoAtEnd(async () => {
    child.kill("SIGTERM");
    await ended.catch(() => undefined); // told where it is awaited
  });
  const child = spawn(program, [...args], { ...options, stdio: ["ignore", "pipe", "pipe"] });
  const ended = endOf(child);
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  try {
    const how = await ended;
    if (how !== 0)
      throw new Error(
        `${[program, ...args].join(" ")} ended with ${how}:\n${stripVTControlCharacters(stdout + stderr)}`.trimEnd(),
      );
    return { stdout };
  } finally {
    forget();
  }
}

/** Its exit code, or the signal that ended it, once its output is read. */
function endOf(child: ChildProcess): Promise<number | NodeJS.Signals | null> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve(code ?? signal));
  });
}
