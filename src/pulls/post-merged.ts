/**
 * A pull request after its merge: is what it has shown still what would be done?
 *
 * | each reviewed change or policy is now  | then                                                               |
 * |----------------------------------------|--------------------------------------------------------------------|
 * | in sync                                | nothing is left to say: forgotten                                  |
 * | not known: a block stands in its place | looked at again later: what is hidden may still be to do           |
 * | pending, exactly and as much as shown  | the tick or the workflow applies it: looked at again later         |
 * | something could not be read            | looked at again later: such a plan has no fingerprint to release   |
 * | pending otherwise, or was never shown  | the current plan is posted, says what moved, and can be released   |
 *
 * A plan that is posted here does not count as reviewed. While a run has the environment nothing is
 * judged: half-way is neither.
 */
import { canonicalJson } from "../model/canonical.ts";
import type { Change, Plan } from "../model/plan.ts";
import type { PolicyChange } from "../model/policy.ts";
import { success } from "../model/result.ts";
import type { DesiredState } from "../model/spec.ts";
import { explainMoved, type ShownFigures } from "../model/count-moved.ts";
import type { GithubResult, Pull } from "../github/port.ts";
import { describePlanDifference } from "../render/plan-difference.ts";
import { lookAtPlan, type SeenPlan } from "../runs/make-plan.ts";
import { postComment } from "./post-state.ts";
import { WORKER_NAME, type PullParts } from "./pull-parts.ts";
import type { PostedPull } from "./pulls-store.ts";
import { readBranchManifests } from "./read-pull-manifests.ts";

/** Begins what is remembered of a merged pull request, so that a scan looks at it less often. */
export const MERGED = "merged:";

export type MergedOutcome = "settled" | "pending" | "stale";

export async function postMerged(
  parts: PullParts,
  pull: Pull,
  posted: PostedPull,
): Promise<GithubResult<MergedOutcome>> {
  const { coordinator, settings, pulls, now } = parts;
  const { environment } = settings;
  const { plans, runs, reviews, reviewsStore } = coordinator;
  const [active] = runs.listIds({ limit: 1, isActive: true, environment });
  if (active !== undefined) return success(waitFor(parts, posted));
  const review = reviewsStore.newest(environment, pull.number);
  const reviewed = review === null ? null : plans.read(review.fingerprint);
  const current = await planBranch(parts, reviewed);
  if (!current.ok) return current;
  // Manifests that do not parse are the tick's to tell: nothing is applied anywhere until they do.
  if (current.value === null) return success(waitFor(parts, posted));
  const { plan } = current.value;
  const own = await findOwn(parts, pull, current.value.desired, reviewed);
  if (!own.ok) return own;
  const left = plan.changes.filter(({ namespace }) => own.value.has(namespace));
  const policies = (plan.policies ?? []).filter(({ namespace }) => own.value.has(namespace));
  if (left.length + policies.length === 0) {
    if (hidesSome(plan, own.value)) return success(waitFor(parts, posted));
    pulls.forget(pull.number);
    return success("settled");
  }
  const shown = review === null ? null : reviewsStore.figures({ ...review, environment });
  const isAsShown =
    reviewed !== null &&
    left.every((change) => isSame(change, reviewed) && !isMoved(change, shown)) &&
    policies.every((change) => isSamePolicy(change, reviewed));
  // Nobody can release a plan that has gaps.
  if (!isWhole(plan)) return success(waitFor(parts, posted));
  const digest = `${MERGED}${plan.fingerprint}`;
  if (isAsShown || posted.posted === digest)
    return success(waitFor(parts, { ...posted, posted: isAsShown ? MERGED : digest }));
  const moved = reviewed === null ? [] : describePlanDifference(reviewed, plan);
  const state = { kind: "stale", reviewed: review?.fingerprint ?? null, moved, plan } as const;
  const commented = await postComment(parts, pull, state);
  if (!commented.ok) return commented;
  const { fingerprint } = plan;
  const again = {
    pull: pull.number,
    headSha: pull.headSha,
    fingerprint,
    runUrl: null,
    requestedBy: WORKER_NAME,
    reviewedAt: now(),
  };
  reviews.put(again, false);
  pulls.put({ ...posted, posted: digest, plannedAt: now() });
  return success("stale");
}

function waitFor({ pulls, now }: PullParts, posted: PostedPull): MergedOutcome {
  const remembered = posted.posted?.startsWith(MERGED) ? posted.posted : MERGED;
  pulls.put({ ...posted, posted: remembered, plannedAt: now() });
  return "pending";
}

interface PlannedBranch {
  readonly desired: DesiredState;
  readonly plan: SeenPlan;
}

/** The plan of the default branch as it is now; null when its manifests have errors. */
async function planBranch(
  parts: PullParts,
  reviewed: Plan | null,
): Promise<GithubResult<PlannedBranch | null>> {
  const { github, settings, blobs, liveAccess, coordinator, readSet } = parts;
  const read = await readBranchManifests(github, settings, blobs);
  if (!read.ok) return read;
  const { environment } = settings;
  const { files, commit } = read.value;
  const { desired } = await readSet({ files, config: null, environment, commit });
  if (desired === null) return success(null);
  const basis = reviewed?.fingerprint ?? null;
  const plan = await lookAtPlan({ liveAccess, coordinator }, desired, basis);
  return success({ desired, plan });
}

/**
 * The namespaces that are this pull request's: those whose changes it has shown, else those of the
 * files that it touches.
 */
async function findOwn(
  { github }: PullParts,
  pull: Pull,
  desired: DesiredState,
  reviewed: Plan | null,
): Promise<GithubResult<ReadonlySet<string>>> {
  if (reviewed !== null)
    return success(
      new Set(
        [...reviewed.changes, ...(reviewed.policies ?? [])].map(({ namespace }) => namespace),
      ),
    );
  const touched = await github.pullFiles(pull.number);
  if (!touched.ok) return touched;
  const { paths, isComplete } = touched.value;
  const touching = desired.namespaces.filter(
    ({ source }) => !isComplete || paths.includes(source.file),
  );
  return success(new Set(touching.map(({ name }) => name)));
}

/** True when a block stands where one of these namespaces would have a change or be in sync. */
function hidesSome({ blocks, changes }: SeenPlan, own: ReadonlySet<string>): boolean {
  return blocks.some(
    ({ namespace: name }) =>
      name !== null && own.has(name) && !changes.some(({ namespace }) => namespace === name),
  );
}

function isMoved(change: Change, shown: ShownFigures | null): boolean {
  const before = shown?.[change.namespace];
  return before !== undefined && explainMoved(before, change) !== null;
}

function isWhole(plan: SeenPlan): plan is Plan {
  return plan.fingerprint !== null;
}

function isSamePolicy(change: PolicyChange, reviewed: Plan): boolean {
  const shown = reviewed.policies?.find(({ namespace }) => namespace === change.namespace);
  if (shown === undefined || shown.revision !== change.revision) return false;
  return canonicalJson(shown.fields) === canonicalJson(change.fields);
}

function isSame(change: Change, reviewed: Plan): boolean {
  const shown = reviewed.changes.find(({ namespace }) => namespace === change.namespace);
  return (
    shown !== undefined && canonicalJson(essenceOf(shown)) === canonicalJson(essenceOf(change))
  );
}

function essenceOf({ kind, namespace, object, epoch, from, to }: Change): object {
  return { kind, namespace, object, epoch, from, to };
}
