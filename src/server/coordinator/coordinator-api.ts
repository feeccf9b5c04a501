/**
 * Declares the coordinator as the rest of the Worker calls it. Each room declares its own calls; a
 * caller names those that it uses.
 */
import type { EventFilter } from "../../history/history-store.ts";
import type { MetricFamily } from "../../metrics/metrics-text.ts";
import type { HistoryEvent } from "../../model/event.ts";
import type { PageCalls } from "../../page/namespace-facts.ts";
import type { PullCalls } from "../../pulls/pull-task.ts";
import type { PauseCalls, ReconcileCalls, RegistryCalls } from "../../reconcile/reconcile-calls.ts";
import type { ReviewCalls } from "../../reviews/review-calls.ts";
import type { Call, PlanCalls, RunCalls } from "../../runs/run-calls.ts";

/** The name of the coordinator's object. Stored state lives under it: never change. */
export const COORDINATOR_NAME = "coordinator";

/** The coordinator as the HTTP API calls it. Every call may be repeated. */
export interface CoordinatorApi
  extends
    PlanCalls,
    RunCalls,
    ReviewCalls,
    ReconcileCalls,
    PauseCalls,
    RegistryCalls,
    PullCalls,
    PageCalls {
  resume(): Promise<number>;
  /** True the first time that a workflow's token changes something. */
  claimToken(id: string, claim: string, expiresAt: number): Promise<boolean>;
  listEvents(filter: EventFilter): Promise<HistoryEvent[]>;
  readMetrics(): Promise<MetricFamily[]>;
  /** False when ticks have not come, or not ended, for too long. */
  isHealthy(): Promise<boolean>;
}

export type CallCoordinator = Call<CoordinatorApi>;
