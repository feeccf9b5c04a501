/** Limits of policy on reconciliation: the actions it allows, and when. */
import { describe, expect, it } from "vitest";

import {
  delayUntilNextMs,
  HOLD_MS,
  RECONCILER,
  type RunRecord,
} from "../../src/runs/run-record.ts";
import { DEFAULT_OPERATION_POLICY, type OperationPause } from "../../src/model/operation.ts";
import type { Window } from "../../src/model/spec.ts";
import { unshardedLayout } from "../../src/model/layout/layout.ts";
import { hashOf, spec } from "../support/state.ts";
import { hashed, HOUR, MINUTE, ReconcilerFixture } from "./support/world.ts";

const orders = (changes: Parameters<typeof spec>[1] = {}) =>
  spec("orders", { count: 4, ...changes });

async function drifted(
  policy: NonNullable<Parameters<typeof spec>[1]>["policy"],
  startAt?: number,
): Promise<ReconcilerFixture> {
  const declared = orders({ policy: { selfHeal: "apply", ...policy } });
  const world = new ReconcilerFixture({
    live: [hashed("orders", 4)],
    specs: [declared],
    ...(startAt === undefined ? {} : { startAt }),
  });
  await world.tick();
  world.live.edit("orders", { epoch: 2, layout: hashOf("orders", 6) });
  return world;
}

function recordOf(world: ReconcilerFixture, run: string): RunRecord {
  const found = world.runs.get(run);
  if (!found) throw new Error(`No run ${run}`);
  return found.record;
}

async function pauseOf(world: ReconcilerFixture, name: string): Promise<OperationPause | null> {
  const described = await world.live.describe({ name, object: "ORDERS" });
  if (!described.ok) throw new Error(described.failure.message);
  return described.value.operation?.paused ?? null;
}

/** Nobody polls it, and in memory nothing goes on by itself. */
async function finishOperation(world: ReconcilerFixture, name: string): Promise<void> {
  for (let polls = 0; polls < 40; polls++)
    await world.live.operation({ name, object: "ORDERS" }, 1);
}

async function startByHand(world: ReconcilerFixture, name: string): Promise<void> {
  const started = await world.live.start(
    { name, object: "ORDERS" },
    {
      kind: "rebalance",
      epoch: 1,
      to: hashOf(name, 6),
      policy: DEFAULT_OPERATION_POLICY,
      correlationId: "by-hand",
      requestedBy: "someone",
      refuseEmpty: false,
    },
  );
  if (!started.ok) throw new Error(started.failure.message);
}

describe("what was reviewed", () => {
  it("is not started by the tick once its counts have moved, nor once a guard stands", async () => {
    const before = orders();
    const world = new ReconcilerFixture({ live: [hashed("orders", 4)], specs: [before] });
    await world.tick();
    const wanted = orders({ count: 6, policy: { budgetRows: 4_000 } });
    await world.reviewAndMerge([wanted]);
    const many = (count: number) =>
      Array.from({ length: count }, (_, index) => ({ keys: { id: `k${index}` }, rows: 1 }));
    world.live.edit("orders", { rows: many(3_000) });
    await world.tick(3);
    expect(world.condition("orders")).toMatchObject({ type: "Stalled", reason: "CountsMoved" });
    expect(await world.drifts()).toMatchObject([
      { kind: "spec", reason: expect.stringContaining("moved since the review") },
    ]);
    world.live.edit("orders", { rows: many(30_000) });
    await world.tick(3);
    expect(world.condition("orders")).toMatchObject({ type: "Stalled", reason: "Blocked" });
    expect(await world.membersOf("orders")).toBe(4);
    expect(world.startedRuns()).toEqual([]);
  });

  it("is judged once more in the moment of its start", async () => {
    const world = new ReconcilerFixture({ live: [hashed("orders", 4)], specs: [orders()] });
    await world.tick();
    await world.reviewAndMerge([orders({ count: 6 })]);
    const rows = Array.from({ length: 9_000 }, (_, index) => ({
      keys: { id: `k${index}` },
      rows: 1,
    }));
    // Between the look that decides and the look before the start.
    let looks = 0;
    const real = world.live.describe.bind(world.live);
    world.live.describe = (ref) => {
      looks++;
      if (looks === 2) world.live.edit("orders", { rows });
      return real(ref);
    };
    await world.pass();
    expect(looks).toBeGreaterThan(1);
    expect(world.startedRuns()).toEqual([]);
  });
});

describe("a guard that the reviewed plan has shown, and that no look of now can lift", () => {
  it("holds the change at the tick, until a release overrides it", async () => {
    const unsharded = { ...hashed("orders", 4), epoch: 0, layout: unshardedLayout("orders", 0) };
    const world = new ReconcilerFixture({
      live: [unsharded],
      specs: [spec("orders", { strategy: "none" })],
    });
    await world.tick();
    const wanted = orders();
    const plan = await world.plan([wanted], [{ name: "orders", object: "OLD" }]);
    expect(plan.blocks).toMatchObject([{ guard: "object" }]);
    world.merge([wanted]);
    world.reviewed = [{ pull: 7, plan, overrides: [] }];
    await world.tick(3);
    expect(world.condition("orders")).toMatchObject({ type: "Stalled", reason: "Blocked" });
    expect(world.startedRuns()).toEqual([]);
    world.reviewed = [{ pull: 7, plan, overrides: ["object"] }];
    await world.tick(3);
    expect(world.startedRuns()).toMatchObject([{ overrides: ["object"] }]);
  });
});

describe("where the workflow applies, the tick", () => {
  async function merged(): Promise<ReconcilerFixture> {
    const world = new ReconcilerFixture({ live: [hashed("orders", 4)], specs: [orders()] });
    world.applies = "workflow";
    await world.tick();
    await world.reviewAndMerge([orders({ count: 6, policy: { selfHeal: "apply" } })]);
    return world;
  }

  it("leaves what is reviewed and merged to the apply job, however long it takes", async () => {
    const world = await merged();
    await world.tick(20);
    expect(world.condition("orders")).toMatchObject({
      type: "Reconciling",
      reason: "AwaitsWorkflow",
    });
    expect(world.startedRuns()).toEqual([]);
    expect(await world.membersOf("orders")).toBe(4);
    expect(await world.drifts()).toEqual([]);
  });

  it("tells after an hour that no apply job has come, until one comes", async () => {
    const world = await merged();
    await world.tick(59);
    expect(world.condition("orders")).toMatchObject({ type: "Reconciling" });
    await world.tick(5);
    for (const ticks of [1, 30]) {
      await world.tick(ticks);
      expect(world.condition("orders")).toMatchObject({
        type: "Stalled",
        reason: "AwaitsWorkflow",
        message: expect.stringContaining("none has come"),
      });
      expect((await world.report()).drifts).toMatchObject([
        {
          kind: "spec",
          state: "open",
          reason: expect.stringContaining("merged, no apply job has come"),
          remedy: expect.stringContaining("Rerun the apply workflow"),
        },
      ]);
    }
    expect(world.startedRuns()).toEqual([]);
    world.reviewed = world.reviewed.map((one) => ({ ...one, isOrdered: true }));
    await world.tick(3);
    expect(await world.membersOf("orders")).toBe(6);
    expect(await world.drifts()).toEqual([]);
  });

  it("gives each pull request an hour of its own", async () => {
    const world = await merged();
    await world.tick(55);
    const since = world.now;
    await world.reviewAndMerge([orders({ count: 8, policy: { selfHeal: "apply" } })]);
    await world.tick(50);
    expect(world.condition("orders")).toMatchObject({
      type: "Reconciling",
      reason: "AwaitsWorkflow",
      since,
    });
    expect(await world.drifts()).toEqual([]);
    await world.tick(15);
    expect(world.condition("orders")).toMatchObject({
      type: "Stalled",
      message: expect.stringContaining(`pull request #${world.reviewed[0]?.pull}`),
    });
    // Nor does a third one inherit that it was late.
    await world.reviewAndMerge([orders({ count: 10, policy: { selfHeal: "apply" } })]);
    await world.tick(50);
    expect(world.condition("orders")).toMatchObject({ type: "Reconciling" });
    expect(await world.drifts()).toEqual([]);
  });

  it("gives the first no other hour for each one that shows the same change", async () => {
    const world = await merged();
    const [first] = world.reviewed;
    if (!first) throw new Error("no review");
    for (const pull of [7, 8, 9]) {
      await world.tick(25);
      world.reviewed = [{ ...first, pull }, ...world.reviewed];
    }
    expect(world.condition("orders")).toMatchObject({
      type: "Stalled",
      message: expect.stringContaining(`pull request #${first.pull}`),
    });
  });

  it("does not begin the hour again when GitHub is away meanwhile", async () => {
    const world = await merged();
    await world.tick(30);
    const { reviewed } = world;
    const ports = world.ports();
    const real = world.ports.bind(world);
    world.ports = () => ({
      ...ports,
      reviews: { find: () => Promise.resolve({ kind: "failed", message: "down", requests: 1 }) },
    });
    await world.tick(3);
    expect(world.condition("orders")).toMatchObject({ reason: "ReviewUnknown" });
    world.ports = real;
    world.reviewed = reviewed;
    await world.tick(32);
    expect(world.condition("orders")).toMatchObject({ type: "Stalled", reason: "AwaitsWorkflow" });
  });

  it("starts what an apply job was given and had to leave waiting", async () => {
    const world = await merged();
    world.reviewed = world.reviewed.map((one) => ({ ...one, isOrdered: true }));
    await world.tick(3);
    expect(await world.membersOf("orders")).toBe(6);
    const change = world.reviewed[0]?.plan.changes[0];
    expect([...world.runs.values()][0]?.record.shown).toEqual({
      orders: { rowsMoved: change?.rowsMoved, bytesMoved: change?.bytesMoved },
    });
  });

  it.each([
    ["ordered, though a newer one", "workflow", { isOrdered: true }, {}],
    [
      "ordered, though a newer, released one",
      "workflow",
      { isOrdered: true },
      { isReleased: true },
    ],
    ["released, though a newer one", "worker", { isReleased: true }, {}],
  ] as const)(
    "starts what one review was %s shows the same change",
    async (_name, applies, own, newer) => {
      const world = await merged();
      world.applies = applies;
      const [shown] = world.reviewed;
      if (!shown) throw new Error("no review");
      world.reviewed = [
        { ...shown, pull: 7, ...newer },
        { ...shown, ...own },
      ];
      await world.pass();
      expect(world.startedRuns()).toMatchObject([{ origin: { pull: shown.pull } }]);
    },
  );

  it("takes up nothing of a run that a person has cancelled, however long ago", async () => {
    const world = new ReconcilerFixture({
      live: [hashed("orders", 4)],
      specs: [orders()],
      pollsToComplete: () => 1000,
    });
    world.applies = "workflow";
    await world.tick();
    await world.reviewAndMerge([orders({ count: 6 })]);
    world.reviewed = world.reviewed.map((one) => ({ ...one, isOrdered: true }));
    await world.tick(2);
    world.cancelRun(world.startedRuns()[0]?.id ?? "");
    // The review has expired meanwhile: only what the tick remembers of its run speaks for it.
    world.reviewed = [];
    for (let hours = 0; hours < 8; hours++) {
      world.now += HOUR;
      await world.tick(2);
    }
    expect(world.startedRuns()).toMatchObject([{ state: "cancelled" }]);
    expect(world.condition("orders")).toMatchObject({ reason: "AwaitsWorkflow" });
  });

  it("overrides nothing by a release whose own apply job has not come", async () => {
    const world = new ReconcilerFixture({ live: [hashed("orders", 4)], specs: [orders()] });
    world.applies = "workflow";
    await world.tick();
    await world.reviewAndMerge([orders({ count: 6, policy: { budgetRows: 1 } })]);
    const [own] = world.reviewed;
    if (!own) throw new Error("no review");
    const released = { ...own, pull: 7, overrides: ["budget" as const] };
    world.reviewed = [released, { ...own, isOrdered: true }];
    await world.tick(3);
    expect(world.condition("orders")).toMatchObject({ reason: "Blocked" });
    expect(world.startedRuns()).toEqual([]);
    world.reviewed = [own, { ...released, isOrdered: true }];
    await world.tick(3);
    expect(await world.membersOf("orders")).toBe(6);
  });

  it("heals what the manifest allows, back to what was reviewed", async () => {
    const world = await drifted({});
    world.applies = "workflow";
    await world.tick(5);
    expect(await world.membersOf("orders")).toBe(4);
    expect([...world.runs.values()][0]?.record.shown).toEqual({});
  });

  it("resumes what runs", async () => {
    const world = await merged();
    const [{ plan } = { plan: null }] = world.reviewed;
    if (plan === null) throw new Error("no plan");
    world.startRunOf(plan, "github-actions (octocat)");
    await world.tick(4);
    expect(await world.membersOf("orders")).toBe(6);
  });
});

describe("self-healing", () => {
  it("waits until suspend is taken back, and says so meanwhile", async () => {
    const world = await drifted({ suspend: true });
    await world.tick(5);
    expect(world.condition("orders")).toMatchObject({ type: "Reconciling", reason: "Suspended" });
    expect(await world.drifts()).toMatchObject([{ kind: "spec", state: "open" }]);
    // For the plan of the merge that lifts it, it counts as before.
    const lifted = [orders({ policy: { selfHeal: "apply" } })];
    const { fingerprint } = await world.reviewAndMerge(lifted);
    await world.tick(5);
    expect(world.condition("orders")).toMatchObject({ type: "Reconciling", reason: "Suspended" });
    expect((await world.plan(lifted)).fingerprint).toBe(fingerprint);
    await world.reviewAndMerge(lifted, ["suspend"]);
    await world.tick(5);
    expect(await world.membersOf("orders")).toBe(4);
    expect(await world.drifts()).toEqual([]);
    expect(world.policies.read("orders")?.policy).toMatchObject({ suspend: false });
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
    expect((await world.report()).drifts).toMatchObject([
      { kind: "spec", remedy: expect.stringContaining("budget") },
    ]);
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
    // 2026-03-29: 02:00 local becomes 03:00; 02:30 is not there, and the window opens when the gap
    // is over, at 01:00 UTC.
    [
      "in the night that clocks go forward",
      Date.UTC(2026, 2, 29, 0, 0),
      Date.UTC(2026, 2, 29, 1, 0),
    ],
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

  const noon: Window[] = [{ start: "0 12 * * *", durationMs: 10 * MINUTE, timezone: "UTC" }];
  const NEXT_NOON = Date.UTC(2026, 2, 3, 12, 1);
  const windowed = (name: string, count: number, dependsOn: string[] = []) =>
    spec(name, { count, dependsOn, policy: { windows: noon } });
  const carts = (count: number) => spec("carts", { count });

  it("that close during a run pause what runs and hold what has not started; the environment is free, and the next one goes on", async () => {
    const live = [hashed("a-first", 4), hashed("b-then", 4), hashed("carts", 4)];
    const specs = (count: number, other: number) => [
      windowed("a-first", count),
      windowed("b-then", count, ["a-first"]),
      carts(other),
    ];
    const world = new ReconcilerFixture({ live, specs: specs(4, 4), pollsToComplete: () => 40 });
    await world.tick();
    await world.reviewAndMerge(specs(6, 4));
    await world.tick(2);
    expect(await pauseOf(world, "a-first")).toBeNull();
    world.now += 10 * MINUTE;
    await world.tick(20);
    expect(await pauseOf(world, "a-first")).toMatchObject({
      by: RECONCILER,
      reason: "its window has closed",
    });
    expect(await world.membersOf("a-first")).toBe(4);
    expect(world.condition("a-first")).toMatchObject({
      type: "Reconciling",
      reason: "Paused",
      failures: 0,
    });
    expect(world.condition("a-first")?.message).toContain("its window has closed");
    expect(world.startedRuns()).toMatchObject([
      {
        state: "cancelled",
        actions: [
          {
            namespace: "a-first",
            state: "notExecuted",
            error: expect.stringContaining("resumes by itself in the next window"),
          },
          { namespace: "b-then", state: "notExecuted" },
        ],
      },
    ]);
    // Work that has to wait is no drift, and blocks nobody.
    expect(await world.drifts()).toEqual([]);
    expect(world.condition("b-then")).toMatchObject({ type: "Reconciling", failures: 0 });
    await world.reviewAndMerge(specs(6, 5));
    await world.tick(8);
    expect(await world.membersOf("carts")).toBe(5);
    expect(await pauseOf(world, "a-first")).not.toBeNull();
    world.now = NEXT_NOON;
    world.reviewed = [
      { pull: 77, plan: await world.plan(specs(6, 5)), overrides: [] },
      ...world.reviewed,
    ];
    await world.tick();
    expect(await pauseOf(world, "a-first")).toBeNull();
    expect(world.condition("a-first")).toMatchObject({
      type: "Reconciling",
      reason: "OperationRunning",
    });
    await finishOperation(world, "a-first");
    await world.tick(8);
    expect(await world.membersOf("a-first")).toBe(6);
    expect(world.condition("a-first")).toMatchObject({ type: "Ready", failures: 0 });
    expect(await world.membersOf("b-then")).toBe(6);
    expect(
      world.events.filter(({ kind }) => kind === "pause").map(({ summary }) => summary),
    ).toEqual(["operation 1 has resumed"]);
    expect(await world.drifts()).toEqual([]);
  });

  it("do not pause what overrides them", async () => {
    const world = new ReconcilerFixture({
      live: [hashed("a-first", 4)],
      specs: [windowed("a-first", 4)],
      pollsToComplete: () => 12,
    });
    await world.tick();
    world.now += HOUR;
    await world.reviewAndMerge([windowed("a-first", 6)], ["window"]);
    await world.tick(3);
    expect(await world.membersOf("a-first")).toBe(6);
    expect(world.live.calls).not.toContain("pause a-first");
  });

  it("pause the operation of somebody's run, which waits and goes on with it", async () => {
    const world = new ReconcilerFixture({
      live: [hashed("a-first", 4)],
      specs: [windowed("a-first", 4)],
      pollsToComplete: () => 12,
    });
    await world.tick();
    const plan = await world.reviewAndMerge([windowed("a-first", 6)]);
    const ci = world.startRunOf(plan);
    await world.stepRuns(6);
    world.now += 10 * MINUTE;
    await world.tick(3);
    expect(await pauseOf(world, "a-first")).toMatchObject({ by: RECONCILER });
    expect(world.runs.get(ci)?.record.run).toMatchObject({
      state: "running",
      actions: [{ state: "running", error: `Paused by ${RECONCILER}: its window has closed` }],
    });
    expect(delayUntilNextMs(recordOf(world, ci), world.now)).toBe(HOLD_MS);
    world.now = NEXT_NOON;
    await world.tick(3);
    expect(world.runs.get(ci)?.record.run).toMatchObject({
      state: "succeeded",
      actions: [{ error: null }],
    });
    expect(await world.membersOf("a-first")).toBe(6);
  });

  it.each(["ci", RECONCILER])(
    "leave alone what a person has paused in a run of %s",
    async (requestedBy) => {
      const world = new ReconcilerFixture({
        live: [hashed("a-first", 4)],
        specs: [windowed("a-first", 4)],
        pollsToComplete: () => 12,
      });
      await world.tick();
      const plan = await world.reviewAndMerge([windowed("a-first", 6)]);
      if (requestedBy === RECONCILER) await world.pass();
      else world.startRunOf(plan);
      await world.stepRuns(6);
      const theirs = { by: "alice", reason: "black friday" };
      await world.live.pause({ name: "a-first", object: "ORDERS" }, 1, theirs);
      for (const now of [world.now, world.now + 20 * MINUTE, NEXT_NOON, NEXT_NOON + HOUR]) {
        world.now = now;
        await world.tick(3);
        expect(await pauseOf(world, "a-first")).toMatchObject(theirs);
      }
      expect(world.condition("a-first")).toMatchObject({
        type: "Reconciling",
        reason: expect.stringMatching(/^(Paused|InRun)$/),
      });
      // Standing still on request for an hour is not being stalled.
      expect(await world.drifts()).toEqual([]);
      await world.live.resume({ name: "a-first", object: "ORDERS" }, 1);
      world.now = NEXT_NOON;
      await world.tick(4);
      expect(await world.membersOf("a-first")).toBe(6);
    },
  );

  it("are not for what somebody starts without a run", async () => {
    const world = new ReconcilerFixture({
      live: [hashed("a-first", 4)],
      specs: [windowed("a-first", 4)],
    });
    world.now += HOUR;
    await world.tick();
    await startByHand(world, "a-first");
    await world.tick(3);
    expect(world.live.calls).not.toContain("pause a-first");
    expect(world.condition("a-first")).toMatchObject({ reason: "OperationRunning" });
  });

  it("that change by a merge let go on what they held", async () => {
    const world = new ReconcilerFixture({
      live: [hashed("a-first", 4)],
      specs: [windowed("a-first", 4)],
      pollsToComplete: () => 40,
    });
    await world.tick();
    await world.reviewAndMerge([windowed("a-first", 6)]);
    await world.tick(2);
    world.now += 10 * MINUTE;
    await world.tick(3);
    expect(await pauseOf(world, "a-first")).not.toBeNull();
    world.merge([spec("a-first", { count: 6 })]);
    await world.tick(2);
    expect(await pauseOf(world, "a-first")).not.toBeNull();
    await world.reviewAndMerge([spec("a-first", { count: 6 })]);
    await world.tick(2);
    expect(await pauseOf(world, "a-first")).toBeNull();
  });

  it("hold a reviewed change without calling it drift", async () => {
    const windows: Window[] = [{ start: "0 2 * * *", durationMs: HOUR, timezone: "UTC" }];
    const world = new ReconcilerFixture({
      live: [hashed("orders", 4)],
      specs: [orders({ policy: { windows } })],
    });
    await world.tick();
    await world.reviewAndMerge([orders({ count: 6, policy: { windows } })]);
    await world.tick(30);
    expect(world.condition("orders")).toMatchObject({
      type: "Reconciling",
      reason: "WindowClosed",
    });
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
    expect(world.condition("orders")).toMatchObject({
      reason: "Paused",
      message: expect.stringContaining("ops"),
    });
    world.paused = null;
    await world.tick(2);
    expect(await world.membersOf("orders")).toBe(4);
  });
});

describe("the switch and what runs", () => {
  it("pauses operations, of runs and by hand, and lets them go on when it is off", async () => {
    const live = [hashed("orders", 4), hashed("by-hand", 4)];
    const specs = (count: number) => [
      orders({ count }),
      spec("by-hand", { count: 4, policy: { selfHeal: "off" } }),
    ];
    const world = new ReconcilerFixture({ live, specs: specs(4), pollsToComplete: () => 20 });
    await world.tick();
    await world.reviewAndMerge(specs(6));
    await startByHand(world, "by-hand");
    await world.tick();
    world.paused = { by: "ops", reason: "incident 7", at: world.now };
    await world.tick(20);
    for (const name of ["orders", "by-hand"]) {
      expect(await pauseOf(world, name)).toMatchObject({
        by: RECONCILER,
        reason: "everything is paused by ops",
      });
      expect(world.condition(name)).toMatchObject({ type: "Reconciling", reason: "Paused" });
    }
    expect(world.startedRuns()).toMatchObject([{ state: "running" }]);
    expect(await world.drifts()).toEqual([]);
    world.paused = null;
    await world.tick(4);
    expect(await world.membersOf("orders")).toBe(6);
    expect(await pauseOf(world, "by-hand")).toBeNull();
  });
});

describe("guards on the whole plan, and releases", () => {
  const names = Array.from({ length: 12 }, (_, index) => `n${String(index).padStart(2, "0")}`);
  const all = (count: (index: number) => number) =>
    names.map((name, index) => spec(name, { count: count(index) }));

  async function bulk(): Promise<{ world: ReconcilerFixture; specs: ReturnType<typeof all> }> {
    const world = new ReconcilerFixture({
      live: names.map((name) => hashed(name, 4)),
      specs: all(() => 4),
    });
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
    expect(world.startedRuns()).toMatchObject([
      { overrides: ["bulkChange"], state: "succeeded", origin: { pull: 9 } },
    ]);
    expect(world.startedRuns()[0]?.fingerprint).not.toBe(plan.fingerprint);
    expect(await world.membersOf("n05")).toBe(6);
  });
});

describe("the lock", () => {
  it("is somebody else's run: its namespaces are left to it, the others wait", async () => {
    const world = new ReconcilerFixture({
      live: [hashed("orders", 4), hashed("carts", 4)],
      specs: [orders(), spec("carts", { count: 4 })],
    });
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
    expect(
      [...world.runs.values()].filter(({ record }) => record.run.requestedBy === RECONCILER),
    ).toEqual([]);
    expect(world.now).toBeGreaterThan(MINUTE);
  });
});
