/**
 * Reviews: which plan was shown in which pull request. What a merge may apply is decided by these,
 * never by the text of a comment.
 */
import type { Guard } from "./plan.ts";

/** One commit of a pull request. */
export interface PullHead {
  readonly pull: number;
  /** 40 hex digits. */
  readonly headSha: string;
}

/**
 * `PUT /v1/reviews`: says that a plan was made for a pull request. The newest of an environment and
 * a pull request counts.
 */
export interface ReviewRequest extends PullHead {
  readonly fingerprint: string;
  /** Where the caller ran, such as a page of a workflow run; null for none. */
  readonly runUrl: string | null;
}

export interface Review extends ReviewRequest {
  readonly environment: string;
  /** Requester: a token's name, `github-actions`, or `shardctl` for the Worker itself. */
  readonly requestedBy: string;
  /** Milliseconds since the Unix epoch. */
  readonly reviewedAt: number;
  /** Set when somebody who may write released exactly this fingerprint after live had moved. */
  readonly release: Release | null;
}

/** A release names one fingerprint and expires. */
export interface Release {
  readonly releasedBy: string;
  readonly releasedAt: number;
  readonly expiresAt: number;
  readonly overrides: readonly Guard[];
}

/**
 * Answer to a review. `worker`: the Worker has GitHub's credentials and keeps comment and check
 * current itself; `caller`: it has none, so that the caller posts. One author for one comment,
 * always.
 */
export interface ReviewReceipt {
  readonly review: Review;
  readonly postedBy: "worker" | "caller";
}

/**
 * `GET /v1/reviews?environment=&pull=&limit=<1 … 1000, default 50>`: newest first. The first of a
 * pull request counts.
 */
export interface ReviewList {
  readonly reviews: readonly Review[];
  /** As in a receipt, for the environment that was asked about; `caller` without one. */
  readonly postedBy: ReviewReceipt["postedBy"];
}

/** `PUT /v1/reviews/:pull/release`. The plan must have been shown in that pull request. */
export interface ReleaseRequest {
  readonly fingerprint: string;
  readonly releasedBy: string;
  readonly overrides: readonly Guard[];
}

/** How a release stays valid. */
export const RELEASE_AGE_MAX_MS = 24 * 60 * 60 * 1000;

/** Origin of a run that came from a pull request. */
export interface RunOrigin {
  readonly pull: number | null;
  /** The commit whose manifests are applied. */
  readonly commit: string | null;
  readonly runUrl: string | null;
}
