/**
 * The coordinator: the one Durable Object of a Worker that knows its plans and runs, and drives runs to their end.
 *
 * It steps by alarm, never in a request: a run goes on when nobody is looking, and resumes after a restart at any point, because a
 * step is re-entrant and its progress and the next alarm are written together. The alarm handler never throws: the runtime drops
 * an alarm after six failures. One object serves all environments, since they share the namespaces of one Worker.
 */
import { DurableObject } from "cloudflare:workers";

import { advanceRun, type FindHold } from "../apply/advance-run.ts";
import { RECONCILER } from "../apply/reconcile/decide-pending.ts";
import type { NewRun, Pause } from "../apply/reconcile/ports.ts";
import { createRun, delayUntilNextMs, detachAction, failRun, requestCancel, type RunRecord } from "../apply/run-record.ts";
import type { Run } from "../core/api.ts";
import type { DriftReport } from "../core/drift.ts";
import type { HistoryEvent } from "../core/event.ts";
import type { NamespaceRef } from "../core/live.ts";
import type { Guard, Plan } from "../core/plan.ts";
import { failure, success, type Result } from "../core/result.ts";
import type { Release, Review } from "../core/review.ts";
import type { DesiredState } from "../core/spec.ts";
import type { GithubReader, GithubWriter } from "../github/port.ts";
import { createObjectAccess } from "../live/durable-object.ts";
import type { MetricFamily } from "../render/metrics-text.ts";
import type { RunView } from "../render/page/page-data.ts";
import type { ApplyOrder } from "./apply-plan.ts";
import { checkReview } from "./check-review.ts";
import type { CoordinatorApi, StartRunFailure } from "./coordinator-api.ts";
import { findHold } from "./find-hold.ts";
import type { EventFilter } from "./history/history-store.ts";
import { logError } from "./log.ts";
import { Observation } from "./observation.ts";
import { OnceStore } from "./once-store.ts";
import type { GithubSettings, Settings } from "./options.ts";
import { PageFacts, type NamespacePageFacts, type OverviewFacts, type OverviewRequest } from "./page/page-facts.ts";
import { noteSights } from "./page/note-sights.ts";
import type { Looked } from "./page/sights-store.ts";
import { PullWork } from "./pulls/pull-work.ts";
import type { PullTask } from "./pulls/pull-task.ts";
import { ReviewsStore, type NewReview, type ReviewFilter } from "./reviews-store.ts";
import type { AppliedState } from "./reconcile/applied-source.ts";
import { Reconciliation } from "./reconcile/reconciliation.ts";
import { CoordinatorStore, decodeJson, encodeJson, type RunFilter, type RunRow, type StoredPlan } from "./store.ts";

/** Unexpected exceptions in a row after which a run is failed: more than a quarter of an hour with the backoff below. */
export const FAULTS_MAX = 20;
/** GitHub sends a delivery again for at most three days. */
const DELIVERY_MEMORY_MS = 4 * 24 * 60 * 60 * 1000;
const FAULT_DELAY_FIRST_MS = 500;
const FAULT_DELAY_LONGEST_MS = 60_000;

/** Subclassed by `createReconciler`, which knows where the bindings are. */
export abstract class Coordinator<Env> extends DurableObject<Env> implements CoordinatorApi {
  readonly #store: CoordinatorStore;
  readonly #reviews: ReviewsStore;
  readonly #once: OnceStore;
  readonly #pullWork: PullWork;
  readonly #reconciliation: Reconciliation;
  readonly #page: PageFacts;
  readonly #observation: Observation;
  /** Active runs as last written, so that a step does not read thousands of actions. */
  readonly #records = new Map<string, RunRecord>();
  /** When each active run is to take its next step; empty after a restart, which means now. */
  readonly #nextStepAt = new Map<string, number>();
  readonly #waiters = new Map<string, Set<() => void>>();

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#store = new CoordinatorStore(ctx.storage.sql);
    this.#reviews = new ReviewsStore(ctx.storage.sql);
    this.#once = new OnceStore(ctx.storage.sql);
    const settled = (): Settings | null => {
      const settings = this.settings();
      return settings.ok ? settings.value : null;
    };
    const followed = (): GithubSettings | null => settled()?.github ?? null;
    this.#pullWork = new PullWork(ctx.storage.sql, {
      settings: followed,
      github: () => this.github(),
      live: () => createObjectAccess(this.objects()),
      coordinator: (use) => use(this),
      onQuiet: () => this.#arm(),
    });
    this.#reconciliation = new Reconciliation(ctx.storage.sql, {
      settings: followed,
      github: () => this.githubReader(),
      live: () => noteSights(createObjectAccess(this.objects()), (live) => this.#page.noteLive(live, Date.now())),
      reviews: this.#reviews,
      readPlan: (fingerprint) => this.#plan(fingerprint),
      findRun: (id) => this.#find(id)?.run ?? null,
      findRival: (environment, namespaces) => this.#findRival({ environment, namespaces, fingerprint: null }, Date.now()),
      startRun: (run) => this.#startOwn(run),
      detach: (id, namespace, reason) => this.#detach(id, namespace, reason),
      appliedEnvironments: () => this.#store.listApplied().map(({ environment }) => environment),
      newestApplied: (environment, known) => this.#newestApplied(environment, known),
      record: (event) => this.#observation.record(event),
      onTick: (state) => this.#observation.noteTick(state),
      onQuiet: () => this.#arm(),
    });
    this.#page = new PageFacts(ctx.storage.sql, {
      store: this.#store,
      reviews: this.#reviews,
      reconciliation: this.#reconciliation,
      findRun: (id) => this.#find(id)?.run ?? null,
      readPlan: (fingerprint) => this.#plan(fingerprint),
    });
    this.#observation = new Observation(ctx.storage.sql, {
      settings: settled,
      github: () => this.github(),
      environments: () => this.#reconciliation.environments(),
      state: (environment) => this.#reconciliation.state(environment),
      pause: () => this.#reconciliation.pause(),
      activeRuns: () => this.#store.listActiveRuns().map(({ id }) => this.#load(id).run),
      onChange: () => this.#arm(),
    });
    // An alarm can only be missing after a crash, and after a crash this runs.
    void ctx.blockConcurrencyWhile(() => this.resume());
  }

  protected abstract objects(): Readonly<Record<string, DurableObjectNamespace>>;
  /** A failure when the Worker is set up wrongly. The HTTP API says so; runs that were started before go on. */
  protected abstract settings(): Result<Settings, string>;
  /** Null when this Worker does not post. */
  protected abstract github(): GithubWriter | null;
  /** Null without a repository, or without credentials for it. */
  protected abstract githubReader(): GithubReader | null;

  async storePlan(plan: StoredPlan, seen: readonly NamespaceRef[], actor: string): Promise<void> {
    this.ctx.storage.transactionSync(() => {
      this.#putPlan(plan, actor);
      this.#store.rememberNamespaces(plan.environment, seen);
    });
  }

  /** The same plan made again is no news. */
  #putPlan(plan: StoredPlan, actor: string): void {
    const now = Date.now();
    if (this.#store.getPlan(plan.fingerprint) === null) this.#observation.notePlan(decodeJson(plan.body) as Plan, actor, now);
    this.#store.putPlan(plan, this.#reviews.keptPlans(), now);
  }

  async readPlan(fingerprint: string): Promise<Uint8Array | null> {
    return this.#store.getPlan(fingerprint);
  }

  async readDesired(fingerprint: string): Promise<Uint8Array | null> {
    return this.#store.getDesired(fingerprint);
  }

  async listNamespaces(environment: string | null): Promise<NamespaceRef[]> {
    return this.#store.listNamespaces(environment);
  }

  async checkReview(order: ApplyOrder): Promise<Result<readonly Guard[], StartRunFailure>> {
    const plan = this.#plan(order.fingerprint);
    return plan ? this.#checkReview(order, plan.environment) : failure({ kind: "unknownPlan" });
  }

  /**
   * Creates the run, or returns the active one of the same plan. Checks the review and the lock in the turn in which it takes it: what
   * was checked before may have changed.
   */
  async startRun(order: ApplyOrder): Promise<Result<Run, StartRunFailure>> {
    return this.#startRun(order);
  }

  #startRun(order: ApplyOrder): Result<Run, StartRunFailure> {
    const { fingerprint, requestedBy, origin } = order;
    const plan = this.#plan(fingerprint);
    if (!plan) return failure({ kind: "unknownPlan" });
    const overrides = this.#checkReview(order, plan.environment);
    if (!overrides.ok) return overrides;
    const now = Date.now();
    const rival = this.#findRival(claimOf(plan), now);
    if (rival) return rival.fingerprint === fingerprint ? success(rival) : failure({ kind: "locked", run: rival });
    const id = createRunId(now);
    this.#takeOver(plan.environment, id, now);
    const leaseToken = this.#store.nextLeaseToken(plan.environment);
    const record = createRun(plan, { id, requestedBy, overrides: overrides.value, origin, leaseToken, now });
    if (requestedBy !== RECONCILER) this.#store.rememberApplied(plan.environment, fingerprint);
    this.#save(record, null, 0, now);
    return success(record.run);
  }

  async findRival(fingerprint: string): Promise<Run | null> {
    const plan = this.#plan(fingerprint);
    return plan ? this.#findRival(claimOf(plan), Date.now()) : null;
  }

  async findSucceeded(fingerprint: string, pull: number): Promise<Run | null> {
    const runs = this.#store.listSucceeded(fingerprint).map(({ id }) => this.#load(id).run);
    return runs.find(({ origin }) => origin?.pull === pull) ?? null;
  }

  async readRun(id: string): Promise<Run | null> {
    return this.#find(id)?.run ?? null;
  }

  /** The run once it differs from `since` (default: from now), has ended, or the time is over. */
  async waitForRun(id: string, since: number | null, waitMs: number): Promise<Run | null> {
    const run = this.#find(id)?.run;
    if (!run) return null;
    const isNews = since !== null && run.updatedAt > since;
    if (run.state === "running" && !isNews) await this.#nextChange(id, waitMs);
    return this.readRun(id);
  }

  async listRuns(filter: RunFilter): Promise<Run[]> {
    return this.#store.listRuns(filter).map(({ id }) => this.#load(id).run);
  }

  /** Asks a run to end. Null when there is no such run; a run that has ended stays as it is. */
  async cancelRun(id: string): Promise<Run | null> {
    const record = this.#find(id);
    if (!record || record.run.state !== "running") return record?.run ?? null;
    const now = Date.now();
    this.#save(requestCancel(record), record, 0, now);
    this.#nextStepAt.set(id, now);
    this.#arm();
    return record.run;
  }

  /** Makes sure that unfinished runs have an alarm; returns how many there are. */
  async resume(): Promise<number> {
    const active = this.#store.listActiveRuns();
    const now = Date.now();
    const isIdle = active.length === 0 && this.#othersAt(now).length === 0;
    if (!isIdle && (await this.ctx.storage.getAlarm()) === null) await this.ctx.storage.setAlarm(Date.now());
    return active.length;
  }

  async tick(cron: string | null): Promise<void> {
    const now = Date.now();
    if (cron !== null) this.#observation.noteCron(cron, now);
    this.#reconciliation.tick();
    this.#reconciliation.start(now);
    this.#arm();
  }

  async reconcile(environment: string, waitMs: number): Promise<boolean> {
    const deadline = Date.now() + waitMs;
    // What a pass that is under way has looked at already, it does not look at again.
    if (!(await this.#reconciliation.waitForPass(environment, waitMs))) return false;
    await this.tick(null);
    return this.#reconciliation.waitForPass(environment, deadline - Date.now());
  }

  async listReconciled(): Promise<readonly string[]> {
    return this.#reconciliation.environments();
  }

  async readDrift(environment: string): Promise<DriftReport> {
    return this.#reconciliation.report(environment);
  }

  async setPause(pause: Pause | null, by: string): Promise<Pause | null> {
    this.#reconciliation.setPause(pause, by);
    return pause;
  }

  async putReview(review: Omit<NewReview, "environment">, counts: boolean): Promise<Review | null> {
    const plan = this.#plan(review.fingerprint);
    if (!plan) return null;
    const { environment } = plan;
    const before = this.#reviews.find(environment, review.pull, review.fingerprint);
    this.ctx.storage.transactionSync(() => this.#reviews.put({ ...review, environment }, counts));
    const after = this.#reviews.find(environment, review.pull, review.fingerprint);
    if (after !== null && after.headSha !== before?.headSha) this.#observation.noteReview(after);
    return after;
  }

  async listReviews(filter: ReviewFilter, limit: number): Promise<Review[]> {
    return this.#reviews.list(filter, limit);
  }

  async newestReview(environment: string, pull: number): Promise<Review | null> {
    return this.#reviews.newest(environment, pull);
  }

  async releaseReview(environment: string, pull: number, fingerprint: string, release: Release): Promise<Review | null> {
    const isShown = this.#reviews.release({ environment, pull, fingerprint }, release);
    if (isShown) this.#observation.noteRelease({ environment, pull, fingerprint }, release);
    return isShown ? this.#reviews.find(environment, pull, fingerprint) : null;
  }

  async forgetReviews(environment: string, pull: number): Promise<void> {
    this.#reviews.forgetPull(environment, pull);
  }

  async acceptDelivery(id: string, tasks: readonly PullTask[]): Promise<boolean> {
    const now = Date.now();
    const isNew = this.ctx.storage.transactionSync(() => {
      if (!this.#once.claim("delivery", id, crypto.randomUUID(), now + DELIVERY_MEMORY_MS, now)) return false;
      this.#pullWork.queue(tasks, now);
      return true;
    });
    this.#arm();
    return isNew;
  }

  async queuePullTasks(tasks: readonly PullTask[]): Promise<void> {
    this.#pullWork.queue(tasks, Date.now());
    this.#arm();
  }

  async claimToken(id: string, claim: string, expiresAt: number): Promise<boolean> {
    return this.#once.claim("token", id, claim, expiresAt, Date.now());
  }

  async readOverview(request: OverviewRequest): Promise<OverviewFacts> {
    return this.#page.overview(request);
  }

  async readNamespacePage(environment: string | null, ref: NamespaceRef): Promise<NamespacePageFacts | null> {
    return this.#page.namespace(environment, ref);
  }

  async readRunViews(ids: readonly string[]): Promise<RunView[]> {
    return this.#page.runs(ids);
  }

  async noteLooks(looks: readonly Looked[]): Promise<void> {
    this.#page.noteLooks(looks, Date.now());
  }

  async listEvents(filter: EventFilter): Promise<HistoryEvent[]> {
    return this.#observation.listEvents(filter);
  }

  async readMetrics(): Promise<MetricFamily[]> {
    return this.#observation.metrics(this.githubReader()?.rateBudget() ?? null, Date.now());
  }

  async isHealthy(): Promise<boolean> {
    return this.#observation.isHealthy(Date.now());
  }

  override async alarm(): Promise<void> {
    try {
      const now = Date.now();
      // Not waited for: runs must not wait for GitHub.
      this.#pullWork.start(now);
      this.#reconciliation.start(now);
      this.#observation.alerts.start(now);
      const due = this.#store.listActiveRuns().filter(({ id }) => (this.#nextStepAt.get(id) ?? 0) <= now);
      await Promise.all(due.map((row) => this.#step(row)));
      this.#arm();
    } catch (error) {
      // Storage itself failed. Throwing would use up one of the alarm's six lives.
      logError("coordinator.alarm.failed", {}, error);
      await this.ctx.storage.setAlarm(Date.now() + FAULT_DELAY_LONGEST_MS);
    }
  }

  /** Never throws: a run that cannot be stepped must not keep the others from theirs. */
  async #step({ id, fingerprint, faults }: RunRow): Promise<void> {
    try {
      const before = this.#load(id);
      const plan = this.#plan(fingerprint);
      const now = Date.now();
      if (this.#isFenced(id)) this.#save(failRun(before, "A newer run of the environment took over.", now), before, 0, now);
      else if (plan)
        this.#saveStep(
          before,
          await advanceRun(before, plan, createObjectAccess(this.objects()), now, this.#findHold(before, now)),
        );
      else this.#save(failRun(before, `Plan ${fingerprint} is no longer stored: plan again.`, now), before, 0, now);
    } catch (error) {
      this.#saveFault(id, faults + 1, error);
    }
  }

  /** A cancel or a takeover may have come in while the step was asking namespaces: neither may be overwritten. */
  #saveStep(before: RunRecord, after: RunRecord): void {
    if (this.#isFenced(after.run.id)) return;
    const cancelledMeanwhile = this.#load(after.run.id).cancelRequested && !before.cancelRequested;
    this.#save(cancelledMeanwhile ? requestCancel(after) : after, before, 0, Date.now());
  }

  #saveFault(id: string, faults: number, error: unknown): void {
    logError("run.step.failed", { correlationId: id, faults }, error);
    if (this.#isFenced(id)) return;
    const now = Date.now();
    const current = this.#load(id);
    const reason = `The run was given up after ${faults} internal errors: the Worker's log has them under ${id}. What is running in the namespace goes on.`;
    this.#save(faults < FAULTS_MAX ? current : failRun(current, reason, now), current, faults, now);
  }

  /** Writes the record and the alarm for what comes next in one transaction, then tells who is waiting. */
  #save(record: RunRecord, before: RunRecord | null, faults: number, now: number): void {
    const { id, state } = record.run;
    this.ctx.storage.transactionSync(() => {
      this.#store.putRun(record, before, faults);
      this.#page.noteRun(record.run, before?.run ?? null);
      this.#observation.noteRun(record.run, before?.run ?? null, now);
      this.#reconciliation.noteRun(record.run, before?.run ?? null);
      if (state !== before?.run.state) this.#pullWork.tellRun(record.run, now);
    });
    if (state === "running") this.#records.set(id, record);
    else this.#records.delete(id);
    const delayMs = delayUntilNextMs(record, now);
    if (delayMs === null) this.#nextStepAt.delete(id);
    else this.#nextStepAt.set(id, now + Math.max(delayMs, faultDelayMs(faults)));
    // No await since the writes above: the alarm and the progress become durable together.
    this.#arm();
    if (record.run.updatedAt !== before?.run.updatedAt) this.#wake(id);
  }

  /** Sets the alarm for what is due first: a run's step, work on pull requests, a slice of reconciliation, or an alert. */
  #arm(): void {
    const times = [...this.#nextStepAt.values(), ...this.#othersAt(Date.now())];
    if (times.length > 0) void this.ctx.storage.setAlarm(Math.min(...times));
  }

  /** When what is no run has something to do. */
  #othersAt(now: number): number[] {
    const times = [this.#pullWork.nextAt(now), this.#reconciliation.nextAt(now), this.#observation.alerts.nextAt(now)];
    return times.filter((time) => time !== null);
  }

  /** A run for reconciliation, which has judged reviews and guards itself. */
  #startOwn({ plan, desired, overrides, origin }: NewRun): Result<Run, string> {
    const { fingerprint, environment } = plan;
    if (this.#store.getPlan(fingerprint) === null) {
      const stored = { fingerprint, environment, body: encodeJson(plan), desired: encodeJson(desired) };
      this.ctx.storage.transactionSync(() => this.#putPlan(stored, RECONCILER));
    }
    const started = this.#startRun({ fingerprint, overrides, requestedBy: RECONCILER, origin, needsReview: false });
    return started.ok
      ? started
      : failure(started.failure.kind === "locked" ? `run ${started.failure.run.id} is active` : started.failure.kind);
  }

  #detach(id: string, namespace: string, reason: string): void {
    const record = this.#find(id);
    if (!record || record.run.state !== "running") return;
    const now = Date.now();
    this.#save(detachAction(record, namespace, reason, now), record, 0, now);
  }

  #newestApplied(environment: string, knownFingerprint: string | null): AppliedState | "unchanged" | null {
    const fingerprint = this.#store.listApplied().find((applied) => applied.environment === environment)?.fingerprint;
    if (fingerprint === undefined) return null;
    if (fingerprint === knownFingerprint) return "unchanged";
    const desired = this.#store.getDesired(fingerprint);
    return desired ? { fingerprint, desired: decodeJson(desired) as DesiredState } : null;
  }

  #findHold({ run }: RunRecord, now: number): FindHold {
    const desired = (): DesiredState | null => {
      const body = this.#store.getDesired(run.fingerprint);
      return body ? (decodeJson(body) as DesiredState) : null;
    };
    return findHold({ pausedBy: this.#reconciliation.pause()?.by ?? null, overrides: run.overrides, desired, now });
  }

  #checkReview(order: ApplyOrder, environment: string): Result<readonly Guard[], StartRunFailure> {
    const { fingerprint, overrides, origin, needsReview } = order;
    if (!needsReview) return success(overrides);
    const pull = origin?.pull ?? null;
    const known = {
      newest: pull === null ? null : this.#reviews.newest(environment, pull),
      own: pull === null ? null : this.#reviews.find(environment, pull, fingerprint),
    };
    const checked = checkReview({ fingerprint, pull, overrides }, known, Date.now());
    return checked.ok ? checked : failure({ kind: "notReviewed", message: checked.failure });
  }

  #findRival({ environment, namespaces, fingerprint }: Claim, now: number): Run | null {
    const own = new Set(namespaces);
    for (const row of this.#store.listActiveRuns()) {
      const { run } = this.#load(row.id);
      const overlaps = run.environment === environment || run.actions.some(({ namespace }) => own.has(namespace));
      if (overlaps && (run.lease.expiresAt > now || run.fingerprint === fingerprint)) return run;
    }
    return null;
  }

  /** Ends the environment's runs whose lease is lost. A step of theirs that is still under way is refused when it comes back. */
  #takeOver(environment: string, by: string, now: number): void {
    for (const row of this.#store.listActiveRuns().filter((run) => run.environment === environment)) {
      const record = this.#load(row.id);
      const lost = new Date(record.run.lease.expiresAt).toISOString();
      this.#save(
        failRun(record, `The run took no step until its lease was lost at ${lost}; run ${by} took over.`, now),
        record,
        0,
        now,
      );
    }
  }

  /** True when a newer run has taken the environment over: what an older one still has to say no longer counts. */
  #isFenced(id: string): boolean {
    const { run } = this.#load(id);
    return run.state !== "running" || run.lease.token < this.#store.newestLeaseToken(run.environment);
  }

  #plan(fingerprint: string): Plan | null {
    const body = this.#store.getPlan(fingerprint);
    return body ? (decodeJson(body) as Plan) : null;
  }

  #find(id: string): RunRecord | null {
    return this.#records.get(id) ?? this.#store.getRun(id);
  }

  #load(id: string): RunRecord {
    const record = this.#find(id);
    if (!record) throw new Error(`Run ${id} is listed, but its document is missing`);
    return record;
  }

  #nextChange(id: string, waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const waiters = this.#waiters.get(id) ?? new Set();
      this.#waiters.set(id, waiters);
      const done = (): void => {
        clearTimeout(timer);
        waiters.delete(done);
        if (waiters.size === 0) this.#waiters.delete(id);
        resolve();
      };
      const timer = setTimeout(done, waitMs);
      waiters.add(done);
    });
  }

  #wake(id: string): void {
    for (const done of this.#waiters.get(id) ?? []) done();
  }
}

/** What a run wants for itself. */
interface Claim {
  readonly environment: string;
  readonly namespaces: readonly string[];
  /** Of the plan; its own run is in nobody's way. */
  readonly fingerprint: string | null;
}

function claimOf({ environment, changes, fingerprint }: Plan): Claim {
  return { environment, namespaces: changes.map(({ namespace }) => namespace), fingerprint };
}

function faultDelayMs(faults: number): number {
  return faults === 0 ? 0 : Math.min(FAULT_DELAY_LONGEST_MS, FAULT_DELAY_FIRST_MS * 2 ** (faults - 1));
}

/** Sorts by time; unguessable enough to be unique. */
function createRunId(now: number): string {
  return `run-${now.toString(36)}-${crypto.randomUUID().slice(0, 8)}`;
}
