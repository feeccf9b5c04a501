/** A second look at a page by its keys asks in as many parts as one statement each can be given. */
import { expect, it } from "vitest";
import { buildMovePlan } from "../../../src/shards/move/move-plan.ts";
import { Batch, createScan, tableFrom } from "../../../src/shards/move/outbox.ts";
import { checkRows } from "../../../src/shards/move/receive.ts";
import { ensureSchema } from "../../../src/shards/storage/schema.ts";
import type { Runtime, SqlRow } from "../../../src/shards/storage/storage.ts";
import { resolveTables } from "../../../src/shards/storage/tables.ts";
import { TEXT_BYTES_MAX, movingOf } from "../support/moving.ts";
import { openSql } from "../support/node-storage.ts";

const MOVING = movingOf();
const ROWS = 900;

const runtime: Runtime = {
  now: () => 0,
  sleep: () => Promise.resolve(),
  digest: (text) => Promise.resolve(text as string),
};

function openItems(): ReturnType<typeof openSql> {
  const sql = openSql();
  ensureSchema(sql);
  sql.run("CREATE TABLE items (id TEXT PRIMARY KEY, note TEXT)");
  for (let id = 0; id < ROWS; id++)
    sql.run("INSERT INTO items VALUES (?, 'first')", `${id}`.padEnd(3_000, "x"));
  return sql;
}

it("compares all of many long keys, and says in which part a row differs", async () => {
  const source = openItems();
  const target = openItems();
  const tables = [{ name: "items" }];
  const plan = buildMovePlan(source, MOVING, resolveTables(source, tables), {});
  const [table] = plan.tables;
  if (!table) throw new Error("The plan has no table");
  const batch = new Batch(source, plan, "root");
  const scan = createScan(source, table, "plain");
  for (const row of source.rows<SqlRow>(`${scan.sql(tableFrom(table))} ORDER BY id`))
    batch.add(table, scan.read(row));

  const parts = await batch.checksFor("s-0", runtime);
  expect(parts.length).toBeGreaterThan(1);
  expect(Math.max(...parts.map(({ keys }) => keys.length))).toBeLessThan(TEXT_BYTES_MAX);
  expect(parts.flatMap(({ keys }) => JSON.parse(keys) as unknown[])).toHaveLength(ROWS);

  const theirs = buildMovePlan(
    target,
    { ...MOVING, isSource: false, isTarget: true },
    resolveTables(target, tables),
    {},
  );
  expect(await checkRows({ sql: target, plan: theirs, source: "root" }, parts, runtime)).toBe(-1);
  target.run("UPDATE items SET note = 'second' WHERE id = (SELECT max(id) FROM items)");
  expect(await checkRows({ sql: target, plan: theirs, source: "root" }, parts, runtime)).toBe(
    parts.length - 1,
  );
});
