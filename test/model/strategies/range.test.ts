import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { type Key, compareKeys, toKey } from "../../../src/model/layout/key.ts";
import type { RangeLayout } from "../../../src/model/layout/layout.ts";
import { createOwnerLookup } from "../../../src/model/layout/owner-lookup.ts";
import { shiftMembers } from "../../../src/model/operation-mode.ts";
import { skewOf } from "../../../src/model/layout/skew.ts";
import {
  chooseSplitPoints,
  freshRangeLayout,
  resizeRangeLayout,
  sameSplitPoints,
  splitPointsOf,
} from "../../../src/model/strategies/range.ts";
import {
  type NamespaceFixture,
  countMembers,
  distribution,
  integerRows,
  rangeOf,
  world,
} from "../../support/state.ts";

const request = { by: "keys", shardKey: "id", boundaries: [] } as const;

function quantiles(from: NamespaceFixture, count: number): Key[] | null {
  return chooseSplitPoints(distribution(from, request), count);
}

function rowsUnder(from: NamespaceFixture, layout: RangeLayout): number[] {
  const counts = countMembers({ ...from, layout });
  return layout.members.map((member) => counts.get(member)?.rows ?? 0);
}

const keys = fc.array(
  fc.oneof(
    fc.integer({ min: 0, max: 500 }),
    fc.constant(7),
    fc.string({ maxLength: 3 }),
    fc.constant(null),
  ),
  {
    minLength: 1,
    maxLength: 400,
  },
);

describe("chooseSplitPoints", () => {
  it("cuts evenly where keys are many", () => {
    expect(
      quantiles(world("orders", { rows: integerRows(1000) }), 4)?.map((key) => key.text),
    ).toEqual(["250", "500", "750"]);
  });

  it("gives a heavy key a range and shares the rest", () => {
    const rows = [
      ...integerRows(100),
      ...Array.from({ length: 500 }, () => ({ key: 50 })),
      ...integerRows(100, 100),
    ];
    const from = world("orders", { rows });
    const layout = freshRangeLayout("id", 0, ["a", "b", "c", "d"], quantiles(from, 4) ?? []);
    expect(rowsUnder(from, layout)).toEqual([50, 501, 75, 74]);
  });

  it("gives ascending points, as many as asked for, or null where there are too few places to cut", () => {
    fc.assert(
      fc.property(keys, fc.integer({ min: 1, max: 20 }), (list, count) => {
        const chosen = quantiles(world("orders", { rows: list.map((key) => ({ key })) }), count);
        const distinct = new Set(list.map((key) => JSON.stringify(toKey(key)))).size;
        expect(chosen !== null && distinct < count).toBe(false);
        if (!chosen) return;
        expect(chosen).toHaveLength(count - 1);
        chosen
          .slice(1)
          .forEach((key, index) => expect(compareKeys(chosen[index] ?? key, key)).toBeLessThan(0));
      }),
    );
  });

  it("leaves no range empty", () => {
    fc.assert(
      fc.property(keys, fc.integer({ min: 1, max: 12 }), (list, count) => {
        const from = world("orders", { rows: list.map((key) => ({ key })) });
        const chosen = quantiles(from, count);
        if (!chosen) return;
        const names = Array.from({ length: count }, (_, index) => `m${index}`);
        expect(
          Math.min(...rowsUnder(from, freshRangeLayout("id", 0, names, chosen))),
        ).toBeGreaterThan(0);
      }),
    );
  });

  it("cuts overlapping buckets of several members near the middle", () => {
    const hash = world("orders", {
      rows: integerRows(2000),
      layout: {
        kind: "custom",
        shardKey: "id",
        generation: 0,
        members: ["a", "b", "c"],
        partitioner: { name: "p", version: 1 },
      },
      partitioners: { p: { version: 1, owner: (key) => Number(key.text) % 3 } },
    });
    const layout = freshRangeLayout("id", 1, ["d", "e", "f", "g"], quantiles(hash, 4) ?? []);
    expect(skewOf(rowsUnder(hash, layout))).toBeLessThan(1.05);
  });
});

describe("resizeRangeLayout", () => {
  function resize(from: NamespaceFixture, count: number): RangeLayout {
    const layout = from.layout as RangeLayout;
    return resizeRangeLayout(
      layout,
      shiftMembers("orders", layout, count),
      quantiles(from, count) ?? [],
      distribution(from, request),
    );
  }

  function movedRows(from: NamespaceFixture, to: RangeLayout): number {
    const [before, after] = [createOwnerLookup(from.layout), createOwnerLookup(to)];
    return from.rows.filter(({ key }) => before(toKey(key)) !== after(toKey(key))).length;
  }

  it("doubling splits each member in two, and moves half of the rows", () => {
    const from = world("orders", {
      rows: integerRows(800),
      layout: rangeOf("orders", [200, 400, 600]),
    });
    const to = resize(from, 8);
    expect(to.ranges.map((range) => range.member.replace("orders-shard-", ""))).toEqual([
      "0",
      "4",
      "1",
      "5",
      "2",
      "6",
      "3",
      "7",
    ]);
    expect(movedRows(from, to)).toBe(400);
  });

  it("keeps the order of the members that stay", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 100, max: 500 }),
        (before, after, rows) => {
          const points = Array.from({ length: before - 1 }, (_, index) => (index + 1) * 10);
          const from = world("orders", {
            rows: integerRows(rows),
            layout: rangeOf("orders", points),
          });
          const to = resize(from, after);
          const staying = to.members.slice(0, Math.min(before, after));
          expect(
            to.ranges.map((range) => range.member).filter((member) => staying.includes(member)),
          ).toEqual(staying);
          expect(new Set(to.ranges.map((range) => range.member))).toEqual(new Set(to.members));
          expect(skewOf(rowsUnder(from, to))).toBeLessThan(1.5);
        },
      ),
    );
  });

  it("places members where most of their rows stay", () => {
    // All rows lie in the last member's range: it keeps the first part of its own, and the empty
    // ones come before it.
    const from = world("orders", {
      rows: integerRows(300, 1000),
      layout: rangeOf("orders", [10, 20]),
    });
    const to = resize(from, 6);
    const keeps = from.rows.filter(
      ({ key }) => createOwnerLookup(to)(toKey(key)) === "orders-shard-2",
    ).length;
    expect(keeps).toBe(50);
    expect(movedRows(from, to)).toBe(250);
  });

  it("counts a key that equals a split point to the range above it", () => {
    const rows = [...Array.from({ length: 50 }, () => ({ key: 100 })), ...integerRows(60, 200)];
    const from = world("orders", { rows, layout: rangeOf("orders", [150]) });
    const layout = from.layout as RangeLayout;
    const to = resizeRangeLayout(
      layout,
      shiftMembers("orders", layout, 3),
      [100, 150].map(toKey),
      distribution(from, request),
    );
    expect(movedRows(from, to)).toBe(0);
  });

  it("compares split points by order, not by text", () => {
    expect(
      sameSplitPoints(splitPointsOf(rangeOf("orders", [1, 2]) as RangeLayout), [
        toKey(1),
        toKey(2n),
      ]),
    ).toBe(true);
    expect(sameSplitPoints([toKey(1)], [toKey("1")])).toBe(false);
    expect(sameSplitPoints([toKey(1)], [])).toBe(false);
  });
});
