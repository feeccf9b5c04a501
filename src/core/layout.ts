/**
 * Layouts: who owns which part of a namespace's keyspace, as plain values.
 *
 * A layout is the answer to one question, "which member owns this key?", and everything else in the product is built on that
 * answer: the caller's router, the planner's projections and the engine's copy all call `createOwnerLookup`.
 *
 * | kind       | the owner of a row is                                                        |
 * |------------|------------------------------------------------------------------------------|
 * | none       | the root                                                                     |
 * | hash       | the member of the slot range that holds the key's slot                       |
 * | range      | the member of the first key range whose end is above the key                 |
 * | custom     | the member whose index the registered partitioner returns                    |
 * | roundRobin | remembered per row in the directory, which is itself spread by slot of the id |
 *
 * With a directory (always under roundRobin, else by `directory: true`) ids are unique in the namespace, and found without their key.
 *
 * Layouts are stored in registries: a change of shape is a migration.
 */
import { canonicalJson } from "./canonical.ts";
import { type Key, compareKeys } from "./key.ts";
import { SLOT_COUNT, slotOf, slotOfId } from "./slots.ts";

export type Strategy = "hash" | "range" | "roundRobin" | "custom" | "none";

/** Slots from the previous range's end up to, not including, `end`. The last range ends at 16,384. */
export interface SlotRange {
  readonly end: number;
  readonly member: string;
}

/** Keys from the previous range's end up to, not including, `end`, in SQLite's order. The last range has `end: null`. */
export interface KeyRange {
  readonly end: Key | null;
  readonly member: string;
}

/** A custom partitioner by name and version; a new version is another layout. */
export interface PartitionerRef {
  readonly name: string;
  readonly version: number;
}

export interface NoneLayout {
  readonly kind: "none";
  readonly generation: number;
  /** Exactly one: the root. */
  readonly members: readonly string[];
}

interface ShardedLayout {
  readonly shardKey: string;
  /** True: each id's key is remembered in the directory. Left out where there is none; never said by roundRobin, which has its own. */
  readonly directory?: true;
  readonly generation: number;
  /** In order of the shard index. */
  readonly members: readonly string[];
}

export interface HashLayout extends ShardedLayout {
  readonly kind: "hash";
  readonly ranges: readonly SlotRange[];
}
export interface RangeLayout extends ShardedLayout {
  readonly kind: "range";
  readonly ranges: readonly KeyRange[];
}
export interface CustomLayout extends ShardedLayout {
  readonly kind: "custom";
  readonly partitioner: PartitionerRef;
}
export interface RoundRobinLayout extends ShardedLayout {
  readonly kind: "roundRobin";
}
export type Layout = NoneLayout | HashLayout | RangeLayout | CustomLayout | RoundRobinLayout;

/** A partitioner that a class registers: a pure function of the key. `owner` gives a shard index, 0 … `shardCount` - 1. */
export interface Partitioner {
  readonly version: number;
  owner(key: Key, shardCount: number): number;
}
/**
 * By name. A new version is registered beside the old one until the rekey to it has ended: until then rows are found by the old, and
 * copied by the new. The newest is the one that a manifest's name means.
 */
export type Partitioners = Readonly<Record<string, Partitioner | readonly Partitioner[]>>;

/** The part of the keyspace that changes hands between two layouts of one kind. `from` is inclusive, `to` exclusive, `null` is unbounded. */
export type MoveRange =
  | { readonly kind: "slots"; readonly from: number; readonly to: number }
  | { readonly kind: "keys"; readonly from: Key | null; readonly to: Key | null };

export interface Move {
  readonly source: string;
  readonly target: string;
  readonly range: MoveRange;
}

/** The name of a shard. Stored, and the identity of a Durable Object: never change. */
export function shardName(namespace: string, generation: number, index: number): string {
  return generation === 0 ? `${namespace}-shard-${index}` : `${namespace}-g${generation}-shard-${index}`;
}

export function shardNames(namespace: string, generation: number, count: number): string[] {
  return Array.from({ length: count }, (_, index) => shardName(namespace, generation, index));
}

/** The layout of a namespace that was never sharded, or is unsharded again. */
export function unshardedLayout(namespace: string, generation: number): NoneLayout {
  return { kind: "none", generation, members: [namespace] };
}

/**
 * Builds the function from key to member. For `roundRobin` there is no such function: the directory decides, and this throws.
 *
 * @throws Error when the layout's partitioner is not registered, is of another version, or returns an index out of range.
 */
export function createOwnerLookup(layout: Layout, partitioners: Partitioners = {}): (key: Key) => string {
  switch (layout.kind) {
    case "none": {
      const root = memberAt(layout.members, 0);
      return () => root;
    }
    case "hash": {
      const bySlot = expandSlots(layout.ranges);
      return (key) => memberAt(bySlot, slotOf(key));
    }
    case "range":
      return (key) => rangeHolding(layout.ranges, key).member;
    case "custom": {
      const partitioner = registeredPartitioner(layout.partitioner, partitioners);
      return (key) => memberAt(layout.members, checkedIndex(partitioner, key, layout));
    }
    case "roundRobin":
      throw new Error("A roundRobin layout has no owner by key: ask the directory");
  }
}

/** The registered partitioner of that name and version. @throws Error naming what is registered. */
export function registeredPartitioner(ref: PartitionerRef, partitioners: Partitioners): Partitioner {
  const versions = versionsOf(ref.name, partitioners);
  if (versions.length === 0) {
    const known = Object.keys(partitioners).toSorted().join(", ") || "none";
    throw new Error(
      `Partitioner '${ref.name}' is not registered here (registered: ${known}): the class's host and every caller's connect() need it`,
    );
  }
  const found = versions.find(({ version }) => version === ref.version);
  if (found) return found;
  const known = versions.map(({ version }) => `v${version}`).join(", ");
  throw new Error(
    `Partitioner '${ref.name}' v${ref.version} is not registered here (registered: ${known}): keep v${ref.version} registered beside the new one until the rekey has ended`,
  );
}

/** The newest version of each registered partitioner, by name. */
export function newestPartitioners(partitioners: Partitioners): PartitionerRef[] {
  return Object.keys(partitioners)
    .toSorted()
    .flatMap((name) => {
      const newest = versionsOf(name, partitioners)[0];
      return newest ? [{ name, version: newest.version }] : [];
    });
}

/** Newest first. */
function versionsOf(name: string, partitioners: Partitioners): Partitioner[] {
  const registered = Object.hasOwn(partitioners, name) ? partitioners[name] : undefined;
  return [registered ?? []].flat().toSorted((left, right) => right.version - left.version);
}

/** True when the layout has a directory: ids are unique, and found without their key. */
export function hasDirectory(layout: Layout): boolean {
  return layout.kind === "roundRobin" || (layout.kind !== "none" && layout.directory === true);
}

/** A layout with a directory that remembers the key of each id: all but roundRobin's, which remembers the owner. */
export type KeyedDirectoryLayout = (HashLayout | RangeLayout | CustomLayout) & { readonly directory: true };

export function hasKeyedDirectory(layout: Layout): layout is KeyedDirectoryLayout {
  return layout.kind !== "roundRobin" && hasDirectory(layout);
}

/** The same layout with a directory, or without. */
export function withDirectory<L extends Layout>(layout: L, directory: boolean): L {
  if (layout.kind === "none" || layout.kind === "roundRobin" || directory === hasDirectory(layout)) return layout;
  const { directory: _, ...rest } = layout;
  return (directory ? { ...rest, directory } : rest) as L;
}

/**
 * The member that holds the directory entry of an id: under hash the owner of the id's slot, so that entries move with their slots; else
 * an even share of the slots for each member.
 */
export function directoryMember(layout: RoundRobinLayout | KeyedDirectoryLayout, id: string): string {
  if (layout.kind === "hash") return createSlotLookup(layout.ranges)(slotOfId(id));
  const share = Math.floor((slotOfId(id) * layout.members.length) / SLOT_COUNT);
  return memberAt(layout.members, share);
}

/** True when both layouts have the same fields, whatever the order in which they were written: same key, generation, members and ranges. */
export function sameLayout(left: Layout, right: Layout): boolean {
  return canonicalJson(left) === canonicalJson(right);
}

/** What changes hands from `before` to `after`, in key order, adjacent pieces joined. Both must be of one kind, hash or range. */
export function diffRanges(before: HashLayout, after: HashLayout): Move[];
export function diffRanges(before: RangeLayout, after: RangeLayout): Move[];
export function diffRanges(before: HashLayout | RangeLayout, after: HashLayout | RangeLayout): Move[] {
  if (before.kind === "hash" && after.kind === "hash") {
    return diffOrdered(before.ranges, after.ranges, (a, b) => a - b, SLOT_COUNT).map(({ from, to, source, target }) => ({
      source,
      target,
      range: { kind: "slots", from: from ?? 0, to: to ?? SLOT_COUNT },
    }));
  }
  if (before.kind === "range" && after.kind === "range") {
    return diffOrdered<Key | null>(before.ranges, after.ranges, compareEnds, null).map(({ from, to, source, target }) => ({
      source,
      target,
      range: { kind: "keys", from: from ?? null, to },
    }));
  }
  throw new Error(`No moves between a ${before.kind} and a ${after.kind} layout: rows are copied to new members instead`);
}

/** The layout after some of the moves: the moved ranges belong to their targets. Members are kept; unknown targets are added at the end. */
export function applyMoves<L extends HashLayout | RangeLayout>(layout: L, moves: readonly Move[]): L {
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

/** True when the range holds the key. */
export function rangeContains(range: MoveRange, key: Key): boolean {
  if (range.kind === "slots") {
    const slot = slotOf(key);
    return slot >= range.from && slot < range.to;
  }
  return (range.from === null || compareKeys(key, range.from) >= 0) && (range.to === null || compareKeys(key, range.to) < 0);
}

/** Builds the function from slot to member, by binary search: for a few look-ups in each of many layouts. */
export function createSlotLookup(ranges: readonly SlotRange[]): (slot: number) => string {
  return (slot) => {
    let low = 0;
    let high = ranges.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (slot < (ranges[middle]?.end ?? 0)) high = middle;
      else low = middle + 1;
    }
    const range = ranges[low];
    if (!range || slot >= range.end) throw new Error(`No member owns slot ${slot}`);
    return range.member;
  };
}

/** The slot table as one member per slot. */
export function expandSlots(ranges: readonly SlotRange[]): string[] {
  const bySlot: string[] = [];
  for (const { end, member } of ranges) {
    while (bySlot.length < end) bySlot.push(member);
  }
  return bySlot;
}

/** The shortest list of ranges that says the same as one member per slot. */
export function joinSlots(bySlot: readonly string[]): SlotRange[] {
  const ranges: SlotRange[] = [];
  bySlot.forEach((member, slot) => {
    if (member !== bySlot[slot + 1]) ranges.push({ end: slot + 1, member });
  });
  return ranges;
}

function checkedIndex(partitioner: Partitioner, key: Key, layout: CustomLayout): number {
  const index = partitioner.owner(key, layout.members.length);
  if (Number.isInteger(index) && index >= 0 && index < layout.members.length) return index;
  throw new Error(
    `Partitioner '${layout.partitioner.name}' returned ${String(index)}, expected an index from 0 to ${layout.members.length - 1}`,
  );
}

function memberAt(members: readonly string[], index: number): string {
  const member = members[index];
  if (member === undefined) throw new Error(`Layout has no member ${index} (it has ${members.length})`);
  return member;
}

function rangeHolding(ranges: readonly KeyRange[], key: Key): KeyRange {
  let low = 0;
  let high = ranges.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    const end = ranges[middle]?.end ?? null;
    if (end === null || compareKeys(key, end) < 0) high = middle;
    else low = middle + 1;
  }
  const range = ranges[low];
  if (!range) throw new Error("A range layout must have at least one range");
  return range;
}

function compareEnds(left: Key | null, right: Key | null): number {
  if (left === null || right === null) return left === right ? 0 : left === null ? 1 : -1;
  return compareKeys(left, right);
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
    if (old.member !== next.member) appendDifference(found, { from, to, source: old.member, target: next.member });
    if (order <= 0) left++;
    if (order >= 0) right++;
    from = to;
  }
  const reached = from !== undefined && compare(from, last) === 0;
  if (!reached) throw new Error("Layouts do not cover the whole keyspace");
  return found;
}

function appendDifference<End>(found: OrderedDifference<End>[], piece: OrderedDifference<End>): void {
  const previous = found.at(-1);
  if (previous && previous.to === piece.from && previous.source === piece.source && previous.target === piece.target) {
    found[found.length - 1] = { ...previous, to: piece.to };
  } else {
    found.push(piece);
  }
}

/** Gives [from, to) to `target`, cutting the ranges it overlaps. */
function assignKeys(ranges: readonly KeyRange[], from: Key | null, to: Key | null, target: string): KeyRange[] {
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
      to === null || (isFirst && overlapStart === null) || overlapStart === null || compareKeys(overlapStart, to) < 0;
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

/** The part that two ranges of one kind share, or null. */
export function intersectRanges(left: MoveRange, right: MoveRange): MoveRange | null {
  if (left.kind === "slots" && right.kind === "slots") {
    const from = Math.max(left.from, right.from);
    const to = Math.min(left.to, right.to);
    return from < to ? { kind: "slots", from, to } : null;
  }
  if (left.kind === "keys" && right.kind === "keys") {
    const from = left.from === null || (right.from !== null && compareKeys(right.from, left.from) > 0) ? right.from : left.from;
    const to = compareEnds(left.to, right.to) <= 0 ? left.to : right.to;
    return from === null || to === null || compareKeys(from, to) < 0 ? { kind: "keys", from, to } : null;
  }
  throw new Error("Ranges of slots and of keys do not meet");
}
