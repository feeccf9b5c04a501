/**
 * Begins runs: checks the review and the lock in the turn in which it takes the lock, since
 * what was checked before may have changed.
 *
 * An environment has one active run, under a lease with a token that grows. A run whose lease is
 * lost is ended by the next one, and its token tells that what it still has to say no longer
 * counts.
 */
import { createRun, failRun, RECONCILER } from "./run-record.ts";
import type { Run } from "../model/api.ts";
import type { Guard, Plan } from "../model/plan.ts";
import { failure, success, type Result } from "../model/result.ts";
import type { RunOrigin } from "../model/review.ts";
import type { DesiredState } from "../model/spec.ts";
import type { ChangeProblem } from "./find-stale-changes.ts";
import type { PlanBook } from "./plan-book.ts";
import type { PolicyStore } from "./policy-store.ts";
import type { ReviewsStore } from "../reviews/reviews-store.ts";
import type { CoordinatorStore } from "./store.ts";
import { figuresOf, type ShownFigures } from "../model/count-moved.ts";
import { COUNT_AGE_MAX_MS } from "./judge-start.ts";
import { checkReview } from "../reviews/check-review.ts";
import type { RunBook } from "./run-book.ts";

export interface ApplyOrder {
  readonly fingerprint: string;
  readonly overrides: readonly Guard[];
  readonly requestedBy: string;
  /** Name of the caller's token: whom plans were shown to. */
  readonly actor: string;
  readonly origin: RunOrigin | null;
  /**
   * True: only what the pull request of `origin` has shown last, or what was released there;
   * overrides only as released.
   */
  readonly needsReview: boolean;
  /**
   * The namespaces that its token holds for, of the plan and of all that the environment knows;
   * absent for all. What others have applied before stays declared.
   */
  readonly holdsFor?: readonly string[];
}

export type StartRunFailure =
  | { readonly kind: "unknownPlan" }
  | { readonly kind: "locked"; readonly run: Run }
  | { readonly kind: "stale"; readonly problems: readonly ChangeProblem[] }
  | { readonly kind: "notReviewed"; readonly message: string };

/** An order that nothing here blocks but perhaps a rival. */
export interface CheckedOrder {
  /**
   * The counts that its review has shown; without need of one, those that the caller was shown, or
   * the newest review. Null where none are known.
   */
  readonly shown: ShownFigures | null;
  /** The guards that it may override: as asked, or where it needs a review as released. */
  readonly overrides: readonly Guard[];
  /** Policies of the plan in whose place another one was applied since. */
  readonly stale: readonly ChangeProblem[];
  /** The active run that keeps the plan from starting; it may be the run of this very plan. */
  readonly rival: Run | null;
}

/** The calls that begin a run. */
export interface StartCalls {
  /**
   * Says what `start` would say now, before guards and live are asked. A reviewed plan that a rival
   * keeps waiting is ordered: the tick waits for the rival, too.
   *
   * @param namespaces those that the order's plan changes.
   */
  check(order: ApplyOrder, namespaces: readonly string[]): Result<CheckedOrder, StartRunFailure>;
  /**
   * Takes note that an apply job of a reviewed plan has come, and that only time keeps it from
   * starting: the tick starts it then. One that was refused for anything else is never noted, since
   * a later release would let it start without a job. Without a review it does nothing.
   */
  putOff(order: ApplyOrder): void;
  /**
   * @param judgedAt when `judge-start.ts` let all of the plan's changes through, in milliseconds
   * since the Unix epoch.
   * @throws when that is too long ago: nothing starts unjudged.
   */
  start(order: ApplyOrder, judgedAt: number): Result<Run, StartRunFailure>;
}

/** A run that reconciliation asks for. */
export interface NewRun {
  readonly plan: Plan;
  /** The state that the plan was made from. */
  readonly desired: DesiredState;
  readonly overrides: readonly Guard[];
  readonly origin: RunOrigin;
  /** The counts of its changes that were reviewed, as they were shown; a heal has none. */
  readonly shown: ShownFigures;
  /** When its changes were judged, as for `start`. */
  readonly judgedAt: number;
}

/** A run's claim to namespaces. */
interface Claim {
  readonly environment: string;
  readonly namespaces: readonly string[];
  /** Of the plan; its own run is in nobody's way. */
  readonly fingerprint: string | null;
}

export interface RunStartsParts {
  readonly store: CoordinatorStore;
  readonly book: RunBook;
  readonly plans: PlanBook;
  readonly policies: PolicyStore;
  readonly reviews: ReviewsStore;
}

export class RunStarts implements StartCalls {
  readonly #parts: RunStartsParts;

  constructor(parts: RunStartsParts) {
    this.#parts = parts;
  }

  start(order: ApplyOrder, judgedAt: number): Result<Run, StartRunFailure> {
    return this.#start(order, judgedAt, null);
  }

  /** @param own for reconciliation's, with the counts that its changes were shown with. */
  #start(
    order: ApplyOrder,
    judgedAt: number,
    own: Pick<NewRun, "shown"> | null,
  ): Result<Run, StartRunFailure> {
    const { fingerprint, requestedBy, origin } = order;
    if (Math.abs(Date.now() - judgedAt) > COUNT_AGE_MAX_MS)
      throw new Error(`Plan ${fingerprint} was not judged before its start`);
    const { store, book, plans } = this.#parts;
    const plan = plans.read(fingerprint);
    if (!plan) return failure({ kind: "unknownPlan" });
    const overrides = this.#judgeReview(order, plan.environment);
    if (!overrides.ok) return overrides;
    const now = Date.now();
    const rival = this.#findRival(claimOf(plan), now);
    // It has passed everything: what its run leaves undone, the tick tries again.
    this.#noteOrder(order, plan.environment);
    if (rival)
      return rival.fingerprint === fingerprint
        ? success(rival)
        : failure({ kind: "locked", run: rival });
    // A selection of reconciliation's own changes no policy.
    const stale = own === null ? this.#stalePolicies(plan) : [];
    if (stale.length > 0) return failure({ kind: "stale", problems: stale });
    const id = createRunId(now);
    this.#takeOver(plan.environment, id, now);
    const leaseToken = store.nextLeaseToken(plan.environment);
    const record = createRun(plan, {
      id,
      requestedBy,
      overrides: overrides.value,
      origin,
      leaseToken,
      shown:
        own === null
          ? (this.#shownTo(order, plan.environment) ?? figuresOf(plan.changes))
          : own.shown,
      now,
    });
    if (requestedBy !== RECONCILER) plans.noteApplied(plan, order);
    const changed = plan.changes.map(({ namespace: name, object }) => ({ name, object }));
    store.rememberNamespaces(plan.environment, changed);
    store.claimNamespaces(plan.environment, changed);
    book.write(record, null, 0, now);
    return success(record.run);
  }

  /** A run for reconciliation, which has judged reviews and guards itself. */
  startOwn({ plan, desired, overrides, origin, shown, judgedAt }: NewRun): Result<Run, string> {
    const { fingerprint } = plan;
    this.#parts.plans.putOwn(plan, desired, RECONCILER);
    const requestedBy = RECONCILER;
    const actor = RECONCILER;
    const order = { fingerprint, overrides, requestedBy, actor, origin, needsReview: false };
    const started = this.#start(order, judgedAt, { shown });
    return started.ok
      ? started
      : failure(
          started.failure.kind === "locked"
            ? `run ${started.failure.run.id} is active`
            : started.failure.kind,
        );
  }

  check(order: ApplyOrder, namespaces: readonly string[]): Result<CheckedOrder, StartRunFailure> {
    const { fingerprint } = order;
    const environment = this.#parts.plans.environmentOf(fingerprint);
    if (environment === null) return failure({ kind: "unknownPlan" });
    const overrides = this.#judgeReview(order, environment);
    if (!overrides.ok) return overrides;
    const rival = this.#findRival({ environment, namespaces, fingerprint }, Date.now());
    if (rival) this.#noteOrder(order, environment);
    const plan = this.#parts.plans.read(fingerprint);
    return success({
      overrides: overrides.value,
      rival,
      shown: this.#shownTo(order, environment),
      stale: plan === null ? [] : this.#stalePolicies(plan),
    });
  }

  #stalePolicies({ environment, policies = [] }: Plan): ChangeProblem[] {
    return this.#parts.policies.findStale(environment, policies).map(({ namespace }) => ({
      namespace,
      kind: "stale",
      message: `the policy of '${namespace}' is no longer the one that the plan was made to change`,
    }));
  }

  putOff(order: ApplyOrder): void {
    const environment = this.#parts.plans.environmentOf(order.fingerprint);
    // The review is asked again: it may no longer stand.
    if (environment !== null && this.#judgeReview(order, environment).ok)
      this.#noteOrder(order, environment);
  }

  #noteOrder({ fingerprint, origin, needsReview }: ApplyOrder, environment: string): void {
    const pull = origin?.pull ?? null;
    if (needsReview && pull !== null) this.#parts.reviews.order({ environment, pull, fingerprint });
  }

  #shownTo(
    { fingerprint, actor, origin, needsReview }: ApplyOrder,
    environment: string,
  ): ShownFigures | null {
    const { plans, reviews } = this.#parts;
    const pull = origin?.pull ?? null;
    if (needsReview)
      return pull === null ? null : reviews.figures({ environment, pull, fingerprint });
    // Nobody here has seen the counts that a plan for somebody else has renewed.
    return (
      plans.shownTo(fingerprint, actor) ??
      reviews.newestFigures(environment, fingerprint) ??
      plans.firstShown(fingerprint)
    );
  }

  /** The active run that has to end before a change of these namespaces can start. */
  findRival(environment: string, namespaces: readonly string[]): Run | null {
    return this.#findRival({ environment, namespaces, fingerprint: null }, Date.now());
  }

  #judgeReview(order: ApplyOrder, environment: string): Result<readonly Guard[], StartRunFailure> {
    const { fingerprint, overrides, origin, needsReview } = order;
    if (!needsReview) return success(overrides);
    const { reviews } = this.#parts;
    const pull = origin?.pull ?? null;
    const known = {
      newest: pull === null ? null : reviews.newest(environment, pull),
      own: pull === null ? null : reviews.find({ environment, pull, fingerprint }),
    };
    const checked = checkReview({ fingerprint, pull, overrides }, known, Date.now());
    return checked.ok ? checked : failure({ kind: "notReviewed", message: checked.failure });
  }

  #findRival({ environment, namespaces, fingerprint }: Claim, now: number): Run | null {
    const own = new Set(namespaces);
    for (const run of this.#parts.book.active()) {
      const overlaps =
        run.environment === environment || run.actions.some(({ namespace }) => own.has(namespace));
      if (overlaps && (run.lease.expiresAt > now || run.fingerprint === fingerprint)) return run;
    }
    return null;
  }

  /**
   * Ends the environment's runs whose lease is lost. A step of theirs that is still under way is
   * refused when it comes back.
   */
  #takeOver(environment: string, by: string, now: number): void {
    const { book } = this.#parts;
    for (const { id, lease } of book.active().filter((run) => run.environment === environment)) {
      const record = book.load(id);
      const lost = new Date(lease.expiresAt).toISOString();
      const reason = `The run took no step until its lease was lost at ${lost}; run ${by} took over.`;
      book.write(failRun(record, reason, now), record, 0, now);
    }
  }
}

function claimOf({ environment, changes, fingerprint }: Plan): Claim {
  return { environment, namespaces: changes.map(({ namespace }) => namespace), fingerprint };
}

/** Sorts by time; unguessable enough to be unique. */
function createRunId(now: number): string {
  return `run-${now.toString(36)}-${crypto.randomUUID().slice(0, 8)}`;
}
