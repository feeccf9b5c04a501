/** A member notices that a deploy has changed its tables, whatever it has read before. */
import { beforeEach, describe, expect, it } from "vitest";

import { keepCapture } from "../../../src/shards/move/capture.ts";
import { definitionsOf, readTablesNow, stepsOf } from "../../../src/shards/move/frozen-tables.ts";
import { ensureSchema } from "../../../src/shards/storage/schema.ts";
import type { Sql } from "../../../src/shards/storage/storage.ts";
import { type Table, resolveTables } from "../../../src/shards/storage/tables.ts";
import { openSql } from "../support/node-storage.ts";

let sql: Sql;
let tables: Table[];
const now = { read: () => readTablesNow(sql, tables) };

beforeEach(() => {
  sql = openSql();
  sql.run("CREATE TABLE items (id TEXT PRIMARY KEY, grp TEXT, code TEXT)");
  sql.run("CREATE TABLE others (id TEXT PRIMARY KEY, grp TEXT)");
  ensureSchema(sql);
  tables = resolveTables(sql, [{ name: "items" }]);
  keepCapture(sql, tables, "grp");
  now.read();
});

const steps = (count: number): void => {
  sql.run("CREATE TABLE IF NOT EXISTS kysely_migration (name TEXT PRIMARY KEY, timestamp TEXT)");
  for (let step = 0; step < count; step++)
    sql.run("INSERT OR IGNORE INTO kysely_migration (name) VALUES (?)", `step ${step}`);
};

describe("tables read again and again", () => {
  it.each<[string, () => void]>([
    ["a column that was added", () => sql.run("ALTER TABLE items ADD COLUMN status TEXT")],
    ["a column that was dropped", () => sql.run("ALTER TABLE items DROP COLUMN code")],
    [
      "a column that has another name of the same length",
      () => sql.run("ALTER TABLE items RENAME COLUMN code TO kode"),
    ],
    ["a unique index", () => sql.run("CREATE UNIQUE INDEX by_code ON items (code)")],
    [
      "a table that was rebuilt by the same definition, and so lost its triggers",
      () => {
        const definition =
          sql.first<{ sql: string }>("SELECT sql FROM sqlite_master WHERE name = 'items'")?.sql ??
          "";
        sql.run("DROP TABLE items");
        sql.run(definition);
      },
    ],
    [
      "a capture trigger that was dropped",
      () => {
        const trigger = sql.first<{ name: string }>(
          "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name GLOB 'shardctl_capture_*'",
        );
        sql.run(`DROP TRIGGER "${trigger?.name ?? ""}"`);
      },
    ],
    ["a table that is gone", () => sql.run("DROP TABLE items")],
    ["a table that was renamed", () => sql.run("ALTER TABLE items RENAME TO things")],
  ])("show %s", (_, change) => {
    const before = now.read().definitions;
    change();
    const after = now.read().definitions;
    expect(after).not.toBe(before);
    expect(after).toBe(definitionsOf(sql, tables));
    expect(now.read().definitions).toBe(after);
  });

  it("show what the engine itself changes within a turn, also where it is undone", () => {
    sql.inOneTurn(() => {
      const before = now.read().definitions;
      const change = (): never =>
        sql.transaction(() => {
          sql.run("ALTER TABLE items ADD COLUMN status TEXT");
          expect(now.read().definitions).not.toBe(before);
          throw new Error("undone");
        });
      expect(change).toThrow("undone");
      expect(now.read().definitions).toBe(before);
    });
  });

  it.each<[string, () => void]>([
    ["a plain index", () => sql.run("CREATE INDEX by_grp ON items (grp)")],
    ["a column of another table", () => sql.run("ALTER TABLE others ADD COLUMN status TEXT")],
    [
      "a trigger of the user",
      () => sql.run("CREATE TRIGGER mine AFTER INSERT ON items BEGIN SELECT 1; END"),
    ],
  ])("do not show %s", (_, change) => {
    const before = now.read().definitions;
    change();
    expect(now.read().definitions).toBe(before);
  });

  it("show each step of a migrator, also one that changes no definition", () => {
    const seen = [now.read().steps];
    for (const count of [1, 2, 3]) {
      steps(count);
      seen.push(now.read().steps);
      expect(seen.at(-1)).toBe(stepsOf(sql));
    }
    expect(new Set(seen).size).toBe(4);
    sql.run("DELETE FROM kysely_migration WHERE name = 'step 2'");
    expect(now.read().steps).toBe(seen[2]);
    sql.run("DROP TABLE kysely_migration");
    expect(now.read().steps).toBe(seen[0]);
  });
});
