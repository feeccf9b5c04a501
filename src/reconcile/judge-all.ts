/**
 * Judges all pending changes of an environment together: guards on the whole plan, what a release
 * overrides, who has the environment, and what depends on what. Starts and writes nothing. What
 * should not happen in one of them is that one's verdict.
 */
import type { Run } from "../model/api.ts";
import type { Block, Guard, Plan } from "../model/plan.ts";
import { checkWhole, standingBlocks } from "../planning/check-safety.ts";
import { orderByDependency } from "../planning/execution-order.ts";
import type { EnvironmentState } from "./environment-state.ts";
import { findApproval, findWholePlans, type WholePlan } from "./find-approvals.ts";
import {
  type Approved,
  holdForDependency,
  INTERNAL_ERROR,
  judgeChange,
  type Judged,
  type PendingState,
  type Verdict,
} from "./judge.ts";
import type { LookContext } from "./note-look.ts";
import type { ReconcilePorts } from "./ports.ts";
import type { ReviewAnswer } from "../reviews/review-lookup.ts";

export interface DecideContext extends LookContext {
  /** Asked once a slice, and only when somebody needs it. */
  readonly reviews: () => Promise<ReviewAnswer>;
}

export interface Ruling extends Judged {
  readonly verdict: Verdict;
}

/** Reviews are asked only when somebody needs them. */
export async function judgeAll(
  env: EnvironmentState,
  pendings: readonly PendingState[],
  context: DecideContext,
): Promise<{ readonly rulings: Ruling[]; readonly wholePlans: readonly WholePlan[] }> {
  const { ports, managed } = context;
  const isAsked =
    env.commit !== null && pendings.some(({ pending }) => pending.cause === "declared");
  const answer: ReviewAnswer = isAsked
    ? await context.reviews()
    : { kind: "found", plans: [], requests: 0 };
  const approved: Approved[] = [];
  for (const one of pendings) approved.push({ ...one, approval: await findApproval(one, answer) });
  const plans = answer.kind === "found" ? answer.plans : [];
  const wholePlans = await findWholePlans(env.environment, pendings, plans);
  const overridesOf = (name: string): readonly Guard[] =>
    wholePlans.find(({ plan, overrides }) => overrides.length > 0 && shows(plan, name))
      ?.overrides ?? [];
  const wanted = approved.filter(
    ({ approval }) => approval.kind === "reviewed" || approval.kind === "heals",
  );
  const bulk = checkWhole({
    changes: wanted.map(({ pending }) => ({ change: pending })),
    managed: { namespaces: managed, rows: ports.store.totals().rows },
    unmanaged: 0,
  });
  const now = ports.now();
  const { manifestsProblem } = env;
  const rulings = approved.map((one): Ruling => {
    try {
      return rule(one, overridesOf(one.state.name));
    } catch (error) {
      ports.onError(one.state.name, error);
      return {
        ...one,
        blocks: [],
        isSuspended: one.spec.policy.suspend,
        isWindowOpen: false,
        verdict: INTERNAL_ERROR,
      };
    }
  });
  return { rulings: holdDependents(rulings, ports), wholePlans };

  function rule(one: Approved, overrides: readonly Guard[]): Ruling {
    const blocks: Block[] = standingBlocks({ blocks: [...one.pending.blocks, ...bulk] }, overrides);
    const isWindowOpen =
      overrides.includes("window") || ports.isWindowOpen(one.spec.policy.windows, now);
    const isSuspended = one.spec.policy.suspend && !overrides.includes("suspend");
    const judged: Judged = { ...one, blocks, isSuspended, isWindowOpen };
    const rival = ports.runs.findRival([one.state.name]);
    const verdict = judgeChange(judged, {
      now,
      pausedBy: ports.paused()?.by ?? null,
      manifestsProblem: manifestsProblem?.reason ?? null,
      rival: rival?.id ?? null,
      isInRival: rival !== null && isOpenIn(rival, one.state.name),
    });
    return { ...judged, verdict };
  }
}

export function shows(plan: Plan, name: string): boolean {
  return plan.changes.some(({ namespace }) => namespace === name);
}

/** A change waits for what it depends on, unless one run makes both in order. */
function holdDependents(rulings: readonly Ruling[], { store }: ReconcilePorts): Ruling[] {
  const order = orderByDependency(
    rulings.map(({ spec }) => ({
      ...spec,
      dependsOn: spec.dependsOn.filter((name) => rulings.some(({ state }) => state.name === name)),
    })),
  );
  const byName = new Map(rulings.map((ruling) => [ruling.state.name, ruling]));
  const isReady = (name: string): boolean => {
    const own = byName.get(name);
    if (own) return own.verdict.kind === "apply";
    return store.readDeclared(name)?.condition.type === "Ready";
  };
  for (const name of order.names) {
    const ruling = byName.get(name);
    if (ruling?.verdict.kind !== "apply") continue;
    const missing = ruling.spec.dependsOn.find((dependency) => !isReady(dependency));
    if (missing !== undefined)
      byName.set(name, { ...ruling, verdict: holdForDependency(ruling.pending, missing) });
  }
  // A circle leads nowhere: the planner refuses it, and so do we.
  for (const [name, fault] of order.faults) {
    const ruling = byName.get(name);
    if (ruling) byName.set(name, { ...ruling, verdict: holdForDependency(ruling.pending, fault) });
  }
  return rulings.map((ruling) => byName.get(ruling.state.name) ?? ruling);
}

/**
 * True while the run has something to do in the namespace: what has ended there is counted already,
 * and the run is about the others.
 */
export function isOpenIn({ actions }: Run, name: string): boolean {
  return actions.some(
    ({ namespace, state }) => namespace === name && (state === "pending" || state === "running"),
  );
}
