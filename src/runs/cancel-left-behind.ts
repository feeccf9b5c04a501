/**
 * Cancels what a run has left behind: operations that it let go of, because their window closed or
 * they had stalled. The run has ended and stays as it is; the namespaces' own journals have the end
 * of it.
 */
import { runBounded } from "../model/run-bounded.ts";
import type { Run, RunAction } from "../model/api.ts";
import type { LiveAccess } from "../live/port.ts";
import { RefusedRequest } from "../model/refused-request.ts";

/** Namespaces that are asked at the same time. */
const CALLS_MAX = 4;

/**
 * The run with those operations as they are now; null when it has left nothing behind. @throws
 * RefusedRequest when one is past its cutover, or silent.
 */
export async function cancelLeftBehind(
  live: Pick<LiveAccess, "cancel">,
  run: Run,
): Promise<Run | null> {
  if (run.state === "running" || !run.actions.some(isLeftBehind)) return null;
  const actions = await runBounded(run.actions, CALLS_MAX, (action) => cancelAction(live, action));
  return { ...run, actions };
}

function isLeftBehind({ state, operation }: RunAction): boolean {
  return (state === "notExecuted" || state === "failed") && operation?.state === "running";
}

async function cancelAction(
  live: Pick<LiveAccess, "cancel">,
  action: RunAction,
): Promise<RunAction> {
  const { namespace, object, operation } = action;
  if (!isLeftBehind(action) || operation === null) return action;
  const cancelled = await live.cancel({ name: namespace, object }, operation.id);
  if (cancelled.ok) return { ...action, operation: cancelled.value };
  const { kind, message } = cancelled.failure;
  throw new RefusedRequest(
    kind === "unreachable" ? "unavailable" : "conflict",
    `Operation ${operation.id} of '${namespace}', which the run has left behind, was not cancelled: ${message}`,
  );
}
