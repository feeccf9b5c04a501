/** A directory takes ids as text: two rows whose ids read alike would share an entry. */
import { describe, expect, it } from "vitest";
import { withDirectory } from "../../../src/model/layout/directory.ts";
import type { Layout } from "../../../src/model/layout/layout.ts";
import { freshHashLayout } from "../../../src/model/strategies/hash.ts";
import { keepUnique } from "../../../src/shards/member/unique.ts";
import { idMatches } from "../../../src/shards/storage/row-id.ts";
import type { Moving } from "../../../src/shards/move/moving.ts";
import { buildMovePlan } from "../../../src/shards/move/move-plan.ts";
import { Batch, createScan, tableFrom } from "../../../src/shards/move/outbox.ts";
import { EngineFault } from "../../../src/shards/storage/faults.ts";
import { ensureSchema } from "../../../src/shards/storage/schema.ts";
import type { Sql, SqlRow } from "../../../src/shards/storage/storage.ts";
import { resolveTables } from "../../../src/shards/storage/tables.ts";
import { openSql } from "../support/node-storage.ts";

const MEMBERS = ["s-0", "s-1"];
const HASH = withDirectory(freshHashLayout("region", 0, MEMBERS), true);
const LAYOUTS: readonly (readonly [string, Layout])[] = [
  ["hash", HASH],
  ["roundRobin", { kind: "roundRobin", shardKey: "id", generation: 0, members: MEMBERS }],
];

function open(definition: string, rows: readonly string[]): Sql {
  const sql = openSql();
  ensureSchema(sql);
  sql.run(`CREATE TABLE items (${definition})`);
  sql.run("CREATE TABLE notes (id INTEGER PRIMARY KEY, item)");
  for (const row of rows) sql.run(`INSERT INTO items VALUES (${row})`);
  return sql;
}

/**
 * Returns a source's verdict after it has walked its rows twice: a row may be sent several times.
 */
function walk(sql: Sql, to: Layout): string {
  const moving: Moving = {
    operation: 1,
    mode: "swap",
    isSource: true,
    isTarget: false,
    from: { kind: "none", generation: 0, members: ["root"] },
    to,
    allowMissingKey: true,
    rowsPerSecondMax: null,
    fence: 0,
    fenceFloor: 1,
    rehearsed: 0,
  };
  const plan = buildMovePlan(
    sql,
    moving,
    resolveTables(sql, [{ name: "items" }, { name: "notes", follows: "items", by: "item" }]),
    {},
  );
  try {
    for (const table of [...plan.tables, ...plan.tables]) {
      const batch = new Batch(sql, plan, "root");
      const scan = createScan(sql, table, "masked");
      for (const row of sql.rows<SqlRow>(scan.sql(tableFrom(table))))
        batch.add(table, scan.read(row));
    }
  } catch (error) {
    if (error instanceof EngineFault) return `${error.kind}: ${error.message}`;
    throw error;
  }
  return "moves";
}

const ANY = "id PRIMARY KEY, region";
describe.each(LAYOUTS)("%s", (_, to) => {
  it.each<[string, string, readonly string[]]>([
    ["a number and a text, under one key", ANY, ["1, 'r'", "'1', 'r'"]],
    ["a number and a text, under two keys", ANY, ["1, 'r'", "'1', 'q'"]],
    ["a REAL and a text", ANY, ["1.5, 'r'", "'1.5', 'q'"]],
  ])("refuses %s, and names both", (_name, definition, rows) => {
    const message = walk(open(definition, rows), to);
    expect(message).toMatch(
      /^duplicateId: 2 rows of table 'items' have one id in the directory, which takes ids as text: /,
    );
    expect(message).toMatch(/⟦\[1(\.5)?,null\], \["1(\.5)?",null\]⟧\. Nothing was changed/);
  });

  it("refuses one that is stored when the other has been sent", () => {
    const sql = open(ANY, ["1, 'r'"]);
    expect(walk(sql, to)).toBe("moves");
    sql.run("INSERT INTO items VALUES ('1', 'r')");
    expect(walk(sql, to)).toContain("have one id in the directory");
    sql.run("DELETE FROM items WHERE id = 1");
    expect(walk(sql, to)).toBe("moves");
  });

  it.each<[string, string, readonly string[]]>([
    ["texts that differ", ANY, ["1, 'r'", "'01', 'r'", "'1.0', 'r'", "' 1', 'r'"]],
    ["letters of another case", "id TEXT PRIMARY KEY, region", ["'a', 'r'", "'A', 'r'"]],
    ["numbers alone", "id INTEGER PRIMARY KEY, region", ["1, 'r'", "2, 'r'"]],
  ])("moves %s", (_name, definition, rows) => {
    const sql = open(definition, rows);
    sql.run("INSERT INTO notes VALUES (1, 1), (2, 1), (3, '1')");
    expect(walk(sql, to)).toBe("moves");
  });
});

it("and a member with a directory takes no row whose id reads as another's", () => {
  const sql = open(ANY, ["1, 'r'", "'2', 'r'"]);
  keepUnique(sql, resolveTables(sql, [{ name: "items" }]), HASH);
  for (const id of ["1", "2", "3"])
    sql.run("INSERT INTO shardctl_granted VALUES ('items', ?, 'r')", id);
  const write = (statement: string): void => void sql.run(statement);
  expect(() => write("INSERT INTO items VALUES ('1', 'r')")).toThrow(
    /takes ids as text, and the id of another row reads the same/,
  );
  expect(() => write("INSERT OR REPLACE INTO items VALUES (2, 'r')")).toThrow(/reads the same/);
  expect(() => write("UPDATE items SET id = 2 WHERE id = 1")).toThrow(/reads the same/);
  write("INSERT OR REPLACE INTO items VALUES (1, 'r')");
  write("INSERT INTO items VALUES (3, 'r')");
  write("UPDATE items SET id = '3' WHERE id = 3");
  expect(sql.rows("SELECT id FROM items ORDER BY id")).toEqual([
    { id: 1 },
    { id: "2" },
    { id: "3" },
  ]);
});

describe("a row is found by its index", () => {
  it.each([
    "id TEXT PRIMARY KEY",
    "id TEXT PRIMARY KEY COLLATE NOCASE",
    "id PRIMARY KEY",
    "id INT PRIMARY KEY",
    "id INTEGER PRIMARY KEY",
    "id REAL PRIMARY KEY",
  ])("%s", (definition) => {
    const sql = open(`${definition}, region`, []);
    const [table] = resolveTables(sql, [{ name: "items" }]);
    if (!table) throw new Error("No table");
    for (const text of ["?1", "CAST(?1 AS TEXT)"]) {
      const plan = sql.rows<{ detail: string }>(
        `EXPLAIN QUERY PLAN SELECT 1 FROM items AS t WHERE ${idMatches(table, "t", text)}`,
        "x",
      );
      expect(plan.map(({ detail }) => detail)).toEqual([
        expect.stringMatching(/^SEARCH t USING .*(id|rowid)=\?\)$/),
      ]);
    }
  });
});
