/** Reviewed and merged policies at the tick, while other changes are pending beside them. */
import { describe, expect, it } from "vitest";

import { type NamespaceSpec, type Policy, type Window } from "../../src/model/spec.ts";
import { shardNames } from "../../src/model/layout/layout.ts";
import { spec } from "../support/state.ts";
import { hashed, HOUR, idRows, ReconcilerFixture } from "./support/world.ts";

/** Before noon, when the world begins. */
const MORNING: Window = { start: "0 3 * * *", durationMs: HOUR, timezone: "UTC" };
const SILENT = { kind: "unreachable", message: "timeout" } as const;
const AT_MORNING = Date.UTC(2026, 2, 3, 3, 5);

const orders = (policy: Partial<Policy>, count: number): NamespaceSpec =>
  spec("orders", { count, policy });
/** Its change waits for the morning, so that the plan is made in two runs. */
const carts = (count: number): NamespaceSpec =>
  spec("carts", { count, policy: { windows: [MORNING] } });

const appliedPolicy = (world: ReconcilerFixture): Policy | undefined =>
  world.policies.read("orders")?.policy;
const runsOf = (world: ReconcilerFixture, namespace: string): string[] =>
  world
    .startedRuns()
    .flatMap(({ actions }) => actions.filter((action) => action.namespace === namespace))
    .map(({ kind }) => kind);

/** Merges a plan that lets `orders` grow beside `carts`, and makes the change of `orders`. */
async function grown(before: Partial<Policy>, after: Partial<Policy>): Promise<ReconcilerFixture> {
  const world = new ReconcilerFixture({
    live: [hashed("orders", 4, 4000), hashed("carts", 4)],
    specs: [orders(before, 4), carts(4)],
  });
  await world.tick();
  await world.reviewAndMerge([orders(after, 8), carts(6)]);
  // One pass, which starts its run: no look has seen how it has ended.
  await world.tick();
  expect(await world.membersOf("orders")).toBe(8);
  expect(appliedPolicy(world)).toMatchObject(before);
  return world;
}

/** One key holds as many rows as make the fullest of the shards hold `skew` times the average. */
function unevenRows(skew: number, shards = 8): ReturnType<typeof idRows> {
  const hot = Math.round((4000 * (skew - 1)) / (shards - skew));
  return [...idRows(4000), { keys: { id: "hot" }, rows: hot }];
}

describe("a merged policy, of a plan that is made in parts", () => {
  it("is applied in a namespace that it allows to be as uneven as it is", async () => {
    const world = await grown({ maxSkew: 1.2 }, { maxSkew: 3 });
    world.live.edit("orders", { rows: unevenRows(2) });
    await world.tick(5);
    expect(world.condition("orders")).toMatchObject({ reason: "Drifted" });
    expect(appliedPolicy(world)).toMatchObject({ maxSkew: 1.2 });
    world.now = AT_MORNING;
    await world.tick(5);
    expect(await world.membersOf("carts")).toBe(6);
    expect(appliedPolicy(world)).toMatchObject({ maxSkew: 3 });
    expect(world.condition("orders")).toMatchObject({ type: "Ready", reason: "InSync" });
    expect(await world.drifts()).toEqual([]);
  });

  it("has nothing healed that it allows", async () => {
    const world = await grown(
      { maxSkew: 1.2, selfHeal: "apply" },
      { maxSkew: 3, selfHeal: "apply" },
    );
    world.now = AT_MORNING;
    await world.tick();
    expect(await world.membersOf("carts")).toBe(6);
    world.live.edit("orders", { rows: unevenRows(2) });
    await world.tick(10);
    expect(appliedPolicy(world)).toMatchObject({ maxSkew: 3 });
    expect(runsOf(world, "orders")).toEqual(["rebalance"]);
    expect(world.condition("orders")).toMatchObject({ type: "Ready", reason: "InSync" });
  });

  it("lets a heal of skew go on which it does not allow either", async () => {
    const world = await grown({ maxSkew: 1.2 }, { maxSkew: 1.3, selfHeal: "apply" });
    world.live.edit("orders", { rows: unevenRows(2) });
    await world.tick(5);
    expect(runsOf(world, "orders")).toEqual(["rebalance"]);
    world.now = AT_MORNING;
    await world.tick(10);
    expect(appliedPolicy(world)).toMatchObject({ maxSkew: 1.3, selfHeal: "apply" });
    expect(runsOf(world, "orders").length).toBeGreaterThan(1);
  });

  it("gives the heal of misplaced rows the budget that was reviewed", async () => {
    const budget = (budgetRows: number) => ({ selfHeal: "apply", maxSkew: 9, budgetRows }) as const;
    const world = await grown(budget(4500), budget(100_000));
    const [first, second] = shardNames("orders", 0, 8);
    const lost = (misplacedOn = "") => ({ keys: { id: "lost" }, rows: 300, misplacedOn });
    world.live.edit("orders", { rows: [...idRows(5000), lost(first), lost(second)] });
    await world.tick(20);
    expect(world.condition("orders")).toMatchObject({ reason: "Blocked" });
    expect(runsOf(world, "orders")).toEqual(["rebalance"]);
    world.now = AT_MORNING;
    await world.tick(10);
    expect(appliedPolicy(world)).toMatchObject({ budgetRows: 100_000 });
    expect(runsOf(world, "orders")).toEqual(["rebalance", "rekey"]);
  });
});

describe("a merged policy, of a plan that is stale", () => {
  /** Live is another one than planned, and as even as the policy of before allows. */
  async function stale(maxSkew: number): Promise<ReconcilerFixture> {
    const world = new ReconcilerFixture({
      live: [hashed("orders", 4, 0, { rows: unevenRows(1.5, 4) })],
      specs: [orders({ maxSkew: 2 }, 4)],
      pollsToComplete: () => 100,
    });
    await world.tick();
    const tight = [orders({ maxSkew, budgetRows: 1_000_000 }, 4)];
    const plan = await world.reviewAndMerge(tight);
    expect(plan.changes).toMatchObject([{ kind: "rebalance" }]);
    world.restore({ ...world.tree, specs: [orders({ maxSkew: 2 }, 4)] });
    world.live.edit("orders", { epoch: 2 });
    await world.tick();
    world.merge(tight);
    return world;
  }

  it("is not applied by what was seen before it was merged", async () => {
    const world = await stale(1.05);
    // The look that would say how even it is gets no answer.
    world.live.breakCalls("orders", SILENT, Number.POSITIVE_INFINITY);
    await world.tick();
    expect(world.store.readDeclared("orders")).not.toHaveProperty("isEven");
    expect(appliedPolicy(world)).toMatchObject({ maxSkew: 2 });
    world.live.breakCalls("orders", SILENT, 0);
    await world.tick(5);
    expect(appliedPolicy(world)).toMatchObject({ maxSkew: 2 });
  });

  it("is not applied while an operation of somebody runs", async () => {
    const world = await stale(1.05);
    world.applies = "workflow";
    world.live.edit("orders", { rows: idRows(4000) });
    await world.tick(2);
    world.startRunOf(await world.plan([orders({ maxSkew: 2 }, 6)]));
    await world.stepRuns();
    world.reviewed = world.reviewed.map((one) => ({ ...one, isOrdered: true }));
    await world.tick(2);
    expect(appliedPolicy(world)).toMatchObject({ maxSkew: 2 });
  });

  it("is not applied while its namespace does not answer", async () => {
    const world = await stale(1.05);
    world.applies = "workflow";
    world.live.edit("orders", { rows: idRows(4000) });
    await world.tick(2);
    world.live.breakCalls("orders", SILENT, Number.POSITIVE_INFINITY);
    await world.tick(2);
    world.reviewed = world.reviewed.map((one) => ({ ...one, isOrdered: true }));
    await world.tick(2);
    expect(appliedPolicy(world)).toMatchObject({ maxSkew: 2 });
    world.live.breakCalls("orders", SILENT, 0);
    await world.tick(10);
    expect(appliedPolicy(world)).toMatchObject({ maxSkew: 1.05 });
  });
});

describe("a merged policy beside that of a namespace whose rows are uneven", () => {
  const healing = spec("carts", { count: 4, policy: { selfHeal: "apply" } });

  async function reviewed(
    before: Partial<Policy>,
    rows: ReturnType<typeof idRows>,
  ): Promise<ReconcilerFixture> {
    const world = new ReconcilerFixture({
      live: [hashed("orders", 4, 0, { rows }), hashed("carts", 4)],
      specs: [orders(before, 4), spec("carts", { count: 4 })],
    });
    await world.tick();
    const plan = await world.reviewAndMerge([orders({ ...before, maxSkew: 1.05 }, 4), healing]);
    expect(plan.changes).toMatchObject([{ namespace: "orders", kind: "rebalance" }]);
    return world;
  }
  const told = async (world: ReconcilerFixture) =>
    (await world.report()).drifts.filter(({ kind }) => kind === "policy");

  it.each(["alert", "off"] as const)(
    "is a drift where its plan is stale, and selfHeal %s leaves them so",
    async (selfHeal) => {
      const world = await reviewed({ selfHeal, maxSkew: 2 }, unevenRows(1.5, 4));
      world.live.edit("orders", { epoch: 2, rows: unevenRows(3, 4) });
      await world.tick(5);
      expect(world.startedRuns()).toEqual([]);
      expect(await told(world)).toMatchObject([
        { namespace: "carts", reason: "policy selfHeal (merged, but its plan is stale)" },
      ]);
    },
  );

  it("is none while the change of its plan waits, though the rows are even by now", async () => {
    const world = await reviewed(
      { windows: [MORNING], maxSkew: 9 },
      idRows(400).map((group, index) => (index < 9 ? { ...group, rows: 100 } : group)),
    );
    world.live.edit("orders", { rows: idRows(1290) });
    await world.tick(5);
    expect(world.condition("orders")).toMatchObject({ reason: "WindowClosed" });
    expect(world.condition("carts")).toMatchObject({ reason: "PolicyHeld" });
    expect(await told(world)).toEqual([]);
  });
});

describe("the moment since which manifests are followed", () => {
  it("is that of another tree, and of nothing that is read again", async () => {
    const world = new ReconcilerFixture({ live: [hashed("orders", 4)], specs: [orders({}, 4)] });
    const { followedAt } = await world.tick();
    expect(followedAt).toBeDefined();
    expect(await world.tick(3)).toMatchObject({ followedAt });
    const { tree } = world;
    world.merge([], "absent");
    await world.tick();
    world.restore(tree);
    expect(await world.tick()).toMatchObject({ followedAt, manifestsProblem: null });
    world.merge([]);
    expect(await world.tick()).toMatchObject({ followedAt, manifestsProblem: { kind: "empty" } });
    world.merge([orders({ budgetRows: 9 }, 4)]);
    const merged = await world.tick();
    expect(merged.followedAt).toBeGreaterThan(followedAt ?? 0);
  });
});
