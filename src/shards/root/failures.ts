/**
 * Handles the failure of an operation's step: the step is retried, less and less often, or the
 * operation ends.
 *
 * Nothing is concluded from silence: a member that does not answer is asked again, and in the end
 * the operation fails, before cutover. After cutover there is only forward.
 */
import { NOTHING_CHANGED } from "../../model/operation.ts";
import type { OperationFault, OperationWait } from "../../model/operation.ts";
import { RefusedError } from "../protocol/refused-error.ts";
import { EngineError, EngineFault, fullFault, isFull, messageOf } from "../storage/faults.ts";
import { type OperationRecord, participants } from "./operation-record.ts";
import { Busy } from "./raise-fence.ts";
import { type DriverContext, save } from "./progress.ts";

/**
 * Tries of a step on a member that does not answer, before cutover; with the backoff, about two
 * minutes.
 */
const RETRIES_MAX = 12;
export const BACKOFF_MS_MIN = 100;
const BACKOFF_MS_MAX = 30_000;
/** Tries of a step that finds one id twice, before that is judged under a fence. */
export const DUPLICATE_TRIES_MAX = 5;

/**
 * How long an operation waits for tables to be the same on every member: longer than a rollout
 * takes.
 */
const DIFFER_MS_MAX = 600_000;

/**
 * How often tables are copied again, for each participant: each start of each one may bring a
 * change, and a rollout that is taken back and made again starts each a few times.
 */
const ROUNDS_PER_PARTICIPANT = 16;

/**
 * Thrown by a step that waits for something. Nothing is held meanwhile, and a caller who waits too
 * long can cancel.
 */
export class Waiting extends EngineError {
  readonly what: OperationWait["kind"];

  constructor(what: OperationWait["kind"], message: string) {
    super(message);
    this.what = what;
  }
}

/** True for failures that say what is to be done next: a step passes them on as they are. */
export function isConclusive(error: unknown): boolean {
  return error instanceof EngineFault || waitOf(error) !== null || isTablesChanged(error);
}

/**
 * Returns what a failure waits for; null for one that does not wait. A member that is still to be
 * deployed says so by its refusal.
 */
function waitOf(error: unknown): OperationWait | null {
  if (error instanceof Waiting) return { kind: error.what, message: error.message };
  const isVersion =
    error instanceof RefusedError &&
    (error.reason.kind === "protocol" || error.reason.kind === "newerSchema");
  return isVersion ? { kind: "mixedVersions", message: error.message } : null;
}

export function recordFailure(
  context: DriverContext,
  before: OperationRecord,
  thrown: unknown,
): void {
  const { journal, runtime } = context;
  const record = journal.running();
  if (!record || record.id !== before.id) return;
  const isOwn = isFull(thrown) && !(thrown instanceof EngineFault);
  const error = isOwn ? fullFault("The root", thrown, isOpen(record)) : thrown;
  if (isOpen(record) && isTablesChanged(error))
    return prepareAgain(context, record, messageOf(error));
  const retries = record.retries + 1;
  const waitsFor = waitOf(error);
  if (isOpen(record) && waitsFor !== null) {
    if (isHopeless(record, waitsFor, runtime.now())) {
      end(context, record, {
        retries,
        fault: { kind: "schema", message: `${waitsFor.message}. ${NOTHING_CHANGED}` },
      });
      return;
    }
    save(context, record, {
      retries,
      waitsFor,
      lastError: waitsFor.message,
      notBefore: runtime.now() + backoffMs(retries),
    });
    return;
  }
  if (isTooWide(record, error)) {
    // The rows of fewer waves are held twice: before the operation ends for want of room, each is
    // cut over alone.
    save(context, record, {
      waveSpan: 1,
      retries,
      lastError: messageOf(error),
      notBefore: runtime.now() + BACKOFF_MS_MIN,
    });
    return;
  }
  const failed = {
    retries,
    lastError: messageOf(error),
    ...(isDuplicate(error) ? countDuplicate(record, error) : {}),
    ...(isBusy(error) ? { busyTries: (record.busyTries ?? 0) + 1 } : {}),
  };
  const fault = isOpen(record) ? faultOf(error, record.paused ? 0 : retries) : null;
  if (fault !== null) end(context, record, { ...failed, fault });
  // After cutover there is only forward: try again, less and less often, for as long as it takes.
  else save(context, record, { ...failed, notBefore: runtime.now() + backoffMs(retries) });
}

/**
 * Rule "recopied-from-scratch": changed tables are prepared by every member, after every fence of
 * this attempt is down.
 */
function prepareAgain(context: DriverContext, record: OperationRecord, lastError: string): void {
  const round = (record.round ?? 0) + 1;
  if (round > ROUNDS_PER_PARTICIPANT * participants(record).length) {
    const message = `Tables have changed ${round} times while they were moved: ${lastError}. Something changes them again and again, as a constructor that rebuilds one at each start: let them be as they are, then start again. What was not cut over yet is where it was`;
    end(context, record, { fault: { kind: "schema", message } });
    return;
  }
  save(context, record, {
    step: "prepare",
    attempt: record.attempt + 1,
    liftsFences: true,
    round,
    preparingSince: context.runtime.now(),
    lastError,
    duplicateTries: 0,
    notBefore: context.runtime.now() + BACKOFF_MS_MIN,
  });
}

/**
 * True before the cutover of the wave in work: the operation can be ended by what is not committed.
 */
export function isOpen({ step }: OperationRecord): boolean {
  return step === "prepare" || step === "copy" || step === "verify" || step === "fence";
}

/**
 * Ends an operation that is open: its members are told to let go, and with that their fences fall.
 */
export function end(
  context: DriverContext,
  record: OperationRecord,
  change: Partial<OperationRecord> & { readonly fault: OperationFault },
): OperationRecord {
  return save(context, record, {
    ...change,
    step: "cleanUp",
    attempt: record.attempt + 1,
    paused: null,
    notBefore: 0,
  });
}

function countDuplicate(
  { duplicateTries = 0 }: OperationRecord,
  error: unknown,
): Partial<OperationRecord> {
  return { duplicateTries: duplicateTries + 1, duplicateFound: messageOf(error) };
}

/** True when ids were found twice often enough: the next turn judges it. */
export function isSuspect({ duplicateTries = 0 }: OperationRecord): boolean {
  return duplicateTries > DUPLICATE_TRIES_MAX;
}

function faultOf(error: unknown, retries: number): OperationFault | null {
  // `confirm-duplicates.ts` decides whether duplicates count.
  if (isDuplicate(error)) return null;
  if (error instanceof EngineFault) return { kind: error.kind, message: error.message };
  if (retries > RETRIES_MAX)
    return {
      kind: "unreachable",
      message: `Gave up after ${retries} tries: ${messageOf(error)}. ${NOTHING_CHANGED}`,
    };
  return null;
}

/**
 * True when tables stay different for longer than a rollout takes, as after one that was rolled
 * back.
 */
function isHopeless(
  { preparingSince, startedAt }: OperationRecord,
  { kind }: OperationWait,
  now: number,
): boolean {
  return kind === "tablesDiffer" && now - (preparingSince ?? startedAt) >= DIFFER_MS_MAX;
}

/** True when a promotion of several waves at once had no room. */
function isTooWide({ step, mode, waveSpan }: OperationRecord, error: unknown): boolean {
  return (
    step === "fence" &&
    mode === "shift" &&
    waveSpan > 1 &&
    error instanceof EngineFault &&
    error.kind === "storageFull"
  );
}

function isTablesChanged(error: unknown): boolean {
  return error instanceof RefusedError && error.reason.kind === "tablesChanged";
}

export function isDuplicate(error: unknown): boolean {
  return error instanceof EngineFault && error.kind === "duplicateId";
}

/** True when the fence could not be closed because calls ran on. */
function isBusy(error: unknown): boolean {
  return error instanceof Busy || (error instanceof Error && error.cause instanceof Busy);
}

export function backoffMs(tries: number): number {
  return Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** Math.min(tries, 20));
}
