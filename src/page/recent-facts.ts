/**
 * Recent facts for the status page: the last runs, plans, plans shown in pull requests, and events.
 * Facts that never change again are kept in memory in the few words that the page needs, so that a
 * page a second does not read thousands of actions.
 */
import type { Run, RunAction } from "../model/api.ts";
import type { HistoryEvent } from "../model/event.ts";
import type { Plan } from "../model/plan.ts";
import type { Review } from "../model/review.ts";
import { isVisible, type VisibleNames } from "../model/token-scope.ts";
import type { Overview, ReviewView, RunView, StoredPlanView } from "./page-data.ts";
import { summarizePlan, type PlanSummary } from "../render/plan-summary.ts";
import type { EventFilter } from "../history/history-store.ts";
import type { ReviewsStore } from "../reviews/reviews-store.ts";
import type { CoordinatorStore } from "../runs/store.ts";

/** Rows of each list. */
const RECENT_MAX = 10;
/** Runs that are told about in one call. */
const RUNS_MAX = 50;
const FAILURES_MAX = 3;
/** Summaries that are kept in memory: plans and ended runs never change. */
const SUMMARIES_MAX = 200;

export interface RecentSources {
  readonly store: Pick<CoordinatorStore, "listRuns">;
  readonly reviews: Pick<ReviewsStore, "list">;
  readonly findRun: (id: string) => Run | null;
  readonly readPlan: (fingerprint: string) => Plan | null;
  readonly listEvents: (filter: EventFilter) => HistoryEvent[];
}

export class RecentFacts {
  readonly #sql: SqlStorage;
  readonly #sources: RecentSources;
  readonly #plans = new Map<string, PlanSummary | null>();
  readonly #runs = new Map<string, RunView>();

  constructor(sql: SqlStorage, sources: RecentSources) {
    this.#sql = sql;
    this.#sources = sources;
  }

  /**
   * The lists of an environment. Runs, reviews and plans may be about any of its namespaces: a
   * viewer who may not see all of them is shown none.
   */
  of(
    environment: string,
    visible: VisibleNames | null,
  ): Pick<Overview, "runs" | "reviews" | "plans" | "events"> {
    const { store, reviews } = this.#sources;
    const events = this.events(environment, null, visible);
    if (!isVisible(visible, environment, null)) return { runs: [], reviews: [], plans: [], events };
    return {
      runs: store
        .listRuns({ environment, limit: RECENT_MAX, isActive: false })
        .flatMap(({ id }) => this.#run(id)),
      reviews: reviews
        .list({ environment, pull: null }, RECENT_MAX)
        .map((review) => this.#review(review)),
      plans: this.#storedPlans(environment),
      events,
    };
  }

  /** The runs of the given ids that are still known. */
  runs(ids: readonly string[]): RunView[] {
    return ids.slice(0, RUNS_MAX).flatMap((id) => this.#run(id));
  }

  /** Newest first; of one namespace, or of all and the environment itself. */
  events(
    environment: string,
    namespace: string | null,
    visible: VisibleNames | null,
  ): HistoryEvent[] {
    return this.#sources.listEvents({
      environment,
      namespace,
      kind: null,
      before: null,
      after: null,
      limit: RECENT_MAX,
      visible,
    });
  }

  #run(id: string): RunView[] {
    const known = this.#runs.get(id);
    if (known) return [known];
    const run = this.#sources.findRun(id);
    if (run === null) return [];
    const view = viewRun(run);
    if (run.state !== "running") keep(this.#runs, id, view);
    return [view];
  }

  #review(review: Review): ReviewView {
    const { pull, headSha, fingerprint, requestedBy, reviewedAt, runUrl, release } = review;
    const plan = this.#plan(fingerprint);
    return {
      pull,
      headSha,
      fingerprint,
      requestedBy,
      reviewedAt,
      runUrl,
      releasedBy: release?.releasedBy ?? null,
      plan,
    };
  }

  #storedPlans(environment: string): StoredPlanView[] {
    return this.#sql
      .exec<{ fingerprint: string; storedAt: number }>(
        "SELECT fingerprint, storedAt FROM plans WHERE environment = ? ORDER BY storedAt DESC, fingerprint LIMIT ?",
        environment,
        RECENT_MAX,
      )
      .toArray()
      .map(({ fingerprint, storedAt }) => ({
        fingerprint,
        storedAt,
        plan: this.#plan(fingerprint),
      }));
  }

  #plan(fingerprint: string): PlanSummary | null {
    const known = this.#plans.get(fingerprint);
    if (known !== undefined) return known;
    const plan = this.#sources.readPlan(fingerprint);
    // A plan that is not stored now may be stored later.
    if (plan === null) return null;
    const summary = summarizePlan(plan);
    keep(this.#plans, fingerprint, summary);
    return summary;
  }
}

function viewRun(run: Run): RunView {
  const {
    id,
    environment,
    state,
    fingerprint,
    requestedBy,
    origin,
    startedAt,
    finishedAt,
    actions,
  } = run;
  const counts: Partial<Record<RunAction["state"], number>> = {};
  for (const action of actions) counts[action.state] = (counts[action.state] ?? 0) + 1;
  const failed = actions.filter((action) => action.state === "failed");
  return {
    id,
    environment,
    state,
    fingerprint,
    requestedBy,
    pull: origin?.pull ?? null,
    commit: origin?.commit ?? null,
    runUrl: origin?.runUrl ?? null,
    startedAt,
    finishedAt,
    counts,
    failures: failed.slice(0, FAILURES_MAX).map(({ namespace, error, operation }) => ({
      namespace,
      error: error ?? operation?.fault?.message ?? "no reason given",
    })),
  };
}

function keep<Value>(memory: Map<string, Value>, key: string, value: Value): void {
  memory.set(key, value);
  const oldest = memory.keys().next();
  if (memory.size > SUMMARIES_MAX && !oldest.done) memory.delete(oldest.value);
}
