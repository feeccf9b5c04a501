/** Bounds the time to wait for an answer. */
import { EngineError } from "../storage/faults.ts";
import type { Runtime } from "../storage/storage.ts";

/**
 * The value of `work`, or a rejection when it takes longer than `timeoutMs`. The work itself is not
 * stopped: its answer is ignored.
 */
export async function within<Value>(
  runtime: Runtime,
  work: Promise<Value>,
  timeoutMs: number,
  who: string,
): Promise<Value> {
  const answered = new AbortController();
  const late = runtime.sleep(timeoutMs, answered.signal).then((): never => {
    throw new EngineError(`${who} did not answer within ${timeoutMs} ms`);
  });
  // When the work wins, the aborted sleep ends too: its rejection is nobody's business.
  late.catch(() => undefined);
  try {
    return await Promise.race([work, late]);
  } finally {
    // A reason of our own spares the runtime an exception for each answer.
    answered.abort("answered");
  }
}
