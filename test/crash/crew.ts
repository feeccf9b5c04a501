/** Callers that work side by side, one call at a time each, between a `resume` and a `pause`. */

export class Crew {
  readonly #count: number;
  readonly #work: (caller: number, turn: number) => Promise<void>;
  #isPaused = false;
  #isStopped = false;
  #running: readonly Promise<void>[] = [];

  /** `work` is one call of one caller; `turn` counts from 0 after each `resume`. */
  constructor(count: number, work: (caller: number, turn: number) => Promise<void>) {
    this.#count = count;
    this.#work = work;
  }

  /** True once no more calls may begin. */
  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** Lets them call until `pause` or `stop`. */
  resume(): void {
    this.#isPaused = false;
    this.#running = Array.from({ length: this.#count }, (_, caller) => this.#run(caller));
    // Handled where it is awaited; until then it must not be taken for unhandled.
    for (const caller of this.#running) caller.catch(() => undefined);
  }

  /** Resolves once no call is on its way. @throws what a caller threw. */
  async pause(): Promise<void> {
    this.#isPaused = true;
    await Promise.all(this.#running);
  }

  stop(): void {
    this.#isStopped = true;
  }

  async #run(caller: number): Promise<void> {
    for (let turn = 0; !this.#isPaused && !this.#isStopped; turn++) await this.#work(caller, turn);
  }
}
