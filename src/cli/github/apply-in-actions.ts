/**
 * Runs `shardctl apply --github`: applies exactly the plan that the merged pull request showed.
 *
 * The Worker decides what may be applied, by the reviews that it stores. This side finds the pull
 * request, plans the merged manifests again with the reviewed choices, asks, follows the run, and
 * says in the pull request what came of it. Every step may be repeated: a job that runs again finds
 * the run of the lost one, or what that run has done. Half-way through a run no plan means
 * anything, so runs come first.
 *
 * | what is found                     | what is done                                                             |
 * |-----------------------------------|--------------------------------------------------------------------------|
 * | this pull request's run           | it is followed to its end                                                |
 * | another run of the environment    | it is waited for, and then everything is checked again                   |
 * | the reviewed or the released one  | a run, or the run that exists already                                    |
 * | another one                       | nothing; what moved, and the command that releases the new one; exit 3   |
 * | of a commit that its branch has left behind | nothing: the job of the newer commit applies what it declares  |
 * | blocked by a guard                | nothing; exit 4                                                          |
 * | no changes                        | nothing to do                                                            |
 */
import type { Run } from "../../model/api.ts";
import { type Guard, isEmptyPlan, type Plan } from "../../model/plan.ts";
import { standingBlocks } from "../../planning/check-safety.ts";
import type { Review } from "../../model/review.ts";
import type { Pull } from "../../github/port.ts";
import { renderPlanMarkdown } from "../../render/plan-markdown.ts";
import { planAgain } from "../apply-steps.ts";
import { EXIT } from "../exit-codes.ts";
import { type CliResult, fail } from "../failure.ts";
import { followRun } from "../follow-run.ts";
import type { Project } from "../project.ts";
import type { Outcome, Session } from "../session.ts";
import { planText, runText } from "../views.ts";
import { type Actions, openActions } from "./actions.ts";
import {
  type EndingFlow,
  endApply,
  endHeld,
  endIgnored,
  endRun,
  endStale,
  writeComment,
} from "./end-apply.ts";
import { findOutdated } from "./find-outdated.ts";
import { type ApplyFlow, prepareApply } from "./prepare-apply.ts";
import type { ReleaseOrder } from "./read-release.ts";

/** Other runs that are waited for, one after the other, before giving up. */
const WAITS_MAX = 20;
/** Of manifests that are named in a message. */
const PATHS_MAX = 5;
/**
 * Between two looks for a run that is in the way but not listed, such as one that has just ended.
 */
const RIVAL_PAUSE_MS = 5_000;
/**
 * Between two writes of progress; each pause is twice the one before. A run of hours must not use
 * up GitHub's 1,000 requests an hour.
 */
const PROGRESS_PAUSE_FIRST_MS = 15_000;
const PROGRESS_PAUSE_LONGEST_MS = 5 * 60_000;

export async function applyInActions(
  session: Session,
  project: Project,
  paths: readonly string[],
): Promise<CliResult<Outcome>> {
  const opened = await openActions(session);
  if (!opened.ok) return opened;
  const result = await applyUntilEnd(session, opened.value, project, paths);
  if (!result.ok) {
    const outcome = result.failure.kind === "locked" ? "locked" : "error";
    await opened.value.output({ outcome, hasChanges: false, fingerprint: null });
  }
  return result;
}

async function applyUntilEnd(
  session: Session,
  actions: Actions,
  project: Project,
  paths: readonly string[],
): Promise<CliResult<Outcome>> {
  const prepared = await prepareApply(session, actions, project, paths);
  if (!prepared.ok) return prepared;
  if (prepared.value.kind === "ignored") return endIgnored(session, actions, prepared.value.why);
  for (let waits = 0; waits < WAITS_MAX; waits++) {
    const answer = await tryApply(prepared.value.flow);
    if (!answer.ok) return answer;
    if (answer.value !== "again") return { ok: true, value: answer.value };
  }
  const message = `Other runs of ${project.environment} kept following each other: this job has waited for ${WAITS_MAX} of them.`;
  return fail("locked", message, "Run this job again.");
}

/** One try; `again` after another run was in the way and has ended. */
async function tryApply(prepared: ApplyFlow): Promise<CliResult<Outcome | "again">> {
  const { api, pull, desired, project } = prepared;
  const listed = pull === null ? null : await api.reviews(project.environment, pull.number);
  if (listed !== null && !listed.ok) return listed;
  const flow: EndingFlow = { ...prepared, isWorkerPosting: listed?.value.postedBy === "worker" };
  const active = await api.runs({ environment: project.environment, isActive: true });
  if (!active.ok) return active;
  const own = active.value.find((run) => isOwn(flow, run));
  if (own !== undefined) return attach(flow, own);
  const reviewed =
    pull === null ? null : findReviewed(listed?.value.reviews ?? [], pull, flow.release);
  const planned =
    reviewed === null
      ? await api.createPlan({ desired })
      : await planAgain(api, desired, reviewed.fingerprint);
  if (!planned.ok) return planned;
  const plan = planned.value;
  flow.session.show(planText(flow.session, plan));
  await flow.actions.summarize(renderPlanMarkdown(plan));
  // One whose lease is lost is in nobody's way: the next run takes over.
  const rival = active.value.find(({ lease }) => lease.expiresAt > flow.session.host.now());
  if (rival !== undefined) return waitForRival(flow, plan, rival, describeRival(rival));
  if (isEmptyPlan(plan) && plan.blocks.length === 0) return endUnchanged(flow, plan);
  return pull === null ? endStale(flow, plan, null) : applyAsShown(flow, plan, reviewed);
}

/** Applies the plan that the pull request has shown, or the one released there, or nothing. */
async function applyAsShown(
  flow: EndingFlow,
  plan: Plan,
  reviewed: Review | null,
): Promise<CliResult<Outcome | "again">> {
  const outdated = await findOutdated(flow.actions.github, flow, plan);
  if (!outdated.ok) return outdated;
  if (outdated.value.length > 0)
    return endHeld(flow, plan, describeOutdated(flow, outdated.value), "superseded", EXIT.done);
  const shown = await showAgain(flow, plan, reviewed);
  if (!shown.ok) return shown;
  const overrides = await releaseIfAsked(flow, plan, reviewed);
  if (!overrides.ok) return overrides;
  if (overrides.value === "otherPlan") return endStale(flow, plan, reviewed);
  const blocks = standingBlocks(plan, overrides.value);
  if (blocks.length > 0) {
    const message = blocks
      .map(({ namespace, message: why }) => `${namespace ?? "The plan"}: ${why}.`)
      .join(" ");
    return endHeld(flow, plan, message, "blocked", EXIT.blocked);
  }
  return startAndFollow(flow, plan, reviewed, overrides.value);
}

function describeOutdated({ branch, sha }: EndingFlow, paths: readonly string[]): string {
  const more = paths.length > PATHS_MAX ? ` and ${paths.length - PATHS_MAX} more` : "";
  return `${branch} has changed since commit ${sha.slice(0, 7)}, and declares something else in ${paths.slice(0, PATHS_MAX).join(", ")}${more}. The job of the newer commit applies it.`;
}

/**
 * The run that an earlier job of this pull request has started; for a release, of the plan that it
 * names.
 */
function isOwn({ pull, release }: EndingFlow, { origin, fingerprint }: Run): boolean {
  if (pull === null || origin?.pull !== pull.number) return false;
  return release === null || release.fingerprint === fingerprint;
}

async function attach(flow: EndingFlow, run: Run): Promise<CliResult<Outcome>> {
  const plan = await flow.api.plan(run.fingerprint);
  return plan.ok ? follow(flow, plan.value, run) : plan;
}

/**
 * Finds the review of the pull request's own commit; for a release, that of the plan that it names.
 */
function findReviewed(
  reviews: readonly Review[],
  pull: Pull,
  release: ReleaseOrder | null,
): Review | null {
  if (release !== null)
    return reviews.find(({ fingerprint }) => fingerprint === release.fingerprint) ?? null;
  return reviews.find(({ headSha }) => headSha === pull.headSha) ?? null;
}

/**
 * A plan that differs from the reviewed one is told to the Worker too: a person can then release
 * it.
 */
async function showAgain(
  { api, actions, pull, sha }: EndingFlow,
  plan: Plan,
  reviewed: Review | null,
): Promise<CliResult<null>> {
  if (pull === null || plan.fingerprint === reviewed?.fingerprint) return { ok: true, value: null };
  const stored = await api.putReview({
    fingerprint: plan.fingerprint,
    pull: pull.number,
    headSha: sha,
    runUrl: actions.runUrl,
  });
  return stored.ok ? { ok: true, value: null } : stored;
}

/** The guards that a release lets through; none without one. */
async function releaseIfAsked(
  { api, release }: EndingFlow,
  plan: Plan,
  reviewed: Review | null,
): Promise<CliResult<readonly Guard[] | "otherPlan">> {
  if (release === null) return { ok: true, value: reviewed?.release?.overrides ?? [] };
  // A plan that the pull request has not shown before cannot have been read in it: it is shown now.
  if (release.fingerprint !== plan.fingerprint || reviewed === null)
    return { ok: true, value: "otherPlan" };
  const { fingerprint, releasedBy, overrides } = release;
  const stored = await api.releasePlan(release.pull.number, { fingerprint, releasedBy, overrides });
  return stored.ok ? { ok: true, value: stored.value.release?.overrides ?? [] } : stored;
}

async function startAndFollow(
  flow: EndingFlow,
  plan: Plan,
  reviewed: Review | null,
  overrides: readonly Guard[],
): Promise<CliResult<Outcome | "again">> {
  const { api, actions, pull, sha } = flow;
  const origin = { pull: pull?.number ?? null, commit: sha, runUrl: actions.runUrl };
  const started = await api.apply(plan.fingerprint, { overrides, origin });
  if (started.ok) return follow(flow, plan, started.value);
  const { kind } = started.failure;
  if (kind === "stalePlan") return endStale(flow, plan, reviewed);
  if (kind === "blocked")
    return endHeld(flow, plan, started.failure.message, "blocked", EXIT.blocked);
  if (kind === "locked") return findRival(flow, plan, started.failure.message);
  return started;
}

/** A run that began since we looked, or one of another environment with the same namespaces. */
async function findRival(
  flow: EndingFlow,
  plan: Plan,
  message: string,
): Promise<CliResult<Outcome | "again">> {
  const active = await flow.api.runs({ isActive: true });
  if (!active.ok) return active;
  const own = new Set(plan.changes.map(({ namespace }) => namespace));
  const rival = active.value.find(
    ({ environment, actions }) =>
      environment === plan.environment || actions.some(({ namespace }) => own.has(namespace)),
  );
  if (rival !== undefined) return waitForRival(flow, plan, rival, message);
  await flow.session.host.sleep(RIVAL_PAUSE_MS);
  return { ok: true, value: "again" };
}

function describeRival({ id, environment, requestedBy, origin }: Run): string {
  const pull = origin?.pull ? ` for pull request #${origin.pull}` : "";
  return `Run ${id} of ${environment} is active, asked for by ${requestedBy}${pull}.`;
}

/**
 * The run that is in the way goes on in the Worker, whoever started it: it is watched to its end,
 * and then this one is planned anew.
 */
async function waitForRival(
  flow: EndingFlow,
  plan: Plan,
  rival: Run,
  message: string,
): Promise<CliResult<Outcome | "again">> {
  flow.session.say(`\n${message}\nWaiting for it.`);
  const posted = await writeComment(flow, {
    kind: "held",
    message: `${message} This job retries when it has ended.`,
    plan,
  });
  if (!posted.ok) return posted;
  const ended = await followRun(flow.session, flow.api, rival);
  return ended.ok ? { ok: true, value: "again" } : ended;
}

async function follow(flow: EndingFlow, plan: Plan, run: Run): Promise<CliResult<Outcome>> {
  const { session, api } = flow;
  session.say(`\nRun ${run.id} ${run.finishedAt === null ? "is running" : "has already ended"}.`);
  let sayAt = Number.NEGATIVE_INFINITY;
  let pauseMs = PROGRESS_PAUSE_FIRST_MS;
  const ended = await followRun(session, api, run, async (news) => {
    if (news.finishedAt !== null || session.host.now() < sayAt) return;
    sayAt = session.host.now() + pauseMs;
    pauseMs = Math.min(2 * pauseMs, PROGRESS_PAUSE_LONGEST_MS);
    const posted = await writeComment(flow, { kind: "run", plan, run: news });
    // The run matters more than its comment; the last one is not optional.
    if (!posted.ok) session.warn(posted.failure.message);
  });
  if (!ended.ok) return ended;
  session.say(`\n${runText(session, ended.value)}`);
  return endRun(flow, plan, ended.value);
}

/**
 * Live is as declared. When that is the work of an earlier job of this merge, its run is what the
 * pull request should show.
 */
async function endUnchanged(flow: EndingFlow, plan: Plan): Promise<CliResult<Outcome>> {
  const { api, pull, project, session } = flow;
  const runs = pull === null ? null : await api.runs({ environment: project.environment });
  if (runs !== null && !runs.ok) return runs;
  const own = runs?.value.find(
    ({ origin }) => origin?.pull === pull?.number && origin?.commit === flow.sha,
  );
  if (own !== undefined) return follow(flow, plan, own);
  session.say("Nothing to do: live matches the manifests.");
  const posted = await writeComment(flow, { kind: "planned", plan }, false);
  return posted.ok ? endApply(flow, "no_changes", plan, EXIT.done) : posted;
}
