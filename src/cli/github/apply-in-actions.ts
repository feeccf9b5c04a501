/**
 * `shardctl apply --github`: what a merged pull request has shown, or nothing.
 *
 * The Worker decides what may be applied, by the reviews that it stores. This side finds the pull request, plans the merged manifests again
 * with the reviewed choices, asks, follows the run, and says in the pull request what came of it. Every step may be repeated: a job that
 * runs again finds the run of the lost one, or what that run has done.
 *
 * | the plan of now                   | what is done                                                             |
 * |-----------------------------------|--------------------------------------------------------------------------|
 * | the reviewed or the released one  | a run, or the run that is there already                                  |
 * | another one                       | nothing; what moved, and the command that releases the new one; exit 3   |
 * | stands against a guard            | nothing; exit 4                                                          |
 * | no changes                        | nothing to do                                                            |
 */
import type { Run } from "../../core/api.ts";
import type { Guard, Plan } from "../../core/plan.ts";
import { standingBlocks } from "../../core/planning/check-safety.ts";
import type { Review } from "../../core/review.ts";
import type { DesiredState } from "../../core/spec.ts";
import { defuseCommands } from "../../github/actions-output.ts";
import { findPullOfMerge } from "../../github/find-pull.ts";
import type { Pull } from "../../github/port.ts";
import { describePlanDifference } from "../../render/plan-difference.ts";
import { renderPlanMarkdown } from "../../render/plan-markdown.ts";
import { type CommentState, renderComment } from "../../render/pull-request/plan-comment.ts";
import type { ApiClient } from "../api-client.ts";
import { planAgain } from "../apply-steps.ts";
import { connectApi } from "../connect-api.ts";
import { EXIT, type ExitCode } from "../exit-codes.ts";
import { type CliResult, fail } from "../failure.ts";
import { followRun } from "../follow-run.ts";
import { loadDesired } from "../load-desired.ts";
import type { Project } from "../project.ts";
import type { Outcome, Session } from "../session.ts";
import { planJson, planText, runText } from "../views.ts";
import { type Actions, type ActionsOutcome, failGithub, openActions } from "./actions.ts";
import { postComment } from "./pull-post.ts";
import { readRelease, type ReleaseOrder } from "./read-release.ts";

/** Other runs that are waited for, one after the other, before giving up. */
const WAITS_MAX = 20;
/** GitHub asks for a second between writes; people read slower than that. */
const PROGRESS_PAUSE_MS = 15_000;

interface Flow {
  readonly session: Session;
  readonly actions: Actions;
  readonly project: Project;
  readonly api: ApiClient;
  readonly desired: DesiredState;
  /** The commit whose manifests are applied. */
  readonly sha: string;
  /** Null for a commit that was pushed without one. */
  readonly pull: Pull | null;
  readonly release: ReleaseOrder | null;
  /** True when the Worker writes the comment. */
  isWorkerPosting: boolean;
}

export async function applyInActions(session: Session, project: Project, paths: readonly string[]): Promise<CliResult<Outcome>> {
  const opened = await openActions(session);
  if (!opened.ok) return opened;
  const result = await run(session, opened.value, project, paths);
  if (!result.ok) await opened.value.output({ outcome: "error", hasChanges: false, fingerprint: null });
  return result;
}

async function run(session: Session, actions: Actions, project: Project, paths: readonly string[]): Promise<CliResult<Outcome>> {
  const { event } = actions;
  if (event.kind === "pullRequest" || event.kind === "mergeGroup") {
    return fail(
      "usage",
      "A pull request is applied by its merge, not by its own workflow.",
      "Run this on `push` to the default branch.",
    );
  }
  const release = event.kind === "comment" ? await readRelease(actions, event) : null;
  if (release !== null && !release.ok) return release;
  if (release?.value.kind === "ignored") return endIgnored(session, actions, release.value.why);
  const order = release?.value.kind === "release" ? release.value.order : null;
  const found = order === null ? await findPullOfMerge(actions.github, event.sha, event.branch) : null;
  if (found !== null && !found.ok) return failGithub(found.failure);
  const api = connectApi(session, project);
  if (!api.ok) return api;
  const desired = await loadDesired(session.host, project, paths);
  if (!desired.ok) return desired;
  const pull = order?.pull ?? found?.value ?? null;
  const flow: Flow = {
    session,
    actions,
    project,
    api: api.value,
    desired: desired.value,
    sha: event.sha,
    pull,
    release: order,
    isWorkerPosting: false,
  };
  for (let waits = 0; waits < WAITS_MAX; waits++) {
    const answer = await tryApply(flow);
    if (!answer.ok || answer.value !== "again") return answer as CliResult<Outcome>;
  }
  return fail(
    "locked",
    `Other runs of ${project.environment} went on one after the other: ${WAITS_MAX} were waited for.`,
    "Run this job again.",
  );
}

/** One try; `again` after another run was in the way and has ended. */
async function tryApply(flow: Flow): Promise<CliResult<Outcome | "again">> {
  const { api, pull, desired, project } = flow;
  const listed = pull === null ? null : await api.reviews(project.environment, pull.number);
  if (listed !== null && !listed.ok) return listed;
  flow.isWorkerPosting = listed?.value.postedBy === "worker";
  const reviewed = pull === null ? null : findReviewed(listed?.value.reviews ?? [], pull, flow.release);
  const planned = reviewed === null ? await api.createPlan({ desired }) : await planAgain(api, desired, reviewed.fingerprint);
  if (!planned.ok) return planned;
  const plan = planned.value;
  flow.session.show(defuseCommands(planText(flow.session, plan)));
  await flow.actions.summarize(renderPlanMarkdown(plan));
  if (plan.changes.length === 0 && plan.blocks.length === 0) return endUnchanged(flow, plan);
  if (pull === null) return endStale(flow, plan, null);
  const shown = await showAgain(flow, plan, reviewed);
  if (!shown.ok) return shown;
  const overrides = await releaseIfAsked(flow, plan, reviewed);
  if (!overrides.ok) return overrides;
  if (overrides.value === "otherPlan") return endStale(flow, plan, reviewed);
  const blocks = standingBlocks(plan, overrides.value);
  if (blocks.length > 0) {
    const message = blocks.map(({ namespace, message: why }) => `${namespace ?? "The plan"}: ${why}.`).join(" ");
    return endHeld(flow, plan, message, "blocked", EXIT.blocked);
  }
  return startAndFollow(flow, plan, reviewed, overrides.value);
}

/** What the pull request's own commit was shown; for a release, the plan that it names. */
function findReviewed(reviews: readonly Review[], pull: Pull, release: ReleaseOrder | null): Review | null {
  if (release !== null) return reviews.find(({ fingerprint }) => fingerprint === release.fingerprint) ?? null;
  return reviews.find(({ headSha }) => headSha === pull.headSha) ?? null;
}

/** A plan that differs from the reviewed one is told to the Worker too: a person can then release it. */
async function showAgain({ api, actions, pull, sha }: Flow, plan: Plan, reviewed: Review | null): Promise<CliResult<null>> {
  if (pull === null || plan.fingerprint === reviewed?.fingerprint) return { ok: true, value: null };
  const stored = await api.putReview({ fingerprint: plan.fingerprint, pull: pull.number, headSha: sha, runUrl: actions.runUrl });
  return stored.ok ? { ok: true, value: null } : stored;
}

/** The guards that a release lets through; none without one. */
async function releaseIfAsked(
  { api, release }: Flow,
  plan: Plan,
  reviewed: Review | null,
): Promise<CliResult<readonly Guard[] | "otherPlan">> {
  if (release === null) return { ok: true, value: reviewed?.release?.overrides ?? [] };
  if (release.fingerprint !== plan.fingerprint) return { ok: true, value: "otherPlan" };
  const { fingerprint, releasedBy, overrides } = release;
  const stored = await api.releasePlan(release.pull.number, { fingerprint, releasedBy, overrides });
  return stored.ok ? { ok: true, value: stored.value.release?.overrides ?? [] } : stored;
}

async function startAndFollow(
  flow: Flow,
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
  if (kind === "blocked") return endHeld(flow, plan, started.failure.message, "blocked", EXIT.blocked);
  if (kind === "locked") return waitForRival(flow, plan, started.failure.message);
  return started;
}

/** The run that is in the way goes on in the Worker, whoever started it: it is watched to its end, and then this one is planned anew. */
async function waitForRival(flow: Flow, plan: Plan, message: string): Promise<CliResult<Outcome | "again">> {
  const active = await flow.api.runs({ environment: flow.project.environment, isActive: true });
  if (!active.ok) return active;
  const [rival] = active.value;
  if (rival === undefined) return { ok: true, value: "again" };
  flow.session.say(defuseCommands(`\n${message}\nIt is waited for.`));
  const posted = await comment(flow, { kind: "held", message: `${message} This is tried again when it has ended.`, plan });
  if (!posted.ok) return posted;
  const ended = await followRun(flow.session, flow.api, rival);
  return ended.ok ? { ok: true, value: "again" } : ended;
}

async function follow(flow: Flow, plan: Plan, run: Run): Promise<CliResult<Outcome>> {
  const { session, api } = flow;
  session.say(`\nRun ${run.id} ${run.finishedAt === null ? "is under way" : "has ended already"}.`);
  let saidAt = Number.NEGATIVE_INFINITY;
  const ended = await followRun(session, api, run, async (news) => {
    if (news.finishedAt !== null || session.host.now() - saidAt < PROGRESS_PAUSE_MS) return;
    saidAt = session.host.now();
    const posted = await comment(flow, { kind: "run", plan, run: news });
    // The run matters more than its comment; the last one is not optional.
    if (!posted.ok) session.warn(posted.failure.message);
  });
  if (!ended.ok) return ended;
  session.say(defuseCommands(`\n${runText(session, ended.value)}`));
  return endRun(flow, plan, ended.value);
}

const OUTCOMES = { running: "error", succeeded: "applied", failed: "failed", cancelled: "cancelled" } as const;

async function endRun(flow: Flow, plan: Plan, run: Run): Promise<CliResult<Outcome>> {
  const state: CommentState = { kind: "run", plan, run };
  await flow.actions.summarize(renderComment(state, contextOf(flow)));
  const posted = await comment(flow, state);
  if (!posted.ok) return posted;
  const isDone = run.state === "succeeded";
  return end(flow, OUTCOMES[run.state], plan, isDone ? EXIT.done : EXIT.error, { plan: planJson(plan), run });
}

/** Live is as declared. When that is the work of an earlier job of this merge, its run is what the pull request should show. */
async function endUnchanged(flow: Flow, plan: Plan): Promise<CliResult<Outcome>> {
  const { api, pull, project, session } = flow;
  const runs = pull === null ? null : await api.runs({ environment: project.environment });
  if (runs !== null && !runs.ok) return runs;
  const own = runs?.value.find(({ origin }) => origin?.pull === pull?.number && origin?.commit === flow.sha);
  if (own !== undefined) return follow(flow, plan, own);
  session.say("Nothing to do: live is what the manifests say.");
  const posted = await comment(flow, { kind: "planned", plan }, false);
  return posted.ok ? end(flow, "no_changes", plan, EXIT.done) : posted;
}

async function endStale(flow: Flow, plan: Plan, reviewed: Review | null): Promise<CliResult<Outcome>> {
  const { api, session, pull } = flow;
  const before = reviewed === null ? null : await api.plan(reviewed.fingerprint);
  const moved = before?.ok ? describePlanDifference(before.value, plan) : [];
  const state: CommentState = { kind: "stale", reviewed: reviewed?.fingerprint ?? null, moved, plan };
  await flow.actions.summarize(renderComment(state, contextOf(flow)));
  const posted = await comment(flow, state);
  if (!posted.ok) return posted;
  const why =
    pull === null
      ? "no pull request has shown this commit's plan. Open one, or apply it with a token of a person: shardctl apply"
      : `live is not what pull request #${pull.number} was shown. What moved stands in it, with the command that releases the new plan`;
  session.warn(`Nothing was applied: ${why}.`);
  for (const line of moved) session.say(defuseCommands(`  ${line}`));
  return end(flow, "stale", plan, EXIT.stalePlan);
}

async function endHeld(
  flow: Flow,
  plan: Plan,
  message: string,
  outcome: ActionsOutcome,
  exitCode: ExitCode,
): Promise<CliResult<Outcome>> {
  const state: CommentState = { kind: "held", message, plan };
  await flow.actions.summarize(renderComment(state, contextOf(flow)));
  const posted = await comment(flow, state);
  if (!posted.ok) return posted;
  flow.session.warn(`Nothing was applied: ${message}`);
  return end(flow, outcome, plan, exitCode);
}

async function endIgnored(session: Session, actions: Actions, why: string): Promise<CliResult<Outcome>> {
  session.show(why);
  await actions.output({ outcome: "ignored", hasChanges: false, fingerprint: null });
  return { ok: true, value: { exitCode: EXIT.done, json: { ignored: why } } };
}

async function end(
  { actions }: Flow,
  outcome: ActionsOutcome,
  plan: Plan,
  exitCode: ExitCode,
  json: unknown = { plan: planJson(plan), run: null },
): Promise<CliResult<Outcome>> {
  await actions.output({ outcome, hasChanges: plan.changes.length > 0, fingerprint: plan.fingerprint });
  return { ok: true, value: { exitCode, json } };
}

async function comment(flow: Flow, state: CommentState, createIfAbsent = true): Promise<CliResult<null>> {
  if (flow.pull === null || flow.isWorkerPosting) return { ok: true, value: null };
  const place = { pull: flow.pull.number, headSha: flow.pull.headSha, environment: flow.project.environment };
  const posted = await postComment(flow.session, flow.actions, place, state, createIfAbsent);
  return posted.ok ? { ok: true, value: null } : posted;
}

function contextOf({ project, pull, sha, actions, session }: Flow): Parameters<typeof renderComment>[1] {
  return { environment: project.environment, headSha: pull?.headSha ?? sha, url: actions.runUrl, now: session.host.now() };
}
