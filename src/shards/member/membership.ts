/**
 * An object's record of itself: the epoch at which it serves, its layout, and the move it takes
 * part in.
 *
 * Stored in the object's own database and changed only in transactions of the engine. An object
 * without a record is a root that was never sharded: it serves its whole namespace at epoch 0.
 */
import { type Layout, unshardedLayout } from "../../model/layout/layout.ts";
import type { Moving } from "../move/moving.ts";
import { forgetLives } from "../move/lives-of-sources.ts";
import { forgetStored } from "../move/stored-pages.ts";
import type { Trouble } from "../protocol/replies.ts";
import { dropMeta, ensureSchema, hasSchema, readMeta, writeMeta } from "../storage/schema.ts";
import type { Sql } from "../storage/storage.ts";

export interface Membership {
  readonly namespace: string;
  /** The epoch whose layout this object acts by. */
  readonly epoch: number;
  readonly layout: Layout;
  /** True when the object owns part of the keyspace at `epoch`. */
  readonly serving: boolean;
  /** True when its rows are what a verified cutover left behind: they may be cleared. */
  readonly retired: boolean;
  /** The operation that has left them behind; absent where an older library has retired it. */
  readonly retiredBy?: number;
  /** The newest operation this object has seen: older ones are refused. */
  readonly operation: number;
  /** The token of that operation; absent for one that an older root has begun. */
  readonly token?: string;
  /**
   * The operation that the token is of: an older library carries a token on under a newer number.
   */
  readonly tokenOf?: number;
  /**
   * The newest operation that ended here, by activation or abandonment: a late call of it must not
   * begin it again.
   */
  readonly ended: number;
  /**
   * The operation that went on without this object when it was mended: its end, which `ended`
   * counts, is still to be heard. Only while `ended` is what it was then: an older library carries
   * it on.
   */
  readonly goesOn?: { readonly operation: number; readonly endedUpTo: number };
  /**
   * The epoch of which what is owned is noted, for the triggers that check keys; absent when none
   * is. A library that does not know of it leaves it at what it was.
   */
  readonly ownedEpoch?: number;
  /** Why it serves nothing until it is repaired; absent when nothing is wrong. */
  readonly trouble?: Trouble;
}

/** The newest operation, as a membership has it. */
export function numbersOf(of: {
  readonly operation: number;
  readonly token?: string | undefined;
}): Pick<Membership, "operation" | "token" | "tokenOf"> {
  const { operation, token } = of;
  return { operation, ...(token === undefined ? {} : { token, tokenOf: operation }) };
}

/** The newest operation whose end an object has heard. */
export function heardEnd({ ended, goesOn }: Membership): number {
  return goesOn?.endedUpTo === ended ? Math.min(ended, goesOn.operation - 1) : ended;
}

export function readMembership(sql: Sql, namespace: string, self: string): Membership {
  const stored = hasSchema(sql) ? readMeta<Membership>(sql, "membership") : undefined;
  if (stored) return stored;
  return {
    namespace,
    epoch: 0,
    layout: unshardedLayout(namespace, 0),
    serving: self === namespace,
    retired: false,
    operation: 0,
    ended: 0,
  };
}

export function writeMembership(sql: Sql, membership: Membership): void {
  ensureSchema(sql);
  writeMeta(sql, "membership", membership);
}

export function readMoving(sql: Sql): Moving | undefined {
  return hasSchema(sql) ? readMeta<Moving>(sql, "moving") : undefined;
}

export function writeMoving(sql: Sql, moving: Moving): void {
  writeMeta(sql, "moving", moving);
}

/** Forgets the move and everything that was kept for it. Call inside a transaction. */
export function dropMoving(sql: Sql): void {
  dropMeta(sql, "moving");
  dropMeta(sql, "movedSchema");
  dropMeta(sql, "frozen");
  dropMeta(sql, "checked");
  dropMeta(sql, STRAYS_ASIDE);
  forgetStored(sql);
  forgetLives(sql);
  clearMoveRecords(sql);
}

/** Empties the private tables that belong to one move. */
export function clearMoveRecords(sql: Sql): void {
  for (const table of MOVE_RECORDS) sql.run(`DELETE FROM ${table}`);
}

/** The document of rows that were set aside while the move ran: told with its end. */
export const STRAYS_ASIDE = "straysAside";

const MOVE_RECORDS = [
  "shardctl_walk",
  "shardctl_outgoing",
  "shardctl_sent",
  "shardctl_received",
  "shardctl_captured",
  "shardctl_origin",
  "shardctl_late",
  "shardctl_dealt",
];
