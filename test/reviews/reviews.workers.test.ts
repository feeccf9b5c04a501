import { runInDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";

import type { Problem, Run, RunList } from "../../src/model/api.ts";
import {
  RELEASE_AGE_MAX_MS,
  type Review,
  type ReviewList,
  type ReviewReceipt,
} from "../../src/model/review.ts";
import { DEFAULT_POLICY } from "../../src/model/spec.ts";
import { ReviewsStore } from "../../src/reviews/reviews-store.ts";
import { LEASE_MS } from "../../src/runs/run-record.ts";
import { CoordinatorStore } from "../../src/runs/store.ts";
import { controlsOf, spec } from "../support/control-api.ts";
import { github } from "../support/control-worker.ts";
import {
  applyAs,
  ask,
  endOf,
  gitopsCoordinator,
  gitopsStub,
  planFor,
  review,
  SHA,
} from "../support/gitops-api.ts";
import { issuer, pullClaims, unsignedToken, workflowToken } from "../support/workflow-tokens.ts";

afterEach(() => {
  vi.restoreAllMocks();
  issuer.isDown = false;
});

/** A clock that is ahead, for the Worker and its objects. */
function moveClock(byMs: number): void {
  const real = Date.now.bind(Date);
  vi.spyOn(Date, "now").mockImplementation(() => real() + byMs);
}

describe("a workflow's token", () => {
  it("plans from any ref of the repository", async () => {
    const token = await workflowToken({ ref: "refs/heads/topic", environment: undefined });
    expect((await ask("GET", "/v1/runs", { token })).status).toBe(200);
    const answer = await ask<Problem>("POST", `/v1/plans/${"0".repeat(64)}/apply`, { token });
    expect(answer).toMatchObject({
      status: 403,
      body: { kind: "forbidden", detail: expect.stringContaining("refs/heads/topic") },
    });
  });

  it.each([
    ["another audience", { aud: "https://github.com/acme" }, "aud"],
    ["another issuer", { iss: "https://example.test" }, "iss"],
    ["another repository of the same name", { repository_id: "1002" }, "repository_id"],
    ["another owner of the same name", { repository_owner_id: "502" }, "repository_owner_id"],
    ["a time that is over", { iat: 1_700_000_000, nbf: 1_700_000_000, exp: 1_700_000_300 }, "exp"],
    ["no jti", { jti: undefined }, "jti"],
    ["no exp", { exp: undefined }, "exp"],
    ["no repository_id", { repository_id: undefined }, "repository_id"],
  ])("with %s is refused, and the claim named", async (_name, claims, claim) => {
    const answer = await ask<Problem>("GET", "/v1/runs", { token: await workflowToken(claims) });
    expect(answer).toMatchObject({
      status: 401,
      body: { kind: "unauthenticated", detail: expect.stringContaining(claim) },
    });
    expect(answer.headers.get("www-authenticate")).toContain("Bearer");
  });

  it.each([
    ["alg none", () => unsignedToken(), "alg"],
    ["a key of somebody else", () => workflowToken({}, { byStranger: true }), "signature"],
    ["an unknown key", () => workflowToken({}, { kid: "key-2" }), "kid"],
  ])("with %s is refused", async (_name, make, word) => {
    const answer = await ask<Problem>("GET", "/v1/runs", { token: await make() });
    expect(answer).toMatchObject({ status: 401, body: { detail: expect.stringContaining(word) } });
  });

  it.each([
    ["another ref", { ref: "refs/heads/topic" }, "ref"],
    ["another environment", { environment: "staging" }, "environment"],
    ["no environment", { environment: undefined }, "environment"],
    [
      "another workflow",
      { workflow_ref: "acme/shop/.github/workflows/evil.yml@refs/heads/main" },
      "workflow_ref",
    ],
    [
      "the workflow of another ref",
      { workflow_ref: "acme/shop/.github/workflows/apply.yml@refs/heads/x" },
      "workflow_ref",
    ],
    ...[
      "pull_request",
      "pull_request_target",
      "workflow_run",
      "repository_dispatch",
      "issues",
      "discussion_comment",
      "fork",
      "watch",
      "an_event_of_tomorrow",
    ].map((name): [string, Record<string, unknown>, string] => [
      `the event ${name}, whatever its ref`,
      { event_name: name },
      "event_name",
    ]),
    ...[
      "mallory/shop/.github/workflows/apply.yml@refs/heads/main",
      "acme/shop/.github/workflows/apply.yml@refs/heads/topic",
      "acme/shop/.github/workflows/apply.yml@refs/pull/1/merge",
      "acme/shop-evil/.github/workflows/apply.yml@refs/heads/main",
      "acme/shop/.github/workflows/../apply.yml@refs/heads/main",
      undefined,
    ].map((file): [string, Record<string, unknown>, string] => [
      `steps of ${file ?? "no file"}`,
      { job_workflow_ref: file },
      "job_workflow_ref",
    ]),
  ])("with %s may not apply, and the claim is named", async (_name, claims, claim) => {
    const answer = await ask<Problem>("POST", `/v1/plans/${"0".repeat(64)}/apply`, {
      token: await workflowToken(claims),
    });
    expect(answer).toMatchObject({
      status: 403,
      body: { kind: "forbidden", detail: expect.stringContaining(claim) },
    });
  });

  it.each(["push", "workflow_dispatch", "schedule", "issue_comment"])(
    "of %s may apply",
    async (name) => {
      const token = await workflowToken({
        event_name: name,
        job_workflow_ref: "acme/shop/.github/workflows/shared-apply.yml@refs/heads/main",
      });
      const path = `/v1/plans/${"0".repeat(64)}/apply`;
      expect(await ask("POST", path, { token })).toMatchObject({ status: 404 });
    },
  );

  it("reads often, but changes something only once", async () => {
    const token = await workflowToken();
    for (let time = 0; time < 3; time++)
      expect((await ask("GET", "/v1/runs", { token })).status).toBe(200);
    const path = `/v1/plans/${"0".repeat(64)}/apply`;
    expect(await ask("POST", path, { token })).toMatchObject({ status: 404 });
    expect(await ask("POST", path, { token })).toMatchObject({
      status: 401,
      body: { kind: "unauthenticated", detail: expect.stringContaining("jti") },
    });
    expect((await ask("GET", "/v1/runs", { token })).status).toBe(200);
  });

  it("costs no request for the keys each time, and none are read for a token that is no JWT", async () => {
    await ask("GET", "/v1/runs", { token: await workflowToken() });
    const before = issuer.fetches;
    for (let time = 0; time < 3; time++)
      await ask("GET", "/v1/runs", { token: await workflowToken() });
    await ask("GET", "/v1/runs", { token: "read-token" });
    expect(issuer.fetches).toBe(before);
  });

  it("that cannot be checked is not called wrong", async () => {
    issuer.isDown = true;
    const answer = await ask<Problem>("GET", "/v1/runs", {
      token: await workflowToken({}, { kid: "key-3" }),
    });
    expect(answer).toMatchObject({ status: 503, body: { kind: "unavailable" } });
  });
});

describe("a review", () => {
  it("is kept, newest first, and says who posts", async () => {
    const first = await planFor([spec("v1-orders")]);
    const second = await planFor([spec("v1-orders", { count: 4 })]);
    const receipt = await review<ReviewReceipt>(11, first.fingerprint);
    expect(receipt).toMatchObject({
      status: 200,
      body: {
        postedBy: "worker",
        review: {
          environment: "production",
          pull: 11,
          fingerprint: first.fingerprint,
          requestedBy: "github-actions (octocat)",
          release: null,
        },
      },
    });
    await review(11, second.fingerprint, "b".repeat(40));
    const { body } = await ask<ReviewList>("GET", "/v1/reviews?environment=production&pull=11");
    expect(body.reviews.map(({ fingerprint }) => fingerprint)).toEqual([
      second.fingerprint,
      first.fingerprint,
    ]);
    expect((await ask<ReviewList>("GET", "/v1/reviews?pull=12")).body.reviews).toEqual([]);
  });

  it("of another pull request is refused to a workflow", async () => {
    const plan = await planFor([spec("v2-orders")]);
    for (const claims of [pullClaims(13), { ref: "refs/heads/topic", environment: undefined }]) {
      const token = await workflowToken(claims);
      const body = { pull: 14, headSha: SHA, fingerprint: plan.fingerprint, runUrl: null };
      expect(await ask("PUT", "/v1/reviews", { token, body })).toMatchObject({
        status: 403,
        body: { kind: "forbidden" },
      });
    }
  });

  it("of a plan that is not stored is refused", async () => {
    expect(await review(15, "0".repeat(64))).toMatchObject({
      status: 404,
      body: { kind: "unknownPlan" },
    });
  });

  it.each([
    ["pull", { pull: 0 }],
    ["headSha", { headSha: "abc" }],
    ["fingerprint", { fingerprint: "abc" }],
    ["runUrl", { runUrl: "javascript:alert(1)" }],
  ])("with a wrong %s is refused", async (path, change) => {
    const body = { pull: 16, headSha: SHA, fingerprint: "0".repeat(64), runUrl: null, ...change };
    expect(await ask("PUT", "/v1/reviews", { body })).toMatchObject({
      status: 400,
      body: { errors: [{ path }] },
    });
  });
});

describe("an apply by a workflow", () => {
  it("does what the pull request has shown, once, whoever asks again", async () => {
    const plan = await planFor([spec("w1-orders")]);
    await review(21, plan.fingerprint);
    const [first, second] = await Promise.all([
      applyAs<Run>(21, plan.fingerprint),
      applyAs<Run>(21, plan.fingerprint),
    ]);
    expect(first).toMatchObject({
      status: 202,
      body: { origin: { pull: 21, commit: SHA }, overrides: [] },
    });
    expect(second.body.id).toBe(first.body.id);
    const run = await endOf(first.body.id);
    expect(run.state).toBe("succeeded");
    const again = await applyAs<Run>(21, plan.fingerprint);
    expect(again).toMatchObject({ status: 202, body: { id: run.id, state: "succeeded" } });
    expect(await ask("POST", `/v1/plans/${plan.fingerprint}/apply`)).toMatchObject({
      status: 409,
      body: { kind: "stalePlan" },
    });
  });

  it("of a plan that no pull request has shown is refused, also in an empty world", async () => {
    const plan = await planFor([spec("w2-orders")]);
    expect(await applyAs(22, plan.fingerprint)).toMatchObject({
      status: 409,
      body: { kind: "notReviewed", detail: expect.stringContaining("#22") },
    });
    expect(await applyAs(null, plan.fingerprint)).toMatchObject({
      status: 409,
      body: { kind: "notReviewed" },
    });
    const bare = await ask("POST", `/v1/plans/${plan.fingerprint}/apply`, {
      token: await workflowToken(),
    });
    expect(bare).toMatchObject({ status: 409, body: { kind: "notReviewed" } });
    expect(await controlsOf("w2-orders").verbs()).not.toContain("start");
  });

  it("of what another pull request has shown, or this one before, is refused and named", async () => {
    const old = await planFor([spec("w3-orders")]);
    const newer = await planFor([spec("w3-orders", { count: 3 })]);
    await review(23, old.fingerprint);
    await review(23, newer.fingerprint);
    expect(await applyAs(24, newer.fingerprint)).toMatchObject({
      status: 409,
      body: { kind: "notReviewed" },
    });
    const answer = await applyAs<Problem>(23, old.fingerprint);
    expect(answer).toMatchObject({ status: 409, body: { kind: "notReviewed" } });
    expect(answer.body.detail).toContain(newer.fingerprint.slice(0, 12));
    expect(answer.body.detail).toContain(`/shardctl apply ${old.fingerprint}`);
  });

  it("of a plan that it has shown itself after the merge needs a release by a person", async () => {
    const plan = await planFor([spec("w4-orders")]);
    const body = { pull: 25, headSha: SHA, fingerprint: plan.fingerprint, runUrl: null };
    expect((await ask("PUT", "/v1/reviews", { token: await workflowToken(), body })).status).toBe(
      200,
    );
    expect(await applyAs(25, plan.fingerprint)).toMatchObject({
      status: 409,
      body: { kind: "notReviewed" },
    });
    const release = { fingerprint: plan.fingerprint, releasedBy: "octocat", overrides: [] };
    const byPush = await ask("PUT", "/v1/reviews/25/release", {
      token: await workflowToken(),
      body: release,
    });
    expect(byPush).toMatchObject({
      status: 403,
      body: { detail: expect.stringContaining("not on push") },
    });
    const byOther = await workflowToken({ event_name: "issue_comment", actor: "mallory" });
    expect(
      await ask("PUT", "/v1/reviews/25/release", { token: byOther, body: release }),
    ).toMatchObject({ status: 403 });
    const byComment = await workflowToken({ event_name: "issue_comment" });
    const released = await ask<Review>("PUT", "/v1/reviews/25/release", {
      token: byComment,
      body: release,
    });
    expect(released).toMatchObject({ status: 200, body: { release: { releasedBy: "octocat" } } });
    const run = await applyAs<Run>(25, plan.fingerprint);
    expect(run.status).toBe(202);
    await endOf(run.body.id);
  });

  it("overrides a guard only as released, and only while the release lasts", async () => {
    const policy = { ...spec("x").policy, suspend: true };
    const plan = await planFor([spec("w5-orders", { policy })]);
    await review(26, plan.fingerprint);
    const overriding = await applyAs<Problem>(26, plan.fingerprint, { overrides: ["suspend"] });
    expect(overriding).toMatchObject({
      status: 409,
      body: { kind: "notReviewed", detail: expect.stringContaining("suspend") },
    });
    expect(await applyAs(26, plan.fingerprint)).toMatchObject({
      status: 409,
      body: { kind: "blocked" },
    });
    const body = { fingerprint: plan.fingerprint, releasedBy: "ada", overrides: ["suspend"] };
    await ask("PUT", "/v1/reviews/26/release", { body });
    moveClock(RELEASE_AGE_MAX_MS + 60_000);
    expect(await applyAs(26, plan.fingerprint)).toMatchObject({
      status: 409,
      body: { kind: "blocked" },
    });
    vi.restoreAllMocks();
    const run = await applyAs<Run>(26, plan.fingerprint);
    expect(run).toMatchObject({ status: 202, body: { overrides: ["suspend"] } });
    await endOf(run.body.id);
  });

  it("is remembered while it has to wait, for the tick to start, until somebody cancels its run", async () => {
    const closed = { start: "0 0 29 2 *", durationMs: 60_000, timezone: "UTC" };
    const policy = { ...DEFAULT_POLICY, maxSkew: 100, windows: [closed] };
    const plan = await planFor([spec("rw-orders", { policy })]);
    const place = { environment: "production", pull: 38, fingerprint: plan.fingerprint };
    const isOrdered = (): Promise<boolean> =>
      runInDurableObject(gitopsStub(), (_instance, { storage }) =>
        new ReviewsStore(storage.sql).isOrdered(place),
      );
    expect(await applyAs<Problem>(38, plan.fingerprint)).toMatchObject({ status: 409 });
    expect(await isOrdered()).toBe(false);
    await review(38, plan.fingerprint);
    expect(await isOrdered()).toBe(false);
    expect(await applyAs<Problem>(38, plan.fingerprint)).toMatchObject({
      status: 409,
      body: { kind: "blocked", detail: expect.stringContaining("window") },
    });
    expect(await isOrdered()).toBe(true);
    const overrides = ["window"];
    const body = { fingerprint: plan.fingerprint, releasedBy: "octocat", overrides };
    await ask("PUT", "/v1/reviews/38/release", { body });
    expect(await isOrdered()).toBe(false);
    await controlsOf("rw-orders").setPace(1_000);
    const started = await applyAs<Run>(38, plan.fingerprint, { overrides });
    expect(await isOrdered()).toBe(true);
    const shown = await runInDurableObject(
      gitopsStub(),
      (_instance, { storage }) => new CoordinatorStore(storage.sql).getRun(started.body.id)?.shown,
    );
    expect(Object.keys(shown ?? {})).toEqual(["rw-orders"]);
    await ask("POST", `/v1/runs/${started.body.id}/cancel`);
    expect(await endOf(started.body.id)).toMatchObject({ state: "cancelled" });
    expect(await isOrdered()).toBe(false);
  });

  it("is taken back by a cancel of any run of its namespaces, and by no other", async () => {
    const closed = { start: "0 0 29 2 *", durationMs: 60_000, timezone: "UTC" };
    const policy = { ...DEFAULT_POLICY, maxSkew: 100, windows: [closed] };
    const waiting = { policy };
    const orderAs = async (pull: number, names: readonly string[]): Promise<void> => {
      const { fingerprint } = await planFor(names.map((name) => spec(name, waiting)));
      await review(pull, fingerprint);
      expect(await applyAs<Problem>(pull, fingerprint)).toMatchObject({
        body: { kind: "blocked", detail: expect.stringContaining("window") },
      });
    };
    await orderAs(44, ["rc-a", "rc-b"]);
    await orderAs(45, ["rc-c"]);
    const ordered = async (): Promise<number[]> => {
      const places = await runInDurableObject(gitopsStub(), (_instance, { storage }) =>
        new ReviewsStore(storage.sql).ordered("production"),
      );
      return places.map(({ pull }) => pull).filter((pull) => pull === 44 || pull === 45);
    };
    expect(await ordered()).toEqual([44, 45]);
    await controlsOf("rc-a").setPace(1_000);
    const own = await planFor([spec("rc-a")]);
    const run = await ask<Run>("POST", `/v1/plans/${own.fingerprint}/apply`, { body: {} });
    await ask("POST", `/v1/runs/${run.body.id}/cancel`);
    expect(await endOf(run.body.id)).toMatchObject({ state: "cancelled" });
    expect(await ordered()).toEqual([45]);
  });

  it("is not remembered when a guard refused it: a later release needs its own job", async () => {
    const rows = Array.from({ length: 50 }, (_, index) => ({ keys: { id: `k${index}` }, rows: 1 }));
    await controlsOf("rg-orders").edit({ rows });
    const closed = { start: "0 0 29 2 *", durationMs: 60_000, timezone: "UTC" };
    for (const [pull, windows] of [
      [39, []],
      [40, [closed]],
    ] as const) {
      const policy = { ...DEFAULT_POLICY, budgetRows: 1, maxSkew: 100, windows };
      const plan = await planFor([spec("rg-orders", { policy })]);
      await review(pull, plan.fingerprint);
      expect(await applyAs<Problem>(pull, plan.fingerprint)).toMatchObject({
        status: 409,
        body: { kind: "blocked", detail: expect.stringContaining("budget") },
      });
      const place = { environment: "production", pull, fingerprint: plan.fingerprint };
      const isOrdered = await runInDurableObject(gitopsStub(), (_instance, { storage }) =>
        new ReviewsStore(storage.sql).isOrdered(place),
      );
      expect(isOrdered).toBe(false);
    }
  });

  it("may not name a pull request that is open, closed, elsewhere or none, nor another commit", async () => {
    const plan = await planFor([spec("ro-orders")]);
    const apply = async (pull: number, commit = SHA): ReturnType<typeof ask<Problem>> =>
      ask<Problem>("POST", `/v1/plans/${plan.fingerprint}/apply`, {
        token: await workflowToken(),
        body: { origin: { pull, commit, runUrl: null } },
      });
    github.openPull(8801, { files: {} });
    github.openPull(8802, { files: {} });
    github.closePull(8802);
    github.openPull(8803, { files: {}, baseRef: "release" });
    github.mergePull(8803);
    for (const [pull, why] of [
      [8801, "is open"],
      [8802, "is closed"],
      [8803, "was merged into release"],
      [8804, "there is no pull request"],
    ] as const) {
      await review(pull, plan.fingerprint);
      expect(await apply(pull)).toMatchObject({
        status: 403,
        body: { kind: "forbidden", detail: expect.stringContaining(why) },
      });
    }
    github.mergePull(8801);
    expect(await apply(8801, "b".repeat(40))).toMatchObject({
      status: 403,
      body: { detail: expect.stringContaining("claim sha") },
    });
    github.failing.set("pull", { kind: "unreachable", message: "down", retryAt: null });
    expect(await apply(8801)).toMatchObject({ status: 503 });
    github.failing.clear();
    const started = await apply(8801);
    expect(started.status).toBe(202);
    await endOf((started.body as unknown as Run).id);
  });

  it("asks again when the counts have moved since the review, until a person releases it", async () => {
    const specs = [spec("rm-orders")];
    const plan = await planFor(specs);
    await review(36, plan.fingerprint);
    const rows = Array.from({ length: 5_000 }, (_, index) => ({
      keys: { id: `k${index}` },
      rows: 1,
    }));
    await controlsOf("rm-orders").edit({ rows });
    // The job plans anew before it applies: its own counts are not what was reviewed.
    await planFor(specs);
    const moved = { status: 409, body: { kind: "stalePlan" } };
    expect(await applyAs<Problem>(36, plan.fingerprint)).toMatchObject(moved);
    // A plan in another pull request is nobody's review of this one.
    await review(37, plan.fingerprint);
    expect(await applyAs<Problem>(36, plan.fingerprint)).toMatchObject(moved);
    const body = { fingerprint: plan.fingerprint, releasedBy: "octocat", overrides: [] };
    // A release agrees to what its pull request shows, not to what a job has counted since.
    expect((await ask("PUT", "/v1/reviews/36/release", { body })).status).toBe(200);
    expect(await applyAs<Problem>(36, plan.fingerprint)).toMatchObject(moved);
    await ask("PUT", "/v1/reviews", {
      token: await workflowToken(),
      body: { pull: 36, headSha: SHA, fingerprint: plan.fingerprint, runUrl: null },
    });
    expect(await applyAs<Problem>(36, plan.fingerprint)).toMatchObject(moved);
    expect((await ask("PUT", "/v1/reviews/36/release", { body })).status).toBe(200);
    const started = await applyAs<Run>(36, plan.fingerprint);
    expect(started.status).toBe(202);
    await endOf(started.body.id);
  });

  it("of a plan that was never shown in the pull request cannot be released there", async () => {
    const plan = await planFor([spec("w6-orders")]);
    const body = { fingerprint: plan.fingerprint, releasedBy: "ada", overrides: [] };
    expect(await ask("PUT", "/v1/reviews/27/release", { body })).toMatchObject({
      status: 409,
      body: { kind: "notReviewed" },
    });
    expect(await ask("PUT", "/v1/reviews/x/release", { body })).toMatchObject({ status: 400 });
  });

  it("is not what binds a person with the role apply", async () => {
    const plan = await planFor([spec("w7-orders")]);
    const run = await ask<Run>("POST", `/v1/plans/${plan.fingerprint}/apply`, { body: {} });
    expect(run.status).toBe(202);
    await endOf(run.body.id);
  });

  it("of policies alone is made at once, and once, by the job of a pull request that has shown it", async () => {
    const declared = spec("wp-orders", {
      strategy: "none",
      shardKey: null,
      count: 1,
      policy: { ...DEFAULT_POLICY, selfHeal: "apply" },
    });
    const plan = await planFor([declared]);
    expect(plan).toMatchObject({ changes: [], policies: [{ namespace: "wp-orders" }] });
    expect(await applyAs<Problem>(38, plan.fingerprint)).toMatchObject({
      status: 409,
      body: { kind: "notReviewed" },
    });
    expect((await planFor([declared])).policies).toHaveLength(1);
    await review(38, plan.fingerprint);
    const run = await applyAs<Run>(38, plan.fingerprint);
    expect(run).toMatchObject({ status: 202, body: { state: "succeeded", actions: [] } });
    expect((await planFor([declared])).policies).toBeUndefined();
    expect((await applyAs<Run>(38, plan.fingerprint)).body.id).toBe(run.body.id);
  });
});

describe("the lease of an environment", () => {
  it("names its holder, and is found by the next job", async () => {
    await controlsOf("l1-orders").setPace(1000);
    const plan = await planFor([spec("l1-orders")]);
    await review(31, plan.fingerprint);
    const { body: run } = await applyAs<Run>(31, plan.fingerprint);
    const other = await planFor([spec("l1-other")]);
    await review(32, other.fingerprint);
    const { body: refused } = await applyAs<Problem>(32, other.fingerprint);
    expect(refused.kind).toBe("locked");
    for (const part of [
      run.id,
      "github-actions (octocat)",
      "#31",
      "actions/runs/77",
      "active since",
      "last step",
      "lease",
    ]) {
      expect(refused.detail).toContain(part);
    }
    const active = await ask<RunList>("GET", "/v1/runs?active=1&environment=production");
    expect(active.body.runs.map(({ id }) => id)).toEqual([run.id]);
    expect((await ask<RunList>("GET", "/v1/runs?active=1&environment=staging")).body.runs).toEqual(
      [],
    );
    expect((await applyAs<Run>(31, plan.fingerprint)).body.id).toBe(run.id);
    await ask("POST", `/v1/runs/${run.id}/cancel`);
    expect((await endOf(run.id)).lease.heartbeatAt).toBeGreaterThan(run.lease.heartbeatAt);
    expect((await ask<RunList>("GET", "/v1/runs?active=1")).body.runs).toEqual([]);
  });

  it("that is lost goes to the next run, and what the older one still has to say is refused", async () => {
    const controls = controlsOf("l2-orders");
    await controls.setPace(1000);
    const plan = await planFor([spec("l2-orders")]);
    const { body: old } = await ask<Run>("POST", `/v1/plans/${plan.fingerprint}/apply`, {
      body: {},
    });
    const next = await planFor([spec("l2-next")]);
    await vi.waitFor(async () =>
      expect((await ask<Run>("GET", `/v1/runs/${old.id}`)).body.actions[0]?.state).toBe("running"),
    );
    // The step that is under way hangs until after the takeover.
    await controls.setDelay(600);
    const asked = (await controls.verbs()).length;
    while ((await controls.verbs()).length <= asked)
      await new Promise((resolve) => setTimeout(resolve, 5));
    moveClock(LEASE_MS + 60_000);
    const order = {
      fingerprint: next.fingerprint,
      overrides: [],
      requestedBy: "test",
      origin: null,
      actor: "ci",
      needsReview: false,
    };
    const taken = await gitopsCoordinator().starts.start(order, Date.now());
    if (!taken.ok) throw new Error(`No run: ${taken.failure.kind}`);
    expect(taken.value.lease.token).toBe(old.lease.token + 1);
    vi.restoreAllMocks();
    await new Promise((resolve) => setTimeout(resolve, 700));
    const { body: fenced } = await ask<Run>("GET", `/v1/runs/${old.id}`);
    expect(fenced).toMatchObject({
      state: "failed",
      actions: [{ state: "failed", error: expect.stringContaining(taken.value.id) }],
    });
    await controls.setDelay(0);
    await ask("POST", `/v1/runs/${taken.value.id}/cancel`);
    await endOf(taken.value.id);
  });
});
