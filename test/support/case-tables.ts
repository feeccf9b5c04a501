/**
 * Schemas for the class `Cases` of the tests' Worker: an object's name up to the first `~` says
 * which tables it has.
 */
import type { ShardHostOptions, TableSpec } from "../../src/shards/index.ts";

export interface CaseTables {
  readonly ddl: string;
  readonly tables: readonly TableSpec[];
  readonly checkKeys?: ShardHostOptions["checkKeys"];
}

/** One column of each affinity, one without, two generated ones, and names that need quotes. */
const ITEMS = `
  CREATE TABLE IF NOT EXISTS items (id PRIMARY KEY NOT NULL, region, whole INTEGER, ratio REAL, word TEXT, bytes BLOB, figure NUMERIC, anything, "odd ""name' x", "select",
    size GENERATED ALWAYS AS (octet_length(word)) VIRTUAL, twice INTEGER GENERATED ALWAYS AS (whole / 2) STORED);
  CREATE TABLE IF NOT EXISTS pairs (left_id TEXT NOT NULL, right_id INTEGER NOT NULL, region, payload, PRIMARY KEY (right_id, left_id)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS numbers (id INTEGER PRIMARY KEY, region, payload);
`;

export const CASE_TABLES: Readonly<Record<string, CaseTables>> = {
  values: {
    ddl: ITEMS,
    tables: [
      { name: "items", shardKeys: { value: "anything" } },
      { name: "pairs", shardKeys: { value: "payload" } },
      { name: "numbers", shardKeys: { value: "payload" } },
    ],
  },
  large: {
    ddl: `CREATE TABLE IF NOT EXISTS files (id TEXT PRIMARY KEY, region TEXT, n INTEGER, ratio, words, bytes);`,
    tables: [{ name: "files" }],
  },
  // Parents declared last, and every kind of constraint between rows that move together.
  family: {
    ddl: `
      CREATE TABLE IF NOT EXISTS owners (id TEXT PRIMARY KEY, region TEXT);
      CREATE TABLE IF NOT EXISTS pets (id TEXT PRIMARY KEY, owner_id TEXT REFERENCES owners (id) ON DELETE RESTRICT, region TEXT);
    `,
    tables: [{ name: "pets" }, { name: "owners" }],
  },
  selfish: {
    ddl: `CREATE TABLE IF NOT EXISTS nodes (id TEXT PRIMARY KEY, parent_id TEXT REFERENCES nodes (id) ON DELETE CASCADE, region TEXT);`,
    tables: [{ name: "nodes" }],
  },
  outside: {
    ddl: `
      CREATE TABLE IF NOT EXISTS notes (id TEXT PRIMARY KEY, region TEXT);
      CREATE TABLE IF NOT EXISTS pins (id TEXT PRIMARY KEY, note_id TEXT REFERENCES notes (id));
    `,
    tables: [{ name: "notes" }],
  },
  unique: {
    ddl: `
      CREATE TABLE IF NOT EXISTS users (id TEXT PRIMARY KEY, region TEXT, email TEXT UNIQUE, a INTEGER, b INTEGER);
      CREATE UNIQUE INDEX IF NOT EXISTS users_by_ab ON users (a, b);
      CREATE TABLE IF NOT EXISTS changes (id INTEGER PRIMARY KEY, what TEXT);
      CREATE TRIGGER IF NOT EXISTS users_mark AFTER UPDATE OF region ON users BEGIN UPDATE users SET b = b + 1000 WHERE id = NEW.id; INSERT INTO changes (what) VALUES (NEW.id); END;
    `,
    tables: [{ name: "users" }],
  },
  // Rows enter and leave a unique index by its condition, and one column takes its default for
  // NULL.
  partial: {
    ddl: `
      CREATE TABLE IF NOT EXISTS seats (id TEXT PRIMARY KEY, region TEXT, mail TEXT, active INTEGER, badge TEXT NOT NULL DEFAULT 'none' UNIQUE);
      CREATE UNIQUE INDEX IF NOT EXISTS seats_by_mail ON seats (mail) WHERE active = 1;
    `,
    tables: [{ name: "seats" }],
  },
  // Every way in which a row gets its shard key: a column, JSON, a parent, a cascade, a trigger.
  keys: {
    ddl: `
      CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, region TEXT COLLATE NOCASE, n INTEGER NOT NULL DEFAULT 0);
      CREATE TABLE IF NOT EXISTS pairs (region TEXT NOT NULL, n INTEGER NOT NULL, payload, PRIMARY KEY (region, n)) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS papers (id TEXT PRIMARY KEY, doc TEXT);
      CREATE TABLE IF NOT EXISTS areas (region TEXT PRIMARY KEY);
      CREATE TABLE IF NOT EXISTS posts (id TEXT PRIMARY KEY, region TEXT REFERENCES areas (region) ON UPDATE CASCADE ON DELETE SET NULL);
      CREATE TABLE IF NOT EXISTS notes (id TEXT PRIMARY KEY, item_id TEXT REFERENCES items (id));
      CREATE TABLE IF NOT EXISTS anything (id TEXT PRIMARY KEY, region);
      CREATE TABLE IF NOT EXISTS wishes (id TEXT PRIMARY KEY, region TEXT);
      CREATE TRIGGER IF NOT EXISTS wishes_granted AFTER INSERT ON wishes BEGIN INSERT INTO items (id, region) VALUES (NEW.id, NEW.region); END;
    `,
    tables: [
      { name: "items" },
      { name: "pairs" },
      { name: "papers", shardKeys: { region: "doc.region" } },
      { name: "posts" },
      { name: "notes", follows: "items", by: "item_id" },
      { name: "anything" },
    ],
  },
  // Two tables that a deploy may change, each by itself.
  plain: {
    ddl: `
      CREATE TABLE IF NOT EXISTS docs (id TEXT PRIMARY KEY, region TEXT, home TEXT, words TEXT);
      CREATE TABLE IF NOT EXISTS tags (id TEXT PRIMARY KEY, region TEXT);
    `,
    tables: [{ name: "docs" }, { name: "tags" }],
  },
  // A shard key whose case does not count in comparisons, an index that compares otherwise than its
  // column, a search table kept by triggers.
  search: {
    ddl: `
      CREATE TABLE IF NOT EXISTS docs (id TEXT PRIMARY KEY, region TEXT COLLATE NOCASE, mail TEXT, words TEXT);
      CREATE UNIQUE INDEX IF NOT EXISTS docs_by_mail ON docs (mail COLLATE NOCASE);
      CREATE VIRTUAL TABLE IF NOT EXISTS docs_search USING fts5 (words);
      CREATE TABLE IF NOT EXISTS marks (what TEXT);
      CREATE TRIGGER IF NOT EXISTS docs_mark AFTER INSERT ON DOCS BEGIN INSERT INTO marks VALUES (NEW.id); INSERT INTO docs_search VALUES (NEW.words); END;
    `,
    tables: [{ name: "docs" }],
  },
  broad: {
    ddl: `CREATE TABLE IF NOT EXISTS broad (id TEXT PRIMARY KEY, region TEXT, ${Array.from({ length: 95 }, (_, index) => `c${index}`).join(", ")});`,
    tables: [{ name: "broad" }],
  },
  tooBroad: {
    ddl: `CREATE TABLE IF NOT EXISTS broad (id TEXT PRIMARY KEY, region TEXT, ${Array.from({ length: 98 }, (_, index) => `c${index}`).join(", ")});`,
    tables: [{ name: "broad" }],
  },
  folded: {
    ddl: `CREATE TABLE IF NOT EXISTS names (id TEXT COLLATE NOCASE PRIMARY KEY, region TEXT, n INTEGER);`,
    tables: [{ name: "names" }],
  },
  // Keys that compare alike although they differ, each kind in another way.
  nocase: alike("id TEXT COLLATE NOCASE PRIMARY KEY, region TEXT, n INTEGER"),
  nocaseClustered: alike(
    "id TEXT COLLATE NOCASE PRIMARY KEY, region TEXT, n INTEGER",
    "WITHOUT ROWID",
  ),
  nocaseUnique: alike("id TEXT COLLATE NOCASE PRIMARY KEY, region TEXT, n INTEGER UNIQUE"),
  nocasePair: alike(
    "part TEXT COLLATE NOCASE DEFAULT 'part', id TEXT COLLATE NOCASE, region TEXT, n INTEGER, PRIMARY KEY (part, id)",
    "WITHOUT ROWID",
  ),
  nocaseIndex: alike("id TEXT NOT NULL, region TEXT, n INTEGER, PRIMARY KEY (id COLLATE NOCASE)"),
  nocaseColumn: alike(
    "id TEXT COLLATE NOCASE NOT NULL, region TEXT, n INTEGER, PRIMARY KEY (id COLLATE BINARY)",
  ),
  rtrim: alike("id TEXT COLLATE RTRIM PRIMARY KEY, region TEXT, n INTEGER"),
  untyped: alike("id PRIMARY KEY NOT NULL, region TEXT, n INTEGER"),
  // Rows that are replaced by their rowid alone.
  rowids: {
    ...alike('id TEXT PRIMARY KEY, region TEXT, n INTEGER, "rowid" TEXT'),
    checkKeys: "all",
  },
  chain: {
    ddl: `
      CREATE TABLE IF NOT EXISTS tops (id PRIMARY KEY NOT NULL, region);
      CREATE TABLE IF NOT EXISTS middles (id INTEGER PRIMARY KEY, top);
      CREATE TABLE IF NOT EXISTS leaves (id TEXT PRIMARY KEY, middle INTEGER, word TEXT);
    `,
    tables: [
      { name: "leaves", follows: "middles", by: "middle" },
      { name: "middles", follows: "tops", by: "top" },
      { name: "tops" },
    ],
  },
  // Refused, each for another reason.
  keyless: {
    ddl: `CREATE TABLE IF NOT EXISTS loose (region TEXT, word TEXT);`,
    tables: [{ name: "loose" }],
  },
  nullkey: {
    ddl: `CREATE TABLE IF NOT EXISTS holes (id TEXT PRIMARY KEY, region TEXT);`,
    tables: [{ name: "holes" }],
  },
  keylacking: {
    ddl: `CREATE TABLE IF NOT EXISTS lacking (id TEXT PRIMARY KEY, word TEXT);`,
    tables: [{ name: "lacking" }],
  },
  missing: {
    ddl: `CREATE TABLE IF NOT EXISTS present (id TEXT PRIMARY KEY, region TEXT);`,
    tables: [{ name: "present" }, { name: "absent" }],
  },
  circular: {
    ddl: `CREATE TABLE IF NOT EXISTS hens (id TEXT PRIMARY KEY, egg TEXT); CREATE TABLE IF NOT EXISTS eggs (id TEXT PRIMARY KEY, hen TEXT);`,
    tables: [
      { name: "hens", follows: "eggs", by: "egg" },
      { name: "eggs", follows: "hens", by: "hen" },
    ],
  },
  stranger: {
    ddl: `CREATE TABLE IF NOT EXISTS guests (id TEXT PRIMARY KEY, host TEXT);`,
    tables: [{ name: "guests", follows: "hosts", by: "host" }],
  },
  wide: {
    ddl: `CREATE TABLE IF NOT EXISTS doubles (a TEXT, b TEXT, region TEXT, PRIMARY KEY (a, b)); CREATE TABLE IF NOT EXISTS after (id TEXT PRIMARY KEY, a TEXT);`,
    tables: [{ name: "doubles" }, { name: "after", follows: "doubles", by: "a" }],
  },
  expression: {
    ddl: `CREATE TABLE IF NOT EXISTS mails (id TEXT PRIMARY KEY, region TEXT, address TEXT); CREATE UNIQUE INDEX IF NOT EXISTS mails_lower ON mails (lower(address));`,
    tables: [{ name: "mails" }],
  },
};

function alike(columns: string, options = ""): CaseTables {
  return {
    ddl: `CREATE TABLE IF NOT EXISTS names (${columns}) ${options};`,
    tables: [{ name: "names" }],
    // Renames of keys are written, also where the key is the shard key.
    checkKeys: "none",
  };
}

/** Versions that tests deploy: an object of the namespace has its tables from its next life on. */
const deployed = new Map<string, CaseTables>();

/** Deploys other tables to the objects of one namespace. */
export function deployTables(namespace: string, tables: CaseTables): void {
  deployed.set(namespace, tables);
}

/** The schema of an object, by its name. */
export function caseTables(name: string | undefined): CaseTables {
  const newer = [...deployed].find(
    ([namespace]) => name === namespace || name?.startsWith(`${namespace}-`),
  );
  if (newer) return newer[1];
  const found = CASE_TABLES[(name ?? "").split("~")[0] ?? ""];
  if (!found) throw new Error(`No case is named like '${String(name)}'`);
  return found;
}
