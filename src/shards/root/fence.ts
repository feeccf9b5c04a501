/**
 * Fence, cutover and activation of the wave in work.
 *
 * Rule "fence-attempts": a fence belongs to one attempt, and only answers to the attempt that the
 * journal holds count. An attempt ends in the journal before any member hears of it; a cutover is
 * followed by its activation, however long that takes.
 */
import { EngineError, messageOf } from "../storage/faults.ts";
import { FenceAttempt, addPause } from "./attempt.ts";
import { isConclusive } from "./failures.ts";
import { keepReserve, spendReserve } from "../storage/reserve.ts";
import { drainAll } from "./drain-sources.ts";
import { each } from "./each.ts";
import type { Wave } from "./journal.ts";
import { type OperationRecord, participants } from "./operation-record.ts";
import { type DriverContext, proceed, requireCurrent, save } from "./progress.ts";
import { promote } from "./promote-wave.ts";
import { StillBusy, raiseFence } from "./raise-fence.ts";
import {
  hasManyPairs,
  incomingOf,
  joinWaves,
  layoutAfter,
  nextSpan,
  outgoingOf,
  packByPairs,
  sourcesOf,
  targetsOf,
} from "./waves.ts";

/**
 * Fences the members of the wave, drains the sources, has the targets promote, and commits the next
 * epoch in the turn in which the last answer counts. Rule "fence-attempts": only answers to the
 * attempt that the journal holds count.
 */
export async function fenceAndCutOver(
  context: DriverContext,
  record: OperationRecord,
): Promise<void> {
  if (record.fault !== null) {
    proceed(context, record, { step: "cleanUp", attempt: record.attempt + 1 });
    return;
  }
  const wave = waveInWork(context, record);
  const isWide = record.mode === "shift" && hasManyPairs(wave);
  // In a shift the targets serve too: nobody may see, nor get in the way of, what they promote
  // before the cutover.
  const targets = targetsOf(wave);
  const members =
    record.mode === "swap"
      ? record.from.members
      : [...new Set([...sourcesOf(wave), ...targets])].toSorted();
  const attempt = new FenceAttempt(context, record, members);
  try {
    // The writes of the commit and of the operation's end must have room, also on a root that is no
    // member.
    keepReserve(context.sql, JSON.stringify([record.from, record.to]).length);
    // Inside: a root that begins anew may find targets that have promoted for this very attempt,
    // and take no rows until it is given up.
    await drainAll(context, record);
    requireCurrent(context, record);
    const fenced = await raiseFence(attempt, { isWide });
    await promote(fenced, attempt.record, wave);
    cutOver(context, attempt.record, wave, attempt.waitingSince());
  } catch (error) {
    const { attempt: number } = attempt.record;
    await attempt.giveUp();
    if (error instanceof StillBusy && isWide) return narrowWaves(context, attempt.record, error);
    if (isConclusive(error)) throw error;
    throw new EngineError(
      `The fence could not be closed (attempt ${number}): ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
}

/**
 * Cuts the waves that are left into some of one pair of members each: fewer calls keep a fence of
 * two from closing. No fence stands.
 */
function narrowWaves(context: DriverContext, record: OperationRecord, busy: StillBusy): void {
  const { journal, runtime, sql } = context;
  sql.transaction(() => {
    const current = requireCurrent(context, record);
    const waves = packByPairs(journal.waves(record.id, record.wavesDone, -1));
    journal.replaceWaves(record.id, record.wavesDone, waves);
    const change = { isNarrow: true, waveSpan: 1, waveCount: record.wavesDone + waves.length };
    save(context, current, {
      ...change,
      notBefore: runtime.now() + busy.pauseMs,
      lastError: busy.message,
    });
  });
}

/** The point of no return: one transaction on the root. */
export function cutOver(
  context: DriverContext,
  record: OperationRecord,
  wave: Wave,
  fencedAt: number,
): void {
  const { sql, journal, runtime } = context;
  sql.transaction(() => {
    requireCurrent(context, record);
    const before = journal.registry();
    if (before.epoch !== record.epoch)
      throw new EngineError(
        `The registry is at epoch ${before.epoch}, operation ${record.id} expected ${record.epoch}`,
      );
    spendReserve(sql);
    const layout = isLastWave(record) ? record.to : layoutAfter(before.layout, wave);
    const epoch = record.epoch + 1;
    journal.commitEpoch(epoch, layout, record.id, runtime.now());
    keepReserve(sql, 0);
    context.committed();
    proceed(context, record, { step: "activate", epoch, fencedAt, isPromoted: true });
  });
}

/**
 * In a shift targets first: their rows are live before a source deletes its own. In a swap a source
 * deletes nothing, and a caller that it sends on waits at a target that has not heard yet: all are
 * told at once. After cutover there is only forward.
 */
export async function activate(context: DriverContext, record: OperationRecord): Promise<void> {
  const { layout, epoch } = context.journal.registry();
  const wave = waveInWork(context, record);
  const everybody = participants(record);
  const targets = record.mode === "swap" ? everybody : targetsOf(wave);
  const others = everybody.filter((member) => !targets.includes(member));
  for (const members of [targets, others]) {
    await each(members, (member) => {
      const [incoming, outgoing] = [incomingOf(wave, member), outgoingOf(wave, member)];
      const activation = {
        epoch,
        layout,
        incoming,
        outgoing,
        ...(record.isPromoted ? { attempt: record.attempt } : {}),
      };
      return context.ask(member, { kind: "activate", operation: record.id, activation });
    });
  }
  const wavesDone = Math.min(record.wavesDone + record.waveSpan, record.waveCount);
  const pauseMs = context.runtime.now() - record.fencedAt;
  const { givenUpMs = 0 } = record;
  proceed(context, record, {
    step: isLastWave(record) ? "cleanUp" : "fence",
    wavesDone,
    waveSpan: record.isNarrow ? 1 : nextSpan(record.waveSpan, pauseMs),
    writePauseMs: addPause(record.writePauseMs, givenUpMs + pauseMs),
    givenUpMs: 0,
    attempt: record.attempt + 1,
  });
}

/**
 * True when the wave in work is the last: behind its cutover there is nothing to stop. Of a swap it
 * always is.
 */
export function isLastWave({ wavesDone, waveSpan, waveCount }: OperationRecord): boolean {
  return wavesDone + waveSpan >= waveCount;
}

/** The waves that are cut over together next. */
export function waveInWork(
  { journal }: DriverContext,
  { id, wavesDone, waveSpan }: OperationRecord,
): Wave {
  const waves = journal.waves(id, wavesDone, waveSpan);
  if (waves.length === 0)
    throw new EngineError(`Wave ${wavesDone} of operation ${id} is not in the journal`);
  return joinWaves(waves);
}
