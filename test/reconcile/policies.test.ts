/** Merged policies at the tick: without a review of a plan that shows them they loosen nothing. */
import { describe, expect, it } from "vitest";

import type { PolicyFloors } from "../../src/model/policy.ts";
import type { NamespaceSpec, Policy, Window } from "../../src/model/spec.ts";
import { createAppliedSource } from "../../src/reconcile/manifest-source.ts";
import { hashOf, spec } from "../support/state.ts";
import { hashed, HOUR, idRows, ReconcilerFixture } from "./support/world.ts";

const orders = (policy: Partial<Policy> = {}, count = 4): NamespaceSpec =>
  spec("orders", { count, policy });

/** Before noon, when the world begins. */
const MORNING: Window = { start: "0 3 * * *", durationMs: HOUR, timezone: "UTC" };

async function settled(policy: Partial<Policy> = {}): Promise<ReconcilerFixture> {
  const world = new ReconcilerFixture({ live: [hashed("orders", 4)], specs: [orders(policy)] });
  await world.tick();
  return world;
}

const UNEVEN = Array.from({ length: 400 }, (_, index) => ({
  keys: { id: `row-${index}` },
  rows: index < 9 ? 100 : 1,
}));

/** Even enough for the applied `maxSkew`, and for no other one below. */
async function uneven(policy: Partial<Policy> = {}): Promise<ReconcilerFixture> {
  const world = new ReconcilerFixture({
    live: [hashed("orders", 4, 0, { rows: UNEVEN })],
    specs: [orders({ maxSkew: 9, ...policy })],
  });
  await world.tick();
  return world;
}

const appliedPolicy = (world: ReconcilerFixture): Policy | undefined =>
  world.policies.read("orders")?.policy;

function drift(world: ReconcilerFixture): void {
  world.live.edit("orders", { epoch: 2, layout: hashOf("orders", 6) });
}

/** Merges manifests that no pull request has shown as a plan. */
function push(world: ReconcilerFixture, ...specs: NamespaceSpec[]): void {
  world.merge(specs);
}

describe("a policy that was merged without a review", () => {
  it("heals nothing, and says so; the same one heals once it was reviewed", async () => {
    const world = await settled();
    push(world, orders({ selfHeal: "apply" }));
    await world.tick(2);
    expect(world.condition("orders")).toMatchObject({
      type: "Ready",
      reason: "PolicyHeld",
    });
    drift(world);
    await world.tick(5);
    expect(world.condition("orders")).toMatchObject({
      reason: "Drifted",
      message: expect.stringContaining("alert (the manifest's apply is not applied)"),
    });
    expect(world.startedRuns()).toEqual([]);
    world.live.edit("orders", { epoch: 3, layout: hashOf("orders", 4) });
    await world.tick();
    await world.reviewAndMerge([orders({ selfHeal: "apply" })]);
    await world.tick(2);
    world.live.edit("orders", { epoch: 4, layout: hashOf("orders", 6) });
    await world.tick(5);
    expect(await world.membersOf("orders")).toBe(4);
  });

  it("opens no window", async () => {
    const world = await settled({ selfHeal: "apply", windows: [MORNING] });
    push(world, orders({ selfHeal: "apply" }));
    drift(world);
    await world.tick(5);
    expect(world.condition("orders")).toMatchObject({ reason: "WindowClosed" });
    expect(world.startedRuns()).toEqual([]);
  });

  it("lifts no suspension, and no budget", async () => {
    for (const before of [{ suspend: true }, { budgetRows: 1 }]) {
      const world = await settled({ selfHeal: "apply", ...before });
      push(world, orders({ selfHeal: "apply" }));
      drift(world);
      await world.tick(5);
      expect(world.startedRuns()).toEqual([]);
      expect(await world.membersOf("orders")).toBe(6);
    }
  });

  it("stops at once where it is stricter", async () => {
    const world = await settled({ selfHeal: "apply" });
    push(world, orders({ selfHeal: "apply", suspend: true }));
    drift(world);
    await world.tick(5);
    expect(world.condition("orders")).toMatchObject({ reason: "Suspended" });
    expect(world.startedRuns()).toEqual([]);
  });

  it("makes no namespace uneven that was even enough", async () => {
    const world = await uneven({ selfHeal: "apply" });
    push(world, orders({ selfHeal: "apply", maxSkew: 1.05 }));
    await world.tick(5);
    expect(world.startedRuns()).toEqual([]);
    await world.reviewAndMerge([orders({ selfHeal: "apply", maxSkew: 1.05 })]);
    await world.tick(5);
    // Made as the plan shows it, not as a heal under a policy that was applied before.
    expect(world.startedRuns()).toMatchObject([
      { origin: { pull: expect.any(Number) }, actions: [{ kind: "rebalance" }] },
    ]);
    expect(appliedPolicy(world)).toMatchObject({ maxSkew: 1.05 });
  });

  it("is none of a new namespace either, whose default needs no review", async () => {
    const world = new ReconcilerFixture({
      live: [hashed("orders", 4), hashed("carts", 4)],
      specs: [orders()],
    });
    push(world, orders(), spec("carts", { count: 4, policy: { selfHeal: "apply" } }));
    await world.tick(3);
    expect(world.policies.read("carts")).toBeNull();
    push(world, orders(), spec("carts", { count: 4 }));
    await world.tick(1);
    expect(world.policies.read("carts")?.policy).toMatchObject({ selfHeal: "alert" });
  });
});

describe("a policy that was reviewed and merged", () => {
  it("is told to the history, once", async () => {
    const world = await settled();
    const { fingerprint } = await world.reviewAndMerge([orders({ selfHeal: "apply" })]);
    await world.tick(3);
    const events = world.events.filter(({ kind }) => kind === "policy");
    expect(events).toMatchObject([
      {
        namespace: "orders",
        summary: "the policy has changed: selfHeal alert → apply (loosens)",
        fingerprint,
        pull: expect.any(Number),
      },
    ]);
    expect((await world.plan([orders({ selfHeal: "apply" })])).policies).toBeUndefined();
  });

  it("waits for its apply job where the workflow applies", async () => {
    const world = await settled();
    world.applies = "workflow";
    await world.reviewAndMerge([orders({ selfHeal: "apply" })]);
    await world.tick(3);
    expect(world.policies.read("orders")?.policy).toMatchObject({ selfHeal: "alert" });
    world.reviewed = world.reviewed.map((one) => ({ ...one, isOrdered: true }));
    await world.tick(1);
    expect(world.policies.read("orders")?.policy).toMatchObject({ selfHeal: "apply" });
  });

  it("waits while everything is paused, and while the manifests are not valid", async () => {
    const world = await settled();
    world.paused = { by: "ada", reason: "incident 7", at: world.now };
    await world.reviewAndMerge([orders({ selfHeal: "apply" })]);
    await world.tick(3);
    expect(world.policies.read("orders")?.policy).toMatchObject({ selfHeal: "alert" });
    world.paused = null;
    world.merge([], "invalid");
    await world.tick(2);
    expect(world.policies.read("orders")?.policy).toMatchObject({ selfHeal: "alert" });
    world.merge([orders({ selfHeal: "apply" })]);
    await world.tick(2);
    expect(world.policies.read("orders")?.policy).toMatchObject({ selfHeal: "apply" });
  });

  it("of which another value is declared by now is not applied", async () => {
    const world = await settled();
    await world.reviewAndMerge([orders({ selfHeal: "apply" })]);
    push(world, orders({ selfHeal: "apply", budgetRows: 9 }));
    await world.tick(3);
    expect(world.policies.read("orders")?.policy).toMatchObject({ selfHeal: "alert" });
  });

  it("is not brought back by its old review, once another one has taken its place", async () => {
    const world = await settled();
    const loose = orders({ selfHeal: "apply" });
    await world.reviewAndMerge([loose]);
    await world.tick(2);
    await world.reviewAndMerge([orders()]);
    await world.tick(2);
    expect(world.policies.read("orders")?.policy).toMatchObject({ selfHeal: "alert" });
    push(world, loose);
    await world.tick(3);
    expect(world.policies.read("orders")?.policy).toMatchObject({ selfHeal: "alert" });
    expect(world.condition("orders")).toMatchObject({ reason: "PolicyHeld" });
    expect((await world.plan([loose])).fingerprint).not.toBe(
      world.reviewed.at(-1)?.plan.fingerprint,
    );
    // Nor by taking the manifest away in between.
    push(world, spec("carts"));
    await world.tick(1);
    push(world, loose);
    await world.tick(3);
    expect(world.policies.read("orders")?.policy).toMatchObject({ selfHeal: "alert" });
  });

  it("in two pull requests is applied for each namespace by itself", async () => {
    const carts = (policy: Partial<Policy>) => spec("carts", { count: 4, policy });
    const world = new ReconcilerFixture({
      live: [hashed("orders", 4), hashed("carts", 4)],
      specs: [orders(), carts({})],
    });
    await world.tick();
    await world.reviewAndMerge([orders({ maxSkew: 3 }), carts({})]);
    push(world, orders({ maxSkew: 3 }), carts({ maxSkew: 4 }));
    await world.tick(2);
    expect(world.policies.read("orders")?.policy).toMatchObject({ maxSkew: 3 });
    expect(world.policies.read("carts")?.policy).toMatchObject({ maxSkew: 1.5 });
  });

  it("does not help the change beside it: that waits for the window of before, then both are made", async () => {
    const world = await settled({ windows: [MORNING] });
    await world.reviewAndMerge([orders({}, 6)]);
    await world.tick(5);
    expect(world.condition("orders")).toMatchObject({ reason: "WindowClosed" });
    expect(world.policies.read("orders")?.policy).toMatchObject({ windows: [MORNING] });
    world.now = Date.UTC(2026, 2, 3, 3, 5);
    await world.tick(5);
    expect(await world.membersOf("orders")).toBe(6);
    expect(world.policies.read("orders")?.policy).toMatchObject({ windows: [] });
  });

  it("does not help the change beside it with a budget, whatever was merged", async () => {
    const world = await settled({ budgetRows: 1 });
    const plan = await world.reviewAndMerge([orders({ budgetRows: 1_000_000 }, 6)]);
    expect(plan.blocks).toMatchObject([{ guard: "budget" }]);
    await world.tick(5);
    expect(world.condition("orders")).toMatchObject({ reason: "Blocked" });
    expect(world.startedRuns()).toEqual([]);
    await world.reviewAndMerge([orders({ budgetRows: 1_000_000 }, 6)], ["budget"]);
    await world.tick(5);
    expect(await world.membersOf("orders")).toBe(6);
    expect(world.policies.read("orders")?.policy).toMatchObject({ budgetRows: 1_000_000 });
  });
});

describe("a policy that asks for the change beside it", () => {
  const TIGHT = { selfHeal: "apply", maxSkew: 1.05 } as const;

  it("does not help it with a budget", async () => {
    const world = await uneven({ selfHeal: "apply", budgetRows: 1 });
    const plan = await world.reviewAndMerge([orders({ ...TIGHT, budgetRows: 1_000_000 })]);
    expect(plan).toMatchObject({ changes: [{ kind: "rebalance" }], blocks: [{ guard: "budget" }] });
    await world.tick(20);
    expect(world.startedRuns()).toEqual([]);
    expect(appliedPolicy(world)).toMatchObject({ maxSkew: 9, budgetRows: 1 });
    expect(world.condition("orders")).toMatchObject({
      reason: "Blocked",
      message: expect.stringContaining("budget"),
    });
    expect(await world.drifts()).toMatchObject([
      { kind: "skew", state: "open", reason: expect.stringContaining("1.05") },
    ]);
    await world.reviewAndMerge([orders({ ...TIGHT, budgetRows: 1_000_000 })], ["budget"]);
    await world.tick(5);
    expect(world.startedRuns()).toMatchObject([{ overrides: ["budget"], state: "succeeded" }]);
    expect(appliedPolicy(world)).toMatchObject({ maxSkew: 1.05, budgetRows: 1_000_000 });
  });

  it.each<[string, Partial<Policy>, Partial<Policy>]>([
    ["windows", { windows: [MORNING] }, { windows: [] }],
    ["a suspension that it lifts", { suspend: true }, { suspend: false }],
  ])("does not help it with %s", async (_, before, after) => {
    const world = await uneven({ selfHeal: "apply", ...before });
    await world.reviewAndMerge([orders({ ...TIGHT, ...after })]);
    await world.tick(20);
    expect(world.startedRuns()).toEqual([]);
    expect(appliedPolicy(world)).toMatchObject({ maxSkew: 9, ...before });
  });

  it("waits with it for its apply job", async () => {
    const world = await uneven();
    world.applies = "workflow";
    await world.reviewAndMerge([orders(TIGHT)]);
    await world.tick(5);
    expect(world.condition("orders")).toMatchObject({ reason: "AwaitsWorkflow" });
    expect(appliedPolicy(world)).toMatchObject({ maxSkew: 9 });
    world.reviewed = world.reviewed.map((one) => ({ ...one, isOrdered: true }));
    await world.tick(5);
    expect(world.startedRuns()).toMatchObject([{ state: "succeeded" }]);
    expect(appliedPolicy(world)).toMatchObject(TIGHT);
  });

  it("waits with it while a member does not answer", async () => {
    const world = await uneven({ selfHeal: "apply", budgetRows: 1 });
    await world.reviewAndMerge([orders({ ...TIGHT, budgetRows: 1_000_000 })]);
    world.live.edit("orders", { unhealthy: { "orders-shard-1": "timeout" } });
    await world.tick(5);
    expect(appliedPolicy(world)).toMatchObject({ maxSkew: 9, budgetRows: 1 });
    world.live.edit("orders", { unhealthy: {} });
    await world.tick(5);
    expect(world.startedRuns()).toEqual([]);
  });

  it("is not applied when somebody has made live another one, which it would have changed", async () => {
    const world = await uneven({ selfHeal: "apply", budgetRows: 1 });
    await world.reviewAndMerge([orders({ ...TIGHT, budgetRows: 1_000_000 })]);
    world.live.edit("orders", { epoch: 2 });
    await world.tick(10);
    expect(world.startedRuns()).toEqual([]);
    expect(appliedPolicy(world)).toMatchObject({ maxSkew: 9, budgetRows: 1 });
    // Rows that are even by now leave nothing to do but the policy.
    world.live.edit("orders", { rows: idRows(4000) });
    await world.tick(3);
    expect(appliedPolicy(world)).toMatchObject({ maxSkew: 1.05, budgetRows: 1_000_000 });
    expect(world.startedRuns()).toEqual([]);
  });

  it("is not applied once live is older than its plan", async () => {
    const world = await uneven({ selfHeal: "apply", budgetRows: 1 });
    world.live.edit("orders", { epoch: 7 });
    await world.reviewAndMerge([orders({ ...TIGHT, budgetRows: 1_000_000 })]);
    world.live.edit("orders", { epoch: 6 });
    await world.tick(10);
    expect(world.startedRuns()).toEqual([]);
    expect(appliedPolicy(world)).toMatchObject({ maxSkew: 9, budgetRows: 1 });
  });

  it("has it made as it was shown, also when the rows are even by now", async () => {
    const world = await uneven();
    const plan = await world.reviewAndMerge([orders(TIGHT)]);
    world.live.edit("orders", { rows: idRows(1290) });
    await world.tick(5);
    expect(world.startedRuns()).toMatchObject([{ fingerprint: plan.fingerprint }]);
    expect(appliedPolicy(world)).toMatchObject(TIGHT);
  });

  it("does not bring a change of another plan back that nothing asks for any more", async () => {
    const world = await uneven();
    // Shown while the rows were uneven by the policy of then, and even when it was merged.
    world.policies.set("orders", orders({ maxSkew: 1.05 }).policy);
    await world.reviewAndMerge([orders({ maxSkew: 1.05 })]);
    world.live.edit("orders", { rows: idRows(4000) });
    await world.reviewAndMerge([orders({ maxSkew: 1.05, retainHours: 48 })]);
    await world.tick(5);
    expect(world.startedRuns()).toEqual([]);
    expect(appliedPolicy(world)).toMatchObject({ retainHours: 48 });
  });
});

describe("a merged policy that is not applied", () => {
  const LOOSE = { selfHeal: "apply", budgetRows: 9 } as const;
  const told = async (world: ReconcilerFixture) =>
    (await world.report()).drifts.filter(({ kind }) => kind === "policy");

  it("is a drift, told once, while no pull request has shown it", async () => {
    const world = await settled();
    push(world, orders(LOOSE));
    await world.tick();
    expect(await told(world)).toMatchObject([{ state: "watching" }]);
    await world.tick(5);
    expect(await told(world)).toMatchObject([
      {
        namespace: "orders",
        state: "open",
        reason: "policy selfHeal, budget.rows (merged, but not reviewed)",
        remedy: expect.stringContaining("pull request"),
      },
    ]);
    const { fingerprint } = await world.report();
    await world.tick(70);
    expect(await world.report()).toMatchObject({ fingerprint });
    expect(world.events.filter(({ summary }) => summary.startsWith("policy: "))).toHaveLength(1);
    expect(world.condition("orders")).toMatchObject({ type: "Ready", reason: "PolicyHeld" });
    push(world, orders());
    await world.tick(2);
    expect(await told(world)).toEqual([]);
  });

  it("is none while it is on its way", async () => {
    const world = await settled();
    await world.reviewAndMerge([orders(LOOSE)]);
    await world.tick();
    expect(await told(world)).toEqual([]);
    world.paused = { by: "ada", reason: "incident 7", at: world.now };
    await world.reviewAndMerge([orders({ ...LOOSE, budgetRows: 10 })]);
    await world.tick(70);
    expect(await told(world)).toEqual([]);
    expect(world.condition("orders")).toMatchObject({ reason: "PolicyHeld" });
  });

  it("is one when its apply job has not come for an hour", async () => {
    const world = await settled();
    world.applies = "workflow";
    await world.reviewAndMerge([orders(LOOSE)]);
    await world.tick(50);
    expect(await told(world)).toEqual([]);
    expect(world.condition("orders")).toMatchObject({
      reason: "PolicyHeld",
      message: expect.stringContaining("apply job of pull request #"),
    });
    await world.tick(30);
    expect(await told(world)).toMatchObject([
      {
        state: "open",
        reason: "policy selfHeal, budget.rows (merged, no apply job has come)",
        remedy: expect.stringContaining("apply workflow"),
      },
    ]);
    world.reviewed = world.reviewed.map((one) => ({ ...one, isOrdered: true }));
    await world.tick(3);
    expect(await told(world)).toEqual([]);
  });

  it("is one when live is no longer what its plan would change", async () => {
    const world = await uneven({ selfHeal: "apply" });
    await world.reviewAndMerge([orders({ selfHeal: "apply", maxSkew: 1.05 })]);
    world.live.edit("orders", { epoch: 2 });
    await world.tick(5);
    expect(await told(world)).toMatchObject([
      { state: "open", reason: "policy maxSkew (merged, but its plan is stale)" },
    ]);
  });

  it("leaves the drift of a change beside it to that", async () => {
    const world = await settled({ budgetRows: 1 });
    await world.reviewAndMerge([orders({ budgetRows: 1_000_000 }, 6)]);
    await world.tick(5);
    expect(await world.drifts()).toMatchObject([{ kind: "spec" }]);
  });

  it("does not make a drift of live look confirmed", async () => {
    const world = await settled({ selfHeal: "apply" });
    push(world, orders({ selfHeal: "apply", budgetRows: 1_000_000, retainHours: 1 }));
    await world.tick(5);
    expect(await told(world)).toMatchObject([{ state: "open" }]);
    drift(world);
    await world.pass();
    expect(world.startedRuns()).toEqual([]);
  });

  it("stays as it was told while GitHub does not answer", async () => {
    const world = await settled();
    push(world, orders(LOOSE));
    await world.tick(5);
    world.githubFails = "502";
    await world.tick(5);
    expect(await told(world)).toMatchObject([{ state: "open" }]);
    expect(world.events.filter(({ summary }) => summary.includes("policy is gone"))).toEqual([]);
  });
});

describe("the owner's floors", () => {
  it("keep what was reviewed and applied from healing", async () => {
    const world = await settled({ selfHeal: "apply" });
    world.policies.floors = { selfHeal: "alert" };
    push(world, orders({ selfHeal: "apply", retainHours: 23 }));
    drift(world);
    await world.tick(5);
    expect(world.condition("orders")).toMatchObject({ reason: "Drifted" });
    expect(world.startedRuns()).toEqual([]);
  });

  it("are followed as soon as they change, without a repository, too", async () => {
    const applied = {
      id: "f",
      desired: { environment: "e", commit: null, namespaces: [] },
    };
    const read = async (known: string | null, floors: PolicyFloors): Promise<string> => {
      const newest = (id: string | null) => (id === "f" ? ("unchanged" as const) : applied);
      const reading = await createAppliedSource(newest, floors).read(known);
      return reading.kind === "desired" ? reading.treeSha : reading.kind;
    };
    const free = await read(null, {});
    expect(await read(free, {})).toBe("unchanged");
    const floored = await read(free, { maxSkew: 2 });
    expect(floored).not.toBe("unchanged");
    expect(await read(floored, { maxSkew: 2 })).toBe("unchanged");
    expect(await read(floored, { maxSkew: 3 })).not.toBe("unchanged");
    expect(await read(floored, {})).toBe(free);
  });
});
