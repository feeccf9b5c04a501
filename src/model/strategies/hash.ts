/**
 * hash: 16,384 slots dealt out to the members.
 *
 * Fresh: consecutive runs of slots, as even as whole numbers allow.
 *
 * Resize (N → M): every member gets a quota of floor(16,384 / M) slots, and the members that own
 * the most now get the one slot more that is left over. A leaving member gives all its slots, a
 * member above its quota gives its highest ones, and members below theirs take them in index order.
 * A slot is moved only when its owner must lose it, which is the theoretical minimum.
 *
 * Level (for skew): as long as the fullest member is above the goal, one of its slots goes to the
 * emptiest member: the largest that neither takes the giver below the goal nor the taker above it,
 * or else the smallest that still makes the pair's fuller one clearly emptier. A slot cannot be
 * split; when no slot helps, the rest of the skew stays. Each step lowers the sum of squares, so it
 * ends, and it ends where a second run finds nothing to do.
 */
import type { HashLayout } from "../layout/layout.ts";
import { expandSlots, joinSlots } from "../layout/slot-table.ts";
import { SLOT_COUNT } from "../layout/slots.ts";

/** An even layout over the members, in index order. */
export function freshHashLayout(
  shardKey: string,
  generation: number,
  members: readonly string[],
): HashLayout {
  const ranges = members.map((member, index) => ({
    end: Math.floor(((index + 1) * SLOT_COUNT) / members.length),
    member,
  }));
  return { kind: "hash", shardKey, generation, members, ranges };
}

/**
 * The layout over `members` that moves the fewest slots and leaves every member within one slot of
 * even.
 */
export function resizeHashLayout(layout: HashLayout, members: readonly string[]): HashLayout {
  const owned = new Map<string, OwnedRun[]>(members.map((member) => [member, []]));
  const pool: SlotRun[] = [];
  let from = 0;
  for (const { end, member } of layout.ranges) {
    const runs = owned.get(member);
    if (runs) runs.push({ from, end, member });
    else pool.push({ from, end });
    from = end;
  }
  const quotas = slotQuotas(members, owned);
  for (const [member, runs] of owned)
    pool.push(...cutSurplus(runs, countSlots(runs) - (quotas.get(member) ?? 0)));
  pool.sort((left, right) => left.from - right.from);
  for (const [member, runs] of owned) {
    const missing = (quotas.get(member) ?? 0) - countSlots(runs);
    runs.push(...takeLowest(pool, missing).map((run) => ({ ...run, member })));
  }
  const runs = [...owned.values()].flat().toSorted((left, right) => left.from - right.from);
  const ranges = runs
    .filter((run, index) => run.member !== runs[index + 1]?.member)
    .map(({ end, member }) => ({ end, member }));
  return { ...layout, members, ranges };
}

/**
 * Slots `from` up to, not including, `end`. Whole runs are dealt with, not 16,384 slots: plans have
 * thousands of layouts.
 */
interface SlotRun {
  readonly from: number;
  readonly end: number;
}
interface OwnedRun extends SlotRun {
  readonly member: string;
}

function countSlots(runs: readonly SlotRun[]): number {
  return runs.reduce((sum, { from, end }) => sum + end - from, 0);
}

/** Takes the highest `surplus` slots off the runs, which are in ascending order. */
function cutSurplus(runs: OwnedRun[], surplus: number): SlotRun[] {
  const cut: SlotRun[] = [];
  let left = surplus;
  while (left > 0) {
    const last = runs.pop();
    if (!last) throw new Error("A member cannot give more slots than it owns");
    const from = Math.max(last.from, last.end - left);
    cut.push({ from, end: last.end });
    left -= last.end - from;
    if (from > last.from) runs.push({ ...last, end: from });
  }
  return cut;
}

/** Takes `missing` slots from the front of the pool, which is in ascending order. */
function takeLowest(pool: SlotRun[], missing: number): SlotRun[] {
  const taken: SlotRun[] = [];
  let left = missing;
  while (left > 0) {
    const first = pool.shift();
    if (!first) throw new Error("Fewer free slots than quotas to fill");
    const end = Math.min(first.end, first.from + left);
    taken.push({ from: first.from, end });
    left -= end - first.from;
    if (end < first.end) pool.unshift({ from: end, end: first.end });
  }
  return taken;
}

function slotQuotas(
  members: readonly string[],
  owned: ReadonlyMap<string, readonly SlotRun[]>,
): Map<string, number> {
  const base = Math.floor(SLOT_COUNT / members.length);
  const extra = SLOT_COUNT % members.length;
  const counts = new Map(members.map((member) => [member, countSlots(owned.get(member) ?? [])]));
  const byOwned = members.toSorted(
    (left, right) => (counts.get(right) ?? 0) - (counts.get(left) ?? 0),
  );
  return new Map(byOwned.map((member, rank) => [member, rank < extra ? base + 1 : base]));
}

/** A move must leave the pair's fuller member at least this share emptier than the giver was. */
const PAIR_GAIN_MIN = 0.01;

/**
 * Bound of the loop. Each step takes a slot from the fullest member; a slot that has moved a few
 * times will not move on.
 */
const LEVEL_STEPS_MAX = 4 * SLOT_COUNT;

interface WeighedSlot {
  readonly slot: number;
  readonly rows: number;
}

interface Load {
  readonly member: string;
  rows: number;
  /** Slots with rows, lightest first, then by number. */
  readonly slots: WeighedSlot[];
}

/**
 * The layout with slots moved from full to empty members until none is above `goal` (max/average),
 * or nothing helps any more. `rowsBySlot` may leave out empty slots, which stay where they are.
 */
export function levelHashLayout(
  layout: HashLayout,
  rowsBySlot: ReadonlyMap<number, number>,
  goal: number,
): HashLayout {
  const bySlot = expandSlots(layout.ranges);
  const loads = weighMembers(layout.members, bySlot, rowsBySlot);
  const average = loads.reduce((sum, load) => sum + load.rows, 0) / loads.length;
  for (let step = 0; step < LEVEL_STEPS_MAX; step++) {
    const { fullest, emptiest } = extremes(loads);
    if (fullest.rows <= average * goal) break;
    const moved = takeSlot(fullest, emptiest, average * goal);
    if (!moved) break;
    insertSlot(emptiest, moved);
    bySlot[moved.slot] = emptiest.member;
  }
  return { ...layout, ranges: joinSlots(bySlot) };
}

function weighMembers(
  members: readonly string[],
  bySlot: readonly string[],
  rowsBySlot: ReadonlyMap<number, number>,
): Load[] {
  const loads = new Map<string, Load>(
    members.map((member) => [member, { member, rows: 0, slots: [] }]),
  );
  for (const [slot, rows] of rowsBySlot) {
    const load = loads.get(bySlot[slot] ?? "");
    if (!load) throw new Error(`Slot ${slot} belongs to no member of the layout`);
    if (rows === 0) continue;
    load.rows += rows;
    load.slots.push({ slot, rows });
  }
  for (const load of loads.values()) load.slots.sort(compareSlots);
  return [...loads.values()];
}

function extremes(loads: readonly Load[]): { fullest: Load; emptiest: Load } {
  const [first] = loads;
  if (!first) throw new Error("A layout must have at least one member");
  let fullest = first;
  let emptiest = first;
  for (const load of loads) {
    if (load.rows > fullest.rows) fullest = load;
    if (load.rows < emptiest.rows) emptiest = load;
  }
  return { fullest, emptiest };
}

function takeSlot(giver: Load, taker: Load, goalRows: number): WeighedSlot | null {
  const comfortable = Math.min(Math.ceil(giver.rows - goalRows), goalRows - taker.rows);
  const above = firstIndex(giver.slots, (slot) => slot.rows > comfortable);
  const index = above > 0 ? above - 1 : 0;
  const chosen = giver.slots[index];
  if (!chosen || taker.rows + chosen.rows > giver.rows * (1 - PAIR_GAIN_MIN)) return null;
  giver.slots.splice(index, 1);
  giver.rows -= chosen.rows;
  return chosen;
}

function insertSlot(taker: Load, moved: WeighedSlot): void {
  taker.slots.splice(
    firstIndex(taker.slots, (slot) => compareSlots(slot, moved) > 0),
    0,
    moved,
  );
  taker.rows += moved.rows;
}

function compareSlots(left: WeighedSlot, right: WeighedSlot): number {
  return left.rows - right.rows || left.slot - right.slot;
}

/**
 * The first index for which the test holds, in a list where it holds from some index on; the length
 * when it never does.
 */
function firstIndex(slots: readonly WeighedSlot[], test: (slot: WeighedSlot) => boolean): number {
  let low = 0;
  let high = slots.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const slot = slots[middle];
    if (slot && test(slot)) high = middle;
    else low = middle + 1;
  }
  return low;
}
