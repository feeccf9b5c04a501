/**
 * The seed behaviour of ThingsObject that must stay true: `shard`, `unshard`, `rebalanceShards`,
 * `discoverShards`, events, metadata.
 */
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";

import type { ShardOptions } from "../../../src/shards/index.ts";
import { refusal } from "../../support/refusal.ts";
import { type ShardsEnv, type Things, heardEvents } from "../../support/shards-worker.ts";
import { beforeFirst, interceptMessages } from "../support/intercept.ts";
import { TestNamespace } from "../support/namespace.ts";

const { THINGS } = env as unknown as ShardsEnv;

/** A namespace with things whose `data.country` has seven values, and their ids in order. */
async function load(
  name: string,
  count: number,
  country = (index: number): unknown => `c${index % 7}`,
): Promise<DurableObjectStub<Things>> {
  const root = THINGS.getByName(name);
  await root.putMany(
    Array.from({ length: count }, (_, index) => ({
      id: `t${String(index).padStart(5, "0")}`,
      data: { country: country(index) as string, tenant: { id: index % 3 } },
    })),
  );
  return root;
}

async function idsOf(root: DurableObjectStub<Things>): Promise<string[]> {
  return (await root.listThings({ limit: 10_000 })).map((thing) => thing.id);
}

function expectedIds(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `t${String(index).padStart(5, "0")}`);
}

async function eventsOf(root: DurableObjectStub<Things>, name: string): Promise<string[]> {
  const namespace = new TestNamespace(THINGS, name);
  const events = await namespace.inside(name, (object) => object.shards.events());
  return events.map(({ type, correlationId }) => `${type} ${correlationId}`).toReversed();
}

describe("shard", { timeout: 60_000 }, () => {
  it("answers with the shards, the registry and the figures", async () => {
    const root = await load("answer", 200);
    const outcome = await root.shard({ key: "id", count: 3, includeMetadata: true });
    const endpoints = [0, 1, 2].map((shardIndex) => {
      const ns = `answer-shard-${shardIndex}`;
      return { shardIndex, ns, doId: THINGS.idFromName(ns).toString(), status: "active" };
    });
    expect(outcome.shardKey).toBe("id");
    expect(outcome.registry).toMatchObject({
      shardKey: "id",
      shardCount: 3,
      strategy: "hash",
      endpoints,
    });
    expect(outcome.registry.createdAt).toBeGreaterThan(0);
    expect(typeof outcome.registry.id).toBe("string");
    expect(outcome.duration).toBeGreaterThanOrEqual(0);
    const counts = outcome.shards.map((shard) => shard.thingCount);
    expect(outcome.shards.map(({ ns, doId, shardIndex }) => ({ ns, doId, shardIndex }))).toEqual(
      endpoints.map(({ ns, doId, shardIndex }) => ({ ns, doId, shardIndex })),
    );
    const average = 200 / 3;
    expect(outcome.stats).toEqual({
      totalThings: 200,
      minPerShard: Math.min(...counts),
      maxPerShard: Math.max(...counts),
      avgPerShard: average,
      stdDev: Math.sqrt(counts.reduce((sum, count) => sum + (count - average) ** 2, 0) / 3),
      skewRatio: Math.max(...counts) / Math.min(...counts),
    });
    expect(await root.objects()).toEqual(
      endpoints.map(({ ns, doId, shardIndex }) => ({ ns, doId, shardIndex })),
    );
  });

  it.each([
    [{ key: "id", count: -1 }, "Shard count must be positive"],
    [{ key: "id", count: 1.5 }, "Shard count must be positive"],
    [{ key: "id", count: 2, targetShards: ["a"] }, "targetShards names 1 shards, but count is 2"],
    [{ key: "id", count: 2, targetShards: ["a", "a"] }, "targetShards must be unique"],
    [
      { key: "id", count: 2, targetShards: ["a", "refusing"] },
      "refusing cannot be a source and a target of one swap",
    ],
    [{ key: "id", count: 2, strategy: "custom" }, "needs keyExtractor"],
    [{ key: "id", count: 2, strategy: "custom", keyExtractor: "byMoon" }, "byMoon"],
    [
      { key: "id", count: 2, strategy: "custom", keyExtractor: "broken" },
      "Partitioner 'broken' returned 99, expected an index from 0 to 1",
    ],
  ] as [ShardOptions, string][])("refuses %j and changes nothing", async (options, message) => {
    const root = await load("refusing", 5);
    expect(await refusal(() => root.shard(options))).toContain(message);
    expect(await root.isSharded()).toBe(false);
    expect(await idsOf(root)).toEqual(expectedIds(5));
    expect(await new TestNamespace(THINGS, "refusing").leftovers()).toEqual([]);
  });

  it("names its shards as asked", async () => {
    const root = await load("named", 40);
    const outcome = await root.shard({ key: "id", count: 2, targetShards: ["left", "right"] });
    expect(outcome.shards.map((shard) => shard.ns)).toEqual(["left", "right"]);
    expect(await idsOf(root)).toEqual(expectedIds(40));
    await root.rebalanceShards({ targetCount: 3 });
    expect(await idsOf(root)).toEqual(expectedIds(40));
    await root.unshard();
    expect(await idsOf(root)).toEqual(expectedIds(40));
  });

  it("uses a partitioner that the class has registered, over RPC by its name", async () => {
    const root = await load("partitioned", 30, (index) =>
      index % 3 === 0 ? "eu-west" : "us-east",
    );
    const outcome = await root.shard({
      key: "country",
      count: 4,
      strategy: "custom",
      keyExtractor: "byRegion",
    });
    expect(outcome.shards.map((shard) => shard.thingCount)).toEqual([10, 0, 0, 20]);
    await root.put({ id: "t99999", data: { country: "eu-north" } });
    expect(
      await new TestNamespace(THINGS, "partitioned").sql(
        "partitioned-shard-0",
        "SELECT id FROM things WHERE id = 't99999'",
      ),
    ).toHaveLength(1);
    await root.rebalanceShards({ targetCount: 2 });
    expect(await idsOf(root)).toEqual([...expectedIds(30), "t99999"]);
  });

  it("finds nested keys, and takes a missing key for the empty key", async () => {
    const root = await load("nested", 30);
    await root.putMany([
      { id: "none", data: {} },
      { id: "null", data: { tenant: { id: null } } },
      { id: "empty", data: { tenant: { id: "" } } },
      { id: "elsewhere", data: { tenant: "no object" } },
    ]);
    const outcome = await root.shard({ key: "data.tenant.id", count: 8 });
    expect(outcome.shardKey).toBe("data.tenant.id");
    const namespace = new TestNamespace(THINGS, "nested");
    const holders = await Promise.all(
      outcome.shards.map(({ ns }) =>
        namespace.sql(
          ns,
          "SELECT id FROM things WHERE id IN ('none', 'null', 'empty', 'elsewhere') ORDER BY id",
        ),
      ),
    );
    expect(holders.filter((rows) => rows.length > 0)).toEqual([
      [{ id: "elsewhere" }, { id: "empty" }, { id: "none" }, { id: "null" }],
    ]);
    expect(await root.get("none")).toMatchObject({ id: "none" });
    expect(await root.get("empty", "")).toMatchObject({ id: "empty" });
    expect(await root.get("t00004", 1)).toMatchObject({ id: "t00004" });
  });

  it.each([
    ["one row", 1, 4, 1, (): string => "x"],
    ["one shard", 20, 1, 1, (index: number): string => `c${index}`],
    ["one value of the key", 50, 4, 1, (): string => "same"],
  ])("works with %s", async (name, rows, count, filled, country) => {
    const root = await load(`edge ${name}`, rows, country);
    const outcome = await root.shard({ key: "country", count });
    expect(outcome.shards).toHaveLength(count);
    expect(outcome.stats).toMatchObject({ totalThings: rows });
    const counts = outcome.shards.map((shard) => shard.thingCount);
    expect(outcome.stats.skewRatio).toBe(Math.max(...counts) / Math.min(...counts));
    expect(counts.filter((things) => things > 0)).toHaveLength(filled);
    expect(await idsOf(root)).toEqual(expectedIds(rows));
    const back = await root.unshard();
    expect(back.itemsMoved).toBe(rows);
    expect(await root.isSharded()).toBe(false);
    expect(await idsOf(root)).toEqual(expectedIds(rows));
  });

  it("keeps metadata, and each relationship once, with its thing", async () => {
    const root = THINGS.getByName("metadata");
    const things = Array.from({ length: 30 }, (_, index) => ({
      id: `m${index}`,
      type: "kind",
      name: index % 2 === 0 ? `name ${index}` : null,
      data: { country: `c${index % 4}` },
      visibility: index % 3 === 0 ? "public" : "unlisted",
      createdAt: 1_000 + index,
      updatedAt: 2_000_000_000_000 + index,
    }));
    await root.putMany(things);
    for (let index = 0; index < 30; index++)
      await root.relate({
        from: `m${index}`,
        verb: "knows",
        to: `m${(index + 1) % 30}`,
        data: { index },
        createdAt: 5,
      });
    await root.relate({ from: "nobody", verb: "knows", to: "m1" });
    const check = async (): Promise<void> => {
      const listed = await root.listThings({ limit: 100 });
      expect(listed).toEqual(things.toSorted((left, right) => (left.id < right.id ? -1 : 1)));
      expect(await root.relationshipsOf("m7")).toEqual([
        { from: "m7", verb: "knows", to: "m8", data: { index: 7 }, createdAt: 5 },
      ]);
      expect(await root.relationshipsOf("nobody")).toHaveLength(1);
      const { layout } = await new TestNamespace(THINGS, "metadata").live();
      const together = await Promise.all(
        layout.members.map((member) =>
          new TestNamespace(THINGS, "metadata").sql(
            member,
            `SELECT "from" FROM relationships WHERE "from" <> 'nobody' AND "from" NOT IN (SELECT id FROM things)`,
          ),
        ),
      );
      expect(together.flat()).toEqual([]);
      expect(await new TestNamespace(THINGS, "metadata").contents("relationships")).toHaveLength(
        31,
      );
    };
    await root.shard({ key: "country", count: 3 });
    await check();
    await root.rebalanceShards({ targetCount: 5 });
    await check();
    await root.unshard();
    await check();
  });
});

describe("modes, time and correlation", { timeout: 60_000 }, () => {
  it.each(["staged", "eventual", "resumable"] as const)(
    "%s returns once the operation is journaled, and it goes on by itself",
    async (mode) => {
      const root = await load(`mode-${mode}`, 50);
      const namespace = new TestNamespace(THINGS, `mode-${mode}`);
      const outcome = await root.shard({
        key: "id",
        count: 2,
        mode,
        correlationId: `mode ${mode}`,
      });
      expect(outcome).toMatchObject({
        shardKey: "id",
        shards: [`mode-${mode}-shard-0`, `mode-${mode}-shard-1`].map((ns) => ({
          ns,
          thingCount: 0,
        })),
        registry: {
          shardCount: 2,
          strategy: "hash",
          endpoints: [{ status: "pending" }, { status: "pending" }],
        },
        stats: { totalThings: 50 },
      });
      const ended = await namespace.reached(1);
      expect(ended).toMatchObject({ state: "completed", correlationId: `mode ${mode}` });
      expect(await root.isSharded()).toBe(true);
      expect(await idsOf(root)).toEqual(expectedIds(50));
    },
  );

  it("takes two calls with one correlation id for one operation", async () => {
    const root = await load("correlated", 80);
    const options = { key: "id", count: 2, correlationId: "only once" };
    const both = await Promise.all([root.shard(options), root.shard(options)]);
    expect(both.map((outcome) => outcome.stats.totalThings)).toEqual([80, 80]);
    const history = await new TestNamespace(THINGS, "correlated").ask({
      kind: "history",
      limit: 10,
    });
    expect(history).toHaveLength(1);
    expect(await eventsOf(root, "correlated")).toEqual([
      "shard.started only once",
      "shard.completed only once",
    ]);
  });

  it("refuses the correlation id of an operation of another kind", async () => {
    const root = await load("reused", 20);
    await root.shard({ key: "id", count: 2, correlationId: "mine" });
    expect(await refusal(() => root.unshard({ correlationId: "mine" }))).toBe(
      "Correlation id 'mine' belongs to operation 1 (shard): use another",
    );
    expect(await root.isSharded()).toBe(true);
  });

  it("cancels before the cutover when the time is up, says so, and leaves all as it was", async () => {
    const root = await load("late", 60);
    const slow = beforeFirst(
      "late",
      "copy",
      () => new Promise((resolve) => setTimeout(resolve, 4_000)),
    );
    const message = await refusal(() =>
      root.shard({ key: "id", count: 2, timeout: 2_000, correlationId: "too slow" }),
    );
    expect(slow.done).toBe(true);
    expect(message).toMatch(
      /^Operation 1 \(shard\) timed out after 2000 ms in step \w+ and was cancelled\. Nothing was changed/,
    );
    expect(await root.isSharded()).toBe(false);
    expect(await idsOf(root)).toEqual(expectedIds(60));
    expect(
      await new TestNamespace(THINGS, "late").leftovers(["late-shard-0", "late-shard-1"]),
    ).toEqual([]);
    expect(await eventsOf(root, "late")).toEqual([
      "shard.started too slow",
      "shard.cancelled too slow",
    ]);
    await root.shard({ key: "id", count: 2 });
    expect(await idsOf(root)).toEqual(expectedIds(60));
  });

  it("stores events with their correlation id, and hands them to the callback", async () => {
    const root = await load("eventful", 30);
    await root.shard({ key: "id", count: 2, correlationId: "a" });
    await root.rebalanceShards({ targetCount: 3, correlationId: "b" });
    await root.unshard({ correlationId: "c" });
    await root.put({ id: "too large", data: {} });
    await new TestNamespace(THINGS, "eventful").sql(
      "eventful",
      "UPDATE things SET data = zeroblob(2100000) WHERE id = 'too large'",
    );
    expect(await refusal(() => root.shard({ key: "id", count: 2, correlationId: "d" }))).toContain(
      "above the limit of 2097152",
    );
    const wanted = [
      "shard.started a",
      "shard.completed a",
      "rebalance.started b",
      "rebalance.completed b",
      "unshard.started c",
      "unshard.completed c",
      "shard.started d",
      "shard.failed d",
    ];
    expect(await eventsOf(root, "eventful")).toEqual(wanted);
    expect(
      (heardEvents.get("eventful") ?? []).map(
        ({ type, correlationId }) => `${type} ${correlationId}`,
      ),
    ).toEqual(wanted);
  });
});

describe("unshard, rebalance and discovery", { timeout: 60_000 }, () => {
  it("refuses all three while unsharded", async () => {
    const root = await load("whole", 3);
    expect(await refusal(() => root.unshard())).toBe("DO is not sharded");
    expect(await refusal(() => root.rebalanceShards({ targetCount: 2 }))).toBe("DO is not sharded");
    expect(await refusal(() => root.discoverShards())).toBe("DO is not sharded");
  });

  it("fails whole when a shard cannot be reached, and reports its health", async () => {
    const root = await load("unreachable", 60);
    await root.shard({ key: "id", count: 3 });
    const state = { isDown: true };
    interceptMessages("unreachable", async ({ member }, forward) => {
      if (state.isDown && member === "unreachable-shard-1")
        throw new Error("Network connection lost");
      return forward();
    });
    expect(await refusal(() => root.unshard())).toBe(
      "unreachable-shard-1 is unreachable (Network connection lost): nothing was changed",
    );
    expect(await refusal(() => root.rebalanceShards({ targetCount: 4 }))).toContain(
      "unreachable-shard-1 is unreachable",
    );
    const { registry, health } = await root.discoverShards();
    expect(registry).toMatchObject({ shardCount: 3, strategy: "hash", shardKey: "id" });
    expect(health.map(({ shardIndex, healthy }) => ({ shardIndex, healthy }))).toEqual([
      { shardIndex: 0, healthy: true },
      { shardIndex: 1, healthy: false },
      { shardIndex: 2, healthy: true },
    ]);
    expect(health.map((shard) => [shard.lastCheck > 0, "responseTime" in shard])).toEqual([
      [true, true],
      [true, false],
      [true, true],
    ]);
    expect(await root.isSharded()).toBe(true);
    state.isDown = false;
    await root.unshard();
    expect(await idsOf(root)).toEqual(expectedIds(60));
  });

  it("moves the fewest rows incrementally, and all that an even layout needs in full", async () => {
    const root = await load("even", 600);
    await root.shard({ key: "id", count: 4 });
    const up = await root.rebalanceShards({ targetCount: 5 });
    expect(up.itemsMoved).toBeGreaterThan(80);
    expect(up.itemsMoved).toBeLessThan(170);
    expect(up.newStats.totalThings).toBe(600);
    expect(up.modifiedShards).toEqual([0, 1, 2, 3, 4]);
    const again = await root.rebalanceShards({ targetCount: 5 });
    expect([again.itemsMoved, again.modifiedShards]).toEqual([0, []]);
    const full = await root.rebalanceShards({ targetCount: 5, strategy: "full" });
    expect(full.itemsMoved).toBeGreaterThan(0);
    const { layout } = await new TestNamespace(THINGS, "even").live();
    expect(layout.kind === "hash" && layout.ranges.map((range) => range.end)).toEqual([
      3276, 6553, 9830, 13107, 16384,
    ]);
    expect(await idsOf(root)).toEqual(expectedIds(600));
  });

  it("evens out ranges that have grown skewed", async () => {
    const root = await load("skewed", 90);
    await root.shard({ key: "id", count: 3, strategy: "range" });
    await root.putMany(
      Array.from({ length: 210 }, (_, index) => ({
        id: `t${String(index + 90).padStart(5, "0")}`,
        data: {},
      })),
    );
    const before = await root.discoverShards();
    const outcome = await root.rebalanceShards({ maxSkew: 1.2 });
    expect(before.registry.strategy).toBe("range");
    expect(outcome.newStats.totalThings).toBe(300);
    expect(outcome.newStats.maxPerShard).toBeLessThanOrEqual(120);
    expect(outcome.itemsMoved).toBeGreaterThan(0);
    expect(await idsOf(root)).toEqual(expectedIds(300));
  });
});
