/** Declares what the coordinator answers about reviews. */
import type { Release, Review } from "../model/review.ts";
import type { NewReview, ReviewFilter } from "./reviews-store.ts";

export interface ReviewCalls {
  /**
   * Null when the plan is not stored. `counts` false: shown after the merge, so that only a release
   * makes it count.
   */
  putReview(review: Omit<NewReview, "environment">, counts: boolean): Promise<Review | null>;
  /** Newest first. */
  listReviews(filter: ReviewFilter, limit: number): Promise<Review[]>;
  /** The plan that a merge of the pull request may apply. */
  newestReview(environment: string, pull: number): Promise<Review | null>;
  /** Null when the plan was never shown in that pull request. */
  releaseReview(
    environment: string,
    pull: number,
    fingerprint: string,
    release: Release,
  ): Promise<Review | null>;
  /** A pull request that can no longer be merged. */
  forgetReviews(environment: string, pull: number): Promise<void>;
}
