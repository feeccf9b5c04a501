/** Rate limits and conditional requests, on a clock that the test moves. */
import { beforeEach, describe, expect, it } from "vitest";

import { startFakeGitHub, type FakeGitHub, type Pull, type Repository } from "./index.ts";
import { octokitFor, refusalOf } from "./octokit.ts";

const AT = { owner: "acme", repo: "data" };
const START_MS = Date.UTC(2026, 0, 5, 9);
const MINUTE_MS = 60_000;
let github: FakeGitHub;
let repo: Repository;
let pull: Pull;
let octokit: ReturnType<typeof octokitFor>;
let nowMs = START_MS;

beforeEach(async () => {
  nowMs = START_MS;
  github = await startFakeGitHub({ now: () => nowMs });
  repo = github.createRepo({ owner: "acme", name: "data", private: true });
  pull = github.openPull(repo, { head: "change", title: "Change" });
  octokit = octokitFor(
    github,
    github.createActionsToken(repo, { contents: "read", pull_requests: "write" }),
  );
  return () => github.stop();
});

const remaining = (headers: object) =>
  Number((headers as Record<string, string>)["x-ratelimit-remaining"]);

describe("the primary limit", () => {
  it("is 1,000 an hour for GITHUB_TOKEN, 5,000 for people and 60 without a token", async () => {
    expect((await octokit.repos.get(AT)).headers).toMatchObject({
      "x-ratelimit-limit": "1000",
      "x-ratelimit-remaining": "999",
      "x-ratelimit-used": "1",
      "x-ratelimit-resource": "core",
      "x-ratelimit-reset": String(START_MS / 1000 + 3_600),
    });
    const person = octokitFor(github, github.createUserToken("octocat"));
    expect((await person.repos.get(AT)).headers["x-ratelimit-limit"]).toBe("5000");
    github.createRepo({ owner: "acme", name: "open" });
    expect(
      (await octokitFor(github, null).repos.get({ owner: "acme", repo: "open" })).headers[
        "x-ratelimit-limit"
      ],
    ).toBe("60");
  });

  it("refuses with 403 and nothing remaining, until the hour is over", async () => {
    github.limits.settings.primaryPerHour = 2;
    await octokit.repos.get(AT);
    await octokit.repos.get(AT);
    const refused = await refusalOf(octokit.repos.get(AT));
    expect(refused).toMatchObject({
      status: 403,
      message: expect.stringContaining("API rate limit exceeded") as string,
    });
    expect(refused.headers).toMatchObject({
      "x-ratelimit-remaining": "0",
      "x-ratelimit-reset": String(START_MS / 1000 + 3_600),
    });
    expect(refused.headers["retry-after"]).toBeUndefined();
    nowMs += 60 * MINUTE_MS;
    expect(remaining((await octokit.repos.get(AT)).headers)).toBe(1);
  });

  it("can be used up for everybody", async () => {
    github.limits.exhaust(60 * MINUTE_MS);
    expect(await refusalOf(octokit.repos.get(AT))).toMatchObject({ status: 403 });
    nowMs += 60 * MINUTE_MS;
    expect((await octokit.repos.get(AT)).status).toBe(200);
  });

  it("can be read for nothing", async () => {
    await octokit.repos.get(AT);
    for (const _ of [1, 2])
      expect((await octokit.rateLimit.get()).data.rate).toMatchObject({
        limit: 1_000,
        remaining: 999,
        used: 1,
      });
  });
});

describe("the secondary limits", () => {
  const comment = () =>
    octokit.issues.createComment({ ...AT, issue_number: pull.number, body: "hello" });

  it.each([403, 429] as const)(
    "allow 80 writes in a minute, then %d with retry-after",
    async (status) => {
      github.limits.settings.secondaryStatus = status;
      for (let one = 0; one < 80; one++) await comment();
      nowMs += 20_000;
      const refused = await refusalOf(comment());
      expect(refused).toMatchObject({
        status,
        message: expect.stringContaining("secondary rate limit") as string,
      });
      expect(refused.headers["retry-after"]).toBe("40");
      expect(remaining(refused.headers)).toBeGreaterThan(0);
      expect((await octokit.repos.get(AT)).status).toBe(200);
      nowMs += 40_000;
      expect((await comment()).status).toBe(201);
      expect(github.comments(pull)).toHaveLength(81);
    },
  );

  it("allow 900 points in a minute: reads count one, writes five", async () => {
    github.limits.settings.pointsPerMinute = 12;
    await comment();
    await comment();
    await octokit.repos.get(AT);
    await octokit.repos.get(AT);
    expect(await refusalOf(octokit.repos.get(AT))).toMatchObject({ status: 403 });
    nowMs += MINUTE_MS;
    expect((await octokit.repos.get(AT)).status).toBe(200);
  });

  it("can be without retry-after, and off", async () => {
    github.limits.settings.contentWritesPerMinute = 0;
    github.limits.settings.hasRetryAfter = false;
    expect((await refusalOf(comment())).headers["retry-after"]).toBeUndefined();
    github.limits.settings.isSecondaryOn = false;
    expect((await comment()).status).toBe(201);
  });
});

describe("a conditional request", () => {
  const read = async (path: string, etag?: string) => {
    const token = github.createActionsToken(repo, {
      contents: "read",
      pull_requests: "read",
      issues: "read",
      checks: "read",
    }).value;
    const headers = {
      authorization: `Bearer ${token}`,
      "user-agent": "test",
      ...(etag === undefined ? {} : { "if-none-match": etag }),
    };
    return fetch(`${github.url}/repos/acme/data${path}`, { headers });
  };

  it.each([
    "",
    "/branches/main",
    "/git/ref/heads/main",
    "/git/trees/main?recursive=1",
    "/pulls",
    "/pulls/1",
    "/pulls/1/files",
    "/issues/1/comments",
    "/issues",
    "/contents/README.md",
    "/commits/main/check-runs",
  ])("to %s is 304 and free while nothing changed", async (path) => {
    const first = await read(path);
    const etag = first.headers.get("etag") ?? "";
    expect([first.status, etag]).toEqual([200, expect.stringMatching(/^W\/"/) as string]);
    const second = await read(path, etag);
    expect([second.status, await second.text()]).toEqual([304, ""]);
    expect(second.headers.get("etag")).toBe(etag);
    expect(remaining(Object.fromEntries(second.headers))).toBe(
      remaining(Object.fromEntries(first.headers)),
    );
  });

  it("is 200 and counted once something changed", async () => {
    const first = await read("/issues/1/comments");
    github.commentAs("octocat", pull, "hello");
    const second = await read("/issues/1/comments", first.headers.get("etag") ?? "");
    expect(second.status).toBe(200);
    expect(remaining(Object.fromEntries(second.headers))).toBe(
      remaining(Object.fromEntries(first.headers)) - 1,
    );
  });
});
