/** Comments of issues and pull requests, and reactions on them. */
import { answer, invalidFields, notFound, paginate, refuse, type Answer } from "../answers.ts";
import { addReaction, createComment, deleteComment, updateComment } from "../issue-changes.ts";
import { appOf, callerOf, repoRoute, type Need, type RepoCall, type Route } from "../route.ts";
import { isReaction, showComment, showReaction } from "../shapes/issue.ts";
import { commentsOf, mayPush, roleOf, type Comment, type Issue } from "../state.ts";
import { checkBody, needsOf, withIssue } from "./issues.ts";

const DOCS = "/issues/comments";

export const commentRoutes: readonly Route[] = [
  repoRoute(
    "PATCH",
    "/issues/comments/:id",
    (call) => commentNeeds(call, "write"),
    (call) => withComment(call, (one) => patch(call, one)),
  ),
  repoRoute(
    "DELETE",
    "/issues/comments/:id",
    (call) => commentNeeds(call, "write"),
    (call) => withComment(call, (one) => remove(call, one)),
  ),
  repoRoute(
    "POST",
    "/issues/comments/:id/reactions",
    (call) => commentNeeds(call, "write"),
    (call) => withComment(call, (comment) => react(call, comment)),
  ),
  repoRoute(
    "GET",
    "/issues/:number/comments",
    (call) => needsOf(call, "read"),
    (call) => withIssue(call, (issue) => list(call, issue)),
  ),
  repoRoute(
    "POST",
    "/issues/:number/comments",
    (call) => needsOf(call, "write"),
    (call) => withIssue(call, (issue) => post(call, issue)),
  ),
];

function commentNeeds(call: RepoCall, access: "read" | "write"): readonly Need[] {
  const comment = call.repo.comments.get(Number(call.params["id"]));
  return comment && !comment.issue.pull
    ? [`issues=${access}`]
    : [`issues=${access}`, `pull_requests=${access}`];
}

function withComment(call: RepoCall, act: (comment: Comment) => Answer): Answer {
  const comment = call.repo.comments.get(Number(call.params["id"]));
  return comment ? act(comment) : notFound(DOCS);
}

/** Oldest first, whatever the query says: this list has no order to choose. */
function list({ world, repo, url }: RepoCall, issue: Issue): Answer {
  const since = url.searchParams.get("since");
  const comments = commentsOf(issue, repo).filter(
    (one) => since === null || one.updatedAtMs >= Date.parse(since),
  );
  const page = paginate(comments, url);
  return answer(
    200,
    page.items.map((comment) => showComment(world.api, repo, comment)),
    page.headers,
  );
}

function post(call: RepoCall, issue: Issue): Answer {
  const { world, repo, body } = call;
  const refused = checkCommentBody(body["body"]);
  if (refused) return refused;
  const comment = createComment(world, repo, issue, {
    author: callerOf(call),
    app: appOf(call),
    body: String(body["body"]),
  });
  const shown = showComment(world.api, repo, comment);
  return answer(201, shown, { location: shown.url });
}

function patch(call: RepoCall, comment: Comment): Answer {
  const refused = refuseForeign(call, comment) ?? checkCommentBody(call.body["body"]);
  if (refused) return refused;
  updateComment(call.world, call.repo, comment, String(call.body["body"]), callerOf(call));
  return answer(200, showComment(call.world.api, call.repo, comment));
}

function remove(call: RepoCall, comment: Comment): Answer {
  const refused = refuseForeign(call, comment);
  if (refused) return refused;
  deleteComment(call.world, call.repo, comment, callerOf(call));
  return answer(204, null);
}

/**
 * People without push access may change only what they wrote; apps may with the permission, which
 * the route has checked.
 */
function refuseForeign(call: RepoCall, comment: Comment): Answer | null {
  const account = callerOf(call);
  if (call.token?.app || comment.author === account || mayPush(roleOf(call.repo, account)))
    return null;
  return refuse(403, "Must have admin rights to Repository.", DOCS);
}

function checkCommentBody(body: unknown): Answer | null {
  if (body === undefined || body === null)
    return invalidFields(
      [{ resource: "IssueComment", code: "missing_field", field: "body" }],
      DOCS,
    );
  if (typeof body === "string" && body.trim() === "") {
    const message = "Body cannot be blank";
    return invalidFields(
      [{ resource: "IssueComment", code: "unprocessable", field: "data", message }],
      DOCS,
    );
  }
  return checkBody("IssueComment", body, DOCS);
}

function react(call: RepoCall, comment: Comment): Answer {
  const { content } = call.body;
  if (!isReaction(content))
    return invalidFields(
      [{ resource: "Reaction", code: "invalid", field: "content" }],
      "/reactions/reactions",
    );
  const { reaction, isNew } = addReaction(call.world, comment, callerOf(call), content);
  return answer(isNew ? 201 : 200, showReaction(call.world.api, reaction));
}
