import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";

import { refusal } from "../../support/refusal.ts";
import type { ShardsEnv } from "../../support/shards-worker.ts";

const { THINGS, LONELY } = env as unknown as ShardsEnv;

function things(count: number, country: (index: number) => string = (index) => `c${index % 7}`) {
  return Array.from({ length: count }, (_, index) => ({
    id: `t${String(index).padStart(6, "0")}`,
    type: "city",
    data: { country: country(index), nested: { n: index } },
  }));
}

async function load(name: string, count: number) {
  const root = THINGS.getByName(name);
  await root.putMany(things(count));
  return root;
}

describe("shard", () => {
  it("moves every thing to its owner and answers with registry and figures", async () => {
    const root = await load("basic", 500);
    const outcome = await root.shard({ key: "id", count: 4 });
    expect(outcome.shardKey).toBe("id");
    expect(outcome.stats.totalThings).toBe(500);
    expect(outcome.registry).toMatchObject({ shardCount: 4, strategy: "hash", shardKey: "id" });
    expect(outcome.shards.map((shard) => shard.ns)).toEqual([
      "basic-shard-0",
      "basic-shard-1",
      "basic-shard-2",
      "basic-shard-3",
    ]);
    expect(await root.isSharded()).toBe(true);
    const listed = await root.listThings({ limit: 1000 });
    expect(listed.map((thing) => thing.id)).toEqual(things(500).map((thing) => thing.id));
    expect((await root.get("t000123"))?.data).toEqual({ country: "c4", nested: { n: 123 } });
    expect(await root.objects()).toHaveLength(4);
    await root.unshard();
    expect(await root.isSharded()).toBe(false);
    expect(await root.listThings({ limit: 1000 })).toHaveLength(500);
    expect(await root.objects()).toHaveLength(0);
  });

  it("rebalances up and down, and rows stay readable", async () => {
    const root = await load("resize", 800);
    await root.shard({ key: "id", count: 4 });
    const up = await root.rebalanceShards({ targetCount: 6 });
    expect(up.newStats.totalThings).toBe(800);
    expect(up.itemsMoved).toBeGreaterThan(150);
    expect(up.itemsMoved).toBeLessThan(420);
    const down = await root.rebalanceShards({ targetCount: 3 });
    expect(down.newStats.totalThings).toBe(800);
    expect(await root.listThings({ limit: 1000 })).toHaveLength(800);
  });

  it.each([
    ["Shard key is required", { key: "", count: 2 }],
    ["Shard count must be positive", { key: "id", count: 0 }],
    ["Shard count too large: maximum 1000 shards", { key: "id", count: 1001 }],
    ["Invalid shard strategy: 'x'", { key: "id", count: 2, strategy: "x" as "hash" }],
    ["Cannot shard empty DO: no data to shard", { key: "id", count: 2 }],
  ])("refuses: %s", async (message, options) => {
    expect(await refusal(() => THINGS.getByName("refused").shard(options))).toBe(message);
  });

  it("refuses to shard twice, and without a binding", async () => {
    const root = await load("twice", 10);
    await root.shard({ key: "id", count: 2 });
    expect(await refusal(() => root.shard({ key: "id", count: 2 }))).toBe(
      "DO is already sharded: cannot shard twice",
    );
    const lonely = LONELY.getByName("lonely");
    await lonely.putMany(things(3));
    expect(await refusal(() => lonely.shard({ key: "id", count: 2 }))).toBe(
      "DO namespace not configured",
    );
    expect(await refusal(() => lonely.unshard())).toBe("DO is not sharded");
  });

  it.each(["range", "roundRobin"] as const)("shards by %s", async (strategy) => {
    const root = await load(`by-${strategy}`, 300);
    const outcome = await root.shard({ key: "id", count: 3, strategy });
    expect(outcome.stats).toMatchObject({ totalThings: 300, minPerShard: 100, maxPerShard: 100 });
    expect((await root.get("t000042"))?.data["nested"]).toEqual({ n: 42 });
    await root.put({ id: "new", data: {} });
    expect(await root.get("new")).toMatchObject({ id: "new" });
    await root.unshard();
    expect(await root.listThings({ limit: 1000 })).toHaveLength(301);
  });
});
