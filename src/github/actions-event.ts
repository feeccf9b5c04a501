/**
 * Reads the subject of a workflow run: the runner's variables and the event's JSON → one plain
 * value.
 *
 * Takes texts, reads no file. Refuses `pull_request_target` and `workflow_run`: they run with write
 * access beside what others wrote.
 */
import * as z from "zod";

import { failure, type Result, success } from "../model/result.ts";
import type { GithubRepository } from "./port.ts";

export interface PullRequestEvent {
  readonly kind: "pullRequest";
  readonly pull: number;
  /** The newest commit of the pull request. */
  readonly headSha: string;
  readonly isFork: boolean;
}

export interface PushEvent {
  readonly kind: "push";
  readonly branch: string;
  readonly sha: string;
}

export interface MergeGroupEvent {
  readonly kind: "mergeGroup";
  readonly sha: string;
}

export interface CommentEvent {
  readonly kind: "comment";
  readonly action: string;
  readonly pull: number;
  readonly isPull: boolean;
  readonly author: string;
  readonly body: string;
  readonly commentId: number;
  /** The head of the default branch, where such a run works. */
  readonly sha: string;
  readonly branch: string;
}

/** Started by a person or by a schedule. */
export interface ManualEvent {
  readonly kind: "manual";
  readonly branch: string;
  readonly sha: string;
}

export type ActionsEvent =
  | PullRequestEvent
  | PushEvent
  | MergeGroupEvent
  | CommentEvent
  | ManualEvent;

export interface ActionsRun {
  readonly event: ActionsEvent;
  readonly repository: GithubRepository;
  readonly runUrl: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

const sha = z.string().regex(/^[0-9a-f]{40}$/, "must be a commit's sha");
const number = z.int().min(1);
const name = z.string().min(1).max(1024);
const branchRef = z.string().regex(/^refs\/heads\/\S+$/, "must be a branch");
const digits = z.string().regex(/^\d{1,19}$/);

const variablesSchema = z.object({
  GITHUB_EVENT_NAME: name,
  GITHUB_REPOSITORY: z.string().regex(/^[\w.-]+\/[\w.-]+$/, "must be owner/name"),
  GITHUB_SHA: sha,
  GITHUB_REF: z.string().max(1024).optional(),
  GITHUB_RUN_ID: digits,
  GITHUB_SERVER_URL: z.url().optional(),
});
type Variables = z.output<typeof variablesSchema>;

const pullRequestSchema = z.object({
  number,
  pull_request: z.object({
    head: z.object({ sha, repo: z.object({ id: number }).nullish() }),
    base: z.object({ repo: z.object({ id: number }) }),
  }),
});
const mergeGroupSchema = z.object({
  merge_group: z.object({ head_sha: sha }),
});
const commentSchema = z.object({
  action: name,
  issue: z.object({ number, pull_request: z.unknown().optional() }),
  comment: z.object({
    id: number,
    body: z.string().nullish(),
    user: z.object({ login: name }).nullish(),
  }),
});

/**
 * @param environment the runner's variables.
 * @param eventJson content of the file that `GITHUB_EVENT_PATH` names.
 */
export function readActionsEvent(
  environment: Environment,
  eventJson: string,
): Result<ActionsRun, string> {
  // The runner sets variables that do not apply to an empty text.
  const given = Object.fromEntries(
    Object.entries(environment).filter(([, value]) => value !== undefined && value !== ""),
  );
  const variables = variablesSchema.safeParse(given);
  if (!variables.success)
    return failure(`${describe(variables.error, "the run's variables")} Is this GitHub Actions?`);
  const payload = parseJson(eventJson);
  if (payload === null) return failure("The event's file is not a JSON object.");
  const event = readEvent(variables.data, payload);
  return event.ok ? success(toRun(variables.data, event.value)) : event;
}

function toRun(variables: Variables, event: ActionsEvent): ActionsRun {
  const [owner = "", repositoryName = ""] = variables.GITHUB_REPOSITORY.split("/");
  const server = (variables.GITHUB_SERVER_URL ?? "https://github.com").replace(/\/+$/, "");
  return {
    event,
    repository: { owner, name: repositoryName },
    runUrl: `${server}/${variables.GITHUB_REPOSITORY}/actions/runs/${variables.GITHUB_RUN_ID}`,
  };
}

function readEvent(variables: Variables, payload: object): Result<ActionsEvent, string> {
  const { GITHUB_EVENT_NAME: event, GITHUB_SHA: commit } = variables;
  switch (event) {
    case "pull_request":
      return readPullRequest(payload);
    case "merge_group": {
      const parsed = mergeGroupSchema.safeParse(payload);
      if (!parsed.success) return failure(describe(parsed.error, "the event"));
      return success({ kind: "mergeGroup", sha: parsed.data.merge_group.head_sha });
    }
    case "issue_comment":
      return readComment(payload, variables);
    case "push":
    case "workflow_dispatch":
    case "schedule":
    case "repository_dispatch": {
      const branch = readBranch(variables);
      if (!branch.ok) return branch;
      return success({
        kind: event === "push" ? "push" : "manual",
        branch: branch.value,
        sha: commit,
      });
    }
    case "pull_request_target":
    case "workflow_run":
      return failure(
        `Runs on ${event} have rights to write beside what others wrote, so shardctl does not work in them. Use pull_request.`,
      );
    default:
      return failure(
        `shardctl does not work on the event ${event}. Use pull_request, merge_group, push, issue_comment, workflow_dispatch or schedule.`,
      );
  }
}

function readPullRequest(payload: object): Result<PullRequestEvent, string> {
  const parsed = pullRequestSchema.safeParse(payload);
  if (!parsed.success) return failure(describe(parsed.error, "the event"));
  const { number: pull, pull_request: request } = parsed.data;
  const { head, base } = request;
  return success({
    kind: "pullRequest",
    pull,
    headSha: head.sha,
    isFork: head.repo?.id !== base.repo.id,
  });
}

function readComment(payload: object, variables: Variables): Result<CommentEvent, string> {
  const parsed = commentSchema.safeParse(payload);
  if (!parsed.success) return failure(describe(parsed.error, "the event"));
  const branch = readBranch(variables);
  if (!branch.ok) return branch;
  const { action, issue, comment } = parsed.data;
  return success({
    kind: "comment",
    action,
    pull: issue.number,
    isPull: issue.pull_request !== undefined && issue.pull_request !== null,
    author: comment.user?.login ?? "ghost",
    body: comment.body ?? "",
    commentId: comment.id,
    sha: variables.GITHUB_SHA,
    branch: branch.value,
  });
}

function readBranch({ GITHUB_REF: ref }: Variables): Result<string, string> {
  const parsed = branchRef.safeParse(ref);
  return parsed.success
    ? success(shortBranch(parsed.data))
    : failure(`The run is not on a branch: GITHUB_REF is ${JSON.stringify(ref ?? "")}.`);
}

function shortBranch(ref: string): string {
  return ref.slice("refs/heads/".length);
}

function describe(error: z.ZodError, where: string): string {
  const [first] = error.issues;
  return `${first?.path.join(".") ?? ""} in ${where}: ${first?.message ?? "wrong"}.`;
}

function parseJson(text: string): object | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}
