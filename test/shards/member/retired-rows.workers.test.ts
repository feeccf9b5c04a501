/**
 * Rows of a retired member: out of the way at no cost, with an empty table of the same definition
 * in their place.
 */
import { describe, expect, it } from "vitest";

import { DeployedNamespace, statements } from "../support/deploy.ts";

/** Every definition that can get lost, and every way to name a table from outside. */
const SCHEMA = [
  `CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY COLLATE NOCASE, region TEXT, n INTEGER CHECK (n > 0), twice GENERATED ALWAYS AS (n * 2) STORED, parent TEXT REFERENCES items (id) ON DELETE CASCADE, mail TEXT UNIQUE) STRICT`.replace(
    "twice GENERATED",
    "twice INTEGER GENERATED",
  ),
  "CREATE TABLE IF NOT EXISTS parts (item TEXT NOT NULL REFERENCES items (id) ON DELETE CASCADE, no INTEGER NOT NULL, PRIMARY KEY (item, no)) WITHOUT ROWID",
  "CREATE TABLE IF NOT EXISTS counted (id INTEGER PRIMARY KEY AUTOINCREMENT, region TEXT)",
  "CREATE INDEX IF NOT EXISTS items_by_region ON items (region DESC) WHERE region IS NOT NULL",
  "CREATE UNIQUE INDEX IF NOT EXISTS items_by_n ON items (n)",
  "CREATE TABLE IF NOT EXISTS log (what TEXT)",
  "CREATE VIEW IF NOT EXISTS shown AS SELECT items.id, parts.no FROM items JOIN parts ON parts.item = items.id",
  "CREATE TRIGGER IF NOT EXISTS items_log AFTER INSERT ON items BEGIN INSERT INTO log VALUES (NEW.id); END",
  "CREATE TRIGGER IF NOT EXISTS log_items AFTER DELETE ON log BEGIN UPDATE items SET n = n + 100 WHERE id = OLD.what; END",
  "CREATE TRIGGER IF NOT EXISTS shown_insert INSTEAD OF INSERT ON shown BEGIN INSERT INTO items (id) VALUES (NEW.id); END",
];
const POINTER =
  "CREATE TABLE IF NOT EXISTS marks (id TEXT PRIMARY KEY, item TEXT REFERENCES items (id) ON DELETE CASCADE)";
const TABLES = [
  { name: "items" },
  { name: "parts", follows: "items", by: "item" },
  { name: "counted" },
] as const;
const DEFINITIONS =
  "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'shardctl%' AND tbl_name NOT LIKE 'shardctl%' AND name NOT LIKE '%cf_%' AND name NOT LIKE 'sqlite_autoindex%' AND name NOT LIKE '%miniflare%' ORDER BY name";

async function retire(
  name: string,
  schema: readonly string[],
): Promise<{ namespace: DeployedNamespace; before: unknown }> {
  const namespace = new DeployedNamespace(name, "field", statements(...schema), TABLES);
  for (const statement of [
    "INSERT INTO items (id, region, n, mail) VALUES ('a', 'r1', 1, 'a@x'), ('b', 'r2', 2, 'b@x')",
    "INSERT INTO parts VALUES ('a', 1), ('a', 2), ('b', 1)",
    "INSERT INTO counted (id, region) VALUES (40, 'r1'), (41, 'r2')",
    "DELETE FROM counted WHERE id = 41",
  ]) {
    await namespace.sql(name, statement);
  }
  const before = await namespace.sql(name, DEFINITIONS);
  await namespace.toHash("region", 2, { retainHours: 1 });
  await namespace.settled();
  return { namespace, before };
}

describe.each([
  ["without", SCHEMA],
  ["with", [...SCHEMA, POINTER]],
])("a retired member, %s a table that points at what moved", (kind, schema) => {
  it("has the same definitions, no row, and its old rows under private names", async () => {
    const name = `retired-${kind}`;
    const { namespace, before } = await retire(name, schema);
    expect(await namespace.sql(name, DEFINITIONS)).toEqual(before);
    for (const table of ["items", "parts", "counted"])
      expect(await namespace.sql(name, `SELECT * FROM ${table}`)).toEqual([]);
    expect(
      await namespace.sql(name, "SELECT id, n, twice FROM shardctl_retired_items ORDER BY id"),
    ).toEqual([
      { id: "a", n: 1, twice: 2 },
      { id: "b", n: 2, twice: 4 },
    ]);
    expect(
      await namespace.sql(name, "SELECT name, seq FROM sqlite_sequence WHERE name = 'counted'"),
    ).toEqual([{ name: "counted", seq: 41 }]);
    // Retired tables reference retired tables, unless a table that stayed references them, too.
    const dangling = await namespace.sql(name, "PRAGMA foreign_key_check");
    expect(dangling.length > 0).toBe(kind === "with");
    const counted = await namespace.ask({ kind: "count" });
    expect(counted.tables.map(({ table, rows }) => [table, rows])).toEqual([
      ["items", 2],
      ["parts", 3],
      ["counted", 1],
    ]);
  });

  it("is a target again, and what it kept is gone", async () => {
    const name = `back-${kind}`;
    const { namespace, before } = await retire(name, schema);
    await namespace.unshard();
    expect(await namespace.sql(name, DEFINITIONS)).toEqual(before);
    expect(await namespace.sql(name, "SELECT id FROM items ORDER BY id")).toEqual([
      { id: "a" },
      { id: "b" },
    ]);
    expect(
      await namespace.sql(
        name,
        "SELECT name FROM sqlite_master WHERE name LIKE 'shardctl%retired%'",
      ),
    ).toEqual([]);
    expect(await namespace.leftovers()).toEqual([]);
    await namespace.sql(name, "DELETE FROM items WHERE id = 'a'");
    expect(await namespace.sql(name, "SELECT item FROM parts")).toEqual([{ item: "b" }]);
    await namespace.sql(name, "INSERT INTO items (id, region, n) VALUES ('c', 'r1', 7)");
    expect(await namespace.sql(name, "SELECT what FROM log WHERE what = 'c'")).toEqual([
      { what: "c" },
    ]);
  });

  it("drops them when its time is over, without a row written", async () => {
    const name = `emptied-${kind}`;
    const { namespace } = await retire(name, schema);
    await namespace.ask({ kind: "empty", operation: 1 });
    expect(
      await namespace.sql(
        name,
        "SELECT name FROM sqlite_master WHERE name LIKE 'shardctl%retired%'",
      ),
    ).toEqual([]);
    if (kind === "with") await namespace.sql(name, "INSERT INTO marks VALUES ('m', NULL)");
    expect(await namespace.leftovers([name])).toEqual([]);
  });
});
