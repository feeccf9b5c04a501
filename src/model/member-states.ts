/**
 * Judges what members report: whether they run one version with the same tables, and whether one
 * has ended an operation for want of room. Pure. How full they are: see `capacity.ts`.
 *
 * Two versions side by side are normal for the minutes of a rollout.
 */
import { compareText } from "./compare-text.ts";
import type { LiveNamespace, MemberStatus } from "./live.ts";

/** The most that one object may store, in bytes: Cloudflare's limit for a SQLite-backed object. */
export const STORAGE_BYTES_MAX = 10_000_000_000;
/** The library of an object that says nothing of it: it speaks protocol 1 alone. */
const UNNAMED = "an older version";
const NAMES_MAX = 3;

/**
 * "0.2.0 on a and b; 0.1.0 on c", when members run different libraries or have different tables;
 * null when they agree.
 */
export function describeMix(members: readonly MemberStatus[]): string | null {
  const parts = [
    mixOf(members, libraryOf, ["runs", "run"]),
    mixOf(members, ({ schema }) => schema, ["has tables", "have tables"]),
  ].filter((part) => part !== null);
  return parts.length === 0 ? null : parts.join("; ");
}

/**
 * True when the newest operation was ended by a member without room. Another operation takes its
 * place.
 */
export function endedFull({ operation }: Pick<LiveNamespace, "operation">): boolean {
  return (
    operation !== null && operation.state !== "running" && operation.fault?.kind === "storageFull"
  );
}

/** A member that answers and names no library is an old one, where others do. */
function libraryOf({ library, healthy }: MemberStatus): string | undefined {
  return library ?? (healthy ? UNNAMED : undefined);
}

function mixOf(
  members: readonly MemberStatus[],
  valueOf: (member: MemberStatus) => string | undefined,
  [one, many]: readonly [string, string],
): string | null {
  const groups = new Map<string, string[]>();
  for (const member of members) {
    const value = valueOf(member);
    if (value !== undefined) groups.set(value, [...(groups.get(value) ?? []), member.name]);
  }
  if (groups.size < 2) return null;
  // The largest group first: the others are who differs.
  const sorted = [...groups].toSorted(
    ([left, some], [right, others]) => others.length - some.length || compareText(left, right),
  );
  return sorted
    .map(([value, names]) => `${listNames(names)} ${names.length === 1 ? one : many} ${value}`)
    .join(", ");
}

function listNames(names: readonly string[]): string {
  const hidden = names.length - NAMES_MAX;
  return hidden > 0
    ? `${names.slice(0, NAMES_MAX).join(", ")} and ${hidden} more`
    : names.join(", ");
}
