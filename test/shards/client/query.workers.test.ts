/** `queryShards`: one answer from all shards, by the contract; reads only. */
import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, it, vi } from "vitest";

import type { Envelope } from "../../../src/model/wire/protocol.ts";
import { Host } from "../../../src/shards/host/host.ts";
import { refusal } from "../../support/refusal.ts";
import {
  type ShardsEnv,
  type Things,
  openedGates,
  reachedGates,
} from "../../support/shards-worker.ts";
import { TestNamespace } from "../support/namespace.ts";

const { THINGS } = env as unknown as ShardsEnv;
const NAME = "queried";
const COUNT = 40;
let root: DurableObjectStub<Things>;
let perShard: number[] = [];

const VALUE = "json_extract(data, '$.n')";

beforeAll(async () => {
  root = THINGS.getByName(NAME);
  // Half of the things share one key, so that shards are uneven and an average of averages would be
  // wrong.
  await root.putMany(
    Array.from({ length: COUNT }, (_, n) => ({
      id: `q${String(n).padStart(2, "0")}`,
      data: { n, country: n < 20 ? "big" : `c${n}` },
    })),
  );
  const outcome = await root.shard({ key: "country", count: 3 });
  perShard = outcome.shards.map((shard) => shard.thingCount);
}, 60_000);

describe("queryShards", { timeout: 60_000 }, () => {
  it("sums, counts and averages exactly over all rows", async () => {
    expect(new Set(perShard).size).toBeGreaterThan(1);
    const sum = await root.queryShards({
      query: `SELECT ${VALUE} FROM things`,
      aggregation: "sum",
    });
    expect(sum.data).toBe((COUNT * (COUNT - 1)) / 2);
    const average = await root.queryShards({
      query: `SELECT ${VALUE} FROM things`,
      aggregation: "avg",
    });
    expect(average.data).toBe((COUNT - 1) / 2);
    const counted = await root.queryShards({
      query: "SELECT count(*) FROM things",
      aggregation: "count",
    });
    expect(counted.data).toBe(COUNT);
    const rows = await root.queryShards({
      query: `SELECT id FROM things WHERE ${VALUE} >= ?`,
      params: [10],
      aggregation: "count",
    });
    expect(rows.data).toBe(COUNT - 10);
    const nothing = await root.queryShards({
      query: "SELECT id FROM things WHERE false",
      aggregation: "avg",
    });
    expect(nothing).toMatchObject({ data: 0, totalItems: 0 });
    expect(
      await refusal(() => root.queryShards({ query: "SELECT id FROM things", aggregation: "sum" })),
    ).toContain("need numbers");
  });

  it("merges by an order, and cuts to the limit once more", async () => {
    const merged = await root.queryShards({
      query: `SELECT id, ${VALUE} AS n, ${VALUE} % 2 AS odd FROM things ORDER BY odd, n DESC LIMIT 7`,
      aggregation: "merge",
      orderBy: "odd ASC, n DESC",
      limit: 5,
    });
    expect(merged.data).toEqual([38, 36, 34, 32, 30].map((n) => ({ id: `q${n}`, n, odd: 0 })));
    const mixed = await root.queryShards({
      query: `SELECT v FROM (SELECT CASE ${VALUE} WHEN 0 THEN NULL WHEN 1 THEN 'text' WHEN 2 THEN 2.5 WHEN 30 THEN 'Text' ELSE 7 END AS v FROM things WHERE ${VALUE} IN (0, 1, 2, 30, 31))`,
      aggregation: "merge",
      orderBy: "v",
    });
    expect(mixed.data).toEqual([{ v: null }, { v: 2.5 }, { v: 7 }, { v: "Text" }, { v: "text" }]);
  });

  it("concatenates in the order of the shards, and accounts for each", async () => {
    const answer = await root.queryShards({
      query: "SELECT id FROM things ORDER BY id",
      aggregation: "concat",
      unsafePerShard: true,
    });
    const namespace = new TestNamespace(THINGS, NAME);
    const parts = await Promise.all(
      [0, 1, 2].map((index) =>
        namespace.sql(`${NAME}-shard-${index}`, "SELECT id FROM things ORDER BY id"),
      ),
    );
    expect(answer.data).toEqual(parts.flat());
    expect(answer.totalItems).toBe(COUNT);
    expect(
      answer.shardResults.map(({ shardIndex, itemCount, error }) => ({
        shardIndex,
        itemCount,
        error,
      })),
    ).toEqual(
      perShard.map((itemCount, shardIndex) => ({ shardIndex, itemCount, error: undefined })),
    );
    expect(answer.shardResults.every((result) => result.duration >= 0)).toBe(true);
  });

  it.each([
    ["DELETE FROM things", "the query must be a SELECT, WITH or VALUES"],
    ["/* SELECT */ DELETE FROM things RETURNING id", "the query must be a SELECT, WITH or VALUES"],
    [
      "WITH gone AS (SELECT 'q00' AS id) DELETE FROM things WHERE id IN (SELECT id FROM gone) RETURNING id",
      "the query would write rows",
    ],
    ["WITH more AS (SELECT 1) UPDATE things SET name = 'changed'", "the query would write rows"],
    ["SELECT 1; DELETE FROM things", "more than one statement"],
    ["SELECT 1; DROP TABLE things", "more than one statement"],
    ["PRAGMA table_list", "the query must be a SELECT, WITH or VALUES"],
    ["SELECT * FROM pragma_optimize(65538)", "pragma_optimize writes statistics"],
  ])("refuses: %s", async (query, message) => {
    const before = await new TestNamespace(THINGS, NAME).contents("things");
    expect(await refusal(() => root.queryShards({ query, aggregation: "concat" }))).toContain(
      message,
    );
    expect(await new TestNamespace(THINGS, NAME).contents("things")).toEqual(before);
  });

  it("fails whole when one shard fails, or reports it when asked to go on", async () => {
    // An overflow on the one shard that holds thing 33.
    const query = `SELECT abs(CASE WHEN ${VALUE} = 33 THEN -9223372036854775807 - 1 ELSE ${VALUE} END) AS n FROM things`;
    expect(await refusal(() => root.queryShards({ query, aggregation: "sum" }))).toContain(
      "integer overflow",
    );
    const answer = await root.queryShards({ query, aggregation: "count", continueOnError: true });
    const failed = answer.shardResults.filter((result) => result.error !== undefined);
    expect(failed).toHaveLength(1);
    expect(failed[0]).toMatchObject({
      itemCount: 0,
      error: expect.stringContaining("integer overflow") as string,
    });
    expect(answer.data).toBe(COUNT - (perShard[failed[0]?.shardIndex ?? -1] ?? 0));
  });

  it("gives up on a shard that is too slow", async () => {
    const handle = Reflect.get(Host.prototype, "handle");
    const spy = vi.spyOn(Host.prototype, "handle").mockImplementation(async function slow(
      this: Host,
      envelope: Envelope,
    ) {
      const { kind } = envelope.request as { kind: string };
      if (envelope.member === `${NAME}-shard-1` && kind === "query")
        await new Promise((resolve) => setTimeout(resolve, 2_000));
      return handle.call(this, envelope);
    });
    try {
      const query = { query: "SELECT id FROM things", aggregation: "count" as const, timeout: 200 };
      expect(await refusal(() => root.queryShards(query))).toContain(
        `${NAME}-shard-1 did not answer within 200 ms`,
      );
      const answer = await root.queryShards({ ...query, continueOnError: true });
      expect(answer.shardResults[1]?.error).toContain("did not answer within 200 ms");
      expect(answer.data).toBe(COUNT - (perShard[1] ?? 0));
    } finally {
      spy.mockRestore();
    }
  });

  it("answers for an unsharded namespace too", async () => {
    const whole = THINGS.getByName("unsharded-query");
    await whole.putMany([{ id: "a" }, { id: "b" }]);
    const answer = await whole.queryShards({
      query: "SELECT id FROM things",
      aggregation: "merge",
      orderBy: "id DESC",
    });
    expect(answer).toMatchObject({ data: [{ id: "b" }, { id: "a" }], totalItems: 2 });
  });
});

describe("writers 6: a query that would write 100,500 rows", { timeout: 60_000 }, () => {
  const ROWS = 100_500;

  it.each([
    ["WITH a AS (SELECT 1) DELETE FROM things RETURNING id"],
    ["WITH a AS (SELECT 1) UPDATE things SET name = 'changed' RETURNING id"],
    [
      "WITH a AS (SELECT 1) REPLACE INTO things SELECT id, type, 'changed', data, visibility, 1, 1 FROM things RETURNING id",
    ],
    ["SELECT 1; DELETE FROM things RETURNING id"],
  ])("is refused, and other callers' calls go on: %s", async (query) => {
    const name = `written-${query.length}`;
    const namespace = new TestNamespace(THINGS, name);
    const asked = namespace.stub();
    await namespace.sql(
      name,
      `INSERT INTO things (id, type, name, data, visibility, createdAt, updatedAt)
       WITH RECURSIVE n (v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < ${ROWS}) SELECT v, '', NULL, '{}', 'private', 1, 1 FROM n`,
    );
    const call = namespace.stub().waitFor(name);
    await vi.waitFor(() => expect(reachedGates.has(name)).toBe(true));
    expect(await refusal(() => asked.queryShards({ query, aggregation: "concat" }))).toContain(
      "queryShards reads only",
    );
    openedGates.add(name);
    expect(await call).toBe(name);
    const left = await namespace.sql(
      name,
      "SELECT count(*) AS n, count(name) AS changed FROM things",
    );
    expect(left).toEqual([{ n: ROWS, changed: 0 }]);
  });
});
