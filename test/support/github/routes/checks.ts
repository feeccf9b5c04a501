/**
 * Check runs: only apps write them, 50 annotations a request, and an update appends annotations.
 */
import { answer, invalidRequest, notFound, paginate, refuse, type Answer } from "../answers.ts";
import { repoRoute, type RepoCall, type Route } from "../route.ts";
import { showAnnotation, showCheckRun } from "../shapes/check.ts";
import {
  resolveRef,
  type Annotation,
  type App,
  type CheckConclusion,
  type CheckRun,
  type CheckStatus,
  type Repository,
} from "../state.ts";
import { checkRunProblem } from "./check-problems.ts";

const DOCS = "/checks/runs";

export const checkRoutes: readonly Route[] = [
  repoRoute("POST", "/check-runs", ["checks=write"], createCheckRun),
  repoRoute("PATCH", "/check-runs/:id", ["checks=write"], updateCheckRun),
  repoRoute("GET", "/check-runs/:id/annotations", ["checks=read"], (call) =>
    withCheckRun(call, (run) => {
      const page = paginate(run.annotations, call.url);
      return answer(
        200,
        page.items.map((one) => showAnnotation(call.repo, run, one)),
        page.headers,
      );
    }),
  ),
  repoRoute("GET", "/commits/:ref{.+}/check-runs", ["checks=read"], listForRef),
];

function withCheckRun(call: RepoCall, act: (run: CheckRun) => Answer): Answer {
  const run = call.repo.checkRuns.get(Number(call.params["id"]));
  return run ? act(run) : notFound(DOCS);
}

function createCheckRun(call: RepoCall): Answer {
  const { world, repo, body, token } = call;
  if (!token?.app) return refuse(403, "You must authenticate via a GitHub App.", DOCS);
  const problem = checkRunProblem(body, true);
  if (problem !== null) return invalidRequest(problem, DOCS);
  const headSha = String(body["head_sha"]);
  if (repo.objects.readCommit(headSha) === null)
    return refuse(422, `No commit found for SHA: ${headSha}`, DOCS);
  const run: CheckRun = {
    id: world.state.newId(),
    suiteId: suiteOf(call, token.app, headSha),
    headSha,
    app: token.app,
    name: String(body["name"]),
    detailsUrl: null,
    externalId: null,
    status: "queued",
    conclusion: null,
    startedAtMs: world.state.now(),
    completedAtMs: null,
    title: null,
    summary: null,
    text: null,
    annotations: [],
    actions: [],
  };
  applyFields(call, run);
  repo.checkRuns.set(run.id, run);
  return answer(201, showCheckRun(world.api, repo, run));
}

function updateCheckRun(call: RepoCall): Answer {
  return withCheckRun(call, (run) => {
    if (!call.token?.app) return refuse(403, "You must authenticate via a GitHub App.", DOCS);
    if (call.token.app !== run.app) {
      const message = `Invalid app_id \`${call.token.app.id}\` - check run can only be modified by the GitHub App that created it.`;
      return refuse(403, message, DOCS);
    }
    const problem = checkRunProblem(call.body, false);
    if (problem !== null) return invalidRequest(problem, DOCS);
    applyFields(call, run);
    return answer(200, showCheckRun(call.world.api, call.repo, run));
  });
}

/** Runs of one app on one commit are one suite. */
function suiteOf({ world, repo }: RepoCall, app: App, headSha: string): number {
  const known = [...repo.checkRuns.values()].find(
    (run) => run.app === app && run.headSha === headSha,
  );
  return known?.suiteId ?? world.state.newId();
}

/**
 * Fields that are missing stay. A conclusion completes the run; opening it again clears the
 * conclusion.
 */
function applyFields({ world, body }: RepoCall, run: CheckRun): void {
  const text = (name: string) => (typeof body[name] === "string" ? body[name] : null);
  run.name = text("name") ?? run.name;
  run.detailsUrl = text("details_url") ?? run.detailsUrl;
  run.externalId = text("external_id") ?? run.externalId;
  const [started, completed] = [text("started_at"), text("completed_at")];
  if (started !== null) run.startedAtMs = Date.parse(started);
  const conclusion = text("conclusion") as CheckConclusion | null;
  const status =
    conclusion !== null || completed !== null
      ? "completed"
      : (text("status") as CheckStatus | null);
  if (status !== null) run.status = status;
  if (status === "completed") {
    run.conclusion = conclusion ?? run.conclusion;
    run.completedAtMs = completed === null ? world.state.now() : Date.parse(completed);
  } else if (status !== null) {
    run.conclusion = null;
    run.completedAtMs = null;
  }
  if (Array.isArray(body["actions"])) run.actions = body["actions"] as CheckRun["actions"];
  if (typeof body["output"] === "object" && body["output"] !== null)
    applyOutput(run, body["output"] as Readonly<Record<string, unknown>>);
}

function applyOutput(run: CheckRun, output: Readonly<Record<string, unknown>>): void {
  if (typeof output["title"] === "string") run.title = output["title"];
  if (typeof output["summary"] === "string") run.summary = output["summary"];
  if (typeof output["text"] === "string") run.text = output["text"];
  for (const one of (output["annotations"] ?? []) as readonly Partial<Annotation>[]) {
    run.annotations.push({
      path: one.path ?? "",
      start_line: one.start_line ?? 1,
      end_line: one.end_line ?? 1,
      start_column: one.start_column ?? null,
      end_column: one.end_column ?? null,
      annotation_level: one.annotation_level ?? "notice",
      title: one.title ?? null,
      message: one.message ?? "",
      raw_details: one.raw_details ?? null,
    });
  }
}

function listForRef({ world, repo, params, url }: RepoCall): Answer {
  const name = params["ref"] ?? "";
  const sha = resolveRef(repo, name);
  if (sha === null) return refuse(422, `No commit found for SHA: ${name}`, DOCS);
  const query = url.searchParams;
  const [checkName, status, appId] = [
    query.get("check_name"),
    query.get("status"),
    query.get("app_id"),
  ];
  const found = [...repo.checkRuns.values()]
    .filter((run) => run.headSha === sha)
    .filter((run) => checkName === null || run.name === checkName)
    .filter((run) => status === null || run.status === status)
    .filter((run) => appId === null || run.app.id === Number(appId));
  const shown = query.get("filter") === "all" ? found : latestOf(found);
  const page = paginate(shown.toReversed(), url);
  const runs = page.items.map((run) => showCheckRun(world.api, repo, run));
  return answer(200, { total_count: shown.length, check_runs: runs }, page.headers);
}

/** The newest run of each name and app: what GitHub lists unless it is asked for all. */
function latestOf(runs: readonly CheckRun[]): CheckRun[] {
  return [...new Map(runs.map((run) => [`${run.app.id} ${run.name}`, run])).values()];
}

export function checkRunsOf(repo: Repository, sha: string | null): CheckRun[] {
  return [...repo.checkRuns.values()].filter((run) => sha === null || run.headSha === sha);
}
