/**
 * The identity of an id in a directory is its text, byte by byte: the number 1 and the text `1` are
 * one id.
 *
 * SQLite tells such rows apart. Two of them would stand under one entry: a move to a layout with a
 * directory that finds both ends before its cutover. The members of such a layout take no second
 * one: see `unique.ts`.
 */
import { NOTHING_CHANGED } from "../../model/operation.ts";
import { rowWords } from "../../model/row-words.ts";
import { idMatches } from "../storage/row-id.ts";
import { EngineFault } from "../storage/faults.ts";
import { rowJson } from "../storage/row-codec.ts";
import { type Sql, quoteName } from "../storage/storage.ts";
import type { Table } from "../storage/tables.ts";

/** SQL for the number of rows whose id has this text. */
export function alikeRows(table: Table, text: string): string {
  return `(SELECT count(*) FROM ${quoteName(table.name)} AS t WHERE ${idMatches(table, "t", text)})`;
}

/** @throws EngineFault when several rows have an id of this text. */
export function refuseAlike(sql: Sql, table: Table, id: string): void {
  const query = `SELECT ${rowJson(table.primaryKey, "t")} AS pk FROM ${quoteName(table.name)} AS t WHERE ${idMatches(table, "t", "?1")} ORDER BY typeof(t.${quoteName(table.primaryKey[0] ?? "")})`;
  const rows = sql.rows<{ pk: string }>(query, id).map(({ pk }) => pk);
  if (rows.length < 2) return;
  throw new EngineFault(
    "duplicateId",
    `${rows.length} rows of table '${table.name}' have one id in the directory, which takes ids as text: ${rowWords(rows.join(", "))}. ${NOTHING_CHANGED}: give each row its own id, then start again`,
  );
}
