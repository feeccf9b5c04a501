/**
 * Projection: how many rows and bytes a change moves between whom, and how full each member is
 * before and after.
 *
 * Counted rows are given to the owners under the target layout by the same lookups that route
 * calls. Only two cases are estimates, and say so: a sampled count, and a bucket of keys that a
 * chosen split point cuts in two.
 */
import { compareText } from "../model/compare-text.ts";
import { compareKeys } from "../model/layout/key.ts";
import type { Layout, RangeLayout } from "../model/layout/layout.ts";
import { createOwnerLookup } from "../model/layout/owner-lookup.ts";
import { createSlotLookup } from "../model/layout/slot-table.ts";
import type { Count, Distribution, LiveNamespace, MemberDistribution } from "../model/live.ts";
import type { Change, MoveSummary, Skew } from "../model/plan.ts";
import { skewOf } from "../model/layout/skew.ts";
import { dealRows } from "../model/strategies/round-robin.ts";
import { projectSizes } from "./project-sizes.ts";

export interface Projection extends Pick<
  Change,
  "moves" | "rowsTotal" | "rowsMoved" | "bytesMoved" | "sizes" | "estimate"
> {
  readonly skewBefore: Skew;
  readonly skewAfter: Skew;
  readonly missingKeys: number;
  readonly countedAt: number;
}

/** One portion of rows that lies on `source` and is owned by `target` under the new layout. */
interface Portion extends Count {
  readonly source: string;
  readonly target: string;
}

/**
 * Projects the effect of the change from the live layout to `to`. Counts come from the
 * distribution, or from the members where none is needed.
 */
export function projectChange(
  live: LiveNamespace,
  to: Layout,
  distribution: Distribution | null,
): Projection {
  const portions = distribution ? portionsOf(to, distribution) : portionsOfMembers(live, to);
  const before = sumBy(portions, (portion) => portion.source);
  const after = sumBy(portions, (portion) => portion.target);
  const moves = summarizeMoves(portions);
  const rowsAfter = to.members.map((member) => after.get(member)?.rows ?? 0);
  const estimate = distribution ? estimateError(to, distribution, rowsAfter) : null;
  const isSized = live.members.every(({ storage }) => storage !== undefined);
  return {
    ...(isSized && { sizes: projectSizes(live, { from: live.layout, to, moves, estimate }) }),
    moves,
    rowsTotal: sum(portions, "rows"),
    rowsMoved: sum(moves, "rows"),
    bytesMoved: sum(moves, "bytes"),
    skewBefore: skewOf(live.layout.members.map((member) => before.get(member)?.rows ?? 0)),
    skewAfter: skewOf(rowsAfter),
    missingKeys: distribution?.missing ?? 0,
    estimate,
    countedAt: distribution?.countedAt ?? live.countedAt,
  };
}

/** Rows of each member of the layout, in its members' order. */
export function rowsByMember(layout: Layout, distribution: Distribution): number[] {
  const totals = sumBy(portionsOf(layout, distribution), (portion) => portion.target);
  return layout.members.map((member) => totals.get(member)?.rows ?? 0);
}

function portionsOf(to: Layout, distribution: Distribution): Portion[] {
  switch (to.kind) {
    case "hash": {
      const ownerOf = createSlotLookup(to.ranges);
      return eachMember(distribution, ({ member, slots }) =>
        need(slots, "slots").map(({ slot, rows, bytes }) => ({
          source: member,
          target: ownerOf(slot),
          rows,
          bytes,
        })),
      );
    }
    case "range":
      return portionsOfKeys(to, distribution);
    case "custom":
      return eachMember(distribution, ({ member, shards }) =>
        need(shards, "shards").map(({ shard, rows, bytes }) => ({
          source: member,
          target: need(to.members[shard], `shard ${shard}`),
          rows,
          bytes,
        })),
      );
    case "none":
    case "roundRobin":
      throw new Error(`A ${to.kind} layout is projected from the members' counts`);
  }
}

/** A bucket that spans a split point is shared out by halves: its first and its last owner. */
function portionsOfKeys(to: RangeLayout, distribution: Distribution): Portion[] {
  const ownerOf = createOwnerLookup(to);
  return eachMember(distribution, ({ member, keys }) =>
    need(keys, "keys").flatMap(({ first, last, rows, bytes }) => {
      const target = ownerOf(first);
      const other = compareKeys(first, last) === 0 ? target : ownerOf(last);
      if (other === target) return [{ source: member, target, rows, bytes }];
      const half = { rows: Math.ceil(rows / 2), bytes: Math.ceil(bytes / 2) };
      return [
        { source: member, target, ...half },
        { source: member, target: other, rows: rows - half.rows, bytes: bytes - half.bytes },
      ];
    }),
  );
}

function portionsOfMembers(live: LiveNamespace, to: Layout): Portion[] {
  let start = 0;
  return live.members.flatMap((member) => {
    const shares = dealRows(member.rows, to.members.length, start);
    start = (start + member.rows) % to.members.length;
    let bytesLeft = member.bytes;
    let rowsLeft = member.rows;
    return to.members.map((target, index) => {
      const rows = shares[index] ?? 0;
      // Bytes go with the rows, and the last row takes what rounding left.
      const bytes = rowsLeft === 0 ? 0 : Math.round((bytesLeft * rows) / rowsLeft);
      rowsLeft -= rows;
      bytesLeft -= bytes;
      return { source: member.name, target, rows, bytes };
    });
  });
}

function summarizeMoves(portions: readonly Portion[]): MoveSummary[] {
  const byPair = new Map<string, Portion>();
  for (const portion of portions) {
    if (portion.source === portion.target || portion.rows === 0) continue;
    const pair = `${portion.source}\n${portion.target}`;
    const sofar = byPair.get(pair);
    byPair.set(pair, {
      ...portion,
      rows: portion.rows + (sofar?.rows ?? 0),
      bytes: portion.bytes + (sofar?.bytes ?? 0),
    });
  }
  return [...byPair.values()].toSorted(
    (left, right) =>
      compareText(left.source, right.source) || compareText(left.target, right.target),
  );
}

/** 1.96 standard deviations: 95 % of a normal distribution. */
const CONFIDENCE_95 = 1.96;

/** The relative error of the fullest member's count, the figure that guards compare. */
function estimateError(
  to: Layout,
  distribution: Distribution,
  rowsAfter: readonly number[],
): Change["estimate"] {
  const most = Math.max(1, ...rowsAfter);
  const every = distribution.sampledEvery ?? 1;
  const clustering = distribution.clustering ?? 1;
  const sampling = CONFIDENCE_95 * Math.sqrt((clustering * (every - 1)) / most);
  const cut =
    to.kind === "range" ? Math.max(0, ...halvedRows(to, distribution).values()) / most : 0;
  return sampling + cut > 0 || distribution.sampledEvery !== null
    ? { sampledEvery: every, error: sampling + cut }
    : null;
}

/**
 * Per member, half the rows of the buckets that its bounds cut: they may be its own or its
 * neighbour's.
 */
function halvedRows(to: RangeLayout, distribution: Distribution): Map<string, number> {
  const ownerOf = createOwnerLookup(to);
  const halved = new Map<string, number>();
  for (const { first, last, rows } of distribution.members.flatMap((member) => member.keys ?? [])) {
    const owners = new Set([ownerOf(first), ownerOf(last)]);
    if (owners.size > 1)
      for (const owner of owners) halved.set(owner, (halved.get(owner) ?? 0) + rows / 2);
  }
  return halved;
}

function eachMember(
  distribution: Distribution,
  portions: (member: MemberDistribution) => Portion[],
): Portion[] {
  return distribution.members.flatMap((member) => portions(member));
}

function sumBy(
  portions: readonly Portion[],
  nameOf: (portion: Portion) => string,
): Map<string, Count> {
  const sums = new Map<string, Count>();
  for (const portion of portions) {
    const name = nameOf(portion);
    const sofar = sums.get(name);
    sums.set(name, {
      rows: portion.rows + (sofar?.rows ?? 0),
      bytes: portion.bytes + (sofar?.bytes ?? 0),
    });
  }
  return sums;
}

function sum(counts: readonly Count[], figure: keyof Count): number {
  return counts.reduce((total, count) => total + count[figure], 0);
}

function need<Value>(value: Value | undefined, what: string): Value {
  if (value === undefined) throw new Error(`The counts do not fit the layout: no ${what}`);
  return value;
}
