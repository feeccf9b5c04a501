/**
 * Rows moved by N → M over the theoretical minimum, by the code that plans and routes real moves.
 * Pure: nothing to repeat.
 */
import { toKey } from "../../../../src/model/layout/key.ts";
import { type HashLayout, shardNames } from "../../../../src/model/layout/layout.ts";
import { diffRanges } from "../../../../src/model/layout/moves.ts";
import { shiftMembers } from "../../../../src/model/operation-mode.ts";
import { SLOT_COUNT, slotOf } from "../../../../src/model/layout/slots.ts";
import { freshHashLayout, resizeHashLayout } from "../../../../src/model/strategies/hash.ts";
import type { BenchContext } from "../benchmark.ts";
import type { Figure } from "../report.ts";

/**
 * Each resize goes on from the layout that the one before left: cut-up ranges are the harder case.
 */
const CHAINS = [
  [2, 3],
  [8, 12],
  [12, 8],
  [16, 24],
  [64, 65],
  [100, 1000],
  [8, 12, 16, 10, 3, 7, 64, 63, 5],
];
const RATIO_MAX = 1.02;

export async function benchLayouts({ rows }: BenchContext): Promise<Figure[]> {
  const rowsBySlot = Array.from({ length: SLOT_COUNT }, () => 0);
  for (let row = 0; row < rows; row++) {
    const slot = slotOf(toKey(`thing-${String(row).padStart(8, "0")}`));
    rowsBySlot[slot] = (rowsBySlot[slot] ?? 0) + 1;
  }
  return CHAINS.map((chain): Figure => {
    let moved = 0;
    let least = 0;
    let layout = freshHashLayout("id", 0, shardNames("bench", 0, chain[0] ?? 1));
    for (const count of chain.slice(1)) {
      const next = resizeHashLayout(layout, shiftMembers("bench", layout, count));
      moved += movedRows(layout, next, rowsBySlot);
      least += leastRows(layout.members.length, count, rows);
      layout = next;
    }
    return {
      name: `rows moved by ${chain.join(" → ")}`,
      unit: "rows",
      values: [moved],
      reference: { name: "theoretical minimum", values: [least] },
      goal: { of: "ratio", is: "atMost", limit: RATIO_MAX },
    };
  });
}

function movedRows(before: HashLayout, after: HashLayout, rowsBySlot: readonly number[]): number {
  const ranges = diffRanges(before, after).map((move) => move.range);
  let moved = 0;
  for (const range of ranges) {
    if (range.kind !== "slots") throw new Error("A hash layout moves slots");
    for (let slot = range.from; slot < range.to; slot++) moved += rowsBySlot[slot] ?? 0;
  }
  return moved;
}

/**
 * Of evenly spread rows, the members that join must get their share, and those that leave must give
 * theirs; nothing else has to move.
 */
function leastRows(from: number, to: number, rows: number): number {
  return to >= from ? (rows * (to - from)) / to : (rows * (from - to)) / from;
}
