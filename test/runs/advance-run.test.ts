import { describe, expect, it } from "vitest";

import { advanceRun } from "../../src/runs/advance-run.ts";
import type { FindHold } from "../../src/runs/hold-operation.ts";
import {
  createRun,
  delayUntilNextMs,
  requestRunCancel,
  RETRIES_MAX,
  RUNNING_MAX,
  type RunRecord,
} from "../../src/runs/run-record.ts";
import type { Plan } from "../../src/model/plan.ts";
import { correlationIdOf } from "../../src/model/run-operation.ts";
import { createMemoryAccess, type MemoryAccess } from "../support/live/memory.ts";
import { planOf, shardChange, unshardedNamespace } from "../support/apply-plans.ts";

const STEPS_MAX = 500;
const UNREACHABLE = { kind: "unreachable", message: "no answer within 30000 ms" } as const;

class Bench {
  now = 1_000;
  pace = 2;
  readonly plan: Plan;
  readonly live: MemoryAccess;
  record: RunRecord;

  constructor(plan: Plan) {
    this.plan = plan;
    this.live = createMemoryAccess({
      namespaces: plan.changes.map(({ namespace }) => unshardedNamespace(namespace)),
      now: () => this.now,
      pollsToComplete: () => this.pace,
    });
    this.record = createRun(plan, {
      id: "run-1",
      requestedBy: "test",
      overrides: [],
      origin: null,
      leaseToken: 1,
      shown: null,
      now: this.now,
    });
  }

  /**
   * One step, then the clock at the time of the next. The record goes through JSON, as it does in
   * storage.
   */
  async step(): Promise<void> {
    this.record = JSON.parse(
      JSON.stringify(await advanceRun(this.record, this.plan, this.live, this.now)),
    ) as RunRecord;
    this.now += delayUntilNextMs(this.record, this.now) ?? 0;
  }

  async finish(): Promise<void> {
    for (let steps = 0; this.record.run.state === "running"; steps++) {
      if (steps === STEPS_MAX) throw new Error(`Not there after ${STEPS_MAX} steps`);
      await this.step();
    }
  }

  async until(condition: () => boolean): Promise<void> {
    for (let steps = 0; !condition(); steps++) {
      if (steps === STEPS_MAX) throw new Error(`Not there after ${STEPS_MAX} steps`);
      await this.step();
    }
  }

  states(): Record<string, string> {
    return Object.fromEntries(
      this.record.run.actions.map(({ namespace, state }) => [namespace, state]),
    );
  }

  action(name: string): RunRecord["run"]["actions"][number] {
    const action = this.record.run.actions.find(({ namespace }) => namespace === name);
    if (!action) throw new Error(`no action ${name}`);
    return action;
  }

  starts(): string[] {
    return this.live.calls
      .filter((call) => call.startsWith("start "))
      .map((call) => call.slice("start ".length));
  }
}

function benchOf(dependencies: Readonly<Record<string, readonly string[]>>): Bench {
  return new Bench(
    planOf(Object.entries(dependencies).map(([name, dependsOn]) => shardChange(name, dependsOn))),
  );
}

describe("advanceRun", () => {
  it("carries out every change and ends as succeeded", async () => {
    const bench = benchOf({ a: [], b: [] });
    await bench.finish();
    expect(bench.record.run.state).toBe("succeeded");
    expect(bench.states()).toEqual({ a: "done", b: "done" });
    const live = await bench.live.describe({ name: "a", object: "ORDERS" });
    expect(live).toMatchObject({ ok: true, value: { epoch: 2, layout: { kind: "hash" } } });
    expect(bench.action("a").operation).toMatchObject({
      state: "completed",
      correlationId: correlationIdOf("run-1", "a"),
    });
    expect(bench.record.run.finishedAt).toBe(bench.record.run.updatedAt);
  });

  it("ends at once when the plan changes nothing", async () => {
    const bench = benchOf({});
    await bench.step();
    expect(bench.record.run).toMatchObject({ state: "succeeded", actions: [] });
  });

  it("starts a dependent only after what it depends on is done", async () => {
    const bench = benchOf({ base: [], middle: ["base"], top: ["middle", "elsewhere"] });
    await bench.until(() => bench.starts().includes("middle"));
    expect(bench.states()).toEqual({ base: "done", middle: "running", top: "pending" });
    await bench.finish();
    expect(bench.starts()).toEqual(["base", "middle", "top"]);
  });

  it("runs independent changes at the same time, at most RUNNING_MAX", async () => {
    const names = Array.from({ length: RUNNING_MAX * 2 + 1 }, (_, index) => `n${index}`);
    const bench = benchOf(Object.fromEntries(names.map((name) => [name, []])));
    let most = 0;
    while (bench.record.run.state === "running") {
      await bench.step();
      most = Math.max(
        most,
        bench.record.run.actions.filter(({ state }) => state === "running").length,
      );
    }
    expect(most).toBe(RUNNING_MAX);
    expect(bench.starts()).toEqual(names);
  });

  it("leaves dependents of a failed change unexecuted and goes on with the others", async () => {
    const bench = benchOf({ bad: [], good: [], needsBad: ["bad"], needsThat: ["needsBad"] });
    bench.live.failNext("bad", { kind: "mismatch", message: "2 of 3 chunks differ" });
    await bench.finish();
    expect(bench.record.run.state).toBe("failed");
    expect(bench.states()).toEqual({
      bad: "failed",
      good: "done",
      needsBad: "notExecuted",
      needsThat: "notExecuted",
    });
    expect(bench.action("bad").error).toBe("2 of 3 chunks differ");
    expect(bench.action("needsBad").error).toContain("'bad'");
    expect(bench.starts()).not.toContain("needsBad");
  });

  it.each([
    ["another epoch", { epoch: 7 }, "epoch 7"],
    [
      "another layout at the same epoch",
      { layout: { kind: "none", generation: 3, members: ["a"] } },
      "layout",
    ],
  ] as const)(
    "fails a change as stale when the namespace has %s",
    async (_name, change, message) => {
      const bench = benchOf({ a: [], b: [] });
      bench.live.edit("a", change);
      await bench.finish();
      expect(bench.states()).toEqual({ a: "failed", b: "done" });
      expect(bench.action("a").error).toMatch(/^Stale/);
      expect(bench.action("a").error).toContain(message);
      expect(bench.starts()).toEqual(["b"]);
    },
  );

  it("fails a change as stale while somebody else's operation runs there", async () => {
    const bench = benchOf({ a: [] });
    const other = {
      ...shardChange("a"),
      requestedBy: "somebody",
      correlationId: "other",
      refuseEmpty: false,
    };
    bench.pace = 1000;
    await bench.live.start({ name: "a", object: "ORDERS" }, other);
    await bench.finish();
    expect(bench.action("a")).toMatchObject({
      state: "failed",
      error: expect.stringContaining("operation 1 (shard)"),
    });
  });

  it("finds its own operation again when the step that started it was lost", async () => {
    const bench = benchOf({ a: [] });
    await bench.until(() => Object.keys(bench.record.attempts).length > 0);
    const before = bench.record;
    await bench.step();
    expect(bench.states()).toEqual({ a: "running" });
    bench.record = before; // what a crash before the write leaves
    await bench.finish();
    expect(bench.states()).toEqual({ a: "done" });
    expect(
      (await bench.live.history({ name: "a", object: "ORDERS" }, 10)).ok && bench.starts(),
    ).toEqual(["a"]);
  });

  it("finds its own operation again when it has completed meanwhile", async () => {
    const bench = benchOf({ a: [] });
    await bench.until(() => Object.keys(bench.record.attempts).length > 0);
    const before = bench.record;
    await bench.finish();
    bench.record = before;
    await bench.finish();
    expect(bench.record.run.state).toBe("succeeded");
    expect(await bench.live.describe({ name: "a", object: "ORDERS" })).toMatchObject({
      value: { epoch: 2 },
    });
  });

  it("waits out an unreachable namespace without holding up the others", async () => {
    const bench = benchOf({ a: [], b: [] });
    bench.live.breakCalls("a", UNREACHABLE, 3);
    await bench.until(() => bench.states()["b"] === "done");
    expect(bench.action("a")).toMatchObject({
      state: "pending",
      error: expect.stringContaining("no answer within 30000 ms"),
    });
    await bench.finish();
    expect(bench.states()).toEqual({ a: "done", b: "done" });
    expect(bench.action("a").error).toBeNull();
  });

  it("gives an unreachable namespace up after a bounded number of tries, with growing delays", async () => {
    const bench = benchOf({ a: [], needsA: ["a"] });
    bench.live.breakCalls("a", UNREACHABLE, 1000);
    await bench.finish();
    expect(bench.states()).toEqual({ a: "failed", needsA: "notExecuted" });
    expect(bench.action("a").error).toContain(`No answer in ${RETRIES_MAX + 1} tries`);
    expect(bench.live.calls).toHaveLength(RETRIES_MAX + 1);
    expect(bench.now - bench.record.run.startedAt).toBeGreaterThan(120_000);
  });

  it("leaves an unreachable namespace alone until its delay is over", async () => {
    const bench = benchOf({ a: [] });
    bench.live.breakCalls("a", UNREACHABLE, 1000);
    await bench.until(() => bench.record.attempts["a"]?.failures === 4);
    const asked = bench.live.calls.length;
    const { notBefore } = bench.record.attempts["a"] ?? { notBefore: 0 };
    bench.now = notBefore - 1;
    bench.record = await advanceRun(bench.record, bench.plan, bench.live, bench.now);
    expect(bench.live.calls).toHaveLength(asked);
    await advanceRun(bench.record, bench.plan, bench.live, notBefore);
    expect(bench.live.calls).toHaveLength(asked + 1);
  });

  it.each([
    [-1, "done"],
    // As after a restore of its storage: what has not begun by then, it does not begin.
    [1, "notExecuted"],
  ])("outlasts a clock that jumps by a year (%i)", async (years, waiting) => {
    const bench = benchOf({ a: [], b: [] });
    bench.pace = 5;
    bench.live.breakCalls("a", UNREACHABLE, 3);
    await bench.until(
      () => bench.action("a").error !== null && bench.action("b").state === "running",
    );
    bench.now += years * 365 * 24 * 3_600_000;
    const { now } = bench;
    await bench.finish();
    expect(bench.states()).toEqual({ a: waiting, b: "done" });
    expect(bench.now - now).toBeLessThan(10 * 60_000);
  });

  it("asks an operation that a clock from tomorrow has started no more often than any other", async () => {
    const bench = benchOf({ a: [] });
    bench.pace = 50;
    await bench.until(() => bench.action("a").state === "running");
    bench.now -= 24 * 3_600_000;
    await bench.step();
    expect(delayUntilNextMs(bench.record, bench.now)).toBe(2000);
  });

  it("says that an operation may go on when it lost sight of it", async () => {
    const bench = benchOf({ a: [] });
    await bench.until(() => bench.states()["a"] === "running");
    bench.live.breakCalls("a", UNREACHABLE, 1000);
    await bench.finish();
    expect(bench.action("a").error).toContain("Operation 1 may still be running there");
  });

  it("fails a change whose binding is gone at once", async () => {
    const bench = benchOf({ a: [] });
    bench.live.breakCalls("a", { kind: "unbound", message: "no binding ORDERS" }, 1);
    await bench.finish();
    expect(bench.action("a")).toMatchObject({ state: "failed", error: "no binding ORDERS" });
  });

  it("lets an overridden missingKey through to the operation", async () => {
    const change = shardChange("a");
    const bench = new Bench(
      planOf([{ ...change, policy: { ...change.policy, allowMissingKey: false } }]),
    );
    bench.record = createRun(bench.plan, {
      id: "run-1",
      requestedBy: "test",
      overrides: ["missingKey"],
      origin: null,
      leaseToken: 1,
      shown: null,
      now: bench.now,
    });
    const started: boolean[] = [];
    const live = { ...bench.live, start: recordPolicy(bench.live, started) };
    while (started.length === 0)
      bench.record = await advanceRun(bench.record, bench.plan, live, bench.now);
    expect(started).toEqual([true]);
  });

  it("keeps updatedAt while nothing is new, and makes it grow with every change", async () => {
    const bench = benchOf({ a: [] });
    bench.pace = 3;
    const seen: number[] = [];
    while (bench.record.run.state === "running") {
      // The clock stands still.
      bench.record = await advanceRun(bench.record, bench.plan, bench.live, 1_000);
      seen.push(bench.record.run.updatedAt);
    }
    expect(seen[0]).toBe(1_000); // only an attempt was noted
    expect(seen.slice(1)).toEqual(seen.slice(1).map((_, index) => 1_001 + index));
  });

  it("refuses a plan whose changes depend on each other in a circle", async () => {
    const bench = benchOf({ a: ["b"], b: ["a"] });
    await expect(bench.step()).rejects.toThrow("circle");
  });
});

describe("a cancelled run", () => {
  it("cancels what is running and never starts the rest", async () => {
    const bench = benchOf({ a: [], b: ["a"] });
    bench.pace = 1000;
    await bench.until(() => bench.states()["a"] === "running");
    bench.record = requestRunCancel(bench.record);
    await bench.finish();
    expect(bench.record.run.state).toBe("cancelled");
    expect(bench.states()).toEqual({ a: "cancelled", b: "notExecuted" });
    expect(await bench.live.describe({ name: "a", object: "ORDERS" })).toMatchObject({
      value: { epoch: 1, operation: { state: "cancelled" } },
    });
  });

  it("lets an operation that is past its cutover go forward", async () => {
    const bench = benchOf({ a: [], b: ["a"] });
    await bench.until(() => bench.states()["a"] === "running");
    const live = {
      ...bench.live,
      cancel: async () =>
        ({
          ok: false,
          failure: { kind: "refused", reason: "tooLate", message: "after cutover" },
        }) as const,
    };
    bench.record = requestRunCancel(bench.record);
    while (bench.record.run.state === "running")
      bench.record = await advanceRun(bench.record, bench.plan, live, bench.now);
    expect(bench.states()).toEqual({ a: "done", b: "notExecuted" });
    expect(bench.record.run.state).toBe("cancelled");
  });

  it("cancels an operation whose start was lost, too", async () => {
    const bench = benchOf({ a: [] });
    bench.pace = 1000;
    await bench.until(() => Object.keys(bench.record.attempts).length > 0);
    const before = bench.record;
    await bench.step();
    bench.record = requestRunCancel(before);
    await bench.finish();
    expect(bench.states()).toEqual({ a: "cancelled" });
    expect(await bench.live.history({ name: "a", object: "ORDERS" }, 10)).toMatchObject({
      value: [{ state: "cancelled" }],
    });
  });

  it("does not start what was only attempted", async () => {
    const bench = benchOf({ a: [] });
    await bench.until(() => Object.keys(bench.record.attempts).length > 0);
    bench.record = requestRunCancel(bench.record);
    await bench.finish();
    expect(bench.states()).toEqual({ a: "notExecuted" });
    expect(bench.starts()).toEqual([]);
  });
});

function recordPolicy(live: MemoryAccess, seen: boolean[]): MemoryAccess["start"] {
  return (ref, request) => {
    seen.push(request.policy.allowMissingKey);
    return live.start(ref, request);
  };
}

describe("a hold", () => {
  it("keeps what has not started from starting, lets the others and what is running go on, and is over when its reason is", async () => {
    let now = 1_000_000;
    const names = ["a", "b"];
    const live = createMemoryAccess({ namespaces: names.map(unshardedNamespace), now: () => now });
    const plan = planOf(names.map((name) => shardChange(name)));
    const held = new Set(["a"]);
    const findHold: FindHold = ({ namespace }) =>
      held.has(namespace) ? "no window is open" : null;
    let record = createRun(plan, {
      id: "run-1",
      requestedBy: "ci",
      overrides: [],
      origin: null,
      leaseToken: 1,
      shown: null,
      now,
    });
    const step = async (): Promise<void> => {
      record = await advanceRun(record, plan, live, now, { findHold });
      now += delayUntilNextMs(record, now) ?? 0;
    };
    for (let steps = 0; steps < 10; steps++) await step();
    expect(record.run.actions).toMatchObject([
      { namespace: "a", state: "pending", error: "Waits: no window is open" },
      { namespace: "b", state: "done" },
    ]);
    expect(live.calls).not.toContain("start a");
    expect(delayUntilNextMs(record, now - 1)).toBeGreaterThan(0);
    held.clear();
    for (let steps = 0; steps < 10; steps++) await step();
    expect(record.run).toMatchObject({
      state: "succeeded",
      actions: [{ state: "done", error: null }, { state: "done" }],
    });
  });

  it("does not keep a cancelled run from ending", async () => {
    const now = 1_000_000;
    const live = createMemoryAccess({ namespaces: [unshardedNamespace("a")], now: () => now });
    const plan = planOf([shardChange("a")]);
    let record = createRun(plan, {
      id: "run-1",
      requestedBy: "ci",
      overrides: [],
      origin: null,
      leaseToken: 1,
      shown: null,
      now,
    });
    for (let steps = 0; steps < 3; steps++)
      record = await advanceRun(record, plan, live, now, {
        findHold: () => "everything is paused",
      });
    record = await advanceRun(requestRunCancel(record), plan, live, now, {
      findHold: () => "everything is paused",
    });
    expect(record.run).toMatchObject({ state: "cancelled", actions: [{ state: "notExecuted" }] });
  });
});
