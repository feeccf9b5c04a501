/** A plan in numbers: how many changes of each kind, and in all. */
import { formatCount, formatQuantity } from "../model/figures.ts";
import type { OperationKind } from "../model/operation.ts";
import type { Plan } from "../model/plan.ts";

export interface PlanSummary {
  readonly shard: number;
  readonly rebalance: number;
  readonly rekey: number;
  readonly unshard: number;
  readonly inSync: number;
  /** Namespaces whose policy changes. */
  readonly policies: number;
  /** Namespaces for which neither a change nor "in sync" could be planned. */
  readonly notPlanned: number;
  readonly unmanaged: number;
  readonly blocks: number;
  readonly rowsMoved: number;
  readonly bytesMoved: number;
}

/** Counts the plan. */
export function summarizePlan(plan: Plan): PlanSummary {
  const planned = new Set([...plan.changes, ...plan.inSync].map(({ namespace }) => namespace));
  const blocked = new Set(
    plan.blocks.flatMap(({ namespace }) =>
      namespace === null || planned.has(namespace) ? [] : [namespace],
    ),
  );
  const countOf = (kind: OperationKind): number =>
    plan.changes.filter((change) => change.kind === kind).length;
  return {
    shard: countOf("shard"),
    rebalance: countOf("rebalance"),
    rekey: countOf("rekey"),
    unshard: countOf("unshard"),
    inSync: plan.inSync.length,
    policies: plan.policies?.length ?? 0,
    notPlanned: blocked.size,
    unmanaged: plan.notices.filter(({ kind }) => kind === "unmanaged").length,
    blocks: plan.blocks.length,
    rowsMoved: plan.changes.reduce((sum, change) => sum + change.rowsMoved, 0),
    bytesMoved: plan.changes.reduce((sum, change) => sum + change.bytesMoved, 0),
  };
}

/**
 * "Plan: 1 to shard, 2 to rebalance, 5 in sync.", "Plan: 1 policy change, 5 in sync.",
 * "No changes: 5 in sync.", or, when something has no plan, "Not all could be planned: 5 in sync,
 * 1 not planned."
 *
 * @param heading of a plan with changes.
 */
export function describeSummary(summary: PlanSummary, heading = "Plan: "): string {
  const changes = (["shard", "rebalance", "rekey", "unshard"] as const).flatMap((kind) =>
    summary[kind] > 0 ? [`${formatCount(summary[kind])} to ${kind}`] : [],
  );
  const policies = summary.policies > 0 ? [formatQuantity(summary.policies, "policy change")] : [];
  const rest = [
    `${formatCount(summary.inSync)} in sync`,
    ...(summary.notPlanned > 0 ? [`${formatCount(summary.notPlanned)} not planned`] : []),
    ...(summary.unmanaged > 0 ? [`${formatCount(summary.unmanaged)} unmanaged`] : []),
  ];
  return changes.length + policies.length > 0
    ? `${heading}${[...changes, ...policies, ...rest].join(", ")}.`
    : `${summary.notPlanned > 0 ? "Not all could be planned" : "No changes"}: ${rest.join(", ")}.`;
}
