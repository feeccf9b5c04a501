import { describe, expect, it } from "vitest";

import { spec } from "../support/state.ts";
import { hashed, unsharded, ReconcilerFixture } from "./support/world.ts";

const orders = (changes: Parameters<typeof spec>[1] = {}) =>
  spec("orders", { count: 4, ...changes });

describe("a merged change", () => {
  it("is applied when its plan was reviewed, and is then in sync", async () => {
    const world = new ReconcilerFixture({ live: [hashed("orders", 4)], specs: [orders()] });
    await world.tick();
    expect(world.condition("orders")).toMatchObject({ type: "Ready", reason: "InSync" });
    const plan = await world.reviewAndMerge([orders({ count: 6 })]);
    await world.tick();
    expect(world.startedRuns()).toMatchObject([
      { fingerprint: plan.fingerprint, state: "succeeded", origin: { commit: world.head } },
    ]);
    await world.tick();
    expect(world.condition("orders")).toMatchObject({ type: "Ready", reason: "InSync" });
    expect(await world.membersOf("orders")).toBe(6);
    expect(await world.drifts()).toEqual([]);
    await world.tick(5);
    expect(world.startedRuns()).toHaveLength(1);
  });

  it("is held and reported after the second tick when nobody reviewed it", async () => {
    const world = new ReconcilerFixture({ live: [hashed("orders", 4)], specs: [orders()] });
    await world.tick();
    world.merge([orders({ count: 6 })]);
    await world.tick();
    expect(world.condition("orders")).toMatchObject({ type: "Stalled", reason: "NotReviewed" });
    const drift = {
      kind: "spec",
      namespace: "orders",
      reason: "rebalance: count 4 → 6 (merged, but not reviewed)",
    };
    expect(await world.drifts()).toEqual([{ ...drift, state: "watching" }]);
    await world.tick();
    expect(await world.drifts()).toEqual([{ ...drift, state: "open" }]);
    await world.tick(10);
    expect(world.startedRuns()).toEqual([]);
    expect(world.events.map(({ summary }) => summary)).toEqual([`spec: ${drift.reason}`]);
    // The review comes late: somebody runs the plan again, or releases it.
    world.reviewed = [{ pull: 7, plan: await world.plan([orders({ count: 6 })]), overrides: [] }];
    await world.tick(2);
    expect(await world.membersOf("orders")).toBe(6);
    expect(await world.drifts()).toEqual([]);
    expect(world.events.at(-1)?.summary).toBe(`spec is gone: ${drift.reason}`);
  });

  it("goes in dependency order, and what is not reviewed holds its dependents", async () => {
    const specs = [
      spec("a-first", { count: 2 }),
      spec("b-then", { count: 2, dependsOn: ["a-first"] }),
    ];
    const world = new ReconcilerFixture({
      live: [unsharded("a-first"), unsharded("b-then")],
      specs: [],
    });
    const plan = await world.plan(specs);
    world.merge(specs);
    world.reviewed = [
      {
        pull: 1,
        overrides: [],
        plan: { ...plan, changes: plan.changes.filter(({ namespace }) => namespace === "b-then") },
      },
    ];
    await world.tick(3);
    expect(world.condition("b-then")).toMatchObject({ reason: "DependencyPending" });
    expect(world.startedRuns()).toEqual([]);
    world.reviewed = [{ pull: 1, overrides: [], plan }];
    await world.tick(2);
    expect(
      world.startedRuns().map(({ actions }) => actions.map(({ namespace }) => namespace)),
    ).toEqual([["a-first", "b-then"]]);
    expect(await world.membersOf("b-then")).toBe(2);
  });
});
