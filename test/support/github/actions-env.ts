/**
 * Builds a runner's environment for a workflow's step: variables, the event's file, the files for
 * outputs and the summary, and the tokens.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { NO_SHA, mergeGroup, pushPayload } from "./pull-changes.ts";
import type { Oidc, OidcJob } from "./oidc.ts";
import { HTML_URL, showAccount } from "./shapes/account.ts";
import { showComment, showIssue, showPull } from "./shapes/issue.ts";
import { showRepository } from "./shapes/repository.ts";
import {
  fullName,
  type Account,
  type Comment,
  type Permissions,
  type Pull,
  type Repository,
  type Token,
} from "./state.ts";
import { createActionsToken } from "./tokens.ts";
import type { FakeParts } from "./world.ts";

export type ActionsEvent =
  | {
      readonly kind: "pull_request";
      readonly pull: Pull;
      readonly action?: "opened" | "synchronize" | "reopened" | "closed";
    }
  /** A push of the branch's current head; `before` is its first parent when missing. */
  | {
      readonly kind: "push";
      readonly repo: Repository;
      readonly branch?: string;
      readonly before?: string;
    }
  | { readonly kind: "merge_group"; readonly pull: Pull }
  | { readonly kind: "issue_comment"; readonly repo: Repository; readonly comment: Comment };

export interface ActionsOptions {
  /** Where the event, outputs and summary files go; a folder of its own for each run. */
  readonly directory: string;
  /** File name in `.github/workflows`. */
  readonly workflow?: string;
  readonly job?: string;
  readonly environment?: string | null;
  /**
   * Permissions of the workflow's `permissions:`; a fork's pull request gets none of the writes.
   */
  readonly permissions?: Permissions;
  /** `id-token: write`; a fork's pull request never has it. */
  readonly hasIdToken?: boolean;
  readonly actor?: Account;
  readonly runAttempt?: number;
}

export interface ActionsRun {
  readonly env: Readonly<Record<string, string>>;
  /** The content of the event's file. */
  readonly payload: Readonly<Record<string, unknown>>;
  readonly token: Token;
  readonly oidcJob: OidcJob;
  readonly runId: number;
  readonly runUrl: string;
  readSummary(): Promise<string>;
  /**
   * Returns the step's writes to GITHUB_OUTPUT, with GitHub's rules for one line and for heredocs.
   */
  readOutputs(): Promise<Readonly<Record<string, string>>>;
}

interface EventFacts {
  readonly repo: Repository;
  readonly ref: string;
  readonly sha: string;
  readonly headRef: string;
  readonly baseRef: string;
  readonly isFromFork: boolean;
  readonly actor: Account;
  readonly payload: Readonly<Record<string, unknown>>;
}

const DEFAULT_PERMISSIONS: Permissions = {
  contents: "read",
  pull_requests: "write",
  checks: "write",
};

export async function actionsEnv(
  world: FakeParts,
  oidc: Oidc,
  event: ActionsEvent,
  options: ActionsOptions,
): Promise<ActionsRun> {
  const facts = eventFacts(world, event);
  const { repo } = facts;
  const { workflow = "plan.yml", runAttempt = 1, environment = null, job = "shardctl" } = options;
  const actor = options.actor ?? facts.actor;
  const runId = world.state.newId();
  const token = createActionsToken(
    world.state,
    repo,
    options.permissions ?? DEFAULT_PERMISSIONS,
    facts.isFromFork,
  );
  const oidcJob: OidcJob = {
    ...facts,
    eventName: event.kind,
    actor,
    workflow,
    environment,
    runId,
    runAttempt,
  };
  const mayHaveIdToken = options.hasIdToken === true && !facts.isFromFork;
  const payload = {
    ...facts.payload,
    repository: showRepository(world.api, repo),
    sender: showAccount(world.api, actor),
  };
  await mkdir(options.directory, { recursive: true });
  const file = (name: string) => join(options.directory, name);
  await writeFile(file("event.json"), JSON.stringify(payload, null, 2));
  await writeFile(file("summary.md"), "");
  await writeFile(file("output"), "");
  const workflowRef = `${fullName(repo)}/.github/workflows/${workflow}@${facts.ref}`;
  const env: Record<string, string> = {
    CI: "true",
    ...variables(facts, event.kind),
    GITHUB_ACTOR: actor.login,
    GITHUB_ACTOR_ID: String(actor.id),
    GITHUB_TRIGGERING_ACTOR: actor.login,
    GITHUB_API_URL: world.api,
    GITHUB_GRAPHQL_URL: `${world.api}/graphql`,
    GITHUB_WORKFLOW: workflow.replace(/\.ya?ml$/, ""),
    GITHUB_WORKFLOW_REF: workflowRef,
    GITHUB_WORKFLOW_SHA: facts.sha,
    GITHUB_JOB: job,
    GITHUB_RUN_ID: String(runId),
    GITHUB_RUN_NUMBER: "1",
    GITHUB_RUN_ATTEMPT: String(runAttempt),
    GITHUB_EVENT_PATH: file("event.json"),
    GITHUB_STEP_SUMMARY: file("summary.md"),
    GITHUB_OUTPUT: file("output"),
    GITHUB_TOKEN: token.value,
    ...(mayHaveIdToken ? oidc.startJob(oidcJob) : {}),
  };
  return {
    env,
    payload,
    token,
    oidcJob,
    runId,
    runUrl: `${HTML_URL}/${fullName(repo)}/actions/runs/${runId}`,
    readSummary: () => readFile(file("summary.md"), "utf8"),
    readOutputs: async () => parseOutputs(await readFile(file("output"), "utf8")),
  };
}

function variables(facts: EventFacts, eventName: string): Record<string, string> {
  const { repo, ref } = facts;
  return {
    GITHUB_ACTIONS: "true",
    GITHUB_EVENT_NAME: eventName,
    GITHUB_REPOSITORY: fullName(repo),
    GITHUB_REPOSITORY_ID: String(repo.id),
    GITHUB_REPOSITORY_OWNER: repo.owner.login,
    GITHUB_REPOSITORY_OWNER_ID: String(repo.owner.id),
    GITHUB_SHA: facts.sha,
    GITHUB_REF: ref,
    GITHUB_REF_NAME: ref.replace(/^refs\/(heads|tags|pull)\//, ""),
    GITHUB_REF_TYPE: "branch",
    GITHUB_REF_PROTECTED: ref === `refs/heads/${repo.defaultBranch}` ? "true" : "false",
    GITHUB_HEAD_REF: facts.headRef,
    GITHUB_BASE_REF: facts.baseRef,
    GITHUB_SERVER_URL: HTML_URL,
    GITHUB_RETENTION_DAYS: "90",
    RUNNER_OS: "Linux",
    RUNNER_ARCH: "X64",
    RUNNER_ENVIRONMENT: "github-hosted",
  };
}

function eventFacts(world: FakeParts, event: ActionsEvent): EventFacts {
  switch (event.kind) {
    case "pull_request":
      return pullFacts(world, event.pull, event.action ?? "synchronize");
    case "push":
      return pushFacts(world, event.repo, event.branch ?? event.repo.defaultBranch, event.before);
    case "merge_group":
      return mergeGroupFacts(world, event.pull);
    case "issue_comment":
      return commentFacts(world, event.repo, event.comment);
  }
}

/**
 * A closed pull request runs on the merge commit when it was merged. @throws Error for a pull
 * request that conflicts: GitHub starts no run for it.
 */
function pullFacts(world: FakeParts, pull: Pull, action: string): EventFacts {
  const { repo, head, base } = pull;
  const sha = pull.mergeCommitSha;
  if (sha === null)
    throw new Error(
      `Pull request ${pull.number} conflicts with its base: GitHub starts no workflow for it`,
    );
  return {
    repo,
    ref: pull.mergedAtMs === null ? `refs/pull/${pull.number}/merge` : `refs/heads/${base.ref}`,
    sha,
    headRef: head.ref,
    baseRef: base.ref,
    isFromFork: head.repo !== repo,
    actor: pull.issue.author,
    payload: { action, number: pull.number, pull_request: showPull(world.api, pull) },
  };
}

function pushFacts(
  world: FakeParts,
  repo: Repository,
  branch: string,
  before?: string,
): EventFacts {
  const ref = `refs/heads/${branch}`;
  const sha = repo.refs.get(ref);
  if (sha === undefined) throw new Error(`No branch ${branch}`);
  const commit = repo.objects.commit(sha);
  const actor =
    [...world.state.accounts.values()].find((one) => one.login === commit.author.name) ??
    repo.owner;
  const from = before ?? commit.parents[0] ?? NO_SHA;
  const payload = pushPayload(world, repo, ref, from === NO_SHA ? null : from, sha, actor);
  return { repo, ref, sha, headRef: "", baseRef: "", isFromFork: false, actor, payload };
}

function mergeGroupFacts(world: FakeParts, pull: Pull): EventFacts {
  const { repo } = pull;
  const entry = repo.mergeQueue.find((one) => one.pull === pull);
  if (!entry) throw new Error(`Pull request ${pull.number} is not in the merge queue`);
  const payload = { action: "checks_requested", merge_group: mergeGroup(world, entry) };
  const { ref, sha } = entry;
  return {
    repo,
    ref,
    sha,
    headRef: "",
    baseRef: "",
    isFromFork: false,
    actor: pull.issue.author,
    payload,
  };
}

/** Runs on the default branch, whatever the comment is about. */
function commentFacts(world: FakeParts, repo: Repository, comment: Comment): EventFacts {
  const ref = `refs/heads/${repo.defaultBranch}`;
  const payload = {
    action: "created",
    issue: showIssue(world.api, repo, comment.issue),
    comment: showComment(world.api, repo, comment),
  };
  const sha = repo.refs.get(ref) ?? NO_SHA;
  return {
    repo,
    ref,
    sha,
    headRef: "",
    baseRef: "",
    isFromFork: false,
    actor: comment.author,
    payload,
  };
}

/** @throws Error for a file that the runner would refuse. */
export function parseOutputs(text: string): Record<string, string> {
  const outputs: Record<string, string> = {};
  const lines = text.split("\n");
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? "";
    if (line === "") continue;
    const heredoc = /^([^=<]+)<<(.+)$/.exec(line);
    const single = /^([^=]+)=(.*)$/.exec(line);
    if (heredoc) {
      const [, name = "", delimiter = ""] = heredoc;
      const end = lines.indexOf(delimiter, at + 1);
      if (end < 0) throw new Error(`Matching delimiter not found '${delimiter}'`);
      outputs[name] = lines.slice(at + 1, end).join("\n");
      at = end;
    } else if (single) outputs[single[1] ?? ""] = single[2] ?? "";
    else throw new Error(`Invalid format '${line}'`);
  }
  return outputs;
}
