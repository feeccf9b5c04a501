/**
 * Writes of a client. One request each, except for a check run with more annotations than GitHub
 * takes at once.
 *
 * Limits that GitHub would answer with a 422 are checked before anything is sent.
 */
import { failure, success } from "../model/result.ts";
import type { GithubCaller } from "./call.ts";
import type {
  Annotation,
  Check,
  CheckRef,
  GithubReader,
  GithubResult,
  GithubWriter,
} from "./port.ts";
import * as shapes from "./shapes.ts";

/** Characters of a comment or an issue. */
export const BODY_LENGTH_MAX = 65_535;
/** Characters of a check run's summary, and of its text. */
export const CHECK_TEXT_LENGTH_MAX = 65_535;
const ANNOTATIONS_AT_ONCE = 50;
const TITLE_LENGTH_MAX = 255;

const REPOSITORY = "/repos/{owner}/{repo}";

type Writes = Omit<GithubWriter, keyof GithubReader>;

export function createWrites(caller: GithubCaller): Writes {
  const { call } = caller;
  return {
    createComment: async (pull, body) =>
      checkBody(`create a comment on #${pull}`, body) ??
      call({
        what: `create a comment on #${pull}`,
        route: `POST ${REPOSITORY}/issues/{issue_number}/comments`,
        parameters: { issue_number: pull, body },
        answer: shapes.commentSchema,
        needs: "`pull_requests: write`",
      }),
    updateComment: async (id, body) =>
      checkBody(`update comment ${id}`, body) ??
      call({
        what: `update comment ${id}`,
        route: `PATCH ${REPOSITORY}/issues/comments/{comment_id}`,
        parameters: { comment_id: id, body },
        answer: shapes.commentSchema,
        needs: "`pull_requests: write`",
      }),
    deleteComment: (id) =>
      call({
        what: `delete comment ${id}`,
        route: `DELETE ${REPOSITORY}/issues/comments/{comment_id}`,
        parameters: { comment_id: id },
        answer: shapes.nothingSchema,
        needs: "`pull_requests: write`",
      }),
    createCheck: (check) => sendCheck(caller, null, check),
    updateCheck: (id, check) => sendCheck(caller, id, check),
    createIssue: async ({ title, body, labels }) =>
      checkBody("create an issue", body) ??
      call({
        what: "create an issue",
        route: `POST ${REPOSITORY}/issues`,
        parameters: { title, body, labels },
        answer: shapes.issueSchema,
        needs: "`issues: write`",
      }),
    updateIssue: async (number, change) =>
      checkBody(`update issue #${number}`, change.body ?? "") ??
      call({
        what: `update issue #${number}`,
        route: `PATCH ${REPOSITORY}/issues/{issue_number}`,
        parameters: { issue_number: number, ...change },
        answer: shapes.issueSchema,
        needs: "`issues: write`",
      }),
    commentOnIssue: async (number, body) =>
      checkBody(`comment on issue #${number}`, body) ??
      call({
        what: `comment on issue #${number}`,
        route: `POST ${REPOSITORY}/issues/{issue_number}/comments`,
        parameters: { issue_number: number, body },
        answer: shapes.commentSchema,
        needs: "`issues: write`",
      }),
    reactTo: (commentId, reaction) =>
      call({
        what: `react to comment ${commentId}`,
        route: `POST ${REPOSITORY}/issues/comments/{comment_id}/reactions`,
        parameters: { comment_id: commentId, content: reaction },
        answer: shapes.nothingSchema,
        needs: "`pull_requests: write`",
      }),
  };
}

/**
 * The first request makes or changes the run, the others add annotations: GitHub takes 50 at once
 * and appends them.
 */
async function sendCheck(
  caller: GithubCaller,
  id: number | null,
  check: Check,
): Promise<GithubResult<CheckRef>> {
  const what = `${id === null ? "create" : "update"} the check run ${check.name}`;
  const refused = checkTexts(what, check);
  if (refused !== null) return refused;
  let runId = id;
  let sent: GithubResult<CheckRef>;
  let start = 0;
  do {
    const annotations = check.annotations.slice(start, start + ANNOTATIONS_AT_ONCE);
    const parameters = {
      ...describeCheck(check, annotations),
      ...(runId === null ? { head_sha: check.headSha } : { check_run_id: runId }),
    };
    const route =
      runId === null
        ? `POST ${REPOSITORY}/check-runs`
        : `PATCH ${REPOSITORY}/check-runs/{check_run_id}`;
    const shown = await caller.call({
      what,
      route,
      parameters,
      answer: shapes.checkSchema,
      needs: "`checks: write`",
    });
    if (!shown.ok) return shown;
    sent = success(shown.value.check);
    runId = shown.value.check.id;
    start += ANNOTATIONS_AT_ONCE;
  } while (start < check.annotations.length);
  return sent;
}

function describeCheck(check: Check, annotations: readonly Annotation[]): Record<string, unknown> {
  return {
    name: check.name,
    external_id: check.externalId,
    ...(check.conclusion === null
      ? { status: "in_progress" }
      : { status: "completed", conclusion: check.conclusion }),
    ...(check.detailsUrl === null ? {} : { details_url: check.detailsUrl }),
    output: {
      title: check.title,
      summary: check.summary,
      text: check.text,
      ...(annotations.length === 0
        ? {}
        : { annotations: annotations.map((annotation) => describeAnnotation(annotation)) }),
    },
  };
}

function describeAnnotation({
  path,
  line,
  column,
  level,
  title,
  message,
}: Annotation): Record<string, unknown> {
  return {
    path,
    start_line: line,
    end_line: line,
    ...(column === null ? {} : { start_column: column, end_column: column }),
    annotation_level: level,
    title: title.slice(0, TITLE_LENGTH_MAX),
    message,
  };
}

function checkBody(what: string, body: string): GithubResult<never> | null {
  return body.length > BODY_LENGTH_MAX
    ? refuseLength(what, "the body", body.length, BODY_LENGTH_MAX)
    : null;
}

function checkTexts(what: string, check: Check): GithubResult<never> | null {
  for (const part of ["summary", "text"] as const) {
    const { length } = check[part];
    if (length > CHECK_TEXT_LENGTH_MAX)
      return refuseLength(what, `the ${part}`, length, CHECK_TEXT_LENGTH_MAX);
  }
  return null;
}

function refuseLength(
  what: string,
  part: string,
  length: number,
  max: number,
): GithubResult<never> {
  const [is, most] = [length, max].map((count) => count.toLocaleString("en-US"));
  const message = `Could not ${what}: ${part} has ${is} characters, and GitHub takes ${most}. Nothing was sent; show less of it.`;
  return failure({ kind: "invalid", message, retryAt: null });
}
