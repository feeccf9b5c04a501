/**
 * Judges all pending changes of an environment together: what approves each, guards on the whole
 * plan, what a release overrides, who has the environment, and what depends on what. Starts and
 * writes nothing. What should not happen in one of them is that one's verdict.
 *
 * A change counts as reviewed when a reviewed plan that the merged commit stands on shows exactly
 * that change: same namespace, kind, epoch, start and end. Two merges between two ticks are thus
 * two reviews, and a plan that is half applied keeps its other half. A release's overrides hold for
 * the whole plan only.
 */
import type { Run } from "../model/api.ts";
import type { Block, Change, Guard, Plan } from "../model/plan.ts";
import { checkWhole, isJudgedAtStart, standingBlocks } from "../planning/check-safety.ts";
import { orderByDependency } from "../model/execution-order.ts";
import { fingerprintPlan } from "../planning/fingerprint.ts";
import { wasCancelled } from "../runs/run-record.ts";
import type { ReviewAnswer, ReviewedPlan } from "../reviews/review-lookup.ts";
import type { EnvironmentState } from "./environment-state.ts";
import {
  type Approval,
  type Case,
  holdForDependency,
  isMadeByStranger,
  isNew,
  judgeCase,
} from "./judge.ts";
import { awaitJobs } from "./awaited-jobs.ts";
import {
  declaredSpec,
  declaresUnapplied,
  isSameChange,
  type NamespaceState,
} from "./namespace-state.ts";
import type { LookContext } from "./look/note-look.ts";
import { changeIn } from "./plan-progress.ts";
import type { ReconcilePorts } from "./ports.ts";

export type DecideContext = LookContext;

/** Reviews are asked only when somebody needs them. @param cases nobody has judged. */
export async function judgeAll(
  env: EnvironmentState,
  cases: readonly Case[],
  context: DecideContext,
): Promise<{ readonly judged: Case[]; readonly wholePlans: readonly WholePlan[] }> {
  const { ports, managed } = context;
  // A policy waits for the changes that its plan shows, also for those that a manifest alone would
  // not ask for.
  const isShown = ({ state, pending }: Case): boolean =>
    pending.cause === "declared" || declaresUnapplied(state);
  const isAsked = env.commit !== null && cases.some(isShown);
  const answer: ReviewAnswer = isAsked
    ? sortByClaim(await context.reviews())
    : env.commit === null
      ? { kind: "noRepository", requests: 0 }
      : { kind: "found", plans: [], requests: 0 };
  const now = ports.now();
  const approved: Case[] = [];
  for (const one of cases) {
    const approval = await findApproval(one, answer, ports);
    approved.push({ ...one, approval, state: noteAwaited(one.state, approval, now) });
  }
  const plans = answer.kind === "found" ? answer.plans : [];
  // Where the workflow applies, a release overrides nothing until its own apply job has come.
  const startable =
    ports.applies === "workflow" ? plans.filter(({ isOrdered }) => isOrdered) : plans;
  const wholePlans = await findWholePlans(env.environment, cases, startable);
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
  const judged = approved.map((one): Case => {
    try {
      return judge(one, overridesOf(one.state.name));
    } catch (error) {
      ports.onError(one.state.name, error);
      return one;
    }
  });
  return { judged: holdDependents(judged, ports), wholePlans };

  function judge(approvedCase: Case, overrides: readonly Guard[]): Case {
    const { state, spec, pending } = approvedCase;
    const one: Case = {
      ...approvedCase,
      blocks: standingBlocks(
        { blocks: [...shownAgainst(approvedCase), ...pending.blocks, ...bulk] },
        overrides,
      ),
      isWindowOpen: overrides.includes("window") || ports.isWindowOpen(spec.policy, now),
      isSuspended: spec.policy.suspend && !overrides.includes("suspend"),
    };
    const rival = ports.runs.findRival([state.name]);
    const verdict = judgeCase(one, {
      now,
      applies: ports.applies,
      pausedBy: ports.paused()?.by ?? null,
      manifestsProblem: env.manifestsProblem?.reason ?? null,
      rival: rival?.id ?? null,
      isInRival: rival !== null && isOpenIn(rival, state.name),
    });
    return { ...one, verdict };
  }
}

function shownAgainst({ approval }: Case): readonly Block[] {
  return approval.kind === "reviewed" ? approval.blocks : [];
}

function settledBlocks({ blocks }: Plan, { namespace }: Change): readonly Block[] {
  return blocks.filter((block) => block.namespace === namespace && !isJudgedAtStart(block.guard));
}

/** A review that cannot be looked up now does not end the wait for its job. */
function noteAwaited(state: NamespaceState, approval: Approval, now: number): NamespaceState {
  if (approval.kind !== "reviewed") return state;
  const awaited = approval.isOrdered ? [] : awaitJobs(state.awaited, approval.pulls, now);
  return { ...state, awaited };
}

export function shows(plan: Plan, name: string): boolean {
  return changeIn(plan, name) !== null;
}

/** A change waits for what it depends on, unless one run makes both in order. */
function holdDependents(cases: readonly Case[], { store }: ReconcilePorts): Case[] {
  const byName = new Map(cases.map((one) => [one.state.name, one]));
  const order = orderByDependency(
    cases.map(({ spec }) => ({
      ...spec,
      dependsOn: spec.dependsOn.filter((name) => byName.has(name)),
    })),
  );
  const isReady = (name: string): boolean => {
    const own = byName.get(name);
    if (own) return own.verdict.kind === "apply";
    return store.readDeclared(name)?.condition.type === "Ready";
  };
  for (const name of order.names) {
    const one = byName.get(name);
    if (one?.verdict.kind !== "apply") continue;
    const missing = one.spec.dependsOn.find((dependency) => !isReady(dependency));
    if (missing !== undefined)
      byName.set(name, { ...one, verdict: holdForDependency(one.pending, missing) });
  }
  // A circle leads nowhere: the planner refuses it, and so do we.
  for (const [name, fault] of order.faults) {
    const one = byName.get(name);
    if (one) byName.set(name, { ...one, verdict: holdForDependency(one.pending, fault) });
  }
  return cases.map((one) => byName.get(one.state.name) ?? one);
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

/**
 * A reviewed plan that stands as it was shown: every change of it is pending, with the same specs,
 * epochs and layouts.
 */
export interface WholePlan {
  readonly plan: Plan;
  readonly pull: number;
  readonly overrides: readonly Guard[];
}

/**
 * The same change may have been shown twice: what an apply job has asked for comes first, then what
 * is released, then what was shown last.
 */
function sortByClaim(answer: ReviewAnswer): ReviewAnswer {
  if (answer.kind !== "found") return answer;
  const claim = ({ isOrdered, isReleased }: ReviewedPlan): number =>
    (isOrdered ? 2 : 0) + (isReleased ? 1 : 0);
  return { ...answer, plans: answer.plans.toSorted((left, right) => claim(right) - claim(left)) };
}

/** A change as one pull request has shown it. */
interface Shown {
  readonly pull: number;
  readonly isOrdered: boolean;
  readonly change: Change;
  readonly blocks: readonly Block[];
}

async function findApproval(
  { state, spec, pending }: Case,
  answer: ReviewAnswer,
  { runs }: Pick<ReconcilePorts, "runs">,
): Promise<Approval> {
  const shown: Shown[] = [];
  if (answer.kind === "found") {
    for (const { plan, pull, isOrdered } of answer.plans) {
      const change = changeIn(plan, state.name);
      if (change !== null && (await isSameChange(state, pending, change)))
        shown.push({ pull, isOrdered, change, blocks: settledBlocks(plan, change) });
    }
  }
  const [first] = shown;
  if (first) return { kind: "reviewed", ...first, pulls: shown.map(({ pull }) => pull) };
  const { approval } = state;
  // Our own run of a reviewed change has moved the epoch: what it left is still what was reviewed,
  // and ordered unless somebody has cancelled the run.
  if (
    approval !== null &&
    approval.shapeDigest === state.shapeDigest &&
    state.attempts?.epoch === pending.epoch
  ) {
    const run = runs.find(approval.run);
    const isOrdered = run !== null && !wasCancelled(run);
    const { pull } = approval;
    return { kind: "reviewed", pull, pulls: [pull], isOrdered, change: null, blocks: [] };
  }
  if (!isNew(state, pending) && spec.policy.selfHeal === "apply" && !isMadeByStranger(pending))
    return { kind: "heals" };
  if (answer.kind === "noRepository" && isNew(state, pending)) return { kind: "leftUndone" };
  return answer.kind === "failed" && isNew(state, pending)
    ? { kind: "unknown", message: answer.message }
    : { kind: "none" };
}

/** The reviewed plans that stand as a whole, in the order of `plans`. */
async function findWholePlans(
  environment: string,
  cases: readonly Case[],
  plans: readonly ReviewedPlan[],
): Promise<WholePlan[]> {
  const byName = new Map(cases.map((one) => [one.state.name, one]));
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
  byName: ReadonlyMap<string, Case>,
): Promise<boolean> {
  const shown: Case[] = [];
  for (const change of plan.changes) {
    const one = byName.get(change.namespace);
    if (!one || !(await isSameChange(one.state, one.pending, change))) return false;
    shown.push(one);
  }
  const desired = {
    environment,
    commit: null,
    namespaces: shown.map(({ state, spec }) => declaredSpec(state, spec)),
  };
  const epochs = new Map(shown.map(({ spec, pending }) => [spec.name, pending.epoch]));
  const { changes, policies = [], blocks, fingerprint } = plan;
  return (await fingerprintPlan({ desired, epochs, changes, policies, blocks })) === fingerprint;
}
