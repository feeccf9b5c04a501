/**
 * A namespace that is as declared, but for a policy that was merged and is not applied: is anything
 * going to apply it, and what is said of it when not?
 *
 * | of the declared policy                                | what is said                              |
 * |-------------------------------------------------------|-------------------------------------------|
 * | no reviewed and merged plan shows it                  | drift `policy`                            |
 * | it is the workflow's to apply, and no job has come    | the same after an hour                    |
 * | nothing but it is left of its plan, and live is another one than that was made for | drift `policy` |
 * | its plan has changes that wait, or nothing waits but a switch | nothing: it is on its way         |
 * | the reviews could not be looked up                    | as before                                 |
 */
import { changedFields } from "../../model/policy.ts";
import { DEFAULT_POLICY } from "../../model/spec.ts";
import type { ReviewedPlan } from "../../reviews/review-lookup.ts";
import { type AwaitedJob, awaitJobs, findLateJob } from "../awaited-jobs.ts";
import { isAwaited } from "../follow-policies.ts";
import { declaresUnapplied, type NamespaceState } from "../namespace-state.ts";
import { policyIn } from "../plan-progress.ts";
import type { ReconcilePorts } from "../ports.ts";
import type { FoundDrift } from "../track-drifts.ts";
import type { LookContext } from "./note-look.ts";

export interface PolicySight {
  readonly found: readonly FoundDrift[];
  /** Apply jobs that it waits for. */
  readonly awaited: readonly AwaitedJob[];
  /** Why it is not applied, for the condition; null for an applied one. */
  readonly why: string | null;
}

const APPLIED: PolicySight = { found: [], awaited: [], why: null };

const PLAN_AGAIN =
  "Open a pull request that touches its manifest, to have the plan shown and reviewed; or `shardctl apply` by hand. Until then the stricter value of each field holds.";

/** @param state at rest, and as declared. */
export async function lookAtPolicy(
  state: NamespaceState,
  { ports, reviews, progress }: LookContext,
): Promise<PolicySight> {
  if (!declaresUnapplied(state)) return APPLIED;
  const answer = await reviews();
  if (answer.kind !== "found") return asBefore(state);
  const own = answer.plans.filter(({ plan }) => {
    const change = policyIn(plan, state.name);
    return change !== null && isAwaited(change, ports);
  });
  if (own.length === 0)
    return {
      found: [drift(state, ports, "merged, but not reviewed", PLAN_AGAIN)],
      awaited: [],
      why: "no plan that was reviewed and merged shows it",
    };
  const ordered = ports.applies === "worker" ? own : own.filter(({ isOrdered }) => isOrdered);
  if (ordered.length === 0) return awaitJob(state, own, ports);
  for (const { plan } of ordered)
    if ((await progress.of(plan)) !== "leftBehind")
      return { ...APPLIED, why: "it is applied when the changes of its plan are made" };
  return {
    found: [drift(state, ports, "merged, but its plan is stale", PLAN_AGAIN)],
    awaited: [],
    why: "live is no longer what its plan was made for: plan again",
  };
}

function asBefore({ differences, awaited = [] }: NamespaceState): PolicySight {
  const found = differences
    .filter(({ kind }) => kind === "policy")
    .map(({ kind, reason, detail, remedy }) => ({ kind, reason, detail, remedy }));
  return { found, awaited, why: "its review could not be looked up" };
}

function awaitJob(
  state: NamespaceState,
  reviewed: readonly ReviewedPlan[],
  ports: ReconcilePorts,
): PolicySight {
  const now = ports.now();
  const pulls = reviewed.map(({ pull }) => pull);
  const awaited = awaitJobs(state.awaited, pulls, now);
  const late = findLateJob(awaited, now);
  const pull = late?.pull ?? awaited[0]?.pull ?? 0;
  const remedy =
    'Rerun the apply workflow, or run `shardctl apply`, or set github.apply to "worker".';
  return {
    found: late === null ? [] : [drift(state, ports, "merged, no apply job has come", remedy)],
    awaited,
    why: `it waits for the apply job of pull request #${pull}`,
  };
}

function drift(
  { name, held, spec }: NamespaceState,
  { policies }: ReconcilePorts,
  why: string,
  remedy: string,
): FoundDrift {
  const applied = policies.read(name)?.policy ?? DEFAULT_POLICY;
  const declared = held?.declared ?? spec?.policy ?? applied;
  const fields = changedFields(applied, declared).join(", ");
  return { kind: "policy", reason: `policy ${fields} (${why})`, detail: null, remedy };
}
