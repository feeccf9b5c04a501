/**
 * Two rows change places between two sources while they are copied: each source's page holds a
 * rival of the other's, and takes one away.
 */
import { expect, it } from "vitest";
import type { RowsPart } from "../../../src/shards/protocol/messages.ts";
import { buildMovePlan } from "../../../src/shards/move/move-plan.ts";
import { Batch, createScan, tableFrom } from "../../../src/shards/move/outbox.ts";
import { ensureSchema } from "../../../src/shards/storage/schema.ts";
import type { Sql, SqlRow } from "../../../src/shards/storage/storage.ts";
import { resolveTables } from "../../../src/shards/storage/tables.ts";
import { receiveRows } from "../../../src/shards/move/receive.ts";
import { TWO_REGIONS, movingOf } from "../support/moving.ts";
import { openSql } from "../support/node-storage.ts";

const MOVING = movingOf({
  isTarget: true,
  from: TWO_REGIONS,
  to: { kind: "none", generation: 2, members: ["root"] },
});

function openObject(): Sql {
  const sql = openSql();
  ensureSchema(sql);
  sql.run("CREATE TABLE items (id TEXT PRIMARY KEY, region TEXT)");
  return sql;
}

/**
 * Returns the page that a source sends: its rows as they are now, and ids that it no longer has.
 */
function pageOf(sql: Sql, self: string, gone: readonly string[]): RowsPart[] {
  const plan = buildMovePlan(sql, MOVING, resolveTables(sql, [{ name: "items" }]), {});
  const [table] = plan.tables;
  if (!table) throw new Error("No table");
  const batch = new Batch(sql, plan, self);
  const scan = createScan(sql, table, "plain");
  for (const row of sql.rows<SqlRow>(`${scan.sql(tableFrom(table))} ORDER BY id`))
    batch.add(table, scan.read(row));
  for (const id of gone) batch.addAbsent(table, "root", JSON.stringify([id, null]));
  return batch.rowsFor("root").map(({ part }) => part);
}

it("takes away what is gone though the page has a rival, so that neither source waits for the other for ever", () => {
  const [a, b, root] = [openObject(), openObject(), openObject()];
  const plan = buildMovePlan(root, MOVING, resolveTables(root, [{ name: "items" }]), {});
  const receive = (source: string, sequence: number, parts: readonly RowsPart[]): number =>
    receiveRows({ sql: root, plan, source }, { sequence, parts }).duplicates.length;
  a.run("INSERT INTO items VALUES ('x', 'east')");
  b.run("INSERT INTO items VALUES ('y', 'west')");
  expect(receive("a", 1, pageOf(a, "a", []))).toBe(0);
  expect(receive("b", 1, pageOf(b, "b", []))).toBe(0);

  a.run("DELETE FROM items");
  b.run("DELETE FROM items");
  a.run("INSERT INTO items VALUES ('y', 'east')");
  b.run("INSERT INTO items VALUES ('x', 'west')");
  // y is still there from b: nothing of the page is stored, but x is gone.
  expect(receive("a", 2, pageOf(a, "a", ["x"]))).toBe(1);
  expect(receive("b", 2, pageOf(b, "b", ["y"]))).toBe(0);
  expect(receive("a", 3, pageOf(a, "a", ["x"]))).toBe(0);
  expect(root.rows("SELECT id, region FROM items ORDER BY id")).toEqual([
    { id: "x", region: "west" },
    { id: "y", region: "east" },
  ]);
});
