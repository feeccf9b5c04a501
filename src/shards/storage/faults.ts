/**
 * Defines the failures that end an operation, as exceptions inside an object and as values on the
 * wire.
 */
import { NOTHING_CHANGED } from "../../model/operation.ts";
import type { OperationFault } from "../../model/operation.ts";
import { errorWords } from "../../model/row-words.ts";

/** An error in the engine's own words, in which whatever is quoted of a row is marked. */
export class EngineError extends Error {}

/**
 * Ends the operation before cutover. The message carries counts, names and marked ids, never other
 * contents of a row.
 */
export class EngineFault extends EngineError {
  readonly kind: OperationFault["kind"];

  constructor(kind: OperationFault["kind"], message: string) {
    super(message);
    this.name = "EngineFault";
    this.kind = kind;
  }
}

/** True when the object's storage has no room left, here or on the object that was asked. */
export function isFull(error: unknown): boolean {
  return /database or disk is full|SQLITE_FULL/.test(messageOf(error));
}

/** The end of an operation for want of room, with the way out. */
export function fullFault(member: string, error: unknown, isBeforeCommit: boolean): EngineFault {
  const outcome = isBeforeCommit ? `. ${NOTHING_CHANGED}` : "";
  return new EngineFault(
    "storageFull",
    `${member} has no room left (${messageOf(error)})${outcome}: delete rows or drop indexes there, then start again; a namespace that is nearly full goes to more shards while there is room`,
  );
}

/**
 * Returns the text of an exception that a message about the engine may quote: what others than the
 * engine have written is marked, since it may quote a row.
 */
export function messageOf(error: unknown): string {
  if (error instanceof EngineError) return error.message;
  return errorWords(error instanceof Error ? error.message : String(error));
}
