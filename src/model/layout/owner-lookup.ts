/**
 * Finds the member that owns a key. Everything else in the product depends on that answer: the
 * caller's router, the planner's projections and the engine's copy all call `createOwnerLookup`.
 */
import { type Key, compareKeys } from "./key.ts";
import { type CustomLayout, type KeyRange, type Layout, memberAt } from "./layout.ts";
import { type Partitioner, type Partitioners, registeredPartitioner } from "./partitioners.ts";
import { expandSlots } from "./slot-table.ts";
import { slotOf } from "./slots.ts";

/**
 * Builds the function from key to member. For `roundRobin` there is no such function: the directory
 * decides, and this throws.
 *
 * @throws Error when the layout's partitioner is not registered, is of another version, or returns
 * an index out of range.
 */
export function createOwnerLookup(
  layout: Layout,
  partitioners: Partitioners = {},
): (key: Key) => string {
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

function checkedIndex(partitioner: Partitioner, key: Key, layout: CustomLayout): number {
  const index = partitioner.owner(key, layout.members.length);
  if (Number.isInteger(index) && index >= 0 && index < layout.members.length) return index;
  throw new Error(
    `Partitioner '${layout.partitioner.name}' returned ${String(index)}, expected an index from 0 to ${layout.members.length - 1}`,
  );
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
