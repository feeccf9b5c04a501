/**
 * May a plan be applied on behalf of a pull request? Pure: the stored reviews and the clock go in,
 * the guards that it may override or the reason against it come out.
 *
 * | the pull request's newest review | this plan's own release | answer                          |
 * |----------------------------------|-------------------------|---------------------------------|
 * | any, or none                     | not expired             | yes, with the release's overrides |
 * | this plan                        | none, or expired        | yes, without overrides          |
 * | another plan, or none            | none, or expired        | no                              |
 */
import type { Guard } from "../model/plan.ts";
import { failure, success, type Result } from "../model/result.ts";
import type { Review } from "../model/review.ts";

export interface ReviewQuestion {
  readonly fingerprint: string;
  /** Null when no pull request was named. */
  readonly pull: number | null;
  /** Guards that the caller wants to override. */
  readonly overrides: readonly Guard[];
}

export interface KnownReviews {
  /** The review that the pull request was shown last. */
  readonly newest: Review | null;
  /** The review of exactly this plan in this pull request, with its release. */
  readonly own: Review | null;
}

const DIGITS = 12;

export function checkReview(
  { fingerprint, pull, overrides }: ReviewQuestion,
  { newest, own }: KnownReviews,
  now: number,
): Result<readonly Guard[], string> {
  if (pull === null)
    return failure("a workflow may only apply what a pull request has shown, and none was named.");
  const release = own?.release && own.release.expiresAt > now ? own.release : null;
  if (release === null && newest?.fingerprint !== fingerprint)
    return failure(explain(fingerprint, pull, newest, own));
  const allowed = release?.overrides ?? [];
  const refused = overrides.filter((guard) => !allowed.includes(guard));
  if (refused.length > 0) {
    return failure(
      `pull request #${pull} has not released plan ${short(fingerprint)} with an override of ${refused.join(", ")}. Somebody who may write can, with the comment \`/shardctl apply ${fingerprint} ${refused.map((guard) => `--override ${guard}`).join(" ")}\`.`,
    );
  }
  return success(allowed);
}

function explain(
  fingerprint: string,
  pull: number,
  newest: Review | null,
  own: Review | null,
): string {
  const shown = newest
    ? `pull request #${pull} was last shown plan ${short(newest.fingerprint)} (commit ${short(newest.headSha)}, ${new Date(newest.reviewedAt).toISOString()}), this is plan ${short(fingerprint)}.`
    : `no plan was shown in pull request #${pull}, so plan ${short(fingerprint)} is not reviewed.`;
  const expired = own?.release
    ? ` Its release expired at ${new Date(own.release.expiresAt).toISOString()}.`
    : "";
  return `${shown}${expired} Read the new plan; then somebody who may write can release it with the comment \`/shardctl apply ${fingerprint}\`.`;
}

function short(digits: string): string {
  return digits.slice(0, DIGITS);
}
