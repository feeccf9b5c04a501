/**
 * The context of the driver's steps, and the functions that advance an operation: only while it
 * still is what the step began with.
 *
 * After every `await` the journal is read again: rule "commit-rechecks-journal".
 */
import { EngineError } from "../storage/faults.ts";
import type { Step } from "../../model/operation.ts";
import type { Runtime, Sql } from "../storage/storage.ts";
import type { Ask } from "../protocol/messages.ts";
import type { Journal } from "./journal.ts";
import type { OperationRecord } from "./operation-record.ts";

/** Characters of an error that a record keeps. */
const TEXT_LENGTH_MAX = 2_000;

export interface DriverContext {
  readonly sql: Sql;
  readonly runtime: Runtime;
  readonly journal: Journal;
  readonly ask: Ask;
  /** Stores an event and hands it to the user's callback. */
  readonly emit: (
    type: string,
    record: OperationRecord,
    detail: Readonly<Record<string, unknown>>,
  ) => void;
  /** An epoch was committed; called in its transaction. */
  readonly committed: () => void;
  /** The record has changed: wake who waits for it. */
  readonly changed: () => void;
}

/** The operation is no longer what this turn began with: another turn has advanced it. */
export class Superseded extends EngineError {}

/**
 * Moves the operation on, if it still is what the caller began with; its failures are forgotten.
 */
export function proceed(
  context: DriverContext,
  record: OperationRecord,
  change: Partial<OperationRecord>,
): OperationRecord {
  return save(context, requireCurrent(context, record), {
    retries: 0,
    duplicateTries: 0,
    busyTries: 0,
    notBefore: 0,
    waitsFor: null,
    ...change,
  });
}

export function save(
  context: DriverContext,
  record: OperationRecord,
  change: Partial<OperationRecord>,
): OperationRecord {
  const next: OperationRecord = {
    ...record,
    ...shortened(change),
    updatedAt: context.runtime.now(),
  };
  context.journal.update(next);
  context.changed();
  return next;
}

/** The same with texts that the record has room for, also where the storage is full. */
function shortened(change: Partial<OperationRecord>): Partial<OperationRecord> {
  const { lastError, duplicateFound, waitsFor, fault } = change;
  return {
    ...change,
    ...(lastError ? { lastError: shorten(lastError) } : {}),
    ...(duplicateFound === undefined ? {} : { duplicateFound: shorten(duplicateFound) }),
    ...(waitsFor ? { waitsFor: { ...waitsFor, message: shorten(waitsFor.message) } } : {}),
    ...(fault ? { fault: { ...fault, message: shorten(fault.message) } } : {}),
  };
}

function shorten(text: string): string {
  return text.length <= TEXT_LENGTH_MAX ? text : `${text.slice(0, TEXT_LENGTH_MAX - 1)}…`;
}

/**
 * Rule "commit-rechecks-journal": the operation as it stands, if it is still in the step and
 * attempt that the caller works for.
 */
export function requireCurrent(context: DriverContext, record: OperationRecord): OperationRecord {
  const current = context.journal.running();
  const isSame =
    current?.id === record.id &&
    current.step === record.step &&
    current.attempt === record.attempt &&
    current.wavesDone === record.wavesDone;
  if (!isSame)
    throw new Superseded(
      `Operation ${record.id} has moved on from step ${record.step satisfies Step}`,
    );
  return current;
}
