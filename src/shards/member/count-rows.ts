/** Counts the rows of tables, and the bytes of their values. Reads every row. */
import type { TableCount } from "../protocol/replies.ts";
import { rowBytes } from "../storage/row-codec.ts";
import { type Sql, quoteName } from "../storage/storage.ts";
import type { Table } from "../storage/tables.ts";

export function countRows(sql: Sql, tables: readonly Table[]): TableCount[] {
  return tables.map((table) => {
    const found = sql.first<{ n: number; bytes: number | null }>(
      `SELECT count(*) AS n, sum(${rowBytes(table.columns, "t")}) AS bytes FROM ${quoteName(table.name)} AS t`,
    );
    return { table: table.name, rows: found?.n ?? 0, bytes: found?.bytes ?? 0 };
  });
}
