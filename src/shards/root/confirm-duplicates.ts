/**
 * Judging duplicates: whether ids that a step has found twice, again and again, really stand twice.
 *
 * A row that changes its shard key is seen on its new source before its old one has said that it is
 * gone. Under writes and faults that may happen any number of times in a row, so a number of tries
 * proves nothing. A fence does: behind it nothing changes. It is an attempt like any other, and
 * bounded in time like any other.
 *
 * | round | what                                                       | a row that has a rival                                   |
 * |-------|------------------------------------------------------------|----------------------------------------------------------|
 * | 1     | every source sends its log; what is gone, goes             | says nothing: the rival's source may come only now       |
 * | 2     | what is left of the logs, and the page that was found twice | is a fault: both rows stand on their sources at this time |
 *
 * Rule "judged-under-the-fence": no operation ends for an id that stands twice but by this.
 * Whatever keeps the fence from closing proves nothing, and counts as a try of the step.
 */
import { EngineError, messageOf } from "../storage/faults.ts";
import { each } from "./each.ts";
import { DUPLICATE_TRIES_MAX, end, isConclusive, isDuplicate } from "./failures.ts";
import { FenceAttempt } from "./attempt.ts";
import { cutOver, waveInWork } from "./fence.ts";
import { type OperationRecord, participants } from "./operation-record.ts";
import { type DriverContext, requireCurrent } from "./progress.ts";
import { checkTargets, promote } from "./promote-wave.ts";
import { type Fenced, raiseFence } from "./raise-fence.ts";
import { NO_WAVE } from "./waves.ts";

/**
 * Ends the operation if ids stand twice; else goes on, in step fence by cutting over: the fence is
 * closed already.
 */
export async function judgeDuplicates(
  context: DriverContext,
  record: OperationRecord,
): Promise<void> {
  // Rows change places between any two sources; in a shift the targets have rows of their own as
  // well.
  const members = record.mode === "swap" ? record.from.members : participants(record);
  const wave = record.step === "fence" ? waveInWork(context, record) : NO_WAVE;
  const attempt = new FenceAttempt(context, record, members);
  try {
    const fenced = await closeFence(attempt);
    if (record.step === "fence") {
      await promote(fenced, attempt.record, wave);
      cutOver(context, attempt.record, wave, attempt.waitingSince());
      return;
    }
    if (settlesTargets(record)) await checkTargets(fenced, attempt.record);
  } catch (error) {
    if (isDuplicate(error)) {
      const fault = { kind: "duplicateId", message: messageOf(error) } as const;
      end(context, requireCurrent(context, attempt.record), { fault, lastError: fault.message });
      return;
    }
    // The step itself comes next: what kept the fence from closing may be gone, and with it what
    // was found twice.
    await attempt.giveUp({ ...record, duplicateTries: DUPLICATE_TRIES_MAX });
    if (isConclusive(error)) throw error;
    const found = record.duplicateFound ?? "Ids were found twice";
    throw new EngineError(
      `${found}. Whether they stand twice could not be judged behind a fence yet: ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
  await attempt.giveUp({ retries: 0, duplicateTries: 0 });
}

/** True when it is the targets' check before the fence that finds ids twice. */
function settlesTargets({ step, mode, sources }: OperationRecord): boolean {
  return (
    step === "verify" &&
    mode === "swap" &&
    Object.values(sources).every(({ isVerified }) => isVerified)
  );
}

/** Both rounds. @throws EngineFault `duplicateId` when a row has a rival in the second. */
async function closeFence(attempt: FenceAttempt): Promise<Fenced> {
  const fenced = await raiseFence(attempt, { pass: ignoreDuplicate });
  const { id: operation, step, attempt: number, sources } = attempt.record;
  // A source that answers in time has not run out of its own: it has gone through its whole log.
  await each(attempt.members, (member) =>
    fenced.ask(member, { kind: "fence", operation, attempt: number, budgetMs: fenced.leftMs() }),
  );
  if (step !== "copy" && step !== "verify") return fenced;
  const isDone = ({ isCopied, isVerified }: OperationRecord["sources"][string]): boolean =>
    step === "copy" ? isCopied : isVerified;
  const open = Object.entries(sources).filter(([, source]) => !isDone(source));
  // One page each: the one that was found twice is the next of its source. Their counts come with
  // the next slice.
  await each(open, ([source]) =>
    fenced.ask(source, { kind: step, operation, budgetMs: 0, round: attempt.record.round ?? 0 }),
  );
  return fenced;
}

function ignoreDuplicate(error: unknown): void {
  if (!isDuplicate(error)) throw error;
}
