/**
 * Writers: each owns accounts of its own and makes one call at a time, so that every answer can be
 * checked at once. A call whose answer is lost is over all the same: the process that ran it is
 * dead, and the proxy does not repeat a POST.
 */
import type { Random } from "../sim/random.ts";
import { type WriteKind, accountId } from "./accounts.ts";
import { Crew } from "./crew.ts";
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
  readonly counts: WriteCounts = {
    acknowledged: 0,
    reads: 0,
    unknown: 0,
    refused: 0,
    unsent: 0,
    slowestMs: 0,
  };
  /** Answers that no possible state explains. */
  readonly problems: string[] = [];
  readonly #runtime: CrashRuntime;
  readonly #model: AccountModel;
  readonly #random: Random;
  /** Each caller's own idea of the layout. */
  readonly #known = new Map<number, unknown>();
  readonly crew: Crew;
  #serial = 0;

  constructor(runtime: CrashRuntime, model: AccountModel, random: Random, count: number) {
    this.#runtime = runtime;
    this.#model = model;
    this.#random = random;
    this.crew = new Crew(count, (writer, turn) => this.#write(writer, turn));
  }

  async #write(writer: number, turn: number): Promise<void> {
    const label = `writer ${writer}`;
    if (turn % CALLS_PER_REFRESH === 0)
      this.#known.set(writer, (await this.#askLayout()) ?? this.#known.get(writer) ?? null);
    const id = accountId(`w${writer}`, this.#random.whole(label, 0, ACCOUNTS_PER_WRITER - 1));
    const draw = this.#random.next(label);
    const kind = CALLS.find(([upTo]) => draw < upTo)?.[1] ?? "read";
    const isFine = await this.#call(kind, id, ++this.#serial, this.#known.get(writer));
    // Not again and again while nothing runs: each try would be one more write that nobody knows
    // of.
    if (!isFine && !this.crew.isStopped) await this.#runtime.waitUntilUp();
  }

  async #askLayout(): Promise<unknown> {
    const answer = await this.#runtime.post("/root", { kind: "layout" });
    return answer.kind === "answered" ? answer.value : undefined;
  }

  /** False when there was no answer. */
  async #call(
    kind: WriteKind | "read",
    id: string,
    serial: number,
    known: unknown,
  ): Promise<boolean> {
    const startedAt = Date.now();
    const answer = await this.#runtime.post("/write", { kind, id, serial, known });
    if (answer.kind === "answered") {
      const state = String(answer.value);
      const problem =
        kind === "read"
          ? this.#model.read(id, state)
          : this.#model.acknowledge(id, kind, serial, state);
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
