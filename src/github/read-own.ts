/**
 * Finds what this credential wrote before, by exact marker and own authorship: never by a title,
 * and never by a search, which lags behind and finds what others wrote.
 */
import { success } from "../model/result.ts";
import { callWholeList, type GithubCaller } from "./call.ts";
import type { GithubReader, GithubResult } from "./port.ts";
import * as shapes from "./shapes.ts";

/** 100 items a page. A pull request with more comments than this has other problems. */
const COMMENT_PAGES_MAX = 50;
const ISSUE_PAGES_MAX = 50;
const CHECK_PAGES_MAX = 10;
const ANNOTATION_PAGES_MAX = 20;
const REPOSITORY = "/repos/{owner}/{repo}";

type OwnReads = Pick<
  GithubReader,
  "login" | "commentsWith" | "issuesWith" | "checks" | "checkAnnotations"
>;

export function createOwnReads(caller: GithubCaller): OwnReads {
  const login = rememberSuccess(() => findLogin(caller));
  return {
    login,
    async commentsWith(pull, marker) {
      const author = await login();
      if (!author.ok) return author;
      const comments = await callWholeList(caller, COMMENT_PAGES_MAX, {
        what: `list the comments on #${pull}`,
        route: `GET ${REPOSITORY}/issues/{issue_number}/comments`,
        parameters: { issue_number: pull },
        answer: shapes.commentsSchema,
        needs: "`pull_requests: read`",
      });
      if (!comments.ok) return comments;
      const own = comments.value.filter(
        (comment) => comment.author === author.value && firstLine(comment.body) === marker,
      );
      return success(own.toSorted((left, right) => left.id - right.id));
    },
    async issuesWith(marker) {
      const author = await login();
      if (!author.ok) return author;
      const issues = await callWholeList(caller, ISSUE_PAGES_MAX, {
        what: `list the issues of ${author.value}`,
        route: `GET ${REPOSITORY}/issues`,
        parameters: { creator: author.value, state: "all", sort: "created", direction: "asc" },
        answer: shapes.issuesSchema,
        needs: "`issues: read`",
      });
      if (!issues.ok) return issues;
      const own = issues.value.filter(
        (issue) => issue.author === author.value && firstLine(issue.body) === marker,
      );
      return success(own.toSorted((left, right) => left.number - right.number));
    },
    async checks(headSha, name) {
      const author = await login();
      if (!author.ok) return author;
      const shown = await callWholeList(caller, CHECK_PAGES_MAX, {
        what: `list the check runs on ${headSha}`,
        route: `GET ${REPOSITORY}/commits/{ref}/check-runs`,
        parameters: { ref: headSha, check_name: name, filter: "all" },
        answer: shapes.checksSchema,
        needs: "`checks: read`",
      });
      if (!shown.ok) return shown;
      const own = shown.value.filter(({ app }) => app !== null && `${app}[bot]` === author.value);
      return success(own.map(({ check }) => check).toSorted((left, right) => right.id - left.id));
    },
    checkAnnotations: (id) =>
      callWholeList(caller, ANNOTATION_PAGES_MAX, {
        what: `list the annotations of check run ${id}`,
        route: `GET ${REPOSITORY}/check-runs/{check_run_id}/annotations`,
        parameters: { check_run_id: id },
        answer: shapes.annotationsSchema,
        needs: "`checks: read`",
      }),
  };
}

/** The first line of a body, without a carriage return: GitHub's editor writes them. */
export function firstLine(body: string): string {
  return (body.split("\n", 1)[0] ?? "").replace(/\r$/, "");
}

/**
 * Under which login a client writes. An App tells its own name; a user's token knows its user; the
 * token of a workflow has no user, and says who it is only to GraphQL.
 */
async function findLogin(caller: GithubCaller): Promise<GithubResult<string>> {
  const what = "find out who writes for the credential";
  if (caller.app !== null) {
    const { app } = caller;
    return caller.call({
      what,
      route: "GET /app",
      answer: shapes.appSchema,
      needs: "the key of the App",
      authorize: app.appAuthorization,
    });
  }
  const user = await caller.call({
    what,
    route: "GET /user",
    answer: shapes.userSchema,
    needs: "a token of a user",
  });
  if (user.ok || user.failure.kind !== "forbidden") return user;
  const parameters = { baseUrl: caller.graphqlUrl, query: "{ viewer { login } }" };
  return caller.call({
    what,
    route: "POST /graphql",
    parameters,
    answer: shapes.viewerSchema,
    needs: "`metadata: read`",
    isRead: true,
  });
}

function rememberSuccess<Value>(
  find: () => Promise<GithubResult<Value>>,
): () => Promise<GithubResult<Value>> {
  let known: GithubResult<Value> | null = null;
  return async () => {
    const found = known ?? (await find());
    if (found.ok) known = found;
    return found;
  };
}
