/** What policy lets reconciliation do, and when. */
import { describe, expect, it } from "vitest";

import { RECONCILER } from "../../../src/apply/reconcile/decide-pending.ts";
import type { Window } from "../../../src/core/spec.ts";
import { hashOf, spec } from "../../support/state.ts";
import { hashed, HOUR, MINUTE, World } from "./support/world.ts";

const orders = (changes: Parameters<typeof spec>[1] = {}) => spec("orders", { count: 4, ...changes });

async function drifted(policy: NonNullable<Parameters<typeof spec>[1]>["policy"], startAt?: number): Promise<World> {
  const declared = orders({ policy: { selfHeal: "apply", ...policy } });
  const world = new World({ live: [hashed("orders", 4)], specs: [declared], ...(startAt === undefined ? {} : { startAt }) });
  await world.tick();
  world.live.edit("orders", { epoch: 2, layout: hashOf("orders", 6) });
  return world;
}

describe("self-healing", () => {
  it("waits until suspend is taken back, and says so meanwhile", async () => {
    const world = await drifted({ suspend: true });
    await world.tick(5);
    expect(world.condition("orders")).toMatchObject({ type: "Reconciling", reason: "Suspended" });
    expect(await world.drifts()).toMatchObject([{ kind: "spec", state: "open" }]);
    world.merge([orders({ policy: { selfHeal: "apply" } })]);
    await world.tick(5);
    expect(await world.membersOf("orders")).toBe(4);
    expect(await world.drifts()).toEqual([]);
  });

  it("does nothing beyond the budget", async () => {
    const world = await drifted({ budgetRows: 10 });
    await world.tick(5);
    expect(world.condition("orders")).toMatchObject({
      type: "Stalled",
      reason: "Blocked",
      message: expect.stringContaining("budget"),
    });
    expect(world.startedRuns()).toEqual([]);
    expect((await world.report()).drifts).toMatchObject([{ kind: "spec", remedy: expect.stringContaining("budget") }]);
  });

  it("never starts over a member that does not answer", async () => {
    const world = await drifted({});
    world.live.edit("orders", { unhealthy: { "orders-shard-1": "no answer within 30000 ms" } });
    await world.tick(5);
    expect(world.startedRuns()).toEqual([]);
    expect((await world.report()).drifts.map(({ kind }) => kind)).toContain("unhealthy");
    world.live.edit("orders", { unhealthy: {} });
    await world.tick(5);
    expect(await world.membersOf("orders")).toBe(4);
  });
});

describe("windows", () => {
  const night: Window = { start: "30 2 * * *", durationMs: 2 * HOUR, timezone: "Europe/Berlin" };
  const cases: [string, number, number][] = [
    // Berlin is an hour ahead of UTC in winter, two in summer.
    ["in winter at 01:30 UTC", Date.UTC(2026, 1, 10, 0, 0), Date.UTC(2026, 1, 10, 1, 30)],
    ["in summer at 00:30 UTC", Date.UTC(2026, 6, 10, 0, 0), Date.UTC(2026, 6, 10, 0, 30)],
    // 2026-03-29: 02:00 local becomes 03:00; 02:30 is not there, and the window opens when the gap is over, at 01:00 UTC.
    ["in the night that clocks go forward", Date.UTC(2026, 2, 29, 0, 0), Date.UTC(2026, 2, 29, 1, 0)],
    // 2026-10-25: 02:30 is there twice; the first is 00:30 UTC.
    ["in the night that clocks go back", Date.UTC(2026, 9, 25, 0, 0), Date.UTC(2026, 9, 25, 0, 30)],
  ];
  it.each(cases)("open %s, and not before", async (_name, startAt, opensAt) => {
    const world = await drifted({ windows: [night] }, startAt);
    while (world.now < opensAt) {
      await world.tick();
      expect(world.startedRuns()).toEqual([]);
    }
    expect(world.condition("orders")).toMatchObject({ reason: "WindowClosed" });
    await world.tick(2);
    expect(await world.membersOf("orders")).toBe(4);
    expect(world.startedRuns()).toHaveLength(1);
  });

  it("that close during a run let what runs end; what has not started waits for the next, and frees the environment", async () => {
    const windows: Window[] = [{ start: "0 12 * * *", durationMs: 10 * MINUTE, timezone: "UTC" }];
    const first = (count: number) => spec("a-first", { count, policy: { windows } });
    const then = (count: number) => spec("b-then", { count, dependsOn: ["a-first"], policy: { windows } });
    const live = [hashed("a-first", 4), hashed("b-then", 4), hashed("carts", 4)];
    const carts = (count: number) => spec("carts", { count });
    const world = new World({ live, specs: [first(4), then(4), carts(4)] });
    await world.tick();
    world.live.stall("a-first", true);
    await world.reviewAndMerge([first(6), then(6), carts(4)]);
    await world.tick(5);
    world.live.stall("a-first", false);
    world.now += 10 * MINUTE;
    // The operation that runs is not touched by the window; the dependent has missed it.
    await world.pass();
    await world.stepRuns(20);
    expect(await world.membersOf("a-first")).toBe(6);
    await world.tick(3);
    expect(world.startedRuns()).toMatchObject([
      {
        actions: [
          { namespace: "a-first", state: "done" },
          { namespace: "b-then", state: "notExecuted" },
        ],
      },
    ]);
    expect(world.condition("b-then")).toMatchObject({ type: "Reconciling", reason: "WindowClosed", failures: 0 });
    await world.reviewAndMerge([first(6), then(6), carts(5)]);
    await world.tick(3);
    expect(await world.membersOf("carts")).toBe(5);
    expect(await world.membersOf("b-then")).toBe(4);
    // The next day's window.
    world.reviewed = [{ pull: 77, plan: await world.plan([first(6), then(6), carts(5)]), overrides: [] }];
    world.now = Date.UTC(2026, 2, 3, 12, 1);
    await world.tick(3);
    expect(await world.membersOf("b-then")).toBe(6);
  });

  it("hold a reviewed change without calling it drift", async () => {
    const windows: Window[] = [{ start: "0 2 * * *", durationMs: HOUR, timezone: "UTC" }];
    const world = new World({ live: [hashed("orders", 4)], specs: [orders({ policy: { windows } })] });
    await world.tick();
    await world.reviewAndMerge([orders({ count: 6, policy: { windows } })]);
    await world.tick(30);
    expect(world.condition("orders")).toMatchObject({ type: "Reconciling", reason: "WindowClosed" });
    expect(await world.drifts()).toEqual([]);
    world.now = Date.UTC(2026, 2, 3, 2, 10);
    await world.tick(2);
    expect(await world.membersOf("orders")).toBe(6);
  });
});

describe("the switch for everything", () => {
  it("keeps every change from being applied, but not from being seen", async () => {
    const world = await drifted({});
    world.paused = { by: "ops", reason: "incident 7", at: world.now };
    await world.tick(10);
    expect(world.startedRuns()).toEqual([]);
    expect(await world.drifts()).toMatchObject([{ kind: "spec", state: "open" }]);
    expect(world.condition("orders")).toMatchObject({ reason: "Paused", message: expect.stringContaining("ops") });
    world.paused = null;
    await world.tick(2);
    expect(await world.membersOf("orders")).toBe(4);
  });
});

describe("guards on the whole plan, and releases", () => {
  const names = Array.from({ length: 12 }, (_, index) => `n${String(index).padStart(2, "0")}`);
  const all = (count: (index: number) => number) => names.map((name, index) => spec(name, { count: count(index) }));

  async function bulk(): Promise<{ world: World; specs: ReturnType<typeof all> }> {
    const world = new World({ live: names.map((name) => hashed(name, 4)), specs: all(() => 4) });
    await world.tick();
    return { world, specs: all((index) => (index < 6 ? 6 : 4)) };
  }

  it("block a merge that changes too many at once, however the work is cut into slices", async () => {
    const { world, specs } = await bulk();
    await world.reviewAndMerge(specs);
    await world.pass(3);
    await world.tick(3);
    expect(world.startedRuns()).toEqual([]);
    expect(world.condition("n00")).toMatchObject({
      type: "Stalled",
      reason: "Blocked",
      message: expect.stringContaining("bulkChange"),
    });
    expect((await world.drifts()).filter(({ state }) => state === "open")).toHaveLength(6);
  });

  it("are overridden by a release of exactly that plan, and of no other", async () => {
    const { world, specs } = await bulk();
    const plan = await world.reviewAndMerge(specs, ["bulkChange"]);
    // Live moves after the release: it names another plan now.
    world.live.edit("n00", { epoch: 2 });
    await world.tick(3);
    expect(world.startedRuns()).toEqual([]);
    world.live.edit("n00", { epoch: 1 });
    world.reviewed = [];
    await world.tick(3);
    expect(world.startedRuns()).toEqual([]);
    world.reviewed = [{ pull: 9, plan: await world.plan(specs), overrides: ["bulkChange"] }];
    world.live.edit("n00", { epoch: 3 });
    world.reviewed = [{ pull: 9, plan: await world.plan(specs), overrides: ["bulkChange"] }];
    await world.tick(4);
    expect(world.startedRuns()).toMatchObject([{ overrides: ["bulkChange"], state: "succeeded", origin: { pull: 9 } }]);
    expect(world.startedRuns()[0]?.fingerprint).not.toBe(plan.fingerprint);
    expect(await world.membersOf("n05")).toBe(6);
  });
});

describe("the lock", () => {
  it("is somebody else's run: its namespaces are left to it, the others wait", async () => {
    const world = new World({ live: [hashed("orders", 4), hashed("carts", 4)], specs: [orders(), spec("carts", { count: 4 })] });
    await world.tick();
    const plan = await world.reviewAndMerge([orders({ count: 6 }), spec("carts", { count: 4 })]);
    const ci = world.startRunOf({ ...plan, environment: "production" });
    await world.pass();
    expect(world.condition("orders")).toMatchObject({ type: "Reconciling", reason: "InRun" });
    expect(world.startedRuns()).toEqual([]);
    await world.tick(3);
    expect(world.runs.get(ci)?.record.run.state).toBe("succeeded");
    expect(world.condition("orders")).toMatchObject({ type: "Ready" });
    expect(await world.drifts()).toEqual([]);
    expect([...world.runs.values()].filter(({ record }) => record.run.requestedBy === RECONCILER)).toEqual([]);
    expect(world.now).toBeGreaterThan(MINUTE);
  });
});
