/**
 * Callers that call again and again, each waiting for its answer, and what became of their calls.
 */

/** A test that failed before it stopped its callers must not keep them for ever. */
const CALLS_MAX = 50_000;
/** Without a pause the local runtime gets to no timer and no alarm. */
const PAUSE_MS = 2;

export interface Called {
  /** The index of the caller. */
  readonly caller: number;
  readonly startedAt: number;
  readonly endedAt: number;
}

export interface Callers {
  /** The calls that have ended so far. */
  readonly calls: readonly Called[];
  /** Waits until so many have ended. @throws what the first failed call threw. */
  after(count: number): Promise<void>;
  /** Ends them and waits for their last answers. @throws what the first failed call threw. */
  stop(): Promise<readonly Called[]>;
}

export function startCallers(
  count: number,
  call: (caller: number, times: number) => Promise<unknown>,
): Callers {
  const calls: Called[] = [];
  const state = { isStopped: false };
  const go = async (caller: number): Promise<void> => {
    for (let times = 0; !state.isStopped && times < CALLS_MAX; times++) {
      const startedAt = Date.now();
      await call(caller, times);
      calls.push({ caller, startedAt, endedAt: Date.now() });
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  };
  const going = Promise.all(Array.from({ length: count }, (_, caller) => go(caller)));
  // A failure is told by `stop`, not before.
  going.catch(() => undefined);
  return {
    calls,
    after: async (wanted) => {
      const reached = async (): Promise<void> => {
        while (calls.length < wanted && !state.isStopped)
          await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      };
      await Promise.race([reached(), going]);
    },
    stop: async () => {
      state.isStopped = true;
      await going;
      return calls;
    },
  };
}
