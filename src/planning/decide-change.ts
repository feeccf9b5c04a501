/**
 * Decides which change a namespace needs, from its spec and its live layout alone;
 * `target-layout.ts` decides the new layout.
 *
 * | live    | declared                        | change                                         |
 * |---------|---------------------------------|------------------------------------------------|
 * | none    | none                            | in sync                                        |
 * | none    | any strategy                    | shard                                          |
 * | sharded | none                            | unshard                                        |
 * | sharded | other strategy                  | rekey                                          |
 * | sharded | other key                       | rekey                                          |
 * | sharded | a directory, or none any more   | rekey                                          |
 * | custom  | other partitioner or version    | rekey                                          |
 * | sharded | other count                     | rebalance                                      |
 * | range   | other split points, if declared | rebalance                                      |
 * | sharded | the same, skew tolerated        | in sync                                        |
 * | sharded | the same, skew above            | rebalance, if that helps; else in sync, notice |
 */
import { hasDirectory } from "../model/layout/directory.ts";
import type { Layout, PartitionerRef } from "../model/layout/layout.ts";
import type { LiveNamespace } from "../model/live.ts";
import type { OperationKind } from "../model/operation.ts";
import type { Skew } from "../model/plan.ts";
import { skewOf, toleratedSkew } from "../model/layout/skew.ts";
import type { NamespaceSpec } from "../model/spec.ts";
import { sameSplitPoints, splitPointsOf } from "../model/strategies/range.ts";

/**
 * The change that is needed, its reason, and whether the manifest or the rows ask for it. Null is
 * in sync.
 */
export interface Decision {
  readonly kind: OperationKind;
  readonly cause: "declared" | "skew";
  readonly reason: string;
}

/**
 * Decides by the table above. `partitioner` is the registered one that the spec names, null for
 * other strategies.
 */
export function decideChange(
  spec: NamespaceSpec,
  live: LiveNamespace,
  partitioner: PartitionerRef | null,
): Decision | null {
  return decideDeclared(spec, live.layout, partitioner) ?? decideSkew(spec, live);
}

function decideDeclared(
  spec: NamespaceSpec,
  layout: Layout,
  partitioner: PartitionerRef | null,
): Decision | null {
  if (layout.kind === "none")
    return spec.strategy === "none" ? null : declared("shard", "not sharded yet");
  if (spec.strategy === "none") return declared("unshard", "declared unsharded");
  if (spec.strategy !== layout.kind)
    return declared("rekey", `strategy ${layout.kind} → ${spec.strategy}`);
  if (spec.shardKey !== layout.shardKey)
    return declared("rekey", `key ${layout.shardKey} → ${spec.shardKey}`);
  if (
    layout.kind === "custom" &&
    partitioner &&
    !samePartitioner(layout.partitioner, partitioner)
  ) {
    return declared(
      "rekey",
      `partitioner ${formatPartitioner(layout.partitioner)} → ${formatPartitioner(partitioner)}`,
    );
  }
  if (spec.directory !== hasDirectory(layout)) {
    return declared("rekey", spec.directory ? "directory false → true" : "directory true → false");
  }
  if (spec.count !== layout.members.length)
    return declared("rebalance", `count ${layout.members.length} → ${spec.count}`);
  if (
    layout.kind === "range" &&
    spec.splitPoints &&
    !sameSplitPoints(splitPointsOf(layout), spec.splitPoints)
  ) {
    return declared("rebalance", `other split points (${spec.splitPoints.length})`);
  }
  return null;
}

/** Rows of a namespace with an unhealthy member are not known, so its skew is not judged. */
function decideSkew(spec: NamespaceSpec, live: LiveNamespace): Decision | null {
  if (live.layout.kind === "none" || live.members.some((member) => !member.healthy)) return null;
  const skew = liveSkew(live);
  if (skew <= liveTolerance(spec, live)) return null;
  return {
    kind: "rebalance",
    cause: "skew",
    reason: `skew ${skew.toFixed(2)} is above ${spec.policy.maxSkew}`,
  };
}

/** True when all members answer, and policy or chance allows them to be as uneven as they are. */
export function isEven(spec: NamespaceSpec, live: LiveNamespace): boolean {
  return live.members.every(({ healthy }) => healthy) && decideSkew(spec, live) === null;
}

/** Live rows over all members. */
export function liveRows(live: LiveNamespace): number {
  return live.members.reduce((sum, member) => sum + member.rows, 0);
}

/** max/average of the live rows. */
export function liveSkew(live: LiveNamespace): Skew {
  return skewOf(live.members.map((member) => member.rows));
}

/** The skew that the policy, or chance for few rows, allows for the live rows. */
function liveTolerance(spec: NamespaceSpec, live: LiveNamespace): Skew {
  return toleratedSkew(spec.policy.maxSkew, liveRows(live), live.members.length);
}

function declared(kind: OperationKind, reason: string): Decision {
  return { kind, cause: "declared", reason };
}

function samePartitioner(left: PartitionerRef, right: PartitionerRef): boolean {
  return left.name === right.name && left.version === right.version;
}

function formatPartitioner(partitioner: PartitionerRef): string {
  return `${partitioner.name} v${partitioner.version}`;
}
