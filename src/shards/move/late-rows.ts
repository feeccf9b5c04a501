/**
 * Rows that came to a target of a swap after it was checked whole: which of them may point at a row
 * that is not here.
 *
 * A target is checked whole before the fence, which takes as long as its tables are large. What is
 * drained after that is noted, so that the check under the fence reads these rows only: those that
 * came, and those that pointed at a row which was taken away or changed. Nothing is noted before
 * the first whole check, nor where no table points at another.
 */
import type { Moving } from "./moving.ts";
import type { RowsPart } from "../protocol/messages.ts";
import { primaryKeyMatches, rowJson } from "../storage/row-codec.ts";
import { dropMeta, ensureSchema, readMeta, writeMeta } from "../storage/schema.ts";
import { type Sql, quoteName } from "../storage/storage.ts";
import type { MovePlan, MoveTable } from "./move-plan.ts";
import { type Reference, isSameName, pointsAt, pointsNowhere, referencesOf } from "./references.ts";

/** The operation whose rows have been checked whole here. */
const CHECKED = "checked";

/** True when everything that came before the noted rows has been checked. */
export function isChecked(sql: Sql, { operation }: Pick<Moving, "operation">): boolean {
  return readMeta<number>(sql, CHECKED) === operation;
}

/**
 * The check succeeded: rows are noted from here on. Call in the turn of the check, inside a
 * transaction.
 */
export function noteChecked(sql: Sql, { operation }: Pick<Moving, "operation">): void {
  if (isChecked(sql, { operation })) {
    sql.run("DELETE FROM shardctl_late");
    return;
  }
  ensureSchema(sql); // of an object that was prepared by a library without this table
  writeMeta(sql, CHECKED, operation);
}

/** Forgets the check: some of what it has seen is gone. */
export function dropChecked(sql: Sql): void {
  dropMeta(sql, CHECKED);
}

/**
 * Notes what a message may leave dangling. Call before its rows are stored, in the same
 * transaction.
 */
export function noteLate(
  sql: Sql,
  { moving, tables }: MovePlan,
  parts: readonly { readonly part: RowsPart; readonly table: MoveTable }[],
): void {
  if (moving.mode !== "swap" || !isChecked(sql, moving)) return;
  const references = tables.flatMap(({ table }) => referencesOf(sql, table.name));
  for (const { part, table } of parts) {
    if (references.some((reference) => reference.table === table.table.name))
      sql.run(
        "INSERT OR IGNORE INTO shardctl_late (table_name, pk) SELECT ?1, value FROM json_each(?2)",
        part.table,
        part.keys,
      );
    for (const reference of references) {
      if (!isSameName(reference.parent, part.table)) continue;
      const child = tables.find((each) => each.table.name === reference.table);
      if (!child) continue;
      noteChildren(sql, reference, child, table, part.absent);
      // A row in place of another under the same primary key is no other parent, unless it is
      // pointed at by something else.
      const byKey = reference.columns.every(({ key }) =>
        table.table.primaryKey.some((column) => isSameName(column, key)),
      );
      if (!byKey) noteChildren(sql, reference, child, table, part.keys);
    }
  }
}

/** How many of the noted rows point at rows that are not here. */
export function countLate(sql: Sql, { table }: MoveTable, reference: Reference): number {
  const query = `SELECT count(*) AS n FROM shardctl_late AS l CROSS JOIN ${quoteName(table.name)} AS s ON ${primaryKeyMatches(table, "s", "l.pk")}
    WHERE l.table_name = ? AND ${pointsNowhere(reference, "s")}`;
  return sql.first<{ n: number }>(query, table.name)?.n ?? 0;
}

function noteChildren(
  sql: Sql,
  reference: Reference,
  child: MoveTable,
  parent: MoveTable,
  keys: string,
): void {
  if (keys === "[]") return;
  sql.run(
    `INSERT OR IGNORE INTO shardctl_late (table_name, pk) SELECT ?1, ${rowJson(child.table.primaryKey, "c")} FROM json_each(?2) AS j
       JOIN ${quoteName(parent.table.name)} AS p ON ${primaryKeyMatches(parent.table, "p", "j.value")}
       JOIN ${quoteName(child.table.name)} AS c ON ${pointsAt(sql, reference, "p", "c")}`,
    child.table.name,
    keys,
  );
}
