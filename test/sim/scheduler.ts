/**
 * The scheduler: a virtual clock and a queue of steps. Everything asynchronous in a simulation is a
 * step here, and between two steps all microtasks run to their end: a run is a function of its
 * seed.
 */

interface Event {
  readonly at: number;
  readonly order: number;
  /** Null once it is called off. Gives false when it has left no microtasks behind. */
  run: (() => boolean) | null;
}

export type RunEnd = "done" | "empty" | "deadline" | "steps";

export class Scheduler {
  /** Milliseconds since the Unix epoch, virtual. */
  now = 1_000_000_000;
  /** Steps taken: a clock finer than milliseconds, for histories. */
  steps = 0;
  #order = 0;
  /** A binary heap by time, then by order of scheduling. */
  readonly #heap: Event[] = [];

  /** Schedules a step. The function that is given back calls it off. */
  at(delayMs: number, run: () => void): () => void {
    return this.#schedule(delayMs, () => {
      run();
      return true;
    });
  }

  /**
   * Looks at once, and then again every `pollMs`, until `isNow` or `waitMsMax` have passed. Says
   * whether it was so. Each look is a step, and most find nothing: those cost no turn of Node's
   * event loop. `isNow` only reads.
   */
  until(isNow: () => boolean, pollMs: number, waitMsMax: number): Promise<boolean> {
    return new Promise((resolve, reject) => {
      let waitedMs = 0;
      const look = (): boolean => {
        try {
          const isOver = waitedMs >= waitMsMax;
          if (isOver || isNow()) {
            resolve(!isOver);
            return true;
          }
        } catch (error) {
          reject(error);
          return true;
        }
        waitedMs += pollMs;
        this.#schedule(pollMs, look);
        return false;
      };
      look();
    });
  }

  #schedule(delayMs: number, run: () => boolean): () => void {
    const event: Event = { at: this.now + Math.max(0, delayMs), order: this.#order++, run };
    const heap = this.#heap;
    let index = heap.push(event) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!isBefore(event, heap[parent])) break;
      heap[index] = heap[parent] ?? event;
      index = parent;
    }
    heap[index] = event;
    return () => {
      event.run = null;
    };
  }

  /** Takes steps until `isDone`, the queue is empty, or a bound is reached. */
  async run(isDone: () => boolean, deadlineMs: number, stepsMax: number): Promise<RunEnd> {
    for (let taken = 0; ; taken++) {
      if (isDone()) return "done";
      while (this.#heap[0]?.run === null) this.#dropFirst();
      const next = this.#heap[0];
      if (!next?.run) return "empty";
      if (next.at > deadlineMs) return "deadline";
      if (taken >= stepsMax) return "steps";
      this.#dropFirst();
      this.now = next.at;
      this.steps++;
      if (next.run()) await microtasks();
    }
  }

  /** Forgets everything that was to come. */
  clear(): void {
    this.#heap.length = 0;
  }

  #dropFirst(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (!last || heap.length === 0) return;
    let index = 0;
    for (;;) {
      const left = 2 * index + 1;
      const right = left + 1;
      let child = left;
      if (right < heap.length && isBefore(heap[right] ?? last, heap[left])) child = right;
      const below = heap[child];
      if (!below || !isBefore(below, last)) break;
      heap[index] = below;
      index = child;
    }
    heap[index] = last;
  }
}

function isBefore(left: Event, right: Event | undefined): boolean {
  return (
    right === undefined || left.at < right.at || (left.at === right.at && left.order < right.order)
  );
}

/** Node runs an immediate only when no microtask is left. */
function microtasks(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
