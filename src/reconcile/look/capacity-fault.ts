/**
 * Finds members that fill up: drift `capacity`, a warning from `policy.maxFill` of what one object
 * may store, and an alert halfway from there to full. Pure.
 *
 * The reason names the level alone, so that an alert does not change with each member that follows.
 */
import {
  alertFill,
  type FillLevel,
  fillLevel,
  fillOf,
  fillWith,
  formatFill,
  fullestMembers,
  neededCount,
} from "../../model/capacity.ts";
import { describeForecast } from "../../model/forecast.ts";
import { formatBytes, formatQuantity } from "../../model/figures.ts";
import type { LiveNamespace, MemberStatus } from "../../model/live.ts";
import { STORAGE_BYTES_MAX } from "../../model/member-states.ts";
import { DEFAULT_MAX_FILL, SHARD_COUNT_MAX } from "../../model/spec.ts";
import type { NamespaceState } from "../namespace-state.ts";
import type { FoundDrift } from "../track-drifts.ts";

/** Members that a detail names. */
const NAMES_MAX = 5;

type Known = Pick<NamespaceState, "faults" | "spec">;

export function capacityFault(live: LiveNamespace, { faults, spec }: Known): FoundDrift[] {
  const maxFill = spec?.policy.maxFill ?? DEFAULT_MAX_FILL;
  const bytesMax = spec?.policy.storageBytesMax ?? STORAGE_BYTES_MAX;
  const members = fullestMembers(live.members);
  const [fullest] = members;
  if (!fullest) return [];
  const level = fillLevel(fillOf(fullest, bytesMax), maxFill, levelBefore(faults));
  if (level === "none") return [];
  const limit = level === "alert" ? alertFill(maxFill) : maxFill;
  const full = members.filter((member) => fillOf(member, bytesMax) >= maxFill);
  const named = full.length > 0 ? full : [fullest];
  const hidden = named.length - NAMES_MAX;
  const until = live.forecast === undefined ? null : describeForecast(live.forecast);
  const details = [
    ...(until === null ? [] : [until]),
    ...named.slice(0, NAMES_MAX).map((member) => describeFill(member, bytesMax)),
    ...(hidden > 0
      ? [`${formatQuantity(hidden, "more member")} above ${formatFill(maxFill)}`]
      : []),
  ];
  return [
    {
      kind: "capacity",
      reason: `members store more than ${formatFill(limit)} of what one object may`,
      detail: details.join("; "),
      remedy: remedyFor(live, fillOf(fullest, bytesMax), maxFill),
      isWarning: level === "warning",
    },
  ];
}

/**
 * The drift of the last look, for a namespace that does not answer now: its members are no emptier
 * for that.
 */
export function capacityAsKnown(faults: NamespaceState["faults"]): FoundDrift[] {
  return faults
    .filter(({ kind }) => kind === "capacity")
    .map(({ kind, reason, detail, remedy, isWarning = false }) => ({
      kind,
      reason,
      detail,
      remedy,
      isWarning,
    }));
}

/** "a stores 9.1 GB (91 %)", with the time when it said so if it does not answer now. */
function describeFill(member: MemberStatus, bytesMax: number): string {
  const asOf =
    member.saidAt === undefined
      ? ""
      : `, as of ${new Date(member.saidAt).toISOString().slice(0, 16)}Z`;
  return `${member.name} stores ${formatBytes(member.storage ?? 0)} (${formatFill(fillOf(member, bytesMax))}${asOf})`;
}

function levelBefore(faults: NamespaceState["faults"]): FillLevel {
  const before = faults.find(({ kind }) => kind === "capacity");
  if (before === undefined) return "none";
  return before.isWarning ? "warning" : "alert";
}

function remedyFor({ layout }: LiveNamespace, fullest: number, maxFill: number): string {
  const free = "Delete rows that are not needed, or drop indexes.";
  const count = neededCount(fullest, layout.members.length, {
    maxFill,
    countMax: SHARD_COUNT_MAX,
  });
  if (count === null) return free;
  const after = `${formatQuantity(count, "shard")} would be at ${formatFill(fillWith(fullest, layout.members.length, count))}`;
  const how =
    layout.kind === "none"
      ? `give it a shard key, and spec.count ${count}`
      : `raise spec.count to ${count} in a pull request`;
  return `${after}: ${how}, while there is room; rows that move are held twice for a while. ${free}`;
}
