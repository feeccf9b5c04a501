/**
 * Records the plans that pull requests were shown, and their releases, as the coordinator writes
 * them: under the plan's environment, and with an event in the history.
 */
import type { Plan } from "../model/plan.ts";
import type { Release, Review } from "../model/review.ts";
import type { NewReview, ReviewsStore } from "./reviews-store.ts";

export interface PullReviewsParts {
  readonly storage: DurableObjectStorage;
  readonly store: ReviewsStore;
  readonly readPlan: (fingerprint: string) => Plan | null;
  readonly onReview: (review: Review) => void;
  readonly onRelease: (
    review: Pick<Review, "environment" | "pull" | "fingerprint">,
    release: Release,
  ) => void;
}

export class PullReviews {
  readonly #parts: PullReviewsParts;

  constructor(parts: PullReviewsParts) {
    this.#parts = parts;
  }

  /**
   * Null when the plan is not stored. `counts` false: shown after the merge, so that only a release
   * makes it count.
   */
  put(review: Omit<NewReview, "environment">, counts: boolean): Review | null {
    const { storage, store, readPlan, onReview } = this.#parts;
    const plan = readPlan(review.fingerprint);
    if (!plan) return null;
    const { environment } = plan;
    const before = store.find(environment, review.pull, review.fingerprint);
    storage.transactionSync(() => store.put({ ...review, environment }, counts));
    const after = store.find(environment, review.pull, review.fingerprint);
    if (after !== null && after.headSha !== before?.headSha) onReview(after);
    return after;
  }

  /** Null when the plan was never shown in that pull request. */
  release(environment: string, pull: number, fingerprint: string, release: Release): Review | null {
    const { store, onRelease } = this.#parts;
    if (!store.release({ environment, pull, fingerprint }, release)) return null;
    onRelease({ environment, pull, fingerprint }, release);
    return store.find(environment, pull, fingerprint);
  }
}
