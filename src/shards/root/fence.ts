/**
 * Fence, cutover and activation of the wave in work.
 *
 * Rule "fence-attempts": a fence belongs to one attempt, and only answers to the attempt that the journal holds count. An attempt ends in
 * the journal before any member hears of it; a cutover is followed by its activation, however long that takes.
 */
import type { Ask } from "../protocol/messages.ts";
import { within } from "../protocol/within.ts";
import { messageOf } from "../storage/faults.ts";
import { isConclusive } from "./failures.ts";
import { drainAll } from "./drain.ts";
import { each } from "./each.ts";
import type { Wave } from "./journal.ts";
import { type OperationRecord, participants } from "./operation-record.ts";
import { type DriverContext, proceed, requireCurrent, save } from "./progress.ts";
import { promote } from "./promote.ts";
import { incomingOf, joinWaves, layoutAfter, nextSpan, outgoingOf, sourcesOf, targetsOf } from "./waves.ts";

/** Most time that a fence may stand before it is lifted and tried again later. */
const FENCE_MS_MAX = 1_000;
/** The same of later attempts: each may take twice as long as the one before, or a slow network would keep an operation from its end. */
const FENCE_MS_CEILING = 16_000;

/**
 * Fences the members of the wave, drains the sources, has the targets promote, and commits the next epoch in the turn in which the last
 * answer counts.
 * Rule "fence-attempts": only answers to the attempt that the journal holds count.
 */
export async function fenceAndCutOver(context: DriverContext, record: OperationRecord): Promise<void> {
  if (record.fault !== null) {
    proceed(context, record, { step: "cleanUp", attempt: record.attempt + 1 });
    return;
  }
  const wave = waveInWork(context, record);
  const { id: operation, attempt } = record;
  await drainAll(context, record);
  requireCurrent(context, record);
  // In a shift the targets serve too: nobody may see, nor get in the way of, what they promote before the cutover.
  const targets = targetsOf(wave);
  const members = record.mode === "swap" ? record.from.members : [...new Set([...sourcesOf(wave), ...targets])].toSorted();
  const fencedAt = context.runtime.now();
  const fenced = behindFence(context, record, fencedAt);
  try {
    await each(members, (member) => fenced.ask(member, { kind: "fence", operation, attempt, budgetMs: fenced.leftMs() }));
    await promote(fenced, record, wave);
    cutOver(context, record, wave, fencedAt);
  } catch (error) {
    await giveUp(context, record, members);
    if (isConclusive(error)) throw error;
    throw new Error(`The fence could not be closed (attempt ${attempt}): ${messageOf(error)}`, { cause: error });
  }
}

export interface FencedContext extends DriverContext {
  /** Milliseconds that the fence may still stand. @throws Error when the time is up. */
  leftMs(): number;
}

/** The context of what is done behind a fence: nobody is waited for longer than the fence may stand. */
export function behindFence(
  context: DriverContext,
  { retries, duplicateTries = 0 }: OperationRecord,
  fencedAt: number,
): FencedContext {
  // What was found twice says nothing of how fast members answer.
  const failures = Math.max(0, retries - duplicateTries);
  const mostMs = Math.min(FENCE_MS_CEILING, FENCE_MS_MAX * 2 ** Math.min(failures, 20));
  const leftMs = (): number => {
    const left = fencedAt + mostMs - context.runtime.now();
    if (left > 0) return left;
    throw new Error(`the fence would stand for more than ${mostMs} ms`);
  };
  const ask: Ask = async (member, request) => within(context.runtime, context.ask(member, request), leftMs(), member);
  return { ...context, ask, leftMs };
}

/** Rule "durable-abort": the attempt is over in the journal before any member hears of it. The failures of the step count on. */
export async function giveUp(
  context: DriverContext,
  record: OperationRecord,
  members: readonly string[],
  failures: Pick<OperationRecord, "retries" | "duplicateTries"> = record,
): Promise<void> {
  const { retries, duplicateTries = 0 } = failures;
  const next = proceed(context, record, { attempt: record.attempt + 1, liftsFences: true, retries, duplicateTries });
  await liftFences(context, next, members);
}

/**
 * Lifts the fences of attempts that are over. Members that do not hear of it ask the root themselves, the root itself is fenced until this
 * is done; one that hears of the fence only later refuses it.
 */
export async function liftFences(
  context: DriverContext,
  record: OperationRecord,
  members: readonly string[] = participants(record),
): Promise<void> {
  const { id: operation, attempt } = record;
  await each(members, (member) => context.ask(member, { kind: "unfence", operation, attempt: attempt - 1 }));
  save(context, requireCurrent(context, record), { liftsFences: false });
}

/** The point of no return: one transaction on the root. */
export function cutOver(context: DriverContext, record: OperationRecord, wave: Wave, fencedAt: number): void {
  const { sql, journal, runtime } = context;
  sql.transaction(() => {
    requireCurrent(context, record);
    const before = journal.registry();
    if (before.epoch !== record.epoch)
      throw new Error(`The registry is at epoch ${before.epoch}, operation ${record.id} expected ${record.epoch}`);
    const layout = isLastWave(record) ? record.to : layoutAfter(before.layout, wave);
    const epoch = record.epoch + 1;
    journal.commitEpoch(epoch, layout, record.id, runtime.now());
    context.committed();
    proceed(context, record, { step: "activate", epoch, fencedAt, isPromoted: record.mode === "shift" });
  });
}

/**
 * In a shift targets first: their rows are live before a source deletes its own. In a swap a source deletes nothing, and a caller that it
 * sends on waits at a target that has not heard yet: all are told at once. After cutover there is only forward.
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
      const activation = { epoch, layout, incoming, outgoing, ...(record.isPromoted ? { attempt: record.attempt } : {}) };
      return context.ask(member, { kind: "activate", operation: record.id, activation });
    });
  }
  const wavesDone = Math.min(record.wavesDone + record.waveSpan, record.waveCount);
  const pauseMs = context.runtime.now() - record.fencedAt;
  proceed(context, record, {
    step: isLastWave(record) ? "cleanUp" : "fence",
    wavesDone,
    waveSpan: nextSpan(record.waveSpan, pauseMs),
    writePauseMs: { last: pauseMs, max: Math.max(pauseMs, record.writePauseMs?.max ?? 0) },
    attempt: record.attempt + 1,
  });
}

/** True when the wave in work is the last: behind its cutover there is nothing to stop. Of a swap it always is. */
export function isLastWave({ wavesDone, waveSpan, waveCount }: OperationRecord): boolean {
  return wavesDone + waveSpan >= waveCount;
}

/** The waves that are cut over together next. */
export function waveInWork({ journal }: DriverContext, { id, wavesDone, waveSpan }: OperationRecord): Wave {
  const waves = journal.waves(id, wavesDone, waveSpan);
  if (waves.length === 0) throw new Error(`Wave ${wavesDone} of operation ${id} is not in the journal`);
  return joinWaves(waves);
}
