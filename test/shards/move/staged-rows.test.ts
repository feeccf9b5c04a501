/**
 * Staging on a target of a shift: exact positions whatever the size of a row, and pages of keys
 * that one statement can take.
 */
import { beforeEach, describe, expect, it, vi } from "vitest";
import { keyFromSql } from "../../../src/model/layout/key.ts";
import type { RangeLayout } from "../../../src/model/layout/layout.ts";
import type { MoveRange } from "../../../src/model/layout/move-range.ts";
import { type MovePlan, buildMovePlan, stageName } from "../../../src/shards/move/move-plan.ts";
import { Batch, createScan, tableFrom } from "../../../src/shards/move/outbox.ts";
import { receiveRows } from "../../../src/shards/move/receive.ts";
import { createStaging, stagedKeys } from "../../../src/shards/move/staging.ts";
import { ensureSchema } from "../../../src/shards/storage/schema.ts";
import { type Sql, type SqlRow, quoteName } from "../../../src/shards/storage/storage.ts";
import { resolveTables } from "../../../src/shards/storage/tables.ts";
import { TEXT_BYTES_MAX, movingOf } from "../support/moving.ts";
import { openSql } from "../support/node-storage.ts";

/** JavaScript's numbers have no place for it. */
const SPLIT = keyFromSql("integer", "9007199254740993");

const layout = (members: readonly string[]): RangeLayout => ({
  kind: "range",
  shardKey: "k",
  generation: 0,
  members,
  ranges: members.map((member, index) => ({
    end: index === members.length - 1 ? null : SPLIT,
    member,
  })),
});
const MOVING = movingOf({
  mode: "shift",
  isTarget: true,
  from: layout(["s-0"]),
  to: layout(["s-0", "s-1"]),
});
const LEAVES: MoveRange = { kind: "keys", from: SPLIT, to: null };

function open(): { sql: Sql; plan: MovePlan } {
  const sql = openSql();
  ensureSchema(sql);
  sql.run("CREATE TABLE items (id TEXT PRIMARY KEY, k, body)");
  return { sql, plan: buildMovePlan(sql, MOVING, resolveTables(sql, [{ name: "items" }]), {}) };
}

let source: Sql;
let target: Sql;
let plan: MovePlan;
beforeEach(() => {
  source = open().sql;
  ({ sql: target, plan } = open());
  createStaging(target, plan);
});

/** Sends every row of the source. */
function send(): void {
  const sent = buildMovePlan(source, MOVING, resolveTables(source, [{ name: "items" }]), {});
  const [table] = sent.tables;
  if (!table) throw new Error("No table");
  const batch = new Batch(source, sent, "s-0");
  const scan = createScan(source, table, "masked");
  for (const row of source.rows<SqlRow>(`${scan.sql(tableFrom(table))} ORDER BY id`))
    batch.add(table, scan.read(row));
  receiveRows(
    { sql: target, plan, source: "s-0" },
    { sequence: 1, parts: batch.rowsFor("s-1").map(({ part }) => part) },
  );
}

describe("a staged row", () => {
  it.each([
    ["small", 10],
    ["large", 400_000],
  ])("has its exact position, so that its wave makes it live: %s", (_, size) => {
    for (const key of [
      "9007199254740992",
      "9007199254740993",
      "9007199254740995",
      "9223372036854775807",
      "9e999",
      "'text'",
      "x'00ff'",
    ])
      source.run(`INSERT INTO items VALUES ('id ' || quote(${key}), ${key}, zeroblob(${size}))`);
    send();
    const staged = target.rows<{ id: string; position: string }>(
      `SELECT id, typeof(shardctl_position) || ' ' || CAST(shardctl_position AS TEXT) AS position FROM ${quoteName(stageName("items"))} ORDER BY id`,
    );
    expect(staged.map(({ id, position }) => `${id}: ${position}`)).toEqual([
      "id 'text': text text",
      "id 9.0e+999: real Inf",
      "id 9007199254740993: integer 9007199254740993",
      "id 9007199254740995: integer 9007199254740995",
      "id 9223372036854775807: integer 9223372036854775807",
      "id X'00FF': text 00FF",
    ]);
    expect(
      JSON.parse(
        stagedKeys(target, plan, { table: "items", source: "s-0", range: LEAVES, after: null })
          .keys,
      ),
    ).toHaveLength(6);
  });
});

it("takes a large row of as many columns as can be moved with as many values as a statement may be given", () => {
  const columns = Array.from({ length: 95 }, (_, index) => `c${index}`);
  for (const sql of [source, target]) {
    sql.run("DROP TABLE items");
    sql.run(`CREATE TABLE items (id TEXT PRIMARY KEY, k, ${columns.join(", ")})`);
  }
  plan = buildMovePlan(target, MOVING, resolveTables(target, [{ name: "items" }]), {});
  createStaging(target, plan);
  source.run(
    `INSERT INTO items VALUES ('x', 9007199254740993, zeroblob(400000), ${columns
      .slice(1)
      .map((column) => `'${column}'`)
      .join(", ")})`,
  );
  const run = vi.spyOn(target, "run");
  send();
  const bound = run.mock.calls.map(([, ...bindings]) => bindings.length);
  expect(Math.max(...bound)).toBe(99);
  expect(target.rows(`SELECT c94, shardctl_source FROM ${quoteName(stageName("items"))}`)).toEqual([
    { c94: "c94", shardctl_source: "s-0" },
  ]);
});

describe("the keys of staged rows", () => {
  it.each([
    ["short", 0, 1],
    ["as long as links", 900, 3],
    ["of thousands of characters", 2_000, 8],
    ["escaped", "\u0001", 3],
  ])("come in pages that one statement can take: %s", (_, filler, pagesMin) => {
    const tail = typeof filler === "string" ? filler.repeat(120) : "x".repeat(filler);
    const insert = `INSERT INTO ${quoteName(stageName("items"))} (id, k, shardctl_class, shardctl_position, shardctl_source)
      WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 5999) SELECT printf('%05d', i) || ?1, 9007199254740993, 1, 9007199254740993, 's-0' FROM n`;
    target.run(insert, tail);
    const found: string[] = [];
    let pages = 0;
    for (let after: string | null = null; pages === 0 || after !== null; pages++) {
      const page = stagedKeys(target, plan, {
        table: "items",
        source: "s-0",
        range: LEAVES,
        after,
      });
      expect(new TextEncoder().encode(page.keys).length).toBeLessThan(TEXT_BYTES_MAX);
      found.push(...(JSON.parse(page.keys) as [string, null][]).map(([id]) => id.slice(0, 5)));
      ({ after } = page);
    }
    expect(found).toEqual(
      Array.from({ length: 6000 }, (_unused, index) => String(index).padStart(5, "0")),
    );
    expect(pages).toBeGreaterThanOrEqual(pagesMin);
  });
});
