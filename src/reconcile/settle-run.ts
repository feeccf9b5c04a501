/**
 * How runs that were started here have ended for a namespace: what is counted as a failure, when it
 * is tried again, and what ends the count.
 */
import type { Run, RunAction } from "../model/api.ts";
import type { LiveNamespace } from "../model/live.ts";
import { runIdOf } from "../model/run-operation.ts";
import { CANCELLED_BEFORE_START } from "../runs/run-record.ts";
import type { FailedAttempts, NamespaceState } from "./namespace-state.ts";
import type { LookContext } from "./note-look.ts";
import type { ReconcilePorts } from "./ports.ts";
import { retryDelayMs } from "./schedule.ts";

/** Runs of one change that may fail in a row before a person is needed. */
export const RUN_FAILURES_MAX = 5;
/**
 * A change that was given up is tried once more after so long, in case its cause was none that
 * shows.
 */
const GIVEN_UP_MS = 6 * 3_600_000;

/** Takes note of how the run that was started here has ended for this namespace. */
export function settleRun(
  state: NamespaceState,
  live: LiveNamespace,
  { ports, env }: LookContext,
): NamespaceState {
  if (state.run === null) return forgetAttempts(state, live, env.commit);
  const run = ports.runs.find(state.run);
  const action = run?.actions.find(({ namespace }) => namespace === state.name);
  if (run && (action?.state === "pending" || action?.state === "running")) return state;
  const ended = {
    ...state,
    run: null,
    approval: isLeftBy(run, action, live) ? state.approval : null,
  };
  if (!run || !action || action.state === "done") return { ...ended, attempts: null };
  // A failed dependency counts its own failures, and a change that missed its window has not
  // failed.
  if (action.state === "notExecuted" && action.error !== CANCELLED_BEFORE_START) return ended;
  return {
    ...ended,
    attempts: countFailure(
      state,
      live,
      { run, error: action.error ?? "", commit: env.commit },
      ports,
    ),
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
  {
    run,
    error,
    commit,
  }: { readonly run: Run; readonly error: string; readonly commit: string | null },
  { now, random }: ReconcilePorts,
): FailedAttempts {
  const wasCancelled = run.state === "cancelled";
  // Cancelling a run means that it should stay cancelled.
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
function forgetAttempts(
  state: NamespaceState,
  live: LiveNamespace,
  commit: string | null,
): NamespaceState {
  const { attempts } = state;
  if (attempts === null) return state;
  if (attempts.epoch === null && live.operation?.state !== "running")
    return { ...state, attempts: { ...attempts, epoch: live.epoch } };
  const isSameEpoch = attempts.epoch === null || attempts.epoch === live.epoch;
  const isSame =
    isSameEpoch && attempts.specDigest === state.specDigest && attempts.commit === commit;
  return isSame ? state : { ...state, attempts: null };
}
