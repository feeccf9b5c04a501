/**
 * The guard `targetTooLarge`: each object that gives or takes rows in a change must have room for
 * all that it holds meanwhile, not only at the end.
 *
 * | the most that an object takes        | gives                                        |
 * |--------------------------------------|----------------------------------------------|
 * | its upper bound is below the limit   | nothing                                      |
 * | only the bound is above              | a block that can be overridden               |
 * | the middle of the estimate is above  | a block that cannot                          |
 *
 * For targets the way out is the smallest count that fits, for a source the bytes to delete first:
 * while a source is captured its users' deletes are logged, and fail where the log has no room.
 */
import { formatBytes, formatCount, formatQuantity } from "../model/figures.ts";
import type { LiveNamespace } from "../model/live.ts";
import { STORAGE_BYTES_MAX } from "../model/member-states.ts";
import type { Change, MemberSize } from "../model/plan.ts";
import { type Policy, SHARD_COUNT_MAX } from "../model/spec.ts";
import { evenBounds, projectSizes } from "./project-sizes.ts";

const MEGABYTE = 1_000_000;

/** Why a change does not fit, and whether somebody may take the risk. */
export interface CapacityFault {
  readonly message: string;
  readonly overridable: boolean;
}

/** Judges every object of a change by the table above; null when all have room. */
export function findCapacityFault(
  change: Change,
  live: LiveNamespace,
  policy: Pick<Policy, "storageBytesMax">,
): CapacityFault | null {
  const limit = policy.storageBytesMax ?? STORAGE_BYTES_MAX;
  const full = projectSizes(live, change)
    .filter(({ part, peakMax }) => part !== "none" && peakMax > limit)
    .toSorted((left, right) => right.peakMax - left.peakMax);
  const targets = full.filter(({ part }) => part === "target" || part === "both");
  const sources = full.filter(({ part }) => part === "source");
  const parts = [
    ...targetMessage(targets, { change, live, limit }),
    ...sourceMessage(sources, limit),
  ];
  if (parts.length === 0) return null;
  const overridable = full.every(({ peak }) => peak <= limit);
  const leave = overridable ? ", or apply with --override targetTooLarge" : "";
  return { message: `${parts.join("; ")}${leave}`, overridable };
}

interface Terms {
  readonly change: Change;
  readonly live: LiveNamespace;
  readonly limit: number;
}

function targetMessage(targets: readonly MemberSize[], terms: Terms): string[] {
  const [most] = targets;
  if (!most) return [];
  const others = targets.length > 1 ? ` (and ${formatCount(targets.length - 1)} more)` : "";
  return [
    `${most.member}${others} would take ${describePeak(most)} while rows come, an object may take ${formatBytes(terms.limit)}: ${wayOut(terms)}`,
  ];
}

function wayOut({ change, live, limit }: Terms): string {
  const from = change.to.members.length + 1;
  const fitting = smallestCount(change, live, limit, from);
  if (fitting === null)
    return `no count up to ${formatCount(SHARD_COUNT_MAX)} fits: delete rows first`;
  return change.kind === "unshard"
    ? `keep the namespace sharded (from ${formatQuantity(fitting, "shard")} on it fits), or delete rows first`
    : `${formatCount(fitting)} is the smallest spec.count that fits`;
}

/** The least count from `from` on by which every target has room; null when there is none. */
function smallestCount(
  change: Change,
  live: LiveNamespace,
  limit: number,
  from: number,
): number | null {
  const boundOf = evenBounds(live, change);
  for (let count = from; count <= SHARD_COUNT_MAX; count++)
    if (boundOf(count) <= limit) return count;
  return null;
}

function sourceMessage(sources: readonly MemberSize[], limit: number): string[] {
  const [most] = sources;
  if (!most) return [];
  const others = sources.slice(1).map((source) => `${source.member} ${toFree(source, limit)}`);
  const also = others.length > 0 ? ` (${others.slice(0, 3).join(", ")} as well)` : "";
  return [
    `${most.member} would take ${describePeak(most)} while its rows leave, with the log of what is written meanwhile, an object may take ${formatBytes(limit)}: delete rows of ${toFree(most, limit)} there first${also}, or drop indexes`,
  ];
}

function toFree({ peakMax }: MemberSize, limit: number): string {
  return `${formatCount(Math.max(1, Math.ceil((peakMax - limit) / MEGABYTE)))} MB`;
}

function describePeak({ peak, peakMax }: MemberSize): string {
  return peakMax > peak
    ? `${formatBytes(peak)} (at most ${formatBytes(peakMax)})`
    : formatBytes(peak);
}
