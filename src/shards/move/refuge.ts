/**
 * Chooses a target for rows that stand on a member which leaves, though by its layout they never
 * belonged to it.
 *
 * A shift moves ranges, and such a row is in none that its member gives away: it would be left
 * behind on a retired member, where nobody looks, and be deleted with it. It goes along with the
 * first range of its member instead. It is as misplaced there as it was before, but on a member
 * that queries see, and the audit finds.
 */
import { MISSING_KEY } from "../../model/layout/key.ts";
import { type MoveRange, rangeContains } from "../../model/layout/move-range.ts";
import { createOwnerLookup } from "../../model/layout/owner-lookup.ts";
import { createSlotLookup } from "../../model/layout/slot-table.ts";
import type { Moving } from "./moving.ts";
import { positionJson } from "./position.ts";

export interface Refuge {
  readonly owner: string;
  /** As `positionJson` gives it. */
  readonly position: string;
  /** True when it goes along with this part of the keyspace. */
  isWithin(range: MoveRange): boolean;
}

/** Null when the member stays, or owns no range that its rows could go along with. */
export function findRefuge({ mode, from, to }: Moving, self: string): Refuge | null {
  if (mode !== "shift" || to.members.includes(self)) return null;
  if (from.kind === "hash" && to.kind === "hash") {
    const first = from.ranges.findIndex((range) => range.member === self);
    if (first < 0) return null;
    const slot = from.ranges[first - 1]?.end ?? 0;
    const isWithin = (range: MoveRange): boolean =>
      range.kind === "slots" && slot >= range.from && slot < range.to;
    return { owner: createSlotLookup(to.ranges)(slot), position: `0,${slot}`, isWithin };
  }
  if (from.kind === "range" && to.kind === "range") {
    const first = from.ranges.findIndex((range) => range.member === self);
    if (first < 0) return null;
    const key = from.ranges[first - 1]?.end ?? MISSING_KEY;
    const isWithin = (range: MoveRange): boolean => rangeContains(range, key);
    return { owner: createOwnerLookup(to)(key), position: positionJson(to, key), isWithin };
  }
  return null;
}
