/** Waves hold every move exactly once, and none of them grows without bound. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { HashLayout } from "../../../src/model/layout/layout.ts";
import { type Move, applyMoves, diffRanges } from "../../../src/model/layout/moves.ts";
import { joinSlots } from "../../../src/model/layout/slot-table.ts";
import { SLOT_COUNT } from "../../../src/model/layout/slots.ts";
import {
  NO_WAVE,
  hasManyPairs,
  joinWaves,
  nextSpan,
  packByPairs,
  packWaves,
} from "../../../src/shards/root/waves.ts";

const MOVES_MAX = 1_000;

function layoutOf(ownerOfSlot: (slot: number) => string): HashLayout {
  const bySlot = Array.from({ length: SLOT_COUNT }, (_, slot) => ownerOfSlot(slot));
  return {
    kind: "hash",
    shardKey: "id",
    generation: 1,
    members: [...new Set(bySlot)].toSorted(),
    ranges: joinSlots(bySlot),
  };
}

/** Returns a target's answer: its rows cut at some slots, the whole keyspace covered. */
function stagedAt(
  target: string,
  cuts: readonly number[],
  rows: number,
): Parameters<typeof packWaves>[1][number] {
  const starts = [0, ...cuts, SLOT_COUNT];
  const chunks = starts.slice(1).map((to, index) => ({
    range: { kind: "slots" as const, from: starts[index] ?? 0, to },
    rows,
  }));
  return { target, chunks };
}

describe("packWaves", () => {
  it("keeps small pieces together, and starts a new wave for what is too much", () => {
    const from = layoutOf(() => "a");
    const to = layoutOf((slot) => (slot < 8_000 ? "a" : "b"));
    const waves = packWaves(diffRanges(from, to), [stagedAt("b", [8_100, 8_200, 8_300], 3)], 7);
    expect(waves).toEqual([
      { moves: [moved(8_000, 8_100), moved(8_100, 8_200)], rows: 6 },
      { moves: [moved(8_200, 8_300), moved(8_300, SLOT_COUNT)], rows: 6 },
    ]);
  });

  it("makes one wave without moves of layouts that are the same", () => {
    expect(packWaves([], [], 100)).toEqual([NO_WAVE]);
  });

  it("cuts very many moves, though they have hardly a row", () => {
    const from = layoutOf(() => "a");
    const to = layoutOf((slot) => (slot % 2 === 0 ? "a" : "b"));
    const waves = packWaves(diffRanges(from, to), [stagedAt("b", [], 5)], 20_000);
    expect(waves.length).toBeGreaterThanOrEqual(SLOT_COUNT / 2 / MOVES_MAX);
    expect(waves.length).toBeLessThan(SLOT_COUNT / 2 / MOVES_MAX + 2);
    expect(Math.max(...waves.map((wave) => wave.moves.length))).toBeLessThanOrEqual(MOVES_MAX);
    expect(applyMoves(from, joinWaves(waves).moves).ranges).toEqual(to.ranges);
  });

  it("can be packed anew, a pair of members in each, and not more waves than the size needs", () => {
    const from = layoutOf((slot) => (slot % 2 === 0 ? "a" : "b"));
    const to = layoutOf((slot) => (slot < 200 ? "c" : slot % 2 === 0 ? "a" : "b"));
    const waves = packWaves(diffRanges(from, to), [stagedAt("c", [50, 100, 150, 200], 10)], 10);
    expect(waves.map(hasManyPairs)).toEqual([true, true, true, true]);
    const narrow = packByPairs(waves);
    expect(narrow.map(hasManyPairs)).toEqual([false, false, false, false]);
    expect(narrow.map(({ rows, moves }) => [rows, moves.length])).toEqual(
      narrow.map(() => [10, 50]),
    );
    expect(applyMoves(from, joinWaves(narrow).moves).ranges).toEqual(to.ranges);
    expect(packByPairs([NO_WAVE])).toEqual([]);
  });

  it("holds every move exactly once, however the rows are cut", () => {
    const owner = fc.constantFrom("a", "b", "c");
    const cuts = fc.uniqueArray(fc.integer({ min: 1, max: SLOT_COUNT - 1 }), { maxLength: 6 });
    const pieces = fc.array(fc.tuple(fc.integer({ min: 1, max: 1_000 }), owner, owner), {
      minLength: 4,
      maxLength: 40,
    });
    fc.assert(
      fc.property(pieces, cuts, fc.integer({ min: 1, max: 50 }), (sizes, at, waveRowsMax) => {
        const plan = sizes.flatMap(([size, before, after]) =>
          Array.from({ length: size }, () => [before, after] as const),
        );
        const from = layoutOf((slot) => plan[slot % plan.length]?.[0] ?? "a");
        const to = layoutOf((slot) => plan[slot % plan.length]?.[1] ?? "a");
        const sorted = at.toSorted((left, right) => left - right);
        const waves = packWaves(
          diffRanges(from, to),
          ["a", "b", "c"].map((target) => stagedAt(target, sorted, 7)),
          waveRowsMax,
        );
        const { moves } = joinWaves(waves);
        expect(applyMoves(from, moves).ranges).toEqual(to.ranges);
        expect(slotsOf(moves)).toBe(slotsOf(diffRanges(from, to)));
        // A position is never cut: a wave may have one piece's rows above the limit, never two.
        expect(Math.max(...waves.map((wave) => wave.rows))).toBeLessThanOrEqual(
          Math.max(7, waveRowsMax),
        );
      }),
      { numRuns: 40 },
    );
  });
});

it.each([
  ["halves above the goal", 4, 150, 2],
  ["halves down to one", 1, 5_000, 1],
  ["stays near the goal", 2, 80, 2],
  ["doubles far below it", 1, 10, 2],
  ["doubles up to four", 4, 10, 4],
])("the span of a cutover %s", (_, span, pauseMs, expected) => {
  expect(nextSpan(span, pauseMs)).toBe(expected);
});

function moved(from: number, to: number): Move {
  return { source: "a", target: "b", range: { kind: "slots", from, to } };
}

function slotsOf(moves: readonly Move[]): number {
  return moves.reduce(
    (total, { range }) => total + (range.kind === "slots" ? range.to - range.from : 0),
    0,
  );
}
