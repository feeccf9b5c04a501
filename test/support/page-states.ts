/**
 * States of the status page for its golden files, built from rows by the same code that the Worker
 * uses.
 */
import { STORAGE_BYTES_MAX } from "../../src/model/member-states.ts";
import { disorderFault } from "../../src/reconcile/look/look-at.ts";
import { withKnownLoss } from "../../src/model/disorder.ts";
import { memberFaults } from "../../src/reconcile/look/find-faults.ts";
import type { DriftKind, Drift, NamespaceCondition } from "../../src/model/drift.ts";
import type { HistoryEvent } from "../../src/model/event.ts";
import type { LiveNamespace, MemberStatus } from "../../src/model/live.ts";
import type { OperationStatus } from "../../src/model/operation.ts";
import { unshardedLayout } from "../../src/model/layout/layout.ts";
import { describePolicy, describeSpec } from "../../src/page/describe-spec.ts";
import type {
  Links,
  NamespacePage,
  NamespaceView,
  Overview,
  Surroundings,
} from "../../src/page/page-data.ts";
import { listMembers, makeSight, viewOperation } from "../../src/page/sight.ts";
import { fullFault } from "../../src/shards/storage/faults.ts";
import {
  COUNTED_AT,
  hashOf,
  liveNamespace,
  rangeOf,
  rowsOf,
  runningOperation,
  spec,
  world,
  type NamespaceFixture,
} from "./state.ts";

const HOUR_MS = 3_600_000;
const COMMIT = "3f9c2e1a4d5b6c7d8e9f0a1b2c3d4e5f6a7b8c9d";

export const LINKS: Links = {
  pull: (pull) => `https://github.com/acme/shop/pull/${pull}`,
  commit: (sha) => `https://github.com/acme/shop/commit/${sha}`,
};

/**
 * A name that tries all that a name may try: a tag, an attribute, an entity, and marks that turn
 * the order of reading around.
 */
export const HOSTILE = `<img src=x onerror=alert(1)>"'&amp;\u202Eevil\u0007`;

export const SURROUNDINGS: Surroundings = {
  environment: "production",
  environments: ["production"],
  paused: null,
  commit: COMMIT,
  checkedAt: COUNTED_AT,
  isComplete: true,
  manifestsProblem: null,
};

export function condition(
  name: string,
  changes: Partial<NamespaceCondition> = {},
): NamespaceCondition {
  return {
    namespace: name,
    object: "ORDERS",
    type: "Ready",
    reason: "InSync",
    message: "As declared",
    observedCommit: COMMIT,
    since: COUNTED_AT - HOUR_MS,
    failures: 0,
    nextTryAt: null,
    ...changes,
  };
}

export function drift(kind: DriftKind, name: string, changes: Partial<Drift> = {}): Drift {
  return {
    kind,
    namespace: name,
    object: "ORDERS",
    state: "open",
    reason: "count 3 → 2 (live was changed)",
    detail: null,
    remedy: "Commit it to the manifest, or run: shardctl apply",
    firstSeenAt: COUNTED_AT - HOUR_MS,
    lastSeenAt: COUNTED_AT,
    ...changes,
  };
}

export function event(
  changes: Pick<HistoryEvent, "id" | "kind" | "summary"> & Partial<HistoryEvent>,
): HistoryEvent {
  return {
    at: COUNTED_AT - HOUR_MS + changes.id,
    environment: "production",
    namespace: null,
    actor: "shardctl",
    commit: null,
    pull: null,
    fingerprint: null,
    run: null,
    rowsMoved: null,
    durationMs: null,
    ...changes,
  };
}

export function view(live: LiveNamespace, changes: Partial<NamespaceView> = {}): NamespaceView {
  const { operation } = live;
  return {
    name: live.name,
    object: live.object,
    condition: condition(live.name),
    isManaged: true,
    maxSkew: 1.5,
    sight: makeSight(live, COUNTED_AT),
    running: operation?.state === "running" ? viewOperation(operation) : null,
    drifts: [],
    ...changes,
  };
}

export const ORDERS = world("orders", { layout: hashOf("orders", 8), rows: rowsOf(12_000) });

/** Half copied, in the second of nine waves. */
export const SHIFTING: NamespaceFixture = { ...ORDERS, operation: shift(ORDERS) };

export const PAUSE = {
  reason: "its window has closed",
  by: "shardctl reconciler",
  since: COUNTED_AT - HOUR_MS,
} as const;

/** Stands still between two waves. */
export const HELD: NamespaceFixture = {
  ...ORDERS,
  operation: shift(ORDERS, { paused: PAUSE, writePauseMs: { last: 18, max: 41 } }),
};

export function shift(
  from: NamespaceFixture,
  changes: Partial<OperationStatus> = {},
): OperationStatus {
  return runningOperation(from, hashOf(from.name, 12), {
    kind: "rebalance",
    mode: "shift",
    step: "cutover",
    wave: 2,
    waves: 9,
    rowsTotal: 4_000,
    rowsCopied: 3_000,
    rowsVerified: 1_000,
    bytesCopied: 300_000,
    startedAt: COUNTED_AT - 20_000,
    updatedAt: COUNTED_AT,
    ...changes,
  });
}

export const THOUSAND = world("events", {
  layout: hashOf("events", 1000),
  rows: rowsOf(40_000),
  epoch: 7,
});

/** Every row of the range below one key: far above the policy. */
export const SKEWED = world("sessions", {
  layout: rangeOf("sessions", ["secret-m", "secret-s"]),
  rows: rowsOf(900, "secret-b"),
});

export function withSilent(live: LiveNamespace, count: number): LiveNamespace {
  const members = live.members.map((member, index) =>
    index < count
      ? { ...member, rows: 0, bytes: 0, healthy: false, error: "no answer within 5000 ms" }
      : member,
  );
  return { ...live, members };
}

/** With library, schema and storage, as members of this version say them. */
function withFacts(
  live: LiveNamespace,
  changes: readonly Partial<MemberStatus>[] = [],
): LiveNamespace {
  const members = live.members.map((member, index) => ({
    ...member,
    library: "0.2.0",
    schema: "5f2a0c3b9d17",
    storage: 98_000,
    ...changes[index],
  }));
  return { ...live, members };
}

/** Its last operation was ended by a member without room, and another is nearly full. */
export const FULL: LiveNamespace = withFacts(
  liveNamespace({
    ...ORDERS,
    operation: shift(ORDERS, {
      state: "failed",
      finishedAt: COUNTED_AT,
      fault: {
        kind: "storageFull",
        message: fullFault("orders-shard-3", "database or disk is full", true).message,
      },
    }),
  }),
  [{ storage: 9_100_000_000 }],
);

/**
 * An operation waits for a member of another version; one more does not answer, and was last heard
 * of hours ago.
 */
export const MIXED: LiveNamespace = withFacts(
  liveNamespace({
    ...SHIFTING,
    operation: shift(ORDERS, {
      waitsFor: {
        kind: "mixedVersions",
        message: "orders-shard-1 runs 0.1.0, which cannot promote yet",
      },
    }),
  }),
  [
    {},
    { library: "0.1.0" },
    {
      rows: 0,
      bytes: 0,
      healthy: false,
      error: "no answer within 5000 ms",
      saidAt: COUNTED_AT - 2 * HOUR_MS,
    },
  ],
);

/** A member was restored to before the newest operation. */
export const OUT_OF_STEP: LiveNamespace = {
  ...liveNamespace(ORDERS),
  disorder: {
    kind: "outOfStep",
    members: ["orders-shard-2"],
    message:
      "orders-shard-2 is at epoch 3, the namespace at epoch 4: it was restored to an earlier time",
    since: COUNTED_AT - HOUR_MS,
  },
};

/** A root after its storage was lost, which only those know that saw it before. */
export const LOST: LiveNamespace = withKnownLoss(
  { ...liveNamespace(world("carts", { layout: unshardedLayout("carts", 0), rows: [] })), epoch: 0 },
  { epoch: 7, at: COUNTED_AT - HOUR_MS },
);

/** Returns the faults of a namespace and its members, in the words of reconciliation. */
export function driftsOf(live: LiveNamespace): Drift[] {
  const { disorder } = live;
  const found = disorder
    ? [disorderFault({ ...live, disorder })]
    : memberFaults(live, { faults: [], spec: null });
  return found.map(({ kind, reason, detail, remedy }) =>
    drift(kind, live.name, { reason, detail, remedy }),
  );
}

export function overview(changes: Partial<Overview> = {}): Overview {
  const namespaces = changes.namespaces ?? [];
  const counts = { Stalled: 0, Reconciling: 0, Ready: 0, Unknown: 0 };
  for (const one of namespaces) counts[one.condition?.type ?? "Unknown"]++;
  return {
    ...SURROUNDINGS,
    counts,
    search: "",
    state: null,
    page: 1,
    pages: 1,
    matches: namespaces.length,
    namespaces,
    drifts: namespaces.flatMap(({ drifts }) => drifts),
    driftCount: namespaces.flatMap(({ drifts }) => drifts).length,
    running: namespaces.flatMap(({ name, object, running }) =>
      running === null
        ? []
        : [{ namespace: name, object, step: running.step, isPaused: running.paused !== null }],
    ),
    runs: [],
    reviews: [],
    plans: [],
    events: [],
    ...changes,
  };
}

export function namespacePage(
  live: LiveNamespace,
  changes: Partial<NamespacePage> = {},
): NamespacePage {
  const declared = spec(live.name);
  return {
    ...SURROUNDINGS,
    namespace: view(live),
    declared: describeSpec(declared),
    policy: describePolicy(declared),
    source: `${declared.source.file}:${declared.source.line}`,
    members: listMembers(live.members),
    history: [],
    problem: null,
    runs: [],
    events: [],
    capacity: { bytesMax: STORAGE_BYTES_MAX, maxFill: 0.7, forecast: { kind: "unknown" } },
    sizes: { points: [], members: [] },
    ...changes,
  };
}

const PLAN = {
  shard: 1,
  rebalance: 1,
  rekey: 0,
  unshard: 0,
  inSync: 3,
  policies: 0,
  notPlanned: 0,
  unmanaged: 0,
  blocks: 1,
  rowsMoved: 4_000,
  bytesMoved: 400_000,
};

/** A busy environment: what most readers see. */
export const BUSY: Overview = overview({
  namespaces: [
    view(
      withSilent(
        liveNamespace(world("archive", { layout: hashOf("archive", 4), rows: rowsOf(4_000) })),
        1,
      ),
      {
        condition: condition("archive", {
          type: "Stalled",
          reason: "Unhealthy",
          message: "As declared, but a member does not answer",
          failures: 3,
          nextTryAt: COUNTED_AT + HOUR_MS,
        }),
        drifts: [
          drift("unhealthy", "archive", {
            reason: "archive-shard-0 does not answer",
            remedy: "See its log.",
          }),
        ],
      },
    ),
    view(liveNamespace(SKEWED), {
      condition: condition("sessions", {
        type: "Stalled",
        reason: "Drifted",
        message: "skew 3.00 is above 1.5",
      }),
      drifts: [
        drift("skew", "sessions", { reason: "skew is above 1.5", detail: "3.00 now" }),
        drift("spec", "sessions", {
          state: "watching",
          reason: "rebalance: split points → secret-c, secret-d (live was changed)",
        }),
      ],
    }),
    view(liveNamespace(SHIFTING), {
      condition: condition("orders", {
        type: "Reconciling",
        reason: "Applying",
        message: "Operation 7 (rebalance) is in step cutover",
      }),
    }),
    view(liveNamespace(THOUSAND)),
    view(liveNamespace(world("users", { rows: rowsOf(300) })), { isManaged: false, maxSkew: null }),
  ],
  runs: [
    {
      id: "run-mgr1a2b3-4c5d6e7f",
      environment: "production",
      state: "running",
      fingerprint: "9b1f0c5e".repeat(8),
      requestedBy: "github-actions (octocat)",
      pull: 12,
      commit: COMMIT,
      runUrl: "https://github.com/acme/shop/actions/runs/77",
      startedAt: COUNTED_AT - 20_000,
      finishedAt: null,
      counts: { done: 1, running: 1, pending: 2 },
      failures: [],
    },
    {
      id: "run-mgqz9y8x7-6w5v4u3t",
      environment: "production",
      state: "failed",
      fingerprint: "0a1b2c3d".repeat(8),
      requestedBy: "shardctl reconciler",
      pull: null,
      commit: null,
      runUrl: "javascript:alert(1)",
      startedAt: COUNTED_AT - 2 * HOUR_MS,
      finishedAt: COUNTED_AT - HOUR_MS,
      counts: { failed: 1, notExecuted: 1 },
      failures: [{ namespace: "sessions", error: "3 rows lack the shard key" }],
    },
  ],
  reviews: [
    {
      pull: 12,
      headSha: COMMIT,
      fingerprint: "9b1f0c5e".repeat(8),
      requestedBy: "shardctl",
      reviewedAt: COUNTED_AT - HOUR_MS,
      runUrl: null,
      releasedBy: "octocat",
      plan: PLAN,
    },
    {
      pull: 11,
      headSha: "b".repeat(40),
      fingerprint: "1".repeat(64),
      requestedBy: "github-actions (hubot)",
      reviewedAt: COUNTED_AT - 3 * HOUR_MS,
      runUrl: "https://github.com/acme/shop/actions/runs/70",
      releasedBy: null,
      plan: null,
    },
  ],
  plans: [{ fingerprint: "9b1f0c5e".repeat(8), storedAt: COUNTED_AT - HOUR_MS, plan: PLAN }],
  events: [
    event({
      id: 9,
      kind: "drift",
      namespace: "sessions",
      summary: "spec: rebalance: split points → secret-c, secret-d (live was changed)",
    }),
    event({
      id: 8,
      kind: "operation",
      namespace: "orders",
      summary: "rebalance 6 → 8 members, operation 6 completed",
      actor: "github-actions (octocat)",
      pull: 11,
      commit: COMMIT,
      run: "run-mgr1a2b3-4c5d6e7f",
      rowsMoved: 4_000,
      durationMs: 12_345,
    }),
    event({
      id: 7,
      kind: "alert",
      summary: "the alert was opened: issue #7",
      fingerprint: "c".repeat(64),
      commit: COMMIT,
    }),
    event({
      id: 6,
      kind: "plan",
      summary: "Plan: 1 to rebalance.",
      actor: "ci",
      fingerprint: "9b1f0c5e".repeat(8),
    }),
  ],
});
