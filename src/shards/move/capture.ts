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
 * `INSERT OR REPLACE` deletes rows without firing a delete trigger. An insert is therefore taken for
 * a possible replacement of its primary key, and rows that it may replace otherwise are captured
 * before the statement runs: by another unique index, by a rowid, by a key that is only alike.
 *
 * What counts as another key is its bytes, whatever the collation: a directory and the owner of a
 * key go by them.
 */
import { triggersOf } from "./guards.ts";
import { CAPTURE_PREFIX } from "../storage/schema.ts";
import { rowJson } from "../storage/row-codec.ts";
import { type Sql, quoteName, quoteText } from "../storage/storage.ts";
import { type Table, TableFault, columnRules, isRowidTable, keyExpression } from "../storage/tables.ts";

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

/** Drops what older entries there are of the key in the entry that was appended last. A statement of a trigger. */
const DROP_OLDER = `DELETE FROM shardctl_captured WHERE id < last_insert_rowid() AND (table_name, pk) = (SELECT table_name, pk FROM shardctl_captured WHERE id = last_insert_rowid());`;

function captureTriggers(sql: Sql, table: Table, shardKey: string | null): CaptureTrigger[] {
  const name = quoteText(table.name);
  const capture = (row: string, isMoved: string): string =>
    `INSERT INTO shardctl_captured (table_name, pk, is_moved) VALUES (${name}, ${rowJson(table.primaryKey, row)}, ${isMoved}); ${DROP_OLDER}`;
  // What an older entry says of the row holds on.
  const wasMoved = `EXISTS (SELECT 1 FROM shardctl_captured WHERE table_name = ${name} AND pk = ${rowJson(table.primaryKey, "NEW")} AND is_moved = 1)`;
  const changesKey = keyChange(table, shardKey);
  const renames = `AFTER UPDATE ON ${quoteName(table.name)} WHEN ${idChange(sql, table)}`;
  return [
    captureTrigger(table, "after_insert", "AFTER INSERT", capture("NEW", "1")),
    captureTrigger(table, "after_delete", "AFTER DELETE", capture("OLD", "1")),
    captureTrigger(table, "after_update", "AFTER UPDATE", capture("NEW", `max(${changesKey}, ${wasMoved})`)),
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

/** SQL that is true when an update makes another key of it, also one that compares alike. */
function idChange(sql: Sql, table: Table): string {
  return table.primaryKey
    .map((column) => changeOf(column))
    .concat(untypedKeys(sql, table).map((column) => `typeof(OLD.${quoteName(column)}) IS NOT typeof(NEW.${quoteName(column)})`))
    .join(" OR ");
}

function changeOf(column: string): string {
  return `OLD.${quoteName(column)} COLLATE BINARY IS NOT NEW.${quoteName(column)}`;
}

/** Columns of the primary key in which a number may be stored as 1 and as 1.0: two keys that compare alike. */
function untypedKeys(sql: Sql, table: Table): string[] {
  const rules = columnRules(sql, table.name);
  return table.primaryKey.filter((column) => rules.get(column)?.startsWith("BLOB"));
}

/** A way in which a statement may take rows away without a delete trigger. */
interface Rivals {
  /** Names the triggers. */
  readonly label: string;
  /** SQL that is true for a row under `r` that the row under `NEW` takes the place of. */
  readonly same: string;
  /** SQL that is true for an update that may do so; null when every update may. */
  readonly changes: string | null;
}

function rivalsOf(sql: Sql, table: Table): Rivals[] {
  const defaults = requiredDefaults(sql, table);
  const byIndex = uniqueColumns(sql, table).map(({ isKey, isPartial, columns }, index): Rivals => {
    const changes = isKey ? idChange(sql, table) : columns.map(({ name }) => changeOf(name)).join(" OR ");
    return {
      label: isKey ? "key" : String(index),
      same: columns
        .map(({ name, collation }) => `r.${quoteName(name)} = ${newValue(name, defaults)} COLLATE ${quoteName(collation)}`)
        .join(" AND "),
      // A row enters a partial index by any column that the index's condition looks at.
      changes: isPartial ? null : changes,
    };
  });
  const rowid = rowidName(sql, table);
  if (rowid === null) return byIndex;
  // Of a row whose rowid is left to SQLite it is -1 here.
  return [...byIndex, { label: "rowid", same: `r.${rowid} = NEW.${rowid}`, changes: `OLD.${rowid} IS NOT NEW.${rowid}` }];
}

/** SQL for what a column will hold: `OR REPLACE` stores the default for a NULL that the column refuses, behind these triggers. */
function newValue(column: string, defaults: ReadonlyMap<string, string>): string {
  const value = `NEW.${quoteName(column)}`;
  const otherwise = defaults.get(column);
  return otherwise === undefined ? value : `ifnull(${value}, ${otherwise})`;
}

/** The defaults of the columns that refuse NULL, as SQL. */
function requiredDefaults(sql: Sql, table: Table): Map<string, string> {
  const columns = sql.rows<{ name: string; notnull: number; dflt_value: string | null }>(
    `PRAGMA table_xinfo(${quoteName(table.name)})`,
  );
  return new Map(
    columns.flatMap(({ name, notnull, dflt_value: text }) => (notnull === 0 || text === null ? [] : [[name, defaultSql(text)]])),
  );
}

/** A default that is one name, in quotes or not, is a text: anywhere else it would be a column. */
function defaultSql(text: string): string {
  if (/^(?:true|false|null|current_\w+)$/i.test(text)) return text;
  if (/^[\p{L}_][\p{L}\p{N}_$]*$/u.test(text)) return quoteText(text);
  const quoted = /^(?:"((?:[^"]|"")*)"|`((?:[^`]|``)*)`|\[([^\]]*)\])$/.exec(text);
  if (!quoted) return `(${text}\n)`;
  return quoteText(quoted[1]?.replaceAll('""', '"') ?? quoted[2]?.replaceAll("``", "`") ?? quoted[3] ?? "");
}

/** The name by which a statement can give a row a rowid that is not its primary key; null when there is none. */
function rowidName(sql: Sql, table: Table): string | null {
  if (!isRowidTable(sql, table)) return null;
  // A column that is named so hides it.
  const taken = new Set(columnNames(sql, table).map((column) => column.toLowerCase()));
  return ["rowid", "_rowid_", "oid"].find((name) => !taken.has(name)) ?? null;
}

function columnNames(sql: Sql, table: Table): string[] {
  return sql.rows<{ name: string }>(`PRAGMA table_xinfo(${quoteName(table.name)})`).map(({ name }) => name);
}

function captureRivals(table: Table, same: string): string {
  const name = quoteText(table.name);
  const key = rowJson(table.primaryKey, "r");
  const rivals = `FROM ${quoteName(table.name)} AS r WHERE ${same}`;
  return `INSERT INTO shardctl_captured (table_name, pk, is_moved) SELECT ${name}, ${key}, 1 ${rivals};
    DELETE FROM shardctl_captured WHERE table_name = ${name} AND pk IN (SELECT ${key} ${rivals})
      AND id < (SELECT max(n.id) FROM shardctl_captured AS n WHERE n.table_name = ${name} AND n.pk = shardctl_captured.pk);`;
}

interface IndexColumn {
  readonly name: string;
  /** The index's own: it may find two values equal that the column does not. */
  readonly collation: string;
}

interface UniqueColumns {
  /** True for the primary key. */
  readonly isKey: boolean;
  /** True for an index with a condition: it holds only the rows for which that is true. */
  readonly isPartial: boolean;
  readonly columns: readonly IndexColumn[];
}

/** The unique indexes; the primary key only where another key may compare alike: any other row in its way has the key that is captured. */
function uniqueColumns(sql: Sql, table: Table): UniqueColumns[] {
  const isAmbiguous = table.hasLikeKeys || untypedKeys(sql, table).length > 0;
  return sql
    .rows<{ name: string; unique: number; origin: string; partial: number }>(`PRAGMA index_list(${quoteName(table.name)})`)
    .filter((index) => index.unique === 1 && (index.origin !== "pk" || isAmbiguous))
    .toSorted((left, right) => Number(left.origin === "pk") - Number(right.origin === "pk"))
    .map((index) => {
      const columns = sql
        .rows<{ name: string | null; coll: string | null; key: number }>(`PRAGMA index_xinfo(${quoteName(index.name)})`)
        .filter((column) => column.key === 1);
      const found = columns.map(({ name, coll }): IndexColumn => {
        if (name !== null) return { name, collation: coll ?? "BINARY" };
        throw new TableFault(
          `Table '${table.name}' has a unique index on an expression (${index.name}): a replaced row could not be seen. Use columns`,
        );
      });
      return { isKey: index.origin === "pk", isPartial: index.partial === 1, columns: found };
    });
}
