/** Chooses the objects of a change whose sizes a plan lists: the fullest, before or after it. */
import { fillOf, formatFill } from "../model/capacity.ts";
import { formatBytes } from "../model/figures.ts";
import { STORAGE_BYTES_MAX } from "../model/member-states.ts";
import type { Change, MemberSize } from "../model/plan.ts";

export interface SizeRow {
  readonly member: string;
  /** "9.1 GB (91 %)", or "new". */
  readonly before: string;
  readonly after: string;
  /** At most, while rows move. */
  readonly peak: string;
}

/** At most `count` rows, fullest first, and how many are left out. */
export function sizeRows(
  { sizes = [], bytesMax = STORAGE_BYTES_MAX }: Pick<Change, "sizes" | "bytesMax">,
  count: number,
): { readonly rows: readonly SizeRow[]; readonly hidden: number } {
  const sorted = sizes
    .filter(({ part }) => part !== "none")
    .toSorted((left, right) => mostOf(right) - mostOf(left));
  const size = (bytes: number): string =>
    `${formatBytes(bytes)} (${formatFill(fillOf({ storage: bytes }, bytesMax))})`;
  return {
    rows: sorted.slice(0, count).map(({ member, before, after, peakMax }) => ({
      member,
      before: before === null ? "new" : size(before),
      after: size(after),
      peak: size(peakMax),
    })),
    hidden: Math.max(0, sorted.length - count),
  };
}

function mostOf({ before, after }: MemberSize): number {
  return Math.max(before ?? 0, after);
}
