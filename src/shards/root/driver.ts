/**
 * The root's driver: carries the running operation from step to step. One state machine for shard,
 * rebalance, rekey and unshard.
 *
 * | step     | done when                                                                 | then     |
 * |----------|---------------------------------------------------------------------------|----------|
 * | prepare  | every participant has taken its part                                      | copy     |
 * | copy     | every source has walked its tables, each page compared as it is stored    | verify   |
 * | verify   | rows that later ones could displace are compared again; waves are cut     | fence    |
 * | fence    | every member of the wave is fenced and drained, in one attempt            | cutover  |
 * | cutover  | the registry holds the next epoch: the point of no return                 | activate |
 * | activate | every participant acts by the new epoch; next wave, if any                | fence / cleanUp |
 * | cleanUp  | every participant has let go, or a chore will tell it later               | ended    |
 *
 * Each step is idempotent and leaves its result in the journal. After every `await` the journal is
 * read again: rule "commit-rechecks-journal". Nothing is concluded from silence: a member that does
 * not answer is asked again, and in the end the operation fails, before cutover.
 */
import type { OperationFault } from "../../model/operation.ts";
import { cleanUp } from "./clean-up.ts";
import { end, isOpen, isSuspect, recordFailure } from "./failures.ts";
import { liftFences } from "./attempt.ts";
import { activate, fenceAndCutOver, isLastWave } from "./fence.ts";
import type { OperationRecord } from "./operation-record.ts";
import { judgeDuplicates } from "./confirm-duplicates.ts";
import { keepPaused } from "./pause.ts";
import { type DriverContext, Superseded, save } from "./progress.ts";
import { prepare, walk } from "./walk-sources.ts";

/** The budget of a drive may be overrun by this much while waves follow each other. */
const OVERRUN_MS_MAX = 300_000;

/**
 * Works until the operation has ended, `budgetMs` is used, or a backoff is due. What callers wait
 * for is not left lying: between a cutover and its activation only a backoff ends the work, and
 * waves are carried on for a while.
 */
export async function drive(context: DriverContext, budgetMs: number): Promise<void> {
  const { runtime, journal } = context;
  const startedAt = runtime.now();
  for (;;) {
    const record = journal.running();
    if (!record || record.notBefore > runtime.now()) return;
    const overrunMs =
      record.step === "activate" ? Infinity : record.step === "fence" ? OVERRUN_MS_MAX : 0;
    if (runtime.now() - startedAt >= budgetMs + overrunMs) return;
    try {
      await advance(context, record);
    } catch (error) {
      if (!(error instanceof Superseded)) recordFailure(context, record, error);
    }
  }
}

/**
 * Asks for the end of an operation that has not cut over, or, for a shift, that has waves left.
 * Durable before it returns.
 */
export function requestCancel(
  context: DriverContext,
  record: OperationRecord,
  fault: OperationFault,
): OperationRecord | "tooLate" {
  if (isOpen(record)) return end(context, record, { fault });
  if (record.step !== "activate" || isLastWave(record)) return "tooLate";
  // The wave in work goes to its end; then the operation stops in a valid layout.
  return save(context, record, { fault, paused: null });
}

async function advance(context: DriverContext, record: OperationRecord): Promise<void> {
  if (isOpen(record) && record.liftsFences) {
    await liftFences(context, record);
    return;
  }
  if (isOpen(record) && record.paused) return keepPaused(context, record);
  if (isOpen(record) && isSuspect(record)) return judgeDuplicates(context, record);
  switch (record.step) {
    case "prepare":
      return prepare(context, record);
    case "copy":
    case "verify":
      return walk(context, record, record.step);
    case "fence":
      return fenceAndCutOver(context, record);
    case "cutover": // passed within the fence's last turn
    case "activate":
      return activate(context, record);
    case "cleanUp":
      return cleanUp(context, record);
  }
}
