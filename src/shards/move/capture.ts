/**
 * Capture: triggers on a source that append the primary key of every row written while the rows are being moved.
 *
 * Triggers see writes by any code path, also the user's own triggers and cascades. The log is append-only and says only *that* a row
 * changed; the drain reads the row again. `is_moved` marks entries after which the row may belong to another target, or to none.
 *
 * `INSERT OR REPLACE` deletes rows without firing a delete trigger. An insert is therefore taken for a possible replacement of its
 * primary key, and rows that share a value of another unique index are captured before the statement runs.
 */
import { triggersOf } from "./guards.ts";
import { CAPTURE_PREFIX } from "../storage/schema.ts";
import { rowJson } from "../storage/row-codec.ts";
import { type Sql, quoteName, quoteText } from "../storage/storage.ts";
import { type Table, TableFault, keyExpression } from "../storage/tables.ts";

/**
 * Sees to it that every table has its triggers, and no other has any. `shardKey` is the target
 * layout's, null when every row goes to one member. Changes nothing that is right. Call inside a
 * transaction.
 */
export function keepCapture(sql: Sql, tables: readonly Table[], shardKey: string | null): void {
  const triggers = tables.flatMap((table) => captureTriggers(sql, table, shardKey));
  const wanted = new Map(triggers.map((trigger) => [trigger.name, trigger.sql]));
  for (const found of captureOf(sql)) {
    if (wanted.get(found.name) === found.sql) wanted.delete(found.name);
    else sql.run(`DROP TRIGGER ${quoteName(found.name)}`);
  }
  for (const statement of wanted.values()) sql.run(statement);
}

/** Removes the triggers. Idempotent. Call inside a transaction. */
export function removeCapture(sql: Sql): void {
  for (const { name } of captureOf(sql)) sql.run(`DROP TRIGGER ${quoteName(name)}`);
}

/** Entries that wait to be drained. */
export function capturedCount(sql: Sql): number {
  return sql.first<{ n: number }>("SELECT count(*) AS n FROM shardctl_captured")?.n ?? 0;
}

interface CaptureTrigger {
  readonly name: string;
  readonly sql: string;
}

function captureTriggers(sql: Sql, table: Table, shardKey: string | null): CaptureTrigger[] {
  const capture = (row: string, isMoved: string): string =>
    `INSERT INTO shardctl_captured (table_name, pk, is_moved) VALUES (${quoteText(table.name)}, ${rowJson(table.primaryKey, row)}, ${isMoved});`;
  const changesKey = keyChange(table, shardKey);
  const changesId = table.primaryKey.map((column) => `OLD.${quoteName(column)} IS NOT NEW.${quoteName(column)}`).join(" OR ");
  const renames = `AFTER UPDATE ON ${quoteName(table.name)} WHEN ${changesId}`;
  return [
    captureTrigger(table, "after_insert", "AFTER INSERT", capture("NEW", "1")),
    captureTrigger(table, "after_delete", "AFTER DELETE", capture("OLD", "1")),
    captureTrigger(table, "after_update", "AFTER UPDATE", capture("NEW", changesKey)),
    captureTrigger(table, "after_rename", renames, capture("OLD", "1") + capture("NEW", "1")),
    ...uniqueColumns(sql, table).flatMap((columns, index) => {
      const rivals = captureRivals(table, columns);
      return [
        captureTrigger(table, `rivals_insert_${index}`, "BEFORE INSERT", rivals),
        captureTrigger(table, `rivals_update_${index}`, "BEFORE UPDATE", rivals),
      ];
    }),
  ];
}

function captureTrigger(table: Table, label: string, event: string, body: string): CaptureTrigger {
  const name = `${CAPTURE_PREFIX}${label}_${table.name}`;
  const when = event.includes(" ON ") ? event : `${event} ON ${quoteName(table.name)}`;
  return { name, sql: `CREATE TRIGGER ${quoteName(name)} ${when} BEGIN ${body} END` };
}

function captureOf(sql: Sql): { readonly name: string; readonly sql: string }[] {
  return triggersOf(sql).filter(({ name }) => name.startsWith(CAPTURE_PREFIX));
}

/** SQL that is 1 when an update changes where the row belongs. */
function keyChange(table: Table, shardKey: string | null): string {
  if (table.followed) {
    const by = quoteName(table.followed.by);
    return `OLD.${by} COLLATE BINARY IS NOT NEW.${by}`;
  }
  if (shardKey === null) return "0";
  return `(${keyExpression(table, shardKey, "OLD")}) COLLATE BINARY IS NOT (${keyExpression(table, shardKey, "NEW")})`;
}

function captureRivals(table: Table, columns: readonly IndexColumn[]): string {
  const same = columns
    .map(({ name, collation }) => `r.${quoteName(name)} = NEW.${quoteName(name)} COLLATE ${quoteName(collation)}`)
    .join(" AND ");
  return `INSERT INTO shardctl_captured (table_name, pk, is_moved) SELECT ${quoteText(table.name)}, ${rowJson(table.primaryKey, "r")}, 1 FROM ${quoteName(table.name)} AS r WHERE ${same};`;
}

interface IndexColumn {
  readonly name: string;
  /** The index's own: it may find two values equal that the column does not. */
  readonly collation: string;
}

function uniqueColumns(sql: Sql, table: Table): IndexColumn[][] {
  return sql
    .rows<{ name: string; unique: number; origin: string }>(`PRAGMA index_list(${quoteName(table.name)})`)
    .filter((index) => index.unique === 1 && index.origin !== "pk")
    .map((index) => {
      const columns = sql
        .rows<{ name: string | null; coll: string | null; key: number }>(`PRAGMA index_xinfo(${quoteName(index.name)})`)
        .filter((column) => column.key === 1);
      return columns.map(({ name, coll }): IndexColumn => {
        if (name !== null) return { name, collation: coll ?? "BINARY" };
        throw new TableFault(
          `Table '${table.name}' has a unique index on an expression (${index.name}): a replaced row could not be seen. Use columns`,
        );
      });
    });
}
