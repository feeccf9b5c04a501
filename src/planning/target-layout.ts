/**
 * The layout that a change leads to: the strategies' algorithms, applied to the spec, the live
 * layout and the counts.
 *
 * A change of count first evens out what the strategy can even out (slots, quantiles); if rows
 * would still be skewed, the same change levels them too, so that the plan after it is empty. A
 * fresh layout is not levelled: its skew says something about the key, and the plan shows it.
 */
import { hasDirectory, withDirectory } from "../model/layout/directory.ts";
import {
  type HashLayout,
  type Layout,
  type PartitionerRef,
  type RangeLayout,
  shardNames,
  unshardedLayout,
} from "../model/layout/layout.ts";
import type { Distribution, LiveNamespace } from "../model/live.ts";
import { shiftMembers, swapGeneration } from "../model/operation-mode.ts";
import { type Result, failure, success } from "../model/result.ts";
import { skewGoal, skewOf, toleratedSkew } from "../model/layout/skew.ts";
import type { NamespaceSpec } from "../model/spec.ts";
import { customLayout } from "../model/strategies/custom.ts";
import { freshHashLayout, levelHashLayout, resizeHashLayout } from "../model/strategies/hash.ts";
import {
  chooseSplitPoints,
  freshRangeLayout,
  resizeRangeLayout,
} from "../model/strategies/range.ts";
import { roundRobinLayout } from "../model/strategies/round-robin.ts";
import type { Decision } from "./decide-change.ts";
import { rowsByMember } from "./project-change.ts";

export interface TargetInput {
  readonly spec: NamespaceSpec;
  readonly live: LiveNamespace;
  readonly decision: Decision;
  readonly distribution: Distribution | null;
  readonly partitioner: PartitionerRef | null;
}

/** The target layout, or why there is none. Deterministic in its input. */
export function targetLayout(input: TargetInput): Result<Layout, string> {
  const { spec, live } = input;
  if (spec.shardKey === null || spec.strategy === "none") {
    return success(unshardedLayout(spec.name, swapGeneration(spec.name, live.layout, 1)));
  }
  if (input.decision.kind === "rebalance") {
    if (live.layout.kind === "hash") return success(rebalanceHash(live.layout, input));
    // The directory's entries cannot move with ranges of keys: its rows are copied to new members.
    if (live.layout.kind === "range" && !hasDirectory(live.layout))
      return rebalanceRange(live.layout, input);
  }
  const fresh = freshLayout(spec.shardKey, input);
  return fresh.ok ? success(withDirectory(fresh.value, spec.directory)) : fresh;
}

function freshLayout(
  shardKey: string,
  { spec, live, distribution, partitioner }: TargetInput,
): Result<Layout, string> {
  const generation = swapGeneration(spec.name, live.layout, spec.count);
  const members = shardNames(spec.name, generation, spec.count);
  switch (spec.strategy) {
    case "hash":
      return success(freshHashLayout(shardKey, generation, members));
    case "range": {
      const splitPoints = splitPointsFor(spec, distribution);
      return splitPoints.ok
        ? success(freshRangeLayout(shardKey, generation, members, splitPoints.value))
        : splitPoints;
    }
    case "custom":
      if (!partitioner) throw new Error(`No partitioner was found for namespace '${spec.name}'`);
      return success(customLayout(shardKey, generation, members, partitioner));
    case "roundRobin":
      return success(roundRobinLayout(shardKey, generation, members));
    case "none":
      return success(unshardedLayout(spec.name, generation));
  }
}

function rebalanceHash(layout: HashLayout, { spec, distribution }: TargetInput): HashLayout {
  const members = shiftMembers(spec.name, layout, spec.count);
  const resized =
    members.length === layout.members.length ? layout : resizeHashLayout(layout, members);
  if (!distribution) return resized;
  const tolerated = toleratedSkew(spec.policy.maxSkew, distribution.rows, spec.count);
  if (skewOf(rowsByMember(resized, distribution)) <= tolerated) return resized;
  return levelHashLayout(resized, countSlots(distribution), skewGoal(tolerated));
}

function rebalanceRange(
  layout: RangeLayout,
  { spec, distribution }: TargetInput,
): Result<RangeLayout, string> {
  const splitPoints = splitPointsFor(spec, distribution);
  if (!splitPoints.ok) return splitPoints;
  if (!distribution) throw new Error(`No counts for namespace '${spec.name}'`);
  return success(
    resizeRangeLayout(
      layout,
      shiftMembers(spec.name, layout, spec.count),
      splitPoints.value,
      distribution,
    ),
  );
}

function splitPointsFor(spec: NamespaceSpec, distribution: Distribution | null) {
  if (spec.splitPoints) return success(spec.splitPoints);
  if (!distribution || distribution.rows === 0) {
    return failure(
      `an empty namespace has no keys to choose split points from: declare ${spec.count - 1} spec.splitPoints`,
    );
  }
  const chosen = chooseSplitPoints(distribution, spec.count);
  if (chosen) return success(chosen);
  return failure(
    `the ${distribution.rows} rows have too few different values of ${spec.shardKey} for ${spec.count} ranges: declare spec.splitPoints or lower spec.count`,
  );
}

/** Rows per slot over all members. */
export function countSlots(distribution: Distribution): Map<number, number> {
  const rows = new Map<number, number>();
  for (const member of distribution.members) {
    for (const bucket of member.slots ?? [])
      rows.set(bucket.slot, (rows.get(bucket.slot) ?? 0) + bucket.rows);
  }
  return rows;
}
