/** The subject of a workflow run, from the variables and the event that a runner gives. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { readActionsEvent } from "../../src/github/actions-event.ts";
import {
  type ActionsEvent as FakeEvent,
  type FakeGitHub,
  type Pull,
  type Repository,
  startFakeGitHub,
} from "../support/github/index.ts";

let github: FakeGitHub;
let repo: Repository;
let pull: Pull;
let directory: string;

beforeAll(async () => {
  github = await startFakeGitHub();
  repo = github.createRepo({
    owner: "acme",
    name: "data",
    private: true,
    files: { "manifests/a.yaml": "a" },
  });
  directory = await mkdtemp(join(tmpdir(), "shardctl-actions-"));
});

afterAll(async () => {
  await github.stop();
  await rm(directory, { recursive: true });
});

let branches = 0;
beforeEach(() => {
  branches += 1;
  pull = github.openPull(repo, {
    head: `more-${branches}`,
    title: "More",
    files: { "manifests/a.yaml": String(branches) },
  });
});

async function read(event: FakeEvent, variables: Readonly<Record<string, string>> = {}) {
  const run = await github.actionsEnv(event, { directory: await mkdtemp(join(directory, "run-")) });
  return {
    run,
    result: readActionsEvent({ ...run.env, ...variables }, JSON.stringify(run.payload)),
  };
}

async function eventOf(event: FakeEvent) {
  const { result } = await read(event);
  if (!result.ok) throw new Error(result.failure);
  return result.value.event;
}

describe("an event", () => {
  it("of a pull request", async () => {
    const { run, result } = await read({ kind: "pull_request", pull, action: "synchronize" });
    expect(result).toMatchObject({
      ok: true,
      value: {
        repository: { owner: "acme", name: "data" },
        runUrl: run.runUrl,
        event: {
          kind: "pullRequest",
          pull: pull.number,
          headSha: pull.head.sha,
          isFork: false,
        },
      },
    });
  });

  it("of a pull request from a fork, deleted or not", async () => {
    const forked = github.openPull(repo, {
      head: "more",
      title: "Fork",
      fork: `mallory-${branches}`,
      files: { "manifests/a.yaml": "f" },
    });
    expect(await eventOf({ kind: "pull_request", pull: forked })).toMatchObject({
      kind: "pullRequest",
      isFork: true,
    });
  });

  it("of a push, a merge queue and a comment", async () => {
    const sha = repo.refs.get("refs/heads/main");
    expect(await eventOf({ kind: "push", repo })).toEqual({ kind: "push", branch: "main", sha });
    const comment = github.commentAs("octocat", pull, "/shardctl apply\r\n`id`");
    expect(await eventOf({ kind: "issue_comment", repo, comment })).toMatchObject({
      kind: "comment",
      action: "created",
      pull: pull.number,
      isPull: true,
      author: "octocat",
      body: "/shardctl apply\r\n`id`",
      commentId: comment.id,
      sha,
      branch: "main",
    });
    const issue = github.createIssueAs("octocat", repo, { title: "Question" });
    const talk = github.commentAs("octocat", issue, "hello");
    expect(await eventOf({ kind: "issue_comment", repo, comment: talk })).toMatchObject({
      isPull: false,
    });
    const group = github.enqueue(pull);
    expect(await eventOf({ kind: "merge_group", pull })).toMatchObject({
      kind: "mergeGroup",
      sha: group.sha,
    });
  });

  it.each(["workflow_dispatch", "schedule"])("of a run by %s is a manual one", async (name) => {
    const { result } = await read({ kind: "push", repo }, { GITHUB_EVENT_NAME: name });
    expect(result).toMatchObject({
      ok: true,
      value: { event: { kind: "manual", branch: "main" } },
    });
  });

  it.each([
    ["pull_request_target", /rights to write beside what others wrote/],
    ["workflow_run", /rights to write beside what others wrote/],
    ["release", /does not work on the event release/],
  ])("of %s is refused", async (name, message) => {
    const { result } = await read({ kind: "pull_request", pull }, { GITHUB_EVENT_NAME: name });
    expect(result).toMatchObject({ ok: false, failure: expect.stringMatching(message) as string });
  });

  it.each([
    ["outside of Actions", {}, "{}", /Is this GitHub Actions\?/],
    [
      "with a repository that is none",
      { GITHUB_REPOSITORY: "a/b/../c" },
      "{}",
      /GITHUB_REPOSITORY/,
    ],
    ["with an event that is no JSON", null, "{", /not a JSON object/],
    ["with an event of another shape", null, "[]", /not a JSON object/],
    [
      "with an event that lacks the head",
      null,
      '{"action":"opened","number":1,"pull_request":{}}',
      /pull_request\.head/,
    ],
    [
      "with a head that is no sha",
      null,
      '{"action":"o","number":1,"pull_request":{"head":{"sha":"$(id)"}}}',
      /pull_request\.head\.sha/,
    ],
  ])("%s is refused by name", async (_, variables, json, message) => {
    const run = await github.actionsEnv({ kind: "pull_request", pull }, { directory });
    const env =
      variables === null
        ? run.env
        : Object.keys(variables).length === 0
          ? {}
          : { ...run.env, ...variables };
    expect(readActionsEvent(env, json)).toMatchObject({
      ok: false,
      failure: expect.stringMatching(message) as string,
    });
  });
});
