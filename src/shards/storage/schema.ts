/**
 * The library's private tables, all named `shardctl_…`. See docs/storage-schema.md for what each
 * row means and how long it lives. Created by the first call that needs them: an object that was
 * never sharded has none of them.
 */
import { requireRoom } from "./reserve.ts";
import { isFull } from "./faults.ts";
import { type Sql, quoteText } from "./storage.ts";

const PROMOTED = "json_extract(OLD.value, '$.promotion.attempt')";
const ARE_LIVE =
  "shardctl: rows that were not committed are live here, which only the library that made them so takes back: deploy it again";

const STATEMENTS = [
  // One JSON document per key: `schema`, `name`, `membership`, `moving`, `movedSchema`, `checked`,
  // `stored`, `lives`, `directoryTurn`, `userAlarm`.
  `CREATE TABLE IF NOT EXISTS shardctl_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID`,
  // One row: why the user's writes are refused ('' when they are not), and the attempt behind whose
  // fence rows were written.
  `CREATE TABLE IF NOT EXISTS shardctl_guard (id INTEGER PRIMARY KEY CHECK (id = 1), reason TEXT NOT NULL, spoiled INTEGER NOT NULL)`,
  `INSERT OR IGNORE INTO shardctl_guard (id, reason, spoiled) VALUES (1, '', 0)`,
  // Root: the registry, one row per epoch; the newest is the live layout.
  `CREATE TABLE IF NOT EXISTS shardctl_registry (epoch INTEGER PRIMARY KEY, layout TEXT NOT NULL, operation INTEGER NOT NULL, committed_at INTEGER NOT NULL)`,
  // Root: the journal of operations.
  `CREATE TABLE IF NOT EXISTS shardctl_operations (id INTEGER PRIMARY KEY, correlation_id TEXT NOT NULL UNIQUE, state TEXT NOT NULL, record TEXT NOT NULL)`,
  // Root: what changes hands in each wave of the running operation.
  `CREATE TABLE IF NOT EXISTS shardctl_waves (operation INTEGER NOT NULL, wave INTEGER NOT NULL, moves TEXT NOT NULL, rows INTEGER NOT NULL, PRIMARY KEY (operation, wave)) WITHOUT ROWID`,
  // Root: what is still to be told to members that did not answer, and retired members whose rows
  // are to be dropped when due.
  `CREATE TABLE IF NOT EXISTS shardctl_chores (member TEXT NOT NULL, kind TEXT NOT NULL, operation INTEGER NOT NULL, due_at INTEGER NOT NULL, tries INTEGER NOT NULL, PRIMARY KEY (member, kind)) WITHOUT ROWID`,
  // Root: what happened, for `onEvent` and the history.
  `CREATE TABLE IF NOT EXISTS shardctl_events (id INTEGER PRIMARY KEY, type TEXT NOT NULL, correlation_id TEXT NOT NULL, operation INTEGER, at INTEGER NOT NULL, detail TEXT NOT NULL)`,
  // Root: what each member last said of its library, its tables and its size.
  `CREATE TABLE IF NOT EXISTS shardctl_members (name TEXT PRIMARY KEY, facts TEXT NOT NULL, said_at INTEGER NOT NULL) WITHOUT ROWID`,
  // Source: how far each table is copied and verified. `ordinal` is always 0: nothing here reads
  // it, but an object that was made before has the column, and a library before this one counts in
  // it.
  `CREATE TABLE IF NOT EXISTS shardctl_walk (step TEXT NOT NULL, table_name TEXT NOT NULL, cursor TEXT, ordinal INTEGER NOT NULL, done INTEGER NOT NULL, PRIMARY KEY (step, table_name)) WITHOUT ROWID`,
  // Source: what went to each target, and the last sequence number sent to it.
  `CREATE TABLE IF NOT EXISTS shardctl_outgoing (target TEXT NOT NULL, table_name TEXT NOT NULL, rows_copied INTEGER NOT NULL, bytes_copied INTEGER NOT NULL, rows_verified INTEGER NOT NULL, PRIMARY KEY (target, table_name)) WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS shardctl_sent (target TEXT PRIMARY KEY, sequence INTEGER NOT NULL) WITHOUT ROWID`,
  // Target: the last sequence number taken from each source.
  `CREATE TABLE IF NOT EXISTS shardctl_received (source TEXT PRIMARY KEY, sequence INTEGER NOT NULL) WITHOUT ROWID`,
  // Source: the log of rows written while they are being moved, appended by triggers. Never unique:
  // a conflict clause of the user's statement would reach into the trigger and could drop an entry.
  `CREATE TABLE IF NOT EXISTS shardctl_captured (id INTEGER PRIMARY KEY AUTOINCREMENT, table_name TEXT NOT NULL, pk TEXT NOT NULL, is_moved INTEGER NOT NULL)`,
  `CREATE INDEX IF NOT EXISTS shardctl_captured_by_pk ON shardctl_captured (table_name, pk)`,
  // Target of several sources: where a row came from, when its key does not say so.
  `CREATE TABLE IF NOT EXISTS shardctl_origin (table_name TEXT NOT NULL, pk TEXT NOT NULL, source TEXT NOT NULL, PRIMARY KEY (table_name, pk)) WITHOUT ROWID`,
  // Target of a swap: rows that came after the whole table was checked, and may point at rows that
  // are not here.
  `CREATE TABLE IF NOT EXISTS shardctl_late (table_name TEXT NOT NULL, pk TEXT NOT NULL, PRIMARY KEY (table_name, pk)) WITHOUT ROWID`,
  // Source of a swap to a layout with a directory: the owner dealt to each row, or its key; copied
  // into the targets' directories.
  `CREATE TABLE IF NOT EXISTS shardctl_dealt (table_name TEXT NOT NULL, id TEXT NOT NULL, owner TEXT NOT NULL, PRIMARY KEY (table_name, id)) WITHOUT ROWID`,
  // Directory, member: of each id whose slot falls to this member the owner (roundRobin), or the
  // key as a letter for its class and its text.
  `CREATE TABLE IF NOT EXISTS shardctl_directory (table_name TEXT NOT NULL, id TEXT NOT NULL, owner TEXT NOT NULL, PRIMARY KEY (table_name, id)) WITHOUT ROWID`,
  // Directory of keys, owner: ids that running calls may store, each under its key.
  `CREATE TABLE IF NOT EXISTS shardctl_granted (table_name TEXT NOT NULL, id TEXT NOT NULL, key, PRIMARY KEY (table_name, id)) WITHOUT ROWID`,
  // Directory of keys, owner: ids of deleted rows whose entries are still to be given back.
  `CREATE TABLE IF NOT EXISTS shardctl_freed (id INTEGER PRIMARY KEY AUTOINCREMENT, table_name TEXT NOT NULL, row_id TEXT NOT NULL)`,
  // Member: the slots or keys that it owns, each from `low` up to, not including, `high`; NULL for
  // no bound.
  `CREATE TABLE IF NOT EXISTS shardctl_owned (id INTEGER PRIMARY KEY, low, high)`,
  // Participant: room for what must be written even when the storage is full.
  `CREATE TABLE IF NOT EXISTS shardctl_reserve (id INTEGER PRIMARY KEY, filler BLOB NOT NULL)`,
  // Target of a shift, rolled back to a library that knows no promotion: it takes no rows, raises
  // no other fence and ends no part while rows are live before their commit. It may lift its fence.
  `CREATE TRIGGER IF NOT EXISTS shardctl_promoted_receive BEFORE INSERT ON shardctl_received
     WHEN EXISTS (SELECT 1 FROM shardctl_meta WHERE key = 'moving' AND json_extract(value, '$.promotion.attempt') IS NOT NULL)
     BEGIN SELECT RAISE(ABORT, ${quoteText(ARE_LIVE)}); END`,
  `CREATE TRIGGER IF NOT EXISTS shardctl_promoted_fence BEFORE UPDATE ON shardctl_meta
     WHEN OLD.key = 'moving' AND ${PROMOTED} = json_extract(NEW.value, '$.promotion.attempt')
       AND json_extract(NEW.value, '$.fence') NOT IN (0, ${PROMOTED})
     BEGIN SELECT RAISE(ABORT, ${quoteText(ARE_LIVE)}); END`,
  `CREATE TRIGGER IF NOT EXISTS shardctl_promoted_end BEFORE DELETE ON shardctl_meta
     WHEN OLD.key = 'moving' AND ${PROMOTED} IS NOT NULL
     BEGIN SELECT RAISE(ABORT, ${quoteText(ARE_LIVE)}); END`,
] as const;

/** Tables, indexes and triggers that the statements above make. */
const NAMES = STATEMENTS.flatMap((statement) => / IF NOT EXISTS (\w+)/.exec(statement)?.[1] ?? []);

const COUNT_NAMES = `SELECT count(*) AS n FROM sqlite_master WHERE name IN (${NAMES.map(quoteText).join(", ")})`;

/**
 * The version of what stands in the private tables. It rises only with a change that an older
 * library would misread: a new table, or a field that older code may ignore, is none, so that a
 * release can be rolled back. Any new table is created by `openSchema`, which an object runs once
 * in each life; never by a change of a statement above, which an object that has the table would
 * not notice.
 */
export const SCHEMA_VERSION = 1;

/**
 * Creates what is missing. Idempotent. @throws Error for a database written by a newer library: see
 * `openSchema`.
 */
export function ensureSchema(sql: Sql): void {
  if (whole.has(sql)) return;
  if (isSchemaWhole(sql) && schemaVersion(sql) === SCHEMA_VERSION) return;
  sql.transaction(() => {
    for (const statement of STATEMENTS) sql.run(statement);
    const found = schemaVersion(sql);
    if (found === undefined) {
      sql.run(
        "INSERT INTO shardctl_meta (key, value) VALUES ('schema', ?)",
        String(SCHEMA_VERSION),
      );
    } else if (found > SCHEMA_VERSION) {
      throw new Error(newerSchemaText(found));
    }
  });
}

/**
 * Looks at the private tables before anything else does, once in each life of an object. Those of
 * an older library get the tables that have been added since. Gives null, or why the object must do
 * nothing: a newer library has written what this one would misread.
 */
export function openSchema(sql: Sql): string | null {
  if (!hasSchema(sql)) return null;
  const found = schemaVersion(sql);
  if (found !== undefined && found > SCHEMA_VERSION) return newerSchemaText(found);
  if (isSchemaWhole(sql)) return null;
  try {
    sql.transaction(() => {
      // In a statement that is undone alone: one that creates a table would take the object with
      // it.
      requireRoom(sql);
      ensureSchema(sql);
    });
  } catch (error) {
    // A full object serves on: who needs what is missing says so.
    if (!isFull(error)) throw error;
  }
  return null;
}

/** True when every private table, index and trigger is there. */
export function isSchemaWhole(sql: Sql): boolean {
  return whole.has(sql) || sql.first<{ n: number }>(COUNT_NAMES)?.n === NAMES.length;
}

function schemaVersion(sql: Sql): number | undefined {
  const found = sql.first<{ value: string }>(
    "SELECT value FROM shardctl_meta WHERE key = 'schema'",
  );
  return found && Number(found.value);
}

function newerSchemaText(found: number): string {
  return `This object was written by a newer shardctl (schema ${found}, this library knows ${SCHEMA_VERSION}). It serves and writes nothing until a version that knows schema ${found} is deployed again: nothing is lost meanwhile`;
}

/** Databases whose private tables have been seen, whole, and committed. */
const whole = new WeakSet<Sql>();

/**
 * Looks for the private tables once more, until they are all there: from then on nobody asks the
 * database. Call at the beginning of a turn, where no transaction that made them can be undone.
 */
export function rememberSchema(sql: Sql): void {
  if (whole.has(sql) || !hasSchema(sql)) return;
  if (isSchemaWhole(sql) && schemaVersion(sql) === SCHEMA_VERSION) whole.add(sql);
}

/** To be called when everything that was stored has been deleted. */
export function forgetSchema(sql: Sql): void {
  whole.delete(sql);
}

/** True when the object has the private tables. */
export function hasSchema(sql: Sql): boolean {
  return (
    whole.has(sql) ||
    sql.first(
      "SELECT 1 AS found FROM sqlite_master WHERE type = 'table' AND name = 'shardctl_meta'",
    ) !== undefined
  );
}

/**
 * Reads one JSON document, or undefined. The caller vouches for the type: only this library writes
 * them.
 */
export function readMeta<Value>(sql: Sql, key: string): Value | undefined {
  const found = sql.first<{ value: string }>("SELECT value FROM shardctl_meta WHERE key = ?", key);
  return found && (JSON.parse(found.value) as Value);
}

export function writeMeta(sql: Sql, key: string, value: unknown): void {
  sql.run(
    "INSERT INTO shardctl_meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    key,
    JSON.stringify(value),
  );
}

export function dropMeta(sql: Sql, key: string): void {
  sql.run("DELETE FROM shardctl_meta WHERE key = ?", key);
}
