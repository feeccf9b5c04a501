/**
 * The shop whose status page the documents show: what its namespaces hold, what runs, what drifts,
 * and what happened this morning.
 */
import { STORAGE_BYTES_MAX } from "../../../src/model/member-states.ts";
import type { NamespaceCondition } from "../../../src/model/drift.ts";
import type { HistoryEvent } from "../../../src/model/event.ts";
import type { Layout } from "../../../src/model/layout/layout.ts";
import type { LiveNamespace } from "../../../src/model/live.ts";
import type { OperationStatus } from "../../../src/model/operation.ts";
import { describePolicy, describeSpec } from "../../../src/page/describe-spec.ts";
import type {
  NamespacePage,
  NamespaceView,
  Overview,
  ReviewView,
  RunView,
  StoredPlanView,
  Surroundings,
} from "../../../src/page/page-data.ts";
import { listMembers, makeSight, viewOperation } from "../../../src/page/sight.ts";
import type { PlanSummary } from "../../../src/render/plan-summary.ts";
import { condition, drift, event, overview, SURROUNDINGS } from "../../support/page-states.ts";
import { hashOf, runningOperation, spec, world } from "../../support/state.ts";

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const COMMIT = "3f9c2e1a4d5b6c7d8e9f0a1b2c3d4e5f6a7b8c9d";
const PLAN_A = "9b1f0c5e".repeat(8);
const PLAN_B = "4d07a2c1".repeat(8);
const BYTES_PER_ROW = 412;

/** Rows of each member: about the same, as hashing leaves them. The same numbers each time. */
function spread(count: number, average: number, roughness = 0.03): number[] {
  let seed = count * 7919 + average;
  const random = (): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return seed / 2_147_483_648;
  };
  const bell = (): number => (random() + random() + random() + random() - 2) * 0.87;
  return Array.from({ length: count }, () => Math.round(average * (1 + roughness * 2 * bell())));
}

interface Holding {
  readonly rows: readonly number[];
  readonly epoch?: number;
  readonly layout?: Layout;
  readonly object?: string;
  readonly operation?: OperationStatus | null;
}

function live(
  name: string,
  now: number,
  { rows, epoch = 4, layout, object = "ORDERS", operation = null }: Holding,
): LiveNamespace {
  const held = layout ?? hashOf(name, rows.length, "customer");
  return {
    name,
    object,
    layout: held,
    epoch,
    operation,
    members: held.members.map((member, index) => ({
      name: member,
      rows: rows[index] ?? 0,
      bytes: (rows[index] ?? 0) * BYTES_PER_ROW,
      healthy: true,
      error: null,
      responseMs: 4,
    })),
    tables: [{ name: "orders", role: "keyed" }],
    undeclaredTables: [],
    partitioners: [],
    countedAt: now,
  };
}

export interface Shop {
  readonly overview: Overview;
  /** The rebalance of the orders, half way. */
  readonly operation: NamespacePage;
  /** The same, while its window is closed. */
  readonly paused: NamespacePage;
  /** One customer outgrew the others. */
  readonly drift: NamespacePage;
  readonly thousand: NamespacePage;
}

/** @param now milliseconds since the Unix epoch: the page says how long ago all was. */
export function openShop(now: number): Shop {
  const surroundings: Surroundings = {
    ...SURROUNDINGS,
    environments: ["production", "staging"],
    commit: COMMIT,
    checkedAt: now - 20 * SECOND_MS,
  };
  const state = (name: string, changes: Partial<NamespaceCondition>): NamespaceCondition =>
    condition(name, { observedCommit: COMMIT, since: now - 9 * DAY_MS, ...changes });
  const at = (from: LiveNamespace, changes: Partial<NamespaceView>): NamespaceView => ({
    name: from.name,
    object: from.object,
    condition: state(from.name, {}),
    isManaged: true,
    maxSkew: 1.5,
    sight: makeSight(from, now - 40 * SECOND_MS),
    running: from.operation === null ? null : viewOperation(from.operation),
    drifts: [],
    ...changes,
  });

  const ordersRows = spread(8, 150_541);
  const moving = rebalance(now);
  const orders = live("orders", now, { rows: ordersRows, epoch: 12, operation: moving });
  const sessionsRows = [61_204, 58_731, 214_880, 60_118, 57_406, 62_977];
  const sessions = live("sessions", now, {
    rows: sessionsRows,
    layout: hashOf("sessions", 6, "account"),
  });
  const events = live("events", now, {
    rows: spread(1000, 24_310, 0.09),
    epoch: 7,
    layout: hashOf("events", 1000, "device"),
  });
  const carts = live("carts", now, {
    rows: spread(4, 20_480),
    object: "CARTS",
    layout: hashOf("carts", 4),
  });
  const invoices = live("invoices", now, {
    rows: [418_092],
    epoch: 0,
    layout: { kind: "none", generation: 0, members: ["invoices"] },
    object: "INVOICES",
  });

  const skewed = drift("skew", "sessions", {
    reason: "more uneven than policy.maxSkew 1.5 allows",
    detail: "skew 2.50 is above 1.5",
    remedy:
      "shardctl plan shows what would be done, shardctl apply does it. Or set policy.selfHeal to apply (it is alert).",
    firstSeenAt: now - 2 * HOUR_MS,
    lastSeenAt: now - 20 * SECOND_MS,
  });
  const sessionsView = at(sessions, {
    condition: state("sessions", {
      type: "Stalled",
      reason: "Drifted",
      message: "rebalance: levels 6 shards; policy.selfHeal is alert, so nothing is done about it",
      since: now - 2 * HOUR_MS,
    }),
    drifts: [skewed],
  });
  const ordersView = at(orders, {
    condition: state("orders", {
      type: "Reconciling",
      reason: "Applying",
      message: "Operation 6 (rebalance) is in step copy",
      since: now - 95 * SECOND_MS,
    }),
  });
  const eventsView = at(events, {
    condition: state("events", { message: "As declared: 1,000 members, epoch 7" }),
    maxSkew: 1.5,
  });
  const events_ = happened(now);
  const runs = recentRuns(now);
  const page = (
    view: NamespaceView,
    from: LiveNamespace,
    changes: Partial<NamespacePage>,
  ): NamespacePage => {
    const declared = spec(from.name, {
      object: from.object,
      shardKey: from.layout.kind === "none" ? "id" : from.layout.shardKey,
      count: from.layout.members.length,
      policy: { maxSkew: 1.5 },
    });
    return {
      ...surroundings,
      namespace: view,
      declared: describeSpec(declared),
      policy: describePolicy(declared),
      source: `manifests/${from.name}.yaml:4`,
      members: listMembers(from.members),
      history: [],
      problem: null,
      runs,
      events: events_.filter(({ namespace }) => namespace === from.name),
      capacity: { bytesMax: STORAGE_BYTES_MAX, maxFill: 0.7, forecast: { kind: "unknown" } },
      sizes: { points: [], members: [] },
      ...changes,
    };
  };
  const windowed = [{ start: "0 2 * * *", durationMs: 3 * HOUR_MS, timezone: "Europe/Berlin" }];
  const ordersSpec = spec("orders", {
    shardKey: "customer",
    count: 12,
    policy: { maxSkew: 1.5, windows: windowed },
  });
  const ordersFacts = { declared: describeSpec(ordersSpec), policy: describePolicy(ordersSpec) };
  const earlier = formerOperation(now);
  const held = rebalance(now, {
    step: "verify",
    rowsCopied: 401_120,
    rowsVerified: 188_400,
    wave: 3,
    waves: 21,
    bytesCopied: 401_120 * BYTES_PER_ROW,
    startedAt: now - 52 * MINUTE_MS,
    paused: {
      reason: "its window has closed",
      by: "shardctl reconciler",
      since: now - 25 * MINUTE_MS,
    },
    writePauseMs: { last: 18, max: 41 },
  });
  const heldView: NamespaceView = {
    ...ordersView,
    running: viewOperation(held),
    condition: state("orders", {
      type: "Reconciling",
      reason: "Paused",
      message: "Paused by shardctl reconciler: its window has closed",
      since: now - 25 * MINUTE_MS,
    }),
  };
  return {
    overview: overview({
      ...surroundings,
      namespaces: [sessionsView, ordersView, at(carts, {}), eventsView, at(invoices, {})],
      runs,
      reviews: reviews(now),
      plans: plans(now),
      events: events_,
    }),
    operation: page(ordersView, orders, {
      ...ordersFacts,
      history: [viewOperation(moving), viewOperation(earlier)],
    }),
    paused: page(heldView, orders, {
      ...ordersFacts,
      history: [viewOperation(held), viewOperation(earlier)],
    }),
    drift: page(sessionsView, sessions, {}),
    thousand: page(eventsView, events, {}),
  };
}

function rebalance(now: number, changes: Partial<OperationStatus> = {}): OperationStatus {
  const from = world("orders", { layout: hashOf("orders", 8, "customer"), rows: [], epoch: 12 });
  return runningOperation(from, hashOf("orders", 12, "customer"), {
    id: 6,
    kind: "rebalance",
    mode: "shift",
    step: "copy",
    waves: 0,
    rowsTotal: 401_120,
    rowsCopied: 248_693,
    bytesCopied: 248_693 * BYTES_PER_ROW,
    rowsVerified: 244_100,
    correlationId: "run-mgr1a2b3-4c5d6e7f:orders",
    requestedBy: "github-actions (lovelace)",
    startedAt: now - 95 * SECOND_MS,
    updatedAt: now - 2 * SECOND_MS,
    ...changes,
  });
}

function formerOperation(now: number): OperationStatus {
  const from = world("orders", { layout: hashOf("orders", 6, "customer"), rows: [], epoch: 11 });
  return runningOperation(from, hashOf("orders", 8, "customer"), {
    id: 5,
    kind: "rebalance",
    mode: "shift",
    state: "completed",
    step: "cleanUp",
    rowsTotal: 300_870,
    rowsCopied: 300_870,
    epochFrom: 11,
    epoch: 12,
    correlationId: "run-mgqz9y8x-6w5v4u3t:orders",
    requestedBy: "github-actions (hopper)",
    startedAt: now - 9 * DAY_MS,
    finishedAt: now - 9 * DAY_MS + 3 * MINUTE_MS,
    writePauseMs: { last: 14, max: 37 },
  });
}

const COUNTS: PlanSummary = {
  shard: 0,
  rebalance: 1,
  rekey: 0,
  unshard: 0,
  inSync: 4,
  policies: 0,
  notPlanned: 0,
  unmanaged: 0,
  blocks: 0,
  rowsMoved: 401_120,
  bytesMoved: 401_120 * BYTES_PER_ROW,
};

function recentRuns(now: number): readonly RunView[] {
  const run = (changes: Partial<RunView>): RunView => ({
    id: "run-mgr1a2b3-4c5d6e7f",
    environment: "production",
    state: "running",
    fingerprint: PLAN_A,
    requestedBy: "github-actions (lovelace)",
    pull: 128,
    commit: COMMIT,
    runUrl: "https://github.com/acme/shop/actions/runs/77",
    startedAt: now - 96 * SECOND_MS,
    finishedAt: null,
    counts: { running: 1 },
    failures: [],
    ...changes,
  });
  return [
    run({}),
    run({
      id: "run-mgqz9y8x-6w5v4u3t",
      state: "succeeded",
      fingerprint: PLAN_B,
      requestedBy: "github-actions (hopper)",
      pull: 121,
      commit: "a71f33d8".padEnd(40, "0"),
      startedAt: now - 9 * DAY_MS,
      finishedAt: now - 9 * DAY_MS + 3 * MINUTE_MS,
      counts: { done: 2 },
    }),
  ];
}

function reviews(now: number): readonly ReviewView[] {
  return [
    {
      pull: 128,
      headSha: COMMIT,
      fingerprint: PLAN_A,
      requestedBy: "github-actions (lovelace)",
      reviewedAt: now - HOUR_MS,
      runUrl: "https://github.com/acme/shop/actions/runs/76",
      releasedBy: null,
      plan: COUNTS,
    },
    {
      pull: 131,
      headSha: "c5d1e0aa".padEnd(40, "0"),
      fingerprint: PLAN_B,
      requestedBy: "shardctl",
      reviewedAt: now - 3 * HOUR_MS,
      runUrl: null,
      releasedBy: null,
      plan: {
        ...COUNTS,
        rebalance: 0,
        shard: 1,
        rowsMoved: 418_092,
        bytesMoved: 418_092 * BYTES_PER_ROW,
      },
    },
  ];
}

function plans(now: number): readonly StoredPlanView[] {
  return [{ fingerprint: PLAN_A, storedAt: now - HOUR_MS, plan: COUNTS }];
}

function happened(now: number): readonly HistoryEvent[] {
  const by = "github-actions (lovelace)";
  const told = (
    id: number,
    ago: number,
    changes: Partial<HistoryEvent> & Pick<HistoryEvent, "kind" | "summary">,
  ): HistoryEvent => event({ ...changes, id, at: now - ago });
  return [
    told(48, 96 * SECOND_MS, {
      kind: "run",
      summary: "the run started: 1 change",
      actor: by,
      pull: 128,
      commit: COMMIT,
      run: "run-mgr1a2b3-4c5d6e7f",
    }),
    told(47, HOUR_MS, {
      kind: "review",
      summary: "the plan was shown in pull request #128",
      actor: by,
      pull: 128,
      commit: COMMIT,
    }),
    told(46, 2 * HOUR_MS, {
      kind: "alert",
      summary: "the alert was opened: issue #130",
      commit: COMMIT,
    }),
    told(45, 2 * HOUR_MS, {
      kind: "drift",
      namespace: "sessions",
      summary: "skew: more uneven than policy.maxSkew 1.5 allows",
      commit: COMMIT,
    }),
    told(44, 26 * HOUR_MS, {
      kind: "operation",
      namespace: "carts",
      summary: "rebalance 3 → 4 members, operation 2 completed",
      actor: "hopper",
      rowsMoved: 20_412,
      durationMs: 31_800,
    }),
    told(43, 9 * DAY_MS, {
      kind: "operation",
      namespace: "orders",
      summary: "rebalance 6 → 8 members, operation 5 completed",
      actor: "github-actions (hopper)",
      pull: 121,
      commit: "a71f33d8".padEnd(40, "0"),
      run: "run-mgqz9y8x-6w5v4u3t",
      rowsMoved: 300_870,
      durationMs: 3 * MINUTE_MS,
    }),
  ];
}
