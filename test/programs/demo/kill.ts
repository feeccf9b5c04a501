/**
 * Kills the runtime's process in the middle of a step of an operation, as a crash would.
 *
 * The step is read from the journal of the root, in copies of its files: a busy runtime answers
 * nothing, and a cutover takes some milliseconds.
 */
import { copyFile, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";

import type { OperationStatus, Step } from "../../../src/model/operation.ts";
import type { DemoRuntime } from "./runtime.ts";
import { say } from "./say.ts";

const POLL_MS = 2;
/** So long after its begin a copy is in its middle. */
const COPY_MS = 1_000;

/** Steps of a cutover: writes to rows that move wait, or act by the new layout already. */
export const CUTOVER: readonly Step[] = ["fence", "cutover", "activate"];

type Seen = Pick<OperationStatus, "kind" | "step">;

/**
 * Kills once in the operation that the work starts, in one of these steps, of a copy not at its
 * begin. Gives the step that the dead process has left; null when the work ended before.
 */
export async function killIn(
  runtime: DemoRuntime,
  steps: readonly Step[],
  work: Promise<unknown>,
): Promise<string | null> {
  const working = { hasEnded: false };
  const ended = work.finally(() => (working.hasEnded = true));
  ended.catch(() => undefined);
  const copies = await mkdtemp(join(tmpdir(), "shardctl-demo-"));
  const journal = new Journal(runtime.objects, copies);
  let killed: string | null = null;
  try {
    while (!working.hasEnded && killed === null) {
      const seen = await journal.read();
      if (seen && steps.includes(seen.step)) {
        if (seen.step === "copy") await sleep(COPY_MS);
        await runtime.killWorkerd();
        const { kind, step } = (await journal.read()) ?? seen;
        killed = `${step} of the ${kind}`;
        say(`  ✗ SIGKILL of the runtime, in step ${killed}`);
      }
      await sleep(POLL_MS);
    }
    await ended;
  } finally {
    await rm(copies, { recursive: true, force: true });
  }
  return killed;
}

/** The operation that runs, by the file of the root among those of all objects. */
class Journal {
  readonly #objects: string;
  readonly #copies: string;
  #root: string | undefined;

  constructor(objects: string, copies: string) {
    this.#objects = objects;
    this.#copies = copies;
  }

  /** Null when nothing runs, or when files were copied in the middle of a write. */
  async read(): Promise<Seen | null> {
    const databases = (await readdir(this.#objects)).filter((name) => name.endsWith(".sqlite"));
    for (const name of this.#root === undefined ? databases : [this.#root]) {
      const seen = await this.#readFile(name);
      if (seen === null) continue;
      this.#root = name;
      return seen;
    }
    return null;
  }

  async #readFile(name: string): Promise<Seen | null> {
    try {
      const files = await readdir(this.#objects);
      for (const file of [name, `${name}-wal`].filter((one) => files.includes(one)))
        await copyFile(join(this.#objects, file), join(this.#copies, file));
      return runningIn(join(this.#copies, name));
    } catch {
      return null; // one of the two was written meanwhile: the next try finds them whole
    }
  }
}

function runningIn(file: string): Seen | null {
  const database = new DatabaseSync(file);
  try {
    const isRoot =
      database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'shardctl_operations'").get() !==
      undefined;
    const row = isRoot
      ? database.prepare("SELECT record FROM shardctl_operations WHERE state = 'running'").get()
      : undefined;
    return row === undefined ? null : (JSON.parse(String(row["record"])) as Seen);
  } finally {
    database.close();
  }
}
