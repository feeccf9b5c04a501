/**
 * Records the plans that pull requests were shown, and their releases, as the coordinator writes
 * them: under the plan's environment, and with an event in the history.
 */
import type { Run } from "../model/api.ts";
import type { Plan } from "../model/plan.ts";
import type { Release, Review } from "../model/review.ts";
import { figuresOf } from "../model/count-moved.ts";
import type { NewReview, ReviewPlace, ReviewsStore } from "./reviews-store.ts";

/** The calls that record a review. */
export interface ReviewCalls {
  /**
   * Null when the plan is not stored. `counts` false: shown after the merge, so that only a release
   * makes it count.
   */
  put(review: Omit<NewReview, "environment">, counts: boolean): Review | null;
  /**
   * Takes an earlier order of the plan back: each release needs its own apply job where the
   * workflow applies. Null when the plan was never shown in that pull request.
   */
  release(place: ReviewPlace, release: Release): Review | null;
}

export interface PullReviewsParts {
  readonly storage: DurableObjectStorage;
  readonly store: ReviewsStore;
  /** Null when the plan is not stored. */
  readonly readPlan: (fingerprint: string) => Plan | null;
  readonly onReview: (review: Review) => void;
  readonly onRelease: (place: ReviewPlace, release: Release) => void;
}

export class PullReviews implements ReviewCalls {
  readonly #parts: PullReviewsParts;

  constructor(parts: PullReviewsParts) {
    this.#parts = parts;
  }

  put(review: Omit<NewReview, "environment">, counts: boolean): Review | null {
    const { storage, store, readPlan, onReview } = this.#parts;
    const plan = readPlan(review.fingerprint);
    if (plan === null) return null;
    const { environment, changes } = plan;
    const place = { environment, pull: review.pull, fingerprint: review.fingerprint };
    const before = store.find(place);
    storage.transactionSync(() => {
      store.put({ ...review, environment }, counts);
      // Nobody has agreed yet to the counts that a job shows after the merge.
      if (counts) store.putFigures(place, figuresOf(changes));
      store.putPosted(place, figuresOf(changes));
    });
    const after = store.find(place);
    if (after !== null && after.headSha !== before?.headSha) onReview(after);
    return after;
  }

  /**
   * Leaves everything that a cancelled run was about to the next apply job. Its plan may be a
   * selection of several reviewed ones, so every order that shows one of its namespaces goes.
   */
  takeBackAfter({ environment, fingerprint, actions }: Run): void {
    const { store, readPlan } = this.#parts;
    const names = new Set(actions.map(({ namespace }) => namespace));
    for (const place of store.ordered(environment)) {
      const changes = readPlan(place.fingerprint)?.changes ?? [];
      if (
        place.fingerprint === fingerprint ||
        changes.some(({ namespace }) => names.has(namespace))
      )
        store.takeBack(place);
    }
  }

  release(place: ReviewPlace, release: Release): Review | null {
    const { storage, store, readPlan, onRelease } = this.#parts;
    const plan = readPlan(place.fingerprint);
    const isKnown = storage.transactionSync(() => {
      if (!store.release(place, release)) return false;
      // An apply job was given the plan without this release: what it lets start needs its own job.
      store.takeBack(place);
      // Another job may have counted again since: the counts that were read are the posted ones.
      const agreed = store.posted(place) ?? store.figures(place);
      if (agreed !== null) store.putFigures(place, agreed);
      else if (plan !== null) store.putFigures(place, figuresOf(plan.changes));
      return true;
    });
    if (!isKnown) return null;
    onRelease(place, release);
    return store.find(place);
  }
}
