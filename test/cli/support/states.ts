/** Plans, runs and namespaces for tests of the CLI, as the API would give them. */
import type { RepairOutcome, RepairPlan } from "../../../src/model/repair.ts";
import type { NamespaceReport, Run, RunAction } from "../../../src/model/api.ts";
import type { DriftReport } from "../../../src/model/drift.ts";
import type { HistoryEvent } from "../../../src/model/event.ts";
import { type HashLayout, shardNames, unshardedLayout } from "../../../src/model/layout/layout.ts";
import { DEFAULT_OPERATION_POLICY, type OperationStatus } from "../../../src/model/operation.ts";
import type { Block, Change, Plan } from "../../../src/model/plan.ts";
import { comparePolicies } from "../../../src/model/policy.ts";
import { applied, spec } from "../../support/state.ts";

export const FINGERPRINT = "9b1f0c5e".repeat(8);
export const OTHER_FINGERPRINT = "0a2b4c6d".repeat(8);
export const RUN_ID = "run-1";
/** 2026-11-20T10:00:00Z */
export const NOON = 1_795_168_800_000;

export function hashLayout(
  namespace: string,
  count: number,
  shardKey = "data.customer.id",
): HashLayout {
  const members = shardNames(namespace, 0, count);
  const ranges = members.map((member, index) => ({
    end: Math.round((16_384 * (index + 1)) / count),
    member,
  }));
  return { kind: "hash", shardKey, generation: 0, members, ranges };
}

export function shardChange(overrides: Partial<Change> = {}): Change {
  return {
    kind: "shard",
    namespace: "orders",
    object: "ORDERS",
    epoch: 0,
    from: unshardedLayout("orders", 0),
    to: hashLayout("orders", 2),
    reason: "hash(data.customer.id) × 2",
    moves: [
      { source: "orders", target: "orders-shard-0", rows: 600, bytes: 120_000 },
      { source: "orders", target: "orders-shard-1", rows: 400, bytes: 80_000 },
    ],
    rowsTotal: 1000,
    rowsMoved: 1000,
    bytesMoved: 200_000,
    skewBefore: 1,
    skewAfter: 1.2,
    missingKeys: 0,
    staysBehind: [],
    estimate: null,
    countedAt: NOON,
    policy: DEFAULT_OPERATION_POLICY,
    dependsOn: [],
    source: { file: "manifests/orders.yaml", line: 5, column: 3 },
    ...overrides,
  };
}

export function planOf(overrides: Partial<Plan> = {}): Plan {
  return {
    version: 1,
    environment: "local",
    commit: null,
    changes: [shardChange()],
    inSync: [],
    blocks: [],
    notices: [],
    fingerprint: FINGERPRINT,
    ...overrides,
  };
}

export const EMPTY_PLAN: Plan = planOf({ changes: [] });

/** Moves no row, but lets the Worker move them. */
export const POLICY_PLAN: Plan = planOf({
  changes: [],
  policies: comparePolicies(
    [spec("orders", { policy: { selfHeal: "apply" } })],
    applied({ orders: {} }),
  ),
});

export function skewBlock(): Block {
  return {
    guard: "skew",
    namespace: "orders",
    message: "the skew would be 6.10, over the limit of 1.50 (policy.maxSkew)",
    overridable: true,
  };
}

export function operationOf(overrides: Partial<OperationStatus> = {}): OperationStatus {
  const change = shardChange();
  return {
    id: 1,
    namespace: "orders",
    kind: "shard",
    mode: "swap",
    state: "running",
    step: "copy",
    wave: 0,
    waves: 0,
    rowsTotal: 1000,
    rowsCopied: 250,
    rowsVerified: 0,
    bytesCopied: 50_000,
    sources: [],
    from: change.from,
    to: change.to,
    epochFrom: 0,
    epoch: 0,
    correlationId: `${RUN_ID}/orders`,
    requestedBy: "ada",
    startedAt: NOON,
    updatedAt: NOON + 1000,
    finishedAt: null,
    fault: null,
    writePauseMs: null,
    paused: null,
    lastError: null,
    retries: 0,
    ...overrides,
  };
}

export function actionOf(overrides: Partial<RunAction> = {}): RunAction {
  return {
    namespace: "orders",
    object: "ORDERS",
    kind: "shard",
    state: "pending",
    operation: null,
    error: null,
    ...overrides,
  };
}

export function runOf(overrides: Partial<Run> = {}): Run {
  return {
    id: RUN_ID,
    environment: "local",
    fingerprint: FINGERPRINT,
    state: "running",
    requestedBy: "ada",
    overrides: [],
    origin: null,
    lease: { token: 1, heartbeatAt: NOON, expiresAt: NOON + 600_000 },
    startedAt: NOON,
    updatedAt: NOON,
    finishedAt: null,
    actions: [actionOf()],
    ...overrides,
  };
}

/** The states of a run that goes well, in order. */
export const RUN_STEPS: readonly Run[] = [
  runOf(),
  runOf({
    updatedAt: NOON + 1000,
    actions: [actionOf({ state: "running", operation: operationOf() })],
  }),
  runOf({
    updatedAt: NOON + 2000,
    actions: [
      actionOf({
        state: "running",
        operation: operationOf({ step: "verify", rowsCopied: 1000, rowsVerified: 500 }),
      }),
    ],
  }),
  runOf({
    state: "succeeded",
    updatedAt: NOON + 3000,
    finishedAt: NOON + 3000,
    actions: [
      actionOf({
        state: "done",
        operation: operationOf({
          state: "completed",
          step: "cleanUp",
          rowsCopied: 1000,
          rowsVerified: 1000,
          epoch: 1,
          finishedAt: NOON + 3000,
        }),
      }),
    ],
  }),
];

export function liveReport(): NamespaceReport {
  const layout = hashLayout("orders", 2);
  return {
    kind: "live",
    namespace: {
      name: "orders",
      object: "ORDERS",
      layout,
      epoch: 1,
      operation: null,
      members: [
        {
          name: "orders-shard-0",
          rows: 600,
          bytes: 120_000,
          healthy: true,
          error: null,
          responseMs: 3,
        },
        {
          name: "orders-shard-1",
          rows: 400,
          bytes: 80_000,
          healthy: true,
          error: null,
          responseMs: 4,
        },
      ],
      tables: [{ name: "things", role: "keyed" }],
      undeclaredTables: [],
      partitioners: [],
      countedAt: NOON,
    },
  };
}

/**
 * Returns the findings of a tick: a drift in one namespace, and another that waits for its window.
 */
export function driftReport(overrides: Partial<DriftReport> = {}): DriftReport {
  const condition = {
    object: "ORDERS",
    observedCommit: "3f9c2e1",
    since: NOON - 120_000,
    failures: 0,
    nextTryAt: null,
  };
  return {
    environment: "local",
    commit: "3f9c2e1aa0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5",
    checkedAt: NOON - 15_000,
    isComplete: true,
    fingerprint: FINGERPRINT,
    drifts: [
      {
        kind: "spec",
        namespace: "orders",
        object: "ORDERS",
        state: "open",
        reason: "rebalance: count 6 → 8 (live was changed)",
        detail: null,
        remedy: "`shardctl plan` shows what would be done, `shardctl apply` does it.",
        firstSeenAt: NOON - 120_000,
        lastSeenAt: NOON - 15_000,
      },
      {
        kind: "manifests",
        namespace: null,
        object: null,
        state: "watching",
        reason: "the manifests on the default branch are not valid",
        detail: "manifests/a.yaml:7:13 spec.strategy must be one of hash, range",
        remedy: "Correct them: `shardctl validate` shows every error.",
        firstSeenAt: NOON - 15_000,
        lastSeenAt: NOON - 15_000,
      },
    ],
    conditions: [
      {
        ...condition,
        namespace: "carts",
        type: "Ready",
        reason: "InSync",
        message: "In sync at epoch 3",
      },
      {
        ...condition,
        namespace: "orders",
        type: "Stalled",
        reason: "Drifted",
        message: "rebalance (count 6 → 8)",
      },
    ],
    paused: { by: "ada", reason: "database upgrade", at: NOON - 60_000 },
    ...overrides,
  };
}

/** Newest first. */
export function events(): readonly HistoryEvent[] {
  const common = {
    environment: "local",
    commit: null,
    pull: null,
    fingerprint: FINGERPRINT,
    run: null,
    rowsMoved: null,
    durationMs: null,
  };
  const run = {
    ...common,
    actor: "ada",
    pull: 7,
    commit: "3f9c2e1aa0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5",
    run: RUN_ID,
  };
  return [
    {
      ...run,
      id: 4,
      at: NOON + 3000,
      kind: "run",
      namespace: null,
      summary: "the run succeeded: 1 done",
      rowsMoved: 1000,
      durationMs: 3000,
    },
    {
      ...run,
      id: 3,
      at: NOON + 2900,
      kind: "operation",
      namespace: "orders",
      summary: "shard 1 → 2 members, operation 1 completed",
      rowsMoved: 1000,
      durationMs: 2400,
    },
    { ...run, id: 2, at: NOON, kind: "run", namespace: null, summary: "the run started: 1 change" },
    {
      ...common,
      id: 1,
      at: NOON - 1000,
      kind: "drift",
      namespace: "orders",
      summary: "spec: live was changed",
      actor: "shardctl",
    },
  ];
}

export const MANIFEST = `apiVersion: shardctl.dev/v1
kind: Namespace
metadata:
  name: orders
spec:
  object: ORDERS
  strategy: hash
  shardKey: data.customer.id
  count: 2
`;

/** A member that was restored, and what a repair would do about it. */
export function repairPlan(changes: Partial<RepairPlan> = {}): RepairPlan {
  const member = "orders-shard-1";
  return {
    namespace: "orders",
    fingerprint: "9d17".repeat(16),
    disorder: {
      kind: "outOfStep",
      members: [member],
      message: `${member} was restored to epoch 3`,
      since: NOON - 120_000,
    },
    testimonies: [
      { member: "orders", says: "root, epoch 4, hash over 2 members" },
      { member, says: "epoch 3, 26 rows" },
    ],
    steps: [
      {
        kind: "member",
        member,
        summary: "takes epoch 4",
        setAside: [{ member, table: "things", rows: 3 }],
      },
    ],
    losses: [],
    obstacles: [],
    ...changes,
  };
}

export function repairOutcome(
  { namespace, fingerprint, steps }: RepairPlan = repairPlan(),
): RepairOutcome {
  return { namespace, fingerprint, steps, setAside: steps.flatMap(({ setAside }) => setAside) };
}
