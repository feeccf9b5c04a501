/**
 * Decides what must be counted before a namespace can be planned: the rows per slot, per key range
 * or per shard of the layout it is to have.
 *
 * The gatherer calls this between reading a registry and planning, with the same values that it
 * gives to `buildPlan`. Only namespaces that change, or whose skew is above policy, cost a count.
 */
import type { Key } from "../model/layout/key.ts";
import type { PartitionerRef } from "../model/layout/layout.ts";
import type { DistributionRequest, LiveNamespace } from "../model/live.ts";
import type { Change, Plan } from "../model/plan.ts";
import type { NamespaceSpec } from "../model/spec.ts";
import { findPartitioner } from "../model/strategies/custom.ts";
import { splitPointsOf } from "../model/strategies/range.ts";
import { findBasis } from "./basis.ts";
import { type Decision, decideChange } from "./decide-change.ts";

/**
 * The count that `buildPlan` needs for this namespace, or null when it needs none: in sync without
 * skew, unsharding, dealing rows out in turn, or blocked by a running operation or a disorder. Pass
 * the `basis` that the plan will get.
 */
export function distributionRequestFor(
  spec: NamespaceSpec,
  live: LiveNamespace,
  basis: Plan | null = null,
): DistributionRequest | null {
  if (live.disorder || live.operation?.state === "running") return null;
  const partitioner =
    spec.strategy === "custom" ? findPartitioner(spec.partitioner, live.partitioners) : null;
  if (partitioner && !partitioner.ok) return null;
  const decision = decideChange(spec, live, partitioner?.value ?? null);
  const frozen = findBasis(basis, spec, live);
  if (spec.shardKey === null || (!decision && !frozen)) return null;
  return requestFor(spec, spec.shardKey, partitioner?.value ?? null, decision, frozen);
}

function requestFor(
  spec: NamespaceSpec,
  shardKey: string,
  partitioner: PartitionerRef | null,
  decision: Decision | null,
  frozen: Change | null,
): DistributionRequest | null {
  switch (spec.strategy) {
    case "hash":
      return { by: "slots", shardKey };
    case "range": {
      const chosen = frozen?.to.kind === "range" ? splitPointsOf(frozen.to) : [];
      return { by: "keys", shardKey, boundaries: spec.splitPoints ?? chosen };
    }
    case "custom":
      // A partitioner that spreads badly cannot be levelled, so skew alone asks for no count.
      return partitioner && decision?.cause !== "skew"
        ? { by: "shards", shardKey, partitioner, count: spec.count }
        : null;
    case "roundRobin":
    case "none":
      return null;
  }
}

/** True when the counts answer the request. Boundaries may be finer than asked for. */
export function answersRequest(answer: DistributionRequest, request: DistributionRequest): boolean {
  if (answer.shardKey !== request.shardKey) return false;
  switch (request.by) {
    case "slots":
      return answer.by === "slots";
    case "keys":
      return (
        answer.by === "keys" &&
        request.boundaries.every((key) => answer.boundaries.some((other) => sameKey(key, other)))
      );
    case "shards":
      return (
        answer.by === "shards" &&
        answer.count === request.count &&
        answer.partitioner.name === request.partitioner.name &&
        answer.partitioner.version === request.partitioner.version
      );
  }
}

function sameKey(left: Key, right: Key): boolean {
  return left.type === right.type && left.text === right.text;
}
