/**
 * Records the plans that pull requests were shown, and their releases, as the coordinator writes
 * them: under the plan's environment, and with an event in the history.
 */
import type { Release, Review } from "../model/review.ts";
import type { NewReview, ReviewPlace, ReviewsStore } from "./reviews-store.ts";

/** The calls that record a review. */
export interface ReviewCalls {
  /**
   * Null when the plan is not stored. `counts` false: shown after the merge, so that only a release
   * makes it count.
   */
  put(review: Omit<NewReview, "environment">, counts: boolean): Review | null;
  /** Null when the plan was never shown in that pull request. */
  release(place: ReviewPlace, release: Release): Review | null;
}

export interface PullReviewsParts {
  readonly storage: DurableObjectStorage;
  readonly store: ReviewsStore;
  /** Null when the plan is not stored. */
  readonly environmentOf: (fingerprint: string) => string | null;
  readonly onReview: (review: Review) => void;
  readonly onRelease: (place: ReviewPlace, release: Release) => void;
}

export class PullReviews implements ReviewCalls {
  readonly #parts: PullReviewsParts;

  constructor(parts: PullReviewsParts) {
    this.#parts = parts;
  }

  put(review: Omit<NewReview, "environment">, counts: boolean): Review | null {
    const { storage, store, environmentOf, onReview } = this.#parts;
    const environment = environmentOf(review.fingerprint);
    if (environment === null) return null;
    const place = { environment, pull: review.pull, fingerprint: review.fingerprint };
    const before = store.find(place);
    storage.transactionSync(() => store.put({ ...review, environment }, counts));
    const after = store.find(place);
    if (after !== null && after.headSha !== before?.headSha) onReview(after);
    return after;
  }

  release(place: ReviewPlace, release: Release): Review | null {
    const { store, onRelease } = this.#parts;
    if (!store.release(place, release)) return null;
    onRelease(place, release);
    return store.find(place);
  }
}
