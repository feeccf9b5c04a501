/**
 * Moves: what changes hands from one layout to another of its kind, and the layout after some of it
 * has.
 *
 * Only hash and range layouts have moves. Between layouts of two kinds rows are copied to new
 * members instead: asking for moves throws.
 */
import { type Key, compareKeys } from "./key.ts";
import type { HashLayout, KeyRange, Layout, RangeLayout } from "./layout.ts";
import { type MoveRange, compareEnds } from "./move-range.ts";
import { expandSlots, joinSlots } from "./slot-table.ts";
import { SLOT_COUNT } from "./slots.ts";

export interface Move {
  readonly source: string;
  readonly target: string;
  readonly range: MoveRange;
}

/**
 * Returns the ranges that change hands from `before` to `after`, in key order, adjacent pieces
 * joined. Both must be of one kind, hash or range.
 */
export function diffRanges(before: HashLayout, after: HashLayout): Move[];
export function diffRanges(before: RangeLayout, after: RangeLayout): Move[];
export function diffRanges(
  before: HashLayout | RangeLayout,
  after: HashLayout | RangeLayout,
): Move[] {
  if (before.kind === "hash" && after.kind === "hash") {
    return diffOrdered(before.ranges, after.ranges, (a, b) => a - b, SLOT_COUNT).map(
      ({ from, to, source, target }) => ({
        source,
        target,
        range: { kind: "slots", from: from ?? 0, to: to ?? SLOT_COUNT },
      }),
    );
  }
  if (before.kind === "range" && after.kind === "range") {
    return diffOrdered<Key | null>(before.ranges, after.ranges, compareEnds, null).map(
      ({ from, to, source, target }) => ({
        source,
        target,
        range: { kind: "keys", from: from ?? null, to },
      }),
    );
  }
  throw new Error(
    `No moves between a ${before.kind} and a ${after.kind} layout: rows are copied to new members instead`,
  );
}

/**
 * The ranges that a member owns after a shift's waves so far and did not own before. Empty for
 * layouts that have no moves.
 */
export function ownSince(before: Layout, now: Layout, member: string): MoveRange[] {
  const moves =
    before.kind === "hash" && now.kind === "hash"
      ? diffRanges(before, now)
      : before.kind === "range" && now.kind === "range"
        ? diffRanges(before, now)
        : [];
  return moves.filter((move) => move.target === member).map((move) => move.range);
}

/**
 * The layout after some of the moves: the moved ranges belong to their targets. Members are kept;
 * unknown targets are added at the end.
 */
export function applyMoves<L extends HashLayout | RangeLayout>(
  layout: L,
  moves: readonly Move[],
): L {
  const members = [...layout.members];
  for (const move of moves) if (!members.includes(move.target)) members.push(move.target);
  if (layout.kind === "hash") {
    const bySlot = expandSlots(layout.ranges);
    for (const { range, target } of moves) {
      if (range.kind === "slots") bySlot.fill(target, range.from, range.to);
    }
    return { ...layout, members, ranges: joinSlots(bySlot) };
  }
  let ranges: readonly KeyRange[] = layout.ranges;
  for (const { range, target } of moves) {
    if (range.kind === "keys") ranges = assignKeys(ranges, range.from, range.to, target);
  }
  return { ...layout, members, ranges };
}

interface OrderedDifference<End> {
  readonly from: End | undefined;
  readonly to: End;
  readonly source: string;
  readonly target: string;
}

/** Merges two sorted lists of ranges over one domain and keeps the pieces whose member differs. */
function diffOrdered<End>(
  before: readonly { readonly end: End; readonly member: string }[],
  after: readonly { readonly end: End; readonly member: string }[],
  compare: (left: End, right: End) => number,
  last: End,
): OrderedDifference<End>[] {
  const found: OrderedDifference<End>[] = [];
  let from: End | undefined;
  let left = 0;
  let right = 0;
  while (left < before.length && right < after.length) {
    const old = before[left];
    const next = after[right];
    if (!old || !next) break;
    const order = compare(old.end, next.end);
    const to = order <= 0 ? old.end : next.end;
    if (old.member !== next.member)
      appendDifference(found, { from, to, source: old.member, target: next.member });
    if (order <= 0) left++;
    if (order >= 0) right++;
    from = to;
  }
  const reached = from !== undefined && compare(from, last) === 0;
  if (!reached) throw new Error("Layouts do not cover the whole keyspace");
  return found;
}

function appendDifference<End>(
  found: OrderedDifference<End>[],
  piece: OrderedDifference<End>,
): void {
  const previous = found.at(-1);
  if (
    previous &&
    previous.to === piece.from &&
    previous.source === piece.source &&
    previous.target === piece.target
  ) {
    found[found.length - 1] = { ...previous, to: piece.to };
  } else {
    found.push(piece);
  }
}

/** Gives [from, to) to `target`, cutting the ranges it overlaps. */
function assignKeys(
  ranges: readonly KeyRange[],
  from: Key | null,
  to: Key | null,
  target: string,
): KeyRange[] {
  const pieces: KeyRange[] = [];
  let start: Key | null = null; // inclusive start of the current range; null is below every key
  let isFirst = true;
  for (const { end, member } of ranges) {
    const beginsBefore = from !== null && (isFirst || compareKeys(start as Key, from) < 0);
    // The part before the moved range stays.
    if (beginsBefore) pieces.push({ end: compareEnds(end, from) <= 0 ? end : from, member });
    // The part inside it goes to the target.
    const overlapStart = beginsBefore ? from : start;
    const endsAfterFrom = from === null || compareEnds(end, from) > 0;
    const startsBeforeTo =
      to === null ||
      (isFirst && overlapStart === null) ||
      overlapStart === null ||
      compareKeys(overlapStart, to) < 0;
    if (endsAfterFrom && startsBeforeTo) {
      pieces.push({ end: compareEnds(end, to) <= 0 ? end : to, member: target });
      // The part after it stays.
      if (compareEnds(end, to) > 0) pieces.push({ end, member });
    } else if (!beginsBefore) {
      pieces.push({ end, member });
    }
    start = end;
    isFirst = false;
  }
  return joinKeyRanges(pieces);
}

function joinKeyRanges(ranges: readonly KeyRange[]): KeyRange[] {
  return ranges.filter((range, index) => range.member !== ranges[index + 1]?.member);
}
