/**
 * The directory, as far as a layout says it: which layouts have one, and which member holds an
 * entry. The entries themselves are the engine's.
 */
import {
  type CustomLayout,
  type HashLayout,
  type Layout,
  type RangeLayout,
  type RoundRobinLayout,
  memberAt,
} from "./layout.ts";
import { createSlotLookup } from "./slot-table.ts";
import { SLOT_COUNT, slotOfId } from "./slots.ts";

/** True when the layout has a directory: ids are unique, and found without their key. */
export function hasDirectory(layout: Layout): boolean {
  return layout.kind === "roundRobin" || (layout.kind !== "none" && layout.directory === true);
}

/**
 * A layout with a directory that remembers the key of each id: all but roundRobin's, which
 * remembers the owner.
 */
export type KeyedDirectoryLayout = (HashLayout | RangeLayout | CustomLayout) & {
  readonly directory: true;
};

export function hasKeyedDirectory(layout: Layout): layout is KeyedDirectoryLayout {
  return layout.kind !== "roundRobin" && hasDirectory(layout);
}

/** The same layout with a directory, or without. */
export function withDirectory<L extends Layout>(layout: L, directory: boolean): L {
  if (layout.kind === "none" || layout.kind === "roundRobin" || directory === hasDirectory(layout))
    return layout;
  const { directory: _, ...rest } = layout;
  return (directory ? { ...rest, directory } : rest) as L;
}

/**
 * The member that holds the directory entry of an id: under hash the owner of the id's slot, so
 * that entries move with their slots; else an even share of the slots for each member.
 */
export function directoryMember(
  layout: RoundRobinLayout | KeyedDirectoryLayout,
  id: string,
): string {
  if (layout.kind === "hash") return createSlotLookup(layout.ranges)(slotOfId(id));
  const share = Math.floor((slotOfId(id) * layout.members.length) / SLOT_COUNT);
  return memberAt(layout.members, share);
}
