/**
 * Judges how full the members of a namespace are, against what one object may store and
 * `policy.maxFill`. Pure.
 *
 * A member that does not answer counts as it last said; one that never said is left out.
 */
import { formatCount } from "./figures.ts";
import type { MemberStatus } from "./live.ts";
import { STORAGE_BYTES_MAX } from "./member-states.ts";

/** A level that was reached is left only so far below it: sizes go up and down a little. */
export const LEFT_BELOW = 0.02;
/** The part of `maxFill` to which a proposed number of shards brings the fullest one. */
const ROOM_SHARE = 5 / 6;

/** `warning` from `maxFill` on, `alert` halfway from there to full. */
export type FillLevel = "none" | "warning" | "alert";

/** The fill from which on members alert: 0.85 of 0.7. */
export function alertFill(maxFill: number): number {
  return (1 + maxFill) / 2;
}

/** @param before the level of the last look. */
export function fillLevel(fill: number, maxFill: number, before: FillLevel = "none"): FillLevel {
  const reaches = (limit: number, wasReached: boolean): boolean =>
    fill >= limit - (wasReached ? LEFT_BELOW : 0);
  if (reaches(alertFill(maxFill), before === "alert")) return "alert";
  return reaches(maxFill, before !== "none") ? "warning" : "none";
}

/** The share of the limit, in bytes; 0 of a member that has not said how much it stores. */
export function fillOf(
  { storage = 0 }: Pick<MemberStatus, "storage">,
  limit = STORAGE_BYTES_MAX,
): number {
  return storage / limit;
}

/** The members that have said how much they store, fullest first. */
export function fullestMembers(members: readonly MemberStatus[]): MemberStatus[] {
  return members
    .filter(({ storage }) => storage !== undefined)
    .toSorted((left, right) => (right.storage ?? 0) - (left.storage ?? 0));
}

/** The fill of the fullest member with so many shards, as unevenly filled as now. */
export function fillWith(fullest: number, members: number, count: number): number {
  return (fullest * members) / count;
}

/**
 * The least number of shards that leaves room below `maxFill`, at most `countMax`; null when there
 * are that many already.
 */
export function neededCount(
  fullest: number,
  members: number,
  { maxFill, countMax }: { readonly maxFill: number; readonly countMax: number },
): number | null {
  const onOne = fillWith(fullest, members, 1);
  const needed = Math.min(countMax, Math.ceil(onOne / (maxFill * ROOM_SHARE)));
  return needed > members ? needed : null;
}

/** "87 %": 0.8712. Full is said only of what is full. */
export function formatFill(fill: number): string {
  const percent = Math.round(fill * 100);
  return `${formatCount(fill < 1 ? Math.min(percent, 99) : percent)} %`;
}
