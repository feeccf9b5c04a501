/**
 * Operations that a run let go of: they can still be cancelled by the run's name, and nothing else
 * of it is touched.
 */
import { describe, expect, it } from "vitest";

import { createRun, detachAction, type RunRecord } from "../../src/runs/run-record.ts";
import { advanceRun } from "../../src/runs/advance-run.ts";
import type { Run } from "../../src/model/api.ts";
import { createMemoryAccess } from "../support/live/memory.ts";
import { cancelLeftBehind } from "../../src/runs/cancel-left-behind.ts";
import { planOf, shardChange, unshardedNamespace } from "../support/apply-plans.ts";

const REF = { name: "a", object: "ORDERS" };

/** A run with a change that runs on without it, and one that is done. */
async function leftBehind(reason: string, isPaused: boolean) {
  let now = 1_000_000;
  const pace = { of: 1 };
  const live = createMemoryAccess({
    namespaces: ["a", "b"].map(unshardedNamespace),
    now: () => now,
    pollsToComplete: () => pace.of,
  });
  const plan = planOf([shardChange("b"), shardChange("a", ["b"])]);
  let record: RunRecord = createRun(plan, {
    id: "run-1",
    requestedBy: "ci",
    overrides: [],
    origin: null,
    leaseToken: 1,
    shown: null,
    now,
  });
  for (let steps = 0; steps < 12 && record.run.actions[1]?.state !== "running"; steps++) {
    record = await advanceRun(record, plan, live, now);
    if (record.run.actions[0]?.state === "done") pace.of = 100;
    now += 5000;
  }
  if (isPaused)
    record = await advanceRun(record, plan, live, now, {
      findHold: ({ namespace }) => (namespace === "a" ? reason : null),
    });
  record = detachAction(record, "a", reason, now);
  return { live, run: record.run };
}

describe("cancelling a run that has ended", () => {
  it.each([
    ["its window has closed", true, "cancelled"],
    ["it has stalled", false, "failed"],
  ] as const)("cancels what it left behind because %s", async (reason, isPaused, state) => {
    const { live, run } = await leftBehind(reason, isPaused);
    expect(run).toMatchObject({
      state,
      actions: [{ state: "done" }, { operation: { state: "running" } }],
    });
    const after = await cancelLeftBehind(live, run);
    expect(after).toMatchObject({
      state,
      actions: [{ state: "done" }, { operation: { state: "cancelled" } }],
    });
    expect(await live.history(REF, 1)).toMatchObject({
      value: [{ state: "cancelled", paused: null }],
    });
    expect(live.calls.filter((call) => call.startsWith("cancel "))).toEqual(["cancel a"]);
  });

  it("says why it was too late", async () => {
    const { live, run } = await leftBehind("it has stalled", false);
    for (let polls = 0; polls < 100; polls++) await live.operation(REF, 1);
    await expect(cancelLeftBehind(live, run)).rejects.toMatchObject({
      kind: "conflict",
      message: expect.stringContaining("has ended: completed"),
    });
  });

  it("asks nobody when nothing was left behind, or the run goes on", async () => {
    const { live, run } = await leftBehind("it has stalled", false);
    const done: Run = { ...run, actions: run.actions.slice(0, 1) };
    expect(await cancelLeftBehind(live, done)).toBeNull();
    expect(await cancelLeftBehind(live, { ...run, state: "running" })).toBeNull();
    expect(live.calls).not.toContain("cancel a");
  });
});
