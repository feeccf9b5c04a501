/**
 * Reports the coordinator's work: the history, the alerts, the metrics and the heartbeat, in one
 * place, so that each action is reported once. Nothing here decides what is done.
 */
import type { EnvironmentState } from "../../reconcile/environment-state.ts";
import { fingerprintDrifts, sortDrifts } from "../../reconcile/track-drifts.ts";
import type { TrackedDrift } from "../../reconcile/namespace-state.ts";
import type { Pause } from "../../model/drift.ts";
import type { NewEvent } from "../../history/make-event.ts";
import type { Run } from "../../model/api.ts";
import type { HistoryEvent } from "../../model/event.ts";
import type { LiveNamespace } from "../../model/live.ts";
import type { Plan } from "../../model/plan.ts";
import type { Release, Review } from "../../model/review.ts";
import type { GithubWriter, RateBudget } from "../../github/port.ts";
import type { MetricFamily } from "../../metrics/metrics-text.ts";
import { Alerts } from "../../alerts/alerts.ts";
import { AlertsStore } from "../../alerts/alerts-store.ts";
import { HistoryStore, type EventFilter } from "../../history/history-store.ts";
import {
  aboutRun,
  cancelEvent,
  planEvent,
  policyEvents,
  takenBackEvents,
  releaseEvent,
  reviewEvent,
  runEvents,
} from "../../history/make-events.ts";
import type { RunPolicies } from "../../runs/plan-book.ts";
import { type ReadHistory, WatchedOperations } from "../../history/watched-operations.ts";
import { logEvent, tickId } from "../../log.ts";
import {
  collectMetrics,
  ENVIRONMENTS_MAX,
  type EnvironmentFacts,
  type Filling,
  FULLEST_MAX,
} from "../../metrics/collect.ts";
import { countAlert, countOperation, countRun, countTick } from "../../metrics/count.ts";
import { CountersStore } from "../../metrics/counters-store.ts";
import { beat, isBeating, type Heartbeat } from "../../metrics/heartbeat.ts";
import { NamesQuery } from "../../page/names-query.ts";
import { ReconcileDocuments } from "../../reconcile/state-store.ts";
import type { ReviewPlace } from "../../reviews/reviews-store.ts";
import type { Settings } from "../settings.ts";

/** Namespaces with a drift that are read for one alert. */
const DRIFTING_MAX = 50_000;

/** The calls about what was observed. */
export interface ObservationCalls {
  listEvents(filter: EventFilter): HistoryEvent[];
  readMetrics(): MetricFamily[];
  /** Somebody has asked a run to end: for the history. */
  noteCancel(run: Run, by: string): void;
  /** False when ticks have not come, or not ended, for too long. */
  isHealthy(): boolean;
}

export interface ObservationParts {
  readonly settings: () => Settings | null;
  readonly github: () => GithubWriter | null;
  /** GitHub's limits as its last answer gave them; null when nothing was asked. */
  readonly budget: () => RateBudget | null;
  readonly environments: () => readonly string[];
  readonly state: (environment: string) => EnvironmentState | null;
  readonly pause: () => Pause | null;
  readonly activeRuns: () => readonly Run[];
  readonly fullest: (count: number) => readonly Filling[];
  readonly onChange: () => void;
}

export class Observation implements ObservationCalls {
  readonly #sql: SqlStorage;
  readonly #parts: ObservationParts;
  readonly #history: HistoryStore;
  readonly #operations: WatchedOperations;
  readonly #counters: CountersStore;
  readonly #names: NamesQuery;
  readonly #documents: ReconcileDocuments;
  readonly alerts: Alerts;

  constructor(sql: SqlStorage, parts: ObservationParts) {
    this.#sql = sql;
    this.#parts = parts;
    this.#history = new HistoryStore(sql);
    this.#counters = new CountersStore(sql);
    this.#operations = new WatchedOperations(sql, {
      activeRuns: parts.activeRuns,
      record: (event) => this.record(event),
      onEnd: (environment, operation) => countOperation(this.#counters, environment, operation),
    });
    this.#documents = new ReconcileDocuments(sql);
    this.#names = new NamesQuery(sql);
    this.alerts = new Alerts(new AlertsStore(sql), {
      environments: parts.environments,
      github: parts.github,
      issueEnvironment: () => parts.settings()?.github?.environment ?? null,
      webhookUrl: () => parts.settings()?.alertWebhookUrl ?? null,
      facts: async (environment) => {
        const state = parts.state(environment);
        const drifts = sortDrifts(this.#drifts(environment, state));
        const fingerprint = await fingerprintDrifts(drifts);
        return {
          environment,
          commit: state?.commit ?? null,
          isComplete: state?.outcome === "complete",
          fingerprint,
          drifts,
        };
      },
      send: (input, init) => fetch(input, init),
      record: (event) => this.record(event),
      correlationId: (environment) => this.#tickOf(environment),
      onTry: (environment, channel, outcome) =>
        countAlert(this.#counters, environment, channel, outcome),
      onChange: parts.onChange,
    });
  }

  /** Something happened. */
  record(event: NewEvent): void {
    this.#history.put(event);
    const { kind, namespace, environment, summary, actor } = event;
    logEvent(`history.${kind}`, {
      correlationId: this.#correlationOf(event),
      environment,
      namespace: namespace ?? "",
      summary,
      actor,
    });
  }

  /**
   * The run; else the plan; else the tick, in which drifts, alerts and operations by hand are
   * found.
   */
  #correlationOf({ kind, run, fingerprint, environment }: NewEvent): string {
    // The fingerprint of an alert is that of its drifts.
    return run ?? (kind === "alert" ? null : fingerprint) ?? this.#tickOf(environment);
  }

  /** The environment's pass that is under way, or was the last one. */
  #tickOf(environment: string): string {
    return tickId(environment, this.#parts.state(environment)?.pass.number ?? 0);
  }

  notePlan(plan: Plan, actor: string, now: number): void {
    this.record(planEvent(plan, actor, now));
  }

  noteReview(review: Review): void {
    this.record(reviewEvent(review));
  }

  noteRelease(review: ReviewPlace, release: Release): void {
    this.record(releaseEvent(review, release));
  }

  /** A run was written. */
  noteRun(run: Run, before: Run | null, now: number): void {
    for (const event of runEvents(run, before, now)) this.record(event);
    countRun(this.#counters, run, before);
    this.#operations.noteRun(run, before);
  }

  /** The run has succeeded, with its policies or without those that a merge has taken back. */
  notePolicies({ applied, takenBack }: RunPolicies, run: Run, now: number): void {
    const about = aboutRun(run, now);
    for (const event of policyEvents(applied, about)) this.record(event);
    for (const event of takenBackEvents(takenBack, about)) this.record(event);
  }

  noteCancel(run: Run, by: string): void {
    this.record(cancelEvent(run, by, Date.now()));
  }

  /** Reconciliation has read a namespace. */
  noteLive(
    environment: string,
    live: LiveNamespace,
    readHistory: ReadHistory,
    now: number,
  ): Promise<void> {
    return this.#operations.noteLive(environment, live, readHistory, now);
  }

  /** A pass of reconciliation is over. */
  noteTick(state: EnvironmentState): void {
    const { environment, pass, outcome, durationMs, lastFigures } = state;
    logEvent("reconcile.tick", {
      correlationId: tickId(environment, pass.number),
      environment,
      outcome: outcome ?? "",
      durationMs: durationMs ?? 0,
      ...lastFigures,
    });
    countTick(this.#counters, state);
    this.alerts.noteTick(environment);
  }

  /** A cron event came. */
  noteCron(cron: string, now: number): void {
    this.#documents.write("heartbeat", "", beat(this.#heartbeat(), cron, now));
  }

  isHealthy(): boolean {
    const states = this.#parts.environments().map((environment) => this.#parts.state(environment));
    return isBeating(
      this.#heartbeat(),
      states.filter((state) => state !== null),
      Date.now(),
    );
  }

  listEvents(filter: EventFilter): HistoryEvent[] {
    return this.#history.list(filter);
  }

  readMetrics(): MetricFamily[] {
    const environments = this.#parts.environments().slice(0, ENVIRONMENTS_MAX);
    return collectMetrics(
      {
        environments: environments.flatMap((environment) => this.#environmentFacts(environment)),
        activeRuns: this.#parts.activeRuns(),
        unfollowed: this.#operations.running(environments),
        paused: this.#parts.pause(),
        alerts: this.alerts.list(),
        pullTasks: this.#pullTasks(),
        budget: this.#parts.budget(),
        fullest: this.#parts.fullest(FULLEST_MAX),
        now: Date.now(),
      },
      this.#counters,
    );
  }

  #environmentFacts(environment: string): EnvironmentFacts[] {
    const state = this.#parts.state(environment);
    if (state === null) return [];
    return [
      {
        state,
        drifts: this.#drifts(environment, state),
        conditions: this.#names.counts(environment),
        pending: this.#pending(environment),
      },
    ];
  }

  #drifts(environment: string, state: EnvironmentState | null): TrackedDrift[] {
    const ofNamespaces = this.#names.drifting(environment, DRIFTING_MAX);
    return [
      ...(state?.drifts ?? []),
      ...ofNamespaces.flatMap(({ faults, differences }) => [...faults, ...differences]),
    ];
  }

  #pending(environment: string): EnvironmentFacts["pending"] {
    return this.#sql
      .exec<{ count: number; since: number | null }>(
        `SELECT count(*) AS count, min(json_extract(body, '$.condition.since')) AS since FROM reconciledNames
          WHERE environment = ? AND isPending = 1`,
        environment,
      )
      .one();
  }

  #pullTasks(): { readonly count: number; readonly oldestDueAt: number | null } {
    return this.#sql
      .exec<{ count: number; oldestDueAt: number | null }>(
        "SELECT count(*) AS count, min(dueAt) AS oldestDueAt FROM tasks",
      )
      .one();
  }

  #heartbeat(): Heartbeat | null {
    return this.#documents.read<Heartbeat>("heartbeat", "");
  }
}
