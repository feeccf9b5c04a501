/** The largest number of shards: a file of its own, as it makes a thousand objects. */
import { env } from "cloudflare:workers";
import { expect, it } from "vitest";

import type { ShardsEnv } from "../support/shards-worker.ts";

const { THINGS } = env as unknown as ShardsEnv;

it("shards into 1000, and finds every row again", { timeout: 300_000 }, async () => {
  const root = THINGS.getByName("thousand");
  const ids = ["a", "b", "c", "d", "e"];
  await root.putMany(ids.map((id) => ({ id, data: { id } })));
  const outcome = await root.shard({ key: "id", count: 1000, timeout: 280_000 });
  expect(outcome.shards).toHaveLength(1000);
  expect(outcome.stats).toMatchObject({ totalThings: 5, minPerShard: 0, maxPerShard: 1, avgPerShard: 0.005 });
  expect(await root.objects()).toHaveLength(1000);
  expect((await root.listThings()).map((thing) => thing.id)).toEqual(ids);
  expect(await root.get("c")).toMatchObject({ data: { id: "c" } });
});
