/**
 * Capture: triggers on a source that log the primary key of every row written while the rows are
 * being moved.
 *
 * Triggers see writes by any code path, also the user's own triggers and cascades. The log says
 * only *that* a row changed; the drain reads the row again. `is_moved` marks entries after which
 * the row may belong to another target, or to none.
 *
 * Rule "one-entry-a-key": a key that is written again is appended again, and its older entry goes,
 * so that the log is never longer than the keys that were written since they were last drained. A
 * page that is on its way covers entries by their numbers: it never takes the newer one away.
 *
 * `INSERT OR REPLACE` deletes rows without firing a delete trigger. An insert is therefore taken
 * for a possible replacement of its primary key, and rows that it may replace otherwise are
 * captured before the statement runs: by another unique index, by a rowid, by a key that is only
 * alike.
 *
 * Keys are told apart by their bytes, whatever the collation: a directory and the owner of a key
 * go by them.
 */
import type { Layout } from "../../model/layout/layout.ts";
import { triggersOf } from "./write-blocks.ts";
import { CAPTURE_PREFIX } from "../storage/private-names.ts";
import { captureRivals, idChange, rivalsOf } from "./rivals.ts";
import { rowJson } from "../storage/row-codec.ts";
import { type Sql, quoteName, quoteText } from "../storage/storage.ts";
import { type Table, keyExpression } from "../storage/tables.ts";

/**
 * Gives every table its triggers, and takes them from every other. `shardKey` is the target
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

/** The shard key that capture watches: null when a change of it moves no row. */
export function capturedKey(to: Layout): string | null {
  return to.kind === "none" || to.kind === "roundRobin" ? null : to.shardKey;
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

/**
 * Drops what older entries there are of the key in the entry that was appended last. A statement of
 * a trigger.
 */
const DROP_OLDER = `DELETE FROM shardctl_captured WHERE id < last_insert_rowid() AND (table_name, pk) = (SELECT table_name, pk FROM shardctl_captured WHERE id = last_insert_rowid());`;

function captureTriggers(sql: Sql, table: Table, shardKey: string | null): CaptureTrigger[] {
  const name = quoteText(table.name);
  const capture = (row: string, isMoved: string): string =>
    `INSERT INTO shardctl_captured (table_name, pk, is_moved) VALUES (${name}, ${rowJson(table.primaryKey, row)}, ${isMoved}); ${DROP_OLDER}`;
  // A row stays moved when an older entry of it says so.
  const wasMoved = `EXISTS (SELECT 1 FROM shardctl_captured WHERE table_name = ${name} AND pk = ${rowJson(table.primaryKey, "NEW")} AND is_moved = 1)`;
  const changesKey = keyChange(table, shardKey);
  const renames = `AFTER UPDATE ON ${quoteName(table.name)} WHEN ${idChange(sql, table)}`;
  return [
    captureTrigger(table, "after_insert", "AFTER INSERT", capture("NEW", "1")),
    captureTrigger(table, "after_delete", "AFTER DELETE", capture("OLD", "1")),
    captureTrigger(
      table,
      "after_update",
      "AFTER UPDATE",
      capture("NEW", `max(${changesKey}, ${wasMoved})`),
    ),
    captureTrigger(table, "after_rename", renames, capture("OLD", "1") + capture("NEW", "1")),
    ...rivalsOf(sql, table).flatMap(({ label, same, changes }) => {
      const on = `ON ${quoteName(table.name)}`;
      const rivals = captureRivals(table, same);
      return [
        captureTrigger(table, `rivals_insert_${label}`, `BEFORE INSERT ${on}`, rivals),
        captureTrigger(
          table,
          `rivals_update_${label}`,
          `BEFORE UPDATE ${on}${changes === null ? "" : ` WHEN ${changes}`}`,
          rivals,
        ),
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
