/**
 * The last phase of a pass: what becomes of every pending change, over the whole environment, and
 * the start of those that may be made.
 *
 * Guards on the whole plan need all changes together, so nothing is started before every due
 * namespace was looked at. An environment has one run at a time: what does not fit into it, or
 * comes later, waits for the next.
 */
import { canonicalJson } from "../model/canonical.ts";
import { formatQuantity } from "../model/figures.ts";
import { orderByDependency } from "../model/execution-order.ts";
import { RECONCILER } from "../runs/run-record.ts";
import type { EnvironmentState } from "./environment-state.ts";
import { type DecideContext, isOpenIn, judgeAll, shows, type WholePlan } from "./judge-all.ts";
import { applyMerged } from "./follow-policies.ts";
import { describeDifference, faultsUnder } from "./describe-difference.ts";
import { type Case, INTERNAL_ERROR, isNew, openCase } from "./judge.ts";
import { countHeal, healedKind } from "./heal-attempts.ts";
import { conditionOf, type NamespaceState, type PendingChange } from "./namespace-state.ts";
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
  await applyMerged(env, context);
  const cases = adoptOwnRuns(openCases(context.ports), context.ports, env);
  if (cases.length === 0) return { next: "done", runsStarted: 0 };
  const { judged, wholePlans } = await judgeAll(env, cases, context);
  const appliable = judged.filter(({ verdict }) => verdict.kind === "apply");
  const stale = appliable.filter(({ pending }) => Math.abs(now() - pending.lookedAt) > FRESH_MS);
  if (stale.length > 0 && !env.pass.refreshed) {
    store.write(stale.map(({ state }) => ({ ...state, dueAt: 0, pass: env.pass.number - 1 })));
    return { next: "refresh", runsStarted: 0 };
  }
  const { chosen, whole } = chooseBatch(appliable, wholePlans);
  const { started, failed } =
    chosen.length === 0 ? NOTHING_STARTED : await start(env, chosen, whole, context);
  const others = judged
    .filter(({ state }) => !started.has(state.name))
    .map((one) => (failed.has(one.state.name) ? { ...one, verdict: INTERNAL_ERROR } : one));
  writeVerdicts(env, others, context.ports);
  return { next: "done", runsStarted: started.size > 0 ? 1 : 0 };
}

function openCases({ store }: ReconcilePorts): Case[] {
  return store.pending().flatMap((state) => {
    const { spec, pending, silences, run } = state;
    return spec !== null && pending !== null && silences === 0 && run === null
      ? [openCase(state, spec, pending)]
      : [];
  });
}

/** A tick that was killed between a start and its note finds its run again. */
function adoptOwnRuns(
  cases: readonly Case[],
  ports: ReconcilePorts,
  env: EnvironmentState,
): Case[] {
  return cases.filter(({ state, pending }) => {
    const rival = ports.runs.findRival([state.name]);
    if (rival?.requestedBy !== RECONCILER || rival.environment !== env.environment) return true;
    if (!isOpenIn(rival, state.name)) return true;
    const { pull } = rival.origin ?? { pull: null };
    const heals = isNew(state, pending) ? {} : noteHeal(state, pending, rival.startedAt);
    const approval =
      pull === null
        ? state.approval
        : { run: rival.id, shapeDigest: state.shapeDigest ?? "", pull };
    const adopted = { ...state, ...heals, run: rival.id, pending: null, approval, dueAt: 0 };
    ports.store.write([adopted]);
    return false;
  });
}

/** Counted with the start, so that a tick that is killed after it has counted it. */
function noteHeal(
  { heals }: NamespaceState,
  { cause }: PendingChange,
  now: number,
): Pick<NamespaceState, "heals" | "healing"> {
  const kind = healedKind(cause);
  return { heals: countHeal(heals, kind, now), healing: kind };
}

/**
 * A whole reviewed plan when all of it may be made, as it was shown; else as many changes as fit,
 * each after what it depends on.
 */
function chooseBatch(
  appliable: readonly Case[],
  wholePlans: readonly WholePlan[],
): { readonly chosen: Case[]; readonly whole: WholePlan | null } {
  const byName = new Map(appliable.map((one) => [one.state.name, one]));
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
  chosen: readonly Case[],
  whole: WholePlan | null,
  context: DecideContext,
): Promise<Started> {
  const { ports } = context;
  const failed = new Set<string>();
  const outcome = await startBatch(chosen, whole, {
    liveAccess: context.liveAccess,
    basisFor: context.basisFor,
    plansAwaitedBy: context.plansAwaitedBy,
    spend: context.spend,
    environment: env.environment,
    commit: env.commit,
    runs: ports.runs,
    now: () => ports.now(),
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
  const states = started.map((one): NamespaceState => {
    const { state, approval, pending } = one;
    const running: NamespaceState = {
      ...state,
      ...(approval.kind === "heals" ? noteHeal(state, pending, now) : { healing: null }),
      awaited: [],
      run: run.id,
      pending: null,
      dueAt: 0,
      approval:
        approval.kind === "reviewed"
          ? { run: run.id, shapeDigest: state.shapeDigest ?? "", pull: approval.pull }
          : null,
      differences: track(env, one, ports),
      faults: faultsUnder(one),
    };
    const message = `Run ${run.id} applies ${pending.kind} (${formatQuantity(pending.rowsMoved, "row")})`;
    return {
      ...running,
      condition: conditionOf(running, now, { type: "Reconciling", reason: "Applying", message }),
    };
  });
  ports.store.write(states);
  return { started: new Set(states.map(({ name }) => name)), failed };
}

function writeVerdicts(env: EnvironmentState, cases: readonly Case[], ports: ReconcilePorts): void {
  const changed: NamespaceState[] = [];
  for (const one of cases) {
    const { verdict } = one;
    const stored = ports.store.read(one.state) ?? one.state;
    const state = { ...stored, awaited: one.state.awaited ?? [] };
    const differences = track(env, { ...one, state }, ports);
    const held = verdict.kind === "hold" ? verdict : QUEUED;
    const next: NamespaceState = {
      ...state,
      differences,
      faults: faultsUnder({ ...one, state }),
      // A change that somebody's run is about is a different one once that run has ended.
      dueAt: isWatching(differences) || held.reason === "InRun" ? 0 : state.dueAt,
      condition: conditionOf(state, ports.now(), held),
    };
    if (canonicalJson(next) !== canonicalJson(stored)) changed.push(next);
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
  one: Case,
  ports: ReconcilePorts,
): NamespaceState["differences"] {
  const found = describeDifference(one);
  const { state } = one;
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
