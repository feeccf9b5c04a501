/** Rows that a constructor has made to point at rows which leave behind the commit of a wave. */
import { beforeEach, describe, expect, it } from "vitest";

import { cascadeLate } from "../../../src/shards/move/cascade-late.ts";
import { deleteKeys } from "../../../src/shards/move/delete-keys.ts";
import { Sql } from "../../../src/shards/storage/storage.ts";
import { resolveTables } from "../../../src/shards/storage/tables.ts";
import type { SimStorage } from "../../sim/storage.ts";
import { openStorage } from "../support/node-storage.ts";

const LEAVING = '[["a",null],["c",null]]';

let storage: SimStorage;
let sql: Sql;
beforeEach(() => {
  storage = openStorage();
  sql = new Sql(storage);
  sql.run("CREATE TABLE items (id TEXT PRIMARY KEY COLLATE NOCASE, region TEXT)");
  sql.run("INSERT INTO items VALUES ('a', 'x'), ('b', 'x'), ('c', 'x')");
});

/** Deletes `a` and `c` as the end of a wave does. */
function leave(moved: readonly string[] = ["items"]): void {
  storage.flush();
  sql.run("PRAGMA foreign_keys = OFF");
  const [items] = resolveTables(sql, [{ name: "items" }]);
  if (!items) throw new Error("no table");
  sql.transaction(() => {
    cascadeLate(sql, "items", items, LEAVING, moved);
    deleteKeys(sql, "items", items, LEAVING);
  });
  storage.flush();
  sql.run("PRAGMA foreign_keys = ON");
}

function dangling(): number {
  return sql.rows("PRAGMA foreign_key_check").length;
}

describe("a row that points at one which leaves behind the commit", () => {
  it("goes with it, whatever its trigger says, and takes along what points at it", () => {
    sql.run("CREATE TABLE labels (item TEXT PRIMARY KEY REFERENCES items ON DELETE CASCADE)");
    sql.run("CREATE TABLE marks (label REFERENCES Labels (item) ON DELETE CASCADE, n)");
    sql.run("CREATE TABLE hints (label REFERENCES labels (item) ON DELETE SET NULL, n)");
    sql.run(
      "CREATE TRIGGER kept BEFORE DELETE ON labels BEGIN SELECT RAISE(ABORT, 'a label stays'); END",
    );
    sql.run("INSERT INTO labels VALUES ('A'), ('b')");
    sql.run("INSERT INTO marks VALUES ('A', 1), ('b', 2), (NULL, 3)");
    sql.run("INSERT INTO hints VALUES ('A', 1), ('b', 2)");
    leave();
    expect(sql.rows("SELECT item FROM labels")).toEqual([{ item: "b" }]);
    expect(sql.rows("SELECT n FROM marks ORDER BY n")).toEqual([{ n: 2 }, { n: 3 }]);
    expect(sql.rows("SELECT label, n FROM hints ORDER BY n")).toEqual([
      { label: null, n: 1 },
      { label: "b", n: 2 },
    ]);
    expect(dangling()).toBe(0);
    expect(sql.rows("SELECT name FROM sqlite_master WHERE type = 'trigger'")).toEqual([
      { name: "kept" },
    ]);
  });

  it("stays where its definition would forbid the deletion, or where its table moves", () => {
    sql.run(
      "CREATE TABLE strict_labels (item TEXT PRIMARY KEY REFERENCES items ON DELETE RESTRICT)",
    );
    sql.run("CREATE TABLE moved_labels (item TEXT PRIMARY KEY REFERENCES items ON DELETE CASCADE)");
    sql.run("INSERT INTO strict_labels VALUES ('a')");
    sql.run("INSERT INTO moved_labels VALUES ('c')");
    leave(["items", "Moved_Labels"]);
    expect(sql.rows("SELECT item FROM strict_labels")).toEqual([{ item: "a" }]);
    expect(sql.rows("SELECT item FROM moved_labels")).toEqual([{ item: "c" }]);
  });

  it.each([
    "(x TEXT NOT NULL REFERENCES items ON DELETE SET NULL)",
    "(x TEXT REFERENCES items ON DELETE SET NULL CHECK (x IS NOT NULL))",
    "(x TEXT PRIMARY KEY REFERENCES items ON DELETE SET NULL) WITHOUT ROWID",
    "(n INTEGER, x TEXT AS ('a') STORED REFERENCES items ON DELETE SET NULL)",
    "(x TEXT REFERENCES items (gone) ON DELETE CASCADE)",
    "(x TEXT REFERENCES elsewhere ON DELETE CASCADE)",
  ])("stays, and ends nothing, where it can neither go nor be untied: %s", (definition) => {
    sql.run(`CREATE TABLE odd ${definition}`);
    storage.flush();
    sql.run("PRAGMA foreign_keys = OFF");
    const column = definition.startsWith("(n ") ? "n" : "x";
    sql.run(`INSERT INTO odd (${column}) VALUES ('a')`);
    leave();
    expect(sql.rows("SELECT id FROM items")).toEqual([{ id: "b" }]);
    expect(sql.rows("SELECT x FROM odd")).toEqual([{ x: "a" }]);
  });

  it("is untied from one of its own table that goes", () => {
    sql.run(
      "CREATE TABLE comments (id TEXT PRIMARY KEY, item TEXT REFERENCES items ON DELETE CASCADE, reply_to TEXT REFERENCES comments ON DELETE SET NULL)",
    );
    sql.run("INSERT INTO comments VALUES ('1', 'a', NULL), ('2', 'b', '1'), ('3', 'a', '2')");
    leave();
    expect(sql.rows("SELECT id, item, reply_to FROM comments")).toEqual([
      { id: "2", item: "b", reply_to: null },
    ]);
    expect(dangling()).toBe(0);
  });

  it("of its own table, and in a circle of tables, ends nothing", () => {
    sql.run("DROP TABLE items");
    sql.run(
      "CREATE TABLE items (id TEXT PRIMARY KEY, region TEXT, boss TEXT REFERENCES items ON DELETE CASCADE)",
    );
    sql.run(
      "CREATE TABLE ring (id TEXT PRIMARY KEY REFERENCES items ON DELETE CASCADE, next TEXT REFERENCES chain (id) ON DELETE CASCADE)",
    );
    sql.run("CREATE TABLE chain (id TEXT PRIMARY KEY REFERENCES ring (id) ON DELETE CASCADE)");
    sql.run("INSERT INTO items VALUES ('a', 'x', NULL), ('b', 'x', NULL), ('c', 'x', NULL)");
    sql.run("INSERT INTO ring VALUES ('a', NULL), ('b', NULL)");
    sql.run("INSERT INTO chain VALUES ('a'), ('b')");
    sql.run("UPDATE ring SET next = id");
    leave();
    expect(sql.rows("SELECT id FROM ring")).toEqual([{ id: "b" }]);
    expect(sql.rows("SELECT id FROM chain")).toEqual([{ id: "b" }]);
    expect(dangling()).toBe(0);
  });
});
