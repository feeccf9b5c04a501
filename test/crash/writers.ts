/**
 * Writers: each owns accounts of its own and makes one call at a time, so that every answer can be checked at once. A call whose answer is
 * lost is over all the same: the process that ran it is dead, and the proxy does not repeat a POST.
 */
import type { Random } from "../sim/random.ts";
import { type WriteKind, accountId } from "./accounts.ts";
import type { AccountModel } from "./model.ts";
import type { CrashRuntime } from "./runtime.ts";

export interface WriteCounts {
  acknowledged: number;
  reads: number;
  /** Writes that may have happened or not. */
  unknown: number;
  /** Writes that the router gave up on: nothing has run. */
  refused: number;
  /** Writes that never left: nobody listened. */
  unsent: number;
  /** Longest time that one answered write took. */
  slowestMs: number;
}

const ACCOUNTS_PER_WRITER = 25;
/** Calls that a writer makes by one layout: long enough to be stale after most cutovers. */
const CALLS_PER_REFRESH = 60;
/** Shares of the calls, as cumulated parts of 1. */
const CALLS: readonly (readonly [number, WriteKind | "read"])[] = [
  [0.35, "increment"],
  [0.6, "put"],
  [0.72, "update"],
  [0.8, "replace"],
  [0.92, "remove"],
  [1, "read"],
];

export class Writers {
  readonly counts: WriteCounts = { acknowledged: 0, reads: 0, unknown: 0, refused: 0, unsent: 0, slowestMs: 0 };
  /** Answers that no possible state explains. */
  readonly problems: string[] = [];
  readonly #runtime: CrashRuntime;
  readonly #model: AccountModel;
  readonly #random: Random;
  readonly #count: number;
  #serial = 0;
  #isPaused = false;
  #isStopped = false;
  #running: readonly Promise<void>[] = [];

  constructor(runtime: CrashRuntime, model: AccountModel, random: Random, count: number) {
    this.#runtime = runtime;
    this.#model = model;
    this.#random = random;
    this.#count = count;
  }

  /** Lets the writers write until `pause` or `stop`. */
  resume(): void {
    this.#isPaused = false;
    this.#running = Array.from({ length: this.#count }, (_, writer) => this.#write(writer));
    // Handled where it is awaited; until then it must not be taken for unhandled.
    for (const writer of this.#running) writer.catch(() => undefined);
  }

  /** Resolves once no call is on its way. @throws what a writer threw. */
  async pause(): Promise<void> {
    this.#isPaused = true;
    await Promise.all(this.#running);
  }

  /** Lets no more calls begin. */
  stop(): void {
    this.#isStopped = true;
  }

  async #write(writer: number): Promise<void> {
    const label = `writer ${writer}`;
    let known: unknown = null;
    for (let call = 0; !this.#isPaused && !this.#isStopped; call++) {
      if (call % CALLS_PER_REFRESH === 0) known = (await this.#askLayout()) ?? known;
      const id = accountId(`w${writer}`, this.#random.whole(label, 0, ACCOUNTS_PER_WRITER - 1));
      const draw = this.#random.next(label);
      const kind = CALLS.find(([upTo]) => draw < upTo)?.[1] ?? "read";
      const isFine = await this.#call(kind, id, ++this.#serial, known);
      // Not again and again while nothing runs: each try would be one more write that nobody knows of.
      if (!isFine && !this.#isStopped) await this.#runtime.waitUntilUp();
    }
  }

  async #askLayout(): Promise<unknown> {
    const answer = await this.#runtime.post("/root", { kind: "layout" });
    return answer.kind === "answered" ? answer.value : undefined;
  }

  /** False when there was no answer. */
  async #call(kind: WriteKind | "read", id: string, serial: number, known: unknown): Promise<boolean> {
    const startedAt = Date.now();
    const answer = await this.#runtime.post("/write", { kind, id, serial, known });
    if (answer.kind === "answered") {
      const state = String(answer.value);
      const problem = kind === "read" ? this.#model.read(id, state) : this.#model.acknowledge(id, kind, serial, state);
      if (problem !== null) this.problems.push(problem);
      this.counts[kind === "read" ? "reads" : "acknowledged"]++;
      this.counts.slowestMs = Math.max(this.counts.slowestMs, Date.now() - startedAt);
      return true;
    }
    if (kind === "read") return false;
    this.counts[answer.kind]++;
    if (answer.kind === "unknown") this.#model.lose(id, kind, serial);
    return false;
  }
}
