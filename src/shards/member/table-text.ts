/**
 * Puts the declared tables into a text that two members share exactly when their tables have the
 * same columns. A column that was added by ALTER TABLE stands elsewhere than one of a table made
 * anew, so their order does not count.
 */
import { type Sql, quoteName } from "../storage/storage.ts";
import type { Table } from "../storage/tables.ts";

export function tableText(sql: Sql, tables: readonly Table[]): string {
  const columnsOf = (name: string): unknown[][] =>
    sql
      .rows<{
        name: string;
        type: string;
        notnull: number;
        dflt_value: string | null;
        pk: number;
        hidden: number;
      }>(`PRAGMA table_xinfo(${quoteName(name)})`)
      .map((column) => [
        column.name,
        column.type.toUpperCase(),
        column.notnull,
        column.dflt_value,
        column.pk,
        column.hidden,
      ])
      .toSorted(([left], [right]) => (String(left) < String(right) ? -1 : 1));
  return JSON.stringify(
    tables
      .map(({ name }) => [name, columnsOf(name)])
      .toSorted(([left], [right]) => (String(left) < String(right) ? -1 : 1)),
  );
}
