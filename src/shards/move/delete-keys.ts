/** Deletes rows by their primary keys, as they travel: one text of JSON, read by SQLite alone. */
import { deleteUnseen } from "./write-blocks.ts";
import type { MoveTable } from "./move-plan.ts";
import { jsonCell, primaryKeyOrder, rowJson } from "../storage/row-codec.ts";
import { type Sql, quoteName } from "../storage/storage.ts";
import type { Table } from "../storage/tables.ts";

/** Deletes rows by primary key, unseen by triggers. Call inside a transaction. */
export function deleteKeys(sql: Sql, name: string, table: Table, keys: string): void {
  deleteUnseen(sql, [name], () => {
    sql.run(`DELETE FROM ${quoteName(name)} AS t WHERE ${inKeys(table)}`, keys);
  });
}

/** Deletes every row of the tables, unseen by triggers. Call inside a transaction. */
export function deleteAllRows(sql: Sql, names: readonly string[]): void {
  deleteUnseen(sql, names, () => {
    for (const name of names) sql.run(`DELETE FROM ${quoteName(name)}`);
  });
}

/** Deletes the rows of these very keys, and none whose key is only alike. */
export function deleteSameKeys(sql: Sql, { table, store }: MoveTable, keys: string): void {
  const same = `SELECT 1 FROM json_each(?1) AS j WHERE j.value = ${rowJson(table.primaryKey, "t")}`;
  sql.run(`DELETE FROM ${quoteName(store)} AS t WHERE ${inKeys(table)} AND EXISTS (${same})`, keys);
}

/** SQL that is true for a row under `t` whose primary key is one of those bound as `?1`. */
export function inKeys(table: Table): string {
  const cells = table.primaryKey.map((_, index) =>
    jsonCell("j.value", index, 0, table.primaryKey.length, true),
  );
  return `(${primaryKeyOrder(table, "t")}) IN (SELECT ${cells.join(", ")} FROM json_each(?1) AS j)`;
}
