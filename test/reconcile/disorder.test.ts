/** Namespaces that are out of step: told, held, and let go of when they are repaired. */
import { describe, expect, it } from "vitest";

import { shardNames, unshardedLayout } from "../../src/model/layout/layout.ts";
import { DEFAULT_POLICY, type NamespaceSpec } from "../../src/model/spec.ts";
import type { MemoryNamespace } from "../support/live/memory-rows.ts";
import { hashOf } from "../support/state.ts";
import { hashed, idRows, unsharded, ReconcilerFixture } from "./support/world.ts";

const [, second = ""] = shardNames("orders", 0, 4);

const OUT_OF_STEP = {
  kind: "outOfStep",
  members: [second],
  message: `${second} was restored to before operation 1`,
  since: 1,
} as const;

const LOST = {
  kind: "registryLost",
  members: ["orders"],
  message: "orders-shard-0 is at epoch 4, the root at epoch 3",
  since: 1,
} as const;

/** A root after `deleteAll`: it says that it was never sharded, and means it. */
const EMPTY: Partial<MemoryNamespace> = {
  epoch: 0,
  layout: unshardedLayout("orders", 0),
  rows: [],
};

function orders(count: number, policy: Partial<NamespaceSpec["policy"]> = {}): NamespaceSpec {
  return {
    name: "orders",
    labels: {},
    object: "ORDERS",
    strategy: "hash",
    shardKey: "id",
    count,
    directory: false,
    splitPoints: null,
    partitioner: null,
    dependsOn: [],
    policy: { ...DEFAULT_POLICY, selfHeal: "apply", ...policy },
    source: { file: "manifests/orders.yaml", line: 1, column: 1 },
  };
}

describe("writers 1: a namespace that says that it is out of step", () => {
  it.each([OUT_OF_STEP, LOST])(
    "is drift $kind with the way out, and nothing is applied",
    async (disorder) => {
      const world = new ReconcilerFixture({ live: [hashed("orders", 4)], specs: [orders(4)] });
      await world.tick(2);
      world.live.edit("orders", { disorder });
      // Reviewed and merged, and still not applied.
      await world.reviewAndMerge([orders(8)]);
      await world.tick(3);
      const [drift] = (await world.report()).drifts;
      expect(drift).toMatchObject({ kind: disorder.kind, state: "open", detail: disorder.message });
      expect(drift?.remedy).toContain("`shardctl repair orders`");
      expect(world.condition("orders")).toMatchObject({
        type: "Stalled",
        reason: disorder.kind === "outOfStep" ? "OutOfStep" : "RegistryLost",
      });
      expect(world.startedRuns()).toEqual([]);
      world.live.edit("orders", { disorder: null });
      await world.tick(2);
      expect(await world.drifts()).toMatchObject([{ kind: "spec" }]);
      expect(world.events.map(({ summary }) => summary)).toContainEqual(
        expect.stringContaining(`${disorder.kind} is gone`),
      );
    },
  );

  it("is left alone by a run that was started before, and does not keep others from theirs", async () => {
    const world = new ReconcilerFixture({
      live: [hashed("orders", 4), hashed("carts", 4)],
      specs: [orders(4)],
    });
    await world.tick(2);
    await world.reviewAndMerge([orders(8)]);
    await world.pass();
    expect(world.startedRuns()).toMatchObject([{ state: "running" }]);
    world.live.edit("orders", { disorder: OUT_OF_STEP });
    await world.stepRuns();
    expect(world.startedRuns()).toMatchObject([
      { actions: [{ state: "failed", operation: null }] },
    ]);
    expect(world.startedRuns()[0]?.actions[0]?.error).toContain("shardctl repair orders");
    expect(await world.membersOf("orders")).toBe(4);
  });

  it("is not waited for by a run whose operation is under way, nor is that operation touched", async () => {
    const world = new ReconcilerFixture({
      live: [hashed("orders", 4)],
      specs: [orders(4)],
      pollsToComplete: () => 1000,
    });
    await world.tick(2);
    await world.reviewAndMerge([orders(8)]);
    await world.pass();
    await world.stepRuns(3);
    world.live.edit("orders", { disorder: LOST });
    const before = world.live.calls.length;
    await world.pass();
    expect(world.startedRuns()).toMatchObject([
      { state: "failed", actions: [{ operation: { state: "running" } }] },
    ]);
    expect(world.live.calls.slice(before)).toEqual(["describe orders"]);
  });

  it("blocks the plan, with the command that shows the way out", async () => {
    const world = new ReconcilerFixture({
      live: [hashed("orders", 4, 200, { disorder: OUT_OF_STEP })],
      specs: [],
    });
    const plan = await world.plan([orders(8)]);
    expect(plan.changes).toEqual([]);
    expect(plan.blocks).toMatchObject([
      { guard: "outOfStep", namespace: "orders", overridable: false },
    ]);
    expect(plan.blocks[0]?.message).toMatch(
      new RegExp(`${second} is out of step.*shardctl repair orders`),
    );
    expect(world.live.calls).toEqual(["describe orders"]);
  });

  it("that refuses even to be read is the same drift", async () => {
    const world = new ReconcilerFixture({ live: [hashed("orders", 4)], specs: [orders(4)] });
    world.live.breakCalls(
      "orders",
      { kind: "refused", reason: "registryLost", message: LOST.message },
      3,
    );
    await world.tick(2);
    expect(await world.drifts()).toMatchObject([{ kind: "registryLost", state: "open" }]);
    expect(world.condition("orders")).toMatchObject({ type: "Stalled", reason: "RegistryLost" });
    const plan = await world.plan([orders(8)]);
    expect(plan.blocks).toMatchObject([{ guard: "outOfStep" }]);
  });
});

describe("writers 1: a root that lost its storage and does not know it", () => {
  it("is drift registryLost, though a reviewed plan fits it as it is now", async () => {
    const world = new ReconcilerFixture({ live: [unsharded("orders")], specs: [] });
    await world.reviewAndMerge([orders(4)]);
    await world.tick(3);
    expect(await world.membersOf("orders")).toBe(4);
    const started = world.startedRuns().length;
    // The plan that sharded it shows exactly the change that the empty root seems to need.
    world.live.edit("orders", { ...EMPTY, rows: idRows(3) });
    await world.tick(4);
    expect(await world.drifts()).toMatchObject([{ kind: "registryLost", state: "open" }]);
    expect(world.startedRuns()).toHaveLength(started);
    expect(await world.membersOf("orders")).toBe(0);
  });

  it.each([
    ["restored to before its last operation", { epoch: 2, layout: hashOf("orders", 2) }],
    ["restored to the same layout at an older epoch", { epoch: 2 }],
    ["empty", EMPTY],
  ])(
    "%s, is gone when it is back, and is not accepted by a new manifest either",
    async (_name, change) => {
      const world = new ReconcilerFixture({
        live: [hashed("orders", 4, 200, { epoch: 3 })],
        specs: [orders(4)],
      });
      await world.tick(2);
      world.live.edit("orders", change);
      await world.tick(2);
      world.live.edit("orders", { epoch: 3, layout: hashOf("orders", 4), rows: idRows(200) });
      await world.tick(1);
      expect(await world.drifts()).toEqual([]);
      world.live.edit("orders", change);
      await world.tick(2);
      await world.reviewAndMerge([orders(6)]);
      await world.tick(3);
      expect(await world.drifts()).toMatchObject([{ kind: "registryLost", state: "open" }]);
      expect(world.startedRuns()).toEqual([]);
      const [drift] = (await world.report()).drifts;
      expect(drift?.detail).toContain("was at epoch 3 before");
    },
  );

  it("is told of where no manifest declares it", async () => {
    const world = new ReconcilerFixture({
      live: [hashed("orders", 4, 200, { epoch: 3 })],
      specs: [],
    });
    world.known = [{ name: "orders", object: "ORDERS" }];
    await world.tick(2);
    world.live.edit("orders", EMPTY);
    await world.tick(2);
    expect(await world.drifts()).toMatchObject([{ kind: "registryLost", state: "open" }]);
  });

  it("is believed again after a repair, whatever that has left", async () => {
    const world = new ReconcilerFixture({
      live: [hashed("orders", 4, 200, { epoch: 3 })],
      specs: [orders(4)],
    });
    await world.tick(2);
    world.live.edit("orders", EMPTY);
    await world.tick(2);
    world.live.edit("orders", { epoch: 2, layout: hashOf("orders", 4), rows: idRows(200) });
    await world.tick(1);
    expect(await world.drifts()).toMatchObject([{ kind: "registryLost" }]);
    world.registries.noteRepair({ name: "orders", object: "ORDERS" }, world.now);
    await world.tick(2);
    expect(await world.drifts()).toEqual([]);
    expect(world.condition("orders")).toMatchObject({ type: "Ready", reason: "InSync" });
    // From there on it is watched as before.
    world.live.edit("orders", EMPTY);
    await world.tick(2);
    expect(await world.drifts()).toMatchObject([{ kind: "registryLost", state: "open" }]);
  });

  it("is seen while an operation moves the epoch", async () => {
    const world = new ReconcilerFixture({
      live: [hashed("orders", 4)],
      specs: [orders(4)],
      pollsToComplete: () => 1000,
    });
    await world.tick(2);
    await world.reviewAndMerge([orders(8)]);
    await world.tick(1);
    world.live.edit("orders", { epoch: 5 });
    await world.pass();
    world.live.edit("orders", { epoch: 4 });
    await world.pass();
    await world.pass();
    expect(await world.drifts()).toMatchObject([{ kind: "registryLost", state: "open" }]);
  });
});
