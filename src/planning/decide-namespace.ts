/**
 * Decides what a namespace needs from its manifest and its registry, and what must be counted for
 * that: the rows per slot, per key range or per shard of the layout it is to have.
 *
 * | the namespace                   | gives                                         |
 * |---------------------------------|-----------------------------------------------|
 * | could not be read               | block unreadable                              |
 * | is out of step, or has lost its registry | block outOfStep: its layout is not believed |
 * | has a running operation         | block operationRunning                        |
 * | names an unknown partitioner    | block unsupported                             |
 * | else                            | the change that it needs, and the count for it |
 *
 * It is taken once, between reading a registry and counting rows, and carried to the plan. Only
 * namespaces that change, or whose skew is above policy, cost a count.
 */
import { describeDisorder, repairCommand } from "../model/disorder.ts";
import type { PartitionerRef } from "../model/layout/layout.ts";
import type {
  Distribution,
  DistributionRequest,
  LiveFailure,
  LiveNamespace,
  LiveResult,
  NamespaceRef,
} from "../model/live.ts";
import type { Block, Change, Plan } from "../model/plan.ts";
import type { Disorder } from "../model/repair.ts";
import { success } from "../model/result.ts";
import type { NamespaceSpec } from "../model/spec.ts";
import { findPartitioner } from "../model/strategies/custom.ts";
import { splitPointsOf } from "../model/strategies/range.ts";
import { findBasis } from "./basis.ts";
import { blockOf } from "./check-safety.ts";
import { type Decision, decideChange } from "./decide-change.ts";

export type NamespaceDecision =
  | { readonly kind: "blocked"; readonly block: Block; readonly live: LiveNamespace | null }
  | Decided;

export interface Decided {
  readonly kind: "decided";
  readonly live: LiveNamespace;
  /** The registered one that the spec names; null for other strategies. */
  readonly partitioner: PartitionerRef | null;
  /** Null: in sync. */
  readonly decision: Decision | null;
  /** The change of the basis, where it can still be made as it stands. */
  readonly frozen: Change | null;
  /**
   * The count that the plan needs; null when it needs none: in sync without skew, unsharding, or
   * dealing rows out in turn.
   */
  readonly request: DistributionRequest | null;
}

/** The live side of one plan. */
export interface LiveState {
  /** One entry for every desired namespace, and for every other that is known to be live. */
  readonly namespaces: readonly LiveEntry[];
}

export interface LiveEntry {
  readonly ref: NamespaceRef;
  readonly namespace: LiveResult<LiveNamespace>;
  /** Null: no manifest declares it. */
  readonly decided: NamespaceDecision | null;
  /** The answer to the request of `decided`; null without one. */
  readonly distribution: LiveResult<Distribution> | null;
}

/** Decides by the table above. @param basis the earlier plan that the new one is built on. */
export function decideNamespace(
  spec: NamespaceSpec,
  namespace: LiveResult<LiveNamespace>,
  basis: Plan | null = null,
): NamespaceDecision {
  if (!namespace.ok) {
    const { failure } = namespace;
    const guard = isOutOfStep(failure) ? "outOfStep" : "unreadable";
    return blocked(spec, null, guard, unreadableMessage(failure, spec));
  }
  const live = namespace.value;
  // The rest that it says of itself, a running operation too, may be the past.
  if (live.disorder) return blocked(spec, live, "outOfStep", disorderMessage(live.disorder, spec));
  if (live.operation?.state === "running") {
    const { id, kind, step } = live.operation;
    const message = `operation ${id} (${kind}, step ${step}) is running: plan again when it has ended; see 'shardctl status ${spec.name}'`;
    return blocked(spec, live, "operationRunning", message);
  }
  const partitioner =
    spec.strategy === "custom"
      ? findPartitioner(spec.partitioner, live.partitioners)
      : success(null);
  if (!partitioner.ok) return blocked(spec, live, "unsupported", partitioner.failure);
  const decision = decideChange(spec, live, partitioner.value);
  const decided = { kind: "decided", live, partitioner: partitioner.value, decision } as const;
  return decideUnder(basis, spec, { ...decided, frozen: null, request: null });
}

/** The same decision, with the choices of the basis and the count that is needed under it. */
export function decideUnder(basis: Plan | null, spec: NamespaceSpec, decided: Decided): Decided {
  const frozen = findBasis(basis, spec, decided.live);
  return { ...decided, frozen, request: requestFor(spec, { ...decided, frozen }) };
}

function requestFor(
  spec: NamespaceSpec,
  { decision, partitioner, frozen }: Omit<Decided, "request">,
): DistributionRequest | null {
  const { shardKey } = spec;
  if (shardKey === null || (!decision && !frozen)) return null;
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

function blocked(
  spec: NamespaceSpec,
  live: LiveNamespace | null,
  guard: Block["guard"],
  message: string,
): NamespaceDecision {
  return { kind: "blocked", block: blockOf(guard, spec.name, message), live };
}

function disorderMessage(disorder: Disorder, { name }: NamespaceSpec): string {
  return `${describeDisorder(disorder)}: repair it, then plan again; see '${repairCommand(name)}'`;
}

/** Objects that say no for their own disorder. */
function isOutOfStep({ kind, reason }: LiveFailure): boolean {
  return kind === "refused" && (reason === "registryLost" || reason === "outOfStep");
}

function unreadableMessage(reason: LiveFailure, spec: NamespaceSpec): string {
  switch (reason.kind) {
    case "unbound":
      return `the Worker has no Durable Object binding ${spec.object} (${reason.message}): bind it and deploy, or correct spec.object`;
    case "notShardable":
      return `the class behind ${spec.object} does not answer as a shardctl host (${reason.message}): add ShardHost to it and deploy, or correct spec.object`;
    case "unreachable":
      return `did not answer (${reason.message}): plan again when it does`;
    case "refused":
      return isOutOfStep(reason)
        ? `is out of step (${reason.message}): repair it, then plan again; see '${repairCommand(spec.name)}'`
        : `refused to be read (${reason.message}); see 'shardctl status ${spec.name}'`;
  }
}
