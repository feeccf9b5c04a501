/** Failures on demand, and hooks in the middle of a flow. */
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
  octokit = octokitFor(github, github.createActionsToken(repo, { pull_requests: "write" }));
  return () => github.stop();
});

const NO_ANSWER = /fetch failed|other side closed|aborted|terminated/;
const comment = () =>
  octokit.issues.createComment({ ...AT, issue_number: pull.number, body: "hello" });

describe("failNext", () => {
  it("answers instead of GitHub, as often as it was told", async () => {
    github.faults.failNext({
      method: "POST",
      path: "/comments",
      status: 502,
      times: 2,
      headers: { "retry-after": "7" },
    });
    expect((await octokit.repos.get(AT)).status).toBe(200);
    const refused = await refusalOf(comment());
    expect([refused.status, refused.headers["retry-after"]]).toEqual([502, "7"]);
    expect(await refusalOf(comment())).toMatchObject({ status: 502 });
    expect(github.comments(pull)).toEqual([]);
    expect((await comment()).status).toBe(201);
    expect(github.faults.pending).toBe(0);
    expect(github.journal.writes.map((one) => one.status)).toEqual([502, 502, 201]);
  });

  it("sends a page instead of JSON", async () => {
    github.faults.failNext({
      status: 200,
      body: "<html>sign in</html>",
      headers: { "content-type": "text/html" },
    });
    expect((await octokit.repos.get(AT)).data).toBe("<html>sign in</html>");
  });

  it("cuts the connection before, or after the work was done", async () => {
    github.faults.failNext({ status: "reset" });
    await expect(comment()).rejects.toThrow(NO_ANSWER);
    expect(github.comments(pull)).toHaveLength(0);
    github.faults.failNext({ status: "lostAnswer" });
    await expect(comment()).rejects.toThrow(NO_ANSWER);
    expect(github.comments(pull)).toHaveLength(1);
    expect(github.journal.writes.map((one) => one.status)).toEqual([0, 0]);
  });

  it("leaves a request hanging until the client gives up", async () => {
    github.faults.failNext({ path: /\/pulls\/\d+$/, status: "hang" });
    const request = octokit.pulls.get({
      ...AT,
      pull_number: pull.number,
      request: { signal: AbortSignal.timeout(100) },
    });
    await expect(request).rejects.toThrow(NO_ANSWER);
  });
});

describe("an outage", () => {
  it("refuses everything until it is over", async () => {
    github.faults.down = 503;
    expect(await refusalOf(octokit.repos.get(AT))).toMatchObject({ status: 503 });
    github.faults.down = "reset";
    await expect(octokit.repos.get(AT)).rejects.toThrow(NO_ANSWER);
    github.faults.clear();
    expect((await octokit.repos.get(AT)).status).toBe(200);
  });
});

describe("hooks", () => {
  it("move the state between two calls of a flow", async () => {
    const { sha } = pull.head;
    github.faults.before("POST", "/comments", () => {
      github.push(pull, { "a.yaml": "a" }, { isForced: true });
    });
    github.faults.after("POST", "/comments", () => github.closePull(pull));
    await comment();
    expect(pull.head.sha).not.toBe(sha);
    expect(pull.issue.state).toBe("closed");
    expect(github.comments(pull)).toHaveLength(1);
    expect(github.faults.pending).toBe(0);
  });
});
