import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { type HashLayout, shardNames } from "../../../src/model/layout/layout.ts";
import { diffRanges } from "../../../src/model/layout/moves.ts";
import { expandSlots } from "../../../src/model/layout/slot-table.ts";
import { shiftMembers } from "../../../src/model/operation-mode.ts";
import { skewOf } from "../../../src/model/layout/skew.ts";
import { SLOT_COUNT } from "../../../src/model/layout/slots.ts";
import {
  freshHashLayout,
  levelHashLayout,
  resizeHashLayout,
} from "../../../src/model/strategies/hash.ts";
import { tries } from "../../support/sample.ts";

const count = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 1000 }));

function fresh(size: number): HashLayout {
  return freshHashLayout("id", 0, shardNames("orders", 0, size));
}

function resize(layout: HashLayout, size: number): HashLayout {
  return resizeHashLayout(layout, shiftMembers("orders", layout, size));
}

function slotCounts(layout: HashLayout): number[] {
  const counts = new Map<string, number>();
  for (const member of expandSlots(layout.ranges))
    counts.set(member, (counts.get(member) ?? 0) + 1);
  expect([...counts.keys()].every((member) => layout.members.includes(member))).toBe(true);
  return layout.members.map((member) => counts.get(member) ?? 0);
}

function movedSlots(before: HashLayout, after: HashLayout): number {
  return diffRanges(before, after).reduce(
    (sum, { range }) => sum + (range.kind === "slots" ? range.to - range.from : 0),
    0,
  );
}

/** Every slot owned, and no member more than one slot fuller than another. */
function isEven(layout: HashLayout): boolean {
  const counts = slotCounts(layout);
  const total = counts.reduce((sum, slots) => sum + slots, 0);
  return total === SLOT_COUNT && Math.max(...counts) - Math.min(...counts) <= 1;
}

/**
 * Scaling up, each new member must get its share; scaling down, the leaving ones' slots must go.
 */
function minimumMoves(from: number, to: number): number {
  return Math.ceil((SLOT_COUNT * Math.abs(to - from)) / Math.max(from, to));
}

describe("freshHashLayout", () => {
  it("is even to the slot", () => {
    fc.assert(
      fc.property(count, (size) => {
        expect(isEven(fresh(size))).toBe(true);
      }),
      { numRuns: tries(30) },
    );
  });
});

describe("resizeHashLayout", () => {
  it("moves the minimum of slots to within one a shard, over any sequence of counts, and stays even", () => {
    fc.assert(
      fc.property(count, fc.array(count, { minLength: 1, maxLength: 5 }), (first, sizes) => {
        let layout = fresh(first);
        for (const size of sizes) {
          const next = resize(layout, size);
          expect(isEven(next)).toBe(true);
          expect(next.members).toHaveLength(size);
          expect(movedSlots(layout, next)).toBeLessThanOrEqual(
            minimumMoves(layout.members.length, size) + size,
          );
          layout = next;
        }
      }),
      { numRuns: tries(40) },
    );
  });

  it("moves slots to joining members only, or from leaving members only", () => {
    fc.assert(
      fc.property(count, count, (from, to) => {
        const before = fresh(from);
        const after = resize(before, to);
        for (const { source, target } of diffRanges(before, after)) {
          const stays =
            to > from ? before.members.includes(target) : after.members.includes(source);
          expect(stays).toBe(false);
        }
      }),
      { numRuns: tries(40) },
    );
  });

  it("lets the highest indexes leave and the next ones join", () => {
    expect(resize(fresh(4), 2).members).toEqual(["orders-shard-0", "orders-shard-1"]);
    expect(resize(fresh(2), 4).members).toEqual(shardNames("orders", 0, 4));
    // Names given by hand stay, and a taken index is skipped.
    const named = freshHashLayout("id", 0, ["eu", "orders-shard-2"]);
    expect(resize(named, 4).members).toEqual([
      "eu",
      "orders-shard-2",
      "orders-shard-3",
      "orders-shard-4",
    ]);
  });

  it("changes nothing when the count stays", () => {
    expect(movedSlots(fresh(7), resize(fresh(7), 7))).toBe(0);
  });
});

describe("levelHashLayout", () => {
  function rowsOf(layout: HashLayout, rowsBySlot: ReadonlyMap<number, number>): number[] {
    const bySlot = expandSlots(layout.ranges);
    const rows = new Map<string, number>();
    for (const [slot, many] of rowsBySlot)
      rows.set(bySlot[slot] ?? "", (rows.get(bySlot[slot] ?? "") ?? 0) + many);
    return layout.members.map((member) => rows.get(member) ?? 0);
  }

  const counts = fc
    .array(
      fc.tuple(
        fc.integer({ min: 0, max: SLOT_COUNT - 1 }),
        fc.oneof(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 0, max: 5000 })),
      ),
      {
        minLength: 1,
        maxLength: 300,
      },
    )
    .map((entries) => new Map(entries));

  it("never raises the skew, and a second run finds nothing to do", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        counts,
        fc.double({ min: 1.01, max: 2, noNaN: true }),
        (size, rowsBySlot, goal) => {
          const before = fresh(size);
          const after = levelHashLayout(before, rowsBySlot, goal);
          expect(skewOf(rowsOf(after, rowsBySlot))).toBeLessThanOrEqual(
            skewOf(rowsOf(before, rowsBySlot)),
          );
          expect(levelHashLayout(after, rowsBySlot, goal)).toEqual(after);
        },
      ),
      { numRuns: tries(200) },
    );
  });

  it("reaches the goal when the slots are small, moving hardly more than the excess", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 20 }),
        fc.integer({ min: 2, max: 9 }),
        (size, factor) => {
          // The first member's slots are `factor` times as full as the others'.
          const before = fresh(size);
          const bySlot = expandSlots(before.ranges);
          const rowsBySlot = new Map(
            bySlot.map((member, slot) => [slot, member === before.members[0] ? factor : 1]),
          );
          const after = levelHashLayout(before, rowsBySlot, 1.25);
          const average = rowsOf(before, rowsBySlot).reduce((sum, rows) => sum + rows, 0) / size;
          const excess = rowsOf(before, rowsBySlot).reduce(
            (sum, rows) => sum + Math.max(0, rows - average * 1.25),
            0,
          );
          const bySlotAfter = expandSlots(after.ranges);
          const moved = [...rowsBySlot].reduce(
            (sum, [slot, rows]) => sum + (bySlot[slot] === bySlotAfter[slot] ? 0 : rows),
            0,
          );
          expect(skewOf(rowsOf(after, rowsBySlot))).toBeLessThanOrEqual(
            1.25 + (2 * factor) / average,
          );
          expect(moved).toBeLessThanOrEqual(excess + 2 * factor);
        },
      ),
      { numRuns: tries(40) },
    );
  });

  it("takes one full slot rather than many light ones, so that the layout stays in few pieces", () => {
    const before = fresh(2);
    const light = Array.from({ length: 100 }, (_, slot) => [slot, 1] as const);
    const after = levelHashLayout(before, new Map([...light, [200, 50], [9000, 50]]), 1);
    expect(diffRanges(before, after).map(({ range }) => range)).toEqual([
      { kind: "slots", from: 200, to: 201 },
    ]);
  });

  it("frees a member of everything but the slot that cannot be split", () => {
    const before = fresh(2);
    const rowsBySlot = new Map([
      [0, 100],
      [1, 10],
      [2, 10],
    ]);
    const after = levelHashLayout(before, rowsBySlot, 1.1);
    expect(rowsOf(after, rowsBySlot)).toEqual([100, 20]);
  });
});
