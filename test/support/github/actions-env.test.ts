/** The environment of a workflow's step, by event. */
import { appendFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { parseOutputs } from "./actions-env.ts";
import {
  startFakeGitHub,
  type ActionsEvent,
  type FakeGitHub,
  type Pull,
  type Repository,
} from "./index.ts";
import { octokitFor, refusalOf } from "./octokit.ts";

let github: FakeGitHub;
let repo: Repository;
let pull: Pull;
let directory: string;

beforeEach(async () => {
  github = await startFakeGitHub();
  directory = await mkdtemp(join(tmpdir(), "fake-github-actions-"));
  repo = github.createRepo({ owner: "acme", name: "data", id: 4242, private: true });
  pull = github.openPull(repo, { head: "change", title: "Change" });
});

afterEach(async () => {
  await github.stop();
  await rm(directory, { recursive: true });
});

const start = (event: ActionsEvent, more: object = {}) =>
  github.actionsEnv(event, { directory, ...more });

describe("the variables", () => {
  it("of a pull request name its test merge and both branches", async () => {
    const { env } = await start({ kind: "pull_request", pull });
    expect(env).toMatchObject({
      GITHUB_ACTIONS: "true",
      GITHUB_EVENT_NAME: "pull_request",
      GITHUB_REPOSITORY: "acme/data",
      GITHUB_REPOSITORY_ID: "4242",
      GITHUB_REPOSITORY_OWNER_ID: String(repo.owner.id),
      GITHUB_REF: "refs/pull/1/merge",
      GITHUB_REF_NAME: "1/merge",
      GITHUB_SHA: repo.refs.get("refs/pull/1/merge"),
      GITHUB_HEAD_REF: "change",
      GITHUB_BASE_REF: "main",
      GITHUB_ACTOR: "octocat",
      GITHUB_API_URL: github.url,
      GITHUB_SERVER_URL: "https://github.com",
      GITHUB_RUN_ATTEMPT: "1",
    });
    expect(env["ACTIONS_ID_TOKEN_REQUEST_URL"]).toBeUndefined();
    const event = JSON.parse(await readFile(env["GITHUB_EVENT_PATH"] ?? "", "utf8")) as object;
    expect(event).toMatchObject({
      action: "synchronize",
      number: 1,
      pull_request: { head: { sha: pull.head.sha } },
      repository: { id: 4242 },
    });
  });

  it("of a push name the branch's head and what it was before", async () => {
    const before = repo.refs.get("refs/heads/main");
    const sha = github.mergePull(pull);
    const { env, payload } = await start(
      { kind: "push", repo },
      { hasIdToken: true, environment: "production", runAttempt: 2 },
    );
    expect(env).toMatchObject({
      GITHUB_REF: "refs/heads/main",
      GITHUB_REF_NAME: "main",
      GITHUB_SHA: sha,
      GITHUB_HEAD_REF: "",
      GITHUB_RUN_ATTEMPT: "2",
    });
    expect(env["ACTIONS_ID_TOKEN_REQUEST_URL"]).toContain(github.url);
    expect(payload).toMatchObject({
      before,
      after: sha,
      ref: "refs/heads/main",
      created: false,
      forced: false,
      head_commit: { id: sha },
    });
  });

  it("of a merge group name the queue's branch", async () => {
    const { ref, sha, baseSha } = github.enqueue(pull);
    const { env, payload } = await start({ kind: "merge_group", pull });
    expect(env).toMatchObject({
      GITHUB_EVENT_NAME: "merge_group",
      GITHUB_REF: ref,
      GITHUB_SHA: sha,
    });
    expect(payload).toMatchObject({
      action: "checks_requested",
      merge_group: { head_sha: sha, head_ref: ref, base_sha: baseSha, base_ref: "refs/heads/main" },
    });
  });

  it("of a comment name the default branch, whoever wrote it", async () => {
    const comment = github.commentAs("mallory", pull, "/shardctl apply 1234");
    const { env, payload } = await start({ kind: "issue_comment", repo, comment });
    expect(env).toMatchObject({
      GITHUB_REF: "refs/heads/main",
      GITHUB_SHA: repo.refs.get("refs/heads/main"),
      GITHUB_ACTOR: "mallory",
    });
    expect(payload).toMatchObject({
      action: "created",
      comment: { body: "/shardctl apply 1234" },
      issue: { number: 1, pull_request: {} },
    });
  });
});

describe("the token", () => {
  it("has the workflow's permissions", async () => {
    const { token } = await start(
      { kind: "pull_request", pull },
      { permissions: { checks: "write" } },
    );
    const octokit = octokitFor(github, token);
    const check = octokit.checks.create({
      owner: "acme",
      repo: "data",
      name: "plan",
      head_sha: pull.head.sha,
    });
    expect((await check).status).toBe(201);
    const comment = octokit.issues.createComment({
      owner: "acme",
      repo: "data",
      issue_number: 1,
      body: "x",
    });
    expect(await refusalOf(comment)).toMatchObject({ status: 403 });
  });

  it("of a fork's pull request only reads, and there is no OIDC", async () => {
    const fork = github.openPull(repo, { head: "evil", title: "From outside", fork: "mallory" });
    const { token, env } = await start({ kind: "pull_request", pull: fork }, { hasIdToken: true });
    expect(env["ACTIONS_ID_TOKEN_REQUEST_URL"]).toBeUndefined();
    const octokit = octokitFor(github, token);
    const comment = octokit.issues.createComment({
      owner: "acme",
      repo: "data",
      issue_number: fork.number,
      body: "x",
    });
    expect(await refusalOf(comment)).toMatchObject({ status: 403 });
    expect(
      (await octokit.pulls.get({ owner: "acme", repo: "data", pull_number: fork.number })).status,
    ).toBe(200);
  });
});

it("starts no run for a pull request that conflicts", async () => {
  github.push(pull, { "README.md": "theirs\n" });
  github.commit(repo, { files: { "README.md": "ours\n" } });
  await expect(start({ kind: "pull_request", pull })).rejects.toThrow(/conflicts/);
});

describe("the step's files", () => {
  it("are empty at first and read back", async () => {
    const run = await start({ kind: "pull_request", pull });
    await appendFile(
      run.env["GITHUB_OUTPUT"] ?? "",
      "has_changes=true\noutcome<<EOF_1\nline = one\nline two\nEOF_1\nlast=a=b\n",
    );
    await appendFile(run.env["GITHUB_STEP_SUMMARY"] ?? "", "# Plan\n");
    expect(await run.readOutputs()).toEqual({
      has_changes: "true",
      outcome: "line = one\nline two",
      last: "a=b",
    });
    expect(await run.readSummary()).toBe("# Plan\n");
  });

  it.each(["no equals sign\n", "open<<EOF\nnever closed\n"])(
    "that a runner would refuse are refused: %j",
    (text) => {
      expect(() => parseOutputs(text)).toThrow(/Invalid format|delimiter/);
    },
  );
});
