/**
 * Starts one run for changes that may be made now. What was reviewed is applied as it was shown;
 * what mends a drift is planned from a look at this moment, and left out when that no longer agrees
 * with what was judged. A run checks once more before each of its starts.
 */
import type { Run } from "../model/api.ts";
import { compareText } from "../model/compare-text.ts";
import type { Change, Guard, InSync, Plan } from "../model/plan.ts";
import { PLAN_VERSION } from "../model/plan.ts";
import { checkSafety, standingBlocks } from "../planning/check-safety.ts";
import { orderByDependency } from "../planning/execution-order.ts";
import { fingerprintPlan } from "../planning/fingerprint.ts";
import { failure, success, type Result } from "../model/result.ts";
import type { DesiredState } from "../model/spec.ts";
import { runBounded } from "../live/run-bounded.ts";
import type { WholePlan } from "./find-approvals.ts";
import { inspectNamespace, type InspectContext } from "./inspect.ts";
import type { Judged } from "./judge.ts";
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

/** A change that is made, and by which right. */
export interface Startable {
  readonly judged: Judged;
  readonly change: Change;
}

/**
 * The started run and the changes in it, or why it was not started. Changes that no longer stand
 * are in neither.
 */
export async function startBatch(
  judged: readonly Judged[],
  whole: WholePlan | null,
  context: StartContext,
): Promise<Result<{ readonly run: Run; readonly started: readonly Startable[] }, string>> {
  if (whole) {
    const { batch, desired } = pickWhole(judged, whole.plan, context);
    return start(whole.plan, desired, batch, whole.overrides, context);
  }
  const found = await runBounded(judged, LOOKS_AT_ONCE, async (one) => ({
    judged: one,
    change: await changeSafely(one, context),
  }));
  const startable = found.flatMap(({ judged: one, change }) =>
    change === null ? [] : [{ judged: one, change }],
  );
  if (startable.length === 0) return failure("none of the changes is as it was judged any more");
  const { plan, desired } = await makePlan(startable, context);
  return start(plan, desired, startable, [], context);
}

function start(
  plan: Plan,
  desired: DesiredState,
  started: readonly Startable[],
  overrides: readonly Guard[],
  { runs, commit }: StartContext,
): Result<{ readonly run: Run; readonly started: readonly Startable[] }, string> {
  const pulls = new Set(
    started.map(({ judged: { approval } }) =>
      approval.kind === "reviewed" ? approval.pull : null,
    ),
  );
  const [pull] = pulls;
  const run = runs.start({
    plan,
    desired,
    overrides,
    origin: { pull: pulls.size === 1 ? (pull ?? null) : null, commit, runUrl: null },
  });
  return run.ok ? success({ run: run.value, started }) : run;
}

/** The changes of a plan that is started as it was shown. */
function pickWhole(
  judged: readonly Judged[],
  plan: Plan,
  context: StartContext,
): { readonly batch: readonly Startable[]; readonly desired: DesiredState } {
  const byName = new Map(judged.map((one) => [one.state.name, one]));
  const batch = plan.changes.map((change): Startable => {
    const one = byName.get(change.namespace);
    if (!one) throw new Error(`'${change.namespace}' of plan ${plan.fingerprint} was not judged`);
    return { judged: one, change };
  });
  return { batch, desired: desiredOf(judged, context) };
}

function desiredOf(judged: readonly Judged[], { environment, commit }: StartContext): DesiredState {
  const namespaces = judged
    .map(({ spec }) => spec)
    .toSorted((left, right) => compareText(left.name, right.name));
  return { environment, commit, namespaces };
}

async function changeSafely(judged: Judged, context: StartContext): Promise<Change | null> {
  try {
    return await changeFor(judged, context);
  } catch (error) {
    context.onError(judged.state.name, error);
    return null;
  }
}

async function changeFor(
  { state, spec, pending, approval }: Judged,
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
async function makePlan(
  startable: readonly Startable[],
  context: StartContext,
): Promise<{ readonly plan: Plan; readonly desired: DesiredState }> {
  const byName = new Map(startable.map((one) => [one.change.namespace, one]));
  const inBatch = startable.map(({ judged: { spec } }) => ({
    ...spec,
    dependsOn: spec.dependsOn.filter((name) => byName.has(name)),
  }));
  const changes = orderByDependency(inBatch).names.flatMap(
    (name) => byName.get(name)?.change ?? [],
  );
  const { environment, commit } = context;
  const desired = desiredOf(
    startable.map(({ judged }) => judged),
    context,
  );
  const epochs = new Map(startable.map(({ change }) => [change.namespace, change.epoch]));
  const inSync: readonly InSync[] = [];
  const fingerprint = await fingerprintPlan({ desired, epochs, changes });
  return {
    plan: {
      version: PLAN_VERSION,
      environment,
      commit,
      changes,
      inSync,
      blocks: [],
      notices: [],
      fingerprint,
    },
    desired,
  };
}
