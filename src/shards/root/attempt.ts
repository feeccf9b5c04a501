/**
 * One attempt after another at the fence of a wave: its number, since when callers wait for it, how
 * long it may stand, and how it is given up.
 *
 * Rule "durable-abort": an attempt that is given up is over in the journal before any member hears
 * of it.
 */
import { EngineError } from "../storage/faults.ts";
import type { WritePause } from "../../model/operation.ts";
import type { Ask } from "../protocol/messages.ts";
import { within } from "../protocol/within.ts";
import { each } from "./each.ts";
import { type OperationRecord, participants } from "./operation-record.ts";
import { type DriverContext, proceed, requireCurrent, save } from "./progress.ts";

/** Most time that a fence may stand before it is lifted and tried again later. */
const FENCE_MS_MAX = 1_000;
/**
 * The same of later attempts: each may take twice as long as the one before, or a slow network
 * would keep an operation from its end.
 */
const FENCE_MS_CEILING = 16_000;

export interface FencedContext extends DriverContext {
  /** Milliseconds that the fence may still stand. @throws Error when the time is up. */
  leftMs(): number;
}

/** The attempt in work at the fence of these members. */
export class FenceAttempt {
  readonly context: DriverContext;
  readonly members: readonly string[];
  /** The operation as the attempt in work has it. */
  record: OperationRecord;
  #waitingSince: number | null = null;

  constructor(context: DriverContext, record: OperationRecord, members: readonly string[]) {
    this.context = context;
    this.members = members;
    this.record = record;
  }

  /**
   * When the first caller may have begun to wait for this attempt; `now`, if nobody has.
   * Milliseconds since the Unix epoch.
   */
  waitingSince(now = this.context.runtime.now()): number {
    return (this.#waitingSince ??= now);
  }

  /** How long callers may have waited for this attempt so far, in milliseconds. */
  waitedMs(): number {
    return this.#waitingSince === null ? 0 : this.context.runtime.now() - this.#waitingSince;
  }

  /**
   * The context of what is done behind the fence that goes up now: nobody is waited for longer than
   * it may stand.
   */
  behindFence(): FencedContext {
    this.waitingSince();
    const { context } = this;
    const { retries, duplicateTries = 0, busyTries = 0 } = this.record;
    const fencedAt = context.runtime.now();
    // Tries that found duplicates or running calls say nothing about how fast members answer.
    const failures = Math.max(0, retries - duplicateTries - busyTries);
    const mostMs = Math.min(FENCE_MS_CEILING, FENCE_MS_MAX * 2 ** Math.min(failures, 20));
    const leftMs = (): number => {
      const left = fencedAt + mostMs - context.runtime.now();
      if (left > 0) return left;
      throw new EngineError(`the fence would stand for more than ${mostMs} ms`);
    };
    const ask: Ask = async (member, request) =>
      within(context.runtime, context.ask(member, request), leftMs(), member);
    return { ...context, ask, leftMs };
  }

  /**
   * Ends the attempt, also one that a root has begun before it crashed; the next one is in work.
   * The failures of the step count on. What callers have waited is noted also where the operation
   * has moved on meanwhile. @throws Superseded then.
   */
  async giveUp(
    failures: Pick<OperationRecord, "retries" | "duplicateTries" | "busyTries"> = this.record,
  ): Promise<void> {
    const { retries, duplicateTries = 0, busyTries = 0 } = failures;
    this.#noteWait();
    const over = { attempt: this.record.attempt + 1, liftsFences: true };
    this.record = proceed(this.context, this.record, {
      ...over,
      retries,
      duplicateTries,
      busyTries,
    });
    this.record = await liftFences(this.context, this.record, this.members);
  }

  #noteWait(): void {
    if (this.#waitingSince === null) return;
    const { journal } = this.context;
    const waitedMs = this.waitedMs();
    this.#waitingSince = null;
    const current = journal.running();
    if (current?.id !== this.record.id || waitedMs === 0) return;
    const givenUpMs = (current.givenUpMs ?? 0) + waitedMs;
    save(this.context, current, {
      givenUpMs,
      writePauseMs: addPause(current.writePauseMs, givenUpMs),
    });
  }
}

/** The pauses of an operation with one more, or with the one in work as long as it is now. */
export function addPause(before: WritePause | null, pauseMs: number): WritePause {
  return { last: pauseMs, max: Math.max(pauseMs, before?.max ?? 0) };
}

/**
 * Lifts the fences of attempts that are over. Members that do not hear of it ask the root
 * themselves, the root itself is fenced until this is done; one that hears of the fence only later
 * refuses it.
 */
export async function liftFences(
  context: DriverContext,
  record: OperationRecord,
  members: readonly string[] = participants(record),
): Promise<OperationRecord> {
  const { id: operation, attempt } = record;
  await each(members, (member) =>
    context.ask(member, { kind: "unfence", operation, attempt: attempt - 1 }),
  );
  return save(context, requireCurrent(context, record), { liftsFences: false });
}
