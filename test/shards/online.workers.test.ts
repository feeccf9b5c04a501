/** Operations under concurrent writers: nothing acknowledged is lost, doubled or undone. */
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";

import type { ShardsEnv, Things } from "../support/shards-worker.ts";
import { TestNamespace } from "./support/namespace.ts";
import { startWriters } from "./support/writers.ts";

const { THINGS } = env as unknown as ShardsEnv;

function open(name: string): TestNamespace<Things> {
  return new TestNamespace(THINGS, name);
}

describe("operations under writers", { timeout: 120_000 }, () => {
  it("shard, rebalance up and down, rekey and unshard", async () => {
    const namespace = open("busy");
    const writers = await startWriters(namespace, 4, 1500);
    await namespace.toHash("id", 3);
    await namespace.toHash("id", 6, { waveRowsMax: 400 });
    await namespace.toHash("id", 2, { waveRowsMax: 200 });
    await namespace.toHash("data.country", 3);
    await namespace.unshard();
    expect(writers.acknowledged).toBeGreaterThan(20);
    expect(await writers.stop()).toEqual([]);
    expect(await namespace.leftovers()).toEqual([]);
  });
});
