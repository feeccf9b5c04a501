import { describe, expect, it } from "vitest";

import type { Forecast } from "../../src/model/forecast.ts";
import type { NamespaceReport, Run, RunAction } from "../../src/model/api.ts";
import { unshardedLayout } from "../../src/model/layout/layout.ts";
import type { OperationStatus } from "../../src/model/operation.ts";
import { operationProgress } from "../../src/render/describe.ts";
import { renderHistory } from "../../src/render/history-text.ts";
import { renderRun } from "../../src/render/run-text.ts";
import { renderStatus } from "../../src/render/status-text.ts";
import { formatAge, formatDuration, formatMoment } from "../../src/render/time.ts";
import {
  COUNTED_AT,
  hashOf,
  liveNamespace,
  rangeOf,
  rowsOf,
  runningOperation,
  world,
} from "../support/state.ts";

const now = COUNTED_AT + 12_300;
const orders = world("orders", { rows: rowsOf(2000), layout: hashOf("orders", 4), epoch: 3 });
const running = runningOperation(orders, hashOf("orders", 8), {
  kind: "rebalance",
  mode: "shift",
  wave: 2,
  waves: 9,
  retries: 3,
  lastError: "orders-shard-2 did not answer in 5 s",
});
const held: OperationStatus = {
  ...running,
  paused: { by: "shardctl reconciler", reason: "its window has closed", since: COUNTED_AT - 5000 },
};
const completed: OperationStatus = {
  ...running,
  id: 6,
  state: "completed",
  step: "cleanUp",
  kind: "shard",
  mode: "swap",
  wave: 0,
  waves: 0,
  from: unshardedLayout("orders", 0),
  to: hashOf("orders", 4),
  rowsCopied: 1_204_332,
  rowsVerified: 1_204_332,
  epochFrom: 2,
  epoch: 3,
  writePauseMs: null,
  paused: null,
  retries: 0,
  lastError: null,
  finishedAt: COUNTED_AT,
};
const failed: OperationStatus = {
  ...completed,
  id: 5,
  state: "failed",
  step: "verify",
  kind: "rekey",
  from: hashOf("orders", 4),
  to: hashOf("orders", 4, "data.tenant", 1),
  epoch: 2,
  fault: { kind: "mismatch", message: "chunk 12 of things differs after a recopy" },
};
const cancelled: OperationStatus = {
  ...failed,
  id: 4,
  state: "cancelled",
  kind: "unshard",
  to: unshardedLayout("orders", 1),
  fault: { kind: "cancelled", message: "by octocat" },
};
const levelled: OperationStatus = {
  ...completed,
  id: 3,
  kind: "rebalance",
  from: hashOf("orders", 4),
  to: hashOf("orders", 4),
  epochFrom: 1,
  epoch: 4,
};

function live(changes: Partial<ReturnType<typeof liveNamespace>> = {}): NamespaceReport {
  return { kind: "live", namespace: { ...liveNamespace(orders), ...changes } };
}
const unhealthy = liveNamespace(orders).members.map((member, index) =>
  index === 1
    ? { ...member, rows: 0, bytes: 0, healthy: false, error: "timeout after 5000 ms" }
    : member,
);
const lost: NamespaceReport = {
  kind: "failed",
  name: "lost",
  object: "LOST",
  failure: { kind: "unbound", message: "env has no LOST" },
};

describe("renderStatus", () => {
  it("says what is the matter with members, and the way out", async () => {
    const [first, second, ...others] = liveNamespace(orders).members;
    if (!first || !second) throw new Error("Members are missing");
    const members = [
      { ...first, library: "0.2.0", schema: "5f2a0c3b9d17", storage: 9_100_000_000 },
      { ...second, library: "0.1.0", schema: "5f2a0c3b9d17", storage: 120_000 },
      ...others.map((member) => ({
        ...member,
        library: "0.2.0",
        schema: "5f2a0c3b9d17",
        storage: 98_000,
      })),
    ];
    const waitsFor = {
      kind: "mixedVersions",
      message: `${second.name} runs 0.1.0, which cannot promote yet`,
    } as const;
    await expect(
      renderStatus([live({ members, operation: { ...running, waitsFor } })], { now }),
    ).toMatchFileSnapshot("../golden/render/status-states.txt");
    expect(renderStatus([live({ members }), lost], { now })).toContain("nearly full");
    const roomy = members.map((member) => ({ ...member, storage: 1 }));
    expect(renderStatus([live({ members: roomy, operation: null }), lost], { now })).toContain(
      "mixed versions",
    );
  });

  it("says how full the fullest member is, when it will be full, and what would have room", async () => {
    const filled = (
      name: string,
      storage: number,
      forecast: Forecast,
      bytesMax = 10_000_000_000,
    ) => {
      const report = live({
        name,
        members: liveNamespace(orders).members.map((member, index) => ({
          ...member,
          storage: index === 1 ? storage : 90_000,
        })),
      });
      return { ...report, capacity: { bytesMax, maxFill: 0.7, forecast } } as const;
    };
    const reports = [
      filled("roomy", 2_000_000_000, { kind: "steady" }),
      filled("growing", 5_000_000_000, { kind: "full", fromDays: 60.4, toDays: null }),
      filled("filling", 7_200_000_000, { kind: "full", fromDays: 19.2, toDays: 23.8 }),
      filled("small", 46_000_000, { kind: "unknown" }, 50_000_000),
    ];
    await expect(
      [
        renderStatus(reports, { now }),
        ...reports.map((report) => renderStatus([report], { now })),
      ].join("\n"),
    ).toMatchFileSnapshot("../golden/render/status-capacity.txt");
  });

  it("writers 1: says that a namespace is out of step, and the way out", async () => {
    const bookmarks = {
      orders: "00000000-00000000-00000000-00000000000000000000000000000000",
      "orders-shard-0": "0000007b-0000b26e-00001538-0c3e87bb37b3db5cc52eedb93cd3b96b",
    };
    const outOfStep = {
      kind: "outOfStep",
      members: ["orders-shard-1"],
      message: "orders-shard-1 was restored",
      since: now - 120_000,
    } as const;
    const registryLost = {
      kind: "registryLost",
      members: ["orders"],
      message: "The root is behind orders-shard-0",
      since: now - 120_000,
    } as const;
    const reports = [
      live({ disorder: outOfStep, operation: { ...completed, bookmarks } }),
      live({ disorder: registryLost }),
    ];
    const lines = [renderStatus(reports, { now }), renderStatus(reports, { now, members: true })];
    await expect(lines.join("\n")).toMatchFileSnapshot("../golden/render/status-disorder.txt");
    // The local runtime keeps no bookmarks, and says so by zeros.
    expect(lines.join("")).not.toContain("00000000-00000000");
  });

  it("says how old the version and the size of a silent member are", async () => {
    const [first, second, ...others] = liveNamespace(orders).members;
    if (!first || !second) throw new Error("Members are missing");
    const facts = { library: "0.2.0", schema: "5f2a0c3b9d17", storage: 98_000 };
    const silent = { rows: 0, bytes: 0, healthy: false, error: "timeout after 5000 ms" };
    const remembered = {
      ...first,
      ...silent,
      ...facts,
      library: "0.1.0",
      saidAt: now - 2 * 3_600_000 - 5 * 60_000,
    };
    const members = [
      remembered,
      { ...second, ...silent },
      ...others.map((member) => ({ ...member, ...facts })),
    ];
    await expect(renderStatus([live({ members })], { now })).toMatchFileSnapshot(
      "../golden/render/status-remembered.txt",
    );
    const text = renderStatus([live({ members: [remembered, ...others] })], { now });
    expect(text).toMatch(
      /orders-shard-0 .* 98\.0 kB +0 % +0\.1\.0 +5f2a0c3b9d17 +2h 5m ago +unhealthy/,
    );
    // Nothing is remembered of members that answer, or that never said anything.
    expect(
      renderStatus([live({ members: others.map((member) => ({ ...member, ...facts })) })], { now }),
    ).not.toContain("AS OF");
    expect(renderStatus([live({ members: unhealthy })], { now })).not.toContain("AS OF");
  });

  it("lists namespaces", async () => {
    const reports = [
      live(),
      live({ name: "busy", operation: running }),
      live({ name: "sick", members: unhealthy }),
      { kind: "live", namespace: liveNamespace(world("carts", { rows: rowsOf(3) })) } as const,
      {
        kind: "live",
        namespace: liveNamespace(
          world("visits", { rows: rowsOf(9), layout: rangeOf("visits", ["m"]) }),
        ),
      } as const,
      lost,
    ];
    await expect(renderStatus(reports, { now })).toMatchFileSnapshot("../golden/render/status.txt");
  });

  it("shows the members, the skew and the running operation of one", async () => {
    await expect(
      renderStatus([live({ operation: running, undeclaredTables: ["notes"] })], { now }),
    ).toMatchFileSnapshot("../golden/render/status-one.txt");
  });

  it("shows who has paused an operation, and why", async () => {
    await expect(renderStatus([live({ operation: held })], { now })).toMatchFileSnapshot(
      "../golden/render/status-paused.txt",
    );
    expect(renderStatus([live({ operation: held }), lost], { now })).toContain(
      "rebalance paused (copy)",
    );
  });

  it("shows a silent member without numbers, and why", async () => {
    await expect(
      renderStatus([live({ members: unhealthy, operation: failed })], { now }),
    ).toMatchFileSnapshot("../golden/render/status-unhealthy.txt");
  });

  it("says why a namespace could not be read, and that there is none", () => {
    expect(renderStatus([lost], { now })).toBe("lost · LOST\n  unbound: env has no LOST\n");
    expect(renderStatus([], { now })).toBe("No namespaces are live.\n");
  });
});

const action = (namespace: string, changes: Partial<RunAction>): RunAction => ({
  namespace,
  object: "ORDERS",
  kind: "shard",
  state: "pending",
  operation: null,
  error: null,
  ...changes,
});
const run: Run = {
  id: "run-7f3a",
  environment: "production",
  fingerprint: "9b1f0c5e".padEnd(64, "0"),
  state: "running",
  requestedBy: "octocat",
  overrides: [],
  origin: null,
  lease: { token: 4, heartbeatAt: COUNTED_AT, expiresAt: COUNTED_AT + 600_000 },
  startedAt: COUNTED_AT - 95_000,
  updatedAt: COUNTED_AT,
  finishedAt: null,
  actions: [
    action("carts", { state: "done", operation: completed }),
    action("orders", { kind: "rebalance", state: "running", operation: running }),
    action("users", {}),
  ],
};
const ended: Run = {
  ...run,
  id: "run-7f39",
  state: "failed",
  overrides: ["skew", "window"],
  finishedAt: COUNTED_AT,
  actions: [
    action("carts", { state: "done", operation: completed }),
    action("events", {
      kind: "rekey",
      state: "failed",
      operation: failed,
      error: "mismatch: chunk 12 of things differs after a recopy",
    }),
    action("lost", { state: "failed", error: "the epoch is 4, planned against 3: plan again" }),
    action("sessions", { kind: "unshard", state: "cancelled", operation: cancelled }),
    action("users", { state: "notExecuted" }),
  ],
};

describe("renderRun", () => {
  it("that goes on", async () => {
    await expect(renderRun(run, { now })).toMatchFileSnapshot("../golden/render/run-running.txt");
  });
  it("that waits for a window, and says it once", async () => {
    const error = "Paused by shardctl reconciler: its window has closed";
    const waiting = {
      ...run,
      actions: [action("orders", { kind: "rebalance", state: "running", operation: held, error })],
    };
    await expect(renderRun(waiting, { now })).toMatchFileSnapshot(
      "../golden/render/run-paused.txt",
    );
  });
  it("that let go of what waits for its window", async () => {
    const error =
      "Its window closed in step copy: operation 7 is paused, and resumes by itself in the next window.";
    const left = action("orders", {
      kind: "rebalance",
      state: "notExecuted",
      operation: held,
      error,
    });
    const over: Run = { ...run, state: "cancelled", finishedAt: COUNTED_AT, actions: [left] };
    await expect(renderRun(over, { now })).toMatchFileSnapshot("../golden/render/run-let-go.txt");
  });
  it("that failed", async () => {
    await expect(renderRun(ended, { now })).toMatchFileSnapshot("../golden/render/run-failed.txt");
  });
  it("of a plan without changes", () => {
    expect(
      renderRun({ ...run, actions: [], state: "succeeded", finishedAt: COUNTED_AT }, { now }),
    ).toContain("\nRun: no rows to move.\n");
  });
});

describe("renderHistory", () => {
  it("lists operations", async () => {
    await expect(
      renderHistory([running, completed, failed, cancelled, levelled], { now }),
    ).toMatchFileSnapshot("../golden/render/history.txt");
  });
  it("lists where participants can be restored to", async () => {
    const bookmarks = {
      "orders-shard-1": "0000007c-1",
      "orders-shard-0": "0000007b-1",
      orders: "00000000-0",
    };
    await expect(
      renderHistory([{ ...completed, bookmarks }, failed], { now, bookmarks: true }),
    ).toMatchFileSnapshot("../golden/render/history-bookmarks.txt");
    expect(renderHistory([{ ...completed, bookmarks }], { now })).not.toContain("0000007b-1");
  });

  it("says that there are none", () => {
    expect(renderHistory([], { now })).toBe("No operations yet.\n");
  });
});

it("counts copying as one half of an operation and verifying as the other", () => {
  expect(operationProgress({ ...running, rowsTotal: 200, rowsCopied: 100, rowsVerified: 0 })).toBe(
    0.25,
  );
  expect(
    operationProgress({ ...running, rowsTotal: 200, rowsCopied: 200, rowsVerified: 200 }),
  ).toBe(1);
  // Repaired chunks are copied twice, and an empty namespace has nothing to copy.
  expect(operationProgress({ ...running, rowsTotal: 200, rowsCopied: 260, rowsVerified: 0 })).toBe(
    0.5,
  );
  expect(operationProgress({ ...running, rowsTotal: 0, rowsCopied: 0, rowsVerified: 0 })).toBe(0);
  expect(operationProgress({ ...running, state: "completed", rowsTotal: 0 })).toBe(1);
});

it("writes moments and durations", () => {
  expect(
    [0, 840, 12_340, 59_949, 59_950, 95_000, 7_500_000, 273_600_000].map(formatDuration),
  ).toEqual(["0 ms", "840 ms", "12.3 s", "59.9 s", "1m 0s", "1m 35s", "2h 5m", "3d 4h"]);
  expect(formatMoment(COUNTED_AT)).toBe("2026-03-01 12:00:00Z");
  expect([formatAge(COUNTED_AT, now), formatAge(now, now), formatAge(now + 5000, now)]).toEqual([
    "12.3 s ago",
    "just now",
    "just now",
  ]);
});
