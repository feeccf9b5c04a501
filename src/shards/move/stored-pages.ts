/**
 * Remembers at a source which page each target has stored last: a target that was restored
 * meanwhile has an older one, and says so by what it is told with the next. Rule "one-history".
 *
 * The numbers of pages that were taken are not enough: those whose answer never came are sent again
 * by a later number, and are missing with good reason.
 */
import { dropMeta, readMeta, writeMeta } from "../storage/schema.ts";
import type { Sql } from "../storage/storage.ts";

const KEY = "stored";

interface Stored {
  readonly operation: number;
  readonly pages: Readonly<Record<string, number>>;
}

/** Call where it is certain that the move has not ended while the answers came. */
export function noteStored(
  sql: Sql,
  operation: number,
  sequences: ReadonlyMap<string, number>,
): void {
  if (sequences.size > 0)
    writeMeta(sql, KEY, {
      operation,
      pages: { ...read(sql, operation), ...Object.fromEntries(sequences) },
    });
}

/** The number of the last page that the target has answered for; 0 for none. */
export function storedPage(sql: Sql, operation: number, target: string): number {
  return read(sql, operation)[target] ?? 0;
}

export function forgetStored(sql: Sql): void {
  dropMeta(sql, KEY);
}

function read(sql: Sql, operation: number): Stored["pages"] {
  const stored = readMeta<Stored>(sql, KEY);
  // A library that does not know of it has left it behind.
  return stored?.operation === operation ? stored.pages : {};
}
