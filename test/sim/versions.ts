/**
 * Versions of the user's class: what each one's constructor makes of the tables, and what it
 * declares to the engine.
 *
 * A plain constructor makes sure of every change at each start, as owners write it by hand. A
 * migrator runs each change once per object, and remembers that in a table of its own.
 */
import type { TableSpec } from "../../src/shards/storage/tables.ts";
import type { HostStorage, SqlRow } from "../../src/shards/storage/storage.ts";

/**
 * | change      | what the constructor does                                                       |
 * |-------------|---------------------------------------------------------------------------------|
 * | `column`    | adds a column, and fills it where it is NULL                                    |
 * | `index`     | creates a plain index                                                           |
 * | `noIndex`   | drops it again                                                                  |
 * | `unique`    | creates a unique index                                                          |
 * | `rebuild`   | builds a table anew, with one more column, and gives it the old one's name      |
 * | `table`     | creates and declares a table that follows the items, with a row for each of them |
 * | `stamp`     | changes rows and no definition: each gets a stamp, as those get that are put    |
 * | `otherKey`  | declares that groups are found in another column, which has other values        |
 */
export type Change =
  | "column"
  | "index"
  | "noIndex"
  | "unique"
  | "rebuild"
  | "table"
  | "stamp"
  | "otherKey";

export interface StoreVersion {
  /** In the order in which they are made. */
  readonly changes: readonly Change[];
  readonly runsOnce: boolean;
  /** All changes in one transaction, or each statement by itself. */
  readonly isAtomic: boolean;
  /** How long the constructor holds all events back; 0 for one that does not wait. */
  readonly startMs: number;
  /**
   * A flaw of this version: it throws at the end of its constructor, and no object of it starts.
   */
  readonly throws: boolean;
}

export const FIRST_VERSION: StoreVersion = {
  changes: [],
  runsOnce: false,
  isAtomic: true,
  startMs: 0,
  throws: false,
};

/** The error that a version throws on purpose. */
export class DeployedFlaw extends Error {}

export interface SchemaOptions {
  readonly hasForeignKey: boolean;
  readonly hasUniqueIndex: boolean;
  /** A table of each object's own, that points at items. */
  readonly hasPins?: boolean;
  /**
   * A table that is followed by reference cannot be dropped: its rows would take their followers
   * along.
   */
  readonly rebuilds: "items" | "notes";
}

/** The table of a migrator that the engine knows: no row of it ever moves. */
export const MIGRATIONS_TABLE = "d1_migrations";
/** Tables that no row ever leaves. */
export const LOCAL_TABLES = [MIGRATIONS_TABLE, "pins"];

export function tablesOf({ changes }: StoreVersion): readonly TableSpec[] {
  return [
    changes.includes("otherKey")
      ? { name: "items", shardKeys: { grp: "home" } }
      : { name: "items" },
    { name: "notes", follows: "items", by: "item" },
    ...(changes.includes("table") ? [{ name: "labels", follows: "items", by: "item" }] : []),
  ];
}

export function migrate(storage: HostStorage, version: StoreVersion, options: SchemaOptions): void {
  if (version.isAtomic) storage.transactionSync(() => runChanges(storage, version, options));
  else runChanges(storage, version, options);
}

function runChanges(
  storage: HostStorage,
  { changes, runsOnce }: StoreVersion,
  options: SchemaOptions,
): void {
  const { sql } = storage;
  if (runsOnce) sql.exec(`CREATE TABLE IF NOT EXISTS ${MIGRATIONS_TABLE} (name TEXT PRIMARY KEY)`);
  for (const change of changes) {
    if (!runsOnce) {
      CHANGES[change](sql, options);
      continue;
    }
    if (sql.exec(`SELECT 1 FROM ${MIGRATIONS_TABLE} WHERE name = ?`, change).toArray().length > 0)
      continue;
    // Both or none, as migrators do.
    storage.transactionSync(() => {
      CHANGES[change](sql, options);
      sql.exec(`INSERT INTO ${MIGRATIONS_TABLE} (name) VALUES (?)`, change);
    });
  }
}

type Sql = HostStorage["sql"];

const CHANGES: Readonly<Record<Change, (sql: Sql, options: SchemaOptions) => void>> = {
  column: (sql) => {
    if (!columnsOf(sql, "items").includes("extra"))
      sql.exec("ALTER TABLE items ADD COLUMN extra TEXT");
    sql.exec("UPDATE items SET extra = 'filled' WHERE extra IS NULL");
  },
  index: (sql) => void sql.exec("CREATE INDEX IF NOT EXISTS items_by_n ON items (n)"),
  noIndex: (sql) => void sql.exec("DROP INDEX IF EXISTS items_by_n"),
  unique: (sql) => void sql.exec("CREATE UNIQUE INDEX IF NOT EXISTS items_by_code ON items (code)"),
  rebuild: (sql, { rebuilds, hasForeignKey }) => {
    if (columnsOf(sql, rebuilds).includes("rev")) return;
    if (rebuilds === "items")
      rebuild(sql, "items", `${itemColumns(sql)}, rev INTEGER NOT NULL DEFAULT 1`, "");
    else
      rebuild(
        sql,
        "notes",
        `${noteColumns(hasForeignKey)}, rev INTEGER NOT NULL DEFAULT 1, ${NOTES_KEY}`,
        " WITHOUT ROWID",
      );
  },
  table: (sql) => {
    sql.exec(
      "CREATE TABLE IF NOT EXISTS labels (item TEXT PRIMARY KEY REFERENCES items (id) ON DELETE CASCADE, text TEXT NOT NULL)",
    );
    sql.exec(
      "INSERT INTO labels (item, text) SELECT id, 'filled' FROM items WHERE id NOT IN (SELECT item FROM labels)",
    );
  },
  stamp: (sql) => void sql.exec("UPDATE items SET stamped = 1 WHERE stamped = 0"),
  otherKey: (sql) => {
    if (!columnsOf(sql, "items").includes("home"))
      sql.exec("ALTER TABLE items ADD COLUMN home TEXT");
    sql.exec("UPDATE items SET home = 'g' || ((substr(grp, 2) + 1) % 5) WHERE home IS NULL");
  },
};

/**
 * The way that SQLite's documentation names for what ALTER TABLE cannot do. Indexes go with the old
 * table, and triggers too.
 */
function rebuild(sql: Sql, table: string, definition: string, options: string): void {
  const columns = columnsOf(sql, table).join(", ");
  const indexes = sql
    .exec<{ sql: string }>(
      "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL ORDER BY name",
      table,
    )
    .toArray();
  sql.exec(`CREATE TABLE rebuilt (${definition})${options}`);
  sql.exec(`INSERT INTO rebuilt (${columns}) SELECT ${columns} FROM ${table}`);
  sql.exec(`DROP TABLE ${table}`);
  sql.exec(`ALTER TABLE rebuilt RENAME TO ${table}`);
  for (const index of indexes) sql.exec(index.sql);
}

const FIRST_ITEM_COLUMNS =
  "id TEXT PRIMARY KEY, grp TEXT, n INTEGER NOT NULL, tag INTEGER NOT NULL, v, code TEXT NOT NULL, extra_tag INTEGER NOT NULL DEFAULT 0, stamped INTEGER NOT NULL DEFAULT 0";
const NOTES_KEY = "PRIMARY KEY (item, seq)";

function itemColumns(sql: Sql): string {
  const added = columnsOf(sql, "items").filter((column) => column === "extra" || column === "home");
  return [FIRST_ITEM_COLUMNS, ...added.map((column) => `${column} TEXT`)].join(", ");
}

function noteColumns(hasForeignKey: boolean): string {
  return `item TEXT NOT NULL ${hasForeignKey ? "REFERENCES items (id) ON DELETE CASCADE" : ""}, seq INTEGER NOT NULL, body TEXT NOT NULL`;
}

/** The tables of the first version. */
export function createTables(
  sql: Sql,
  { hasForeignKey, hasUniqueIndex, hasPins }: SchemaOptions,
): void {
  sql.exec(`CREATE TABLE IF NOT EXISTS items (${FIRST_ITEM_COLUMNS})`);
  if (hasUniqueIndex) CHANGES.unique(sql, { hasForeignKey, hasUniqueIndex, rebuilds: "notes" });
  sql.exec(
    `CREATE TABLE IF NOT EXISTS notes (${noteColumns(hasForeignKey)}, ${NOTES_KEY}) WITHOUT ROWID`,
  );
  if (hasPins)
    sql.exec("CREATE TABLE pins (item TEXT PRIMARY KEY REFERENCES items (id) ON DELETE CASCADE)");
}

export function columnsOf(sql: Sql, table: string): string[] {
  return sql
    .exec<SqlRow & { name: string }>(`PRAGMA table_info(${table})`)
    .toArray()
    .map(({ name }) => name);
}
