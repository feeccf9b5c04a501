/** Comments, issues and reactions: their limit, their authors, and what lists show. */
import { beforeEach, describe, expect, it } from "vitest";

import { startFakeGitHub, type FakeGitHub, type Pull, type Repository } from "./index.ts";
import { octokitFor, refusalOf } from "./octokit.ts";

const AT = { owner: "acme", repo: "data" };
let github: FakeGitHub;
let repo: Repository;
let pull: Pull;
let octokit: ReturnType<typeof octokitFor>;

beforeEach(async () => {
  github = await startFakeGitHub();
  repo = github.createRepo({ owner: "acme", name: "data", private: true });
  pull = github.openPull(repo, { head: "change", title: "Change" });
  octokit = octokitFor(
    github,
    github.createActionsToken(repo, { pull_requests: "write", issues: "write" }),
  );
  return () => github.stop();
});

describe("the body of a comment", () => {
  it("may have 65,536 characters and no more, new or changed", async () => {
    const where = { ...AT, issue_number: pull.number };
    const { data } = await octokit.issues.createComment({ ...where, body: "x".repeat(65_536) });
    const tooLong = {
      status: 422,
      message: expect.stringContaining("Body is too long (maximum is 65536 characters)") as string,
    };
    expect(
      await refusalOf(octokit.issues.createComment({ ...where, body: "x".repeat(65_537) })),
    ).toMatchObject(tooLong);
    expect(
      await refusalOf(
        octokit.issues.updateComment({ ...AT, comment_id: data.id, body: "x".repeat(65_537) }),
      ),
    ).toMatchObject(tooLong);
    expect(
      await refusalOf(octokit.issues.create({ ...AT, title: "t", body: "x".repeat(65_537) })),
    ).toMatchObject(tooLong);
    expect(github.comments(pull).map((comment) => comment.body.length)).toEqual([65_536]);
  });

  it("may not be blank", async () => {
    const request = octokit.issues.createComment({ ...AT, issue_number: pull.number, body: " \n" });
    expect(await refusalOf(request)).toMatchObject({ status: 422 });
  });
});

describe("comments", () => {
  it("name their author and the app, keep what they were, and can be deleted", async () => {
    github.commentAs("octocat", pull, "Looks good");
    const { data } = await octokit.issues.createComment({
      ...AT,
      issue_number: pull.number,
      body: "first",
    });
    expect(data.user).toMatchObject({ login: "github-actions[bot]", type: "Bot" });
    expect(data.performed_via_github_app).toMatchObject({ slug: "github-actions" });
    await octokit.issues.updateComment({ ...AT, comment_id: data.id, body: "second" });
    expect(github.comments(pull)[1]).toMatchObject({ body: "second", bodies: ["first", "second"] });
    const list = await octokit.issues.listComments({ ...AT, issue_number: pull.number });
    expect(list.data.map((one) => [one.user?.login, one.body])).toEqual([
      ["octocat", "Looks good"],
      ["github-actions[bot]", "second"],
    ]);
    await octokit.issues.deleteComment({ ...AT, comment_id: data.id });
    expect(
      await refusalOf(octokit.issues.updateComment({ ...AT, comment_id: data.id, body: "third" })),
    ).toMatchObject({
      status: 404,
    });
  });

  it("are deleted by hand between two calls", async () => {
    const { data } = await octokit.issues.createComment({
      ...AT,
      issue_number: pull.number,
      body: "first",
    });
    const [comment] = github.comments(pull);
    if (!comment) throw new Error("No comment");
    github.deleteComment(comment);
    expect(
      await refusalOf(octokit.issues.getComment({ ...AT, comment_id: data.id })),
    ).toMatchObject({ status: 404 });
  });

  it("of others are not for people without push access", async () => {
    const comment = github.commentAs("octocat", pull, "mine");
    github.addCollaborator(repo, "reader", "read");
    const reader = octokitFor(github, github.createUserToken("reader"));
    expect(
      (await reader.issues.createComment({ ...AT, issue_number: pull.number, body: "hello" }))
        .status,
    ).toBe(201);
    const request = reader.issues.updateComment({ ...AT, comment_id: comment.id, body: "yours" });
    expect(await refusalOf(request)).toMatchObject({ status: 403 });
    expect(comment.body).toBe("mine");
  });

  it("get one reaction of a kind from each account", async () => {
    const comment = github.commentAs("octocat", pull, "/shardctl apply 1234");
    const react = () =>
      octokit.reactions.createForIssueComment({ ...AT, comment_id: comment.id, content: "rocket" });
    expect((await react()).status).toBe(201);
    expect((await react()).status).toBe(200);
    const shown = await octokit.issues.getComment({ ...AT, comment_id: comment.id });
    expect(shown.data.reactions).toMatchObject({ total_count: 1, rocket: 1 });
    const wrong = octokit.request("POST /repos/{owner}/{repo}/issues/comments/{id}/reactions", {
      ...AT,
      id: comment.id,
      content: "wave",
    });
    expect(await refusalOf(wrong)).toMatchObject({ status: 422 });
  });
});

describe("issues", () => {
  it("are found by label, state and creator, and close and open again", async () => {
    github.createIssueAs("octocat", repo, { title: "Bug", labels: ["bug"] });
    const { data } = await octokit.issues.create({
      ...AT,
      title: "Drift",
      body: "<!-- marker -->",
      labels: ["shardctl-drift"],
    });
    expect(data).toMatchObject({
      state: "open",
      user: { login: "github-actions[bot]" },
      labels: [{ name: "shardctl-drift" }],
    });
    const numbers = async (query: object) =>
      (await octokit.issues.listForRepo({ ...AT, ...query })).data.map((one) => one.number);
    expect(await numbers({ labels: "shardctl-drift" })).toEqual([data.number]);
    expect(await numbers({ creator: "github-actions[bot]" })).toEqual([data.number]);
    expect(await numbers({})).toEqual([data.number, 2, pull.number]);
    const closed = await octokit.issues.update({
      ...AT,
      issue_number: data.number,
      state: "closed",
    });
    expect(closed.data).toMatchObject({ state: "closed", state_reason: "completed" });
    expect(await numbers({ labels: "shardctl-drift" })).toEqual([]);
    expect(await numbers({ labels: "shardctl-drift", state: "closed" })).toEqual([data.number]);
    const opened = await octokit.issues.update({ ...AT, issue_number: data.number, state: "open" });
    expect(opened.data).toMatchObject({ state: "open", state_reason: "reopened", closed_at: null });
  });
});
