/**
 * What becomes of an operation when a step of it fails: tried again, less and less often, or ended.
 *
 * Nothing is concluded from silence: a member that does not answer is asked again, and in the end the operation fails, before cutover.
 * After cutover there is only forward.
 */
import type { OperationFault } from "../../core/operation.ts";
import { EngineFault, messageOf } from "../storage/faults.ts";
import type { OperationRecord } from "./journal.ts";
import { type DriverContext, save } from "./progress.ts";

/** Tries of a step on a member that does not answer, before cutover; with the backoff, about two minutes. */
const RETRIES_MAX = 12;
export const BACKOFF_MS_MIN = 100;
const BACKOFF_MS_MAX = 30_000;
/** Tries of a step that finds one id twice, before it counts. */
const DUPLICATE_TRIES_MAX = 5;

export function recordFailure(context: DriverContext, before: OperationRecord, error: unknown): void {
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

export function isDuplicate(error: unknown): boolean {
  return error instanceof EngineFault && error.kind === "duplicateId";
}

export function backoffMs(tries: number): number {
  return Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** Math.min(tries, 20));
}
