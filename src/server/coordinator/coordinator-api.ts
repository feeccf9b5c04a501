/** The coordinator as the rest of the Worker calls it: a contract of types, so that whoever calls it need not know how it works. */
import type { DriftReport, Pause } from "../../model/drift.ts";
import type { Run } from "../../model/api.ts";
import type { HistoryEvent } from "../../model/event.ts";
import type { NamespaceRef } from "../../model/live.ts";
import type { Guard } from "../../model/plan.ts";
import type { RepairOutcome } from "../../model/repair.ts";
import type { Result } from "../../model/result.ts";
import type { Release, Review, RunOrigin } from "../../model/review.ts";
import type { MetricFamily } from "../../metrics/metrics-text.ts";
import type { RunView } from "../../page/page-data.ts";
import type { EventFilter } from "../../history/history-store.ts";
import type { NamespacePageFacts, OverviewFacts, OverviewRequest } from "../../page/namespace-facts.ts";
import type { Looked } from "../../page/sights-store.ts";
import type { PullTask } from "../../pulls/pull-task.ts";
import type { AppliedRepair, NamedRegistry } from "../../reconcile/registries-store.ts";
import type { NewReview, ReviewFilter } from "../../reviews/reviews-store.ts";
import type { RunFilter, StoredPlan } from "../../runs/store.ts";

/** The name of the coordinator's object. Stored state lives under it: never change. */
export const COORDINATOR_NAME = "coordinator";

export interface ApplyOrder {
  readonly fingerprint: string;
  readonly overrides: readonly Guard[];
  readonly requestedBy: string;
  readonly origin: RunOrigin | null;
  /**
   * True: only what the pull request of `origin` has shown last, or what was released there;
   * overrides only as released.
   */
  readonly needsReview: boolean;
}

export type StartRunFailure =
  | { readonly kind: "unknownPlan" }
  | { readonly kind: "locked"; readonly run: Run }
  | { readonly kind: "notReviewed"; readonly message: string };

/** The coordinator as the HTTP API calls it. Every call may be repeated. */
export interface CoordinatorApi {
  /** @param actor who asked for the plan, for the history. */
  storePlan(plan: StoredPlan, seen: readonly NamespaceRef[], actor: string): Promise<void>;
  readPlan(fingerprint: string): Promise<Uint8Array | null>;
  /** The desired state under a stored plan, as UTF-8 JSON. */
  readDesired(fingerprint: string): Promise<Uint8Array | null>;
  listNamespaces(environment: string | null): Promise<NamespaceRef[]>;
  /** The guards that the order may override: as asked, or where it needs a review as released. */
  checkReview(order: ApplyOrder): Promise<Result<readonly Guard[], StartRunFailure>>;
  startRun(order: ApplyOrder): Promise<Result<Run, StartRunFailure>>;
  /** The active run that keeps this plan from being started anew; it may be the run of this very plan. */
  findRival(fingerprint: string): Promise<Run | null>;
  /** The newest run that has carried out this plan for this pull request. */
  findSucceeded(fingerprint: string, pull: number): Promise<Run | null>;
  readRun(id: string): Promise<Run | null>;
  waitForRun(id: string, since: number | null, waitMs: number): Promise<Run | null>;
  listRuns(filter: RunFilter): Promise<Run[]>;
  cancelRun(id: string): Promise<Run | null>;
  resume(): Promise<number>;
  /** Begins a pass of reconciliation, which alarms carry on. @param cron the expression of the event that asks for it, or null. */
  tick(cron: string | null): Promise<void>;
  /** The same, and waits for a pass that began after this call. False when the time is over first. */
  reconcile(environment: string, waitMs: number): Promise<boolean>;
  listReconciled(): Promise<readonly string[]>;
  readDrift(environment: string): Promise<DriftReport>;
  /** Null switches reconciliation on again. */
  setPause(pause: Pause | null, by: string): Promise<Pause | null>;
  /** Why the Worker itself would hold an operation of the namespace now, and what lets it go on; null when it would not. */
  findOperationHold(ref: NamespaceRef): Promise<string | null>;
  /** Somebody has paused an operation, or let it go on: for the history, and the next tick looks. */
  notePause(ref: NamespaceRef, summary: string, by: string): Promise<void>;
  /** All registries as earlier looks have seen them: a root that knows less has lost its own. */
  listRegistries(): Promise<readonly NamedRegistry[]>;
  /**
   * Members that were seen live, and that a repair asks whatever the root still knows; empty when
   * none were.
   */
  listSeenMembers(ref: NamespaceRef): Promise<readonly string[]>;
  /** A repair was applied: for the history, and what it has left is believed from now on. */
  noteRepair(ref: NamespaceRef, repair: AppliedRepair, by: string): Promise<void>;
  /** The outcome of the newest repair of the namespace, if it was the one of this fingerprint. */
  findRepair(ref: NamespaceRef, fingerprint: string): Promise<RepairOutcome | null>;
  /** Null when the plan is not stored. `counts` false: shown after the merge, so that only a release makes it count. */
  putReview(review: Omit<NewReview, "environment">, counts: boolean): Promise<Review | null>;
  /** Newest first. */
  listReviews(filter: ReviewFilter, limit: number): Promise<Review[]>;
  /** What a merge of the pull request may apply. */
  newestReview(environment: string, pull: number): Promise<Review | null>;
  /** Null when the plan was never shown in that pull request. */
  releaseReview(environment: string, pull: number, fingerprint: string, release: Release): Promise<Review | null>;
  /** A pull request that can no longer be merged. */
  forgetReviews(environment: string, pull: number): Promise<void>;
  /** Takes the work that a webhook's delivery asks for. False when the same delivery came before. */
  acceptDelivery(id: string, tasks: readonly PullTask[]): Promise<boolean>;
  /** Asks for work on pull requests, which is done outside of this call. Nothing happens in a Worker that posts nothing. */
  queuePullTasks(tasks: readonly PullTask[]): Promise<void>;
  /** True the first time that a workflow's token changes something. */
  claimToken(id: string, claim: string, expiresAt: number): Promise<boolean>;
  /** What is known for the status page; no namespace is asked. */
  readOverview(request: OverviewRequest): Promise<OverviewFacts>;
  /** Null when the namespace is not known in that environment. */
  readNamespacePage(environment: string | null, ref: NamespaceRef): Promise<NamespacePageFacts | null>;
  readRunViews(ids: readonly string[]): Promise<RunView[]>;
  listEvents(filter: EventFilter): Promise<HistoryEvent[]>;
  readMetrics(): Promise<MetricFamily[]>;
  /** False when ticks have not come, or not ended, for too long. */
  isHealthy(): Promise<boolean>;
  /** Keeps what namespaces answered when they were asked for the status page. */
  noteLooks(looks: readonly Looked[]): Promise<void>;
}

/**
 * Calls the coordinator; every call of it may be repeated, so one that hit a restart is sent once
 * more.
 */
export type CallCoordinator = <Value>(use: (coordinator: CoordinatorApi) => Promise<Value>) => Promise<Value>;
