/**
 * Starts one run for changes that may be made now. What was reviewed is applied as it was shown;
 * what mends a drift is planned from a look at this moment. Each goes through the judgement that
 * all starts go through, and is left out when it does not pass, or is no longer what was decided
 * about. A run checks once more before each of its starts.
 */
import type { Run } from "../model/api.ts";
import { compareText } from "../model/compare-text.ts";
import { type Change, type Guard, type Plan, PLAN_VERSION } from "../model/plan.ts";
import { orderByDependency } from "../model/execution-order.ts";
import { fingerprintPlan } from "../planning/fingerprint.ts";
import { failure, success, type Result } from "../model/result.ts";
import type { DesiredState } from "../model/spec.ts";
import { figuresOf } from "../model/count-moved.ts";
import {
  judgeChange,
  judgeDescribed,
  type Judgement,
  type StartTerms,
} from "../runs/judge-start.ts";
import { runBounded } from "../model/run-bounded.ts";
import type { WholePlan } from "./judge-all.ts";
import { inspectNamespace, type InspectContext } from "./look/inspect.ts";
import type { Case } from "./judge.ts";
import { declaredSpec, guardedSpec } from "./namespace-state.ts";
import type { RunPort } from "./ports.ts";

/** Namespaces that are looked at at the same time. */
const LOOKS_AT_ONCE = 16;

export interface StartContext extends InspectContext {
  readonly environment: string;
  readonly commit: string | null;
  readonly runs: RunPort;
  /** Milliseconds since the Unix epoch. */
  readonly now: () => number;
  /** Told of what should not have happened; the other changes are started. */
  readonly onError: (namespace: string, error: unknown) => void;
}

/** The started run and the cases that it is about. */
export interface StartedBatch {
  readonly run: Run;
  readonly started: readonly Case[];
}

/** The plan to start, the cases that it is about, and what it overrides. */
interface Batch {
  readonly plan: Plan;
  readonly cases: readonly Case[];
  readonly overrides: readonly Guard[];
}

/** The batch, or why it was not started. Changes that no longer stand are in neither. */
export async function startBatch(
  cases: readonly Case[],
  whole: WholePlan | null,
  context: StartContext,
): Promise<Result<StartedBatch, string>> {
  const judgedAt = context.now();
  const overrides = whole?.overrides ?? [];
  const found = await runBounded(
    cases,
    LOOKS_AT_ONCE,
    async (one) => [one, await changeSafely(one, overrides, context)] as const,
  );
  const changes = new Map(
    found.flatMap(([one, change]) => (change === null ? [] : [[one, change] as const])),
  );
  const isChanged = whole === null ? changes.size === 0 : changes.size < cases.length;
  if (isChanged) return failure("what was judged is not so any more");
  const batch = whole ? pickWhole(cases, whole) : await makeBatch(changes, context);
  return start(batch, judgedAt, context);
}

function start(
  { plan, cases, overrides }: Batch,
  judgedAt: number,
  context: StartContext,
): Result<StartedBatch, string> {
  const pulls = new Set(
    cases.map(({ approval }) => (approval.kind === "reviewed" ? approval.pull : null)),
  );
  const [pull] = pulls;
  const run = context.runs.start({
    plan,
    desired: desiredOf(cases, context),
    overrides,
    judgedAt,
    shown: figuresOf(
      cases.flatMap(({ approval }) =>
        approval.kind === "reviewed" && approval.change !== null ? [approval.change] : [],
      ),
    ),
    origin: {
      pull: pulls.size === 1 ? (pull ?? null) : null,
      commit: context.commit,
      runUrl: null,
    },
  });
  return run.ok ? success({ run: run.value, started: cases }) : run;
}

/** A plan that is started as it was shown, with its cases in the order of its changes. */
function pickWhole(judged: readonly Case[], { plan, overrides }: WholePlan): Batch {
  const byName = new Map(judged.map((one) => [one.state.name, one]));
  const cases = plan.changes.map(({ namespace }) => {
    const one = byName.get(namespace);
    if (!one) throw new Error(`'${namespace}' of plan ${plan.fingerprint} was not judged`);
    return one;
  });
  return { plan, cases, overrides };
}

function desiredOf(cases: readonly Case[], { environment, commit }: StartContext): DesiredState {
  const namespaces = cases
    .map(({ state, spec }) => declaredSpec(state, spec))
    .toSorted((left, right) => compareText(left.name, right.name));
  return { environment, commit, namespaces };
}

async function changeSafely(
  one: Case,
  overrides: readonly Guard[],
  context: StartContext,
): Promise<Change | null> {
  try {
    return await changeFor(one, overrides, context);
  } catch (error) {
    context.onError(one.state.name, error);
    return null;
  }
}

/** The change with current counts; null when it may not start any more. */
async function changeFor(
  { state, spec, pending, approval }: Case,
  overrides: readonly Guard[],
  context: StartContext,
): Promise<Change | null> {
  const { liveAccess, spend } = context;
  const terms = { spec: guardedSpec(state, spec), overrides, now: context.now() };
  if (approval.kind === "reviewed" && approval.change !== null) {
    const { change } = approval;
    spend(2);
    return changeOf(
      await judgeChange(change, liveAccess, { ...terms, shown: figuresOf([change]) }),
    );
  }
  const inspection = await inspectNamespace(spec, state, context);
  if (inspection.kind !== "planned" || inspection.wanted === null) return null;
  const { cause, change } = inspection.wanted;
  if (cause !== pending.cause || change.kind !== pending.kind || change.epoch !== pending.epoch)
    return null;
  const own: StartTerms = { ...terms, shown: null };
  return changeOf(await judgeDescribed(change, inspection.live, liveAccess, own));
}

function changeOf(judged: Judgement): Change | null {
  return judged.kind === "may" ? judged.change : null;
}

/** A plan of these changes alone. */
async function makeBatch(
  changes: ReadonlyMap<Case, Change>,
  context: StartContext,
): Promise<Batch> {
  const cases = [...changes.keys()];
  const byName = new Map(cases.map((one) => [one.state.name, changes.get(one)]));
  const inBatch = cases.map(({ spec }) => ({
    ...spec,
    dependsOn: spec.dependsOn.filter((name) => byName.has(name)),
  }));
  const ordered = orderByDependency(inBatch).names.flatMap((name) => byName.get(name) ?? []);
  const { environment, commit } = context;
  const epochs = new Map(ordered.map(({ namespace, epoch }) => [namespace, epoch]));
  const desired = desiredOf(cases, context);
  const plan: Plan = {
    version: PLAN_VERSION,
    environment,
    commit,
    changes: ordered,
    inSync: [],
    blocks: [],
    notices: [],
    fingerprint: await fingerprintPlan({ desired, epochs, changes: ordered, blocks: [] }),
  };
  return { plan, cases, overrides: [] };
}
