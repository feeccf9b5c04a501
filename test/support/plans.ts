/**
 * Plans for golden files: made by `buildPlan` from rows, so that what is printed is what users see.
 */
import type { Change, Plan } from "../../src/model/plan.ts";
import { buildPlan } from "../../src/planning/build-plan.ts";
import { failure } from "../../src/model/result.ts";
import { decideNamespace } from "../../src/planning/decide-namespace.ts";
import { planOf } from "./check-plan.ts";
import {
  type Row,
  type NamespaceFixture,
  applied,
  desired,
  hashOf,
  integerRows,
  liveState,
  rowsOf,
  runningOperation,
  spec,
  world,
} from "./state.ts";

/** Rows under two keys: their own, and one of a few tenants or none. */
function eventRows(count: number, tenantOf: (index: number) => string | null): Row[] {
  return rowsOf(count, "event-").map((row, index) => ({
    ...row,
    bytes: 740,
    other: tenantOf(index),
  }));
}

const fiveSpecs = [
  spec("orders", { shardKey: "id", policy: { maxSkew: 1.5 } }),
  spec("sessions", { count: 12 }),
  spec("events", { shardKey: "data.tenantId" }),
  spec("archive", { strategy: "none" }),
  spec("carts", { strategy: "range", count: 2 }),
  spec("visits", { strategy: "range", count: 4, dependsOn: ["sessions"] }),
];
const fiveWorlds = [
  world("orders", {
    rows: rowsOf(12_043).map((row) => ({ ...row, bytes: 1234 })),
    undeclaredTables: ["audit_log", "notes"],
  }),
  world("sessions", { rows: rowsOf(4011, "s-"), layout: hashOf("sessions", 8), epoch: 12 }),
  world("events", {
    rows: eventRows(2000, (index) => (index % 8 === 0 ? null : `t${index % 400}`)),
    layout: hashOf("events", 8),
    epoch: 5,
  }),
  world("archive", { rows: rowsOf(900, "a-"), layout: hashOf("archive", 4) }),
  world("carts", { rows: integerRows(400), layout: hashOf("carts", 2) }),
  world("visits", { rows: integerRows(1000), layout: { ...hashOf("visits", 4) } }),
];

/** Every kind of change, in sync, and a block. */
export async function everyKindPlan(): Promise<Plan> {
  return planOf(
    desired(
      ...fiveSpecs.filter(({ name }) => name !== "carts" && name !== "visits"),
      spec("carts", { count: 2 }),
      spec("visits", { strategy: "range", count: 4, dependsOn: ["sessions"] }),
    ),
    fiveWorlds,
  );
}

/** Nothing but blocks: every guard that a few namespaces can raise. */
export async function blockedPlan(): Promise<Plan> {
  const worlds = [
    world("busy", { rows: rowsOf(10) }),
    world("tenants", {
      rows: rowsOf(1000).map((row, index) => ({ ...row, other: index % 2 ? "one" : "two" })),
    }),
    world("frozen", { rows: rowsOf(5000) }),
    world("ranges"),
  ];
  const busy = worlds[0] as NamespaceFixture;
  const state = desired(
    spec("busy"),
    spec("tenants", { shardKey: "tenant" }),
    spec("frozen", {
      policy: {
        suspend: true,
        budgetRows: 1000,
        windows: [{ start: "0 2 * * 1-5", durationMs: 7_200_000, timezone: "Europe/Berlin" }],
      },
    }),
    spec("ranges", { strategy: "range" }),
    spec("lost", { object: "LOST" }),
  );
  const live = liveState(state, [
    { ...busy, operation: runningOperation(busy, hashOf("busy", 8)) },
    ...worlds.slice(1),
  ]);
  const unbound = failure({ kind: "unbound", message: "env has no LOST" } as const);
  const lost = {
    ref: { name: "lost", object: "LOST" },
    namespace: unbound,
    decided: decideNamespace(spec("lost", { object: "LOST" }), unbound),
    distribution: null,
  };
  return buildPlan({
    desired: state,
    live: { namespaces: [...live.namespaces, lost] },
    isWindowOpen: ({ name }) => name !== "frozen",
  });
}

/** Policies that change beside a change that they would help, under a floor of the owner. */
export async function governedPlan(): Promise<Plan> {
  const night = { start: "0 2 * * 1-5", durationMs: 7_200_000, timezone: "Europe/Berlin" };
  const noon = { start: "0 12 * * *", durationMs: 3_600_000, timezone: "UTC" };
  const state = desired(
    spec("orders", { count: 12, policy: { budgetRows: 1_000_000, windows: [] } }),
    spec("carts", { strategy: "none", policy: { selfHeal: "apply", retainHours: 0, maxSkew: 5 } }),
    spec("archive", {
      strategy: "none",
      policy: { suspend: true, onMissingKey: "allow", rowsPerSecondMax: 20_000, windows: [noon] },
    }),
  );
  const worlds = [
    world("orders", { rows: rowsOf(3000), layout: hashOf("orders", 8) }),
    world("carts", { rows: rowsOf(3) }),
    world("archive", { rows: rowsOf(3) }),
  ];
  return buildPlan({
    desired: state,
    live: liveState(state, worlds),
    applied: applied({
      orders: { budgetRows: 100, windows: [night] },
      archive: { windows: [night, noon] },
    }),
    floors: { maxSkew: 2 },
    isWindowOpen: ({ policy }) => policy.windows.length === 0,
  });
}

/** Nothing to do. */
export async function emptyPlan(): Promise<Plan> {
  return planOf(desired(spec("carts", { strategy: "none" }), spec("orders")), [
    world("carts", { rows: rowsOf(3) }),
    world("orders", { rows: rowsOf(2000), layout: hashOf("orders", 8) }),
  ]);
}

/** Counted from every tenth row. */
export async function estimatedPlan(): Promise<Plan> {
  const state = desired(spec("orders"));
  const live = liveState(state, [world("orders", { rows: rowsOf(80_000) })]);
  const namespaces = live.namespaces.map((entry) =>
    entry.distribution?.ok
      ? {
          ...entry,
          distribution: {
            ok: true as const,
            value: { ...entry.distribution.value, sampledEvery: 10 },
          },
        }
      : entry,
  );
  return buildPlan({ desired: state, live: { namespaces } });
}

/** Live, but declared by nobody. */
export async function unmanagedPlan(): Promise<Plan> {
  return planOf(desired(spec("carts", { strategy: "none" })), [
    world("carts"),
    world("legacy", { rows: rowsOf(4321), layout: hashOf("legacy", 4) }),
  ]);
}

/**
 * As many changes as asked for, each moving between many members, and twice as many namespaces in
 * sync.
 */
export async function hugePlan(changes: number): Promise<Plan> {
  const plan = await planOf(desired(spec("orders", { count: 12 })), [
    world("orders", { rows: rowsOf(3000), layout: hashOf("orders", 8) }),
  ]);
  const [one] = plan.changes;
  if (!one) throw new Error("The model plan has one change");
  const nameOf = (index: number): string => `orders-${String(index).padStart(5, "0")}`;
  return {
    ...plan,
    changes: Array.from({ length: changes }, (_, index): Change => ({
      ...one,
      namespace: nameOf(index),
    })),
    inSync: Array.from({ length: changes * 2 }, (_, index) => ({
      namespace: nameOf(changes + index),
      object: "ORDERS",
      strategy: "hash",
      members: 8,
      rows: 3000,
      bytes: 300_000,
      skew: 1.1,
      epoch: 3,
    })),
    blocks: Array.from({ length: changes }, (_, index) => ({
      guard: "skew",
      namespace: nameOf(index),
      message:
        "skew 6.10 after the change is above policy.maxSkew 1.5: raise policy.maxSkew, choose another key, or apply with --override skew",
      overridable: true,
    })),
    notices: Array.from({ length: changes }, (_, index) => ({
      kind: "staysBehind",
      namespace: nameOf(index),
      message: "1 table stays where it is: notes",
    })),
  };
}
