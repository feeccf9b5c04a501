/**
 * The pure parts: what differs between two plans, what a live namespace declares, how far a run is.
 */
import { describe, expect, it } from "vitest";

import type { LiveNamespace } from "../../src/model/live.ts";
import type { Layout } from "../../src/model/layout/layout.ts";
import { specOfLive } from "../../src/cli/live-spec.ts";
import { describePlanDifference } from "../../src/render/plan-difference.ts";
import { describeEnd, describeHold, describeWork, progressOf } from "../../src/cli/run-progress.ts";
import { parseManifests, renderManifest } from "../../src/manifest/index.ts";
import {
  actionOf,
  hashLayout,
  liveReport,
  operationOf,
  planOf,
  shardChange,
} from "./support/states.ts";

describe("the difference of two plans", () => {
  const carts = shardChange({ namespace: "carts", object: "CARTS" });
  const inSync = {
    namespace: "orders",
    object: "ORDERS",
    strategy: "hash",
    members: 2,
    rows: 9,
    bytes: 9,
    skew: 1,
    epoch: 4,
  } as const;
  it.each([
    {
      name: "another epoch",
      current: planOf({ changes: [shardChange({ epoch: 2 })] }),
      lines: ["orders: live epoch 0 → 2"],
    },
    {
      name: "nothing to do any more",
      current: planOf({ changes: [], inSync: [inSync] }),
      lines: ["orders: nothing to shard any more; it is in sync at epoch 4"],
    },
    {
      name: "one more change",
      current: planOf({ changes: [shardChange(), carts] }),
      lines: ["carts: shard is new (hash(data.customer.id) × 2)"],
    },
    {
      name: "another kind and count",
      current: planOf({ changes: [shardChange({ kind: "rekey", to: hashLayout("orders", 3) })] }),
      lines: ["orders: shard → rekey, 2 → 3 members"],
    },
    {
      name: "another layout",
      current: planOf({ changes: [shardChange({ to: hashLayout("orders", 2, "id") })] }),
      lines: ["orders: another target layout"],
    },
    {
      name: "only specs",
      current: planOf(),
      lines: ["the declared specs changed, without changing what would be done"],
    },
    {
      name: "another environment",
      current: planOf({ environment: "production" }),
      lines: ["environment: local → production"],
    },
  ])("$name", ({ current, lines }) => {
    expect(describePlanDifference(planOf(), current)).toEqual(lines);
  });

  it("is cut when it is long", () => {
    const many = Array.from({ length: 30 }, (_, index) =>
      shardChange({ namespace: `n${10 + index}` }),
    );
    const lines = describePlanDifference(planOf({ changes: [] }), planOf({ changes: many }));
    expect(lines).toHaveLength(21);
    expect(lines.at(-1)).toBe("and 10 more");
  });
});

describe("the manifest of a live namespace", () => {
  const members = ["orders-shard-0", "orders-shard-1"];
  const layouts: readonly {
    readonly name: string;
    readonly layout: Layout;
    readonly spec: object;
  }[] = [
    {
      name: "none",
      layout: { kind: "none", generation: 0, members: ["orders"] },
      spec: { strategy: "none", shardKey: null, count: 1 },
    },
    {
      name: "hash",
      layout: hashLayout("orders", 2),
      spec: { strategy: "hash", shardKey: "data.customer.id", count: 2 },
    },
    {
      name: "range",
      layout: {
        kind: "range",
        shardKey: "id",
        generation: 1,
        members,
        ranges: [
          { end: { type: "integer", text: "9007199254740993" }, member: "orders-shard-0" },
          { end: null, member: "orders-shard-1" },
        ],
      },
      spec: {
        strategy: "range",
        count: 2,
        splitPoints: [{ type: "integer", text: "9007199254740993" }],
      },
    },
    {
      name: "roundRobin",
      layout: { kind: "roundRobin", shardKey: "id", generation: 0, members },
      spec: { strategy: "roundRobin", count: 2, directory: true },
    },
    {
      name: "custom",
      layout: {
        kind: "custom",
        shardKey: "id",
        generation: 0,
        members,
        partitioner: { name: "byRegion", version: 3 },
      },
      spec: { strategy: "custom", partitioner: "byRegion", count: 2 },
    },
  ];
  it.each(layouts)("$name says what is live", ({ layout, spec }) => {
    const report = liveReport();
    if (report.kind !== "live") throw new Error("The report of these tests is live");
    const live: LiveNamespace = { ...report.namespace, layout };
    const text = renderManifest(specOfLive(live, "manifests/orders.yaml"));
    const { desired, errors } = parseManifests([{ path: "orders.yaml", text }], {
      environment: null,
    });
    expect(errors).toEqual([]);
    expect(desired?.namespaces).toMatchObject([{ name: "orders", object: "ORDERS", ...spec }]);
  });
});

describe("progress", () => {
  it.each([
    { name: "nothing yet", action: actionOf(), progress: 0 },
    {
      name: "half copied",
      action: actionOf({ state: "running", operation: operationOf({ rowsCopied: 500 }) }),
      progress: 0.25,
    },
    {
      name: "copied more than once",
      action: actionOf({ state: "running", operation: operationOf({ rowsCopied: 1500 }) }),
      progress: 0.5,
    },
    {
      name: "verified",
      action: actionOf({
        state: "running",
        operation: operationOf({ rowsCopied: 1000, rowsVerified: 1000 }),
      }),
      progress: 1,
    },
    {
      name: "no rows",
      action: actionOf({
        state: "running",
        operation: operationOf({ rowsTotal: 0, rowsCopied: 0 }),
      }),
      progress: 0,
    },
    { name: "done", action: actionOf({ state: "done" }), progress: 1 },
  ])("$name", ({ action, progress }) => {
    expect(progressOf(action)).toBe(progress);
  });

  it.each([
    {
      name: "an estimate",
      operation: { mode: "shift" as const },
      says: "copy, 250 of about 1,000 rows",
    },
    {
      name: "more than was estimated",
      operation: { mode: "shift" as const, rowsTotal: 667, rowsCopied: 680 },
      says: "copy, 680 rows, about 667 expected",
    },
    {
      name: "rows that were copied again",
      operation: { rowsCopied: 1001 },
      says: "copy, 1,001 rows, 1,000 expected",
    },
    {
      name: "a shift that has copied all",
      operation: { mode: "shift" as const, step: "verify" as const, rowsVerified: 9 },
      says: "verify, 9 of 1,000 rows",
    },
  ])("does not count past the end: $name", ({ operation, says }) => {
    expect(describeWork(actionOf({ operation: operationOf(operation) }))).toBe(says);
  });

  it("is told by step, with waves where there are any", () => {
    expect(describeWork(actionOf({ operation: operationOf() }))).toBe("copy, 250 of 1,000 rows");
    expect(
      describeWork(
        actionOf({
          operation: operationOf({ step: "verify", rowsVerified: 10, wave: 2, waves: 5 }),
        }),
      ),
    ).toBe("verify (wave 2 of 5), 10 of 1,000 rows");
  });

  it("says that it stands still, and by whom", () => {
    const paused = { by: "ada", reason: "black friday", since: 0 };
    const held = actionOf({ state: "running", operation: operationOf({ paused }) });
    expect(describeWork(held)).toBe("paused in copy, 250 of 1,000 rows");
    expect(describeHold(held)).toBe("paused by ada: black friday");
    expect(describeHold({ ...held, state: "notExecuted" })).toBeNull();
    expect(describeHold(actionOf({ state: "running", operation: operationOf() }))).toBeNull();
  });

  it.each([
    { action: actionOf({ state: "running" }), end: null },
    { action: actionOf({ state: "failed", error: "no answer" }), end: "failed: no answer" },
    { action: actionOf({ state: "cancelled" }), end: "cancelled" },
    {
      action: actionOf({ state: "notExecuted", error: "orders failed" }),
      end: "not executed: orders failed",
    },
  ])("ends as $end", ({ action, end }) => {
    expect(describeEnd(action)).toBe(end);
  });
});
