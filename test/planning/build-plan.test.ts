import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { toKey } from "../../src/model/layout/key.ts";
import { withDirectory } from "../../src/model/layout/directory.ts";
import { type Layout, shardNames, unshardedLayout } from "../../src/model/layout/layout.ts";
import type { Partitioners } from "../../src/model/layout/partitioners.ts";
import { operationModeFor } from "../../src/model/operation-mode.ts";
import { buildPlan } from "../../src/planning/build-plan.ts";
import { failure, success } from "../../src/model/result.ts";
import { decideNamespace } from "../../src/planning/decide-namespace.ts";
import { SLOT_COUNT, slotOf } from "../../src/model/layout/slots.ts";
import type { NamespaceSpec } from "../../src/model/spec.ts";
import { customLayout } from "../../src/model/strategies/custom.ts";
import { roundRobinLayout } from "../../src/model/strategies/round-robin.ts";
import { applyPlanTo, checkPlan, planOf } from "../support/check-plan.ts";
import {
  type Row,
  type NamespaceFixture,
  desired,
  hashOf,
  integerRows,
  liveEntry,
  liveNamespace,
  liveState,
  rangeOf,
  rowsOf,
  runningOperation,
  spec,
  withLive,
  world,
} from "../support/state.ts";
import { tries } from "../support/sample.ts";

const byDigit: Partitioners = {
  byDigit: { version: 2, owner: (key, count) => Number(key.text.at(-1) ?? 0) % count },
};

function roundRobin(count: number, generation = 0): Layout {
  return roundRobinLayout("id", generation, shardNames("orders", generation, count));
}

function custom(count: number, version: number, generation = 0): Layout {
  return customLayout("id", generation, shardNames("orders", generation, count), {
    name: "byDigit",
    version,
  });
}

/** Rows with a second key: the tenant, of which there are as many as asked for. */
function tenantRows(count: number, tenants: number): Row[] {
  return rowsOf(count).map((row, index) => ({ ...row, other: `tenant-${index % tenants}` }));
}

/** 800 rows all over, and 40 in each of 15 slots of the first of eight shards. */
const skewedRows: Row[] = [
  ...rowsOf(800),
  ...Array.from({ length: 1000 }, (_, tag) => `{t${tag}}`)
    .filter((tag) => slotOf(toKey(tag)) < SLOT_COUNT / 8)
    .slice(0, 15)
    .flatMap((tag) =>
      Array.from({ length: 40 }, (_, row) => ({ key: `${tag}${row}`, bytes: 100 })),
    ),
];

interface Case {
  readonly name: string;
  readonly spec: NamespaceSpec;
  readonly live: Partial<NamespaceFixture>;
  /** "in sync", or kind, kind of target, generation of target, mode, reason. */
  readonly expected: string;
  readonly blocked?: readonly string[];
}

const cases: readonly Case[] = [
  {
    name: "unsharded, none declared",
    spec: spec("orders", { strategy: "none" }),
    live: { rows: rowsOf(10) },
    expected: "in sync",
  },
  {
    name: "unsharded, hash declared",
    spec: spec("orders"),
    live: { rows: rowsOf(2000) },
    expected: "shard hash g0 swap: not sharded yet",
  },
  {
    name: "empty, hash declared",
    spec: spec("orders"),
    live: {},
    expected: "shard hash g0 swap: not sharded yet",
  },
  {
    name: "one row into 1000 shards",
    spec: spec("orders", { count: 1000 }),
    live: { rows: rowsOf(1) },
    expected: "shard hash g0 swap: not sharded yet",
  },
  {
    name: "unsharded again at generation 3",
    spec: spec("orders"),
    live: { rows: rowsOf(2000), layout: unshardedLayout("orders", 3) },
    expected: "shard hash g3 swap: not sharded yet",
  },
  {
    name: "every row has the same key",
    spec: spec("orders"),
    live: { rows: Array.from({ length: 500 }, () => ({ key: "same", bytes: 1 })) },
    expected: "shard hash g0 swap: not sharded yet",
    blocked: ["skew"],
  },
  {
    name: "hash, as declared",
    spec: spec("orders"),
    live: { rows: rowsOf(2000), layout: hashOf("orders", 8) },
    expected: "in sync",
  },
  {
    name: "hash, with a directory",
    spec: spec("orders", { directory: true }),
    live: { rows: rowsOf(300) },
    expected: "shard hash g0 swap: not sharded yet",
  },
  {
    name: "hash, a directory switched on",
    spec: spec("orders", { directory: true }),
    live: { rows: rowsOf(300), layout: hashOf("orders", 8) },
    expected: "rekey hash g1 swap: directory false → true",
  },
  {
    name: "range, a directory switched off",
    spec: spec("orders", { strategy: "range", count: 2 }),
    live: { rows: rowsOf(300), layout: withDirectory(rangeOf("orders", [150]), true) },
    expected: "rekey range g1 swap: directory true → false",
  },
  {
    name: "hash with a directory, the same",
    spec: spec("orders", { directory: true }),
    live: { rows: rowsOf(300), layout: withDirectory(hashOf("orders", 8), true) },
    expected: "in sync",
  },
  {
    name: "hash with a directory, more shards",
    spec: spec("orders", { count: 12, directory: true }),
    live: { rows: rowsOf(3000), layout: withDirectory(hashOf("orders", 8), true) },
    expected: "rebalance hash g0 shift: count 8 → 12",
  },
  {
    name: "range with a directory, more shards: all rows are copied",
    spec: spec("orders", { strategy: "range", count: 3, directory: true }),
    live: { rows: rowsOf(300), layout: withDirectory(rangeOf("orders", [150]), true) },
    expected: "rebalance range g1 swap: count 2 → 3",
  },
  {
    name: "hash, more shards",
    spec: spec("orders", { count: 12 }),
    live: { rows: rowsOf(3000), layout: hashOf("orders", 8) },
    expected: "rebalance hash g0 shift: count 8 → 12",
  },
  {
    name: "hash, fewer shards",
    spec: spec("orders", { count: 3 }),
    live: { rows: rowsOf(3000), layout: hashOf("orders", 8, "id", 2) },
    expected: "rebalance hash g2 shift: count 8 → 3",
  },
  {
    name: "hash, one shard",
    spec: spec("orders", { count: 1 }),
    live: { rows: rowsOf(300), layout: hashOf("orders", 8) },
    expected: "rebalance hash g0 shift: count 8 → 1",
  },
  {
    name: "hash, skewed",
    spec: spec("orders", { count: 8 }),
    live: { rows: skewedRows, layout: hashOf("orders", 8) },
    expected: "rebalance hash g0 shift: skew 3.95 is above 1.5",
  },
  {
    name: "hash, skewed by one key that cannot be split",
    spec: spec("orders"),
    live: {
      rows: [...rowsOf(800), ...Array.from({ length: 2000 }, () => ({ key: "same", bytes: 1 }))],
      layout: hashOf("orders", 8),
    },
    expected: "in sync",
  },
  {
    name: "hash, other key",
    spec: spec("orders", { shardKey: "tenant" }),
    live: { rows: tenantRows(4000, 1000), layout: hashOf("orders", 8, "id", 1) },
    expected: "rekey hash g2 swap: key id → tenant",
  },
  {
    name: "hash, other key with few values",
    spec: spec("orders", { shardKey: "tenant" }),
    live: { rows: tenantRows(4000, 3), layout: hashOf("orders", 8) },
    expected: "rekey hash g1 swap: key id → tenant",
    blocked: ["skew"],
  },
  {
    name: "hash, other key that some rows lack",
    spec: spec("orders", { shardKey: "tenant" }),
    live: {
      rows: tenantRows(4000, 1000).map((row, index) => (index % 40 === 0 ? { key: row.key } : row)),
      layout: hashOf("orders", 8),
    },
    expected: "rekey hash g1 swap: key id → tenant",
    blocked: ["missingKey"],
  },
  {
    name: "hash, unsharded declared",
    spec: spec("orders", { strategy: "none" }),
    live: { rows: rowsOf(500), layout: hashOf("orders", 4, "id", 1) },
    expected: "unshard none g2 swap: declared unsharded",
  },
  {
    name: "hash → range",
    spec: spec("orders", { strategy: "range", count: 4 }),
    live: { rows: integerRows(1000), layout: hashOf("orders", 4) },
    expected: "rekey range g1 swap: strategy hash → range",
  },
  {
    name: "unsharded, range with split points",
    spec: spec("orders", { strategy: "range", count: 3, splitPoints: [toKey(300), toKey(700)] }),
    live: { rows: integerRows(1000) },
    expected: "shard range g0 swap: not sharded yet",
  },
  {
    name: "unsharded, range by quantiles",
    spec: spec("orders", { strategy: "range", count: 5 }),
    live: { rows: integerRows(1003) },
    expected: "shard range g0 swap: not sharded yet",
  },
  {
    name: "empty, range with split points",
    spec: spec("orders", { strategy: "range", count: 3, splitPoints: [toKey("h"), toKey("p")] }),
    live: {},
    expected: "shard range g0 swap: not sharded yet",
  },
  {
    name: "range, as declared",
    spec: spec("orders", { strategy: "range", count: 2, splitPoints: [toKey(500)] }),
    live: { rows: integerRows(1000), layout: rangeOf("orders", [500]) },
    expected: "in sync",
  },
  {
    name: "range, other split points",
    spec: spec("orders", { strategy: "range", count: 2, splitPoints: [toKey(400)] }),
    live: { rows: integerRows(1000), layout: rangeOf("orders", [500]) },
    expected: "rebalance range g0 shift: other split points (1)",
  },
  {
    name: "range, more shards",
    spec: spec("orders", { strategy: "range", count: 8 }),
    live: { rows: integerRows(2000), layout: rangeOf("orders", [500, 1000, 1500]) },
    expected: "rebalance range g0 shift: count 4 → 8",
  },
  {
    name: "range, fewer shards",
    spec: spec("orders", { strategy: "range", count: 2 }),
    live: { rows: integerRows(2000), layout: rangeOf("orders", [500, 1000, 1500]) },
    expected: "rebalance range g0 shift: count 4 → 2",
  },
  {
    name: "range, skewed",
    spec: spec("orders", { strategy: "range", count: 4 }),
    live: { rows: integerRows(2000), layout: rangeOf("orders", [100, 200, 300]) },
    expected: "rebalance range g0 shift: skew 3.40 is above 1.5",
  },
  {
    name: "range, skewed as declared",
    spec: spec("orders", {
      strategy: "range",
      count: 4,
      splitPoints: [toKey(100), toKey(200), toKey(300)],
    }),
    live: { rows: integerRows(2000), layout: rangeOf("orders", [100, 200, 300]) },
    expected: "in sync",
  },
  {
    name: "unsharded, custom declared",
    spec: spec("orders", {
      strategy: "custom",
      count: 4,
      partitioner: "byDigit",
      policy: { maxSkew: 2 },
    }),
    live: { rows: integerRows(1000), partitioners: byDigit },
    expected: "shard custom g0 swap: not sharded yet",
  },
  {
    name: "custom, as declared",
    spec: spec("orders", { strategy: "custom", count: 5, partitioner: "byDigit" }),
    live: { rows: integerRows(1000), layout: custom(5, 2), partitioners: byDigit },
    expected: "in sync",
  },
  {
    name: "custom, other count",
    spec: spec("orders", { strategy: "custom", count: 10, partitioner: "byDigit" }),
    live: { rows: integerRows(1000), layout: custom(5, 2), partitioners: byDigit },
    expected: "rebalance custom g1 swap: count 5 → 10",
  },
  {
    name: "custom, skewed by the partitioner",
    spec: spec("orders", {
      strategy: "custom",
      count: 8,
      partitioner: "byDigit",
      policy: { maxSkew: 1.2 },
    }),
    live: { rows: integerRows(4000), layout: custom(8, 2), partitioners: byDigit },
    expected: "in sync",
  },
  {
    name: "unsharded, roundRobin declared",
    spec: spec("orders", { strategy: "roundRobin", count: 4 }),
    live: { rows: rowsOf(1002) },
    expected: "shard roundRobin g0 swap: not sharded yet",
  },
  {
    name: "roundRobin, other count",
    spec: spec("orders", { strategy: "roundRobin", count: 6 }),
    live: { rows: rowsOf(1000), layout: roundRobin(4) },
    expected: "rebalance roundRobin g1 swap: count 4 → 6",
  },
  {
    name: "roundRobin → none",
    spec: spec("orders", { strategy: "none" }),
    live: { rows: rowsOf(1000), layout: roundRobin(4) },
    expected: "unshard none g1 swap: declared unsharded",
  },
  {
    name: "hash → roundRobin",
    spec: spec("orders", { strategy: "roundRobin", count: 4 }),
    live: { rows: rowsOf(1000), layout: hashOf("orders", 4) },
    expected: "rekey roundRobin g1 swap: strategy hash → roundRobin",
  },
  {
    name: "the names of the next generation are taken by hand",
    spec: spec("orders", { shardKey: "tenant", count: 2 }),
    live: {
      rows: tenantRows(1000, 500),
      layout: {
        ...hashOf("orders", 1),
        members: ["orders-g1-shard-1"],
        ranges: [{ end: 16_384, member: "orders-g1-shard-1" }],
      } as Layout,
    },
    expected: "rekey hash g2 swap: key id → tenant",
  },
];

describe("from declared and live to a change that does what it says", () => {
  it.each(cases)("$name", async ({ spec: wanted, live, expected, blocked = [] }) => {
    const worlds = [world("orders", live)];
    const plan = await planOf(desired(wanted), worlds);
    const said = plan.changes.map(
      ({ kind, from, to, reason }) =>
        `${kind} ${to.kind} g${to.generation} ${operationModeFor(from, to)}: ${reason}`,
    );
    expect(said).toEqual(expected === "in sync" ? [] : [expected]);
    expect(plan.inSync.map(({ namespace }) => namespace)).toEqual(
      expected === "in sync" ? ["orders"] : [],
    );
    expect(plan.blocks.map(({ guard }) => guard)).toEqual(blocked);
    expect(await checkPlan(desired(wanted), worlds, plan)).toBe(plan.changes.length);
  });
});

describe("skew", () => {
  it("is levelled within the policy by a rebalance", async () => {
    const worlds = [world("orders", { rows: skewedRows, layout: hashOf("orders", 8) })];
    const plan = await planOf(desired(spec("orders")), worlds);
    expect(plan.changes[0]?.skewAfter).toBeLessThanOrEqual(1.25);
    expect(plan.changes[0]?.rowsMoved).toBeLessThan(700);
    expect(plan.notices).toEqual([]);
  });

  it("that a rebalance can lower but not cure gets a notice and no block", async () => {
    const heavy = Array.from({ length: 2000 }, () => ({ key: "{x}", bytes: 1 }));
    const light = Array.from({ length: 1500 }, (_, index) => ({
      key: `{light${index}}`,
      bytes: 1,
    }));
    // Everything lies on one of the two members.
    const layout = {
      ...hashOf("orders", 2),
      ranges: [
        { end: 1, member: "orders-shard-1" },
        { end: 16_384, member: "orders-shard-0" },
      ],
    } as Layout;
    const wanted = desired(spec("orders", { count: 2, policy: { maxSkew: 1.1 } }));
    const worlds = [world("orders", { rows: [...heavy, ...light], layout })];
    const plan = await planOf(wanted, worlds);
    expect(plan.changes[0]?.skewAfter).toBeCloseTo(2000 / 1750, 6);
    expect(plan.blocks).toEqual([]);
    expect(plan.notices.map(({ kind }) => kind)).toEqual(["skewRemains", "largeKey"]);
    expect(await checkPlan(wanted, worlds, plan)).toBe(1);
  });

  it("that no rebalance can lower is reported as remaining", async () => {
    const rows = [
      ...rowsOf(800),
      ...Array.from({ length: 2000 }, () => ({ key: "same", bytes: 1 })),
    ];
    const plan = await planOf(desired(spec("orders")), [
      world("orders", { rows, layout: hashOf("orders", 8) }),
    ]);
    expect(plan.notices.map(({ kind, message }) => `${kind}: ${message}`)).toEqual([
      expect.stringMatching(
        /^skewRemains: skew \d\.\d\d is above policy.maxSkew 1.5, but a rebalance would not help: /,
      ),
    ]);
  });

  it("that the policy tolerates adds no moves to a count change", async () => {
    const rows = [
      ...rowsOf(1600),
      ...Array.from({ length: 150 }, (_, row) => ({ key: `{one}${row}`, bytes: 1 })),
    ];
    const plan = await planOf(desired(spec("orders", { count: 4 })), [
      world("orders", { rows, layout: hashOf("orders", 2) }),
    ]);
    const [change] = plan.changes;
    expect(change?.skewAfter).toBeGreaterThan(1.25);
    expect(change?.skewAfter).toBeLessThan(1.5);
    expect(new Set(change?.moves.map(({ target }) => target))).toEqual(
      new Set(["orders-shard-2", "orders-shard-3"]),
    );
  });

  it("above the policy after a count change is levelled in the same change", async () => {
    const worlds = [world("orders", { rows: skewedRows, layout: hashOf("orders", 6) })];
    const wanted = desired(spec("orders", { count: 8 }));
    const plan = await planOf(wanted, worlds);
    expect(plan.changes[0]?.reason).toBe("count 6 → 8");
    expect(plan.changes[0]?.skewAfter).toBeLessThanOrEqual(1.25);
    expect(await checkPlan(wanted, worlds, plan)).toBe(1);
  });

  it("of a roundRobin layout is dealt out anew", async () => {
    const from = world("orders", { rows: rowsOf(4000), layout: roundRobin(4) });
    const wanted = spec("orders", { strategy: "roundRobin", count: 4 });
    const live = liveNamespace(from);
    const rows = [3997, 1, 1, 1];
    const members = live.members.map((member, index) => ({ ...member, rows: rows[index] ?? 0 }));
    const entry = withLive(liveEntry(from, wanted), wanted, success({ ...live, members }));
    const plan = await buildPlan({ desired: desired(wanted), live: { namespaces: [entry] } });
    expect(
      plan.changes.map(({ to, reason, skewAfter, rowsMoved }) => ({
        members: to.members,
        reason,
        skewAfter,
        rowsMoved,
      })),
    ).toEqual([
      {
        members: shardNames("orders", 1, 4),
        reason: "skew 4.00 is above 1.5",
        skewAfter: 1,
        rowsMoved: 4000,
      },
    ]);
  });

  it("of a namespace with a silent member is not judged", async () => {
    const from = world("orders", { rows: rowsOf(2000), layout: hashOf("orders", 8) });
    const entry = liveEntry(from, spec("orders"));
    const live = liveNamespace(from);
    const members = live.members.map((member, index) =>
      index === 0
        ? { ...member, rows: 20_000 }
        : index === 1
          ? { ...member, rows: 0, healthy: false, error: "timeout" }
          : member,
    );
    const plan = await buildPlan({
      desired: desired(spec("orders")),
      live: { namespaces: [withLive(entry, spec("orders"), success({ ...live, members }))] },
    });
    expect(plan.changes).toEqual([]);
    expect(plan.notices).toEqual([
      {
        kind: "unhealthy",
        namespace: "orders",
        message:
          "1 of 8 members did not answer (orders-shard-1: timeout): plan again when it answers",
      },
    ]);
  });
});

describe("what gives no change", () => {
  const orders = world("orders", { rows: rowsOf(100) });
  const firstBlock = async (
    wanted: NamespaceSpec,
    live: readonly NamespaceFixture[] = [orders],
  ) => {
    const plan = await planOf(desired(wanted), live);
    expect(plan.changes).toEqual([]);
    expect(plan.inSync).toEqual([]);
    return plan.blocks.map(
      ({ guard, overridable, message }) =>
        `${guard}${overridable ? " (overridable)" : ""}: ${message}`,
    )[0];
  };

  it("a running operation", async () => {
    const operation = runningOperation(orders, hashOf("orders", 8));
    expect(await firstBlock(spec("orders"), [{ ...orders, operation }])).toBe(
      "operationRunning: operation 7 (shard, step copy) is running: plan again when it has ended; see 'shardctl status orders'",
    );
  });

  it("an ended operation does not stand in the way", async () => {
    const operation = runningOperation(orders, hashOf("orders", 8), { state: "failed" });
    expect(
      (await planOf(desired(spec("orders")), [{ ...orders, operation }])).changes,
    ).toHaveLength(1);
  });

  it("an unknown partitioner", async () => {
    expect(
      await firstBlock(spec("orders", { strategy: "custom", partitioner: "byRegion" }), [
        { ...orders, partitioners: byDigit },
      ]),
    ).toBe(
      "unsupported: the class registers no partitioner 'byRegion' (registered: byDigit v2): register it and deploy, or correct spec.partitioner",
    );
  });

  it("range without split points over no rows, or over too few values", async () => {
    expect(
      await firstBlock(spec("orders", { strategy: "range", count: 3 }), [world("orders")]),
    ).toBe(
      "unsupported: an empty namespace has no keys to choose split points from: declare 2 spec.splitPoints",
    );
    const rows = Array.from({ length: 50 }, (_, index) => ({ key: index % 2, bytes: 1 }));
    expect(
      await firstBlock(spec("orders", { strategy: "range", count: 3 }), [
        world("orders", { rows }),
      ]),
    ).toBe(
      "unsupported: the 50 rows have too few different values of id for 3 ranges: declare spec.splitPoints or lower spec.count",
    );
  });

  it("an undeclared dependency, or a circle", async () => {
    expect(await firstBlock(spec("orders", { dependsOn: ["users"] }))).toContain(
      "spec.dependsOn names users, which no manifest declares",
    );
    const plan = await planOf(
      desired(spec("a", { dependsOn: ["b"] }), spec("b", { dependsOn: ["a"] })),
      [world("a"), world("b")],
    );
    expect(plan.changes).toEqual([]);
    expect(plan.blocks.map(({ namespace, guard }) => `${namespace} ${guard}`)).toEqual([
      "a unsupported",
      "b unsupported",
    ]);
  });

  it.each([
    [
      "unbound",
      "the Worker has no Durable Object binding ORDERS (why): bind it and deploy, or correct spec.object",
    ],
    [
      "notShardable",
      "the class behind ORDERS does not answer as a shardctl host (why): add ShardHost to it and deploy, or correct spec.object",
    ],
    ["unreachable", "did not answer (why): plan again when it does"],
    ["refused", "refused to be read (why); see 'shardctl status orders'"],
  ] as const)("a namespace that is %s", async (kind, message) => {
    const namespace = failure({ kind, message: "why" });
    const entry = {
      ref: { name: "orders", object: "ORDERS" },
      namespace,
      decided: decideNamespace(spec("orders"), namespace),
      distribution: null,
    };
    const plan = await buildPlan({
      desired: desired(spec("orders")),
      live: { namespaces: [entry] },
    });
    expect(plan.blocks).toEqual([
      { guard: "unreadable", namespace: "orders", message, overridable: false },
    ]);
    expect([plan.changes, plan.inSync]).toEqual([[], []]);
  });

  it("a namespace that nobody read, or whose rows could not be counted", async () => {
    const unread = await buildPlan({ desired: desired(spec("orders")), live: { namespaces: [] } });
    expect(unread.blocks.map(({ guard }) => guard)).toEqual(["unreadable"]);
    const entry = {
      ...liveEntry(orders, spec("orders")),
      distribution: failure({ kind: "unreachable", message: "timeout" } as const),
    };
    const uncounted = await buildPlan({
      desired: desired(spec("orders")),
      live: { namespaces: [entry] },
    });
    expect(uncounted.blocks.map(({ message }) => message)).toEqual([
      "the rows could not be counted by id (timeout): plan again",
    ]);
  });

  it("a shard key that the tables do not have", async () => {
    const refused = failure({
      kind: "refused",
      reason: "fault",
      message: "Table 'orders' has no column 'id'",
    } as const);
    const entry = { ...liveEntry(orders, spec("orders")), distribution: refused };
    const plan = await buildPlan({
      desired: desired(spec("orders")),
      live: { namespaces: [entry] },
    });
    expect(plan.blocks.map(({ message }) => message)).toEqual([
      "the rows could not be counted by id (Table 'orders' has no column 'id'): correct spec.shardKey, or the tables of the class",
    ]);
  });

  it("counts that are missing", async () => {
    const entry = { ...liveEntry(orders, spec("orders")), distribution: null };
    const plan = await buildPlan({
      desired: desired(spec("orders")),
      live: { namespaces: [entry] },
    });
    expect(plan.blocks.map(({ message }) => message)).toEqual([
      "the rows could not be counted by id (the counts are missing): plan again",
    ]);
  });
});

describe("unmanaged namespaces", () => {
  it("are left alone with a notice, also when the same name is declared in another object", async () => {
    const worlds = [
      world("orders", { rows: rowsOf(10) }),
      world("orders", { object: "OLD", rows: rowsOf(3) }),
      world("carts"),
    ];
    const plan = await planOf(desired(spec("orders", { strategy: "none" })), worlds);
    expect(plan.changes).toEqual([]);
    expect(
      plan.notices.map(({ kind, namespace, message }) => `${kind} ${namespace}: ${message}`),
    ).toEqual([
      "unmanaged carts: is live in ORDERS (0 rows on 1 member) and no manifest declares it: it is left alone; 'shardctl import' writes its manifest",
      "unmanaged orders: is live in OLD (3 rows on 1 member) and no manifest declares it: it is left alone; 'shardctl import' writes its manifest",
    ]);
  });
});

describe("the order of changes", () => {
  it("puts dependencies first, then names, also through namespaces that do not change", async () => {
    const names = ["a", "b", "c", "d", "e"];
    const wanted = desired(
      spec("a", { dependsOn: ["c"] }),
      spec("b"),
      spec("c", { dependsOn: ["e"], strategy: "none", shardKey: null, count: 1 }),
      spec("d"),
      spec("e"),
    );
    const plan = await planOf(
      wanted,
      names.map((name) => world(name, { rows: rowsOf(10) })),
    );
    expect(plan.changes.map(({ namespace }) => namespace)).toEqual(["b", "d", "e", "a"]);
  });
});

it("says what stays behind", async () => {
  const plan = await planOf(desired(spec("orders")), [
    world("orders", { rows: rowsOf(100), undeclaredTables: ["notes", "audit"] }),
  ]);
  expect(plan.changes[0]?.staysBehind).toEqual(["audit", "notes"]);
  expect(plan.notices[0]?.message).toBe(
    "2 tables stay where they are, because the class declares no table spec: audit, notes",
  );
});

it("says how far a sampled count may be off", async () => {
  const wanted = desired(spec("orders"));
  const live = liveState(wanted, [world("orders", { rows: rowsOf(8000) })]);
  const sampled = live.namespaces.map((entry) =>
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
  const plan = await buildPlan({ desired: wanted, live: { namespaces: sampled } });
  // About 100 rows of each member were read: 1.96 / sqrt(100), a little less because one in ten is
  // known.
  expect(plan.changes[0]?.estimate?.error).toBeGreaterThan(0.15);
  expect(plan.changes[0]?.estimate?.error).toBeLessThan(0.2);
  expect(plan.notices[0]?.message).toMatch(
    /^counts are estimates: every 10th row was read, the fullest member may differ by ± 1\d\.\d %$/,
  );
});

describe("any two declarations in turn", () => {
  const declaration: fc.Arbitrary<NamespaceSpec> = fc
    .record({
      strategy: fc.constantFrom("hash", "range", "roundRobin", "custom", "none"),
      count: fc.integer({ min: 1, max: 9 }),
      shardKey: fc.constantFrom("id", "tenant"),
    })
    .map(({ strategy, count, shardKey }) =>
      strategy === "none"
        ? spec("orders", { strategy })
        : spec("orders", {
            strategy,
            count,
            shardKey,
            partitioner: strategy === "custom" ? "byDigit" : null,
            policy: { maxSkew: 20 },
          }),
    );

  it("are reached, with the projections that came true, and leave nothing to do", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(declaration, { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 30, max: 200 }),
        async (declarations, many) => {
          const rows = integerRows(many).map((row, index) => ({
            ...row,
            other: (index * 37) % 101,
          }));
          let worlds = [world("orders", { rows, partitioners: byDigit })];
          for (const one of declarations) {
            const plan = await planOf(desired(one), worlds);
            // Which row a roundRobin layout remembers where is not in a world: its rows are dealt
            // by index.
            expect(await checkPlan(desired(one), worlds, plan)).toBe(plan.changes.length);
            worlds = applyPlanTo(worlds, plan);
          }
        },
      ),
      { numRuns: tries(100) },
    );
  });
});
