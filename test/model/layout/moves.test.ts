import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { toKey } from "../../../src/model/layout/key.ts";
import { rangeContains } from "../../../src/model/layout/move-range.ts";
import { applyMoves, diffRanges } from "../../../src/model/layout/moves.ts";
import { createOwnerLookup } from "../../../src/model/layout/owner-lookup.ts";
import { expandSlots } from "../../../src/model/layout/slot-table.ts";
import { SLOT_COUNT } from "../../../src/model/layout/slots.ts";
import { hashLayout, key, ownerByScan, rangeLayout } from "../support/random-layouts.ts";
import { tries } from "../../support/sample.ts";

describe("diffRanges and applyMoves", () => {
  it("hash: exactly the slots whose owner differs, and applying them gives the other layout", () => {
    fc.assert(
      fc.property(hashLayout, hashLayout, (before, after) => {
        const moves = diffRanges(before, after);
        const old = expandSlots(before.ranges);
        const next = expandSlots(after.ranges);
        const moved = Array.from({ length: SLOT_COUNT }, (_, slot) =>
          old[slot] === next[slot] ? null : `${old[slot]}>${next[slot]}`,
        );
        const said = Array.from<string | null>({ length: SLOT_COUNT }).fill(null);
        for (const { range, source, target } of moves)
          if (range.kind === "slots") said.fill(`${source}>${target}`, range.from, range.to);
        expect(said).toEqual(moved);
        expect(applyMoves(before, moves)).toEqual(after);
      }),
      { numRuns: tries(50) },
    );
  });

  it("range: exactly the keys whose owner differs, and applying them gives the other layout's owners", () => {
    fc.assert(
      fc.property(
        rangeLayout,
        rangeLayout,
        fc.array(key, { minLength: 20, maxLength: 20 }),
        (before, after, keys) => {
          const moves = diffRanges(before, after);
          const applied = applyMoves(before, moves);
          for (const one of [...keys, ...before.ranges, ...after.ranges].map((item) =>
            "member" in item ? (item.end ?? toKey("zz")) : item,
          )) {
            const source = ownerByScan(before, one);
            const target = ownerByScan(after, one);
            const holding = moves.filter((move) => rangeContains(move.range, one));
            expect(holding.map((move) => [move.source, move.target])).toEqual(
              source === target ? [] : [[source, target]],
            );
            expect(createOwnerLookup(applied)(one)).toBe(target);
          }
          expect(applyMoves(before, [])).toEqual({ ...before, ranges: before.ranges });
        },
      ),
      { numRuns: tries(500) },
    );
  });

  it("any prefix of the moves is a layout in which each key has the old or the new owner", () => {
    fc.assert(
      fc.property(rangeLayout, rangeLayout, fc.nat(), key, (before, after, many, one) => {
        const moves = diffRanges(before, after);
        const done = moves.slice(0, many % (moves.length + 1));
        const moved = done.some((move) => rangeContains(move.range, one));
        expect(createOwnerLookup(applyMoves(before, done))(one)).toBe(
          ownerByScan(moved ? after : before, one),
        );
      }),
    );
  });

  it("adds unknown targets to the members, and refuses layouts of two kinds", () => {
    const before = {
      kind: "hash",
      shardKey: "id",
      generation: 0,
      members: ["a"],
      ranges: [{ end: SLOT_COUNT, member: "a" }],
    } as const;
    expect(
      applyMoves(before, [{ source: "a", target: "z", range: { kind: "slots", from: 5, to: 7 } }]),
    ).toEqual({
      ...before,
      members: ["a", "z"],
      ranges: [
        { end: 5, member: "a" },
        { end: 7, member: "z" },
        { end: SLOT_COUNT, member: "a" },
      ],
    });
    const range = {
      kind: "range",
      shardKey: "id",
      generation: 0,
      members: ["a"],
      ranges: [{ end: null, member: "a" }],
    } as const;
    expect(() => diffRanges(before as never, range as never)).toThrow(
      "No moves between a hash and a range layout",
    );
  });
});
