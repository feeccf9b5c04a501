/**
 * The audit of one namespace: rows on a member that does not own them, and objects with rows that
 * no layout names.
 *
 * Rows are counted by the live key and given to their owners by the code that routes calls. Objects
 * are asked by name: those of former layouts whose retention is over, and the next ones that the
 * naming would give. Both are bounded; the next audit goes on.
 */
import type { LiveReader, MemberReader } from "../../live/port.ts";
import { runBounded } from "../../model/run-bounded.ts";
import { type Layout, shardName } from "../../model/layout/layout.ts";
import type { DistributionRequest, LiveNamespace, NamespaceRef } from "../../model/live.ts";
import type { OperationStatus } from "../../model/operation.ts";
import { splitPointsOf } from "../../model/strategies/range.ts";
import { projectChange } from "../../planning/project-change.ts";
import type { AuditFinding } from "../namespace-state.ts";

/** Moves that a finding lists. */
const MOVES_MAX = 5;
/** Objects that one audit asks. */
const CANDIDATES_MAX = 32;
/** Indexes beyond the layout that are asked. */
const BEYOND_MAX = 2;
/** Operations whose layouts are remembered. */
const HISTORY_MAX = 20;
/**
 * Retired members may keep their rows for this much longer than they must: they are emptied one
 * after another.
 */
const GRACE_MS = 3_600_000;
const HOUR_MS = 3_600_000;
const ASKED_AT_ONCE = 8;

export interface AuditContext {
  readonly liveAccess: LiveReader & MemberReader;
  readonly retainHours: number;
  readonly before: AuditFinding | null;
  readonly now: number;
  /** Counts a call. */
  readonly spend: (calls: number) => void;
}

/**
 * The finding, or null when the namespace could not be counted: then the last one stays. Call with
 * a namespace at rest.
 */
export async function auditNamespace(
  ref: NamespaceRef,
  state: LiveNamespace,
  context: AuditContext,
): Promise<AuditFinding | null> {
  const placed = await findMisplaced(ref, state, context);
  if (placed === null) return null;
  const { orphans, orphanCursor } = await findOrphans(ref, state, context);
  return { at: context.now, epoch: state.epoch, ...placed, orphans, orphanCursor };
}

async function findMisplaced(
  ref: NamespaceRef,
  state: LiveNamespace,
  { liveAccess, spend }: AuditContext,
): Promise<Pick<AuditFinding, "misplacedRows" | "moves"> | null> {
  const request = requestFor(state.layout);
  if (request === null) return { misplacedRows: 0, moves: [] };
  spend(1);
  const counted = await liveAccess.distribute(ref, request);
  if (!counted.ok) return null;
  // Rows that a change to the very same layout would move lie where they do not belong.
  const { moves, rowsMoved } = projectChange(state, state.layout, counted.value);
  const listed = moves
    .slice(0, MOVES_MAX)
    .map(({ source, target, rows }) => `${source} → ${target}: ${rows}`);
  return { misplacedRows: rowsMoved, moves: listed };
}

/**
 * Counts by the live key, so that no bucket has two owners. An unsharded namespace has one, and the
 * directory owns what is dealt out in turn.
 */
function requestFor(layout: Layout): DistributionRequest | null {
  switch (layout.kind) {
    case "hash":
      return { by: "slots", shardKey: layout.shardKey };
    case "range":
      return { by: "keys", shardKey: layout.shardKey, boundaries: splitPointsOf(layout) };
    case "custom":
      return {
        by: "shards",
        shardKey: layout.shardKey,
        partitioner: layout.partitioner,
        count: layout.members.length,
      };
    case "none":
    case "roundRobin":
      return null;
  }
}

async function findOrphans(
  ref: NamespaceRef,
  state: LiveNamespace,
  context: AuditContext,
): Promise<Pick<AuditFinding, "orphans" | "orphanCursor">> {
  const { liveAccess, before, spend } = context;
  const candidates = await findCandidates(ref, state, context);
  const start = (before?.orphanCursor ?? 0) < candidates.length ? (before?.orphanCursor ?? 0) : 0;
  const asked = candidates.slice(start, start + CANDIDATES_MAX);
  spend(asked.length);
  const found = await runBounded(asked, ASKED_AT_ONCE, async (name) => ({
    name,
    rows: await rowsOn(ref, name, liveAccess, spend),
  }));
  // Orphans that were found before and not asked now are kept.
  const kept = (before?.orphans ?? []).filter(
    ({ name }) => candidates.includes(name) && !asked.includes(name),
  );
  const orphans = [...kept, ...found.filter(({ rows }) => rows > 0)].toSorted((left, right) =>
    left.name < right.name ? -1 : 1,
  );
  return {
    orphans,
    orphanCursor: start + asked.length >= candidates.length ? 0 : start + asked.length,
  };
}

/**
 * Sorted names of objects that no layout names, but one did or would; and those that held rows at
 * the last audit.
 */
async function findCandidates(
  ref: NamespaceRef,
  { layout }: LiveNamespace,
  context: AuditContext,
): Promise<string[]> {
  context.spend(1);
  const history = await context.liveAccess.history(ref, HISTORY_MAX);
  const operations = history.ok ? history.value : [];
  const overSince = context.now - context.retainHours * HOUR_MS - GRACE_MS;
  const isOver = ({ state, finishedAt }: OperationStatus): boolean =>
    state !== "running" && finishedAt !== null && finishedAt <= overSince;
  const membersOf = ({ from, to }: OperationStatus): string[] => [...from.members, ...to.members];
  const former = operations.filter((operation) => isOver(operation)).flatMap(membersOf);
  // Members of newer operations may keep their rows for as long as they must.
  const recent = operations.filter((operation) => !isOver(operation)).flatMap(membersOf);
  const layouts = [layout, ...operations.flatMap(({ from, to }) => [from, to])];
  const known = (context.before?.orphans ?? []).map(({ name }) => name);
  const named = new Set([...layout.members, ...recent]);
  return [...new Set([...known, ...former, ...namesBeyond(ref.name, layouts)])]
    .filter((name) => !named.has(name))
    .toSorted();
}

/** The next names of each generation that is known. */
function namesBeyond(namespace: string, layouts: readonly Layout[]): string[] {
  const counts = new Map<number, number>();
  for (const { kind, generation, members } of layouts) {
    const count = kind === "none" ? 0 : members.length;
    counts.set(generation, Math.max(count, counts.get(generation) ?? 0));
  }
  return [...counts].flatMap(([generation, count]) =>
    Array.from({ length: BEYOND_MAX }, (_, index) =>
      shardName(namespace, generation, count + index),
    ),
  );
}

/**
 * An object that was never part of the namespace refuses to be counted for it, and is asked in its
 * own name.
 */
async function rowsOn(
  { name: namespace, object }: NamespaceRef,
  name: string,
  liveAccess: LiveReader & MemberReader,
  spend: (calls: number) => void,
): Promise<number> {
  const counted = await liveAccess.countMember({ name: namespace, object }, name);
  if (counted.ok) return counted.value.rows;
  if (counted.failure.kind !== "refused" || name === namespace) return 0;
  spend(1);
  const own = await liveAccess.describe({ name, object });
  // A namespace of that name that is sharded, or was ever changed, is somebody's.
  if (!own.ok || own.value.epoch > 0) return 0;
  return own.value.members.reduce((sum, member) => sum + member.rows, 0);
}
