import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { type Key, compareKeys, toKey } from "../../src/core/key.ts";
import { directoryMember, hasKeyedDirectory, withDirectory } from "../../src/core/directory.ts";
import {
  type HashLayout,
  type RangeLayout,
  type RoundRobinLayout,
  sameLayout,
  shardName,
  unshardedLayout,
} from "../../src/core/layout.ts";
import { rangeContains } from "../../src/core/move-range.ts";
import { applyMoves, diffRanges } from "../../src/core/moves.ts";
import { createOwnerLookup } from "../../src/core/owner-lookup.ts";
import { newestPartitioners } from "../../src/core/partitioners.ts";
import { createSlotLookup, expandSlots, joinSlots } from "../../src/core/slot-table.ts";
import { SLOT_COUNT, slotOf } from "../../src/core/slots.ts";
import { hashOf } from "../support/state.ts";

const MEMBERS = ["a", "b", "c", "d", "e"];
const member = fc.constantFrom(...MEMBERS);
const key: fc.Arbitrary<Key> = fc
  .oneof(
    fc.constant(null),
    fc.integer({ min: -20, max: 20 }),
    fc.double({ min: -5, max: 5, noNaN: true }),
    fc.string({ maxLength: 2 }),
    fc.uint8Array({ maxLength: 1 }),
  )
  .map(toKey);

const hashLayout: fc.Arbitrary<HashLayout> = fc
  .array(fc.tuple(fc.integer({ min: 1, max: SLOT_COUNT - 1 }), member), { maxLength: 12 })
  .chain((cuts) =>
    member.map((last) => {
      const bySlot = Array.from<string>({ length: SLOT_COUNT }).fill(last);
      for (const [end, name] of cuts.toSorted(([left], [right]) => right - left)) bySlot.fill(name, 0, end);
      return { kind: "hash" as const, shardKey: "id", generation: 0, members: MEMBERS, ranges: joinSlots(bySlot) };
    }),
  );

/** Neighbours may share a member: stored layouts need not be the shortest. */
const rangeLayout: fc.Arbitrary<RangeLayout> = fc
  .tuple(fc.array(key, { maxLength: 8 }), fc.array(member, { minLength: 9, maxLength: 9 }))
  .map(([cuts, names]) => {
    const ends = cuts
      .toSorted(compareKeys)
      .filter((end, index, all) => index === 0 || compareKeys(end, all[index - 1] ?? end) !== 0);
    const ranges = [...ends, null].map((end, index) => ({ end, member: names[index] ?? "a" }));
    return { kind: "range", shardKey: "id", generation: 0, members: MEMBERS, ranges };
  });

/** The owner by the definition alone: the first range whose end is above the key. */
function ownerByScan(layout: RangeLayout, one: Key): string | undefined {
  return layout.ranges.find(({ end }) => end === null || compareKeys(one, end) < 0)?.member;
}

describe("createOwnerLookup", () => {
  it("finds the slot range that holds the key", () => {
    fc.assert(
      fc.property(hashLayout, key, (layout, one) => {
        const range = layout.ranges.find(({ end }) => slotOf(one) < end);
        expect(createOwnerLookup(layout)(one)).toBe(range?.member);
        expect(createSlotLookup(layout.ranges)(slotOf(one))).toBe(range?.member);
      }),
    );
  });

  it("finds the first key range that ends above the key", () => {
    fc.assert(
      fc.property(rangeLayout, key, (layout, one) => {
        expect(createOwnerLookup(layout)(one)).toBe(ownerByScan(layout, one));
      }),
    );
  });

  it("gives everything to the root when unsharded", () => {
    fc.assert(
      fc.property(key, (one) => {
        expect(createOwnerLookup(unshardedLayout("orders", 2))(one)).toBe("orders");
      }),
    );
  });

  const custom = {
    kind: "custom",
    shardKey: "id",
    generation: 0,
    members: ["a", "b"],
    partitioner: { name: "byRegion", version: 2 },
  } as const;
  it("asks the registered partitioner, by name and version", () => {
    const byRegion = { version: 2, owner: (one: Key) => (one.text === "eu" ? 1 : 0) };
    expect(createOwnerLookup(custom, { byRegion })(toKey("eu"))).toBe("b");
    expect(() => createOwnerLookup(custom, {})).toThrow(
      "Partitioner 'byRegion' is not registered here (registered: none): the class's host and every caller's connect() need it",
    );
    expect(() => createOwnerLookup(custom, { byRegion: { ...byRegion, version: 3 } })).toThrow(
      "Partitioner 'byRegion' v2 is not registered here (registered: v3): keep v2 registered beside the new one until the rekey has ended",
    );
    const versions = [byRegion, { version: 3, owner: () => 0 }];
    expect(createOwnerLookup(custom, { byRegion: versions })(toKey("eu"))).toBe("b");
    expect(() => createOwnerLookup(custom, { byRegion: [] })).toThrow("is not registered here (registered: byRegion)");
    expect(newestPartitioners({ byZone: byRegion, byRegion: versions })).toEqual([
      { name: "byRegion", version: 3 },
      { name: "byZone", version: 2 },
    ]);
    expect(() => createOwnerLookup(custom, { toString: byRegion })).toThrow("registered: toString");
  });

  it.each([2, -1, 0.5, Number.NaN])("refuses the index %d of a bad partitioner", (index) => {
    expect(() => createOwnerLookup(custom, { byRegion: { version: 2, owner: () => index } })(toKey("eu"))).toThrow(
      "expected an index from 0 to 1",
    );
  });

  it("has no answer for roundRobin", () => {
    expect(() => createOwnerLookup({ kind: "roundRobin", shardKey: "id", generation: 0, members: ["a"] })).toThrow("directory");
  });
});

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
      { numRuns: 50 },
    );
  });

  it("range: exactly the keys whose owner differs, and applying them gives the other layout's owners", () => {
    fc.assert(
      fc.property(rangeLayout, rangeLayout, fc.array(key, { minLength: 20, maxLength: 20 }), (before, after, keys) => {
        const moves = diffRanges(before, after);
        const applied = applyMoves(before, moves);
        for (const one of [...keys, ...before.ranges, ...after.ranges].map((item) =>
          "member" in item ? (item.end ?? toKey("zz")) : item,
        )) {
          const source = ownerByScan(before, one);
          const target = ownerByScan(after, one);
          const holding = moves.filter((move) => rangeContains(move.range, one));
          expect(holding.map((move) => [move.source, move.target])).toEqual(source === target ? [] : [[source, target]]);
          expect(createOwnerLookup(applied)(one)).toBe(target);
        }
        expect(applyMoves(before, [])).toEqual({ ...before, ranges: before.ranges });
      }),
      { numRuns: 500 },
    );
  });

  it("any prefix of the moves is a layout in which each key has the old or the new owner", () => {
    fc.assert(
      fc.property(rangeLayout, rangeLayout, fc.nat(), key, (before, after, many, one) => {
        const moves = diffRanges(before, after);
        const done = moves.slice(0, many % (moves.length + 1));
        const moved = done.some((move) => rangeContains(move.range, one));
        expect(createOwnerLookup(applyMoves(before, done))(one)).toBe(ownerByScan(moved ? after : before, one));
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
    expect(applyMoves(before, [{ source: "a", target: "z", range: { kind: "slots", from: 5, to: 7 } }])).toEqual({
      ...before,
      members: ["a", "z"],
      ranges: [
        { end: 5, member: "a" },
        { end: 7, member: "z" },
        { end: SLOT_COUNT, member: "a" },
      ],
    });
    const range = { kind: "range", shardKey: "id", generation: 0, members: ["a"], ranges: [{ end: null, member: "a" }] } as const;
    expect(() => diffRanges(before as never, range as never)).toThrow("No moves between a hash and a range layout");
  });
});

describe("directoryMember", () => {
  it("is the owner of the id's slot under hash", () => {
    const layout = withDirectory(hashOf("orders", 5), true);
    if (!hasKeyedDirectory(layout)) throw new Error("no directory");
    const owner = createOwnerLookup(layout);
    fc.assert(
      fc.property(fc.string(), (id) => {
        expect(directoryMember(layout, id)).toBe(owner(toKey(id)));
      }),
    );
    expect(withDirectory(layout, false)).toEqual(hashOf("orders", 5));
  });

  it("spreads all slots over all members, in even runs", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1000 }), fc.string(), (count, id) => {
        const members = Array.from({ length: count }, (_, index) => `m${index}`);
        const layout: RoundRobinLayout = { kind: "roundRobin", shardKey: "id", generation: 0, members };
        const index = members.indexOf(directoryMember(layout, id));
        const slot = slotOf(toKey(id));
        expect(index).toBeGreaterThanOrEqual(0);
        expect(slot).toBeGreaterThanOrEqual((index * SLOT_COUNT) / count);
        expect(slot).toBeLessThan(((index + 1) * SLOT_COUNT) / count);
      }),
    );
  });
});

it("compares layouts by content, not by the order in which fields were written", () => {
  const left = { kind: "none", generation: 1, members: ["orders"] } as const;
  expect(sameLayout(left, { members: ["orders"], generation: 1, kind: "none" })).toBe(true);
  expect(sameLayout(left, { ...left, generation: 2 })).toBe(false);
});

it("names shards by generation", () => {
  expect([shardName("orders", 0, 3), shardName("orders", 2, 3)]).toEqual(["orders-shard-3", "orders-g2-shard-3"]);
});
