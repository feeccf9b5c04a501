/**
 * One namespace of a plan: what is declared against what is live, to a change, to "in sync", or to
 * the reason why neither can be said.
 *
 * | the namespace                                      | gives                                             |
 * |----------------------------------------------------|---------------------------------------------------|
 * | could not be read                                  | block unreadable                                  |
 * | is out of step, or has lost its registry           | block outOfStep: its layout is not believed       |
 * | has a running operation                            | block operationRunning                            |
 * | asks for what cannot be done                       | block unsupported                                 |
 * | needs no change                                    | in sync                                           |
 * | needs a change whose rows could not be counted     | block unhealthyMember or unreadable               |
 * | is skewed, and levelling would gain too little     | in sync, notice skewRemains                       |
 * | needs a change                                     | change, with notices; guards are checked later    |
 *
 * Nothing is ever concluded from a member that did not answer.
 */
import type { Layout, PartitionerRef } from "../model/layout/layout.ts";
import { describeDisorder, repairCommand } from "../model/disorder.ts";
import type { Distribution, LiveEntry, LiveFailure, LiveNamespace } from "../model/live.ts";
import { DEFAULT_OPERATION_POLICY, type OperationPolicy } from "../model/operation.ts";
import type { Block, Change, InSync, Notice, Plan } from "../model/plan.ts";
import type { Disorder } from "../model/repair.ts";
import { type Result, failure, success } from "../model/result.ts";
import { isWorthwhile } from "../model/layout/skew.ts";
import type { NamespaceSpec } from "../model/spec.ts";
import { findPartitioner } from "../model/strategies/custom.ts";
import { findBasis, frozenLayout } from "./basis.ts";
import { blockOf, unhealthyMessage } from "./check-safety.ts";
import { type Decision, decideChange, liveSkew } from "./decide-change.ts";
import { answersRequest, distributionRequestFor } from "./distribution-request.ts";
import { changeNotices, inSyncNotices, remainingSkewNotice } from "./notices.ts";
import { projectChange } from "./project-change.ts";
import { targetLayout } from "./target-layout.ts";

export interface NamespaceInput {
  readonly spec: NamespaceSpec;
  readonly entry: LiveEntry | undefined;
  readonly basis: Plan | null;
  /** True takes decisions about skew from the basis alone: see `build-plan.ts`. */
  readonly holdsSkew: boolean;
}

export type NamespaceOutcome = { readonly notices: readonly Notice[] } & (
  | { readonly kind: "change"; readonly change: Change; readonly live: LiveNamespace }
  | { readonly kind: "inSync"; readonly inSync: InSync; readonly live: LiveNamespace }
  | { readonly kind: "blocked"; readonly block: Block; readonly live: LiveNamespace | null }
);

/** Plans one namespace by the table above. */
export function planNamespace(input: NamespaceInput): NamespaceOutcome {
  const { spec, entry } = input;
  if (!entry) return blocked(spec, null, "unreadable", "was not read: plan again");
  if (!entry.namespace.ok) {
    const { failure: reason } = entry.namespace;
    return blocked(
      spec,
      null,
      isOutOfStep(reason) ? "outOfStep" : "unreadable",
      unreadableMessage(reason, spec),
    );
  }
  const live = entry.namespace.value;
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
  const decision = decide(input, live, partitioner.value);
  if (!decision) return inSync(live, inSyncNotices(live));
  const distribution = requireCounts(input, entry, live);
  if (!distribution.ok) return { kind: "blocked", block: distribution.failure, live, notices: [] };
  return planChange(input, {
    live,
    decision,
    partitioner: partitioner.value,
    distribution: distribution.value,
  });
}

/**
 * Decides anew, but for skew under a basis that is held: there the basis's word counts, not today's
 * rows.
 */
function decide(
  { spec, basis, holdsSkew }: NamespaceInput,
  live: LiveNamespace,
  partitioner: PartitionerRef | null,
): Decision | null {
  const decision = decideChange(spec, live, partitioner);
  if (!holdsSkew || decision?.cause === "declared") return decision;
  const held = findBasis(basis, spec, live);
  return held?.kind === "rebalance"
    ? { kind: "rebalance", cause: "skew", reason: held.reason }
    : null;
}

/** The counts that the change needs; null when it needs none. */
function requireCounts(
  { spec, basis }: NamespaceInput,
  entry: LiveEntry,
  live: LiveNamespace,
): Result<Distribution | null, Block> {
  const request = distributionRequestFor(spec, live, basis);
  if (!request) return success(null);
  const counted = entry.distribution;
  if (counted?.ok && answersRequest(counted.value.request, request)) return success(counted.value);
  const unhealthy = unhealthyMessage(live);
  if (unhealthy) return failure(blockOf("unhealthyMember", spec.name, unhealthy));
  const refusal = counted?.ok === false ? counted.failure : null;
  const why = refusal?.message ?? "the counts are missing or answer another question";
  // A fault is the tables' own no: it will be the same the next time.
  const wayOut =
    refusal?.reason === "fault"
      ? "correct spec.shardKey, or the tables of the class"
      : "plan again";
  return failure(
    blockOf(
      "unreadable",
      spec.name,
      `the rows could not be counted by ${request.shardKey} (${why}): ${wayOut}`,
    ),
  );
}

interface Planned {
  readonly live: LiveNamespace;
  readonly decision: Decision;
  readonly partitioner: PartitionerRef | null;
  readonly distribution: Distribution | null;
}

function planChange(input: NamespaceInput, planned: Planned): NamespaceOutcome {
  const { spec } = input;
  const { live, decision, distribution } = planned;
  const frozen = frozenLayout(findBasis(input.basis, spec, live), decision.kind);
  if (frozen) {
    const change = describeChange(spec, planned, frozen);
    const stillHelps =
      decision.cause === "declared" ||
      input.holdsSkew ||
      isWorthwhile(change.skewBefore, change.skewAfter);
    if (stillHelps)
      return {
        kind: "change",
        change,
        live,
        notices: changeNotices(spec, live, change, distribution),
      };
  }
  // Which rows a custom partitioner gives to whom is not the planner's to choose.
  if (decision.cause === "skew" && live.layout.kind === "custom")
    return inSync(live, [remainingSkewNotice(spec, live), ...inSyncNotices(live)]);
  const to = targetLayout({ spec, ...planned });
  if (!to.ok) return blocked(spec, live, "unsupported", to.failure);
  const change = describeChange(spec, planned, to.value);
  if (decision.cause === "skew" && !isWorthwhile(change.skewBefore, change.skewAfter)) {
    return inSync(live, [remainingSkewNotice(spec, live), ...inSyncNotices(live)]);
  }
  return { kind: "change", change, live, notices: changeNotices(spec, live, change, distribution) };
}

function describeChange(
  spec: NamespaceSpec,
  { live, decision, distribution }: Planned,
  to: Layout,
): Change {
  return {
    kind: decision.kind,
    namespace: spec.name,
    object: spec.object,
    epoch: live.epoch,
    from: live.layout,
    to,
    reason: decision.reason,
    ...projectChange(live, to, distribution),
    staysBehind: live.undeclaredTables.toSorted(),
    policy: operationPolicy(spec, decision, to),
    dependsOn: spec.dependsOn,
    source: spec.source,
  };
}

/**
 * Rows without the key already have an owner when the key stays, and need none to be dealt out in
 * turn or to go home.
 */
function operationPolicy(spec: NamespaceSpec, decision: Decision, to: Layout): OperationPolicy {
  const keyMatters =
    decision.kind !== "rebalance" && to.kind !== "none" && to.kind !== "roundRobin";
  return {
    ...DEFAULT_OPERATION_POLICY,
    allowMissingKey: !keyMatters || spec.policy.onMissingKey === "allow",
    rowsPerSecondMax: spec.policy.rowsPerSecondMax,
    retainHours: spec.policy.retainHours,
  };
}

function inSync(live: LiveNamespace, notices: readonly Notice[]): NamespaceOutcome {
  const { name: namespace, object, layout, epoch, members } = live;
  const rows = members.reduce((sum, member) => sum + member.rows, 0);
  const bytes = members.reduce((sum, member) => sum + member.bytes, 0);
  return {
    kind: "inSync",
    inSync: {
      namespace,
      object,
      strategy: layout.kind,
      members: layout.members.length,
      rows,
      bytes,
      skew: liveSkew(live),
      epoch,
    },
    live,
    notices,
  };
}

function blocked(
  spec: NamespaceSpec,
  live: LiveNamespace | null,
  guard: Block["guard"],
  message: string,
): NamespaceOutcome {
  return { kind: "blocked", block: blockOf(guard, spec.name, message), live, notices: [] };
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
