/**
 * Starts one run for changes that may be made now. What was reviewed is applied as it was shown;
 * what mends a drift is planned from a look at this moment, and left out when that no longer agrees
 * with what was judged. A run checks once more before each of its starts.
 */
import type { Run } from "../model/api.ts";
import { compareText } from "../model/compare-text.ts";
import { type Change, type Guard, type Plan, PLAN_VERSION } from "../model/plan.ts";
import { checkSafety, standingBlocks } from "../planning/check-safety.ts";
import { orderByDependency } from "../planning/execution-order.ts";
import { fingerprintPlan } from "../planning/fingerprint.ts";
import { failure, success, type Result } from "../model/result.ts";
import type { DesiredState } from "../model/spec.ts";
import { runBounded } from "../model/run-bounded.ts";
import type { WholePlan } from "./judge-all.ts";
import { inspectNamespace, type InspectContext } from "./look/inspect.ts";
import type { Case } from "./judge.ts";
import type { RunPort } from "./ports.ts";

/** Namespaces that are looked at at the same time. */
const LOOKS_AT_ONCE = 16;

export interface StartContext extends InspectContext {
  readonly environment: string;
  readonly commit: string | null;
  readonly runs: RunPort;
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
  if (whole) return start(pickWhole(cases, whole), context);
  const found = await runBounded(
    cases,
    LOOKS_AT_ONCE,
    async (one) => [one, await changeSafely(one, context)] as const,
  );
  const changes = new Map(
    found.flatMap(([one, change]) => (change === null ? [] : [[one, change] as const])),
  );
  if (changes.size === 0) return failure("none of the changes is as it was judged any more");
  return start(await makeBatch(changes, context), context);
}

function start(
  { plan, cases, overrides }: Batch,
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
    .map(({ spec }) => spec)
    .toSorted((left, right) => compareText(left.name, right.name));
  return { environment, commit, namespaces };
}

async function changeSafely(one: Case, context: StartContext): Promise<Change | null> {
  try {
    return await changeFor(one, context);
  } catch (error) {
    context.onError(one.state.name, error);
    return null;
  }
}

async function changeFor(
  { state, spec, pending, approval }: Case,
  context: StartContext,
): Promise<Change | null> {
  if (approval.kind === "reviewed" && approval.change !== null) return approval.change;
  const inspection = await inspectNamespace(spec, state.audit, context);
  if (inspection.kind !== "planned" || inspection.wanted === null) return null;
  const { cause, change } = inspection.wanted;
  if (cause !== pending.cause || change.kind !== pending.kind || change.epoch !== pending.epoch)
    return null;
  const blocks = checkSafety({
    changes: [{ change, spec, live: inspection.live, windowOpen: true }],
    managed: { namespaces: 0, rows: 0 },
    unmanaged: 0,
  });
  return standingBlocks({ blocks }, []).length === 0 ? change : null;
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
    fingerprint: await fingerprintPlan({ desired, epochs, changes: ordered }),
  };
  return { plan, cases, overrides: [] };
}
