/**
 * Writes through `callAll`. Each call has a number, and every tally that it meets appends that
 * number to a list: how often a call has met a row is read off at the end. Two callers: one whose
 * calls run at most once, one that lets them run twice.
 */
import { sleep } from "../../src/cli/host.ts";
import { Crew } from "./crew.ts";
import type { CrashRuntime } from "./runtime.ts";
import type { FanOut, Outcome } from "./tallies.ts";

const PAUSE_MS = 40;

export class FanOuts {
  /** Every call so far, by its number. */
  readonly made = new Map<number, FanOut>();
  readonly crew: Crew;
  readonly #runtime: CrashRuntime;
  #serial = 0;

  constructor(runtime: CrashRuntime) {
    this.#runtime = runtime;
    this.crew = new Crew(2, (caller) => this.#call(caller === 1));
  }

  /** Calls by their outcome. */
  counts(mayRunTwice: boolean): Readonly<Record<Outcome, number>> {
    const counts = { acknowledged: 0, unknown: 0, refused: 0, unsent: 0 };
    for (const made of this.made.values())
      if (made.mayRunTwice === mayRunTwice) counts[made.outcome]++;
    return counts;
  }

  async #call(mayRunTwice: boolean): Promise<void> {
    const serial = ++this.#serial;
    const answer = await this.#runtime.post("/all", { serial, mayRunTwice });
    const isAnswered = answer.kind === "answered";
    const outcome = answer.kind === "answered" ? "acknowledged" : answer.kind;
    this.made.set(serial, {
      outcome,
      mayRunTwice,
      message: answer.kind === "answered" ? null : answer.message,
    });
    if (!isAnswered && !this.crew.isStopped) await this.#runtime.waitUntilUp();
    await sleep(PAUSE_MS);
  }
}
