/**
 * Pauses: a running operation stands still on request, in a valid layout and with no fence up,
 * until it is resumed or cancelled.
 *
 * | paused in                | what is still done                                              | where it stands               |
 * |--------------------------|-----------------------------------------------------------------|-------------------------------|
 * | prepare                  | every participant takes its part: a log nobody drains would grow | before the copy               |
 * | copy, verify             | a slice in work ends, and does not count                        | between two slices            |
 * | fence                    | the attempt is given up, its fences are lifted                  | before the wave               |
 * | activate, waves are left | the wave is activated                                           | before the next wave          |
 * | after the last cutover   |                                                                 | nowhere: `tooLate`            |
 *
 * Rule "durable-abort" holds here too: the attempt is over in the journal before any member hears
 * of it, so that after the answer nothing is cut over. Once all fences are lifted, what is written
 * meanwhile is drained now and then: the logs stay short, and so does the way back.
 */
import type { OperationPause } from "../../model/operation.ts";
import { drainAll } from "./drain-sources.ts";
import { isOpen } from "./failures.ts";
import { isLastWave } from "./fence.ts";
import type { OperationRecord } from "./operation-record.ts";
import { type DriverContext, requireCurrent, save } from "./progress.ts";
import { prepare } from "./walk-sources.ts";

/** How often the sources of a paused operation are drained. */
const PAUSED_DRAIN_MS = 30_000;

/**
 * Holds the operation up. Durable before the answer leaves; asked again, the reason is replaced.
 */
export function requestPause(
  context: DriverContext,
  record: OperationRecord,
  why: Omit<OperationPause, "since">,
): OperationRecord | "tooLate" {
  const isEnding = record.state !== "running" || record.step === "cleanUp" || record.fault !== null;
  if (isEnding || (record.step === "activate" && isLastWave(record))) return "tooLate";
  const paused = { ...why, since: record.paused?.since ?? context.runtime.now() };
  if (record.paused) return save(context, record, { paused });
  // Before the cutover whatever is in work is given up, and with it a fence that may be up.
  const isInWork = isOpen(record) && record.step !== "prepare";
  return save(context, record, {
    paused,
    notBefore: 0,
    ...(isInWork ? { attempt: record.attempt + 1, liftsFences: true } : {}),
  });
}

/** Lets the operation go on, with all its tries. */
export function requestResume(context: DriverContext, record: OperationRecord): OperationRecord {
  if (!record.paused) return record;
  return save(context, record, {
    paused: null,
    retries: 0,
    duplicateTries: 0,
    busyTries: 0,
    notBefore: 0,
  });
}

/** One turn of a paused operation. */
export async function keepPaused(context: DriverContext, record: OperationRecord): Promise<void> {
  if (record.step === "prepare") return prepare(context, record);
  await drainAll(context, record);
  const current = requireCurrent(context, record);
  // Resumed meanwhile: no time is lost.
  if (!current.paused) return;
  save(context, current, {
    retries: 0,
    lastError: null,
    notBefore: context.runtime.now() + PAUSED_DRAIN_MS,
  });
}
