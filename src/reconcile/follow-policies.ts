/**
 * Chooses the policy that a pass follows, and puts a merged one in its place.
 *
 * | the declared policy                                        | then                              |
 * |------------------------------------------------------------|-----------------------------------|
 * | is the applied one, or the default of a new namespace      | it is followed                    |
 * | differs                                                    | the stricter of both is followed: see `model/policy.ts` |
 * | differs, and a reviewed and merged plan shows exactly this | it is applied once its changes are made |
 * | the same, but the workflow applies                         | as well, when its apply job was given the plan |
 *
 * A change that only the new policy asks for, as a rebalance by a lower `maxSkew`, is made as its
 * plan shows it, too: see `look/inspect.ts`. Applied first, the policy would have it made as a
 * heal, by guards that it has loosened itself.
 *
 * Nothing is applied while everything is paused, or the manifests are not valid. Without a
 * repository, the applied policy is the declared one.
 */
import { policyEvents } from "../history/make-events.ts";
import { type PolicyChange, followedPolicy, policyAfter, samePolicy } from "../model/policy.ts";
import type { Plan } from "../model/plan.ts";
import { DEFAULT_POLICY, type NamespaceSpec, type Policy } from "../model/spec.ts";
import type { ReviewedPlan } from "../reviews/review-lookup.ts";
import { RECONCILER } from "../runs/run-record.ts";
import type { EnvironmentState } from "./environment-state.ts";
import type { DecideContext } from "./judge-all.ts";
import { declaredSpec, type NamespaceState } from "./namespace-state.ts";
import { changeIn, isMade, policyIn } from "./plan-progress.ts";
import type { PolicyPort, ReconcilePorts } from "./ports.ts";

type Followed = Pick<NamespaceState, "spec" | "held">;

/** The spec as it is followed. Takes note of a default policy, which needs no review. */
export function followSpec(spec: NamespaceSpec, { policies }: ReconcilePorts): Followed {
  const known = policies.read(spec.name)?.policy ?? null;
  if (isUnnoted(spec, known, policies)) policies.noteDefault(spec.name);
  return followedNow(spec, known, policies);
}

/** True for a default policy that was never applied: it needs no review. */
function isUnnoted(
  spec: NamespaceSpec,
  known: Policy | null,
  { isSource }: Pick<PolicyPort, "isSource">,
): boolean {
  return known === null && samePolicy(declaredPolicy(spec, known, isSource), DEFAULT_POLICY);
}

function declaredPolicy(
  { policy }: NamespaceSpec,
  known: Policy | null,
  isSource: boolean,
): Policy {
  return isSource ? (known ?? policy) : policy;
}

/**
 * The same beside the policy that was applied last, which may be newer than what the last pass has
 * followed. Takes note of nothing.
 *
 * @param known null where none was ever applied.
 */
export function followedNow(
  spec: NamespaceSpec,
  known: Policy | null,
  { floors, isSource }: Pick<PolicyPort, "floors" | "isSource">,
): Followed {
  const declared = declaredPolicy(spec, known, isSource);
  const applied = isUnnoted(spec, known, { isSource }) ? DEFAULT_POLICY : known;
  const isApplied = applied !== null && samePolicy(applied, declared);
  const policy = followedPolicy(declared, applied, floors);
  const isAsDeclared = isApplied && policy.within === undefined && samePolicy(policy, declared);
  return { spec: { ...spec, policy }, held: isAsDeclared ? null : { declared, isApplied } };
}

/** Follows what was applied since; each of these namespaces is looked at again. */
export function followApplied(ports: ReconcilePorts): void {
  const { store, policies } = ports;
  const changed = policies.changed();
  const states = changed.flatMap((name): NamespaceState[] => {
    const state = store.readDeclared(name);
    if (state === null || state.spec === null) return [];
    const followed = followSpec(declaredSpec(state, state.spec), ports);
    // A change that was found under the policy of before may be one that this one does not ask for.
    return [{ ...state, ...followed, pending: null, dueAt: 0, attempts: null }];
  });
  if (states.length > 0) store.write(states);
  policies.takeChanged(changed);
}

/** Applies the policies that were reviewed and merged, of plans whose other changes are made. */
export async function applyMerged(env: EnvironmentState, context: DecideContext): Promise<void> {
  const { ports } = context;
  const { store, policies, applies } = ports;
  if (policies.isSource || env.commit === null || !store.hasAwaiting()) return;
  // Nothing at all is applied then.
  if (env.manifestsProblem !== null || ports.paused() !== null) return;
  const answer = await context.reviews();
  if (answer.kind !== "found") return;
  const now = ports.now();
  for (const reviewed of answer.plans) {
    if (applies === "workflow" && !reviewed.isOrdered) continue;
    const wanted = findAwaited(reviewed, ports);
    if (wanted.length === 0 || !(await isMade(reviewed, ports))) continue;
    const applied = policies.apply(wanted);
    const about = {
      at: now,
      environment: env.environment,
      actor: RECONCILER,
      commit: env.commit,
      pull: reviewed.pull,
      fingerprint: reviewed.plan.fingerprint,
    };
    for (const event of policyEvents(applied, about)) ports.record(event);
  }
  followApplied(ports);
}

function findAwaited({ plan }: ReviewedPlan, ports: ReconcilePorts): PolicyChange[] {
  return (plan.policies ?? []).filter((change) => isAwaited(change, ports));
}

/** A review of an earlier revision is over, though it showed the same. */
export function isAwaited(change: PolicyChange, { store, policies }: ReconcilePorts): boolean {
  const { namespace, revision } = change;
  const held = store.readDeclared(namespace)?.held;
  if (!held || held.isApplied) return false;
  const applied = policies.read(namespace) ?? { policy: DEFAULT_POLICY, revision: 0 };
  return (
    applied.revision === revision && samePolicy(held.declared, policyAfter(change, applied.policy))
  );
}

/** The plans that show the namespace's declared policy, which waits for its change among others. */
export function plansAwaitedBy(
  namespace: string,
  reviewed: readonly ReviewedPlan[],
  ports: ReconcilePorts,
): Plan[] {
  return reviewed
    .map(({ plan }) => plan)
    .filter((plan) => {
      const policy = policyIn(plan, namespace);
      return policy !== null && changeIn(plan, namespace) !== null && isAwaited(policy, ports);
    });
}
