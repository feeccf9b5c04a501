/**
 * Keeps that a directory may lack entries: a member was restored or has lost its storage, and with
 * it entries of rows that stand elsewhere, or has rows back whose entries were dropped.
 *
 * Rule "entered-again": from the repair on until every member has entered the ids of its rows
 * again, no member answers for an id, and none is claimed.
 */
import { dropMeta, hasSchema, readMeta, writeMeta } from "../storage/schema.ts";
import type { Sql } from "../storage/storage.ts";

/** The suspicion of one repair, and how far this member has entered its own ids since. */
export interface Suspicion {
  /** When the repair began, in milliseconds since the Unix epoch: it tells repairs apart. */
  readonly since: number;
  /** The last row that was entered, by its table and the JSON of its key; null before the first. */
  readonly entered: { readonly table: string; readonly key: string | null } | null;
  /** Rows by table whose id another member has a row of, which keeps it. */
  readonly taken: Readonly<Record<string, number>>;
  /** True once all are entered. */
  readonly isDone: boolean;
}

const SUSPICION = "directorySuspect";

/** The suspicion that stands; undefined for a directory that is whole. */
export function suspicionOf(sql: Sql): Suspicion | undefined {
  return hasSchema(sql) ? readMeta<Suspicion>(sql, SUSPICION) : undefined;
}

/** Suspects the directory since then, if it is not yet, or since earlier. */
export function suspectDirectory(sql: Sql, since: number): Suspicion {
  const known = suspicionOf(sql);
  if (known && known.since >= since) return known;
  const fresh = { since, entered: null, taken: {}, isDone: false };
  writeMeta(sql, SUSPICION, fresh);
  return fresh;
}

export function keepSuspicion(sql: Sql, suspicion: Suspicion): void {
  writeMeta(sql, SUSPICION, suspicion);
}

/** Trusts it again, unless it is suspected since later. */
export function trustDirectory(sql: Sql, since: number): void {
  const known = suspicionOf(sql);
  if (known && known.since <= since) dropMeta(sql, SUSPICION);
}

/** Forgets it with the entries. */
export function forgetSuspicion(sql: Sql): void {
  dropMeta(sql, SUSPICION);
}
