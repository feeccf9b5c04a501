/**
 * What gives a pending change its right: the reviewed plans that the merged commit stands on, compared change by change.
 *
 * A change counts as reviewed when a reviewed plan shows exactly it: same namespace, kind, epoch, start and end. Two merges between two
 * ticks are thus two reviews, and a plan that is half applied keeps its other half. A release's overrides hold for the whole plan only.
 */
import { fingerprintPlan } from "../../core/planning/fingerprint.ts";
import type { Guard, Plan } from "../../core/plan.ts";
import type { NamespaceSpec } from "../../core/spec.ts";
import type { Approval } from "./judge.ts";
import { isNew } from "./judge.ts";
import { isSameChange, type NamespaceState, type PendingChange } from "./namespace-state.ts";
import type { ReviewAnswer, ReviewedPlan } from "./ports.ts";

export interface PendingState {
  readonly state: NamespaceState;
  readonly spec: NamespaceSpec;
  readonly pending: PendingChange;
}

/** The reviewed plan whose fingerprint is that of everything that is pending now; null when something has moved since. */
export interface WholePlan {
  readonly plan: Plan;
  readonly pull: number;
  readonly overrides: readonly Guard[];
}

export async function findApproval({ state, spec, pending }: PendingState, answer: ReviewAnswer): Promise<Approval> {
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
  if (approval !== null && approval.specDigest === state.specDigest && state.attempts?.epoch === pending.epoch)
    return { kind: "reviewed", pull: approval.pull, change: null };
  if (!isNew(state, pending) && spec.policy.selfHeal === "apply") return { kind: "heals" };
  return answer.kind === "failed" && isNew(state, pending) ? { kind: "unknown", message: answer.message } : { kind: "none" };
}

/** Compares by fingerprint, over every spec and epoch: costs one pass over all states, and only while something is pending. */
export async function findWholePlan(
  environment: string,
  pendings: readonly PendingState[],
  plans: readonly ReviewedPlan[],
  all: () => Iterable<NamespaceState>,
): Promise<WholePlan | null> {
  const declared = pendings.filter(({ pending }) => pending.cause === "declared");
  const candidates: ReviewedPlan[] = [];
  for (const reviewed of plans) if (await showsAll(reviewed.plan, pendings, declared)) candidates.push(reviewed);
  if (candidates.length === 0) return null;
  const namespaces: NamespaceSpec[] = [];
  const epochs = new Map<string, number | null>();
  for (const { spec, registry, silences } of all()) {
    if (spec === null) continue;
    namespaces.push(spec);
    epochs.set(spec.name, silences > 0 ? null : (registry?.epoch ?? null));
  }
  for (const { plan, pull, overrides } of candidates) {
    const desired = { environment, commit: null, namespaces };
    if ((await fingerprintPlan({ desired, epochs, changes: plan.changes })) === plan.fingerprint)
      return { plan, pull, overrides };
  }
  return null;
}

/** The plan shows every change that the manifests ask for now, and nothing that is not pending. */
async function showsAll(plan: Plan, pendings: readonly PendingState[], declared: readonly PendingState[]): Promise<boolean> {
  if (plan.changes.length < declared.length || plan.changes.length > pendings.length) return false;
  const byName = new Map(pendings.map((one) => [one.state.name, one]));
  for (const change of plan.changes) {
    const one = byName.get(change.namespace);
    if (!one || !(await isSameChange(one.state, one.pending, change))) return false;
  }
  const shown = new Set(plan.changes.map(({ namespace }) => namespace));
  return declared.every(({ state }) => shown.has(state.name));
}
