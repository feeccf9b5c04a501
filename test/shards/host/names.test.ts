/** Line 5: an object that was not opened by its name learns it, proven, and keeps it. */
import { afterEach, describe, expect, it } from "vitest";

import { PROTOCOL_VERSION, type ProtocolReply } from "../../../src/model/wire/protocol.ts";
import type { MemberRequest } from "../../../src/shards/protocol/messages.ts";
import { connect } from "../../../src/shards/router.ts";
import type { FakeId, FakeRuntime } from "../support/fake-runtime.ts";
import { type FakeShop, createShop } from "../support/fake-shop.ts";

let runtime: FakeRuntime<FakeShop>;
afterEach(() => runtime.close());

function send(
  id: FakeId,
  member: string,
  request: MemberRequest,
  namespace = member,
): Promise<ProtocolReply<unknown>> {
  return runtime
    .namespace()
    .get(id)
    .shardctl({ protocol: PROTOCOL_VERSION, namespace, member, request });
}

const HEALTH = { kind: "health" } as const;

/** A namespace of two shards, by its router. */
async function shard(name: string): Promise<ReturnType<typeof connect<FakeShop>>> {
  const namespace = runtime.namespace();
  const root = runtime.instance(namespace.idFromName(name));
  for (let index = 0; index < 20; index++) root.put(`i${index}`, index);
  await root.shards.shard({ key: "id", count: 2 });
  return connect<FakeShop>(namespace, name);
}

describe("line 5: an object that was first opened by its hex id", () => {
  it("serves routed calls in that life", async () => {
    runtime = createShop();
    const namespace = runtime.namespace();
    runtime.instance(namespace.idFromString(namespace.idFromName("orders").toString()));
    const orders = connect<FakeShop>(namespace, "orders");
    await orders.at("a").put("a", 7);
    expect(await orders.at("a").get("a")).toBe(7);
  });

  it("is sharded, and its shards serve although each was opened by its id", async () => {
    runtime = createShop();
    const namespace = runtime.namespace();
    const orders = await shard("orders");
    const { members } = (await orders.layout()).layout;
    for (const name of ["orders", ...members]) {
      const id = namespace.idFromName(name);
      runtime.evict(id);
      runtime.instance(namespace.idFromString(id.toString()));
    }
    for (let index = 0; index < 20; index++)
      expect(await orders.at(`i${index}`).get(`i${index}`)).toBe(index);
    await runtime
      .instance(namespace.idFromString(namespace.idFromName("orders").toString()))
      .shards.unshard();
    expect(await orders.at("i3").get("i3")).toBe(3);
  });

  it("knows its name in a later life, if it has private tables, without any message", async () => {
    runtime = createShop();
    const namespace = runtime.namespace();
    await shard("orders");
    const id = namespace.idFromName("orders");
    runtime.evict(id);
    const root = runtime.instance(namespace.idFromString(id.toString()));
    expect((await root.shards.discoverShards()).health).toMatchObject([
      { healthy: true },
      { healthy: true },
    ]);
    await root.shards.unshard();
    expect(root.get("i7")).toBe(7);
  });

  it("that a message names otherwise refuses as before, and still learns its own name", async () => {
    runtime = createShop();
    const id = runtime
      .namespace()
      .idFromString(runtime.namespace().idFromName("orders").toString());
    expect(await send(id, "others", HEALTH)).toMatchObject({
      ok: false,
      failure: {
        kind: "invalid",
        retryable: false,
        message: expect.stringContaining("not the one named 'others'"),
      },
    });
    expect(await send(id, "orders", HEALTH)).toMatchObject({ ok: true });
    expect(await send(id, "others", HEALTH)).toMatchObject({
      ok: false,
      failure: { message: "This is orders, the message is for others" },
    });
  });

  it("refuses with what to do when the binding of its class is not known", async () => {
    runtime = createShop({ binding: () => null });
    const id = runtime
      .namespace()
      .idFromString(runtime.namespace().idFromName("orders").toString());
    expect(await send(id, "orders", HEALTH)).toMatchObject({
      ok: false,
      failure: {
        kind: "invalid",
        retryable: false,
        message: expect.stringContaining("namespace: env.<BINDING>"),
      },
    });
    runtime.evict(id);
    expect(await send(runtime.namespace().idFromName("orders"), "orders", HEALTH)).toMatchObject({
      ok: true,
    });
  });

  it("starts nothing from inside while no message has named it", async () => {
    runtime = createShop();
    const root = runtime.instance(
      runtime.namespace().idFromString(runtime.namespace().idFromName("orders").toString()),
    );
    root.put("a");
    await expect(root.shards.shard({ key: "id", count: 2 })).rejects.toThrow(
      "does not know its name",
    );
    expect(() => root.shards.router()).toThrow("does not know its name");
    expect(root.shards.isWhole()).toBe(true);
  });

  it("proves its name once for each life, not for each call", async () => {
    runtime = createShop();
    const namespace = runtime.namespace();
    const id = namespace.idFromString(namespace.idFromName("orders").toString());
    await send(id, "orders", HEALTH);
    const before = runtime.hashes;
    for (let calls = 0; calls < 50; calls++) {
      expect(
        await send(id, "orders", { kind: "call", epoch: 0, keys: [], method: "get", args: ["a"] }),
      ).toMatchObject({
        ok: true,
      });
    }
    expect(runtime.hashes).toBe(before);
  });
});

describe("line 5: an alarm that carries no name", () => {
  it("drives the operation of an object that has stored its name", async () => {
    runtime = createShop();
    const namespace = runtime.namespace();
    const id = namespace.idFromName("orders");
    const root = runtime.instance(id);
    for (let index = 0; index < 20; index++) root.put(`i${index}`, index);
    await root.shards.shard({ key: "id", count: 2, mode: "staged" });
    const storage = runtime.storages.get(id.toString());
    if (!storage) throw new Error("The root has no storage");
    storage.close();
    runtime.evict(id);
    storage.isTicking = true;
    await runtime.fireOldAlarm(id);
    // No message has woken it: what is stored tells.
    await expect
      .poll(() => storage.database.peek("SELECT max(epoch) AS epoch FROM shardctl_registry"))
      .toEqual([{ epoch: 1 }]);
  });

  it("finds the name among those of its namespace, where an earlier library has stored none", async () => {
    runtime = createShop();
    const namespace = runtime.namespace();
    const orders = await shard("orders");
    for (const member of ["orders", ...(await orders.layout()).layout.members]) {
      const id = namespace.idFromName(member);
      runtime.storages
        .get(id.toString())
        ?.database.sql.exec("DELETE FROM shardctl_meta WHERE key = 'name'");
      runtime.evict(id);
      const object = runtime.instance(namespace.idFromString(id.toString()));
      await object.alarm();
      expect(object.shards.router()).toBeDefined();
    }
  });
});

describe("line 5: an object that can have no name", () => {
  it("made by newUniqueId is refused with a clear text", async () => {
    runtime = createShop();
    const refused = await send(runtime.namespace().newUniqueId(), "orders", HEALTH);
    expect(refused).toMatchObject({
      ok: false,
      failure: { message: expect.stringContaining("never made by newUniqueId") },
    });
  });

  it("with a name above 1,024 bytes is refused with a clear text", async () => {
    runtime = createShop();
    const name = "ä".repeat(513);
    const refused = await send(runtime.namespace().idFromName(name), name, HEALTH);
    expect(refused).toMatchObject({
      ok: false,
      failure: { message: expect.stringContaining("longer than 1,024 bytes") },
    });
    const longest = "ä".repeat(512);
    expect(await send(runtime.namespace().idFromName(longest), longest, HEALTH)).toMatchObject({
      ok: true,
    });
  });

  it("with the database of another object does not take its name", async () => {
    runtime = createShop();
    const namespace = runtime.namespace();
    await shard("orders");
    const copied = namespace.idFromString(namespace.idFromName("copy").toString());
    const storage = runtime.storages.get(namespace.idFromName("orders").toString());
    if (!storage) throw new Error("The root has no storage");
    runtime.storages.set(copied.toString(), storage);
    expect(await send(copied, "orders", HEALTH)).toMatchObject({
      ok: false,
      failure: { message: expect.stringContaining("not the one") },
    });
  });
});
