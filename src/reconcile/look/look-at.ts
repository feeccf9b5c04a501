/**
 * One look at one namespace: read it, and note what it is, what it needs, and what is wrong with
 * it. Starts nothing.
 *
 * | the namespace                  | becomes                                                                    |
 * |--------------------------------|----------------------------------------------------------------------------|
 * | does not answer                | asked again later and later; what was decided about it waits               |
 * | is out of step                 | held, until it is repaired: nothing is concluded or applied                |
 * | runs an operation              | followed at every tick: reading it also wakes one that lost its alarm      |
 * | runs one that must wait        | held after its wave, and let go on when it may: see look-at-running.ts     |
 * | waits in a run                 | followed at every tick                                                     |
 * | was changed behind the journal | held, until it is put back or its manifest changes                         |
 * | needs a change                 | pending: `decide` says what becomes of it                                  |
 * | is in sync                     | ready, or at fault by what the audit found                                 |
 *
 * A run that was started here and has ended is settled first: what counts as a failure, when it is
 * tried again, and what ends the count.
 */
import { WATCHED_AGE_MAX_MS } from "../../live/counts-age.ts";
import type { Run, RunAction } from "../../model/api.ts";
import { describeDisorder, remedyOf } from "../../model/disorder.ts";
import type { LiveFailure, LiveNamespace } from "../../model/live.ts";
import type { Disorder } from "../../model/repair.ts";
import { runIdOf } from "../../model/run-operation.ts";
import { liveRows } from "../../planning/decide-change.ts";
import { CANCELLED_BEFORE_START } from "../../runs/run-record.ts";
import {
  conditionOf,
  type FailedAttempts,
  type NamespaceState,
  RUN_FAILURES_MAX,
} from "../namespace-state.ts";
import { endHeal, uncountHeal } from "../heal-attempts.ts";
import type { ReconcilePorts } from "../ports.ts";
import { retryDelayMs } from "../schedule.ts";
import type { FoundDrift } from "../track-drifts.ts";
import { capacityAsKnown } from "./capacity-fault.ts";
import { auditFaults, memberFaults, relapseFaults, unreadableFault } from "./find-faults.ts";
import { settleAtRest } from "./look-at-rest.ts";
import { followOperation, waitInRun } from "./look-at-running.ts";
import { type LookContext, rest, track } from "./note-look.ts";

/** Looks without an answer before a namespace counts as stalled. */
const SILENCES_MAX = 3;

/** Conditions of a namespace that gave no account of itself; all others are `Unreadable`. */
const SILENCE_REASONS: Readonly<Record<string, string>> = {
  unbound: "Unbound",
  notShardable: "NotShardable",
  registryLost: "RegistryLost",
  outOfStep: "OutOfStep",
};

/**
 * The state after the look; null when no manifest declares it and nothing is there. The only writes
 * are the caller's.
 */
export async function lookAt(
  before: NamespaceState,
  context: LookContext,
): Promise<NamespaceState | null> {
  const { ports, env, spend } = context;
  spend(1);
  const described = await ports.liveAccess.describe(before, WATCHED_AGE_MAX_MS);
  if (!described.ok) return noteSilence(before, described.failure, context);
  const live = described.value;
  if (live.disorder) return holdDisordered(before, { ...live, disorder: live.disorder }, context);
  ports.registries.note(before, {
    epoch: live.epoch,
    members: live.layout.members,
    at: ports.now(),
  });
  const settled = settleRun(
    { ...before, silences: 0, observedCommit: env.commit, pass: env.pass.number },
    live,
    context,
  );
  const state: NamespaceState = {
    ...settled,
    rows: liveRows(live),
    observedDigest: settled.specDigest,
  };
  const { operation } = live;
  if (operation?.state === "running")
    return followOperation(state, { ...live, operation }, context);
  if (state.run !== null) return waitInRun({ ...state, progress: null }, live, context);
  return settleAtRest({ ...state, progress: null }, live, context);
}

function noteSilence(
  before: NamespaceState,
  reason: LiveFailure,
  context: LookContext,
): NamespaceState {
  const { ports, env } = context;
  const now = ports.now();
  const silences = before.silences + 1;
  const nextTryAt = now + retryDelayMs(silences, ports.random);
  const state = {
    ...before,
    silences,
    pass: env.pass.number,
    dueAt: silences === 1 ? 0 : nextTryAt,
  };
  const fault = unreadableFault(reason, state);
  const isOutOfStep = fault.kind !== "unreadable";
  const needsPerson =
    isOutOfStep ||
    reason.kind === "unbound" ||
    reason.kind === "notShardable" ||
    silences >= SILENCES_MAX;
  return {
    ...state,
    faults: track(
      state,
      before.spec === null
        ? []
        : [fault, ...capacityAsKnown(before.faults), ...relapseFaults(state)],
      context,
    ),
    condition: conditionOf(state, now, {
      type: needsPerson ? "Stalled" : "Reconciling",
      reason:
        SILENCE_REASONS[fault.kind === "unreadable" ? reason.kind : fault.kind] ?? "Unreadable",
      message: `${fault.reason}: ${reason.message}`,
      nextTryAt,
    }),
  };
}

type Disordered = LiveNamespace & { readonly disorder: Disorder };

export function holdDisordered(
  before: NamespaceState,
  live: Disordered,
  context: LookContext,
): NamespaceState {
  const { env, ports } = context;
  const { disorder } = live;
  const what = describeDisorder(disorder);
  if (before.run !== null)
    ports.runs.detach(
      before.run,
      before.name,
      `Nothing is applied here until it is repaired: ${what}.`,
    );
  const state: NamespaceState = {
    ...before,
    silences: 0,
    observedCommit: env.commit,
    observedDigest: before.specDigest,
    pass: env.pass.number,
    pending: null,
    progress: null,
    // The registry in which a run left things unfinished is no more.
    approval: disorder.kind === "registryLost" ? null : before.approval,
  };
  const found = [
    disorderFault(live),
    ...otherFaults(live, state),
    ...relapseFaults(state),
    ...auditFaults(state.audit, false),
  ];
  const message = `${what}. Nothing is planned or applied here until it is repaired. ${disorder.message}`;
  const reason = disorder.kind === "registryLost" ? "RegistryLost" : "OutOfStep";
  return rest(
    { ...state, faults: track(state, found, context) },
    { type: "Stalled", reason, message },
    context,
  );
}

/** The drift, with the way out. */
export function disorderFault({ name, disorder }: Disordered): FoundDrift {
  return {
    kind: disorder.kind,
    reason: describeDisorder(disorder),
    detail: disorder.message,
    remedy: remedyOf(disorder, name),
  };
}

/**
 * Of members that the disorder does not speak of. The members that a lost registry names may be
 * none.
 */
function otherFaults(live: Disordered, known: NamespaceState): FoundDrift[] {
  const { disorder, members } = live;
  if (disorder.kind === "registryLost") return [];
  return memberFaults(
    { ...live, members: members.filter(({ name }) => !disorder.members.includes(name)) },
    known,
  );
}

/**
 * A change that was given up is tried once more after so long, in case its cause was none that
 * shows; then after twice as long, up to a day.
 */
const GIVEN_UP_MS_FIRST = 6 * 3_600_000;
const GIVEN_UP_MS_LONGEST = 24 * 3_600_000;

/** Takes note of how the run that was started here has ended for this namespace. */
function settleRun(
  state: NamespaceState,
  live: LiveNamespace,
  { ports }: LookContext,
): NamespaceState {
  if (state.run === null) return forgetAttempts(state, live);
  const run = ports.runs.find(state.run);
  const action = run?.actions.find(({ namespace }) => namespace === state.name);
  if (run && (action?.state === "pending" || action?.state === "running")) return state;
  const ended: NamespaceState = {
    ...state,
    ...settleHeal(state, action, ports.now()),
    run: null,
    approval: isLeftBy(run, action, live) ? state.approval : null,
  };
  if (!run || !action || action.state === "done") return { ...ended, attempts: null };
  // A failed dependency counts its own failures, and a change that missed its window has not
  // failed.
  if (action.state === "notExecuted" && action.error !== CANCELLED_BEFORE_START) return ended;
  return {
    ...ended,
    attempts: countFailure(state, live, { run, error: action.error ?? "" }, ports),
  };
}

/**
 * A heal whose turn never came, as when its window closed or its dependency failed, was none. One
 * of misplaced rows is judged by a current audit.
 */
function settleHeal(
  { heals, healing, auditDueAt }: NamespaceState,
  action: RunAction | undefined,
  now: number,
): Partial<NamespaceState> {
  if (!healing) return { healing: null };
  const isUntouched = action?.state === "notExecuted" && action.operation === null;
  if (isUntouched) return { heals: uncountHeal(heals, healing), healing: null };
  return {
    heals: endHeal(heals, healing, now),
    healing: null,
    auditDueAt: healing === "misplaced" ? 0 : auditDueAt,
  };
}

/**
 * True when live is as the run's own operation has left it. What others have made of it since, as
 * after a restore of the Worker's storage to a time when the run went on, nobody has reviewed.
 */
function isLeftBy(
  run: Run | null,
  action: RunAction | undefined,
  { epoch, operation }: LiveNamespace,
): boolean {
  if (!run) return false;
  if (operation !== null && runIdOf(operation.correlationId) === run.id) return true;
  return action?.operation?.epoch === epoch;
}

function countFailure(
  state: NamespaceState,
  live: LiveNamespace,
  { run, error }: { readonly run: Run; readonly error: string },
  { now, random }: ReconcilePorts,
): FailedAttempts {
  const wasCancelled = run.state === "cancelled";
  // Cancelling a run means that it should stay cancelled.
  const counted = (state.attempts?.failures ?? 0) + 1;
  const failures = wasCancelled ? Math.max(RUN_FAILURES_MAX, counted) : counted;
  const delayMs =
    failures >= RUN_FAILURES_MAX ? givenUpMs(failures) : retryDelayMs(failures, random);
  return {
    failures,
    nextTryAt: now() + delayMs,
    lastError: wasCancelled ? `run ${run.id} was cancelled` : error,
    specDigest: state.specDigest,
    epoch: live.operation?.state === "running" ? null : live.epoch,
  };
}

function givenUpMs(failures: number): number {
  const doublings = Math.min(failures - RUN_FAILURES_MAX, 10);
  return Math.min(GIVEN_UP_MS_LONGEST, GIVEN_UP_MS_FIRST * 2 ** doublings);
}

/**
 * Another spec or somebody else's epoch is a new situation; a change of other manifests is none.
 */
function forgetAttempts(state: NamespaceState, live: LiveNamespace): NamespaceState {
  const { attempts } = state;
  if (attempts === null) return state;
  if (attempts.epoch === null && live.operation?.state !== "running")
    return { ...state, attempts: { ...attempts, epoch: live.epoch } };
  const isSameEpoch = attempts.epoch === null || attempts.epoch === live.epoch;
  const isSame = isSameEpoch && attempts.specDigest === state.specDigest;
  return isSame ? state : { ...state, attempts: null };
}
