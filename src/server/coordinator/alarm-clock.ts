/**
 * Keeps the coordinator's one alarm: always set to the earliest time at which work is due, and
 * updated after each change.
 *
 * Each part keeps its own due work, so that a lost alarm loses nothing: `resume` sets it from
 * what they say.
 */

/** Something that has work at times. */
export interface Sleeper {
  /** Milliseconds since the Unix epoch; null for never. */
  nextAt(now: number): number | null;
}

/** The calls about the alarm. */
export interface AlarmCalls {
  /** Sets an alarm for now when there is none and something is to be done. */
  resume(): Promise<void>;
}

export class AlarmClock implements AlarmCalls {
  readonly #storage: DurableObjectStorage;
  readonly #sleepers: readonly Sleeper[];
  readonly #hasWork: () => boolean;

  /** @param hasWork true when something is to be done of which no sleeper knows the time. */
  constructor(storage: DurableObjectStorage, sleepers: readonly Sleeper[], hasWork: () => boolean) {
    this.#storage = storage;
    this.#sleepers = sleepers;
    this.#hasWork = hasWork;
  }

  /** Sets the alarm in this turn: it becomes durable with what the turn writes. */
  arm(): void {
    const at = this.nextAt(Date.now());
    if (at !== null) void this.#storage.setAlarm(at);
  }

  /** For when the alarm itself could not be done: without it nothing would go on. */
  async armAfter(delayMs: number): Promise<void> {
    await this.#storage.setAlarm(Date.now() + delayMs);
  }

  async resume(): Promise<void> {
    const now = Date.now();
    const isIdle = !this.#hasWork() && this.nextAt(now) === null;
    if (!isIdle && (await this.#storage.getAlarm()) === null) await this.#storage.setAlarm(now);
  }

  nextAt(now: number): number | null {
    const times = this.#sleepers
      .map((sleeper) => sleeper.nextAt(now))
      .filter((time) => time !== null);
    return times.length === 0 ? null : Math.min(...times);
  }
}
