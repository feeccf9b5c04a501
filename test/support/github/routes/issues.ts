/**
 * Issues and labels: create, change, read, list by label, state and creator. Lists of issues hold
 * pull requests too, as GitHub's do.
 */
import { answer, invalidFields, notFound, paginate, type Answer } from "../answers.ts";
import { createIssue, createLabel, setIssueState } from "../issue-changes.ts";
import { setPullState } from "../pull-changes.ts";
import { appOf, callerOf, repoRoute, type Need, type RepoCall, type Route } from "../route.ts";
import { showIssue } from "../shapes/issue.ts";
import { commentsOf, type Issue, type Repository } from "../state.ts";

/** Counted as JavaScript counts, which is never less than GitHub's characters. */
export const BODY_CHARACTERS_MAX = 65_536;
const TITLE_CHARACTERS_MAX = 256;
const DOCS = "/issues/issues";

export const issueRoutes: readonly Route[] = [
  repoRoute("GET", "/issues", ["issues=read", "pull_requests=read"], listIssues),
  repoRoute("POST", "/issues", ["issues=write"], postIssue),
  repoRoute(
    "PATCH",
    "/issues/:number",
    (call) => needsOf(call, "write"),
    (call) => withIssue(call, (issue) => patchIssue(call, issue)),
  ),
];

/** Returns the accepted permissions: a pull request may be reached with either. */
export function needsOf(call: RepoCall, access: "read" | "write"): readonly Need[] {
  const issue = call.repo.issues.get(Number(call.params["number"]));
  return issue && !issue.pull
    ? [`issues=${access}`]
    : [`issues=${access}`, `pull_requests=${access}`];
}

export function withIssue(call: RepoCall, act: (issue: Issue) => Answer): Answer {
  const issue = call.repo.issues.get(Number(call.params["number"]));
  return issue ? act(issue) : notFound(`${DOCS}#get-an-issue`);
}

/** The refusal of a body that is too long or not text; `null` for one that fits or is missing. */
export function checkBody(resource: string, body: unknown, docs = DOCS): Answer | null {
  if (body === undefined || body === null) return null;
  if (typeof body !== "string")
    return invalidFields([{ resource, field: "body", code: "invalid" }], docs);
  if (body.length <= BODY_CHARACTERS_MAX) return null;
  const message = `Body is too long (maximum is ${BODY_CHARACTERS_MAX} characters)`;
  const isComment = resource === "IssueComment";
  return invalidFields(
    [
      {
        resource,
        code: isComment ? "unprocessable" : "custom",
        field: isComment ? "data" : "body",
        message,
      },
    ],
    docs,
  );
}

function listIssues({ world, repo, url }: RepoCall): Answer {
  const query = url.searchParams;
  const state = query.get("state") ?? "open";
  const labels = (query.get("labels") ?? "").split(",").filter((name) => name !== "");
  const creator = query.get("creator")?.toLowerCase();
  const since = query.has("since") ? Date.parse(query.get("since") ?? "") : null;
  const sort = query.get("sort") ?? "created";
  const isAscending = query.get("direction") === "asc";
  const found = [...repo.issues.values()]
    .filter((issue) => state === "all" || issue.state === state)
    .filter((issue) =>
      labels.every((name) => issue.labels.some((one) => one.toLowerCase() === name.toLowerCase())),
    )
    .filter((issue) => creator === undefined || issue.author.login.toLowerCase() === creator)
    .filter((issue) => since === null || issue.updatedAtMs >= since)
    .toSorted(
      (a, b) =>
        (isAscending ? 1 : -1) *
        (orderOf(repo, a, sort) - orderOf(repo, b, sort) || a.number - b.number),
    );
  const page = paginate(found, url);
  return answer(
    200,
    page.items.map((issue) => showIssue(world.api, repo, issue)),
    page.headers,
  );
}

function orderOf(repo: Repository, issue: Issue, sort: string): number {
  if (sort === "updated") return issue.updatedAtMs;
  return sort === "comments" ? commentsOf(issue, repo).length : issue.createdAtMs;
}

function postIssue(call: RepoCall): Answer {
  const { world, repo, body } = call;
  const refused = checkIssue(body, true);
  if (refused) return refused;
  const issue = createIssue(world, repo, {
    author: callerOf(call),
    app: appOf(call),
    title: String(body["title"]),
    body: typeof body["body"] === "string" ? body["body"] : null,
    labels: labelNames(body["labels"]),
  });
  return answer(201, showIssue(world.api, repo, issue));
}

function patchIssue(call: RepoCall, issue: Issue): Answer {
  const { world, repo, body } = call;
  const refused = checkIssue(body, false);
  if (refused) return refused;
  if (typeof body["title"] === "string") issue.title = body["title"];
  if (body["body"] !== undefined)
    issue.body = typeof body["body"] === "string" ? body["body"] : null;
  if (body["labels"] !== undefined) {
    issue.labels = labelNames(body["labels"]);
    for (const name of issue.labels) createLabel(world, repo, name);
  }
  issue.updatedAtMs = world.state.now();
  const { state } = body;
  if (state === "open" || state === "closed") {
    const reason = body["state_reason"];
    if (issue.pull) setPullState(world, issue.pull, state, callerOf(call));
    else
      setIssueState(
        world,
        issue,
        state,
        callerOf(call),
        reason === "completed" || reason === "not_planned" ? reason : null,
      );
  }
  return answer(200, showIssue(world.api, repo, issue));
}

function checkIssue(body: Readonly<Record<string, unknown>>, isNew: boolean): Answer | null {
  const { title, state } = body;
  if (isNew && (typeof title !== "string" || title.trim() === "")) {
    return invalidFields([{ resource: "Issue", field: "title", code: "missing_field" }], DOCS);
  }
  if (typeof title === "string" && title.length > TITLE_CHARACTERS_MAX) {
    const message = `title is too long (maximum is ${TITLE_CHARACTERS_MAX} characters)`;
    return invalidFields([{ resource: "Issue", field: "title", code: "custom", message }], DOCS);
  }
  if (state !== undefined && state !== "open" && state !== "closed") {
    return invalidFields(
      [{ resource: "Issue", field: "state", code: "invalid", value: state }],
      DOCS,
    );
  }
  return checkBody("Issue", body["body"]);
}

function labelNames(labels: unknown): string[] {
  if (!Array.isArray(labels)) return [];
  return labels.map((one: unknown) =>
    typeof one === "string" ? one : String((one as { name?: unknown }).name),
  );
}
