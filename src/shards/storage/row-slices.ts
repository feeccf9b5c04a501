/**
 * Reads a table a slice at a time, in the order of its rowid, or of its primary key where it has
 * none: between two slices an object serves.
 *
 * The place between two slices is a text, the cursor, that another life of the object can go on
 * from. Rows that are written before it meanwhile are not met.
 */
import { primaryKeyAfter, primaryKeyOrder, rowJson } from "./row-codec.ts";
import { type Sql, type SqlRow, quoteName, textOf } from "./storage.ts";
import type { Table } from "./tables.ts";

/** How a table is read in slices: SQL over its rows, which stand under the alias `t`. */
export interface SliceOrder {
  /** Holds for rows after the cursor `?1`. */
  readonly after: string;
  readonly by: string;
  /** A row's own cursor. */
  readonly cursor: string;
  /** The name under which the rowid can be read; null where there is none. */
  readonly rowid: string | null;
}

export function sliceOrder(sql: Sql, table: Table): SliceOrder {
  const rowid = rowidOf(sql, table.name);
  return rowid === null
    ? {
        after: primaryKeyAfter(table, "t", "?1"),
        by: primaryKeyOrder(table, "t"),
        cursor: rowJson(table.primaryKey, "t"),
        rowid,
      }
    : {
        after: `t.${rowid} > CAST(?1 AS INTEGER)`,
        by: `t.${rowid}`,
        // As text: a number above 2^53 would not survive JavaScript.
        cursor: `CAST(t.${rowid} AS TEXT)`,
        rowid,
      };
}

/** At most so many rows after a cursor, null for the start: `columns` of each, as SQL. */
export function rowsAfter(
  sql: Sql,
  table: Table,
  columns: string,
  after: string | null,
  limit: number,
): { readonly rows: readonly SqlRow[]; readonly last: string | null } {
  const isFirst = after === null;
  const query = sql.fromDefinitions(`rows of ${table.name} ${isFirst} ${columns}`, () => {
    const order = sliceOrder(sql, table);
    const where = isFirst ? "" : `WHERE ${order.after}`;
    return `SELECT ${order.cursor} AS shardctl_cursor, ${columns} FROM ${quoteName(table.name)} AS t ${where} ORDER BY ${order.by} LIMIT ?${isFirst ? 1 : 2}`;
  });
  const rows = sql.rows<SqlRow>(query, ...(isFirst ? [limit] : [after, limit]));
  const last = rows.at(-1);
  return { rows, last: last ? textOf(last["shardctl_cursor"]) : after };
}

/** A name under which the rowid of the table can be read; null where it has none, or hides it. */
function rowidOf(sql: Sql, table: string): string | null {
  const listed = sql
    .rows<{ name: string; wr: number }>("PRAGMA table_list")
    .find(({ name }) => name === table);
  if (listed?.wr !== 0) return null;
  const columns = new Set(
    sql
      .rows<{ name: string }>(`PRAGMA table_xinfo(${quoteName(table)})`)
      .map(({ name }) => name.toLowerCase()),
  );
  return ["rowid", "_rowid_", "oid"].find((name) => !columns.has(name)) ?? null;
}
