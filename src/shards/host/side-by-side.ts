/**
 * Two pieces of work in one alarm, side by side: while one of them takes its time, the other does
 * again what has become due.
 */
import type { Runtime } from "../storage/storage.ts";

/**
 * Runs both, and the one that has ended again after each pause for as long as the other runs.
 * Resolves when neither runs.
 *
 * @throws what the first of them threw that failed, when both have ended.
 */
export async function sideBySide(
  runtime: Runtime,
  works: readonly (() => Promise<void>)[],
  pauseMs: number,
): Promise<void> {
  const running = new Set(works);
  let idle = new AbortController();
  const keep = async (work: () => Promise<void>): Promise<void> => {
    try {
      for (;;) {
        running.add(work);
        await work();
        running.delete(work);
        wakeOther();
        if (running.size > 0) await runtime.sleep(pauseMs, idle.signal);
        if (running.size === 0) return;
      }
    } finally {
      running.delete(work);
      wakeOther();
    }
  };
  const wakeOther = (): void => {
    idle.abort("idle");
    idle = new AbortController();
  };
  const ended = await Promise.allSettled(works.map(async (work) => keep(work)));
  const failed = ended.find((each) => each.status === "rejected");
  if (failed) throw failed.reason;
}
