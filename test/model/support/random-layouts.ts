/** Random keys and layouts for properties, and the owner of a key by the definition alone. */
import * as fc from "fast-check";
import { type Key, compareKeys, toKey } from "../../../src/model/layout/key.ts";
import type { HashLayout, RangeLayout } from "../../../src/model/layout/layout.ts";
import { joinSlots } from "../../../src/model/layout/slot-table.ts";
import { SLOT_COUNT } from "../../../src/model/layout/slots.ts";

const MEMBERS = ["a", "b", "c", "d", "e"];
const member = fc.constantFrom(...MEMBERS);
export const key: fc.Arbitrary<Key> = fc
  .oneof(
    fc.constant(null),
    fc.integer({ min: -20, max: 20 }),
    fc.double({ min: -5, max: 5, noNaN: true }),
    fc.string({ maxLength: 2 }),
    fc.uint8Array({ maxLength: 1 }),
  )
  .map(toKey);

export const hashLayout: fc.Arbitrary<HashLayout> = fc
  .array(fc.tuple(fc.integer({ min: 1, max: SLOT_COUNT - 1 }), member), { maxLength: 12 })
  .chain((cuts) =>
    member.map((last) => {
      const bySlot = Array.from<string>({ length: SLOT_COUNT }).fill(last);
      for (const [end, name] of cuts.toSorted(([left], [right]) => right - left))
        bySlot.fill(name, 0, end);
      return {
        kind: "hash" as const,
        shardKey: "id",
        generation: 0,
        members: MEMBERS,
        ranges: joinSlots(bySlot),
      };
    }),
  );

/** Neighbours may share a member: stored layouts need not be the shortest. */
export const rangeLayout: fc.Arbitrary<RangeLayout> = fc
  .tuple(fc.array(key, { maxLength: 8 }), fc.array(member, { minLength: 9, maxLength: 9 }))
  .map(([cuts, names]) => {
    const ends = cuts
      .toSorted(compareKeys)
      .filter((end, index, all) => index === 0 || compareKeys(end, all[index - 1] ?? end) !== 0);
    const ranges = [...ends, null].map((end, index) => ({ end, member: names[index] ?? "a" }));
    return { kind: "range", shardKey: "id", generation: 0, members: MEMBERS, ranges };
  });

/** The owner by the definition alone: the first range whose end is above the key. */
export function ownerByScan(layout: RangeLayout, one: Key): string | undefined {
  return layout.ranges.find(({ end }) => end === null || compareKeys(one, end) < 0)?.member;
}
