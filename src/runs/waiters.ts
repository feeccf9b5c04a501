/**
 * Requests that wait for something to happen here, by what they wait for. Only a convenience: who
 * waits asks again when its time is over.
 */
export class Waiters {
  readonly #waiting = new Map<string, Set<() => void>>();

  /** Resolves at the next `wake` of that key, or when the time is over. */
  next(key: string, waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(key) ?? new Set();
      this.#waiting.set(key, waiting);
      const done = (): void => {
        clearTimeout(timer);
        waiting.delete(done);
        if (waiting.size === 0) this.#waiting.delete(key);
        resolve();
      };
      const timer = setTimeout(done, waitMs);
      waiting.add(done);
    });
  }

  wake(key: string): void {
    for (const done of this.#waiting.get(key) ?? []) done();
  }
}
