/**
 * One open pull request: what a merge would do, posted when it is not what is posted already.
 *
 * The plan is stored first and counts as reviewed last, after comment and check stand: what nobody
 * could read is never applied. Before anything is written the pull request is read again; one that
 * was closed meanwhile gets nothing, and of two commits the newer one wins.
 */
import { sha256Hex, canonicalJson } from "../model/canonical.ts";
import { success } from "../model/result.ts";
import { explainMoved } from "../model/count-moved.ts";
import type { Plan } from "../model/plan.ts";
import type { Review } from "../model/review.ts";
import type { DesiredState } from "../model/spec.ts";
import type { GithubResult, Pull } from "../github/port.ts";
import type { CheckState } from "./plan-check.ts";
import type { CommentState } from "./plan-comment.ts";
import { makePlan } from "../runs/make-plan.ts";
import { RefusedRequest } from "../model/refused-request.ts";
import { postMerged, type MergedOutcome } from "./post-merged.ts";
import { postCheck, postComment } from "./post-state.ts";
import { WORKER_NAME, type CoordinatorBooks, type PullParts } from "./pull-parts.ts";
import { readPullManifests, type PullManifests } from "./read-pull-manifests.ts";

export type PullOutcome =
  | "posted"
  /** The posted comment already says the same. */
  | "unchanged"
  /** Closed or merged, or no longer into the default branch: forgotten. */
  | "closed"
  /**
   * No manifest is touched, and nothing was posted before: there is a check that passes, and no
   * comment.
   */
  | "untouched"
  /** A newer commit came meanwhile; it is planned next. */
  | "superseded"
  | MergedOutcome;

type Verdict = Extract<CommentState, { kind: "planned" | "invalid" | "validated" | "unplanned" }> &
  CheckState;

export async function postPull(
  parts: PullParts,
  number: number,
  again: boolean,
): Promise<GithubResult<PullOutcome>> {
  const read = await parts.github.pull(number);
  // Not found can also mean not allowed to see: that is no reason to forget a review.
  if (!read.ok)
    return read.failure.kind === "notFound" ? success(forgetPull(parts, number, false)) : read;
  const pull = read.value;
  const posted = parts.pulls.get(number);
  const wasPosted = posted !== null && posted.posted !== null;
  if (pull.state === "merged" && pull.baseRef === parts.settings.defaultBranch && wasPosted)
    return postMerged(parts, pull, posted);
  if (!isOpen(parts, pull)) return success(forgetPull(parts, number, pull.state === "closed"));
  const manifests = await readPullManifests(
    parts.github,
    pull,
    parts.settings,
    parts.blobs,
    wasPosted,
  );
  if (manifests.ok && !manifests.value.isTouched && !wasPosted) {
    // Branch protection may wait for the check; once for each head, since a scan asks for no more.
    const checked = await postCheck(parts, pull, { kind: "untouched" });
    if (!checked.ok) return checked;
    parts.pulls.put({ number, headSha: pull.headSha, posted: null, plannedAt: parts.now() });
    return success("untouched");
  }
  const verdict = await judge(parts, pull, manifests);
  if (!verdict.ok) return verdict;
  const digest = await digestOf(pull, verdict.value);
  const plannedAt = parts.now();
  const isNews = again || hasMoved(parts, pull, verdict.value);
  if (!isNews && posted?.posted === digest) {
    parts.pulls.put({ ...posted, plannedAt });
    countAsReviewed(parts, pull, verdict.value, false);
    return success("unchanged");
  }
  return post(parts, pull, verdict.value, digest);
}

async function post(
  parts: PullParts,
  before: Pull,
  verdict: Verdict,
  digest: string,
): Promise<GithubResult<PullOutcome>> {
  const { github, pulls, queue, now } = parts;
  const { number, headSha } = before;
  const read = await github.pull(number);
  if (!read.ok) return read;
  if (!isOpen(parts, read.value)) {
    // Merged while its plan ran: what it had shown before, if anything, is compared with live next.
    if (read.value.state === "merged" && pulls.get(number) !== null)
      queue({ kind: "pull", pull: number, again: false });
    else forgetPull(parts, number, read.value.state === "closed");
    return success("closed");
  }
  if (read.value.headSha !== headSha) {
    queue({ kind: "pull", pull: number, again: false });
    return success("superseded");
  }
  const commented = await postComment(parts, before, verdict);
  if (!commented.ok) return commented;
  if (commented.value.kind === "superseded") {
    queue({ kind: "pull", pull: number, again: false });
    return success("superseded");
  }
  const checked = await postCheck(parts, before, verdict);
  if (!checked.ok) return checked;
  countAsReviewed(parts, before, verdict, true);
  pulls.put({ number, headSha, posted: digest, plannedAt: now() });
  return success("posted");
}

/**
 * Makes the plan that the pull request shows count, with the counts of its newest post, also when a
 * slow workflow of an older commit has said otherwise since.
 */
function countAsReviewed(
  { coordinator, settings, now }: PullParts,
  pull: Pull,
  verdict: Verdict,
  again: boolean,
): void {
  if (verdict.kind !== "planned") return;
  const { fingerprint } = verdict.plan;
  const newest = findNewest(coordinator, settings.environment, pull.number);
  const isKnown = newest?.fingerprint === fingerprint && newest.headSha === pull.headSha;
  if (isKnown && !again) return;
  const review = {
    pull: pull.number,
    headSha: pull.headSha,
    fingerprint,
    runUrl: null,
    requestedBy: WORKER_NAME,
    reviewedAt: now(),
  };
  coordinator.reviews.put(review, true);
}

/** True when a count has moved so far that an apply of what is posted would ask again. */
function hasMoved({ coordinator, settings }: PullParts, pull: Pull, verdict: Verdict): boolean {
  if (verdict.kind !== "planned") return false;
  const { fingerprint, changes } = verdict.plan;
  const place = { environment: settings.environment, pull: pull.number, fingerprint };
  const shown = coordinator.reviewsStore.figures(place);
  return changes.some((change) => {
    const before = shown?.[change.namespace];
    return before !== undefined && explainMoved(before, change) !== null;
  });
}

/**
 * Checks and plans. A fork's manifests are only checked, unless the Worker was told to show counts
 * of live rows to anybody.
 */
async function judge(
  parts: PullParts,
  pull: Pull,
  manifests: GithubResult<PullManifests>,
): Promise<GithubResult<Verdict>> {
  const { settings, readSet } = parts;
  if (!manifests.ok) {
    const { kind, message } = manifests.failure;
    return kind === "invalid" ? success({ kind: "unplanned", message }) : manifests;
  }
  const { files, config, strangers } = manifests.value;
  const { desired, errors } = await readSet({
    files,
    config,
    environment: settings.environment,
    commit: pull.headSha,
    strangers,
  });
  if (desired === null) return success({ kind: "invalid", errors });
  if (pull.isFork && !settings.showForkCounts)
    return success({ kind: "validated", namespaces: desired.namespaces.length });
  return success(await plan(parts, pull, desired));
}

async function plan(
  { liveAccess, coordinator, settings }: PullParts,
  pull: Pull,
  desired: DesiredState,
): Promise<Verdict> {
  const basis = findBasis(coordinator, settings.environment, pull.number);
  try {
    const made = await makePlan({ liveAccess, coordinator }, desired, basis, false);
    return { kind: "planned", plan: made.plan, desired };
  } catch (error) {
    if (error instanceof RefusedRequest) return { kind: "unplanned", message: error.message };
    throw error;
  }
}

/** The plan that the pull request shows now: its frozen choices are kept where nothing moved. */
function findBasis(
  coordinator: CoordinatorBooks,
  environment: string,
  pull: number,
): string | null {
  const newest = findNewest(coordinator, environment, pull);
  if (newest === null) return null;
  const isStored = coordinator.plans.environmentOf(newest.fingerprint) !== null;
  return isStored ? newest.fingerprint : null;
}

function findNewest(
  { reviewsStore }: CoordinatorBooks,
  environment: string,
  pull: number,
): Review | null {
  return reviewsStore.list({ environment, pull }, 1)[0] ?? null;
}

function isOpen({ settings }: PullParts, pull: Pull): boolean {
  return pull.state === "open" && pull.baseRef === settings.defaultBranch;
}

/** @param isOver true when it can no longer be merged: then its reviews are forgotten too. */
function forgetPull(
  { pulls, coordinator, settings }: PullParts,
  number: number,
  isOver: boolean,
): PullOutcome {
  pulls.forget(number);
  if (isOver) coordinator.reviewsStore.forgetPull(settings.environment, number);
  return "closed";
}

/** Hashes a verdict as a reader sees it: counts and times may differ. */
async function digestOf(pull: Pull, verdict: Verdict): Promise<string> {
  return sha256Hex(
    canonicalJson({ headSha: pull.headSha, kind: verdict.kind, ...essenceOf(verdict) }),
  );
}

function essenceOf(verdict: Verdict): object {
  switch (verdict.kind) {
    case "planned":
      return essenceOfPlan(verdict.plan);
    case "invalid":
      return {
        errors: verdict.errors.map(({ file, line, column, message }) => ({
          file,
          line,
          column,
          message,
        })),
      };
    case "validated":
      return { namespaces: verdict.namespaces };
    case "unplanned":
      return { message: verdict.message };
  }
}

function essenceOfPlan({ fingerprint, blocks, notices }: Plan): object {
  return {
    fingerprint,
    blocks: blocks.map(({ guard, namespace }) => ({ guard, namespace })),
    notices: notices.map(({ kind, namespace }) => ({ kind, namespace })),
  };
}
