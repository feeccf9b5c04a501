/**
 * Room that an object keeps for the day on which its storage is full: what ends a part in an
 * operation must never lack it.
 *
 * The reserve is one row of zeros. It is set before anything is committed, where a full disk ends
 * the operation and nothing is lost, and spent by the transactions that come after: SQLite takes
 * the pages that they need from it.
 */
import { type Sql } from "./storage.ts";

/** For the private records and for triggers that are put back, in bytes. */
const RESERVE_BYTES_MIN = 48 * 1024;

/**
 * For what the transaction of a beginning writes: private rows, triggers, and the tables of a
 * stage.
 */
const ROOM_BYTES = 96 * 1024;
const ROOM_KEY = "room";

/**
 * Sets room aside for records of this size. Call first inside a transaction. @throws Error when the
 * storage is full.
 *
 * Where a statement of one row finds the storage full, SQLite undoes the whole transaction, and the
 * runtime resets the object. A statement of several rows that may meet a constraint is undone
 * alone: the object lives on, and says why it has refused.
 */
export function keepReserve(sql: Sql, recordBytes: number): void {
  const bytes = RESERVE_BYTES_MIN + 2 * recordBytes;
  const kept = sql.first<{ bytes: number | null }>("SELECT sum(octet_length(filler)) AS bytes FROM shardctl_reserve")?.bytes ?? 0;
  if (kept >= bytes) return;
  sql.run("DELETE FROM shardctl_reserve");
  sql.run("INSERT OR ABORT INTO shardctl_reserve (id, filler) SELECT value, zeroblob(?1) FROM json_each('[1]')", bytes);
}

/**
 * Makes sure that there is room for what a transaction goes on to write. Call first inside it, on
 * an object that has the private table of documents. @throws Error when there is none.
 */
export function requireRoom(sql: Sql): void {
  sql.run(
    "INSERT OR ABORT INTO shardctl_meta (key, value) SELECT value, zeroblob(?2) FROM json_each(json_array(?1))",
    ROOM_KEY,
    ROOM_BYTES,
  );
  sql.run("DELETE FROM shardctl_meta WHERE key = ?", ROOM_KEY);
}

/** Gives the room back to the transaction that it is called in. */
export function spendReserve(sql: Sql): void {
  sql.run("DELETE FROM shardctl_reserve");
}
