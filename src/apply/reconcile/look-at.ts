/**
 * One look at one namespace: read it, and note what it is, what it needs, and what is wrong with it. Starts nothing.
 *
 * | the namespace                  | becomes                                                                    |
 * |--------------------------------|----------------------------------------------------------------------------|
 * | does not answer                | asked again later and later; what was decided about it waits               |
 * | runs an operation              | followed at every tick: being looked at also pokes one that lost its alarm |
 * | runs one that must wait        | held after its wave, and let go on when it may: see hold-followed.ts       |
 * | waits in a run                 | followed at every tick                                                     |
 * | was changed behind the journal | held, until it is put back or its manifest changes                         |
 * | needs a change                 | pending: `decide` says what becomes of it                                  |
 * | is in sync                     | ready, or at fault by what the audit found                                 |
 */
import type { Run } from "../../core/api.ts";
import type { ConditionType } from "../../core/drift.ts";
import type { LiveFailure, LiveNamespace } from "../../core/live.ts";
import { formatQuantity } from "../../core/figures.ts";
import type { OperationStatus } from "../../core/operation.ts";
import { checkSafety } from "../../core/planning/check-safety.ts";
import { liveRows } from "../../core/planning/decide-change.ts";
import type { NamespaceSpec } from "../../core/spec.ts";
import { describePause } from "../hold-operation.ts";
import { CANCELLED_BEFORE_START } from "../run-record.ts";
import { auditNamespace } from "./audit.ts";
import type { EnvironmentState } from "./environment-state.ts";
import {
  auditFaults,
  findForgedRegistry,
  forgedFault,
  progressMark,
  remainingSkewFault,
  stalledFault,
  unhealthyFault,
  unmanagedFault,
  unreadableFault,
} from "./find-faults.ts";
import { holdFollowed } from "./hold-followed.ts";
import { planFrom, type InspectContext, type WantedChange } from "./inspect.ts";
import {
  type AuditFinding,
  conditionOf,
  digestLayout,
  type FailedAttempts,
  type NamespaceState,
  type PendingChange,
} from "./namespace-state.ts";
import type { ReconcilePorts } from "./ports.ts";
import { AUDIT_MS_MAX, auditIntervalMs, checkIntervalMs, nextTurn, retryDelayMs } from "./schedule.ts";
import { type FoundDrift, isWatching, trackDrifts } from "./track-drifts.ts";

/** Runs of one change that may fail in a row before a person is needed. */
export const RUN_FAILURES_MAX = 5;
/** A change that was given up is tried once more after so long, in case its cause was none that shows. */
export const GIVEN_UP_MS = 6 * 3_600_000;
/** Looks without an answer before a namespace counts as stalled. */
const SILENCES_MAX = 3;
/** An audit that found something, or could not be made, is repeated after so long. */
const AUDIT_AGAIN_MS = 3_600_000;

export interface LookContext extends InspectContext {
  readonly env: EnvironmentState;
  readonly ports: ReconcilePorts;
  /** Namespaces with a manifest. */
  readonly managed: number;
  /** Takes one audit from the budget; false when it is used up. */
  readonly takeAudit: () => boolean;
}

type Following = LiveNamespace & { readonly operation: OperationStatus };
type ConditionChange = { readonly type: ConditionType; readonly reason: string; readonly message: string };

/** The state after the look. The only writes are the caller's. */
export async function lookAt(before: NamespaceState, context: LookContext): Promise<NamespaceState> {
  const { ports, env, spend } = context;
  spend(1);
  const described = await ports.live.describe(before);
  if (!described.ok) return noteSilence(before, described.failure, context);
  const live = described.value;
  const settled = settleRun({ ...before, silences: 0, observedCommit: env.commit, pass: env.pass.number }, live, context);
  const state: NamespaceState = { ...settled, rows: liveRows(live), observedDigest: settled.specDigest };
  const { operation } = live;
  if (operation?.state === "running") return followOperation(state, { ...live, operation }, context);
  if (state.run !== null) return waitInRun({ ...state, progress: null }, live, context);
  return settleAtRest({ ...state, progress: null }, live, context);
}

function noteSilence(before: NamespaceState, reason: LiveFailure, context: LookContext): NamespaceState {
  const { ports, env } = context;
  const now = ports.now();
  const silences = before.silences + 1;
  const nextTryAt = now + retryDelayMs(silences, ports.random);
  const state = { ...before, silences, pass: env.pass.number, dueAt: silences === 1 ? 0 : nextTryAt };
  const needsPerson = reason.kind === "unbound" || reason.kind === "notShardable" || silences >= SILENCES_MAX;
  const fault = unreadableFault(reason, state);
  return {
    ...state,
    faults: track(state, before.spec === null ? [] : [fault], context),
    condition: conditionOf(state, now, {
      type: needsPerson ? "Stalled" : "Reconciling",
      reason: reason.kind === "unbound" ? "Unbound" : reason.kind === "notShardable" ? "NotShardable" : "Unreadable",
      message: `${fault.reason}: ${reason.message}`,
      nextTryAt,
    }),
  };
}

/** Takes note of how the run that was started here has ended for this namespace. */
function settleRun(state: NamespaceState, live: LiveNamespace, { ports, env }: LookContext): NamespaceState {
  if (state.run === null) return forgetAttempts(state, live, env.commit);
  const run = ports.runs.find(state.run);
  const action = run?.actions.find(({ namespace }) => namespace === state.name);
  if (run && (action?.state === "pending" || action?.state === "running")) return state;
  const ended = { ...state, run: null };
  if (!run || !action || action.state === "done") return { ...ended, attempts: null };
  // What it depended on counts its own failures, and what missed its window has not failed.
  if (action.state === "notExecuted" && action.error !== CANCELLED_BEFORE_START) return ended;
  return { ...ended, attempts: countFailure(state, live, { run, error: action.error ?? "", commit: env.commit }, ports) };
}

function countFailure(
  state: NamespaceState,
  live: LiveNamespace,
  { run, error, commit }: { readonly run: Run; readonly error: string; readonly commit: string | null },
  { now, random }: ReconcilePorts,
): FailedAttempts {
  const wasCancelled = run.state === "cancelled";
  // Who cancels a run wants it to stay so.
  const failures = wasCancelled ? RUN_FAILURES_MAX : (state.attempts?.failures ?? 0) + 1;
  const delayMs = failures >= RUN_FAILURES_MAX ? GIVEN_UP_MS : retryDelayMs(failures, random);
  return {
    failures,
    nextTryAt: now() + delayMs,
    lastError: wasCancelled ? `run ${run.id} was cancelled` : error,
    specDigest: state.specDigest,
    commit,
    epoch: live.operation?.state === "running" ? null : live.epoch,
  };
}

/** New manifests or somebody else's epoch are a new situation. */
function forgetAttempts(state: NamespaceState, live: LiveNamespace, commit: string | null): NamespaceState {
  const { attempts } = state;
  if (attempts === null) return state;
  if (attempts.epoch === null && live.operation?.state !== "running")
    return { ...state, attempts: { ...attempts, epoch: live.epoch } };
  const isSameEpoch = attempts.epoch === null || attempts.epoch === live.epoch;
  const isSame = isSameEpoch && attempts.specDigest === state.specDigest && attempts.commit === commit;
  return isSame ? state : { ...state, attempts: null };
}

async function followOperation(before: NamespaceState, live: Following, context: LookContext): Promise<NamespaceState> {
  const operation = await holdFollowed(before, live, context);
  const seen = { ...live, operation };
  const now = context.ports.now();
  const mark = progressMark(seen) ?? "";
  const isSame = before.progress?.mark === mark && before.progress.since <= now;
  const progress = isSame ? before.progress : { mark, since: now };
  const state: NamespaceState = { ...before, progress, dueAt: 0, pending: null };
  const stalled = stalledFault(seen, progress, now);
  if (stalled.length > 0 && state.run !== null) {
    const reason = `The operation does not get on (${stalled[0]?.detail ?? ""}). It goes on in the namespace; the run does not wait for it.`;
    context.ports.runs.detach(state.run, state.name, reason);
  }
  return {
    ...state,
    faults: track(state, [...unhealthyFault(live), ...stalled, ...healing(state, auditFaults(state.audit, true))], context),
    differences: state.run === null ? state.differences : markHealing(state.differences),
    condition: conditionOf(state, now, explainOperation(state, operation, stalled[0]?.detail ?? null)),
  };
}

function explainOperation({ run }: NamespaceState, operation: OperationStatus, stalled: string | null): ConditionChange {
  const { id, kind, step } = operation;
  const what = `Operation ${id} (${kind}) is in step ${step}`;
  if (stalled !== null) return { type: "Stalled", reason: "OperationStalled", message: `${what}: ${stalled}` };
  const pause = describePause(operation);
  if (pause !== null) return { type: "Reconciling", reason: "Paused", message: `${what}, and stands still. ${pause}` };
  return { type: "Reconciling", reason: run === null ? "OperationRunning" : "Applying", message: what };
}

function waitInRun(before: NamespaceState, live: LiveNamespace, context: LookContext): NamespaceState {
  const state: NamespaceState = { ...before, dueAt: 0, pending: null };
  letGoOutsideWindow(state, context);
  const message = `Run ${state.run ?? ""} is going to change it`;
  return {
    ...state,
    faults: track(state, [...unhealthyFault(live), ...healing(state, auditFaults(state.audit, true))], context),
    differences: markHealing(state.differences),
    condition: conditionOf(state, context.ports.now(), { type: "Reconciling", reason: "Applying", message }),
  };
}

/** A run that was started here does not keep the environment until tomorrow's window: what it has not started waits for another run. */
function letGoOutsideWindow({ name, run: id, spec }: NamespaceState, { ports }: LookContext): void {
  const run = id === null ? null : ports.runs.find(id);
  if (!run || !spec || run.overrides.includes("window") || ports.isWindowOpen(spec.policy.windows, ports.now())) return;
  const isPending = run.actions.some(({ namespace, state }) => namespace === name && state === "pending");
  if (isPending) ports.runs.detach(run.id, name, "Its window closed before its turn came: it waits for the next.");
}

async function settleAtRest(before: NamespaceState, live: LiveNamespace, context: LookContext): Promise<NamespaceState> {
  const layoutDigest = await digestLayout(live.layout);
  const forged = findForgedRegistry(live, layoutDigest, before);
  const audited = await auditIfDue(
    { ...before, auditDueAt: auditTurn(before, live.epoch, layoutDigest, context) },
    live,
    context,
  );
  if (forged !== null) return holdForged(audited, live, forged, context);
  const state: NamespaceState = { ...audited, registry: { epoch: live.epoch, layoutDigest, specDigest: audited.specDigest } };
  return state.spec === null ? noteUnmanaged(state, live, context) : planSpec(state, state.spec, live, context);
}

/** A new layout is audited now; a namespace that is met for the first time, at its turn. */
function auditTurn(
  { name, registry, auditDueAt }: NamespaceState,
  epoch: number,
  layoutDigest: string,
  context: LookContext,
): number {
  if (registry === null) return nextTurn(name, auditIntervalMs(context.managed), context.ports.now());
  return registry.epoch === epoch && registry.layoutDigest === layoutDigest ? auditDueAt : 0;
}

async function auditIfDue(state: NamespaceState, live: LiveNamespace, context: LookContext): Promise<NamespaceState> {
  const { ports, managed, spend } = context;
  const now = ports.now();
  const isDue = state.auditDueAt <= now || state.auditDueAt > now + AUDIT_MS_MAX + AUDIT_AGAIN_MS;
  // An unmanaged namespace is reported and left alone; a member that does not answer can not be counted.
  if (!isDue || state.spec === null || live.members.some(({ healthy }) => !healthy)) return state;
  if (!context.takeAudit()) return { ...state, auditDueAt: nextTurn(state.name, checkIntervalMs(managed), now) };
  const { retainHours } = state.spec.policy;
  const audit = await auditNamespace(state, live, { live: ports.live, retainHours, before: state.audit, now, spend });
  if (audit === null) return { ...state, auditDueAt: now + AUDIT_AGAIN_MS };
  if (isClean(audit)) return { ...state, audit, auditDueAt: nextTurn(state.name, auditIntervalMs(managed), now) };
  // What one audit found, the next pass has to find again before anybody hears of it.
  const isNews = state.audit === null || isClean(state.audit);
  return { ...state, audit, auditDueAt: isNews ? 0 : now + AUDIT_AGAIN_MS };
}

function isClean({ misplacedRows, orphans }: AuditFinding): boolean {
  return misplacedRows === 0 && orphans.length === 0;
}

function holdForged(state: NamespaceState, live: LiveNamespace, what: string, context: LookContext): NamespaceState {
  const held = { ...state, pending: null };
  const faults = track(held, [...unhealthyFault(live), forgedFault(what), ...auditFaults(state.audit, false)], context);
  const message = `The registry was changed by hand: it ${what}. Nothing is applied here.`;
  return rest({ ...held, faults }, { type: "Stalled", reason: "RegistryChanged", message }, context);
}

function noteUnmanaged(state: NamespaceState, live: LiveNamespace, context: LookContext): NamespaceState {
  // A root that was only ever asked, and holds nothing, is no namespace.
  const isNothing = live.epoch === 0 && liveRows(live) === 0 && live.members.every(({ healthy }) => healthy);
  const faults = track(state, isNothing ? [] : [unmanagedFault(live)], context);
  const differences = trackDifferences(state, [], context);
  const message = "No manifest declares it";
  return rest(
    { ...state, faults, differences, pending: null, audit: null },
    { type: "Ready", reason: "Unmanaged", message },
    context,
  );
}

async function planSpec(
  state: NamespaceState,
  spec: NamespaceSpec,
  live: LiveNamespace,
  context: LookContext,
): Promise<NamespaceState> {
  const { outcome, wanted } = await planFrom(spec, live, state.audit, context);
  const { selfHeal } = spec.policy;
  const isSilenced = selfHeal === "off";
  const common = [
    ...unhealthyFault(live),
    ...auditFaults(state.audit, selfHeal === "apply").filter(({ kind }) => kind === "orphan" || !isSilenced),
  ];
  switch (outcome.kind) {
    case "blocked": {
      const { guard, message } = outcome.block;
      const faults = track(state, [...common, ...blockedFault(guard, message)], context);
      const blocked = { ...state, faults, pending: null };
      return rest(blocked, { type: "Stalled", reason: guard === "unsupported" ? "Unsupported" : "Unreadable", message }, context);
    }
    case "change":
      return notePending({ ...state, faults: track(state, common, context) }, spec, live, wanted, context);
    case "inSync": {
      const skew = isSilenced ? [] : remainingSkewFault(outcome.notices, spec.policy.maxSkew);
      const faults = track(state, [...common, ...skew], context);
      const synced: NamespaceState = { ...state, faults, syncedDigest: state.shapeDigest, approval: null };
      // Misplaced rows are moved once two audits agree.
      const isConfirmed = faults.some(({ kind, state: seen }) => kind === "misplaced" && seen !== "watching");
      if (wanted && selfHeal === "apply" && isConfirmed) return notePending(synced, spec, live, wanted, context);
      const differences = trackDifferences(state, [], context);
      return rest({ ...synced, differences, pending: null, attempts: null }, readiness(synced, live), context);
    }
  }
}

/** In sync is not always well. */
function readiness({ faults }: NamespaceState, live: LiveNamespace): ConditionChange {
  const fault = faults.find(({ kind }) => kind === "unhealthy") ?? faults.find(({ kind }) => kind === "misplaced");
  if (!fault) {
    const counted = `${formatQuantity(live.layout.members.length, "member")}, ${formatQuantity(liveRows(live), "row")}, epoch ${live.epoch}`;
    return { type: "Ready", reason: "InSync", message: `As declared: ${counted}` };
  }
  const type = fault.state === "open" ? "Stalled" : "Reconciling";
  const reason = fault.kind === "unhealthy" ? "Unhealthy" : "Misplaced";
  return { type, reason, message: `As declared, but ${fault.reason}${fault.detail ? ` (${fault.detail})` : ""}` };
}

async function notePending(
  state: NamespaceState,
  spec: NamespaceSpec,
  live: LiveNamespace,
  wanted: WantedChange | null,
  context: LookContext,
): Promise<NamespaceState> {
  if (wanted === null) throw new Error(`The change of '${state.name}' has no cause`);
  const { cause, change } = wanted;
  // `decide` asks these two by the clock and the manifest of its own moment.
  const unsuspended = { ...spec, policy: { ...spec.policy, suspend: false } };
  const pending: PendingChange = {
    cause,
    kind: change.kind,
    reason: change.reason,
    epoch: change.epoch,
    fromDigest: await digestLayout(change.from),
    toDigest: await digestLayout(change.to),
    rowsMoved: change.rowsMoved,
    blocks: checkSafety({
      changes: [{ change, spec: unsuspended, live, windowOpen: true }],
      managed: { namespaces: 0, rows: 0 },
      unmanaged: 0,
    }),
    lookedAt: context.ports.now(),
  };
  return { ...state, pending, dueAt: dueAfter(state, context) };
}

function blockedFault(guard: string, message: string): FoundDrift[] {
  if (guard === "unhealthyMember") return [];
  if (guard === "unsupported") {
    const reason = "the manifest asks for what cannot be done";
    return [{ kind: "spec", reason, detail: message, remedy: "Correct the manifest, or the class; the detail says what." }];
  }
  const reason = "its rows could not be counted";
  return [{ kind: "unreadable", reason, detail: message, remedy: "It is asked again; see the logs of the object." }];
}

function rest(state: NamespaceState, change: ConditionChange, context: LookContext): NamespaceState {
  return { ...state, dueAt: dueAfter(state, context), condition: conditionOf(state, context.ports.now(), change) };
}

/** What was seen once is looked at in the next pass; an audit that had to wait, too. */
function dueAfter(state: NamespaceState, { ports, managed }: LookContext): number {
  const now = ports.now();
  if (isWatching(state.faults) || isWatching(state.differences)) return 0;
  const next = nextTurn(state.name, checkIntervalMs(managed), now);
  return state.spec === null || state.auditDueAt > next ? next : state.auditDueAt;
}

function healing(state: NamespaceState, found: readonly FoundDrift[]): FoundDrift[] {
  return found.map((one) => ({ ...one, isHealing: state.run !== null && one.kind === "misplaced" }));
}

function markHealing(differences: NamespaceState["differences"]): NamespaceState["differences"] {
  return differences.map((drift) => ({ ...drift, state: "healing" }));
}

function track(state: NamespaceState, found: readonly FoundDrift[], context: LookContext): NamespaceState["faults"] {
  return trackDrifts(state.faults, found, trackContext(state, context));
}

function trackDifferences(
  state: NamespaceState,
  found: readonly FoundDrift[],
  context: LookContext,
): NamespaceState["differences"] {
  return trackDrifts(state.differences, found, trackContext(state, context));
}

function trackContext({ name, object }: NamespaceState, { env, ports }: LookContext) {
  return {
    environment: env.environment,
    namespace: name,
    object,
    pass: env.pass.number,
    commit: env.commit,
    now: ports.now(),
    record: ports.record,
  };
}
