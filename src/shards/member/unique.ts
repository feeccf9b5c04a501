/**
 * Triggers that keep ids unique in a namespace with a directory of keys, whatever code writes: a
 * row is stored only under an id that was claimed for its key, a key never changes in place, and
 * what is deleted is noted, so that its id can be given back.
 *
 * The engine lifts them with all others while it writes. They are on members that serve, and
 * nowhere else.
 */
import { type Key, compareKeys, keyText } from "../../model/layout/key.ts";
import { type KeyedDirectoryLayout, hasKeyedDirectory } from "../../model/layout/directory.ts";
import type { Layout } from "../../model/layout/layout.ts";
import { triggersOf } from "../move/write-blocks.ts";
import { idMatches } from "../storage/row-id.ts";
import { UNIQUE_PREFIX } from "../storage/private-names.ts";
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

/**
 * Puts up the triggers that the layout asks for, and takes down what it does not. Changes nothing
 * that is right: a table that is rebuilt, as migrations do, has lost them. Call inside a
 * transaction.
 */
export function keepUnique(sql: Sql, tables: readonly Table[], layout: Layout | null): void {
  const keyed = layout !== null && hasKeyedDirectory(layout) ? layout : null;
  const triggers =
    keyed === null ? [] : keyedTables(tables).flatMap((table) => uniqueTriggers(table, keyed));
  const wanted = new Map(triggers.map((trigger) => [trigger.name, trigger.sql]));
  for (const found of triggersOf(sql).filter(({ name }) => name.startsWith(UNIQUE_PREFIX))) {
    if (wanted.get(found.name) === found.sql) wanted.delete(found.name);
    else sql.run(`DROP TRIGGER ${quoteName(found.name)}`);
  }
  for (const statement of wanted.values()) sql.run(statement);
}

/** True when the layout counts both keys as one. */
export function sameKey(layout: Layout, left: Key, right: Key): boolean {
  return layout.kind === "hash" ? keyText(left) === keyText(right) : compareKeys(left, right) === 0;
}

interface UniqueTrigger {
  readonly name: string;
  readonly sql: string;
}

function uniqueTriggers(table: Table, layout: KeyedDirectoryLayout): UniqueTrigger[] {
  const id = quoteName(table.primaryKey[0] ?? "");
  const [oldKey, newKey] = ["OLD", "NEW"].map((alias) =>
    keyExpression(table, layout.shardKey, alias),
  ) as [string, string];
  const stored = `EXISTS (SELECT 1 FROM ${quoteName(table.name)} AS t WHERE t.${id} = NEW.${id} AND CAST(t.${id} AS TEXT) COLLATE BINARY = CAST(NEW.${id} AS TEXT) AND ${sameKeySql(layout, keyExpression(table, layout.shardKey, "t"), newKey)})`;
  const granted = `EXISTS (SELECT 1 FROM shardctl_granted AS g WHERE g.table_name = ${quoteText(table.name)} AND g.id = CAST(NEW.${id} AS TEXT) AND ${sameKeySql(layout, "g.key", newKey)})`;
  const freed = `INSERT INTO shardctl_freed (table_name, row_id) VALUES (${quoteText(table.name)}, CAST(OLD.${id} AS TEXT));`;
  const renames = `OLD.${id} COLLATE BINARY IS NOT NEW.${id}`;
  const alike = `SELECT 1 FROM ${quoteName(table.name)} AS t WHERE ${idMatches(table, "t", `CAST(NEW.${id} AS TEXT)`)} AND typeof(t.${id}) <> typeof(NEW.${id})`;
  const alikeRenamed = `${renames} AND EXISTS (${alike} AND t.${id} <> OLD.${id})`;
  const changed = `NOT ${sameKeySql(layout, oldKey, newKey)} OR (${renames} AND NOT ${granted})`;
  const refuseChange = `SELECT CASE WHEN ${sameKeySql(layout, oldKey, newKey)} THEN RAISE(ABORT, ${quoteText(NOT_CLAIMED)}) ELSE RAISE(ABORT, ${quoteText(KEY_CHANGES)}) END;`;
  return [
    uniqueTrigger(
      table,
      "insert",
      "BEFORE INSERT",
      `NOT ${stored} AND NOT ${granted}`,
      abort(NOT_CLAIMED),
    ),
    uniqueTrigger(table, "alike", "BEFORE INSERT", `EXISTS (${alike})`, abort(READS_THE_SAME)),
    uniqueTrigger(table, "alike_update", "BEFORE UPDATE", alikeRenamed, abort(READS_THE_SAME)),
    uniqueTrigger(table, "update", "BEFORE UPDATE", changed, refuseChange),
    uniqueTrigger(table, "rename", "AFTER UPDATE", renames, freed),
    uniqueTrigger(table, "delete", "AFTER DELETE", "1", freed),
  ];
}

function abort(message: string): string {
  return `SELECT RAISE(ABORT, ${quoteText(message)});`;
}

/** SQL that is 1 when the layout counts both values as one key. Never NULL. */
export function sameKeySql({ kind }: Pick<Layout, "kind">, left: string, right: string): string {
  const exact = `(${left}) COLLATE BINARY IS (${right})`;
  if (kind !== "hash") return `(${exact})`;
  const text = (value: string): string => `coalesce(CAST((${value}) AS TEXT), '')`;
  const alike = `(typeof(${left}) = 'blob') = (typeof(${right}) = 'blob') AND ${text(left)} = ${text(right)}`;
  return `(${exact} OR (${alike}))`;
}

function uniqueTrigger(
  table: Table,
  label: string,
  event: string,
  when: string,
  body: string,
): UniqueTrigger {
  const name = `${UNIQUE_PREFIX}${label}_${table.name}`;
  const sql = `CREATE TRIGGER ${quoteName(name)} ${event} ON ${quoteName(table.name)} WHEN ${when} BEGIN ${body} END`;
  return { name, sql };
}
