/**
 * A namespace that an operation or a run is about: followed at every tick, held while it must wait,
 * and let go of when others would wait for it.
 */
import type { LiveNamespace } from "../model/live.ts";
import type { OperationStatus } from "../model/operation.ts";
import { describePause } from "../runs/hold-operation.ts";
import { auditFaults, progressMark, stalledFault, memberFaults } from "./find-faults.ts";
import { holdFollowed } from "./hold-followed.ts";
import { conditionOf, type NamespaceState } from "./namespace-state.ts";
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
      [...memberFaults(live), ...stalled, ...healing(state, auditFaults(state.audit, true))],
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
      [...memberFaults(live), ...healing(state, auditFaults(state.audit, true))],
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
    ports.isWindowOpen(spec.policy.windows, ports.now())
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
