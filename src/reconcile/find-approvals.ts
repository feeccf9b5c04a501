/**
 * Finds what approves each pending change: the reviewed plans that the merged commit stands on,
 * compared change by change.
 *
 * A change counts as reviewed when a reviewed plan shows exactly that change: same namespace, kind,
 * epoch, start and end. Two merges between two ticks are thus two reviews, and a plan that is half
 * applied keeps its other half. A release's overrides hold for the whole plan only.
 */
import { fingerprintPlan } from "../planning/fingerprint.ts";
import type { Guard, Plan } from "../model/plan.ts";
import { type Approval, isMadeByStranger, isNew, type PendingState } from "./judge.ts";
import { isSameChange } from "./namespace-state.ts";
import type { ReviewAnswer, ReviewedPlan } from "../reviews/review-lookup.ts";

/**
 * A reviewed plan that stands as it was shown: every change of it is pending, with the same specs,
 * epochs and layouts.
 */
export interface WholePlan {
  readonly plan: Plan;
  readonly pull: number;
  readonly overrides: readonly Guard[];
}

export async function findApproval(
  { state, spec, pending }: PendingState,
  answer: ReviewAnswer,
): Promise<Approval> {
  if (answer.kind === "found") {
    for (const { plan, pull } of answer.plans) {
      for (const change of plan.changes) {
        if (change.namespace === state.name && (await isSameChange(state, pending, change)))
          return { kind: "reviewed", pull, change };
      }
    }
  }
  const { approval } = state;
  // Our own run of a reviewed change has moved the epoch: what it left is still what was reviewed.
  if (
    approval !== null &&
    approval.shapeDigest === state.shapeDigest &&
    state.attempts?.epoch === pending.epoch
  )
    return { kind: "reviewed", pull: approval.pull, change: null };
  if (!isNew(state, pending) && spec.policy.selfHeal === "apply" && !isMadeByStranger(pending))
    return { kind: "heals" };
  return answer.kind === "failed" && isNew(state, pending)
    ? { kind: "unknown", message: answer.message }
    : { kind: "none" };
}

/** The reviewed plans that stand as a whole, newest review first. */
export async function findWholePlans(
  environment: string,
  pendings: readonly PendingState[],
  plans: readonly ReviewedPlan[],
): Promise<WholePlan[]> {
  const byName = new Map(pendings.map((one) => [one.state.name, one]));
  const whole: WholePlan[] = [];
  for (const { plan, pull, overrides } of plans) {
    if (plan.changes.length > 0 && (await isPendingAsShown(environment, plan, byName)))
      whole.push({ plan, pull, overrides });
  }
  return whole;
}

async function isPendingAsShown(
  environment: string,
  plan: Plan,
  byName: ReadonlyMap<string, PendingState>,
): Promise<boolean> {
  const shown: PendingState[] = [];
  for (const change of plan.changes) {
    const one = byName.get(change.namespace);
    if (!one || !(await isSameChange(one.state, one.pending, change))) return false;
    shown.push(one);
  }
  const desired = { environment, commit: null, namespaces: shown.map(({ spec }) => spec) };
  const epochs = new Map(shown.map(({ spec, pending }) => [spec.name, pending.epoch]));
  return (await fingerprintPlan({ desired, epochs, changes: plan.changes })) === plan.fingerprint;
}
