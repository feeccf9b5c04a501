import { describe, expect, it } from "vitest";

import type { Guard } from "../../src/model/plan.ts";
import { success } from "../../src/model/result.ts";
import { buildPlan } from "../../src/planning/build-plan.ts";
import { standingBlocks } from "../../src/planning/check-safety.ts";
import { policyAtStart } from "../../src/planning/operation-policy.ts";
import type { NamespaceSpec } from "../../src/model/spec.ts";
import { planOf } from "../support/check-plan.ts";
import {
  type Row,
  type NamespaceFixture,
  desired,
  hashOf,
  liveEntry,
  liveNamespace,
  liveState,
  rowsOf,
  spec,
  world,
  withLive,
} from "../support/state.ts";

const HOUR_MS = 3_600_000;

function withTenants(count: number, tenantOf: (index: number) => string | null): Row[] {
  return rowsOf(count).map((row, index) => ({ ...row, other: tenantOf(index) }));
}

interface Case {
  readonly name: string;
  readonly spec: NamespaceSpec;
  readonly live: Partial<NamespaceFixture>;
  readonly windowOpen?: boolean;
  readonly expected: readonly string[];
}

const cases: readonly Case[] = [
  {
    name: "rows without the key, refused",
    spec: spec("orders", { shardKey: "tenant", policy: { maxSkew: 2 } }),
    live: { rows: withTenants(1000, (index) => (index % 8 === 0 ? null : `t${index}`)) },
    expected: [
      "missingKey: 12.5 % of the rows (125) have no tenant; policy.onMissingKey is reject: give them a key, set it to allow, or apply with --override missingKey",
    ],
  },
  {
    name: "rows without the key, allowed",
    spec: spec("orders", { shardKey: "tenant", policy: { onMissingKey: "allow" } }),
    live: { rows: withTenants(1000, (index) => (index % 40 === 0 ? null : `t${index}`)) },
    expected: [],
  },
  {
    name: "rows without the key under a count change, which re-routes them by the same key",
    spec: spec("orders", { shardKey: "tenant", count: 12 }),
    live: {
      rows: withTenants(2000, (index) => (index % 100 === 0 ? null : `t${index}`)),
      layout: hashOf("orders", 8, "tenant"),
    },
    expected: [],
  },
  {
    name: "skew above policy",
    spec: spec("orders", { shardKey: "tenant" }),
    live: { rows: withTenants(1000, (index) => (index % 2 ? "one" : "two")) },
    expected: [
      "skew: skew 4.00 after the change is above policy.maxSkew 1.5: raise policy.maxSkew, choose another key, or apply with --override skew",
    ],
  },
  {
    name: "skew that a raised policy tolerates",
    spec: spec("orders", { shardKey: "tenant", policy: { maxSkew: 4.1 } }),
    live: { rows: withTenants(1000, (index) => (index % 2 ? "one" : "two")) },
    expected: [],
  },
  {
    name: "the chance skew of few rows",
    spec: spec("orders"),
    live: { rows: rowsOf(20) },
    expected: [],
  },
  {
    name: "budget exceeded",
    spec: spec("orders", { policy: { budgetRows: 1999 } }),
    live: { rows: rowsOf(2000) },
    expected: [
      "budget: 2,000 rows would move, policy.budget.rows is 1,999: raise the budget, or apply with --override budget",
    ],
  },
  {
    name: "budget met",
    spec: spec("orders", { policy: { budgetRows: 2000 } }),
    live: { rows: rowsOf(2000) },
    expected: [],
  },
  {
    name: "unshard of more than an object holds",
    spec: spec("orders", { strategy: "none" }),
    live: {
      rows: rowsOf(20).map((row) => ({ ...row, bytes: 600_000_000 })),
      layout: hashOf("orders", 2),
    },
    expected: [
      "targetTooLarge (never overridable): orders would take 12.0 GB (at most 15.0 GB) while rows come, an object may take 10.0 GB: keep the namespace sharded (from 2 shards on it fits), or delete rows first",
    ],
  },
  {
    name: "outside the windows",
    spec: spec("orders", {
      policy: {
        windows: [{ start: "0 2 * * 1-5", durationMs: 2 * HOUR_MS, timezone: "Europe/Berlin" }],
      },
    }),
    live: { rows: rowsOf(2000) },
    windowOpen: false,
    expected: [
      'window: outside policy.windows ("0 2 * * 1-5" for 2h Europe/Berlin): apply inside a window, or with --override window',
    ],
  },
  {
    name: "suspended",
    spec: spec("orders", { policy: { suspend: true } }),
    live: { rows: rowsOf(2000) },
    expected: [
      "suspend: policy.suspend is true: set it to false, or apply with --override suspend",
    ],
  },
  {
    name: "suspended, outside the windows, but in sync",
    spec: spec("orders", { policy: { suspend: true } }),
    live: { rows: rowsOf(2000), layout: hashOf("orders", 8) },
    windowOpen: false,
    expected: [],
  },
];

it.each(cases)("$name", async ({ spec: wanted, live, windowOpen = true, expected }) => {
  const state = desired(wanted);
  const plan = await buildPlan({
    desired: state,
    live: liveState(state, [world("orders", live)]),
    isWindowOpen: () => windowOpen,
  });
  expect(
    plan.blocks.map(
      ({ guard, overridable, message }) =>
        `${guard}${overridable ? "" : " (never overridable)"}: ${message}`,
    ),
  ).toEqual(expected);
});

it("members that are still counting block every change, with the rows so far", async () => {
  const wanted = spec("orders", { count: 12 });
  const from = world("orders", { rows: rowsOf(2000), layout: hashOf("orders", 8) });
  const live = liveNamespace(from);
  const planWith = async (counts: readonly (number | undefined)[]) => {
    const members = live.members.map((member, index) =>
      index < counts.length
        ? {
            ...member,
            healthy: false,
            error: "is still counting its rows",
            ...(counts[index] !== undefined && { counting: counts[index] }),
          }
        : member,
    );
    const entry = withLive(liveEntry(from, wanted), wanted, success({ ...live, members }));
    return buildPlan({ desired: desired(wanted), live: { namespaces: [entry] } });
  };
  expect((await planWith([4_000, 8_000])).blocks).toEqual([
    {
      guard: "unhealthyMember",
      namespace: "orders",
      message:
        "2 of 8 members are still counting (12,000 rows so far), and serving meanwhile: plan again in a while",
      overridable: false,
      counted: 12_000,
    },
  ]);
  // Waiting is of no use where another does not answer.
  const [block] = (await planWith([4_000, undefined])).blocks;
  expect(block).not.toHaveProperty("counted");
  expect(block?.message).toContain("2 of 8 members did not answer");
});

it("a silent member blocks every change, counted or not", async () => {
  const wanted = spec("orders", { count: 12 });
  const from = world("orders", { rows: rowsOf(2000), layout: hashOf("orders", 8) });
  const live = liveNamespace(from);
  const members = live.members.map((member, index) =>
    index === 3
      ? { ...member, rows: 0, bytes: 0, healthy: false, error: "timeout after 5000 ms" }
      : member,
  );
  const entry = withLive(liveEntry(from, wanted), wanted, success({ ...live, members }));
  const message =
    "1 of 8 members did not answer (orders-shard-3: timeout after 5000 ms): plan again when it answers";
  for (const distribution of [entry.distribution, null]) {
    const plan = await buildPlan({
      desired: desired(wanted),
      live: { namespaces: [{ ...entry, distribution }] },
    });
    expect(plan.changes).toHaveLength(distribution ? 1 : 0);
    expect(plan.blocks).toEqual([
      { guard: "unhealthyMember", namespace: "orders", message, overridable: false },
    ]);
  }
});

it("a count change that makes skew worse is blocked, one that makes it better is not", async () => {
  // Half of the rows have one key: with two shards that is even, with eight it is not.
  const rows = [...rowsOf(400), ...Array.from({ length: 400 }, () => ({ key: "same", bytes: 1 }))];
  const up = await planOf(desired(spec("orders", { count: 8 })), [
    world("orders", { rows, layout: hashOf("orders", 2) }),
  ]);
  const down = await planOf(desired(spec("orders", { count: 4 })), [
    world("orders", { rows, layout: hashOf("orders", 8) }),
  ]);
  expect(up.blocks.map(({ guard }) => guard)).toEqual(["skew"]);
  expect(down.blocks).toEqual([]);
  expect(down.notices.map(({ kind }) => kind)).toEqual(["skewRemains", "largeKey"]);
});

describe("the whole plan", () => {
  const many = (count: number, changing: number, rows = 300) => ({
    state: desired(
      ...Array.from({ length: count }, (_, index) =>
        spec(`ns-${index}`, { count: index < changing ? 3 : 2 }),
      ),
    ),
    worlds: Array.from({ length: count }, (_, index) =>
      world(`ns-${index}`, { rows: rowsOf(rows), layout: hashOf(`ns-${index}`, 2) }),
    ),
  });

  it("of fewer than 10 namespaces may change entirely", async () => {
    const { state, worlds } = many(9, 9);
    expect((await planOf(state, worlds)).blocks).toEqual([]);
  });

  it("of 10 namespaces may change 3, but not 4", async () => {
    const three = many(10, 3);
    expect((await planOf(three.state, three.worlds)).blocks).toEqual([]);
    const four = many(10, 4);
    expect((await planOf(four.state, four.worlds)).blocks).toEqual([
      {
        guard: "bulkChange",
        namespace: null,
        message:
          "4 of 10 namespaces (40.0 %) would change, the limit for one plan is 30 %: change fewer at a time, or apply with --override bulkChange",
        overridable: true,
      },
    ]);
  });

  it("may not move over 30 % of all rows", async () => {
    const { state, worlds } = many(12, 0);
    const plan = await planOf(desired(...state.namespaces, spec("big", { strategy: "hash" })), [
      ...worlds,
      world("big", { rows: rowsOf(3000) }),
    ]);
    expect(plan.blocks.map(({ message }) => message)).toEqual([
      "3,000 of 6,600 rows (45.5 %) would move, the limit for one plan is 30 %: change fewer at a time, or apply with --override bulkChange",
    ]);
  });

  it("with nothing declared is blocked while something is live", async () => {
    const plan = await planOf(desired(), [world("orders"), world("carts")]);
    expect(plan.blocks.map(({ guard, message }) => `${guard}: ${message}`)).toEqual([
      "emptyManifests: no manifest declares a namespace, but 2 namespaces are live: check the path and the environment, or apply with --override emptyManifests",
    ]);
    expect((await planOf(desired(), [])).blocks).toEqual([]);
  });
});

describe("overrides", () => {
  it("lift what they name, but never what cannot be overridden", () => {
    const block = (guard: Guard, overridable: boolean) => ({
      guard,
      namespace: "orders",
      message: "",
      overridable,
    });
    const blocks = [block("unsupported", false), block("skew", true), block("budget", true)];
    expect(standingBlocks({ blocks }, ["skew", "unsupported"]).map(({ guard }) => guard)).toEqual([
      "unsupported",
      "budget",
    ]);
  });

  it("of missingKey let such rows through the engine too", async () => {
    const wanted = desired(spec("orders"));
    const plan = await planOf(wanted, [world("orders", { rows: rowsOf(10) })]);
    const [change] = plan.changes;
    expect(change?.policy.allowMissingKey).toBe(false);
    const standing = wanted.namespaces[0]?.policy ?? null;
    expect(change && policyAtStart(change, standing, ["missingKey"]).allowMissingKey).toBe(true);
    expect(change && policyAtStart(change, standing, ["skew"]).allowMissingKey).toBe(false);
  });
});
