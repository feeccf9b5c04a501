/**
 * The real runtime of a crash run: wrangler on a directory that stays, in a process group of its
 * own. Kills the user's workerd, or the whole group, and starts again on the same directory.
 * Touches no process but those of that group.
 */
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";

import { findPort } from "../../src/cli/dev/find-port.ts";
import {
  type WranglerProcess,
  findWrangler,
  startWrangler,
} from "../../src/cli/dev/run-wrangler.ts";
import { sleep } from "../../src/cli/host.ts";
import type { Step } from "../../src/model/operation.ts";
import { findWorkerd } from "../support/server.ts";
import { NAMESPACE } from "./accounts.ts";
import { ObjectFiles } from "./object-files.ts";

/**
 * The outcome of a request. `unknown`: it may have been carried out. `refused` and `unsent`: it was
 * not.
 */
export type Answer =
  | { readonly kind: "answered"; readonly value: unknown }
  /** `reason`: the kind of the refusal, as the engine names it. */
  | { readonly kind: "refused"; readonly message: string; readonly reason: string }
  | { readonly kind: "unsent" | "unknown"; readonly message: string };

const WORKER_NAME = "shardctl-crash";
const CLASS_NAME = "Ledger";
const REQUEST_MS_MAX = 120_000;
const UP_MS_MAX = 60_000;
const UP_POLL_MS = 50;
const FIND_TRIES_MAX = 100;

const PROJECT = fileURLToPath(new URL("../..", import.meta.url).href);
const CODE = ["src/model", "src/planning", "src/shards", "test/crash"];
const VERSION_FILE = "test/crash/version.ts";

export class CrashRuntime {
  readonly #folder: string;
  readonly #port: number;
  readonly #program: string;
  #wrangler: WranglerProcess;
  #starts = 1;
  readonly #files: ObjectFiles;
  #rootId = "";
  #isStopping = false;
  #up: Promise<void> | undefined;

  private constructor(folder: string, port: number, program: string) {
    this.#folder = folder;
    this.#port = port;
    this.#program = program;
    this.#files = new ObjectFiles(this.#persistTo(), WORKER_NAME, CLASS_NAME);
    this.#wrangler = this.#start();
  }

  /**
   * Starts on a new directory and a free port. `latencyMs`: the most that one way of an engine
   * message takes.
   */
  static async create(latencyMs: number): Promise<CrashRuntime> {
    const program = findWrangler(PROJECT);
    const port = await findPort(0);
    if (program === null || port === null)
      throw new Error("wrangler is not installed, or there is no free port");
    const folder = await mkdtemp(join(tmpdir(), "shardctl-crash-"));
    const config = {
      name: WORKER_NAME,
      main: await copyCode(folder),
      compatibility_date: "2026-10-01",
      vars: { LATENCY_MS: latencyMs },
      durable_objects: { bindings: [{ name: "LEDGER", class_name: CLASS_NAME }] },
      migrations: [{ tag: "v1", new_sqlite_classes: [CLASS_NAME] }],
    };
    await writeFile(join(folder, "wrangler.json"), JSON.stringify(config, null, 2));
    const runtime = new CrashRuntime(folder, port, program);
    process.once("exit", runtime.#endNow);
    try {
      await runtime.waitUntilUp();
      runtime.#rootId = await runtime.idOf(NAMESPACE);
      return runtime;
    } catch (error) {
      const log = await runtime.readLog();
      await runtime.stop();
      throw new Error(`The runtime did not start:\n${log}`, { cause: error });
    }
  }

  /** POST, because wrangler's proxy silently repeats a GET whose Worker died. */
  async post(path: string, body: unknown): Promise<Answer> {
    let response: Response;
    let text: string;
    try {
      response = await fetch(`http://127.0.0.1:${this.#port}${path}`, {
        method: "POST",
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(REQUEST_MS_MAX),
      });
      text = await response.text();
    } catch (error) {
      const { cause } = error as { readonly cause?: { readonly code?: string } };
      const message = `${String(error)} ${cause?.code ?? ""}`;
      if ((error as Error).name === "TimeoutError")
        throw new Error(`POST ${path} had no answer within ${REQUEST_MS_MAX} ms`, { cause: error });
      return { kind: cause?.code === "ECONNREFUSED" ? "unsent" : "unknown", message };
    }
    if (response.status === 200)
      return { kind: "answered", value: (JSON.parse(text) as { readonly answer: unknown }).answer };
    const message = `${response.status} ${text.slice(0, 300)}`;
    if (response.status !== 409) return { kind: "unknown", message };
    return {
      kind: "refused",
      message,
      reason: (JSON.parse(text) as { readonly reason: string }).reason,
    };
  }

  /** The id of a member, by which its files are named. */
  async idOf(member: string): Promise<string> {
    const answer = await this.post("/idOf", { member });
    if (answer.kind !== "answered")
      throw new Error(`The Worker does not answer: ${answer.message}`);
    return String(answer.value);
  }

  /**
   * Ends once the Worker answers; many may wait. @throws Error with the log when it does not come
   * back.
   */
  waitUntilUp(): Promise<void> {
    this.#up ??= this.#untilUp().finally(() => (this.#up = undefined));
    return this.#up;
  }

  async #untilUp(): Promise<void> {
    const deadline = Date.now() + UP_MS_MAX;
    while (Date.now() < deadline) {
      if (!this.#isStopping && !this.#wrangler.isRunning())
        throw new Error(
          `wrangler has ended: ${await this.#wrangler.ended}\n${await this.readLog()}`,
        );
      try {
        const response = await fetch(`http://127.0.0.1:${this.#port}/`, {
          signal: AbortSignal.timeout(5_000),
        });
        await response.body?.cancel();
        if (response.ok) return;
      } catch {
        // Not up yet: that is what we wait for.
      }
      await sleep(UP_POLL_MS);
    }
    throw new Error(
      `The runtime did not come back within ${UP_MS_MAX} ms:\n${await this.readLog()}`,
    );
  }

  /** The process of the user's workerd, looked up ahead so that a kill comes at once. */
  async findWorkerd(): Promise<number> {
    for (let tries = 1; ; tries++) {
      try {
        return await findWorkerd(this.#wrangler.pid, String(this.#port));
      } catch (error) {
        // Between two workerds there is none for a moment.
        if (tries >= FIND_TRIES_MAX) throw error;
        await sleep(UP_POLL_MS);
      }
    }
  }

  /**
   * SIGKILLs a workerd; wrangler starts another by itself. Gives the step that the journal is in,
   * null when nothing runs.
   */
  async killWorkerd(pid: number): Promise<Step | null> {
    process.kill(pid, "SIGKILL");
    await waitUntilDead(pid);
    return this.readStep();
  }

  /**
   * SIGKILLs wrangler and all its processes, and starts again on the same directory and port, with
   * this version of the class.
   */
  killTree(version: number | null = null): Promise<Step | null> {
    return this.restart(async () => {
      const step = await this.readStep();
      if (version !== null) await this.#writeVersion(version);
      return step;
    });
  }

  /**
   * SIGKILLs everything, does something to the objects' files while nothing runs, and starts again.
   */
  async restart<Value>(work: (files: ObjectFiles) => Promise<Value>): Promise<Value> {
    this.#isStopping = true;
    process.kill(-this.#wrangler.pid, "SIGKILL");
    await this.#wrangler.ended;
    await this.#wrangler.stop();
    const value = await work(this.#files);
    this.#starts++;
    this.#wrangler = this.#start();
    this.#isStopping = false;
    return value;
  }

  async #writeVersion(version: number): Promise<void> {
    const file = join(this.#folder, VERSION_FILE);
    const source = await readFile(file, "utf8");
    await writeFile(
      file,
      source.replace(/VERSION: number = \d+;/, `VERSION: number = ${version};`),
    );
  }

  /** Ends everything and removes the directory, unless it is to be looked at. */
  async stop(isKept = false): Promise<void> {
    await this.#wrangler.stop();
    process.off("exit", this.#endNow);
    if (!isKept) await rm(this.#folder, { recursive: true, force: true });
  }

  get folder(): string {
    return this.#folder;
  }

  readLog(): Promise<string> {
    return readFile(this.#logFile(), "utf8").then((text) => text.slice(-3_000));
  }

  /** The last resort, when this process ends without having stopped what it started. */
  readonly #endNow = (): void => {
    if (this.#wrangler.isRunning()) process.kill(-this.#wrangler.pid, "SIGKILL");
  };

  #logFile(): string {
    return join(this.#folder, `wrangler-${this.#starts}.log`);
  }

  #start(): WranglerProcess {
    const config = join(this.#folder, "wrangler.json");
    const shared = {
      folder: this.#folder,
      verbose: false,
      env: { ...process.env, WRANGLER_LOG: "warn" },
      logFile: this.#logFile(),
    };
    return startWrangler(this.#program, {
      ...shared,
      config,
      persistTo: this.#persistTo(),
      port: this.#port,
    });
  }

  #persistTo(): string {
    return join(this.#folder, "state");
  }

  /**
   * The step that the root's journal is in, null when nothing runs. Only while no workerd runs.
   * From a copy of the root's database, so that nothing is open when the next workerd opens it.
   */
  async readStep(): Promise<Step | null> {
    const copies = join(this.#folder, "copy");
    await this.#files.snapshot(this.#rootId, copies);
    const database = new DatabaseSync(join(copies, `${this.#rootId}.sqlite`));
    try {
      const hasJournal =
        database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'shardctl_operations'").get() !==
        undefined;
      const row = hasJournal
        ? database.prepare("SELECT record FROM shardctl_operations WHERE state = 'running'").get()
        : undefined;
      return row === undefined
        ? null
        : (JSON.parse(String(row["record"])) as { readonly step: Step }).step;
    } finally {
      database.close();
      await rm(copies, { recursive: true, force: true });
    }
  }
}

/**
 * A copy of the Worker's code: wrangler watches it, and an edit in the middle of a run would
 * restart the Worker with it.
 */
async function copyCode(folder: string): Promise<string> {
  for (const path of CODE) await cp(join(PROJECT, path), join(folder, path), { recursive: true });
  await symlink(join(PROJECT, "node_modules"), join(folder, "node_modules"));
  return join(folder, "test/crash/worker.ts");
}

const DEATH_MS_MAX = 2_000;

/** A dead process stays in the table until its parent collects it; it does nothing more. */
async function waitUntilDead(pid: number): Promise<void> {
  const deadline = Date.now() + DEATH_MS_MAX;
  while (Date.now() < deadline) {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
    const state = stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3);
    if (state === "" || state === "Z" || state === "X") return;
    await sleep(1);
  }
  throw new Error(`Process ${pid} lives on after SIGKILL`);
}
