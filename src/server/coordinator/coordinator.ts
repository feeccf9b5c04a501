/**
 * The coordinator: the one Durable Object of a Worker that knows its plans and runs, and drives
 * runs to their end.
 *
 * It steps by alarm, never in a request: a run goes on when nobody is looking, and resumes after a
 * restart at any point, because a step is re-entrant and its progress and the next alarm are
 * written together. The alarm handler never throws: the runtime drops an alarm after six failures.
 * One object serves all environments, since they share the namespaces of one Worker.
 *
 * This file is what can be called, and the alarm; `coordinator-parts.ts` names the parts that know
 * how.
 */
import { DurableObject } from "cloudflare:workers";

import type { DriftReport, Pause } from "../../model/drift.ts";
import type { Run } from "../../model/api.ts";
import type { HistoryEvent } from "../../model/event.ts";
import type { NamespaceRef } from "../../model/live.ts";
import type { Guard } from "../../model/plan.ts";
import type { RepairOutcome } from "../../model/repair.ts";
import type { Result } from "../../model/result.ts";
import type { Release, Review } from "../../model/review.ts";
import type { GithubReader, GithubWriter } from "../../github/port.ts";
import { createObjectAccess } from "../../live/durable-object.ts";
import type { MetricFamily } from "../../metrics/metrics-text.ts";
import type { RunView } from "../../page/page-data.ts";
import type { CoordinatorApi } from "./coordinator-api.ts";
import type { ApplyOrder, StartRunFailure } from "../../runs/run-calls.ts";
import { assembleCoordinator, type CoordinatorParts } from "./coordinator-parts.ts";
import type { EventFilter } from "../../history/history-store.ts";
import { logError } from "../../log.ts";
import type {
  NamespacePageFacts,
  OverviewFacts,
  OverviewRequest,
} from "../../page/namespace-facts.ts";
import type { Looked } from "../../page/sights-store.ts";
import type { PullTask } from "../../pulls/pull-task.ts";
import type { AppliedRepair, NamedRegistry } from "../../reconcile/registries-store.ts";
import type { NewReview, ReviewFilter } from "../../reviews/reviews-store.ts";
import type { Settings } from "../settings.ts";
import type { RunFilter, StoredPlan } from "../../runs/store.ts";

/** GitHub sends a delivery again for at most three days. */
const DELIVERY_MEMORY_MS = 4 * 24 * 60 * 60 * 1000;
/** After an alarm that could not even read what is due. */
const FAULT_DELAY_MS = 60_000;

/** Subclassed by `createReconciler`, which knows where the bindings are. */
export abstract class Coordinator<Env> extends DurableObject<Env> implements CoordinatorApi {
  readonly #parts: CoordinatorParts;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#parts = assembleCoordinator({
      storage: ctx.storage,
      settings: () => {
        const settings = this.settings();
        return settings.ok ? settings.value : null;
      },
      github: () => this.github(),
      githubReader: () => this.githubReader(),
      live: () => createObjectAccess(this.objects()),
      coordinator: (use) => use(this),
    });
    // An alarm can only be missing after a crash, and after a crash this runs.
    void ctx.blockConcurrencyWhile(() => this.resume());
  }

  protected abstract objects(): Readonly<Record<string, DurableObjectNamespace>>;
  /**
   * A failure when the Worker is set up wrongly. The HTTP API says so; runs that were started
   * before go on.
   */
  protected abstract settings(): Result<Settings, string>;
  /** Null when this Worker does not post. */
  protected abstract github(): GithubWriter | null;
  /** Null without a repository, or without credentials for it. */
  protected abstract githubReader(): GithubReader | null;

  override async alarm(): Promise<void> {
    const { pullWork, reconciliation, observation, steps, alarm } = this.#parts;
    try {
      const now = Date.now();
      // Not waited for: runs must not wait for GitHub.
      pullWork.start(now);
      reconciliation.start(now);
      observation.alerts.start(now);
      await steps.takeDue(now);
      alarm.arm();
    } catch (error) {
      // Storage itself failed. Throwing would use up one of the alarm's six lives.
      logError("coordinator.alarm.failed", {}, error);
      await alarm.armAfter(FAULT_DELAY_MS);
    }
  }

  /** Makes sure that unfinished runs have an alarm; returns how many there are. */
  async resume(): Promise<number> {
    const active = this.#parts.store.listActiveRuns().length;
    await this.#parts.alarm.rearm(active > 0);
    return active;
  }

  // The tick.

  async tick(cron: string | null): Promise<void> {
    const { reconciliation, observation, alarm } = this.#parts;
    const now = Date.now();
    if (cron !== null) observation.noteCron(cron, now);
    reconciliation.tick();
    reconciliation.start(now);
    alarm.arm();
  }

  async reconcile(environment: string, waitMs: number): Promise<boolean> {
    const { reconciliation } = this.#parts;
    const deadline = Date.now() + waitMs;
    // A pass that is under way does not look again at namespaces that it has already looked at.
    if (!(await reconciliation.waitForPass(environment, waitMs))) return false;
    await this.tick(null);
    return reconciliation.waitForPass(environment, deadline - Date.now());
  }

  async listReconciled(): Promise<readonly string[]> {
    return this.#parts.reconciliation.environments();
  }

  async readDrift(environment: string): Promise<DriftReport> {
    return this.#parts.reconciliation.report(environment);
  }

  async setPause(pause: Pause | null, by: string): Promise<Pause | null> {
    this.#parts.reconciliation.pauses.set(pause, by);
    return pause;
  }

  async findOperationHold(ref: NamespaceRef): Promise<string | null> {
    return this.#parts.reconciliation.pauses.findHold(ref);
  }

  async notePause(ref: NamespaceRef, summary: string, by: string): Promise<void> {
    const environments = this.#parts.store.environmentsOf(ref);
    this.ctx.storage.transactionSync(() =>
      this.#parts.reconciliation.pauses.note(environments, ref, summary, by),
    );
  }

  // Repairs.

  async listRegistries(): Promise<readonly NamedRegistry[]> {
    return this.#parts.reconciliation.registries.list();
  }

  async listSeenMembers(ref: NamespaceRef): Promise<readonly string[]> {
    return this.#parts.reconciliation.registries.read(ref)?.members ?? [];
  }

  async noteRepair(ref: NamespaceRef, repair: AppliedRepair, by: string): Promise<void> {
    const { reconciliation, store } = this.#parts;
    const environments = store.environmentsOf(ref);
    this.ctx.storage.transactionSync(() =>
      reconciliation.noteRepair(environments, ref, repair, by),
    );
  }

  async findRepair(ref: NamespaceRef, fingerprint: string): Promise<RepairOutcome | null> {
    return this.#parts.reconciliation.registries.findRepair(ref, fingerprint);
  }

  // Plans and runs.

  async storePlan(plan: StoredPlan, seen: readonly NamespaceRef[], actor: string): Promise<void> {
    this.#parts.plans.put(plan, seen, actor);
  }

  async readPlan(fingerprint: string): Promise<Uint8Array | null> {
    return this.#parts.store.getPlan(fingerprint);
  }

  async readDesired(fingerprint: string): Promise<Uint8Array | null> {
    return this.#parts.store.getDesired(fingerprint);
  }

  async listNamespaces(environment: string | null): Promise<NamespaceRef[]> {
    return this.#parts.store.listNamespaces(environment);
  }

  async checkReview(order: ApplyOrder): Promise<Result<readonly Guard[], StartRunFailure>> {
    return this.#parts.starts.checkReview(order);
  }

  async startRun(order: ApplyOrder): Promise<Result<Run, StartRunFailure>> {
    return this.#parts.starts.start(order);
  }

  async findRival(fingerprint: string): Promise<Run | null> {
    return this.#parts.starts.findRivalOf(fingerprint);
  }

  async findSucceeded(fingerprint: string, pull: number): Promise<Run | null> {
    return this.#parts.runs.findSucceeded(fingerprint, pull);
  }

  async readRun(id: string): Promise<Run | null> {
    return this.#parts.runs.findRun(id);
  }

  async waitForRun(id: string, since: number | null, waitMs: number): Promise<Run | null> {
    return this.#parts.runs.waitFor(id, since, waitMs);
  }

  async listRuns(filter: RunFilter): Promise<Run[]> {
    return this.#parts.runs.list(filter);
  }

  async cancelRun(id: string): Promise<Run | null> {
    return this.#parts.runs.cancel(id);
  }

  // Pull requests.

  async putReview(review: Omit<NewReview, "environment">, counts: boolean): Promise<Review | null> {
    return this.#parts.reviews.put(review, counts);
  }

  async listReviews(filter: ReviewFilter, limit: number): Promise<Review[]> {
    return this.#parts.reviewsStore.list(filter, limit);
  }

  async newestReview(environment: string, pull: number): Promise<Review | null> {
    return this.#parts.reviewsStore.newest(environment, pull);
  }

  async releaseReview(
    environment: string,
    pull: number,
    fingerprint: string,
    release: Release,
  ): Promise<Review | null> {
    return this.#parts.reviews.release(environment, pull, fingerprint, release);
  }

  async forgetReviews(environment: string, pull: number): Promise<void> {
    this.#parts.reviewsStore.forgetPull(environment, pull);
  }

  async acceptDelivery(id: string, tasks: readonly PullTask[]): Promise<boolean> {
    const { once, pullWork, alarm } = this.#parts;
    const now = Date.now();
    const isNew = this.ctx.storage.transactionSync(() => {
      if (!once.claim("delivery", id, crypto.randomUUID(), now + DELIVERY_MEMORY_MS, now))
        return false;
      pullWork.queue(tasks, now);
      return true;
    });
    alarm.arm();
    return isNew;
  }

  async queuePullTasks(tasks: readonly PullTask[]): Promise<void> {
    this.#parts.pullWork.queue(tasks, Date.now());
    this.#parts.alarm.arm();
  }

  async claimToken(id: string, claim: string, expiresAt: number): Promise<boolean> {
    return this.#parts.once.claim("token", id, claim, expiresAt, Date.now());
  }

  // Views for people and machines.

  async readOverview(request: OverviewRequest): Promise<OverviewFacts> {
    return this.#parts.page.overview(request);
  }

  async readNamespacePage(
    environment: string | null,
    ref: NamespaceRef,
  ): Promise<NamespacePageFacts | null> {
    return this.#parts.page.namespace(environment, ref);
  }

  async readRunViews(ids: readonly string[]): Promise<RunView[]> {
    return this.#parts.page.runs(ids);
  }

  async noteLooks(looks: readonly Looked[]): Promise<void> {
    this.#parts.page.noteLooks(looks, Date.now());
  }

  async listEvents(filter: EventFilter): Promise<HistoryEvent[]> {
    return this.#parts.observation.listEvents(filter);
  }

  async readMetrics(): Promise<MetricFamily[]> {
    return this.#parts.observation.metrics(this.githubReader()?.rateBudget() ?? null, Date.now());
  }

  async isHealthy(): Promise<boolean> {
    return this.#parts.observation.isHealthy(Date.now());
  }
}
