import { expect, it } from "vitest";

import { toKey } from "../../src/model/layout/key.ts";
import { decideNamespace } from "../../src/planning/decide-namespace.ts";
import type { DistributionRequest } from "../../src/model/live.ts";
import type { Plan } from "../../src/model/plan.ts";
import { success } from "../../src/model/result.ts";
import type { NamespaceSpec } from "../../src/model/spec.ts";
import { planOf } from "../support/check-plan.ts";
import {
  type NamespaceFixture,
  desired,
  hashOf,
  integerRows,
  liveNamespace,
  rangeOf,
  rowsOf,
  runningOperation,
  spec,
  world,
} from "../support/state.ts";

const orders = world("orders", {
  rows: rowsOf(2000),
  partitioners: { byDigit: { version: 2, owner: () => 0 } },
});
const skewed = integerRows(1000);

const cases: readonly {
  name: string;
  spec: NamespaceSpec;
  live: NamespaceFixture;
  expected: unknown;
}[] = [
  {
    name: "in sync",
    spec: spec("orders"),
    live: { ...orders, layout: hashOf("orders", 8) },
    expected: null,
  },
  {
    name: "hash",
    spec: spec("orders", { shardKey: "tenant" }),
    live: orders,
    expected: { by: "slots", shardKey: "tenant" },
  },
  {
    name: "hash, other count",
    spec: spec("orders", { count: 9 }),
    live: { ...orders, layout: hashOf("orders", 8) },
    expected: { by: "slots", shardKey: "id" },
  },
  {
    name: "range with split points",
    spec: spec("orders", { strategy: "range", count: 2, splitPoints: [toKey(5)] }),
    live: orders,
    expected: { by: "keys", shardKey: "id", boundaries: [toKey(5)] },
  },
  {
    name: "range by quantiles",
    spec: spec("orders", { strategy: "range", count: 2 }),
    live: orders,
    expected: { by: "keys", shardKey: "id", boundaries: [] },
  },
  {
    name: "range, skewed",
    spec: spec("orders", { strategy: "range", count: 2 }),
    live: { ...orders, rows: skewed, layout: rangeOf("orders", [900]) },
    expected: { by: "keys", shardKey: "id", boundaries: [] },
  },
  {
    name: "custom",
    spec: spec("orders", { strategy: "custom", count: 4, partitioner: "byDigit" }),
    live: orders,
    expected: {
      by: "shards",
      shardKey: "id",
      partitioner: { name: "byDigit", version: 2 },
      count: 4,
    },
  },
  {
    name: "custom, unknown",
    spec: spec("orders", { strategy: "custom", count: 4, partitioner: "byAge" }),
    live: orders,
    expected: null,
  },
  {
    name: "roundRobin",
    spec: spec("orders", { strategy: "roundRobin" }),
    live: orders,
    expected: null,
  },
  {
    name: "unshard",
    spec: spec("orders", { strategy: "none" }),
    live: { ...orders, layout: hashOf("orders", 8) },
    expected: null,
  },
  {
    name: "directory",
    spec: spec("orders", { directory: true }),
    live: { ...orders, layout: hashOf("orders", 8) },
    expected: { by: "slots", shardKey: "id" },
  },
  {
    name: "running operation",
    spec: spec("orders"),
    live: { ...orders, operation: runningOperation(orders, hashOf("orders", 8)) },
    expected: null,
  },
];

function requestOf(
  wanted: NamespaceSpec,
  live: NamespaceFixture,
  basis: Plan | null = null,
): DistributionRequest | null {
  const decided = decideNamespace(wanted, success(liveNamespace(live)), basis);
  return decided.kind === "decided" ? decided.request : null;
}

it.each(cases)("$name", ({ spec: wanted, live, expected }) => {
  expect(requestOf(wanted, live)).toEqual(expected);
});

it("asks for the split points that the basis has chosen, so that their projection is exact", async () => {
  const wanted = spec("orders", { strategy: "range", count: 4 });
  const basis = await planOf(desired(wanted), [world("orders", { rows: integerRows(1000) })]);
  expect(requestOf(wanted, world("orders", { rows: integerRows(1100) }), basis)).toEqual({
    by: "keys",
    shardKey: "id",
    boundaries: [250, 500, 750].map(toKey),
  });
});
