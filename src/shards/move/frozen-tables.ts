/**
 * The tables of a move as they were when it was prepared. A deploy may change them, or their specs,
 * at any moment.
 *
 * | changed                                   | before the commit of a wave                              | after it                       |
 * |-------------------------------------------|----------------------------------------------------------|--------------------------------|
 * | columns, unique indexes, lost capture     | the table is prepared and copied again, alone            | the wave ends by what is frozen |
 * | specs: what a row's key or parent is      | the operation ends: rows would go where nobody looks     | the wave ends by what is frozen |
 * | plain indexes, other tables               | nothing                                                  | nothing                        |
 */
import { NOTHING_CHANGED } from "../../model/operation.ts";
import { EngineFault } from "../storage/faults.ts";
import { CAPTURE_PREFIX } from "../storage/private-names.ts";
import { type Sql, quoteText, textOf } from "../storage/storage.ts";
import type { Table, TableSpec } from "../storage/tables.ts";

export interface FrozenTables {
  /** As they are moved: columns and keys. */
  readonly tables: readonly Table[];
  /** Their definitions, see `definitionsOf`. */
  readonly definitions: string;
  /** The specs that the class declared. */
  readonly specs: string;
  /** The steps of the class's migrations that had run, see `stepsOf`. */
  readonly steps?: string;
}

/** One reading by `readTablesNow`. */
export interface TablesRead {
  /** See `definitionsOf`. */
  readonly definitions: string;
  /** See `stepsOf`. */
  readonly steps: string;
}

/**
 * Reads how tables stand now, for every message of a move. Most find the definitions as they were,
 * and sort nothing out again.
 */
export function readTablesNow(sql: Sql, tables: readonly Table[]): TablesRead {
  const names = tables.map(({ name }) => name).join(" ");
  const { definitions, stepTables } = sql.fromDefinitions(`frozen ${names}`, () => ({
    definitions: definitionsOf(sql, tables),
    stepTables: stepTablesOf(sql),
  }));
  return { definitions, steps: stepsIn(sql, stepTables) };
}

/**
 * The definitions of the tables, of their unique indexes, and which capture triggers stand: one
 * text. A plain index is not in it. A table that is rebuilt, as migrations do, loses its triggers
 * without a word.
 */
export function definitionsOf(sql: Sql, tables: readonly Table[]): string {
  const kept = `SELECT lower(tbl_name) AS tbl, type, name, CASE type WHEN 'trigger' THEN '' ELSE sql END AS sql FROM sqlite_master
    WHERE lower(tbl_name) IN (SELECT lower(value) FROM json_each(?)) AND (type = 'table' OR (type = 'index' AND (sql IS NULL OR sql LIKE 'CREATE UNIQUE%'))
      OR (type = 'trigger' AND substr(name, 1, ${CAPTURE_PREFIX.length}) = ${quoteText(CAPTURE_PREFIX)})) ORDER BY tbl, type, name`;
  const names = JSON.stringify(tables.map((table) => table.name));
  return textOf(
    sql.first(
      `SELECT json_group_array(json_array(tbl, type, name, sql)) AS text FROM (${kept})`,
      names,
    )?.["text"],
  );
}

/**
 * Tables in which migrators keep which of their steps have run, each with the query that names
 * them.
 */
const STEP_QUERIES: Readonly<Record<string, string>> = {
  shardctl_migrations: "SELECT id AS step FROM shardctl_migrations ORDER BY 1",
  // Its own rule: all steps up to the newest have run. Its migrator for Durable Objects leaves the
  // hash empty and the id NULL.
  __drizzle_migrations:
    "SELECT CAST(created_at AS TEXT) AS step FROM __drizzle_migrations ORDER BY created_at DESC LIMIT 1",
  kysely_migration: "SELECT name AS step FROM kysely_migration ORDER BY 1",
  d1_migrations: "SELECT name AS step FROM d1_migrations ORDER BY 1",
};

/**
 * The steps of migrations that have run here, as one text. A step may change rows and no
 * definition: a target that has run it before its source has would take rows that neither of them
 * changes any more. So members must have run the same steps when rows are made live.
 */
export function stepsOf(sql: Sql): string {
  return stepsIn(sql, stepTablesOf(sql));
}

/** Which of the migrators' tables stand here. */
function stepTablesOf(sql: Sql): string[] {
  const names = JSON.stringify(Object.keys(STEP_QUERIES));
  const query =
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name IN (SELECT value FROM json_each(?)) ORDER BY name";
  return sql.rows<{ name: string }>(query, names).map(({ name }) => name);
}

function stepsIn(sql: Sql, tables: readonly string[]): string {
  const steps = tables.flatMap((name) =>
    sql.rows<{ step: string }>(STEP_QUERIES[name] ?? "").map(({ step }) => `${name}: ${step}`),
  );
  return JSON.stringify(steps);
}

/** The specs as one text: order and unknown fields count, as little as they matter. */
export function specsText(specs: readonly TableSpec[]): string {
  return JSON.stringify(specs);
}

/**
 * Names of frozen tables whose definitions are others now, with those that follow them: their rows
 * go where the followed ones go.
 */
export function changedTables(frozen: FrozenTables, now: string): string[] {
  if (frozen.definitions === now) return [];
  const [before, after] = [byTable(frozen.definitions), byTable(now)];
  const isChanged = (table: Table): boolean => {
    const name = table.name.toLowerCase();
    return (
      before.get(name) !== after.get(name) ||
      (table.followed !== null && isChanged(table.followed.table))
    );
  };
  return frozen.tables.filter((table) => isChanged(table)).map((table) => table.name);
}

/**
 * @throws EngineFault when the class declares other tables, or other keys of them, than when the
 * move began.
 */
export function refuseOtherSpecs(
  frozen: FrozenTables,
  specs: string,
  self: string,
  operation: number,
): void {
  if (frozen.specs === specs) return;
  throw new EngineFault(
    "schema",
    `The class on ${self} declares its tables in another way than when operation ${operation} began (by a deploy?): rows could go where no call finds them. ${NOTHING_CHANGED}: deploy one version everywhere, then start again`,
  );
}

function byTable(definitions: string): Map<string, string> {
  const texts = new Map<string, string>();
  for (const [table, ...definition] of JSON.parse(definitions) as [
    string,
    string,
    string,
    string | null,
  ][])
    texts.set(table, (texts.get(table) ?? "") + JSON.stringify(definition));
  return texts;
}
