/** Looking for rows that are not a member's own, while it serves. */
import { expect, it } from "vitest";

import { freshHashLayout } from "../../../src/model/strategies/hash.ts";
import { Member } from "../../../src/shards/member/member.ts";
import { findStraysAtOnce, findStraysInSlices } from "../../../src/shards/move/stray-rows.ts";
import { Sql } from "../../../src/shards/storage/storage.ts";
import { openStorage, runAlone } from "../support/node-storage.ts";

const ROWS = 9_000;
const layout = freshHashLayout("customer", 1, ["ns-shard-0", "ns-shard-1"]);

function open(sleep: () => Promise<void>): { member: Member; largest: () => number; sql: Sql } {
  const storage = openStorage();
  const { exec } = storage.sql;
  let most = 0;
  storage.sql.exec = ((query: string, ...bindings: never[]) => {
    const cursor = exec(query, ...bindings);
    if (!query.includes('FROM "t" AS t')) return cursor;
    const rows = cursor.toArray();
    most = Math.max(most, rows.length);
    return { toArray: () => rows, [Symbol.iterator]: () => rows[Symbol.iterator]() };
  }) as typeof exec;
  const sql = new Sql(storage);
  sql.run("CREATE TABLE t (id TEXT PRIMARY KEY, customer)");
  sql.run(
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) INSERT INTO t SELECT 'k' || i, i FROM n",
    ROWS,
  );
  const member = new Member({
    sql,
    runtime: { now: () => 0, sleep, digest: () => Promise.resolve("") },
    alone: runAlone,
    self: "ns-shard-0",
    namespace: "ns",
    specs: [{ name: "t" }],
    localTables: [],
    partitioners: {},
    ask: () => Promise.reject(new Error("unused")),
  } as unknown as ConstructorParameters<typeof Member>[0]);
  return { member, largest: () => most, sql };
}

it("finds as many in slices as at once, and others come between", async () => {
  let pauses = 0;
  const { member, largest, sql } = open(() => {
    pauses++;
    return Promise.resolve();
  });
  const rows = { sql, self: "ns-shard-0", partitioners: {}, tables: member.tables() };
  const found = findStraysAtOnce(rows, layout, 3);
  expect(found.strays[0]?.rows).toBeGreaterThan(ROWS / 3);
  expect(found.samples).toHaveLength(3);
  const told = await member.testifyInSlices({ layout, sampleMax: 3 });
  expect(told).toMatchObject(found);
  expect(pauses).toBe(4);
  expect(largest()).toBe(2_000);
  // Of an object that no layout names, all.
  const strange = { ...rows, self: "other" };
  expect(findStraysAtOnce(strange, layout, 0).strays).toEqual([{ table: "t", rows: ROWS }]);
  expect([...findStraysInSlices(strange, layout, 0)]).toHaveLength(4);
});

it("says nothing once its part has changed meanwhile", async () => {
  const { member } = open(() => {
    Object.defineProperty(member, "membership", {
      configurable: true,
      value: { ...membership, epoch: 9 },
    });
    return Promise.resolve();
  });
  const { membership } = member;
  await expect(member.testifyInSlices({ layout })).rejects.toThrow("has another part");
});
