/**
 * The last phase of a pass: what becomes of every pending change, over the whole environment, and
 * the start of those that may be made.
 *
 * Guards on the whole plan need all changes together, so nothing is started before every due
 * namespace was looked at. An environment has one run at a time: what does not fit into it, or
 * comes later, waits for the next.
 */
import { formatQuantity } from "../model/figures.ts";
import { orderByDependency } from "../planning/execution-order.ts";
import { RECONCILER } from "../runs/run-record.ts";
import type { EnvironmentState } from "./environment-state.ts";
import type { WholePlan } from "./find-approvals.ts";
import {
  describeDifference,
  INTERNAL_ERROR,
  type Judged,
  type PendingState,
  type Verdict,
} from "./judge.ts";
import { type DecideContext, isOpenIn, judgeAll, type Ruling, shows } from "./judge-all.ts";
import { conditionOf, type NamespaceState } from "./namespace-state.ts";
import type { ReconcilePorts } from "./ports.ts";
import { startBatch } from "./start-batch.ts";
import { isWatching, trackDrifts } from "./track-drifts.ts";

/** Changes that one run makes. */
const BATCH_MAX = 100;
/** Longest time since the last look at a change that is started. */
const FRESH_MS = 10 * 60_000;

/** `refresh`: look once more at what is about to be started. */
export type Decided = { readonly next: "done" | "refresh"; readonly runsStarted: number };

export async function decidePending(
  env: EnvironmentState,
  context: DecideContext,
): Promise<Decided> {
  const { store, now } = context.ports;
  const pendings = adoptOwnRuns(readPending(context.ports), context.ports, env);
  if (pendings.length === 0) return { next: "done", runsStarted: 0 };
  const { rulings, wholePlans } = await judgeAll(env, pendings, context);
  const appliable = rulings.filter(({ verdict }) => verdict.kind === "apply");
  const stale = appliable.filter(({ pending }) => Math.abs(now() - pending.lookedAt) > FRESH_MS);
  if (stale.length > 0 && !env.pass.refreshed) {
    store.write(stale.map(({ state }) => ({ ...state, dueAt: 0, pass: env.pass.number - 1 })));
    return { next: "refresh", runsStarted: 0 };
  }
  const { chosen, whole } = chooseBatch(appliable, wholePlans);
  const { started, failed } =
    chosen.length === 0 ? NOTHING_STARTED : await start(env, chosen, whole, context);
  const others = rulings
    .filter(({ state }) => !started.has(state.name))
    .map((ruling) =>
      failed.has(ruling.state.name) ? { ...ruling, verdict: INTERNAL_ERROR } : ruling,
    );
  writeRulings(env, others, context.ports);
  return { next: "done", runsStarted: started.size > 0 ? 1 : 0 };
}

function readPending({ store }: ReconcilePorts): PendingState[] {
  return store.pending().flatMap((state) => {
    const { spec, pending, silences, run } = state;
    return spec !== null && pending !== null && silences === 0 && run === null
      ? [{ state, spec, pending }]
      : [];
  });
}

/** A tick that was killed between a start and its note finds its run again. */
function adoptOwnRuns(
  pendings: readonly PendingState[],
  ports: ReconcilePorts,
  env: EnvironmentState,
): PendingState[] {
  return pendings.filter(({ state }) => {
    const rival = ports.runs.findRival([state.name]);
    if (rival?.requestedBy !== RECONCILER || rival.environment !== env.environment) return true;
    if (!isOpenIn(rival, state.name)) return true;
    const { pull } = rival.origin ?? { pull: null };
    const approval =
      pull === null
        ? state.approval
        : { run: rival.id, shapeDigest: state.shapeDigest ?? "", pull };
    ports.store.write([{ ...state, run: rival.id, pending: null, approval, dueAt: 0 }]);
    return false;
  });
}

/**
 * A whole reviewed plan when all of it may be made, as it was shown; else as many changes as fit,
 * each after what it depends on.
 */
function chooseBatch(
  appliable: readonly Ruling[],
  wholePlans: readonly WholePlan[],
): { readonly chosen: Ruling[]; readonly whole: WholePlan | null } {
  const byName = new Map(appliable.map((ruling) => [ruling.state.name, ruling]));
  for (const whole of wholePlans) {
    const all = whole.plan.changes.flatMap(({ namespace }) => byName.get(namespace) ?? []);
    // A release is for one run of its plan alone: with overrides nothing else may come along, and
    // nothing may be left out.
    if (all.length === whole.plan.changes.length) return { chosen: all, whole };
  }
  const released = wholePlans.filter(({ overrides }) => overrides.length > 0);
  const free = appliable.filter(
    ({ state }) => !released.some(({ plan }) => shows(plan, state.name)),
  );
  const specs = free.map(({ spec }) => ({
    ...spec,
    dependsOn: spec.dependsOn.filter((name) => byName.has(name)),
  }));
  const chosen = orderByDependency(specs)
    .names.slice(0, BATCH_MAX)
    .flatMap((name) => byName.get(name) ?? []);
  return { chosen, whole: null };
}

interface Started {
  /** Namespaces that are in the started run. */
  readonly started: ReadonlySet<string>;
  /** Namespaces that failed unexpectedly. */
  readonly failed: ReadonlySet<string>;
}

const NOTHING_STARTED: Started = { started: new Set(), failed: new Set() };

async function start(
  env: EnvironmentState,
  chosen: readonly Ruling[],
  whole: WholePlan | null,
  context: DecideContext,
): Promise<Started> {
  const { ports } = context;
  const failed = new Set<string>();
  const outcome = await startBatch(chosen, whole, {
    live: context.live,
    basisFor: context.basisFor,
    spend: context.spend,
    environment: env.environment,
    commit: env.commit,
    runs: ports.runs,
    onError: (name, error) => {
      failed.add(name);
      ports.onError(name, error);
    },
  });
  if (!outcome.ok) {
    // Changes that no longer hold are looked at again. The reason goes into the log, since the next
    // pass finds it by itself.
    ports.store.write(chosen.map(({ state }) => ({ ...state, dueAt: 0 })));
    return { ...NOTHING_STARTED, failed };
  }
  const { run, started } = outcome.value;
  const now = ports.now();
  const states = started.map(({ judged }): NamespaceState => {
    const { state, approval } = judged;
    const running: NamespaceState = {
      ...state,
      run: run.id,
      pending: null,
      dueAt: 0,
      approval:
        approval.kind === "reviewed"
          ? { run: run.id, shapeDigest: state.shapeDigest ?? "", pull: approval.pull }
          : null,
      differences: track(env, judged, { kind: "apply" }, ports),
    };
    const message = `Run ${run.id} applies ${judged.pending.kind} (${formatQuantity(judged.pending.rowsMoved, "row")})`;
    return {
      ...running,
      condition: conditionOf(running, now, { type: "Reconciling", reason: "Applying", message }),
    };
  });
  ports.store.write(states);
  return { started: new Set(states.map(({ name }) => name)), failed };
}

function writeRulings(
  env: EnvironmentState,
  rulings: readonly Ruling[],
  ports: ReconcilePorts,
): void {
  const changed: NamespaceState[] = [];
  for (const ruling of rulings) {
    const { verdict } = ruling;
    const state = ports.store.read(ruling.state) ?? ruling.state;
    const differences = track(env, { ...ruling, state }, verdict, ports);
    const held = verdict.kind === "hold" ? verdict : QUEUED;
    const next: NamespaceState = {
      ...state,
      differences,
      // A change that somebody's run is about is a different one once that run has ended.
      dueAt: isWatching(differences) || held.reason === "InRun" ? 0 : state.dueAt,
      condition: conditionOf(state, ports.now(), held),
    };
    if (JSON.stringify(next) !== JSON.stringify(state)) changed.push(next);
  }
  if (changed.length > 0) ports.store.write(changed);
}

const QUEUED = {
  type: "Reconciling",
  reason: "Queued",
  message: "Waits for its turn",
  nextTryAt: null,
} as const;

/** The pass that counts is that of the look: two decisions about one look do not make two looks. */
function track(
  env: EnvironmentState,
  judged: Judged,
  verdict: Verdict,
  ports: ReconcilePorts,
): NamespaceState["differences"] {
  const found = describeDifference(judged, verdict);
  const { state } = judged;
  return trackDrifts(state.differences, found === null ? [] : [found], {
    environment: env.environment,
    namespace: state.name,
    object: state.object,
    pass: state.pass,
    commit: env.commit,
    now: ports.now(),
    record: ports.record,
  });
}
