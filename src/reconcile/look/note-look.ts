/**
 * Common parts of all looks: their context, and the functions that note in a state what a look
 * found.
 */
import type { ConditionType } from "../../model/drift.ts";
import type { EnvironmentState } from "../environment-state.ts";
import { conditionOf, type NamespaceState } from "../namespace-state.ts";
import type { ReviewAnswer } from "../../reviews/review-lookup.ts";
import type { PlanProgress } from "../plan-progress.ts";
import type { ReconcilePorts } from "../ports.ts";
import { checkIntervalMs, nextTurn } from "../schedule.ts";
import { type FoundDrift, isWatching, trackDrifts } from "../track-drifts.ts";
import type { InspectContext } from "./inspect.ts";

export interface LookContext extends InspectContext {
  readonly env: EnvironmentState;
  readonly ports: ReconcilePorts;
  /** Namespaces with a manifest. */
  readonly managed: number;
  /** Asked once a slice, and only when somebody needs it. */
  readonly reviews: () => Promise<ReviewAnswer>;
  /** Progress of the reviewed plans, as far as looks have seen it. */
  readonly progress: PlanProgress;
  /** Takes one audit from the budget; false when it is used up. */
  readonly takeAudit: () => boolean;
}

export type ConditionChange = {
  readonly type: ConditionType;
  readonly reason: string;
  readonly message: string;
};

export function rest(
  state: NamespaceState,
  change: ConditionChange,
  context: LookContext,
): NamespaceState {
  return {
    ...state,
    dueAt: dueAfter(state, context),
    condition: conditionOf(state, context.ports.now(), change),
  };
}

/**
 * Returns the time of the next look. A drift seen once is looked at in the next pass, and so is an
 * audit that had to wait.
 */
export function dueAfter(state: NamespaceState, { ports, managed }: LookContext): number {
  const now = ports.now();
  if (isWatching(state.faults) || isWatching(state.differences)) return 0;
  const next = nextTurn(state.name, checkIntervalMs(managed), now);
  return state.spec === null || state.auditDueAt > next ? next : state.auditDueAt;
}

export function healing(state: NamespaceState, found: readonly FoundDrift[]): FoundDrift[] {
  return found.map((one) => ({
    ...one,
    isHealing: state.run !== null && one.kind === "misplaced",
  }));
}

export function markHealing(
  differences: NamespaceState["differences"],
): NamespaceState["differences"] {
  return differences.map((drift) => ({ ...drift, state: "healing" }));
}

export function track(
  state: NamespaceState,
  found: readonly FoundDrift[],
  context: LookContext,
): NamespaceState["faults"] {
  return trackDrifts(state.faults, found, trackContext(state, context));
}

export function trackDifferences(
  state: NamespaceState,
  found: readonly FoundDrift[],
  context: LookContext,
): NamespaceState["differences"] {
  return trackDrifts(state.differences, found, trackContext(state, context));
}

function trackContext({ name, object }: NamespaceState, { env, ports }: LookContext) {
  return {
    environment: env.environment,
    namespace: name,
    object,
    pass: env.pass.number,
    commit: env.commit,
    now: ports.now(),
    record: ports.record,
  };
}
