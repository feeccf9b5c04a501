/**
 * Makes a sight of a live namespace: its figures, and its members put together into at most so many
 * buckets as a picture can show. Pure.
 */
import { fullestMembers } from "../model/capacity.ts";
import { describeChange, describeLayout } from "../render/describe.ts";
import type { LiveNamespace, MemberStatus } from "../model/live.ts";
import type { OperationStatus } from "../model/operation.ts";
import { formatQuantity } from "../model/figures.ts";
import { runIdOf } from "../model/run-operation.ts";
import { skewOf } from "../model/layout/skew.ts";
import type { MemberBucket, MemberView, NamedCount, OperationView, Sight } from "./page-data.ts";

/** Bars of one picture: up to here every member has its own. */
export const BUCKETS_MAX = 64;
/** Silent members that are named. */
const UNHEALTHY_MAX = 5;
/** Rows of the table of members, when there are too many to list. */
const MEMBERS_LISTED_MAX = 100;
const FULLEST_MAX = 20;
const EMPTIEST_MAX = 5;
const SILENT_MAX = 50;

export function makeSight(live: LiveNamespace, seenAt: number): Sight {
  const { members } = live;
  const healthy = members.filter((member) => member.healthy);
  const silent = members.filter((member) => !member.healthy);
  const storageMax = fullestMembers(members)[0]?.storage;
  return {
    layout: describeLayout(live.layout),
    isSharded: live.layout.kind !== "none",
    epoch: live.epoch,
    members: members.length,
    rows: sumOf(healthy, ({ rows }) => rows),
    bytes: sumOf(healthy, ({ bytes }) => bytes),
    skew: silent.length === 0 ? skewOf(members.map(({ rows }) => rows)) : null,
    buckets: bucketMembers(members),
    fullest: extreme(healthy, (left, right) => left.rows > right.rows),
    emptiest: extreme(healthy, (left, right) => left.rows < right.rows),
    unhealthy: silent
      .slice(0, UNHEALTHY_MAX)
      .map(({ name, error }) => ({ name, error: error ?? "no reason given" })),
    unhealthyCount: silent.length,
    undeclaredTables: live.undeclaredTables,
    operation: live.operation === null ? null : viewOperation(live.operation),
    ...(storageMax === undefined ? {} : { storageMax }),
    ...(live.disorder ? { disorder: live.disorder } : {}),
    seenAt,
  };
}

export function viewOperation(operation: OperationStatus): OperationView {
  const {
    from,
    to,
    sources: _sources,
    correlationId,
    namespace: _namespace,
    bookmarks: _bookmarks,
    ...rest
  } = operation;
  const change = describeChange({
    kind: operation.kind,
    from,
    to,
    reason: `levels ${formatQuantity(to.members.length, "shard")}`,
  });
  return { ...rest, change, run: runIdOf(correlationId) };
}

/**
 * Members for a table: all of few; of many the fullest, the emptiest and the silent ones. In order
 * of rows, silent ones first.
 */
export function listMembers(members: readonly MemberStatus[]): MemberView[] {
  const all = members.map((member, index): MemberView => {
    const { responseMs: _responseMs, ...shown } = member;
    return { index, ...shown };
  });
  const silent = all.filter(({ healthy }) => !healthy);
  const ranked = all
    .filter(({ healthy }) => healthy)
    .toSorted((left, right) => right.rows - left.rows || left.index - right.index);
  if (all.length <= MEMBERS_LISTED_MAX) return [...silent, ...ranked];
  return [
    ...silent.slice(0, SILENT_MAX),
    ...ranked.slice(0, FULLEST_MAX),
    ...ranked.slice(FULLEST_MAX).slice(-EMPTIEST_MAX),
  ];
}

/** Neighbours in order of the shard index, in groups that differ by one member at most. */
function bucketMembers(members: readonly MemberStatus[]): MemberBucket[] {
  const count = Math.min(BUCKETS_MAX, members.length);
  return Array.from({ length: count }, (_, index) => {
    const first = Math.floor((index * members.length) / count);
    const group = members.slice(first, Math.floor(((index + 1) * members.length) / count));
    const rows = group.filter(({ healthy }) => healthy).map((member) => member.rows);
    return {
      first,
      members: group.length,
      rowsMin: rows.length === 0 ? 0 : Math.min(...rows),
      rowsMax: Math.max(0, ...rows),
      rowsTotal: rows.reduce((sum, one) => sum + one, 0),
      unhealthy: group.length - rows.length,
    };
  });
}

function extreme(
  members: readonly MemberStatus[],
  isBeyond: (left: MemberStatus, right: MemberStatus) => boolean,
): NamedCount | null {
  let found: MemberStatus | null = null;
  for (const member of members) if (found === null || isBeyond(member, found)) found = member;
  return found === null ? null : { name: found.name, rows: found.rows, bytes: found.bytes };
}

function sumOf(members: readonly MemberStatus[], figure: (member: MemberStatus) => number): number {
  return members.reduce((sum, member) => sum + figure(member), 0);
}
