/**
 * Slot tables: a hash layout's ranges of slots, looked up, spread out to one member for each slot,
 * and joined again.
 */
import type { SlotRange } from "./layout.ts";

/**
 * Builds the function from slot to member, by binary search: for a few look-ups in each of many
 * layouts.
 */
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
