/**
 * Counts events for the metrics when they happen. Names and labels are those of
 * `docs/operations.md`.
 */
import type { EnvironmentState } from "../reconcile/environment-state.ts";
import type { Run } from "../model/api.ts";
import type { OperationStatus } from "../model/operation.ts";
import type { ChannelName } from "../alerts/alert-state.ts";
import { endedNow, rowsMovedBy } from "../history/make-events.ts";
import type { CountersStore } from "./counters-store.ts";

/** Upper limits of the histogram of ticks, in seconds. */
export const TICK_BUCKETS_S = [0.1, 0.5, 1, 5, 10, 30, 60, 300, 900] as const;
/** Upper limits of the histogram of write pauses, in seconds. */
export const PAUSE_BUCKETS_S = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5] as const;

export function countTick(
  counters: CountersStore,
  { environment, outcome, durationMs, checkedAt, lastFigures }: EnvironmentState,
): void {
  const seconds = (durationMs ?? 0) / 1000;
  counters.add("reconcile_ticks", { environment, outcome: outcome ?? "incomplete" }, 1);
  observe(counters, "reconcile_seconds", environment, seconds, TICK_BUCKETS_S);
  if (outcome === "complete")
    counters.set("reconcile_last_success", { environment }, (checkedAt ?? 0) / 1000);
  if (lastFigures === null) return;
  counters.add("reconcile_github_requests", { environment }, lastFigures.requests);
  counters.add("reconcile_namespace_calls", { environment }, lastFigures.calls);
  counters.add("reconcile_runs_started", { environment }, lastFigures.runsStarted);
}

export function countRun(counters: CountersStore, run: Run, before: Run | null): void {
  const { environment, state } = run;
  run.actions.forEach((action, index) => {
    if (!endedNow(action, before?.actions[index] ?? null) || action.operation === null) return;
    countOperation(counters, environment, action.operation);
  });
  if (run.finishedAt !== null && before?.finishedAt === null)
    counters.add("runs_ended", { environment, state }, 1);
}

/** An operation has ended. */
export function countOperation(
  counters: CountersStore,
  environment: string,
  operation: OperationStatus,
): void {
  const { kind, state, startedAt, finishedAt, updatedAt, writePauseMs } = operation;
  counters.add("operations_ended", { environment, kind, state }, 1);
  counters.add(
    "operation_seconds",
    { environment, kind },
    Math.max(0, (finishedAt ?? updatedAt) - startedAt) / 1000,
  );
  counters.add("rows_moved", { environment }, rowsMovedBy(operation));
  if (writePauseMs !== null)
    observe(counters, "write_pause", environment, writePauseMs.max / 1000, PAUSE_BUCKETS_S);
}

export function countAlert(
  counters: CountersStore,
  environment: string,
  channel: ChannelName,
  outcome: "told" | "failed",
): void {
  counters.add("alert_messages", { environment, channel, outcome }, 1);
}

/**
 * One value of a histogram. One row changes, and the sum: what is below the larger limits is added
 * up when it is read.
 */
function observe(
  counters: CountersStore,
  name: string,
  environment: string,
  seconds: number,
  buckets: readonly number[],
): void {
  const bucket = buckets.find((limit) => seconds <= limit);
  counters.add(`${name}_sum`, { environment }, seconds);
  counters.add(
    `${name}_bucket`,
    { environment, le: bucket === undefined ? "+Inf" : String(bucket) },
    1,
  );
}
