/**
 * hash: 16,384 slots dealt out to the members.
 *
 * Fresh: consecutive runs of slots, as even as whole numbers allow.
 *
 * Resize (N → M): every member gets a quota of floor(16,384 / M) slots, and the members that own the most now get the one slot more
 * that is left over. A leaving member gives all its slots, a member above its quota gives its highest ones, and members below
 * theirs take them in index order. A slot is moved only when its owner must lose it, which is the theoretical minimum.
 *
 * Level (for skew): as long as the fullest member is above the goal, one of its slots goes to the emptiest member: the largest that
 * neither takes the giver below the goal nor the taker above it, or else the smallest that still makes the pair's fuller one
 * clearly emptier. A slot cannot be split; when no slot helps, the rest of the skew stays. Each step lowers the sum of squares,
 * so it ends, and it ends where a second run finds nothing to do.
 */
import { type HashLayout, expandSlots, joinSlots } from "../layout.ts";
import { SLOT_COUNT } from "../slots.ts";

/** An even layout over the members, in index order. */
export function freshHashLayout(shardKey: string, generation: number, members: readonly string[]): HashLayout {
  const ranges = members.map((member, index) => ({ end: Math.floor(((index + 1) * SLOT_COUNT) / members.length), member }));
  return { kind: "hash", shardKey, generation, members, ranges };
}

/** The layout over `members` that moves the fewest slots and leaves every member within one slot of even. */
export function resizeHashLayout(layout: HashLayout, members: readonly string[]): HashLayout {
  const bySlot = expandSlots(layout.ranges);
  const owned = new Map<string, number[]>(members.map((member) => [member, []]));
  const pool: number[] = [];
  bySlot.forEach((member, slot) => (owned.get(member) ?? pool).push(slot));
  const quotas = slotQuotas(members, owned);
  for (const [member, slots] of owned) pool.push(...slots.slice(quotas.get(member)));
  pool.sort((left, right) => left - right);
  let next = 0;
  for (const [member, slots] of owned) {
    for (let missing = (quotas.get(member) ?? 0) - slots.length; missing > 0; missing--) {
      const slot = pool[next++];
      if (slot === undefined) throw new Error("Fewer free slots than quotas to fill");
      bySlot[slot] = member;
    }
  }
  return { ...layout, members, ranges: joinSlots(bySlot) };
}

function slotQuotas(members: readonly string[], owned: ReadonlyMap<string, readonly number[]>): Map<string, number> {
  const base = Math.floor(SLOT_COUNT / members.length);
  const extra = SLOT_COUNT % members.length;
  const countOf = (member: string): number => owned.get(member)?.length ?? 0;
  const byOwned = members.toSorted((left, right) => countOf(right) - countOf(left));
  return new Map(byOwned.map((member, rank) => [member, rank < extra ? base + 1 : base]));
}

/** A move must leave the pair's fuller member at least this share emptier than the giver was. */
const PAIR_GAIN_MIN = 0.01;

/** Bound of the loop. Each step takes a slot from the fullest member; a slot that has moved a few times will not move on. */
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
 * The layout with slots moved from full to empty members until none is above `goal` (max/average), or nothing helps any more.
 * `rowsBySlot` may leave out empty slots, which stay where they are.
 */
export function levelHashLayout(layout: HashLayout, rowsBySlot: ReadonlyMap<number, number>, goal: number): HashLayout {
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

function weighMembers(members: readonly string[], bySlot: readonly string[], rowsBySlot: ReadonlyMap<number, number>): Load[] {
  const loads = new Map<string, Load>(members.map((member) => [member, { member, rows: 0, slots: [] }]));
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

/** The first index for which the test holds, in a list where it holds from some index on; the length when it never does. */
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
