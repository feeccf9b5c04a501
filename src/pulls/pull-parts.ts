/**
 * The parts that the work on pull requests may use. Nothing of it reaches into `env` or the network
 * by itself.
 */
import type { BlobCache } from "../github/find-manifests.ts";
import type { SetReader } from "../manifest/read-set.ts";
import type { GithubWriter } from "../github/port.ts";
import type { LiveAccess } from "../live/port.ts";
import type { PullReviews } from "../reviews/pull-reviews.ts";
import type { ReviewsStore } from "../reviews/reviews-store.ts";
import type { PlanBook } from "../runs/plan-book.ts";
import type { RunBook } from "../runs/run-book.ts";
import type { RunStarts } from "../runs/start-runs.ts";
import type { GithubSettings } from "../github/settings.ts";
import type { PullTask } from "./pull-task.ts";
import type { PostedPull } from "./pulls-store.ts";

export interface PullParts {
  readonly settings: GithubSettings;
  readonly github: GithubWriter;
  readonly liveAccess: LiveAccess;
  readonly readSet: SetReader;
  readonly coordinator: CoordinatorBooks;
  readonly pulls: PostedPulls;
  readonly blobs: BlobCache;
  /** Asks for more work, at once. */
  readonly queue: (task: PullTask) => void;
  readonly now: () => number;
}

/** The parts of the coordinator whose object this work is done in. */
export interface CoordinatorBooks {
  readonly plans: PlanBook;
  readonly runs: RunBook;
  readonly starts: RunStarts;
  readonly reviews: PullReviews;
  readonly reviewsStore: ReviewsStore;
}

export interface PostedPulls {
  get(number: number): PostedPull | null;
  put(pull: PostedPull): void;
  forget(number: number): void;
  list(): readonly PostedPull[];
}

/** The Worker's name in reviews and runs. */
export const WORKER_NAME = "shardctl";
