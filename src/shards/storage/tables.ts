/**
 * Reads from the user's own schema which tables belong to the namespace: columns, primary key, and
 * how the shard key of a row is found.
 *
 * A table either carries the shard key, as a column or below a JSON column, or follows another
 * table: its rows go where the row they point at goes. Refused: a table without a primary key, with
 * NULL in it, or without the columns it is said to have.
 */
import { EngineError } from "./faults.ts";
import { CAPTURE_PREFIX, PRIVATE_PREFIX } from "./private-names.ts";
import { type Sql, quoteName, quoteText, textOf } from "./storage.ts";

/** A table as a class declares it. */
export type TableSpec =
  | {
      readonly name: string;
      /**
       * Maps a shard key to the path of the key in this table, where the two differ: `{
       * customer_id: "id" }`.
       */
      readonly shardKeys?: Readonly<Record<string, string>>;
    }
  | {
      readonly name: string;
      /** The table whose rows the rows of this table move with. */
      readonly follows: string;
      /**
       * The column of this table that holds the primary key of the followed row (a single column).
       */
      readonly by: string;
    };

/** A table as it is: what a copy needs to know. */
export interface Table {
  readonly name: string;
  /**
   * Columns that are stored, by name: tables have them in any order. Generated ones are computed
   * again by the target.
   */
  readonly columns: readonly string[];
  readonly primaryKey: readonly string[];
  /**
   * The collation by which each column of the primary key tells rows apart, which need not be the
   * column's own. Absent where the definition names no collation at all: everything is compared
   * byte by byte.
   */
  readonly keyCollations?: readonly string[];
  readonly followed: { readonly table: Table; readonly by: string } | null;
  readonly shardKeys: Readonly<Record<string, string>>;
  /**
   * True when a row that is fine on its source may be refused by its target: unique indexes beside
   * the primary key, or foreign keys.
   */
  readonly hasConstraints: boolean;
  /**
   * True when keys that differ may be one here: the primary key compares other than byte by byte.
   */
  readonly hasLikeKeys: boolean;
}

export class TableFault extends EngineError {}

/**
 * Reads the declared tables, followed ones before their followers. @throws TableFault with what to
 * change.
 */
export function resolveTables(sql: Sql, specs: readonly TableSpec[]): Table[] {
  return sql.fromDefinitions(`tables ${JSON.stringify(specs)}`, () => readTables(sql, specs));
}

function readTables(sql: Sql, specs: readonly TableSpec[]): Table[] {
  const present = new Set(userTables(sql));
  const resolved = new Map<string, Table>();
  const inProgress = new Set<string>();
  const resolve = (name: string): Table => {
    const known = resolved.get(name);
    if (known) return known;
    const spec = specs.find((candidate) => candidate.name === name);
    if (!spec) throw new TableFault(`Table '${name}' is followed by another but is not declared`);
    if (inProgress.has(name))
      throw new TableFault(
        `Tables follow each other in a circle: ${[...inProgress, name].join(" → ")}`,
      );
    inProgress.add(name);
    const followed = "follows" in spec ? resolve(spec.follows) : null;
    if (!present.has(name))
      throw new TableFault(
        `Table '${name}' is declared but does not exist: create it in the class's constructor`,
      );
    const table = readTable(sql, spec, followed);
    inProgress.delete(name);
    resolved.set(name, table);
    return table;
  };
  for (const spec of specs) resolve(spec.name);
  return [...resolved.values()];
}

/**
 * Returns the part of the schema that must not change while rows move: the definitions of the
 * tables and their indexes, and the presence of the capture triggers. A table that is rebuilt, as
 * migrations do, silently loses its triggers.
 */
export function schemaText(sql: Sql, tables: readonly Table[]): string {
  // Read for every message, hence as one text and not as rows.
  const kept = `SELECT name, CASE type WHEN 'trigger' THEN '' ELSE sql END AS sql FROM sqlite_master
    WHERE (type = 'trigger' AND substr(name, 1, ${CAPTURE_PREFIX.length}) = ${quoteText(CAPTURE_PREFIX)})
      OR (type IN ('table', 'index') AND lower(tbl_name) IN (SELECT lower(value) FROM json_each(?))) ORDER BY type, name`;
  const names = JSON.stringify(tables.map((table) => table.name));
  return textOf(
    sql.first(`SELECT json_group_array(json_array(name, sql)) AS text FROM (${kept})`, names)?.[
      "text"
    ],
  );
}

/**
 * The columns of the primary key as a table definition has them, each with its collation: what is
 * one key in the table is one in a copy.
 */
export function primaryKeyDefinition(sql: Sql, table: Pick<Table, "name" | "primaryKey">): string {
  const collations = keyCollationsOf(sql, table);
  return table.primaryKey
    .map((name, index) => `${quoteName(name)} COLLATE ${quoteName(collations[index] ?? "BINARY")}`)
    .join(", ");
}

function keyCollationsOf(sql: Sql, table: Pick<Table, "name" | "primaryKey">): string[] {
  const index = sql
    .rows<{ name: string; origin: string }>(`PRAGMA index_list(${quoteName(table.name)})`)
    .find((found) => found.origin === "pk");
  const columns = index
    ? sql.rows<{ name: string | null; coll: string | null }>(
        `PRAGMA index_xinfo(${quoteName(index.name)})`,
      )
    : [];
  return table.primaryKey.map(
    (name) => columns.find((column) => column.name === name)?.coll ?? "BINARY",
  );
}

/** True when rows have a rowid that is not their primary key. */
export function isRowidTable(sql: Sql, table: Pick<Table, "name">): boolean {
  const listed = sql
    .rows<{ name: string; wr: number }>("PRAGMA table_list")
    .find(({ name }) => name === table.name);
  const indexes = sql.rows<{ origin: string }>(`PRAGMA index_list(${quoteName(table.name)})`);
  // An INTEGER PRIMARY KEY is the rowid itself, and needs no index.
  return listed?.wr === 0 && indexes.some(({ origin }) => origin === "pk");
}

/**
 * Returns the rules by which each column converts a value that it stores: its affinity by SQLite's
 * own rules, and NOT NULL.
 */
export function columnRules(sql: Sql, table: string): ReadonlyMap<string, string> {
  const listed = sql
    .rows<{ name: string; strict: number }>("PRAGMA table_list")
    .find(({ name }) => name === table);
  const infos = sql.rows<ColumnInfo & { type: string; notnull: number }>(
    `PRAGMA table_xinfo(${quoteName(table)})`,
  );
  return new Map(
    infos.map(({ name, type, notnull }) => {
      const affinity = listed?.strict === 1 && type === "ANY" ? "BLOB" : affinityOf(type);
      return [name, notnull === 1 ? `${affinity} NOT NULL` : affinity];
    }),
  );
}

function affinityOf(type: string): string {
  if (/int/i.test(type)) return "INTEGER";
  if (/char|clob|text/i.test(type)) return "TEXT";
  if (type === "" || /blob/i.test(type)) return "BLOB";
  return /real|floa|doub/i.test(type) ? "REAL" : "NUMERIC";
}

/** Refuses rows that the walk by primary key would miss. @throws TableFault */
export function checkPrimaryKey(sql: Sql, table: Table): void {
  const withNull = table.primaryKey.map((column) => `${quoteName(column)} IS NULL`).join(" OR ");
  if (sql.first(`SELECT 1 AS found FROM ${quoteName(table.name)} WHERE ${withNull} LIMIT 1`)) {
    throw new TableFault(
      `Table '${table.name}' has rows with NULL in the primary key (${table.primaryKey.join(", ")}): give them a value`,
    );
  }
}

/**
 * Tables of the database that are neither declared nor somebody's private bookkeeping, and hold at
 * least one row.
 */
export function undeclaredTables(
  sql: Sql,
  specs: readonly TableSpec[],
  local: readonly string[],
): string[] {
  const declared = new Set([...specs.map((spec) => spec.name), ...local]);
  return userTables(sql, ["table", "virtual"])
    .filter((name) => !declared.has(name))
    .filter((name) => sql.first(`SELECT 1 AS found FROM ${quoteName(name)} LIMIT 1`) !== undefined);
}

/**
 * The SQL expression for a row's shard key, with the row's table under `alias`. NULL when it is
 * missing, when the JSON does not parse, or when the followed row does not exist.
 */
export function keyExpression(table: Table, shardKey: string, alias: string): string {
  if (table.followed === null)
    return pathExpression(table, table.shardKeys[shardKey] ?? shardKey, alias);
  const { table: followed, by } = table.followed;
  const inner = `${alias}_f`;
  return `(SELECT ${keyExpression(followed, shardKey, inner)} FROM ${quoteName(followed.name)} AS ${inner} WHERE ${keyTerms(followed, inner).join("")} = ${alias}.${quoteName(by)})`;
}

/**
 * The SQL expression for the id that `roundRobin` deals by: the row's own, or the id of the row
 * that it follows in the end.
 */
export function idExpression(table: Table, alias: string): string {
  if (table.followed === null) return `${alias}.${quoteName(table.primaryKey[0] ?? "")}`;
  const { table: followed, by } = table.followed;
  if (followed.followed === null) return `${alias}.${quoteName(by)}`;
  const inner = `${alias}_f`;
  return `(SELECT ${idExpression(followed, inner)} FROM ${quoteName(followed.name)} AS ${inner} WHERE ${keyTerms(followed, inner).join("")} = ${alias}.${quoteName(by)})`;
}

/**
 * The columns of the primary key as SQL that compares as the key itself does, also in a copy whose
 * columns have no collations.
 */
export function keyTerms({ primaryKey, keyCollations }: Table, alias: string): string[] {
  return primaryKey.map(
    (name, index) => `${alias}.${quoteName(name)}${collate(keyCollations?.[index])}`,
  );
}

/** The suffix that has an expression compared by a collation; nothing where none is named. */
export function collate(collation: string | undefined): string {
  return collation === undefined ? "" : ` COLLATE ${quoteName(collation)}`;
}

/** The keyed table that a table goes with. */
export function leadingTable(table: Table): Table {
  return table.followed === null ? table : leadingTable(table.followed.table);
}

function pathExpression(table: Table, path: string, alias: string): string {
  const [column = "", ...below] = path.split(".");
  if (!table.columns.includes(column)) {
    throw new TableFault(
      `Table '${table.name}' has no column '${column}', which shard key '${path}' starts with (columns: ${table.columns.join(", ")})`,
    );
  }
  const stored = `${alias}.${quoteName(column)}`;
  if (below.length === 0) return stored;
  const jsonPath = quoteText(`$${below.map((segment) => `.${JSON.stringify(segment)}`).join("")}`);
  return `CASE WHEN json_valid(${stored}) THEN json_extract(${stored}, ${jsonPath}) END`;
}

interface ColumnInfo extends Record<string, string | number | null> {
  name: string;
  pk: number;
  hidden: number;
}

function readTable(sql: Sql, spec: TableSpec, followed: Table | null): Table {
  const { columns, primaryKey } = readColumns(sql, spec.name);
  if (primaryKey.length === 0)
    throw new TableFault(`Table '${spec.name}' has no primary key: rows could not be told apart`);
  if (columns.length > COLUMNS_MAX) {
    throw new TableFault(
      `Table '${spec.name}' has ${columns.length} columns, at most ${COLUMNS_MAX} can be moved: three more are needed while rows wait`,
    );
  }
  if (followed && "by" in spec) {
    if (!columns.includes(spec.by))
      throw new TableFault(
        `Table '${spec.name}' follows '${followed.name}' by '${spec.by}', which is not a column of it`,
      );
    if (followed.primaryKey.length !== 1)
      throw new TableFault(
        `Table '${spec.name}' cannot follow '${followed.name}': its primary key has ${followed.primaryKey.length} columns`,
      );
  }
  const collations = keyCollationsOf(sql, { name: spec.name, primaryKey });
  return {
    name: spec.name,
    columns,
    primaryKey,
    ...(namesCollation(sql, spec.name) ? { keyCollations: collations } : {}),
    followed: followed && "by" in spec ? { table: followed, by: spec.by } : null,
    shardKeys: "shardKeys" in spec ? (spec.shardKeys ?? {}) : {},
    hasConstraints: hasConstraints(sql, spec.name),
    hasLikeKeys: collations.some((collation) => !/^binary$/i.test(collation)),
  };
}

/** The columns that hold values of their own, sorted, and those of the primary key in its order. */
function readColumns(sql: Sql, name: string): Pick<Table, "columns" | "primaryKey"> {
  const infos = sql.rows<ColumnInfo>(`PRAGMA table_xinfo(${quoteName(name)})`);
  return {
    columns: infos
      .filter((column) => column.hidden === 0)
      .map((column) => column.name)
      .toSorted(),
    primaryKey: infos
      .filter((column) => column.pk > 0)
      .toSorted((left, right) => left.pk - right.pk)
      .map((column) => column.name),
  };
}

const COLUMNS_MAX = 97;

function hasConstraints(sql: Sql, table: string): boolean {
  const indexes = sql.rows<{ unique: number; origin: string }>(
    `PRAGMA index_list(${quoteName(table)})`,
  );
  const foreignKeys = sql.rows(`PRAGMA foreign_key_list(${quoteName(table)})`);
  return (
    foreignKeys.length > 0 || indexes.some((index) => index.unique === 1 && index.origin !== "pk")
  );
}

/**
 * By the words of the definition: where one is named needlessly, keys are compared by the
 * collation that they have in any case.
 */
function namesCollation(sql: Sql, table: string): boolean {
  return /\bcollate\b/i.test(definitionOf(sql, table));
}

function definitionOf(sql: Sql, table: string): string {
  return (
    sql.first<{ sql: string }>(
      "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?",
      table,
    )?.sql ?? ""
  );
}

/**
 * A table of a move as it is now, with the names that its primary key has by now; null when a
 * deploy has taken it away or given it another key.
 */
export function presentTable(sql: Sql, table: Table): Table | null {
  const { primaryKey } = readColumns(sql, table.name);
  return primaryKey.length === table.primaryKey.length ? { ...table, primaryKey } : null;
}

/**
 * A table of a move with the columns and the primary key that it has by now. Without any primary
 * key its rowid tells the rows apart.
 */
export function tableNow(sql: Sql, { keyCollations, ...table }: Table): Table {
  const { columns, primaryKey } = readColumns(sql, table.name);
  const isSameKey = primaryKey.join() === table.primaryKey.join();
  return {
    ...table,
    columns,
    primaryKey: primaryKey.length === 0 ? ["rowid"] : primaryKey,
    ...(isSameKey && keyCollations ? { keyCollations } : {}),
  };
}

/** Returns the names that are tables of this object, spelled as they are written. */
export function existingTables(sql: Sql, names: readonly string[]): string[] {
  const found = sql.rows<{ name: string }>(
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name IN (SELECT value FROM json_each(?))",
    JSON.stringify(names),
  );
  return found.map(({ name }) => name).toSorted();
}

const NOT_USER_TABLES = [
  PRIVATE_PREFIX,
  "sqlite_",
  "_cf_",
  "__cf_",
  "__miniflare_",
  "d1_",
  "__drizzle_migrations",
  "kysely_migration",
];

function userTables(sql: Sql, types: readonly string[] = ["table"]): string[] {
  return sql
    .rows<{ name: string; type: string }>("PRAGMA table_list")
    .filter(
      (row) =>
        types.includes(row.type) && !NOT_USER_TABLES.some((prefix) => row.name.startsWith(prefix)),
    )
    .map((row) => row.name)
    .toSorted();
}
