/**
 * Checks a start before it is journaled: the layout must cover the keyspace with members that it
 * names, and the limits must be numbers.
 *
 * The planner makes no others, but a request can also come from elsewhere. A problem is described
 * in a sentence, never corrected.
 */
import { compareKeys } from "../layout/key.ts";
import type { KeyRange, Layout, SlotRange } from "../layout/layout.ts";
import type { OperationPolicy, StartOperation } from "../operation.ts";
import { SLOT_COUNT } from "../layout/slots.ts";

/** Finds the problem with the layout or the policy; null when there is none. */
export function findStartProblem({
  to,
  policy,
}: Pick<StartOperation, "to" | "policy">): string | null {
  return findLayoutProblem(to) ?? findPolicyProblem(policy);
}

function findLayoutProblem(to: Layout): string | null {
  if (to.members.length === 0) return "The target layout has no members";
  if (new Set(to.members).size !== to.members.length)
    return "The names of the target members must be unique";
  if (to.members.includes("")) return "A target member has no name";
  switch (to.kind) {
    case "none":
      return to.members.length === 1
        ? null
        : `An unsharded layout has one member, not ${to.members.length}`;
    case "hash":
      return findSlotProblem(to.ranges) ?? findStranger(to.ranges, to.members);
    case "range":
      return findKeyProblem(to.ranges) ?? findStranger(to.ranges, to.members);
    case "custom":
    case "roundRobin":
      return null;
  }
}

function findSlotProblem(ranges: readonly SlotRange[]): string | null {
  let before = 0;
  for (const { end } of ranges) {
    if (!Number.isInteger(end) || end <= before)
      return `Slot ranges must end at ascending slots: ${end} follows ${before}`;
    before = end;
  }
  return before === SLOT_COUNT
    ? null
    : `The last slot range must end at ${SLOT_COUNT}, not at ${before}`;
}

function findKeyProblem(ranges: readonly KeyRange[]): string | null {
  if (ranges.length === 0) return "A range layout needs at least one range";
  for (const [index, { end }] of ranges.entries()) {
    const before = ranges[index - 1]?.end ?? null;
    const isLast = index === ranges.length - 1;
    if (isLast !== (end === null))
      return `The end of key range ${index + 1} of ${ranges.length} must ${isLast ? "" : "not "}be null`;
    if (end !== null && before !== null && compareKeys(before, end) >= 0)
      return `Key ranges must end at ascending keys: the end of range ${index + 1} is not above that of range ${index}`;
  }
  return null;
}

function findStranger(
  ranges: readonly (SlotRange | KeyRange)[],
  members: readonly string[],
): string | null {
  const known = new Set(members);
  const stranger = ranges.find(({ member }) => !known.has(member));
  return stranger
    ? `A range belongs to ${stranger.member}, which is no member of the target layout`
    : null;
}

function findPolicyProblem({
  waveRowsMax,
  retainHours,
  rowsPerSecondMax,
}: OperationPolicy): string | null {
  if (!Number.isInteger(waveRowsMax) || waveRowsMax < 1)
    return `waveRowsMax must be a whole number from 1 on, not ${waveRowsMax}`;
  if (!Number.isFinite(retainHours) || retainHours < 0)
    return `retainHours must be a number from 0 on, not ${retainHours}`;
  if (rowsPerSecondMax !== null && !(Number.isFinite(rowsPerSecondMax) && rowsPerSecondMax >= 1))
    return `rowsPerSecondMax must be null or a number from 1 on, not ${rowsPerSecondMax}`;
  return null;
}
