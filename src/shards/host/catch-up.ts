/**
 * Catches up with an epoch that callers know and this object does not: one question at a time,
 * however many calls are held.
 *
 * Each call that comes too early waits for the next question together with the others. While the
 * answer brings nothing the questions come less and less often, and the arrival of an epoch ends
 * every wait.
 */
import { within } from "../protocol/within.ts";
import type { Runtime } from "../storage/storage.ts";

/** Longest wait for one answer: calls that are held must not hang on one message that was lost. */
const ASK_MS_MAX = 5_000;
const PAUSE_MS_MIN = 25;
const PAUSE_MS_MAX = 1_000;

export interface CatchUpOptions {
  readonly runtime: Runtime;
  /** The epoch that this object acts by. */
  readonly epoch: () => number;
  /** Asks the root. Rejects when it is silent. */
  readonly ask: (epoch: number) => Promise<void>;
}

export class CatchUp {
  readonly #options: CatchUpOptions;
  /** The question under way, with the pause before it. */
  #round: Promise<void> | undefined;
  /** Ends when another epoch is there. */
  #arrival = newArrival();
  #seen = -1;
  /** When the root was last asked, at which epoch of this object, and how often at that epoch. */
  #asked = { at: -Infinity, epoch: -1, times: 0 };

  constructor(options: CatchUpOptions) {
    this.#options = options;
  }

  /**
   * Resolves when the epoch may have come: after the next question, or as soon as another is there.
   * Rejects when the root is silent.
   */
  async reach(epoch: number): Promise<void> {
    if (this.#options.epoch() >= epoch) return;
    this.#seen = this.#options.epoch();
    const { came } = this.#arrival;
    this.#round ??= this.#ask(epoch).finally(() => {
      this.#round = undefined;
    });
    await Promise.race([this.#round, came]);
  }

  /** Call after whatever may have changed the epoch. */
  changed(): void {
    if (this.#seen === -1 || this.#options.epoch() === this.#seen) return;
    this.#seen = -1;
    const { end } = this.#arrival;
    this.#arrival = newArrival();
    end();
  }

  async #ask(epoch: number): Promise<void> {
    const { runtime } = this.#options;
    const waitMs = this.#asked.at + this.#pauseMs() - runtime.now();
    if (waitMs > 0) {
      await runtime.sleep(waitMs, this.#arrival.signal);
      if (this.#options.epoch() >= epoch) return;
    }
    const now = this.#options.epoch();
    this.#asked = {
      at: runtime.now(),
      epoch: now,
      times: now === this.#asked.epoch ? this.#asked.times + 1 : 1,
    };
    await within(runtime, this.#options.ask(epoch), ASK_MS_MAX, "the root");
  }

  /** A question at another epoch than the last is progress: it need not wait. */
  #pauseMs(): number {
    const { epoch, times } = this.#asked;
    return epoch === this.#options.epoch()
      ? Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** Math.min(times - 1, 20))
      : 0;
  }
}

function newArrival(): {
  readonly came: Promise<void>;
  readonly signal: AbortSignal;
  readonly end: () => void;
} {
  const controller = new AbortController();
  const { promise, resolve } = Promise.withResolvers<void>();
  const end = (): void => {
    controller.abort("arrived");
    resolve();
  };
  return { came: promise, signal: controller.signal, end };
}
