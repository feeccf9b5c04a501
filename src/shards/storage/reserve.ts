/**
 * Reserves room in an object for the day on which its storage is full: the writes that end a part
 * in an operation must never lack it.
 *
 * The reserve is two rows of zeros. It is set before anything is committed, where a full disk ends
 * the operation and nothing is lost, and spent by the transactions that come after: SQLite takes
 * the pages that they need from it. The second row is for triggers that are put back: a
 * promotion must find out that there is no room for them by a statement that is undone alone, and a
 * deletion behind the commit comes before the transaction that spends the rest.
 */
import { isFull } from "./faults.ts";
import { type Sql } from "./storage.ts";

/** For the private records and for triggers that are put back, in bytes. */
const RESERVE_BYTES_MIN = 36 * 1024;
/** For the triggers that are put back after rows are made live or deleted, in bytes. */
const TRIGGER_BYTES = 12 * 1024;
const TRIGGER_ROOM_ID = 2;

/**
 * For what the transaction of a beginning writes: private rows, triggers, and the tables of a
 * stage.
 */
const ROOM_BYTES = 96 * 1024;
/** Below the runtime's limit for one value. */
const BLOB_BYTES_MAX = 1024 * 1024;
const ROOM_KEY = "room";
const IS_WITHOUT_VALUE = /NOT NULL constraint failed: shardctl_meta\.value/;

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
  const kept =
    sql.first<{ bytes: number | null }>(
      "SELECT sum(octet_length(filler)) AS bytes FROM shardctl_reserve",
    )?.bytes ?? 0;
  if (kept >= bytes + TRIGGER_BYTES) return;
  sql.run("DELETE FROM shardctl_reserve");
  setAside(sql, 1, bytes);
  setAside(sql, TRIGGER_ROOM_ID, TRIGGER_BYTES);
}

/**
 * Makes sure that there is room for the `bytes` that a transaction goes on to write. Call inside
 * it, on an object that has the private table of documents. @throws Error when there is none.
 *
 * A statement takes the room, and fails for its last row: where it gets so far, there is room.
 * SQLite undoes it alone, and writes none of its pages; it would write those of a deletion.
 */
export function requireRoom(sql: Sql, bytes = ROOM_BYTES): void {
  const whole = Math.floor(bytes / BLOB_BYTES_MAX);
  const sizes = [...Array.from({ length: whole }, () => BLOB_BYTES_MAX), bytes % BLOB_BYTES_MAX];
  try {
    sql.run(
      "INSERT OR ABORT INTO shardctl_meta (key, value) SELECT ?1 || key, iif(value IS NULL, NULL, zeroblob(value)) FROM json_each(?2)",
      ROOM_KEY,
      JSON.stringify([...sizes, null]),
    );
  } catch (error) {
    if (!IS_WITHOUT_VALUE.test(String(error))) throw error;
  }
}

/**
 * Gives the room for triggers to the transaction that it is called in. False when there is none.
 */
export function spendTriggerRoom(sql: Sql): boolean {
  if (!sql.first("SELECT 1 FROM shardctl_reserve WHERE id = ?", TRIGGER_ROOM_ID)) return false;
  sql.run("DELETE FROM shardctl_reserve WHERE id = ?", TRIGGER_ROOM_ID);
  return true;
}

/** Sets the room for triggers aside again. @throws Error when the storage is full. */
export function keepTriggerRoom(sql: Sql): void {
  setAside(sql, TRIGGER_ROOM_ID, TRIGGER_BYTES);
}

/**
 * Runs a deletion that must not fail for want of room, and sets aside again what it has left of it.
 * Call inside a transaction.
 */
export function lendTriggerRoom(sql: Sql, remove: () => void): void {
  const isLent = spendTriggerRoom(sql);
  remove();
  try {
    if (isLent) keepTriggerRoom(sql);
  } catch (error) {
    // It was needed: what the deletion has freed serves the next.
    if (!isFull(error)) throw error;
  }
}

/** Gives the room back to the transaction that it is called in. */
export function spendReserve(sql: Sql): void {
  sql.run("DELETE FROM shardctl_reserve");
}

/** @throws Error when the storage is full; the statement alone is undone. */
function setAside(sql: Sql, id: number, bytes: number): void {
  sql.run(
    "INSERT OR ABORT INTO shardctl_reserve (id, filler) SELECT value, zeroblob(?2) FROM json_each(json_array(?1))",
    id,
    bytes,
  );
}
