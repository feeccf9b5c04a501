import { describe, expect, it } from "vitest";

import { findStaleChanges } from "../../src/runs/find-stale-changes.ts";
import { createMemoryAccess } from "../support/live/memory.ts";
import { planOf, shardChange, unshardedNamespace } from "../support/apply-plans.ts";

const plan = planOf([shardChange("a"), shardChange("b"), shardChange("c"), shardChange("d")]);

function memory(): ReturnType<typeof createMemoryAccess> {
  return createMemoryAccess({
    namespaces: plan.changes.map(({ namespace }) => unshardedNamespace(namespace)),
    now: () => 0,
    pollsToComplete: () => 9,
  });
}

describe("findStaleChanges", () => {
  it("finds nothing while everything is as planned", async () => {
    expect(await findStaleChanges(plan, memory())).toEqual([]);
  });

  it("finds every change that is not as planned, in the plan's order, and takes silence for no pass", async () => {
    const live = memory();
    live.edit("d", { epoch: 2 });
    live.edit("c", { layout: { kind: "none", generation: 1, members: ["c"] } });
    live.breakCalls("b", { kind: "unreachable", message: "no answer" }, 1);
    await live.start(
      { name: "a", object: "ORDERS" },
      { ...shardChange("a"), correlationId: "x", requestedBy: "y", refuseEmpty: false },
    );
    expect(await findStaleChanges(plan, live)).toEqual([
      { namespace: "a", kind: "stale", message: "operation 1 (shard) of 'a' is running" },
      { namespace: "b", kind: "unreadable", message: "no answer" },
      {
        namespace: "c",
        kind: "stale",
        message: "the layout of 'c' at epoch 1 is not the planned one",
      },
      { namespace: "d", kind: "stale", message: "'d' is at epoch 2, the plan was made at epoch 1" },
    ]);
  });

  it("is not disturbed by an operation that has ended", async () => {
    const live = memory();
    const [first] = plan.changes;
    if (!first) throw new Error("no change");
    const ref = { name: "a", object: "ORDERS" };
    const started = await live.start(ref, {
      ...first,
      correlationId: "x",
      requestedBy: "y",
      refuseEmpty: false,
    });
    await live.cancel(ref, started.ok ? started.value.id : 0);
    const ended = await live.history(ref, 1);
    const described = await live.describe(ref);
    if (!ended.ok || !described.ok) throw new Error("unreadable");
    const withEnded = {
      ...live,
      describe: async () =>
        ({ ok: true, value: { ...described.value, operation: ended.value[0] ?? null } }) as const,
    };
    expect(await findStaleChanges(planOf([first]), withEnded)).toEqual([]);
  });
});
