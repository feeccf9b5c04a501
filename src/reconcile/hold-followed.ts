/**
 * An operation that a look finds running: whether it is paused, and lets go of what a run would
 * wait for until its window opens.
 *
 * While a run is about it, the run holds it, at each of its steps. What no run follows any more is
 * held from here, by the manifest as it is merged now: the rest of a run that let go of it, whoever
 * started that. Windows are for what runs start; the switch is for everything.
 */
import type { Run } from "../model/api.ts";
import type { LiveNamespace } from "../model/live.ts";
import type { OperationStatus } from "../model/operation.ts";
import { runIdOf } from "../model/run-operation.ts";
import { holdOperation, isPausedByUs, WINDOW_CLOSED } from "../runs/hold-operation.ts";
import { RECONCILER } from "../runs/run-record.ts";
import type { LookContext } from "./note-look.ts";
import { makeEvent } from "../history/make-event.ts";
import type { NamespaceState } from "./namespace-state.ts";

/**
 * The beginning of the reason by which the switch holds an operation. Stored by namespaces: never
 * change.
 */
const SWITCH_REASON = "everything is paused by ";
/** Clocks of two machines differ by less. */
const CLOCKS_MS_MAX = 60_000;

/** The operation after that. A pause that could not be asked for is asked for at the next look. */
export async function holdFollowed(
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
  const held = await holdOperation(ports.live, state, operation, hold);
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
  return ports.isWindowOpen(spec.policy.windows, ports.now()) ? null : WINDOW_CLOSED;
}
