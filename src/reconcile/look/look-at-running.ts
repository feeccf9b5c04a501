/**
 * A namespace that an operation or a run is about: followed at every tick, held while it must wait,
 * and let go of when others would wait for it.
 *
 * While a run is about it, the run holds it, at each of its steps. What no run follows any more is
 * held from here, by the manifest as it is merged now: the rest of a run that let go of it, whoever
 * started that. Windows are for what runs start; the switch is for everything.
 */
import { makeEvent } from "../../history/make-event.ts";
import type { Run } from "../../model/api.ts";
import type { LiveNamespace } from "../../model/live.ts";
import type { OperationStatus } from "../../model/operation.ts";
import { runIdOf } from "../../model/run-operation.ts";
import {
  describePause,
  holdOperation,
  isPausedByUs,
  WINDOW_CLOSED,
} from "../../runs/hold-operation.ts";
import { RECONCILER } from "../../runs/run-record.ts";
import { conditionOf, type NamespaceState } from "../namespace-state.ts";
import {
  auditFaults,
  memberFaults,
  progressMark,
  relapseFaults,
  stalledFault,
} from "./find-faults.ts";
import {
  type ConditionChange,
  healing,
  type LookContext,
  markHealing,
  track,
} from "./note-look.ts";

type Following = LiveNamespace & { readonly operation: OperationStatus };

export async function followOperation(
  before: NamespaceState,
  live: Following,
  context: LookContext,
): Promise<NamespaceState> {
  const operation = await holdFollowed(before, live, context);
  const seen = { ...live, operation };
  const now = context.ports.now();
  const mark = progressMark(seen) ?? "";
  const isSame = before.progress?.mark === mark && before.progress.since <= now;
  const progress = isSame ? before.progress : { mark, since: now };
  const state: NamespaceState = { ...before, progress, dueAt: 0, pending: null };
  const stalled = stalledFault(seen, progress, now);
  if (stalled.length > 0 && state.run !== null) {
    const reason = `The operation has stalled (${stalled[0]?.detail ?? ""}). It stays active in the namespace; the run no longer waits for it.`;
    context.ports.runs.detach(state.run, state.name, reason);
  }
  return {
    ...state,
    faults: track(
      state,
      [
        ...memberFaults(live, state),
        ...stalled,
        ...relapseFaults(state),
        ...healing(state, auditFaults(state.audit, true)),
      ],
      context,
    ),
    differences: state.run === null ? state.differences : markHealing(state.differences),
    condition: conditionOf(
      state,
      now,
      explainOperation(state, operation, stalled[0]?.detail ?? null),
    ),
  };
}

function explainOperation(
  { run }: NamespaceState,
  operation: OperationStatus,
  stalled: string | null,
): ConditionChange {
  const { id, kind, step } = operation;
  const what = `Operation ${id} (${kind}) is in step ${step}`;
  if (stalled !== null)
    return { type: "Stalled", reason: "OperationStalled", message: `${what}: ${stalled}` };
  const pause = describePause(operation);
  if (pause !== null)
    return { type: "Reconciling", reason: "Paused", message: `${what}. ${pause}` };
  return {
    type: "Reconciling",
    reason: run === null ? "OperationRunning" : "Applying",
    message: what,
  };
}

export function waitInRun(
  before: NamespaceState,
  live: LiveNamespace,
  context: LookContext,
): NamespaceState {
  const state: NamespaceState = { ...before, dueAt: 0, pending: null };
  letGoOutsideWindow(state, context);
  const message = `Run ${state.run ?? ""} is going to change it`;
  return {
    ...state,
    faults: track(
      state,
      [
        ...memberFaults(live, state),
        ...relapseFaults(state),
        ...healing(state, auditFaults(state.audit, true)),
      ],
      context,
    ),
    differences: markHealing(state.differences),
    condition: conditionOf(state, context.ports.now(), {
      type: "Reconciling",
      reason: "Applying",
      message,
    }),
  };
}

/**
 * A run that was started here does not keep the environment until tomorrow's window: what it has
 * not started waits for another run.
 */
function letGoOutsideWindow({ name, run: id, spec }: NamespaceState, { ports }: LookContext): void {
  const run = id === null ? null : ports.runs.find(id);
  if (
    !run ||
    !spec ||
    run.overrides.includes("window") ||
    ports.isWindowOpen(spec.policy, ports.now())
  )
    return;
  const isPending = run.actions.some(
    ({ namespace, state }) => namespace === name && state === "pending",
  );
  if (isPending)
    ports.runs.detach(
      run.id,
      name,
      "Its window closed before its turn came: it waits for the next.",
    );
}

/**
 * The beginning of the reason by which the switch holds an operation. Stored by namespaces: never
 * change.
 */
const SWITCH_REASON = "everything is paused by ";
/** Clocks of two machines differ by less. */
const CLOCKS_MS_MAX = 60_000;

/** The operation after that. A pause that could not be asked for is asked for at the next look. */
async function holdFollowed(
  state: NamespaceState,
  live: LiveNamespace & { readonly operation: OperationStatus },
  context: LookContext,
): Promise<OperationStatus> {
  const { ports, spend } = context;
  const { operation } = live;
  const id = runIdOf(operation.correlationId);
  const run = id === null ? null : ports.runs.find(id);
  if (run && isAbout(run, state.name)) {
    letGo(run, state, operation, context);
    return operation;
  }
  const hold = findHold(state, operation, run, context);
  const held = await holdOperation(ports.liveAccess, state, operation, hold);
  if (held.ok && held.value === operation) return operation;
  spend(1);
  if (!held.ok) return operation;
  const summary =
    hold === null
      ? `operation ${operation.id} has resumed`
      : `operation ${operation.id} is paused: ${hold}`;
  ports.record(
    makeEvent({
      at: ports.now(),
      environment: context.env.environment,
      kind: "pause",
      namespace: state.name,
      summary,
      actor: RECONCILER,
      commit: context.env.commit,
      run: id,
    }),
  );
  return held.value;
}

function isAbout({ state, actions }: Run, name: string): boolean {
  return (
    state === "running" &&
    actions.some((action) => action.namespace === name && action.state === "running")
  );
}

/** A run that was started here does not keep the environment until tomorrow's window. */
function letGo(
  run: Run,
  { name, run: own }: NamespaceState,
  operation: OperationStatus,
  { ports }: LookContext,
): void {
  if (run.id !== own || !isPausedByUs(operation) || operation.paused?.reason !== WINDOW_CLOSED)
    return;
  const reason = `Its window closed in step ${operation.step}: operation ${operation.id} is paused, and resumes by itself in the next window.`;
  ports.runs.detach(run.id, name, reason);
}

function isHeldBySwitch(operation: OperationStatus): boolean {
  return isPausedByUs(operation) && operation.paused?.reason.startsWith(SWITCH_REASON) === true;
}

function isSwitchOff({ paused }: OperationStatus, resumedAt: number | null): boolean {
  return resumedAt !== null && resumedAt + CLOCKS_MS_MAX >= (paused?.since ?? 0);
}

function findHold(
  { spec }: NamespaceState,
  operation: OperationStatus,
  run: Run | null,
  { ports }: LookContext,
): string | null {
  const paused = ports.paused();
  if (paused !== null) return `${SWITCH_REASON}${paused.by}`;
  // A switch that nobody here remembers to have been turned off was lost with its storage.
  if (isHeldBySwitch(operation) && !isSwitchOff(operation, ports.resumedAt()))
    return operation.paused?.reason ?? null;
  // A run of another Worker is that one's to hold; what was paused is let go on by whoever sees the
  // window open first.
  const isOurs =
    run !== null || (runIdOf(operation.correlationId) !== null && isPausedByUs(operation));
  if (!isOurs || spec === null || run?.overrides.includes("window")) return null;
  return ports.isWindowOpen(spec.policy, ports.now()) ? null : WINDOW_CLOSED;
}
