/**
 * Many shards: 1,000, the largest number, in a long run, and 150 in a short one. A file of its own,
 * as it makes an object for each.
 */
import { env } from "cloudflare:workers";
import { expect, inject, it } from "vitest";

import type { ShardsEnv } from "../../support/shards-worker.ts";

const { THINGS } = env as unknown as ShardsEnv;
const SHARDS = inject("isLong") ? 1000 : 150;

it(`shards into ${SHARDS}, and finds every row again`, { timeout: 300_000 }, async () => {
  const root = THINGS.getByName("thousand");
  const ids = ["a", "b", "c", "d", "e"];
  await root.putMany(ids.map((id) => ({ id, data: { id } })));
  const outcome = await root.shard({ key: "id", count: SHARDS, timeout: 280_000 });
  expect(outcome.shards).toHaveLength(SHARDS);
  expect(outcome.stats).toMatchObject({
    totalThings: 5,
    minPerShard: 0,
    maxPerShard: 1,
    avgPerShard: 5 / SHARDS,
  });
  expect(await root.objects()).toHaveLength(SHARDS);
  expect((await root.listThings()).map((thing) => thing.id)).toEqual(ids);
  expect(await root.get("c")).toMatchObject({ data: { id: "c" } });
});
