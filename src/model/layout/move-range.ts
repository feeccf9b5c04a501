/** Ranges of the keyspace that change hands: what they hold, and what two of them share. */
import { type Key, compareKeys } from "./key.ts";
import { slotOf } from "./slots.ts";

/**
 * The part of the keyspace that changes hands between two layouts of one kind. `from` is inclusive,
 * `to` exclusive, `null` is unbounded.
 */
export type MoveRange =
  | { readonly kind: "slots"; readonly from: number; readonly to: number }
  | { readonly kind: "keys"; readonly from: Key | null; readonly to: Key | null };

/** True when the range holds the key. */
export function rangeContains(range: MoveRange, key: Key): boolean {
  if (range.kind === "slots") {
    const slot = slotOf(key);
    return slot >= range.from && slot < range.to;
  }
  return (
    (range.from === null || compareKeys(key, range.from) >= 0) &&
    (range.to === null || compareKeys(key, range.to) < 0)
  );
}

/** The part that two ranges of one kind share, or null. */
export function intersectRanges(left: MoveRange, right: MoveRange): MoveRange | null {
  if (left.kind === "slots" && right.kind === "slots") {
    const from = Math.max(left.from, right.from);
    const to = Math.min(left.to, right.to);
    return from < to ? { kind: "slots", from, to } : null;
  }
  if (left.kind === "keys" && right.kind === "keys") {
    const from =
      left.from === null || (right.from !== null && compareKeys(right.from, left.from) > 0)
        ? right.from
        : left.from;
    const to = compareEnds(left.to, right.to) <= 0 ? left.to : right.to;
    return from === null || to === null || compareKeys(from, to) < 0
      ? { kind: "keys", from, to }
      : null;
  }
  throw new Error("Ranges of slots and of keys do not meet");
}

/** Orders two ends of key ranges: `null` is above every key. */
export function compareEnds(left: Key | null, right: Key | null): number {
  if (left === null || right === null) return left === right ? 0 : left === null ? 1 : -1;
  return compareKeys(left, right);
}
