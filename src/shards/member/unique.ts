/**
 * Triggers that keep ids unique in a namespace with a directory of keys, whatever code writes: a row is stored only under an id that was
 * claimed for its key, a key never changes in place, and what is deleted is noted, so that its id can be given back.
 *
 * The engine lifts them with all others while it writes. They are on members that serve, and nowhere else.
 */
import { type Key, compareKeys, keyText } from "../../core/key.ts";
import { type KeyedDirectoryLayout, hasKeyedDirectory } from "../../core/directory.ts";
import type { Layout } from "../../core/layout.ts";
import { idMatches } from "../storage/row-id.ts";
import { UNIQUE_PREFIX } from "../storage/schema.ts";
import { type Sql, quoteName, quoteText } from "../storage/storage.ts";
import { type Table, TableFault, keyExpression } from "../storage/tables.ts";

const NOT_CLAIMED =
  "shardctl: this namespace has a directory, and the id of the new row was not claimed for its shard key: nothing was written. Name the ids in the call: router.at(key, { table, ids })";
const KEY_CHANGES =
  "shardctl: this namespace has a directory, and the shard key of a row cannot change in place: nothing was written. Delete the row under its old key, then store it under the new one";

const READS_THE_SAME =
  "shardctl: this namespace has a directory, which takes ids as text, and the id of another row reads the same (1 and '1'): nothing was written. Choose another id";

/** The tables whose ids the directory knows: those that carry the shard key themselves. */
export function keyedTables(tables: readonly Table[]): Table[] {
  return tables.filter((table) => table.followed === null);
}

/** @throws TableFault when the directory could not name a row by one id. */
export function checkIds(tables: readonly Table[]): void {
  for (const { name, primaryKey } of keyedTables(tables)) {
    if (primaryKey.length === 1) continue;
    throw new TableFault(
      `Table '${name}' has a primary key of ${primaryKey.length} columns (${primaryKey.join(", ")}): a directory needs one. Set spec.directory to false`,
    );
  }
}

/** Puts up the triggers that the layout asks for, and takes down what it does not. Call inside a transaction. */
export function keepUnique(sql: Sql, tables: readonly Table[], layout: Layout | null): void {
  removeUnique(sql);
  if (layout === null || !hasKeyedDirectory(layout)) return;
  for (const table of keyedTables(tables)) installUnique(sql, table, layout);
}

/** True when every keyed table has its triggers. A table that is rebuilt, as migrations do, loses them. */
export function hasUnique(sql: Sql, tables: readonly Table[]): boolean {
  return uniqueTriggers(sql).length === keyedTables(tables).length * TRIGGERS_PER_TABLE;
}

/** True when the layout takes both keys for one. */
export function sameKey(layout: Layout, left: Key, right: Key): boolean {
  return layout.kind === "hash" ? keyText(left) === keyText(right) : compareKeys(left, right) === 0;
}

const TRIGGERS_PER_TABLE = 6;

function installUnique(sql: Sql, table: Table, layout: KeyedDirectoryLayout): void {
  const id = quoteName(table.primaryKey[0] ?? "");
  const [oldKey, newKey] = ["OLD", "NEW"].map((alias) => keyExpression(table, layout.shardKey, alias)) as [string, string];
  const stored = `EXISTS (SELECT 1 FROM ${quoteName(table.name)} AS t WHERE t.${id} = NEW.${id} AND CAST(t.${id} AS TEXT) COLLATE BINARY = CAST(NEW.${id} AS TEXT) AND ${sameKeySql(layout, keyExpression(table, layout.shardKey, "t"), newKey)})`;
  const granted = `EXISTS (SELECT 1 FROM shardctl_granted AS g WHERE g.table_name = ${quoteText(table.name)} AND g.id = CAST(NEW.${id} AS TEXT) AND ${sameKeySql(layout, "g.key", newKey)})`;
  const freed = `INSERT INTO shardctl_freed (table_name, row_id) VALUES (${quoteText(table.name)}, CAST(OLD.${id} AS TEXT));`;
  const renames = `OLD.${id} COLLATE BINARY IS NOT NEW.${id}`;
  const alike = `SELECT 1 FROM ${quoteName(table.name)} AS t WHERE ${idMatches(table, "t", `CAST(NEW.${id} AS TEXT)`)} AND typeof(t.${id}) <> typeof(NEW.${id})`;
  createTrigger(sql, table, "insert", "BEFORE INSERT", `NOT ${stored} AND NOT ${granted}`, abort(NOT_CLAIMED));
  createTrigger(sql, table, "alike", "BEFORE INSERT", `EXISTS (${alike})`, abort(READS_THE_SAME));
  createTrigger(
    sql,
    table,
    "alike_update",
    "BEFORE UPDATE",
    `${renames} AND EXISTS (${alike} AND t.${id} <> OLD.${id})`,
    abort(READS_THE_SAME),
  );
  createTrigger(
    sql,
    table,
    "update",
    "BEFORE UPDATE",
    `NOT ${sameKeySql(layout, oldKey, newKey)} OR (${renames} AND NOT ${granted})`,
    `SELECT CASE WHEN ${sameKeySql(layout, oldKey, newKey)} THEN RAISE(ABORT, ${quoteText(NOT_CLAIMED)}) ELSE RAISE(ABORT, ${quoteText(KEY_CHANGES)}) END;`,
  );
  createTrigger(sql, table, "rename", "AFTER UPDATE", renames, freed);
  createTrigger(sql, table, "delete", "AFTER DELETE", "1", freed);
}

function abort(message: string): string {
  return `SELECT RAISE(ABORT, ${quoteText(message)});`;
}

/** SQL that is 1 when the layout takes both values for one key. Never NULL. */
function sameKeySql({ kind }: KeyedDirectoryLayout, left: string, right: string): string {
  const exact = `(${left}) COLLATE BINARY IS (${right})`;
  if (kind !== "hash") return `(${exact})`;
  const text = (value: string): string => `coalesce(CAST((${value}) AS TEXT), '')`;
  const alike = `(typeof(${left}) = 'blob') = (typeof(${right}) = 'blob') AND ${text(left)} = ${text(right)}`;
  return `(${exact} OR (${alike}))`;
}

function createTrigger(sql: Sql, table: Table, label: string, event: string, when: string, body: string): void {
  const name = quoteName(`${UNIQUE_PREFIX}${label}_${table.name}`);
  sql.run(`CREATE TRIGGER ${name} ${event} ON ${quoteName(table.name)} WHEN ${when} BEGIN ${body} END`);
}

function removeUnique(sql: Sql): void {
  for (const name of uniqueTriggers(sql)) sql.run(`DROP TRIGGER ${quoteName(name)}`);
}

function uniqueTriggers(sql: Sql): string[] {
  return sql
    .rows<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'trigger' ORDER BY name")
    .map(({ name }) => name)
    .filter((name) => name.startsWith(UNIQUE_PREFIX));
}
