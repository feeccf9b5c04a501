/**
 * Finds the reviewed plans that the head of the default branch stands on: the newest review of each
 * pull request that is merged into it, and what was released since. GitHub says which pull requests
 * are merged: see `merge-memory.ts` for how often it is asked.
 */
import type { Guard, Plan } from "../model/plan.ts";
import type { Review } from "../model/review.ts";
import type { GithubFailure, GithubReader } from "../github/port.ts";
import { type ShownFigures, withShown } from "../model/count-moved.ts";
import type { MergeMemory } from "./merge-memory.ts";
import type { ReviewFilter, ReviewPlace } from "./reviews-store.ts";

/**
 * Reviews that are looked through, newest first, and pull requests of them that GitHub is asked
 * about.
 */
const REVIEWS_MAX = 200;
const PULLS_MAX = 20;

/** Which plans the merged commit stands on. */
export interface ReviewLookup {
  find(commit: string): Promise<ReviewAnswer>;
}

export type ReviewAnswer = { readonly requests: number } & (
  | { readonly kind: "found"; readonly plans: readonly ReviewedPlan[] }
  | { readonly kind: "failed"; readonly message: string }
  /** There is no repository, and so nothing is merged or reviewed: people apply by themselves. */
  | { readonly kind: "noRepository" }
);

/** A plan that was shown in a pull request that is merged now. */
export interface ReviewedPlan {
  readonly pull: number;
  /** With the counts that were shown. */
  readonly plan: Plan;
  /** True when an apply job has asked for it: what it had to leave waiting is to be started. */
  readonly isOrdered: boolean;
  /** True while a release of exactly this fingerprint has not expired. */
  readonly isReleased: boolean;
  /** Of that release. */
  readonly overrides: readonly Guard[];
}

export interface ReviewParts {
  readonly environment: string;
  readonly defaultBranch: string;
  readonly list: (filter: ReviewFilter, limit: number) => readonly Review[];
  /** The plan that a merge of the pull request may apply. */
  readonly newest: (environment: string, pull: number) => Review | null;
  readonly readPlan: (fingerprint: string) => Plan | null;
  /** The counts that were shown with it; null when nobody knows. */
  readonly figures: (place: ReviewPlace) => ShownFigures | null;
  readonly isOrdered: (place: ReviewPlace) => boolean;
  readonly merged: MergeMemory;
  readonly now: () => number;
}

export function createReviewLookup(github: GithubReader, parts: ReviewParts): ReviewLookup {
  return {
    async find(commit) {
      const { environment, list, merged, now } = parts;
      const reviews = list({ environment, pull: null }, REVIEWS_MAX);
      const pulls = [...new Set(reviews.map(({ pull }) => pull))].slice(0, PULLS_MAX);
      let requests = 0;
      merged.keepOnly(pulls);
      for (const pull of pulls.filter((number) => merged.isDue(number, commit, now()))) {
        const found = await github.pull(pull);
        requests++;
        if (!found.ok && found.failure.kind !== "notFound") return failed(found.failure, requests);
        const isMerged =
          found.ok && found.value.state === "merged" && found.value.baseRef === parts.defaultBranch;
        merged.note(pull, isMerged, commit, now());
      }
      const standing = pulls.filter((pull) => merged.isMerged(pull));
      return {
        kind: "found",
        requests,
        plans: standing.flatMap((pull) => plansOf(pull, reviews, parts)),
      };
    },
  };
}

/** The newest review, and every one that was released and has not expired. */
function plansOf(
  pull: number,
  reviews: readonly Review[],
  { environment, newest, readPlan, figures, isOrdered, now }: ReviewParts,
): ReviewedPlan[] {
  const last = newest(environment, pull);
  const own = reviews.filter((review) => review.pull === pull);
  const valid = own.filter(
    (review) =>
      review.fingerprint === last?.fingerprint || (review.release?.expiresAt ?? 0) > now(),
  );
  return valid.flatMap(({ fingerprint, release }) => {
    const plan = readPlan(fingerprint);
    if (plan === null) return [];
    const isReleased = release !== null && release.expiresAt > now();
    return [
      {
        pull,
        plan: withShown(plan, figures({ environment, pull, fingerprint })),
        isOrdered: isOrdered({ environment, pull, fingerprint }),
        isReleased,
        overrides: isReleased ? release.overrides : [],
      },
    ];
  });
}

function failed({ message }: GithubFailure, requests: number): ReviewAnswer {
  return { kind: "failed", message, requests };
}
