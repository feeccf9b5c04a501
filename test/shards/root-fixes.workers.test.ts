/** What a root refuses, keeps and says: versions of a partitioner, requests that cannot be right, and what became of a stopped move. */
import { env } from "cloudflare:workers";
import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";

import type { Layout } from "../../src/core/layout.ts";
import type { LiveNamespace } from "../../src/core/live.ts";
import { PROTOCOL_VERSION, type ProtocolReply } from "../../src/core/protocol.ts";
import type { MemberRequest } from "../../src/shards/messages.ts";
import { Router } from "../../src/shards/router.ts";
import { ShardHost } from "../../src/shards/index.ts";
import { createPeers, platformRuntime } from "../../src/shards/platform.ts";
import { EngineFault } from "../../src/shards/faults.ts";
import { refusal } from "../support/refusal.ts";
import { type Shop, type ShardsEnv, type Things, partitioners } from "../support/shards-worker.ts";
import { interceptMessages } from "./support/intercept.ts";
import { TestNamespace } from "./support/namespace.ts";

const { THINGS, SHOP } = env as unknown as ShardsEnv;

async function load(name: string, count = 40): Promise<TestNamespace<Things>> {
  const namespace = new TestNamespace(THINGS, name);
  await namespace.stub().putMany(Array.from({ length: count }, (_, index) => ({ id: `t${index}`, data: { k: `k${index}` } })));
  return namespace;
}

async function send<Class extends Things | Shop>(
  namespace: TestNamespace<Class>,
  request: MemberRequest,
  member = namespace.name,
  asNamespace = namespace.name,
): Promise<ProtocolReply<unknown>> {
  const endpoint = namespace.stub(member) as unknown as { shardctl(envelope: object): Promise<ProtocolReply<unknown>> };
  return endpoint.shardctl({ protocol: PROTOCOL_VERSION, namespace: asNamespace, member, request });
}

describe("versions of a partitioner", () => {
  it("a rekey from one version to the next finds every row before and after", async () => {
    const namespace = await load("versions");
    const layout = (version: number): Layout => {
      const members = [0, 1].map((index) => `versions-v${version}-${index}`);
      return { kind: "custom", shardKey: "data.k", generation: version, members, partitioner: { name: "byTail", version } };
    };
    const things = THINGS.getByName("versions");
    const router = new Router<Things>(createPeers(THINGS), "versions", platformRuntime, { partitioners });
    const found = async (): Promise<boolean> => {
      for (let index = 0; index < 40; index++) {
        if ((await router.at(`k${index}`).getHere(`t${index}`)) === null) return false;
        if ((await things.get(`t${index}`, `k${index}`)) === null) return false;
      }
      return true;
    };
    await namespace.run("shard", layout(1));
    expect(await found()).toBe(true);
    expect((await namespace.ask<LiveNamespace>({ kind: "describe", object: "THINGS" })).partitioners).toContainEqual({
      name: "byTail",
      version: 2,
    });
    await namespace.run("rekey", layout(2));
    expect(await found()).toBe(true);
    expect((await namespace.sql("versions-v2-1", "SELECT count(*) AS n FROM things"))[0]).toEqual({ n: 20 });
    expect(await namespace.leftovers()).toEqual([]);
  });
});
