/**
 * Puts the rows of a retired member out of the way, counts them, and drops them.
 *
 * Each declared table is renamed to a private name, which costs the same whatever its size, and an
 * empty table of the same definition takes its place: a migration of a later version of the class
 * finds what it expects and no row to walk over, and whatever is written there later is nothing
 * that the engine may delete. Indexes and triggers keep their names, so those of the renamed table
 * are dropped.
 *
 * | who names the table              | after a plain RENAME | so                                                                            |
 * |----------------------------------|----------------------|-------------------------------------------------------------------------------|
 * | views, triggers                  | names the old rows   | they are dropped before and created again after                               |
 * | a foreign key of a renamed table | names the old rows   | it stays: `foreign_key_check` finds nothing wrong with the old rows           |
 * | a foreign key of another table   | names the old rows   | `legacy_alter_table`, with enforcement off, leaves every foreign key as it is |
 */
import { pointingTables, referencesOf, isSameName } from "../move/references.ts";
import { triggersOf } from "../move/write-blocks.ts";
import { PRIVATE_PREFIX, RETIRED_PREFIX } from "../storage/private-names.ts";
import { type Sql, quoteName } from "../storage/storage.ts";
import { existingTables } from "../storage/tables.ts";

/**
 * Puts the rows of the tables out of the way; does nothing when they have none. Call inside a
 * transaction, with foreign keys off where a database has some. @throws Error when a cursor that
 * somebody left open keeps SQLite from dropping an index: call again later.
 */
export function putAway(sql: Sql, declared: readonly string[]): void {
  const tables = existingTables(sql, declared);
  if (!tables.some((table) => hasRows(sql, table))) return;
  dropRetired(sql);
  const definitions = tables.map((table) => ({
    table,
    statement: definitionOf(sql, table),
    indexes: indexesOf(sql, table),
  }));
  const views = sql.rows<Definition>(
    "SELECT name, sql FROM sqlite_master WHERE type = 'view' ORDER BY rowid",
  );
  const triggers = triggersOf(sql);
  for (const { name } of triggers) sql.run(`DROP TRIGGER ${quoteName(name)}`);
  for (const { name } of views) sql.run(`DROP VIEW ${quoteName(name)}`);
  // Before anything is created: a full database has room again.
  for (const { indexes } of definitions)
    for (const { name } of indexes) sql.run(`DROP INDEX ${quoteName(name)}`);
  withAlterMode(sql, hasPointers(sql, tables), () => {
    for (const table of tables)
      sql.run(`ALTER TABLE ${quoteName(table)} RENAME TO ${quoteName(retiredName(table))}`);
  });
  for (const { table, statement, indexes } of definitions) {
    sql.run(statement);
    for (const index of indexes) sql.run(index.sql);
    keepSequence(sql, table);
  }
  for (const { sql: statement } of [...views, ...triggers]) sql.run(statement);
}

/**
 * Drops what was put away. A dropped table costs no written row. Idempotent. Call inside a
 * transaction, with foreign keys off.
 */
export function dropRetired(sql: Sql): void {
  for (const name of retiredTables(sql)) sql.run(`DROP TABLE ${quoteName(name)}`);
}

/** The table in which the rows of a table were put away, with its columns; null for none. */
export function retiredTableOf(
  sql: Sql,
  table: string,
): { readonly name: string; readonly columns: readonly string[] } | null {
  const name = retiredName(table);
  if (!retiredTables(sql).includes(name)) return null;
  // Its own columns: the table in its place may have others by now.
  const columns = sql
    .rows<{ name: string; hidden: number }>(`PRAGMA table_xinfo(${quoteName(name)})`)
    .filter(({ hidden }) => hidden === 0)
    .map((column) => column.name);
  return { name, columns };
}

interface Definition extends Record<string, string> {
  name: string;
  sql: string;
}

function retiredName(table: string): string {
  return `${RETIRED_PREFIX}${table}`;
}

function retiredTables(sql: Sql): string[] {
  return sql
    .rows<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    .map(({ name }) => name)
    .filter((name) => name.startsWith(RETIRED_PREFIX));
}

function hasRows(sql: Sql, table: string): boolean {
  return sql.first(`SELECT 1 AS found FROM ${quoteName(table)} LIMIT 1`) !== undefined;
}

function definitionOf(sql: Sql, table: string): string {
  const found = sql.first<{ sql: string }>(
    "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?",
    table,
  );
  if (!found) throw new Error(`Table '${table}' has no definition`);
  return found.sql;
}

/** Reads the indexes that a statement made: the others come with the table. */
function indexesOf(sql: Sql, table: string): Definition[] {
  const query =
    "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL ORDER BY rowid";
  return sql.rows<Definition>(query, table);
}

/** True when a table that stays where it is points at one of these. */
function hasPointers(sql: Sql, tables: readonly string[]): boolean {
  return pointingTables(sql)
    .filter((name) => !name.startsWith(PRIVATE_PREFIX) && !tables.includes(name))
    .flatMap((name) => referencesOf(sql, name))
    .some(({ parent }) => tables.some((table) => isSameName(table, parent)));
}

function withAlterMode(sql: Sql, isLegacy: boolean, work: () => void): void {
  const read = (pragma: string): number =>
    Number(sql.first<Record<string, number>>(`PRAGMA ${pragma}`)?.[pragma]);
  if (isLegacy && read("foreign_keys") === 1)
    throw new Error("Rows cannot be put away while foreign keys are enforced");
  const before = read("legacy_alter_table");
  sql.run(`PRAGMA legacy_alter_table = ${isLegacy ? "ON" : "OFF"}`);
  try {
    work();
  } finally {
    sql.run(`PRAGMA legacy_alter_table = ${before === 1 ? "ON" : "OFF"}`);
  }
}

/** AUTOINCREMENT goes on where it was. */
function keepSequence(sql: Sql, table: string): void {
  if (
    sql.first("SELECT 1 AS found FROM sqlite_master WHERE name = 'sqlite_sequence'") === undefined
  )
    return;
  sql.run(
    "INSERT INTO sqlite_sequence (name, seq) SELECT ?1, seq FROM sqlite_sequence WHERE name = ?2",
    table,
    retiredName(table),
  );
}
