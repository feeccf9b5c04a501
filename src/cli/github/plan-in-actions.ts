/**
 * `shardctl plan --github`: what a pull request would do, shown in it.
 *
 * | the event                         | what is done                                                                    |
 * |-----------------------------------|---------------------------------------------------------------------------------|
 * | pull request of this repository   | plan, comment, check, then the review is stored: what was not shown is not reviewed |
 * | the same, closed or merged by now | nothing: what a merge would do must not stand in place of what it did            |
 * | pull request from a fork          | the manifests are checked; nothing is asked, nothing is written                  |
 * | merge queue                       | plan into the summary, and the check that the queue waits for on its own commit   |
 * | anything else                     | plan into the summary                                                           |
 */
import { isEmptyPlan, type Plan } from "../../model/plan.ts";
import type { DesiredState } from "../../model/spec.ts";
import type { PullRequestEvent } from "../../github/actions-event.ts";
import { planMarker } from "../../github/markers.ts";
import { touchesManifests } from "../../github/manifest-paths.ts";
import { type ManifestError, formatErrors } from "../../manifest/index.ts";
import { renderPlanMarkdown } from "../../render/plan-markdown.ts";
import type { CheckState } from "../../pulls/plan-check.ts";
import { listProblems } from "../../pulls/plan-comment.ts";
import type { ApiClient } from "../api-client.ts";
import { connectApi } from "../connect-api.ts";
import { EXIT } from "../exit-codes.ts";
import { type CliResult, fail } from "../failure.ts";
import { parseProject } from "../load-desired.ts";
import type { Project } from "../project.ts";
import type { Outcome, Session } from "../session.ts";
import { planJson, planText } from "../views.ts";
import { type Actions, type ActionsOutcome, failGithub, openActions } from "./actions.ts";
import {
  type Posted,
  type PullPlace,
  findStanding,
  postRunnerCheck,
  postRunnerComment,
} from "./pull-post.ts";
import { atRepositoryRoot, findPrefix } from "./repository-paths.ts";

const WORKER_POSTS = "The Worker keeps the comment and the check of this pull request.";

/** GitHub refuses summaries over 1 MiB; characters can have three bytes. */
const SUMMARY_LENGTH_MAX = 300_000;

/** Context that the flow needs at every step. */
interface Flow {
  readonly session: Session;
  readonly actions: Actions;
  readonly project: Project;
  /**
   * Path of the working directory in the repository, with a slash at its end; empty at the root.
   */
  readonly prefix: string;
}

export async function planInActions(
  session: Session,
  project: Project,
  paths: readonly string[],
): Promise<CliResult<Outcome>> {
  const opened = await openActions(session);
  if (!opened.ok) return opened;
  const actions = opened.value;
  const flow: Flow = { session, actions, project, prefix: await findPrefix(session.host.cwd) };
  const result = await planEvent(flow, paths);
  if (!result.ok) await actions.output({ outcome: "error", hasChanges: false, fingerprint: null });
  return result;
}

async function planEvent(flow: Flow, paths: readonly string[]): Promise<CliResult<Outcome>> {
  const { event } = flow.actions;
  if (event.kind === "comment")
    return fail(
      "usage",
      "A comment event cannot be planned.",
      "Use it for: shardctl apply --github",
    );
  const parsed = await parseProject(flow.session.host, flow.project, paths);
  if (!parsed.ok) return parsed;
  const errors = parsed.value.errors.map((error) => ({
    ...error,
    file: atRepositoryRoot(flow.prefix, error.file),
  }));
  const desired =
    parsed.value.desired === null ? null : withRootedSources(parsed.value.desired, flow.prefix);
  if (event.kind !== "pullRequest")
    return desired === null ? failCommit(flow, errors) : planCommit(flow, desired);
  if (event.isFork)
    return desired === null
      ? failInvalid(flow, errors)
      : endValidated(flow, desired, "it comes from a fork");
  const place: PullPlace = {
    pull: event.pull,
    headSha: event.headSha,
    environment: flow.project.environment,
  };
  if (desired === null) return showInvalid(flow, place, errors);
  if (flow.project.endpoint === null)
    return endValidated(flow, desired, "no Worker is configured for this environment");
  return planPull(flow, event, place, desired);
}

async function planPull(
  flow: Flow,
  event: PullRequestEvent,
  place: PullPlace,
  desired: DesiredState,
): Promise<CliResult<Outcome>> {
  const { session, actions, project } = flow;
  const files = await actions.github.pullFiles(event.pull);
  if (!files.ok) return failGithub(files.failure);
  const folders = project.manifests.map((folder) => atRepositoryRoot(flow.prefix, folder));
  const isTouched =
    !files.value.isComplete ||
    folders.some((folder) => touchesManifests(files.value.paths, folder));
  if (!isTouched) {
    const old = await actions.github.commentsWith(event.pull, planMarker(place.environment));
    if (!old.ok) return failGithub(old.failure);
    // A comment of an earlier push must not go on showing changes that are taken back.
    if (old.value.length === 0) return endUntouched(flow, place);
  }
  const api = connectApi(session, project);
  if (!api.ok) return api;
  const planned = await api.value.createPlan({ desired });
  if (!planned.ok) return showUnplanned(flow, place, planned);
  const plan = planned.value;
  session.show(planText(session, plan));
  await actions.summarize(renderPlanMarkdown(plan, { lengthMax: SUMMARY_LENGTH_MAX }));
  const shown = await showPlan(flow, api.value, place, { plan, desired, isTouched });
  if (!shown.ok) return shown;
  return shown.value === "posted"
    ? end(flow, outcomeOf(plan, isTouched), plan)
    : endUnposted(flow, shown.value, plan);
}

interface Shown {
  readonly plan: Plan;
  readonly desired: DesiredState;
  readonly isTouched: boolean;
}

/** Comment and check first, the review last: what could not be shown must not count as reviewed. */
async function showPlan(
  { session, actions }: Flow,
  api: ApiClient,
  place: PullPlace,
  { plan, desired, isTouched }: Shown,
): Promise<CliResult<Posted>> {
  const { pull, headSha, environment } = place;
  const known = await api.reviews(environment, pull);
  if (!known.ok) return known;
  if (known.value.postedBy === "caller") {
    const isNews = !isEmptyPlan(plan) || plan.blocks.length > 0;
    const rules = { createIfAbsent: isTouched && isNews, onlyWhileOpen: true };
    const comment = await postRunnerComment(
      session,
      actions,
      place,
      { kind: "planned", plan },
      rules,
    );
    if (!comment.ok || comment.value !== "posted") return comment;
    const check = await postRunnerCheck(session, actions, place, {
      kind: "planned",
      plan,
      desired,
    });
    if (!check.ok) return check;
  } else {
    session.say(WORKER_POSTS);
    const standing = await findStanding(actions, place);
    if (!standing.ok || standing.value !== "posted") return standing;
  }
  const stored = await api.putReview({
    fingerprint: plan.fingerprint,
    pull,
    headSha,
    runUrl: actions.runUrl,
  });
  return stored.ok ? { ok: true, value: "posted" } : stored;
}

async function showInvalid(
  flow: Flow,
  place: PullPlace,
  errors: readonly ManifestError[],
): Promise<CliResult<Outcome>> {
  const poster = await findPoster(flow, place);
  if (poster === "worker") {
    flow.session.say(WORKER_POSTS);
    return failInvalid(flow, errors);
  }
  const rules = { createIfAbsent: poster === "caller", onlyWhileOpen: true };
  const comment = await postRunnerComment(
    flow.session,
    flow.actions,
    place,
    { kind: "invalid", errors },
    rules,
  );
  if (!comment.ok) return comment;
  if (comment.value !== "posted") return endUnposted(flow, comment.value, null);
  const check = await postRunnerCheck(flow.session, flow.actions, place, {
    kind: "invalid",
    errors,
  });
  return check.ok ? failInvalid(flow, errors) : check;
}

/**
 * Finds who keeps the comment; `unknown` when the Worker does not say: then no comment is made,
 * since it may become a second one.
 */
async function findPoster(
  { session, project }: Flow,
  { environment, pull }: PullPlace,
): Promise<"worker" | "caller" | "unknown"> {
  if (project.endpoint === null) return "caller";
  const api = connectApi(session, project);
  const known = api.ok ? await api.value.reviews(environment, pull) : api;
  if (known.ok) return known.value.postedBy;
  session.warn(
    `The Worker does not say who keeps the comment, so none is posted: ${known.failure.message}`,
  );
  return "unknown";
}

async function showUnplanned(
  flow: Flow,
  place: PullPlace,
  failed: Extract<CliResult<never>, { readonly ok: false }>,
): Promise<CliResult<Outcome>> {
  const { message } = failed.failure;
  // An old plan must not look like the plan of this commit.
  const rules = { createIfAbsent: false, onlyWhileOpen: true };
  const comment = await postRunnerComment(
    flow.session,
    flow.actions,
    place,
    { kind: "unplanned", message },
    rules,
  );
  if (!comment.ok) return comment;
  if (comment.value !== "posted") return failed;
  const check = await postRunnerCheck(flow.session, flow.actions, place, {
    kind: "unplanned",
    message,
  });
  return check.ok ? failed : check;
}

async function planCommit(flow: Flow, desired: DesiredState): Promise<CliResult<Outcome>> {
  const api = connectApi(flow.session, flow.project);
  if (!api.ok) return api;
  const planned = await api.value.createPlan({ desired });
  if (!planned.ok) return planned;
  const plan = planned.value;
  flow.session.show(planText(flow.session, plan));
  await flow.actions.summarize(renderPlanMarkdown(plan, { lengthMax: SUMMARY_LENGTH_MAX }));
  const check = await checkQueue(flow, { kind: "planned", plan, desired });
  return check.ok ? end(flow, outcomeOf(plan, true), plan) : check;
}

async function failCommit(
  flow: Flow,
  errors: readonly ManifestError[],
): Promise<CliResult<Outcome>> {
  const check = await checkQueue(flow, { kind: "invalid", errors });
  return check.ok ? failInvalid(flow, errors) : check;
}

/**
 * A merge queue waits for the required check on the commit that it made; nowhere else is one asked
 * for.
 */
async function checkQueue(
  { session, actions, project }: Flow,
  state: CheckState,
): Promise<CliResult<null>> {
  const { event } = actions;
  if (event.kind !== "mergeGroup") return { ok: true, value: null };
  return postRunnerCheck(
    session,
    actions,
    { headSha: event.sha, environment: project.environment },
    state,
  );
}

/**
 * Marks on the lines of the manifests by workflow commands: they need no permission, so they work
 * for forks too.
 */
async function failInvalid(
  { session, actions }: Flow,
  errors: readonly ManifestError[],
): Promise<CliResult<Outcome>> {
  session.command(formatErrors(errors, "github"));
  await actions.summarize(`### The manifests have errors\n\n${listProblems(errors)}\n`);
  await actions.output({ outcome: "invalid", hasChanges: false, fingerprint: null });
  return { ok: true, value: { exitCode: EXIT.error, json: { errors } } };
}

async function endValidated(
  { session, actions }: Flow,
  desired: DesiredState,
  why: string,
): Promise<CliResult<Outcome>> {
  const said = `${desired.namespaces.length} namespaces are declared without errors. They were not compared with live: ${why}.`;
  session.show(said);
  await actions.summarize(`${said}\n`);
  await actions.output({ outcome: "validated", hasChanges: false, fingerprint: null });
  return {
    ok: true,
    value: { exitCode: EXIT.done, json: { namespaces: desired.namespaces.length } },
  };
}

async function endUntouched(flow: Flow, place: PullPlace): Promise<CliResult<Outcome>> {
  flow.session.show("This pull request touches no manifest: nothing was planned.");
  const check = await postRunnerCheck(flow.session, flow.actions, place, { kind: "untouched" });
  return check.ok ? end(flow, "untouched", null) : check;
}

async function endUnposted(
  flow: Flow,
  why: Exclude<Posted, "posted">,
  plan: Plan | null,
): Promise<CliResult<Outcome>> {
  const because = {
    superseded: "a newer commit was pushed meanwhile",
    closed: "the pull request was closed or merged meanwhile",
  };
  flow.session.say(`Nothing was posted: ${because[why]}.`);
  return end(flow, why, plan);
}

async function end(
  { actions }: Flow,
  outcome: ActionsOutcome,
  plan: Plan | null,
): Promise<CliResult<Outcome>> {
  await actions.output({
    outcome,
    hasChanges: plan !== null && !isEmptyPlan(plan),
    fingerprint: plan?.fingerprint ?? null,
  });
  const exitCode = outcome === "blocked" ? EXIT.blocked : EXIT.done;
  return { ok: true, value: { exitCode, json: plan === null ? undefined : planJson(plan) } };
}

function outcomeOf(plan: Plan, isTouched: boolean): ActionsOutcome {
  if (!isTouched) return "untouched";
  if (plan.blocks.length > 0) return "blocked";
  return isEmptyPlan(plan) ? "no_changes" : "planned";
}

/** Marks go to paths of the repository, whatever the working directory was. */
function withRootedSources(desired: DesiredState, prefix: string): DesiredState {
  if (prefix === "") return desired;
  const namespaces = desired.namespaces.map((spec) => ({
    ...spec,
    source: { ...spec.source, file: atRepositoryRoot(prefix, spec.source.file) },
  }));
  return { ...desired, namespaces };
}
