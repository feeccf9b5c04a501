/**
 * The root's driver: carries the running operation from step to step. One state machine for shard, rebalance, rekey and unshard.
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
 * Each step is idempotent and leaves its result in the journal. After every `await` the journal is read again: rule "commit-rechecks-journal".
 * Nothing is concluded from silence: a member that does not answer is asked again, and in the end the operation fails, before cutover.
 */
import type { OperationFault, Step } from "../../core/operation.ts";
import { SLOT_COUNT } from "../../core/slots.ts";
import { EngineFault, messageOf } from "../storage/faults.ts";
import { type Journal, type OperationRecord, type SourceProgress, type Wave, endedState, participants } from "./journal.ts";
import type { ChunksReply, DrainReply, PrepareReply, WalkReply } from "../protocol/messages.ts";
import type { Runtime, Sql } from "../storage/storage.ts";
import {
  NO_WAVE,
  WAVE_SPAN_MAX,
  incomingOf,
  joinWaves,
  layoutAfter,
  movesOf,
  nextSpan,
  outgoingOf,
  packWaves,
  sourcesOf,
  targetsOf,
} from "./waves.ts";
import { within } from "../protocol/within.ts";

/** How long one slice of a source works before it answers. */
const SLICE_MS = 500;
/** Most time that a fence may take before it is lifted and tried again later. */
const FENCE_MS_MAX = 1_000;
/** Log entries that may be left for the fence to drain. */
const BACKLOG_MAX = 200;
/** Checks of foreign keys that may fail before it counts. */
const SETTLE_TRIES_MAX = 3;
/** Slices that one source may drain before the driver takes a breath. */
const DRAIN_SLICES_MAX = 30;
/** Tries of a step on a member that does not answer, before cutover; with the backoff, about two minutes. */
const RETRIES_MAX = 12;
const BACKOFF_MS_MIN = 100;
const BACKOFF_MS_MAX = 30_000;
/** Tries of a step that finds one id twice, before it counts. */
const DUPLICATE_TRIES_MAX = 5;
/** Members asked at the same time. */
const FAN_OUT_MAX = 32;
/** Longest wait for one chore. */
const CHORE_MS_MAX = 5_000;
/** The budget of a drive may be overrun by this much while waves follow each other. */
const OVERRUN_MS_MAX = 300_000;
const HOUR_MS = 3_600_000;

export interface DriverContext {
  readonly sql: Sql;
  readonly runtime: Runtime;
  readonly journal: Journal;
  readonly ask: <Reply>(member: string, request: object) => Promise<Reply>;
  /** Stores an event and hands it to the user's callback. */
  readonly emit: (type: string, record: OperationRecord, detail: Readonly<Record<string, unknown>>) => void;
  /** An epoch was committed; called in its transaction. */
  readonly committed: () => void;
  /** The record has changed: wake who waits for it. */
  readonly changed: () => void;
}

/** The operation is no longer what this turn began with: somebody else has moved it on. */
class Superseded extends Error {}

/**
 * Works until the operation has ended, `budgetMs` is used, or a backoff is due. What callers wait for is not left lying: between a cutover
 * and its activation only a backoff ends the work, and waves are carried on for a while.
 */
export async function drive(context: DriverContext, budgetMs: number): Promise<void> {
  const { runtime, journal } = context;
  const startedAt = runtime.now();
  for (;;) {
    const record = journal.running();
    if (!record || record.notBefore > runtime.now()) return;
    const overrunMs = record.step === "activate" ? Infinity : record.step === "fence" ? OVERRUN_MS_MAX : 0;
    if (runtime.now() - startedAt >= budgetMs + overrunMs) return;
    try {
      await advance(context, record);
    } catch (error) {
      if (!(error instanceof Superseded)) recordFailure(context, record, error);
    }
  }
}

/** Asks for the end of an operation that has not cut over, or, for a shift, that has waves left. Durable before it returns. */
export function requestCancel(
  context: DriverContext,
  record: OperationRecord,
  fault: OperationFault,
): OperationRecord | "tooLate" {
  const isShift = record.mode === "shift";
  const isOpen = ["prepare", "copy", "verify", "fence"].includes(record.step) || (isShift && record.step === "activate");
  if (!isOpen) return "tooLate";
  if (record.step === "activate") {
    if (record.wavesDone + record.waveSpan >= record.waveCount) return "tooLate";
    // The wave in work goes to its end; then the operation stops in a valid layout.
    return save(context, record, { fault });
  }
  return save(context, record, { fault, step: "cleanUp", attempt: record.attempt + 1, notBefore: 0 });
}

function advance(context: DriverContext, record: OperationRecord): Promise<void> {
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

async function prepare(context: DriverContext, record: OperationRecord): Promise<void> {
  const { id: operation, from, to, mode, epochFrom: epoch, policy } = record;
  const { allowMissingKey } = policy;
  const rowsPerSecondMax =
    policy.rowsPerSecondMax === null ? null : Math.max(1, Math.floor(policy.rowsPerSecondMax / from.members.length));
  const replies = await each(participants(record), (member) =>
    context.ask<PrepareReply>(member, { kind: "prepare", operation, epoch, mode, from, to, allowMissingKey, rowsPerSecondMax }),
  );
  const rowsFound = replies.flatMap((reply) => reply.counts).reduce((total, count) => total + count.rows, 0);
  const rowsTotal = record.mode === "swap" ? rowsFound : estimateMoved(record, rowsFound);
  if (rowsFound === 0 && record.refuseEmpty) throw new EngineFault("internal", "Cannot shard empty DO: no data to shard");
  const fresh: SourceProgress = { isCopied: false, isVerified: false, rowsCopied: 0, bytesCopied: 0, rowsVerified: 0 };
  proceed(context, record, {
    step: "copy",
    rowsTotal,
    sources: Object.fromEntries(from.members.map((source) => [source, fresh])),
  });
}

/** Before the rows are walked: the share of the slots that changes hands, or for key ranges everything. */
function estimateMoved(record: OperationRecord, rowsFound: number): number {
  const slots = movesOf(record).reduce(
    (total, { range }) => total + (range.kind === "slots" ? range.to - range.from : SLOT_COUNT),
    0,
  );
  return Math.round((rowsFound * Math.min(slots, SLOT_COUNT)) / SLOT_COUNT);
}

/** One slice of every source that is not done. */
async function walk(context: DriverContext, record: OperationRecord, step: "copy" | "verify"): Promise<void> {
  const isDone = (source: SourceProgress): boolean => (step === "copy" ? source.isCopied : source.isVerified);
  const open = Object.entries(record.sources).filter(([, source]) => !isDone(source));
  const replies = await each(open, async ([source]) => {
    const reply = await context.ask<WalkReply>(source, { kind: step, operation: record.id, budgetMs: SLICE_MS });
    return [source, reply] as const;
  }).catch(async (error: unknown) => {
    // A row that was given another shard key meanwhile stands twice until the source that lost it has said so.
    if (isDuplicate(error)) await drainAll(context, record);
    throw error;
  });
  const sources = { ...record.sources };
  for (const [source, reply] of replies) {
    const sum = (count: (outgoing: WalkReply["outgoing"][number]) => number): number =>
      reply.outgoing.reduce((total, outgoing) => total + count(outgoing), 0);
    sources[source] = {
      isCopied: step === "copy" ? reply.isDone : true,
      isVerified: step === "verify" && reply.isDone,
      rowsCopied: sum((outgoing) => outgoing.rowsCopied),
      bytesCopied: sum((outgoing) => outgoing.bytesCopied),
      rowsVerified: sum((outgoing) => outgoing.rowsVerified),
    };
  }
  if (!Object.values(sources).every((source) => isDone(source))) {
    proceed(context, record, { sources });
  } else if (step === "copy") {
    await drainAll(context, record);
    const rowsTotal = Object.values(sources).reduce((total, source) => total + source.rowsCopied, 0);
    proceed(context, record, { sources, rowsTotal, step: "verify" });
  } else {
    if (record.mode === "swap") await settleTargets(context, record);
    const waves = record.mode === "shift" ? await planWaves(context, record) : [NO_WAVE];
    context.sql.transaction(() => {
      const { id } = proceed(context, record, { sources, waveCount: waves.length, step: "fence" });
      context.journal.putWaves(id, waves);
    });
  }
}

/** Drains every source until what is left is little enough for a fence. */
async function drainAll(context: DriverContext, record: OperationRecord): Promise<void> {
  await each(record.from.members, async (source) => {
    for (let slice = 0; slice < DRAIN_SLICES_MAX; slice++) {
      const { backlog } = await context.ask<DrainReply>(source, { kind: "drain", operation: record.id, budgetMs: SLICE_MS });
      if (backlog <= BACKLOG_MAX) return;
      requireCurrent(context, record);
    }
    throw new Error(`${source} is written faster than its changes can be copied`);
  });
}

/**
 * Has the targets of a swap check what points at what. A row may have come whose parent is still in the log, so only what dangles after
 * several drains is a fault.
 */
async function settleTargets(context: DriverContext, record: OperationRecord): Promise<void> {
  for (let tries = 1; ; tries++) {
    await drainAll(context, record);
    try {
      await rehearse(context, record, record.to.members, NO_WAVE);
      return;
    } catch (error) {
      if (!(error instanceof EngineFault) || tries >= SETTLE_TRIES_MAX) throw error;
      requireCurrent(context, record);
    }
  }
}

/** Asks the targets how their staged rows can be cut, and packs them into waves. */
async function planWaves(context: DriverContext, record: OperationRecord): Promise<Wave[]> {
  const moves = movesOf(record);
  const waveRowsMax = Math.max(1, Math.floor(record.policy.waveRowsMax / WAVE_SPAN_MAX));
  const staged: { target: string; chunks: ChunksReply["chunks"] }[] = [];
  for (const target of targetsOf({ moves })) {
    const { chunks } = await context.ask<ChunksReply>(target, { kind: "chunks", operation: record.id, waveRowsMax });
    staged.push({ target, chunks });
  }
  return packWaves(moves, staged, waveRowsMax);
}

/** The waves that are cut over together next. */
function waveInWork({ journal }: DriverContext, { id, wavesDone, waveSpan }: OperationRecord): Wave {
  const waves = journal.waves(id, wavesDone, waveSpan);
  if (waves.length === 0) throw new Error(`Wave ${wavesDone} of operation ${id} is not in the journal`);
  return joinWaves(waves);
}

/** Has targets try what they are about to do, and check that the rows fit: unique values, and what points at what. */
async function rehearse(context: DriverContext, record: OperationRecord, targets: readonly string[], wave: Wave): Promise<void> {
  await each(targets, (target) =>
    context.ask(target, { kind: "rehearse", operation: record.id, incoming: incomingOf(wave, target) }),
  );
}

/**
 * Fences the members of the wave, drains the sources, rehearses, and commits the next epoch in the turn in which the last answer counts.
 * Rule "fence-attempts": only answers to the attempt that the journal holds count.
 */
async function fenceAndCutOver(context: DriverContext, record: OperationRecord): Promise<void> {
  if (record.fault !== null) {
    proceed(context, record, { step: "cleanUp", attempt: record.attempt + 1 });
    return;
  }
  const wave = waveInWork(context, record);
  const { id: operation, attempt } = record;
  await drainAll(context, record);
  requireCurrent(context, record);
  // In a shift the targets serve too: what they take between the rehearsal and the promotion could get in its way.
  const targets = targetsOf(wave);
  const members = record.mode === "swap" ? record.from.members : [...new Set([...sourcesOf(wave), ...targets])].toSorted();
  const fencedAt = context.runtime.now();
  try {
    await each(members, (member) => context.ask(member, { kind: "fence", operation, attempt, budgetMs: FENCE_MS_MAX }));
    await rehearse(context, record, targets, wave);
  } catch (error) {
    // Rule "durable-abort": the attempt is over in the journal before any member hears of it.
    proceed(context, record, { attempt: attempt + 1, retries: record.retries, duplicateTries: record.duplicateTries ?? 0 });
    await each(members, (member) => context.ask(member, { kind: "unfence", operation, attempt }));
    if (error instanceof EngineFault) throw error;
    throw new Error(`The fence could not be closed (attempt ${attempt}): ${messageOf(error)}`, { cause: error });
  }
  cutOver(context, record, wave, fencedAt);
}

/** The point of no return: one transaction on the root. */
function cutOver(context: DriverContext, record: OperationRecord, wave: Wave, fencedAt: number): void {
  const { sql, journal, runtime } = context;
  sql.transaction(() => {
    requireCurrent(context, record);
    const isLast = record.wavesDone + record.waveSpan >= record.waveCount;
    const before = journal.registry();
    if (before.epoch !== record.epoch)
      throw new Error(`The registry is at epoch ${before.epoch}, operation ${record.id} expected ${record.epoch}`);
    const layout = isLast ? record.to : layoutAfter(before.layout, wave);
    const epoch = record.epoch + 1;
    journal.commitEpoch(epoch, layout, record.id, runtime.now());
    context.committed();
    proceed(context, record, { step: "activate", epoch, fencedAt });
  });
}

/**
 * In a shift targets first: their rows are live before a source deletes its own. In a swap a source deletes nothing, and a caller that it
 * sends on waits at a target that has not heard yet: all are told at once. After cutover there is only forward.
 */
async function activate(context: DriverContext, record: OperationRecord): Promise<void> {
  const { layout, epoch } = context.journal.registry();
  const wave = waveInWork(context, record);
  const everybody = participants(record);
  const targets = record.mode === "swap" ? everybody : targetsOf(wave);
  const others = everybody.filter((member) => !targets.includes(member));
  for (const members of [targets, others]) {
    await each(members, (member) => {
      const activation = { epoch, layout, incoming: incomingOf(wave, member), outgoing: outgoingOf(wave, member) };
      return context.ask(member, { kind: "activate", operation: record.id, activation });
    });
  }
  const wavesDone = Math.min(record.wavesDone + record.waveSpan, record.waveCount);
  const isLast = wavesDone >= record.waveCount;
  const waveSpan = nextSpan(record.waveSpan, context.runtime.now() - record.fencedAt);
  proceed(context, record, { step: isLast ? "cleanUp" : "fence", wavesDone, waveSpan, attempt: record.attempt + 1 });
}

/** Lets every participant go. Who does not answer now is told later, by a chore: its state cannot do harm. */
async function cleanUp(context: DriverContext, record: OperationRecord): Promise<void> {
  const { journal, runtime, sql } = context;
  const { layout, epoch } = journal.registry();
  const kind = record.fault === null ? "finish" : "abandon";
  const silent: string[] = [];
  await each(participants(record), async (member) => {
    try {
      await context.ask(member, { kind, operation: record.id, epoch, layout });
    } catch {
      silent.push(member);
    }
  });
  const now = runtime.now();
  sql.transaction(() => {
    const current = requireCurrent(context, record);
    for (const member of silent) journal.putChore({ member, kind, operation: record.id, dueAt: now + BACKOFF_MS_MIN, tries: 0 });
    const retired = record.from.members.filter((member) => !layout.members.includes(member));
    if (kind === "finish") {
      for (const member of retired) {
        journal.putChore({
          member,
          kind: "empty",
          operation: record.id,
          dueAt: now + record.policy.retainHours * HOUR_MS,
          tries: 0,
        });
      }
    }
    const fault = record.fault && { ...record.fault, message: withOutcome(record.fault.message, record) };
    const ended = save(context, current, { state: endedState(fault), fault, finishedAt: now, lastError: null });
    const type = ended.state === "completed" ? "completed" : ended.state;
    context.emit(
      `${record.kind}.${type}`,
      ended,
      ended.fault ? { kind: ended.fault.kind, message: ended.fault.message } : { epoch },
    );
  });
}

/**
 * What went wrong, and what is so now. A message says "Nothing was changed" where it is made; once waves have cut over that is not so,
 * and only here, at the end, is their number known.
 */
function withOutcome(message: string, { wavesDone, waveCount, epoch }: OperationRecord): string {
  if (wavesDone === 0) return message;
  const outcome = `${wavesDone} of ${waveCount} waves are cut over, and the layout is valid at epoch ${epoch}`;
  return NOTHING_CHANGED.test(message) ? message.replace(NOTHING_CHANGED, outcome) : `${message}. ${outcome}`;
}

const NOTHING_CHANGED = /nothing was changed/i;

/** Tells members what they missed, and empties retired ones whose time has come. */
export async function doChores(context: DriverContext): Promise<void> {
  const { journal, runtime, sql } = context;
  const { layout, epoch } = journal.registry();
  const due = journal.chores().filter((chore) => chore.dueAt <= runtime.now());
  // A bounded part of them: members that hang must not keep the root from what else its alarm is for. The next alarm takes the rest.
  await each(due.slice(0, FAN_OUT_MAX), async (chore) => {
    const { member, kind, operation } = chore;
    try {
      await within(runtime, context.ask(member, { kind, operation, epoch, layout }), CHORE_MS_MAX, member);
      sql.transaction(() => journal.dropChore(chore));
    } catch {
      // Not an error of its own: the member is asked again, less and less often.
      journal.putChore({ ...chore, tries: chore.tries + 1, dueAt: runtime.now() + backoffMs(chore.tries + 1) });
    }
  });
}

function recordFailure(context: DriverContext, before: OperationRecord, error: unknown): void {
  const { journal, runtime } = context;
  const record = journal.running();
  if (!record || record.id !== before.id) return;
  const isBeforeCutover = ["prepare", "copy", "verify", "fence"].includes(record.step);
  const retries = record.retries + 1;
  // Counted apart: what a silent member has used up is not held against a row that was just changing its key.
  const duplicateTries = (record.duplicateTries ?? 0) + (isDuplicate(error) ? 1 : 0);
  const fault = faultOf(error, retries, duplicateTries);
  if (isBeforeCutover && fault !== null) {
    save(context, record, {
      fault,
      step: "cleanUp",
      attempt: record.attempt + 1,
      notBefore: 0,
      lastError: messageOf(error),
      retries,
      duplicateTries,
    });
    return;
  }
  // After cutover there is only forward: try again, less and less often, for as long as it takes.
  const notBefore = runtime.now() + backoffMs(retries);
  save(context, record, { retries, duplicateTries, lastError: messageOf(error), notBefore });
}

function faultOf(error: unknown, retries: number, duplicateTries: number): OperationFault | null {
  if (isDuplicate(error) && duplicateTries <= DUPLICATE_TRIES_MAX) return null;
  if (error instanceof EngineFault) return { kind: error.kind, message: error.message };
  if (retries > RETRIES_MAX)
    return { kind: "unreachable", message: `Gave up after ${retries} tries: ${messageOf(error)}. Nothing was changed` };
  return null;
}

function isDuplicate(error: unknown): boolean {
  return error instanceof EngineFault && error.kind === "duplicateId";
}

/** Moves the operation on, if it still is what the caller began with; its failures are forgotten. */
function proceed(context: DriverContext, record: OperationRecord, change: Partial<OperationRecord>): OperationRecord {
  return save(context, requireCurrent(context, record), { retries: 0, duplicateTries: 0, notBefore: 0, ...change });
}

function save(context: DriverContext, record: OperationRecord, change: Partial<OperationRecord>): OperationRecord {
  const next: OperationRecord = { ...record, ...change, updatedAt: context.runtime.now() };
  context.journal.update(next);
  context.changed();
  return next;
}

/** Rule "commit-rechecks-journal": the operation as it stands, if it is still in the step and attempt that the caller works for. */
function requireCurrent(context: DriverContext, record: OperationRecord): OperationRecord {
  const current = context.journal.running();
  const isSame =
    current?.id === record.id &&
    current.step === record.step &&
    current.attempt === record.attempt &&
    current.wavesDone === record.wavesDone;
  if (!isSame) throw new Superseded(`Operation ${record.id} has moved on from step ${record.step satisfies Step}`);
  return current;
}

function backoffMs(tries: number): number {
  return Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** Math.min(tries, 20));
}

/** Asks many, a bounded number at a time; waits for all, then throws the first failure, faults before silence. */
async function each<Item, Value>(items: readonly Item[], work: (item: Item) => Promise<Value>): Promise<Value[]> {
  const results: PromiseSettledResult<Value>[] = [];
  const waiting = items.entries();
  // Each takes the next item when it is done with one: a slow member keeps no other from being asked.
  const takeTurns = async (): Promise<void> => {
    for (const [index, item] of waiting) [results[index]] = await Promise.allSettled([work(item)]);
  };
  await Promise.all(Array.from({ length: Math.min(FAN_OUT_MAX, items.length) }, takeTurns));
  const failures = results.filter((result) => result.status === "rejected").map((result): unknown => result.reason);
  const first = failures.find((reason) => reason instanceof EngineFault) ?? failures[0];
  if (failures.length > 0) throw first;
  return results.filter((result) => result.status === "fulfilled").map((result) => result.value);
}
