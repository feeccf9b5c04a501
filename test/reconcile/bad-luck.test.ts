/** Faults around reconciliation: none loses, doubles or applies anything. */
import { describe, expect, it, vi } from "vitest";

import { RUN_FAILURES_MAX } from "../../src/reconcile/namespace-state.ts";
import type { LiveNamespace, LiveResult } from "../../src/model/live.ts";
import { failure } from "../../src/model/result.ts";
import { hashOf, spec } from "../support/state.ts";
import { hashed, HOUR, MINUTE, ReconcilerFixture } from "./support/world.ts";

const orders = (changes: Parameters<typeof spec>[1] = {}) =>
  spec("orders", { count: 4, ...changes });
const OUTAGE = "could not read the head of main: GitHub did not answer";

async function settled(...names: string[]): Promise<ReconcilerFixture> {
  const all = ["orders", ...names];
  const world = new ReconcilerFixture({
    live: all.map((name) => hashed(name, 4)),
    specs: all.map((name) => spec(name, { count: 4 })),
  });
  await world.tick();
  return world;
}

describe("GitHub", () => {
  it("unreachable for a day: the last state is followed, it is said once, and the return is taken up", async () => {
    const world = await settled();
    world.githubFails = OUTAGE;
    const before = world.githubRequests;
    await world.tick(10);
    expect(await world.drifts()).toEqual([]);
    expect((await world.report()).isComplete).toBe(false);
    for (let minute = 0; minute < 24 * 60; minute += 10) {
      await world.tick();
      world.now += 9 * MINUTE;
    }
    expect((await world.report()).drifts).toMatchObject([
      {
        kind: "manifests",
        namespace: null,
        state: "open",
        reason: "the manifests cannot be read from GitHub",
      },
    ]);
    // Backoff: a day of outage is not a day of requests.
    expect(world.githubRequests - before).toBeLessThan(150);
    expect(world.condition("orders")).toMatchObject({ type: "Ready" });
    expect(world.events.map(({ summary }) => summary)).toEqual([
      "manifests: the manifests cannot be read from GitHub",
    ]);
    world.githubFails = null;
    await world.reviewAndMerge([orders({ count: 6 })]);
    world.now += HOUR;
    await world.tick(3);
    expect(await world.drifts()).toEqual([]);
    expect(await world.membersOf("orders")).toBe(6);
    expect((await world.report()).isComplete).toBe(true);
  });

  it.each([
    ["cannot be read", OUTAGE, "desired", "the manifests cannot be read from GitHub"],
    ["do not parse", null, "invalid", "the manifests on the default branch are not valid"],
    ["are not there", null, "absent", "the folder manifests is gone"],
  ] as const)(
    "never read yet, %s: that is said at the second tick, and no namespace is called unmanaged",
    async (...row) => {
      const [, outage, reading, reason] = row;
      const world = new ReconcilerFixture({ live: [hashed("orders", 4)], specs: [] });
      world.known.push({ name: "orders", object: "ORDERS" });
      world.merge([], reading);
      world.githubFails = outage;
      await world.tick(2);
      expect(await world.drifts()).toEqual([
        { kind: "manifests", namespace: null, state: "open", reason },
      ]);
      world.githubFails = null;
      world.merge([orders()]);
      world.now += HOUR;
      await world.tick(2);
      expect(await world.report()).toMatchObject({
        isComplete: true,
        drifts: [],
        conditions: [{ type: "Ready" }],
      });
    },
  );

  it("without reviews for a while: nothing is applied on a guess", async () => {
    const world = await settled();
    await world.reviewAndMerge([orders({ count: 6 })]);
    // The manifests are read, the reviews are not.
    const ports = world.ports();
    world.ports = () => ({
      ...ports,
      reviews: { find: () => Promise.resolve({ kind: "failed", message: OUTAGE, requests: 1 }) },
    });
    await world.tick(3);
    expect(world.condition("orders")).toMatchObject({
      type: "Reconciling",
      reason: "ReviewUnknown",
    });
    expect(await world.drifts()).toEqual([]);
    expect(world.startedRuns()).toEqual([]);
  });
});

describe("manifests that are not to be followed", () => {
  it.each([
    ["do not parse", "invalid", "the manifests on the default branch are not valid"],
    ["are gone with their folder", "absent", "the folder manifests is gone"],
    ["are deleted all at once", "desired", "no manifest declares a namespace any more"],
  ] as const)(
    "that %s: the last good state is held, nothing is applied, and it is said",
    async (_name, reading, reason) => {
      const world = await settled("carts");
      await world.reviewAndMerge([
        orders({ policy: { selfHeal: "apply" } }),
        spec("carts", { count: 4 }),
      ]);
      await world.tick();
      world.merge([], reading);
      world.live.edit("orders", { epoch: 2, layout: hashOf("orders", 6) });
      await world.tick(5);
      const drifts = await world.drifts();
      expect(drifts).toContainEqual({ kind: "manifests", namespace: null, state: "open", reason });
      expect(drifts).toContainEqual(
        expect.objectContaining({ kind: "spec", namespace: "orders", state: "open" }),
      );
      expect(world.condition("orders")).toMatchObject({ reason: "ManifestsInvalid" });
      expect(world.condition("carts")).toMatchObject({ type: "Ready" });
      expect(world.startedRuns()).toEqual([]);
      expect((await world.report()).isComplete).toBe(false);
      world.merge([orders({ policy: { selfHeal: "apply" } }), spec("carts", { count: 4 })]);
      await world.tick(3);
      expect(await world.drifts()).toEqual([]);
      expect(await world.membersOf("orders")).toBe(4);
    },
  );

  it("and come back as the very tree that was followed", async () => {
    const world = await settled();
    const { tree } = world;
    world.merge([], "absent");
    await world.tick(2);
    expect(await world.drifts()).toMatchObject([{ kind: "manifests" }]);
    world.restore(tree);
    await world.tick();
    expect(await world.drifts()).toEqual([]);
  });

  it("and come back as the very tree that was not followed: it still is not", async () => {
    const world = await settled();
    world.merge([orders({ policy: { selfHeal: "apply" } })]);
    await world.tick();
    world.merge([], "invalid");
    await world.tick(2);
    const { tree } = world;
    world.merge([], "absent");
    await world.tick(2);
    world.restore(tree);
    world.live.edit("orders", { epoch: 2, layout: hashOf("orders", 6) });
    await world.tick(5);
    expect(await world.drifts()).toContainEqual(
      expect.objectContaining({ kind: "manifests", reason: expect.stringContaining("not valid") }),
    );
    expect(world.startedRuns()).toEqual([]);
  });
});

describe("an environment that is renamed", () => {
  it("begins anew: what is as declared stays, what would change wants a review", async () => {
    const world = await settled("carts");
    world.environment = "prod";
    // Overrides of the old name do not apply any more.
    world.merge([orders({ count: 2 }), spec("carts", { count: 4 })]);
    const { store } = world;
    world.store = new (store.constructor as new () => typeof store)();
    await world.tick(4);
    expect(world.condition("carts")).toMatchObject({ type: "Ready" });
    expect(world.condition("orders")).toMatchObject({ type: "Stalled", reason: "NotReviewed" });
    expect(world.startedRuns()).toEqual([]);
  });
});

describe("two reconcilers of one environment", () => {
  it("do each change once: the second finds the operation, or the epoch", async () => {
    const live = [hashed("orders", 4)];
    const first = new ReconcilerFixture({ live, specs: [orders()], pollsToComplete: () => 30 });
    const second = new ReconcilerFixture({ live: [], specs: [orders()] });
    // They share the live side, and nothing else.
    Object.defineProperty(second, "live", { value: first.live });
    await first.tick();
    await second.tick();
    for (const world of [first, second]) await world.reviewAndMerge([orders({ count: 6 })]);
    await first.pass();
    await second.pass();
    for (let round = 0; round < 40; round++) {
      await first.stepRuns(1);
      await second.stepRuns(1);
    }
    await first.tick(3);
    await second.tick(10);
    second.now += HOUR;
    await second.tick(3);
    const history = await first.live.history({ name: "orders", object: "ORDERS" }, 100);
    expect(history).toMatchObject({ value: [{ state: "completed", epochFrom: 1 }] });
    for (const world of [first, second]) {
      expect(world.condition("orders")).toMatchObject({ type: "Ready" });
      expect(await world.drifts()).toEqual([]);
    }
  });
});

describe("a clock that jumps", () => {
  it.each([
    ["forward a year and back", [365 * 24 * HOUR, -365 * 24 * HOUR]],
    ["back a year", [-365 * 24 * HOUR]],
  ])("%s: namespaces are looked at again within the hour", async (_name, jumps) => {
    const world = await settled("carts");
    for (const jump of jumps) {
      world.now += jump;
      await world.tick(2);
    }
    const calls = world.live.calls.length;
    for (let minutes = 0; minutes < 60; minutes++) await world.tick();
    expect(world.live.calls.length).toBeGreaterThan(calls + 20);
    world.live.edit("orders", { epoch: 2, layout: hashOf("orders", 6) });
    await world.tick(3);
    expect(await world.drifts()).toMatchObject([{ kind: "spec", state: "open" }]);
  });
});

describe("a namespace that cannot be read", () => {
  it.each([
    ["unbound", "Unbound", "the Worker has no Durable Object binding ORDERS"],
    ["notShardable", "NotShardable", "the class behind ORDERS does not speak shardctl's protocol"],
    ["unreachable", "Unreadable", "the namespace does not answer"],
  ] as const)(
    "(%s) is asked less and less, and does not stop the others",
    async (kind, reason, drift) => {
      const world = await settled("carts");
      world.live.breakCalls("orders", { kind, message: "no such luck" }, Number.POSITIVE_INFINITY);
      await world.reviewAndMerge([orders(), spec("carts", { count: 6 })]).catch(() => undefined);
      world.merge([orders(), spec("carts", { count: 6, policy: { maxSkew: 1.6 } })]);
      world.reviewed = [
        {
          pull: 3,
          plan: await world.plan([orders(), spec("carts", { count: 6, policy: { maxSkew: 1.6 } })]),
          overrides: [],
        },
      ];
      await world.tick(3);
      expect(await world.membersOf("carts")).toBe(6);
      expect(await world.drifts()).toEqual([
        { kind: "unreadable", namespace: "orders", state: "open", reason: drift },
      ]);
      expect(world.condition("orders")).toMatchObject({ reason });
      expect((await world.report()).isComplete).toBe(false);
      const asked = (): number =>
        world.live.calls.filter((call) => call === "describe orders").length;
      const before = asked();
      for (let minutes = 0; minutes < 6 * 60; minutes++) await world.tick();
      expect(asked() - before).toBeLessThan(30);
      world.live.breakCalls("orders", { kind, message: "" }, 0);
      world.now += HOUR;
      await world.tick(2);
      expect(await world.drifts()).toEqual([]);
      expect((await world.report()).isComplete).toBe(true);
    },
  );

  it("because it hangs holds up its own look, and no other", async () => {
    const names = Array.from({ length: 60 }, (_, index) => `b-${index}`);
    const world = await settled("a-hangs", ...names);
    world.now += MINUTE;
    const ports = world.ports();
    let answer: (reply: LiveResult<LiveNamespace>) => void = () => undefined;
    const hanging = new Promise<LiveResult<LiveNamespace>>((resolve) => (answer = resolve));
    world.ports = () => ({
      ...ports,
      liveAccess: {
        ...ports.liveAccess,
        describe: (ref) => (ref.name === "a-hangs" ? hanging : ports.liveAccess.describe(ref)),
      },
    });
    const asked = world.live.calls.length;
    const pass = world.pass();
    await vi.waitFor(() =>
      expect(new Set(world.live.calls.slice(asked)).size).toBe(names.length + 1),
    );
    // The adapter gives up after a while, and says so.
    answer(failure({ kind: "unreachable", message: "no answer within 30000 ms" }));
    expect(await pass).toMatchObject({ outcome: "incomplete" });
    expect(world.condition("a-hangs")).toMatchObject({
      type: "Reconciling",
      reason: "Unreadable",
      failures: 1,
    });
    expect((await world.report()).conditions.filter(({ type }) => type === "Ready")).toHaveLength(
      names.length + 1,
    );
  });

  it("for a reason inside ourselves is noted with it, and the others go on", async () => {
    const world = await settled("carts");
    const ports = world.ports();
    const broken = {
      ...ports.liveAccess,
      describe: (ref: { name: string; object: string }) =>
        ref.name === "orders"
          ? Promise.reject(new TypeError("x is undefined"))
          : ports.liveAccess.describe(ref),
    };
    world.ports = () => ({ ...ports, liveAccess: broken });
    await world.tick(3);
    expect(world.condition("orders")).toMatchObject({ type: "Stalled", reason: "InternalError" });
    expect(world.condition("carts")).toMatchObject({ type: "Ready" });
    expect(world.errors.length).toBeGreaterThan(0);
  });
});

describe("trouble of one namespace in the last phase", () => {
  const healing = (name: string) => spec(name, { count: 4, policy: { selfHeal: "apply" } });

  async function drifted(): Promise<ReconcilerFixture> {
    const world = new ReconcilerFixture({
      live: [hashed("orders", 4), hashed("carts", 4)],
      specs: [healing("orders"), healing("carts")],
    });
    await world.tick();
    for (const name of ["orders", "carts"])
      world.live.edit(name, { epoch: 2, layout: hashOf(name, 6) });
    return world;
  }

  it.each([
    [
      "when it is judged",
      (world: ReconcilerFixture) => {
        const ports = world.ports();
        const broken = { start: "0 2 * * *", durationMs: HOUR, timezone: "Nowhere/Land" };
        world.merge([
          spec("orders", { count: 4, policy: { selfHeal: "apply", windows: [broken] } }),
          healing("carts"),
        ]);
        world.ports = () => ({
          ...ports,
          isWindowOpen: ({ windows }) => {
            if (windows.length > 0)
              throw new RangeError("Invalid time zone specified: Nowhere/Land");
            return true;
          },
        });
      },
    ],
    [
      "when its change is planned for the start",
      (world: ReconcilerFixture) => {
        const ports = world.ports();
        let looks = 0;
        world.ports = () => ({
          ...ports,
          liveAccess: {
            ...ports.liveAccess,
            // The look is answered, and the question before the start is not.
            describe: (ref) =>
              ref.name === "orders" && looks++ > 1
                ? Promise.reject(new TypeError("x is undefined"))
                : ports.liveAccess.describe(ref),
          },
        });
      },
    ],
  ])("(%s) is noted with it, and the others are applied", async (_name, breakIt) => {
    const world = await drifted();
    breakIt(world);
    await world.tick(5);
    expect(await world.membersOf("carts")).toBe(4);
    expect(await world.membersOf("orders")).toBe(6);
    expect(world.condition("orders")).toMatchObject({ type: "Stalled", reason: "InternalError" });
    expect(world.errors.length).toBeGreaterThan(0);
  });

  it("is counted once for each run, also while the run goes on elsewhere", async () => {
    const world = new ReconcilerFixture({
      live: [hashed("orders", 4), hashed("carts", 4)],
      specs: [orders(), spec("carts", { count: 4 })],
    });
    await world.tick();
    world.live.stall("carts", true);
    world.live.failNext("orders", {
      kind: "mismatch",
      message: "1 of 9 chunks differ. Nothing was changed",
    });
    await world.reviewAndMerge([orders({ count: 6 }), spec("carts", { count: 6 })]);
    await world.tick(8);
    expect(world.startedRuns()).toMatchObject([
      { state: "running", actions: [{ state: "running" }, { state: "failed" }] },
    ]);
    expect(world.condition("orders")).toMatchObject({
      type: "Reconciling",
      reason: "Locked",
      failures: 1,
    });
  });
});

describe("a run that fails half-way every time", () => {
  const fault = { kind: "mismatch", message: "1 of 9 chunks differ. Nothing was changed" } as const;

  async function failing(): Promise<ReconcilerFixture> {
    const world = await settled("carts");
    await world.reviewAndMerge([orders({ count: 6 }), spec("carts", { count: 4 })]);
    for (let minutes = 0; minutes < 5 * 60; minutes += 5) {
      world.live.failNext("orders", fault);
      await world.tick();
      world.now += 4 * MINUTE;
    }
    return world;
  }

  it("is given up after some tries with its reason, and leaves the others alone", async () => {
    const world = await failing();
    expect(world.condition("orders")).toMatchObject({
      type: "Stalled",
      reason: "RetriesExhausted",
      failures: RUN_FAILURES_MAX,
    });
    expect(world.condition("orders")?.message).toContain(fault.message);
    expect(world.startedRuns()).toHaveLength(RUN_FAILURES_MAX);
    expect(await world.drifts()).toEqual([
      {
        kind: "stalled",
        namespace: "orders",
        state: "open",
        reason: `applying was given up after ${RUN_FAILURES_MAX} failures in a row`,
      },
    ]);
    expect(await world.membersOf("orders")).toBe(4);
    expect(world.condition("carts")).toMatchObject({ type: "Ready" });
  });

  it.each([
    [
      "the manifest changes",
      async (world: ReconcilerFixture) =>
        void (await world.reviewAndMerge([orders({ count: 5 }), spec("carts", { count: 4 })])),
      5,
    ],
    [
      "a long time has gone by",
      async (world: ReconcilerFixture) => void (world.now += 7 * HOUR),
      6,
    ],
  ])("heals when %s", async (_name, change, members) => {
    const world = await failing();
    world.live.failNext("orders", fault);
    await change(world);
    // The cause is gone: the next operation succeeds.
    const clean = world.live;
    await clean.describe({ name: "orders", object: "ORDERS" });
    for (let minutes = 0; minutes < 60; minutes++) await world.tick();
    for (let hours = 0; hours < 14; hours++) {
      world.now += HOUR;
      await world.tick(2);
    }
    expect(await world.membersOf("orders")).toBe(members);
    expect(world.condition("orders")).toMatchObject({ type: "Ready", failures: 0 });
    expect(await world.drifts()).toEqual([]);
  });

  it("is left alone for as long when a person cancels it", async () => {
    const world = new ReconcilerFixture({
      live: [hashed("orders", 4)],
      specs: [orders()],
      pollsToComplete: () => 1000,
    });
    await world.tick();
    await world.reviewAndMerge([orders({ count: 6 })]);
    await world.tick(2);
    world.cancelRun(world.startedRuns()[0]?.id ?? "");
    await world.tick(30);
    expect(world.startedRuns()).toHaveLength(1);
    expect(world.condition("orders")).toMatchObject({
      type: "Stalled",
      reason: "RetriesExhausted",
      message: expect.stringContaining("was cancelled"),
    });
  });
});
