/**
 * Line 6: the objects of a namespace are found and made in the root's own jurisdiction, or not at
 * all.
 */
import { afterEach, describe, expect, it } from "vitest";

import { DEFAULT_OPERATION_POLICY } from "../../../src/model/operation.ts";
import { PROTOCOL_VERSION } from "../../../src/model/wire/protocol.ts";
import { freshHashLayout } from "../../../src/model/strategies/hash.ts";
import { connect } from "../../../src/shards/router.ts";
import type { FakeId, FakeRuntime } from "../support/fake-runtime.ts";
import { type FakeShop, type ShopOptions, createShop } from "../support/fake-shop.ts";

let runtime: FakeRuntime<FakeShop>;
afterEach(() => runtime.close());

const START = {
  kind: "start",
  operation: {
    kind: "shard",
    epoch: 0,
    to: freshHashLayout("id", 1, ["orders-shard-0", "orders-shard-1"]),
    policy: DEFAULT_OPERATION_POLICY,
    correlationId: "c",
    requestedBy: "a test",
    refuseEmpty: false,
  },
} as const;

function fill(id: FakeId): FakeShop {
  const root = runtime.instance(id);
  for (let index = 0; index < 20; index++) root.put(`i${index}`, index);
  return root;
}

const BINDINGS: readonly [string, ShopOptions][] = [
  ["what the Worker exports", {}],
  ["a binding in the jurisdiction already", { binding: (exported) => exported.jurisdiction("eu") }],
];

describe.each(BINDINGS)("line 6: a root in a jurisdiction, with %s", (_, options) => {
  it("has its shards in the same, and its callers find them", async () => {
    runtime = createShop(options);
    const namespace = runtime.namespace().jurisdiction("eu");
    const root = fill(namespace.idFromName("orders"));
    const { registry } = await root.shards.shard({ key: "id", count: 3 });
    expect(new Set(runtime.jurisdictions.values())).toEqual(new Set(["eu"]));
    expect(runtime.jurisdictions.size).toBe(4);
    for (const { ns, doId } of registry.endpoints)
      expect(doId).toBe(namespace.idFromName(ns).toString());
    const orders = connect<FakeShop>(namespace, "orders");
    for (let index = 0; index < 20; index++)
      expect(await orders.at(`i${index}`).get(`i${index}`)).toBe(index);
    await root.shards.rebalanceShards({ targetCount: 4 });
    await root.shards.unshard();
    expect(root.get("i19")).toBe(19);
    expect(new Set(runtime.jurisdictions.values())).toEqual(new Set(["eu"]));
  });

  it("that was first opened by its id has them there too", async () => {
    runtime = createShop(options);
    const namespace = runtime.namespace().jurisdiction("eu");
    const root = fill(namespace.idFromString(namespace.idFromName("orders").toString()));
    await connect(namespace, "orders").layout();
    await root.shards.shard({ key: "id", count: 2 });
    expect(new Set(runtime.jurisdictions.values())).toEqual(new Set(["eu"]));
  });
});

it("line 6: two roots of one name in two jurisdictions are two namespaces", async () => {
  runtime = createShop();
  for (const jurisdiction of ["eu", "us"]) {
    const namespace = runtime.namespace().jurisdiction(jurisdiction);
    const root = runtime.instance(namespace.idFromName("orders"));
    root.put("where", jurisdiction === "eu" ? 1 : 2);
    await root.shards.shard({ key: "id", count: 2 });
  }
  for (const [jurisdiction, n] of [["eu", 1] as const, ["us", 2] as const]) {
    expect(
      await connect<FakeShop>(runtime.namespace().jurisdiction(jurisdiction), "orders")
        .at("where")
        .get("where"),
    ).toBe(n);
  }
  expect([...runtime.jurisdictions.values()].filter((each) => each === undefined)).toEqual([]);
});

it("line 6: without a jurisdiction nothing is asked of the binding", async () => {
  runtime = createShop({
    binding: (exported) => Object.assign(exported, { jurisdiction: () => expect.fail("asked") }),
  });
  const root = fill(runtime.namespace().idFromName("orders"));
  await root.shards.shard({ key: "id", count: 2 });
  expect(new Set(runtime.jurisdictions.values())).toEqual(new Set([undefined]));
});

const STRANGE: readonly [string, string | undefined, ShopOptions][] = [
  [
    "of another class",
    undefined,
    { binding: () => createShop().namespace().jurisdiction("another class") },
  ],
  ["of another jurisdiction", "eu", { binding: (exported) => exported.jurisdiction("us") }],
  [
    "in a jurisdiction, of a root without one",
    undefined,
    { binding: (exported) => exported.jurisdiction("eu") },
  ],
];

describe.each(STRANGE)("line 6: a binding %s", (_, jurisdiction, options) => {
  it("is refused at start and by the host's own router, and nothing is started", async () => {
    runtime = createShop(options);
    const namespace =
      jurisdiction === undefined
        ? runtime.namespace()
        : runtime.namespace().jurisdiction(jurisdiction);
    const id = namespace.idFromName("orders");
    const root = fill(id);
    const message = { protocol: PROTOCOL_VERSION, namespace: "orders", member: "orders" } as const;
    expect(await namespace.get(id).shardctl({ ...message, request: START })).toMatchObject({
      ok: false,
      failure: {
        kind: "invalid",
        retryable: false,
        message: expect.stringContaining("another object under the name 'orders'"),
      },
    });
    await expect(root.shards.shard({ key: "id", count: 2 })).rejects.toThrow(
      "another object under the name 'orders'",
    );
    expect(() => root.shards.router()).toThrow("another object under the name 'orders'");
    expect(
      await namespace.get(id).shardctl({ ...message, request: { kind: "history", limit: 1 } }),
    ).toMatchObject({ value: [] });
    expect(runtime.jurisdictions.size).toBe(1);
    expect(await connect<FakeShop>(namespace, "orders").at("i3").get("i3")).toBe(3);
  });
});
