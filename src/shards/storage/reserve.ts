/**
 * Room that an object keeps for the day on which its storage is full: what ends a part in an operation must never lack it.
 *
 * The reserve is one row of zeros. It is set before anything is committed, where a full disk ends the operation and nothing is lost, and spent
 * by the transactions that come after: SQLite takes the pages that they need from it.
 */
import { type Sql } from "./storage.ts";

/** For the private records and for triggers that are put back, in bytes. */
const RESERVE_BYTES_MIN = 48 * 1024;

/** Sets room aside for records of this size, as long as there is some. Call inside a transaction. @throws Error when the storage is full. */
export function keepReserve(sql: Sql, recordBytes: number): void {
  const bytes = RESERVE_BYTES_MIN + 2 * recordBytes;
  const kept =
    sql.first<{ bytes: number }>("SELECT octet_length(filler) AS bytes FROM shardctl_reserve WHERE id = 1")?.bytes ?? 0;
  if (kept >= bytes) return;
  sql.run("INSERT OR REPLACE INTO shardctl_reserve (id, filler) VALUES (1, zeroblob(?))", bytes);
}

/** Gives the room back to the transaction that it is called in. */
export function spendReserve(sql: Sql): void {
  sql.run("DELETE FROM shardctl_reserve");
}
