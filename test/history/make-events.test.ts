/**
 * Events that a run adds to the history: who asked, which commit and pull request, what was
 * overridden, what moved, and how long it took.
 */
import { expect, it } from "vitest";

import type { Run, RunAction } from "../../src/model/api.ts";
import { runEvents } from "../../src/history/make-events.ts";
import { ORDERS, shift } from "../support/page-states.ts";
import { COUNTED_AT } from "../support/state.ts";

const NOW = COUNTED_AT + 60_000;

function action(changes: Partial<RunAction> = {}): RunAction {
  return {
    namespace: "orders",
    object: "ORDERS",
    kind: "rebalance",
    state: "running",
    operation: null,
    error: null,
    ...changes,
  };
}

function run(actions: readonly RunAction[], changes: Partial<Run> = {}): Run {
  return {
    id: "run-1-2",
    environment: "production",
    fingerprint: "9b1f0c5e",
    state: "running",
    requestedBy: "github-actions (octocat)",
    overrides: [],
    origin: { pull: 12, commit: "3f9c2e1", runUrl: null },
    lease: { token: 1, heartbeatAt: COUNTED_AT, expiresAt: COUNTED_AT },
    startedAt: COUNTED_AT,
    updatedAt: COUNTED_AT,
    finishedAt: null,
    actions,
    ...changes,
  };
}

const COMPLETED = shift(ORDERS, { state: "completed", finishedAt: COUNTED_AT, rowsCopied: 4_000 });
const ABOUT = {
  at: NOW,
  environment: "production",
  actor: "github-actions (octocat)",
  commit: "3f9c2e1",
  pull: 12,
  fingerprint: "9b1f0c5e",
  run: "run-1-2",
};

it("that it started, and what it overrides", () => {
  expect(
    runEvents(run([action({ state: "pending" })], { overrides: ["skew", "window"] }), null, NOW),
  ).toEqual([
    {
      ...ABOUT,
      kind: "run",
      namespace: null,
      summary: "the run started: 1 change, overriding skew, window",
      rowsMoved: null,
      durationMs: null,
    },
  ]);
});

it("that an operation ended, with what it moved and how long it took", () => {
  const before = run([action({ operation: shift(ORDERS) }), action({ namespace: "carts" })]);
  const after = run([
    action({ state: "done", operation: COMPLETED }),
    action({ namespace: "carts" }),
  ]);
  expect(runEvents(after, before, NOW)).toEqual([
    {
      ...ABOUT,
      kind: "operation",
      namespace: "orders",
      summary: "rebalance 8 → 12 members, operation 7 completed",
      rowsMoved: 4_000,
      durationMs: 20_000,
    },
  ]);
  expect(runEvents(after, after, NOW)).toEqual([]);
});

it("that it ended, with what all of it moved", () => {
  const failed = shift(ORDERS, {
    state: "failed",
    fault: { kind: "missingKey", message: "3 rows lack the shard key" },
  });
  const before = run([
    action({ state: "done", operation: COMPLETED }),
    action({ namespace: "carts", operation: shift(ORDERS) }),
  ]);
  const after = run(
    [
      action({ state: "done", operation: COMPLETED }),
      action({ namespace: "carts", state: "failed", operation: failed }),
    ],
    { state: "failed", finishedAt: COUNTED_AT + 30_000 },
  );
  expect(
    runEvents(after, before, NOW).map(({ kind, namespace, summary, rowsMoved, durationMs }) => [
      kind,
      namespace,
      summary,
      rowsMoved,
      durationMs,
    ]),
  ).toEqual([
    [
      "operation",
      "carts",
      "rebalance 8 → 12 members, operation 7 failed: 3 rows lack the shard key",
      0,
      20_000,
    ],
    ["run", null, "the run failed: 1 done, 1 failed", 4_000, 30_000],
  ]);
});

it("of one that was started by hand no pull request and no commit", () => {
  expect(runEvents(run([action()], { origin: null, requestedBy: "ada" }), null, NOW)).toMatchObject(
    [{ actor: "ada", commit: null, pull: null }],
  );
});
