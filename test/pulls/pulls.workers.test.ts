import {
  createExecutionContext,
  createScheduledController,
  listDurableObjectIds,
  runDurableObjectAlarm,
  runInDurableObject,
} from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";

import type { Problem, Run } from "../../src/model/api.ts";
import type { Guard } from "../../src/model/plan.ts";
import type { ReviewList } from "../../src/model/review.ts";
import type { LiveFailure } from "../../src/model/live.ts";
import type { GithubFailure } from "../../src/github/port.ts";
import { headMarker, planMarker } from "../../src/github/markers.ts";
import { appliedPolicies } from "../../src/runs/policy-store.ts";
import { answerMarker } from "../../src/pulls/answer-command.ts";
import type { PullTask } from "../../src/pulls/pull-task.ts";
import { controlEnv, controlsOf } from "../support/control-api.ts";
import { github, gitops, WEBHOOK_SECRET } from "../support/control-worker.ts";
import { ask, endOf, gitopsCoordinator, gitopsStub } from "../support/gitops-api.ts";
import { pullClaims, workflowToken } from "../support/workflow-tokens.ts";

const MARKER = planMarker("production");

function manifest(
  name: string,
  spec = "strategy: hash\n  shardKey: id\n  count: 2\n  policy: { maxSkew: 100 }",
): string {
  return `apiVersion: shardctl.dev/v1\nkind: Namespace\nmetadata:\n  name: ${name}\nspec:\n  object: ORDERS\n  ${spec}\n`;
}

/** A pull request of this name that declares one namespace of the same name. */
function openPull(number: number, name: string, text = manifest(name), isFork = false): string {
  return github.openPull(number, { files: { [`manifests/${name}.yaml`]: text }, isFork }).headSha;
}

function bodiesOf(pull: number): string[] {
  return github.comments
    .filter((comment) => comment.pull === pull && comment.body.startsWith(MARKER))
    .map(({ body }) => body);
}

function checksOf(headSha: string): (typeof github.checkRuns)[number][] {
  return github.checkRuns.filter((check) => check.headSha === headSha);
}

async function reviewsOf(pull: number): Promise<ReviewList["reviews"]> {
  return (await ask<ReviewList>("GET", `/v1/reviews?environment=production&pull=${pull}`)).body
    .reviews;
}

/** Until the coordinator has nothing to do about pull requests now. */
async function settle(): Promise<void> {
  await vi.waitFor(
    async () => {
      await runDurableObjectAlarm(gitopsStub());
      const left = await runInDurableObject(gitopsStub(), (_instance, { storage }) =>
        Number(
          storage.sql.exec("SELECT count(*) AS n FROM tasks WHERE dueAt <= ?", Date.now()).one()[
            "n"
          ],
        ),
      );
      expect(left).toBe(0);
    },
    { timeout: 20_000, interval: 50 },
  );
}

async function work(...tasks: readonly PullTask[]): Promise<void> {
  await gitopsCoordinator().pullWork.queue(tasks);
  await settle();
}

const see = (pull: number, again = false): Promise<void> => work({ kind: "pull", pull, again });

interface Delivery {
  readonly id?: string;
  readonly secret?: string | null;
  readonly repository?: number;
}

async function hmac(secret: string, body: string): Promise<string> {
  const encode = (text: string): Uint8Array<ArrayBuffer> =>
    new Uint8Array(new TextEncoder().encode(text));
  const key = await crypto.subtle.importKey(
    "raw",
    encode(secret),
    { name: "HMAC", hash: "SHA-256" },
    false,
    ["sign"],
  );
  const signature = new Uint8Array(await crypto.subtle.sign("HMAC", key, encode(body)));
  return `sha256=${[...signature].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

async function deliver(
  event: string,
  payload: object,
  { id = crypto.randomUUID(), secret = WEBHOOK_SECRET, repository = 1001 }: Delivery = {},
): ReturnType<typeof ask<{ readonly tasks: number } & Problem>> {
  const body = JSON.stringify({ repository: { id: repository }, ...payload });
  const signature = secret === null ? {} : { "x-hub-signature-256": await hmac(secret, body) };
  return ask("POST", "/github/webhook", {
    body,
    headers: { "x-github-event": event, "x-github-delivery": id, ...signature },
  });
}

function pullEvent(
  number: number,
  headSha: string,
  action = "synchronize",
  baseRef = "main",
): object {
  const base = { ref: baseRef, repo: { id: 1001 } };
  return {
    action,
    number,
    pull_request: { head: { sha: headSha, repo: { id: 1001 } }, base, merged: false },
  };
}

/** Somebody writes a comment, and GitHub tells of it. */
async function say(
  pull: number,
  login: string,
  body: string,
): Promise<{ readonly id: number; readonly answer: string | null }> {
  const { id } = github.addComment(pull, login, body);
  await deliver("issue_comment", {
    action: "created",
    issue: { number: pull, pull_request: {} },
    comment: { id, body, user: { login } },
  });
  await settle();
  return {
    id,
    answer: github.comments.find((entry) => entry.body.startsWith(answerMarker(id)))?.body ?? null,
  };
}

github.permissions.set("ada", "write");

const DOWN: GithubFailure = {
  kind: "unreachable",
  message: "GitHub did not answer",
  retryAt: null,
};

const SILENT: LiveFailure = { kind: "unreachable", message: "no answer" };

afterEach(() => {
  github.failing.clear();
  github.before.clear();
});

describe("an open pull request", () => {
  it("gets one comment and one check with its plan, which then counts as reviewed", async () => {
    const headSha = openPull(1, "g1-orders");
    await see(1);
    expect(bodiesOf(1)).toHaveLength(1);
    expect(bodiesOf(1)[0]).toContain(headMarker(headSha));
    expect(bodiesOf(1)[0]).toContain("g1-orders");
    expect(checksOf(headSha)).toMatchObject([
      { conclusion: "success", name: "shardctl (production)" },
    ]);
    const [review] = await reviewsOf(1);
    expect(review).toMatchObject({ headSha, requestedBy: "shardctl" });
    expect(bodiesOf(1)[0]).toContain(review?.fingerprint);
  });

  it("shows a policy that moves no row, marks its line, and has it hold after the merge alone", async () => {
    const layout = "strategy: none";
    const name = "g25-orders";
    github.pushMain({ [`manifests/${name}.yaml`]: manifest(name, layout) });
    const text = manifest(name, `${layout}\n  policy: { selfHeal: apply, retainHours: 0 }`);
    const headSha = openPull(125, name, text);
    await see(125);
    const body = bodiesOf(125)[0];
    expect(body).toContain("1 policy change");
    expect(body).not.toContain("No changes");
    expect(body).toContain("selfHeal alert → apply");
    expect(body).toContain("retainHours 24 hours → 0 hours");
    expect(checksOf(headSha)).toMatchObject([
      { annotations: [{ path: `manifests/${name}.yaml`, title: "Policy change" }] },
    ]);
    const applied = async (): Promise<unknown> =>
      appliedPolicies((await gitopsCoordinator().plans.policies("production")).applied).get(name)
        ?.policy;
    expect(await applied()).not.toMatchObject({ selfHeal: "apply" });
    github.mergePull(125);
    await see(125);
    expect(bodiesOf(125)[0]).not.toContain("Merged, but not applied");
    await ask("POST", "/v1/reconcile?environment=production");
    expect(await applied()).toMatchObject({ selfHeal: "apply", retainHours: 0 });
    await see(125);
    expect(bodiesOf(125)[0]).not.toContain("Merged, but not applied");
    github.pushMain({ [`manifests/${name}.yaml`]: null });
  });

  it("is written to again when far more rows would move than it says", async () => {
    const headSha = openPull(121, "g21-orders");
    await see(121);
    await controlsOf("g21-orders").edit({ rows: [{ keys: { id: "z" }, rows: 5_000 }] });
    await see(121);
    expect(bodiesOf(121)).toHaveLength(1);
    expect(bodiesOf(121)[0]).toContain("5,000 rows");
    const fingerprint = (await reviewsOf(121))[0]?.fingerprint ?? "";
    const place = { environment: "production", pull: 121, fingerprint };
    expect(await gitopsCoordinator().reviewsStore.figures(place)).toMatchObject({
      "g21-orders": { rowsMoved: 5_000 },
    });
    expect(await reviewsOf(121)).toMatchObject([{ headSha }]);
  });

  it("is not written to again while nothing has changed, whatever the counts", async () => {
    openPull(2, "g2-orders");
    await see(2);
    const before = github.writes().length;
    await controlsOf("g2-orders").edit({ rows: [{ keys: { id: "z" }, rows: 77 }] });
    await see(2);
    expect(github.writes()).toHaveLength(before);
  });

  it("has its comment kept current when live moves under it, in place", async () => {
    openPull(3, "g3-orders");
    await see(3);
    const [before] = await reviewsOf(3);
    await controlsOf("g3-orders").edit({ epoch: 9 });
    await work({ kind: "scan", all: true });
    const [after] = await reviewsOf(3);
    expect(after?.fingerprint).not.toBe(before?.fingerprint);
    expect(bodiesOf(3)).toHaveLength(1);
    expect(bodiesOf(3)[0]).toContain(after?.fingerprint);
  });

  it("that touches no manifest gets a check that passes and no comment, and costs nothing on the next scan", async () => {
    const { headSha } = github.openPull(4, { files: { "README.md": "# Shop" } });
    await see(4);
    expect(bodiesOf(4)).toEqual([]);
    expect(checksOf(headSha)).toMatchObject([
      { conclusion: "success", title: "No manifest is changed" },
    ]);
    const before = github.journal.filter((call) => call === "pullFiles").length;
    await work({ kind: "scan", all: false });
    expect(github.journal.filter((call) => call === "pullFiles")).toHaveLength(before);
  });

  it("that no longer touches a manifest says so in the comment that it has", async () => {
    openPull(5, "g5-orders");
    await see(5);
    github.pushPull(5, { "README.md": "# Shop" });
    await see(5);
    expect(bodiesOf(5)).toHaveLength(1);
    expect(bodiesOf(5)[0]).toContain("No changes");
    expect(bodiesOf(5)[0]).not.toContain("g5-orders");
  });

  it("with errors has them on the lines of the manifest, and nothing is reviewed", async () => {
    const headSha = openPull(
      6,
      "g6-orders",
      manifest("g6-orders", "strategy: hash\n  shardKey: id\n  count: 0"),
    );
    await see(6);
    expect(checksOf(headSha)).toMatchObject([
      {
        conclusion: "failure",
        annotations: [{ path: "manifests/g6-orders.yaml", line: 9, level: "failure" }],
      },
    ]);
    expect(bodiesOf(6)[0]).toContain("1 error");
    expect(await reviewsOf(6)).toEqual([]);
  });

  it("is planned as it will be merged: what the default branch got since is in the plan", async () => {
    openPull(7, "g7-orders");
    github.pushMain({ "manifests/g7-merged.yaml": manifest("g7-merged") });
    await see(7);
    expect(bodiesOf(7)[0]).toContain("g7-merged");
    expect(bodiesOf(7)[0]).toContain("g7-orders");
    github.pushMain({ "manifests/g7-merged.yaml": null });
  });

  it("gets its comment again when somebody deletes it", async () => {
    openPull(8, "g8-orders");
    await see(8);
    const at = github.comments.findIndex(({ pull }) => pull === 8);
    const [deleted] = github.comments.splice(at, 1);
    const answer = await deliver("issue_comment", {
      action: "deleted",
      issue: { number: 8, pull_request: {} },
      comment: { id: deleted?.id, body: deleted?.body, user: { login: "shardctl[bot]" } },
    });
    expect(answer).toMatchObject({ status: 202, body: { tasks: 1 } });
    await settle();
    expect(bodiesOf(8)).toHaveLength(1);
  });

  it("shows a hostile manifest without its Markdown, and mentions nobody", async () => {
    const name = '"@acme/everyone ![x](https://evil.test) </details> `rm`"';
    openPull(9, "g9-hostile", manifest(name));
    await see(9);
    expect(bodiesOf(9)[0]).not.toMatch(/@acme|!\[x\]|<\/details> `rm`|https:\/\/evil/);
  });
});

describe("a pull request from a fork", () => {
  it("is checked only: no live numbers, no plan, no review", async () => {
    const headSha = openPull(21, "k1-orders", manifest("k1-orders"), true);
    await see(21);
    expect(bodiesOf(21)[0]).toContain("from a fork");
    expect(bodiesOf(21)[0]).not.toContain("rows move");
    expect(checksOf(headSha)).toMatchObject([{ conclusion: "success" }]);
    expect(await reviewsOf(21)).toEqual([]);
    expect(await controlsOf("k1-orders").verbs()).toEqual([]);
  });

  it("has workflow commands in its manifest shown as text", async () => {
    const headSha = openPull(
      22,
      "k2-orders",
      `::error file=x::%0A::set-output name=a::b\n${manifest("k2-orders")}`,
      true,
    );
    await see(22);
    expect(checksOf(headSha)).toMatchObject([{ conclusion: "failure" }]);
    expect(bodiesOf(22)[0]).not.toMatch(/^::/m);
  });
});

describe("bad timing", () => {
  it("a force-push while the plan is made: only the newer head is posted", async () => {
    const oldSha = openPull(31, "t1-orders");
    let newSha = "";
    github.before.set("blob", () => {
      github.before.clear();
      newSha = github.pushPull(31, { "manifests/t1-orders.yaml": manifest("t1-newer") });
    });
    await see(31);
    expect(checksOf(oldSha)).toEqual([]);
    expect(bodiesOf(31)).toHaveLength(1);
    expect(bodiesOf(31)[0]).toContain(headMarker(newSha));
    expect((await reviewsOf(31)).map(({ headSha }) => headSha)).toEqual([newSha]);
  });

  it("a force-push between the last look and the comment: the newer head wins", async () => {
    openPull(32, "t2-orders");
    let newSha = "";
    github.before.set("commentsWith", () => {
      github.before.clear();
      newSha = github.pushPull(32, { "manifests/t2-orders.yaml": manifest("t2-newer") });
    });
    await see(32);
    await settle();
    await deliver("pull_request", pullEvent(32, newSha));
    await settle();
    expect(bodiesOf(32)).toHaveLength(1);
    expect(bodiesOf(32)[0]).toContain(headMarker(newSha));
    expect((await reviewsOf(32))[0]?.headSha).toBe(newSha);
  });

  it("a workflow of an older commit that is late: the head's plan stays the reviewed one", async () => {
    const oldSha = openPull(40, "t40-orders");
    await see(40);
    const [old] = await reviewsOf(40);
    const newSha = github.pushPull(40, { "manifests/t40-orders.yaml": manifest("t40-newer") });
    await see(40);
    const token = await workflowToken(pullClaims(40));
    const body = { pull: 40, headSha: oldSha, fingerprint: old?.fingerprint, runUrl: null };
    expect(await ask("PUT", "/v1/reviews", { token, body })).toMatchObject({
      status: 200,
      body: { postedBy: "worker" },
    });
    await settle();
    const [newest] = await reviewsOf(40);
    expect(newest).toMatchObject({ headSha: newSha });
    expect(newest?.fingerprint).not.toBe(old?.fingerprint);
  });

  it.each([
    [33, "closed", (number: number): void => github.closePull(number)],
    [34, "merged", (number: number): void => github.mergePull(number)],
  ] as const)(
    "pull request %i is %s while its plan runs: nothing is posted",
    async (number, _state, end) => {
      openPull(number, `t${number}-orders`);
      github.before.set("blob", () => {
        github.before.clear();
        end(number);
      });
      await see(number);
      expect(bodiesOf(number)).toEqual([]);
      expect(await reviewsOf(number)).toEqual([]);
      github.pushMain({ [`manifests/t${number}-orders.yaml`]: null });
    },
  );

  it("a pull request that is closed loses its reviews, one that is merged keeps them", async () => {
    openPull(35, "t35-orders");
    openPull(36, "t36-orders");
    await see(35);
    await see(36);
    github.closePull(35);
    github.mergePull(36);
    await work({ kind: "scan", all: false });
    expect(await reviewsOf(35)).toEqual([]);
    expect(await reviewsOf(36)).toHaveLength(1);
    github.pushMain({ "manifests/t36-orders.yaml": null });
  });

  it("GitHub is down: the work waits, nothing counts as reviewed, and it goes on", async () => {
    openPull(37, "t37-orders");
    github.failing.set("createComment", DOWN);
    await see(37);
    expect(bodiesOf(37)).toEqual([]);
    expect(await reviewsOf(37)).toEqual([]);
    github.failing.clear();
    await see(37);
    expect(bodiesOf(37)).toHaveLength(1);
    expect(await reviewsOf(37)).toHaveLength(1);
  });

  it("GitHub limits us for an hour: nothing is asked meanwhile, and no hot loop", async () => {
    openPull(38, "t38-orders");
    github.failing.set("pull", {
      kind: "rateLimited",
      message: "slow down",
      retryAt: Date.now() + 1500,
    });
    await see(38);
    github.failing.clear();
    const before = github.journal.length;
    await gitopsCoordinator().pullWork.queue([{ kind: "pull", pull: 38, again: false }]);
    await runDurableObjectAlarm(gitopsStub());
    expect(github.journal).toHaveLength(before);
    await vi.waitFor(() => expect(bodiesOf(38)).toHaveLength(1), {
      timeout: 10_000,
      interval: 100,
    });
  });

  it("a credential that may not write checks: the comment still tells everything", async () => {
    openPull(39, "t39-orders");
    github.failing.set("createCheck", {
      kind: "forbidden",
      message: "needs `checks: write`",
      retryAt: null,
    });
    await see(39);
    expect(bodiesOf(39)).toHaveLength(1);
    expect(await reviewsOf(39)).toHaveLength(1);
  });
});

describe("after the merge", () => {
  it("live that is as shown leaves the comment alone; live that has moved is told, with a plan that can be released", async () => {
    openPull(71, "m1-orders");
    await see(71);
    const [before] = await reviewsOf(71);
    github.mergePull(71);
    await see(71);
    expect(bodiesOf(71)[0]).toContain(before?.fingerprint);
    await controlsOf("m1-orders").edit({ epoch: 5 });
    await work({ kind: "scan", all: true });
    expect(bodiesOf(71)).toHaveLength(1);
    expect(bodiesOf(71)[0]).toContain("Merged, but not applied");
    const [shown] = await reviewsOf(71);
    expect(shown?.fingerprint).not.toBe(before?.fingerprint);
    expect(bodiesOf(71)[0]).toContain(`/shardctl apply ${shown?.fingerprint}`);
    // Shown after the merge: nobody has reviewed it yet.
    expect(await gitopsCoordinator().reviewsStore.newest("production", 71)).toMatchObject({
      fingerprint: before?.fingerprint,
    });
    const writes = github.writes().length;
    await work({ kind: "scan", all: true });
    expect(github.writes()).toHaveLength(writes);
    const { answer } = await say(71, "ada", `/shardctl apply ${shown?.fingerprint}`);
    expect(await endOf(/run-[\w-]+/.exec(answer ?? "")?.[0] ?? "")).toMatchObject({
      state: "succeeded",
    });
    await settle();
    expect(bodiesOf(71)[0]).toContain("Applied.");
    github.pushMain({ "manifests/m1-orders.yaml": null });
  });

  it.each([
    { why: "unreachable", pull: 74, name: "m4-orders", isFork: false },
    { why: "unreachable, and shown by nobody", pull: 75, name: "m5-orders", isFork: true },
  ])("is not over while its namespace cannot be read: $why", async ({ pull, name, isFork }) => {
    openPull(pull, name, manifest(name), isFork);
    await see(pull);
    const before = bodiesOf(pull);
    github.mergePull(pull);
    await controlsOf(name).breakCalls(SILENT, 1000);
    await see(pull);
    expect(bodiesOf(pull)).toEqual(before);
    await controlsOf(name).breakCalls(SILENT, 0);
    await controlsOf(name).edit({ epoch: 5 });
    await work({ kind: "scan", all: true });
    expect(bodiesOf(pull)[0]).toContain("Merged, but not applied");
    expect(bodiesOf(pull)[0]).toContain("/shardctl apply ");
    github.pushMain({ [`manifests/${name}.yaml`]: null });
  });

  it("has nothing to release while another namespace cannot be read, and stores no such plan", async () => {
    openPull(76, "m6-orders");
    await see(76);
    const before = bodiesOf(76);
    github.mergePull(76);
    const other = "m6-other";
    github.pushMain({ [`manifests/${other}.yaml`]: manifest(other) });
    await controlsOf(other).breakCalls(SILENT, 1000);
    await controlsOf("m6-orders").edit({ epoch: 5 });
    const plans = (): Promise<unknown> =>
      runInDurableObject(gitopsStub(), (_instance, { storage }) =>
        storage.sql.exec("SELECT fingerprint FROM plans ORDER BY fingerprint").toArray(),
      );
    const stored = await plans();
    await see(76);
    expect(bodiesOf(76)).toEqual(before);
    expect(await plans()).toEqual(stored);
    await controlsOf(other).breakCalls(SILENT, 0);
    await work({ kind: "scan", all: true });
    expect(bodiesOf(76)[0]).toContain("/shardctl apply ");
    for (const name of [other, "m6-orders"]) github.pushMain({ [`manifests/${name}.yaml`]: null });
  });

  it("a plan whose counts have moved since is told again, and waits for a release", async () => {
    openPull(73, "m3-orders");
    await see(73);
    github.mergePull(73);
    await controlsOf("m3-orders").edit({ rows: [{ keys: { id: "z" }, rows: 5_000 }] });
    await see(73);
    const fingerprint = (await reviewsOf(73))[0]?.fingerprint ?? "";
    expect(bodiesOf(73)[0]).toContain("Merged, but not applied");
    expect(bodiesOf(73)[0]).toContain(`/shardctl apply ${fingerprint}`);
    const { answer } = await say(73, "ada", `/shardctl apply ${fingerprint}`);
    expect(await endOf(/run-[\w-]+/.exec(answer ?? "")?.[0] ?? "")).toMatchObject({
      state: "succeeded",
    });
    github.pushMain({ "manifests/m3-orders.yaml": null });
  });

  it("a fork's change, which nobody has reviewed against live, is planned and waits for a release", async () => {
    openPull(72, "m2-orders", manifest("m2-orders"), true);
    await see(72);
    github.mergePull(72);
    await see(72);
    expect(bodiesOf(72)[0]).toContain("no plan was shown in this pull request");
    const [shown] = await reviewsOf(72);
    expect(bodiesOf(72)[0]).toContain(`/shardctl apply ${shown?.fingerprint}`);
    expect(await gitopsCoordinator().reviewsStore.newest("production", 72)).toBeNull();
    github.pushMain({ "manifests/m2-orders.yaml": null });
  });
});

describe("a webhook", () => {
  it("brings the plan into the pull request, once for each delivery", async () => {
    const headSha = openPull(41, "h1-orders");
    const delivery = { id: "11111111-2222-3333-4444-555555555555" };
    expect(await deliver("pull_request", pullEvent(41, headSha, "opened"), delivery)).toMatchObject(
      {
        status: 202,
        body: { tasks: 1 },
      },
    );
    await settle();
    expect(bodiesOf(41)).toHaveLength(1);
    expect(await deliver("pull_request", pullEvent(41, headSha, "opened"), delivery)).toMatchObject(
      {
        status: 202,
        body: { tasks: 0 },
      },
    );
    // The id is a header, which the signature does not cover: a copy under another one is no news.
    for (const id of ["copy-1", "copy-2"])
      expect(await deliver("pull_request", pullEvent(41, headSha, "opened"), { id })).toMatchObject(
        { status: 202, body: { tasks: 0 } },
      );
  });

  it.each([
    ["unsigned", { secret: null }, 401],
    ["forged", { secret: "another secret of sixteen" }, 401],
    ["of another repository", { repository: 1002 }, 403],
  ] as const)("that is %s is refused and does nothing", async (_name, delivery, status) => {
    const headSha = openPull(42, "h2-orders");
    const answer = await deliver("pull_request", pullEvent(42, headSha), delivery);
    expect(answer.status).toBe(status);
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
    await settle();
    expect(bodiesOf(42)).toEqual([]);
  });

  it("of 30 MB is refused before it is read", async () => {
    const body = "x".repeat(30_000_000);
    const headers = {
      "x-github-event": "push",
      "x-github-delivery": "d-30",
      "x-hub-signature-256": `sha256=${"0".repeat(64)}`,
    };
    expect(await ask("POST", "/github/webhook", { body, headers })).toMatchObject({
      status: 413,
      body: { kind: "tooLarge" },
    });
  });

  it.each([
    ["a ping", "ping", {}],
    [
      "a pull request into another branch",
      "pull_request",
      pullEvent(43, "d".repeat(40), "opened", "release"),
    ],
    [
      "a push to another branch",
      "push",
      { ref: "refs/heads/topic", after: "d".repeat(40), deleted: false },
    ],
    [
      "a comment of talk",
      "issue_comment",
      {
        action: "created",
        issue: { number: 1, pull_request: {} },
        comment: { id: 1, body: "nice", user: { login: "a" } },
      },
    ],
    [
      "a command in an issue",
      "issue_comment",
      {
        action: "created",
        issue: { number: 1 },
        comment: { id: 1, body: "/shardctl apply x", user: { login: "a" } },
      },
    ],
  ])("with %s asks for nothing", async (_name, event, payload) => {
    expect(await deliver(event, payload)).toMatchObject({ status: 202, body: { tasks: 0 } });
  });

  it("of a push to the default branch looks at every open pull request again", async () => {
    openPull(44, "h4-orders");
    await see(44);
    github.pushMain({ "manifests/h4-new.yaml": manifest("h4-new") });
    await deliver("push", { ref: "refs/heads/main", after: "d".repeat(40), deleted: false });
    await settle();
    expect(bodiesOf(44)[0]).toContain("h4-new");
    github.pushMain({ "manifests/h4-new.yaml": null });
  });
});

describe("the tick", () => {
  it("finds pull requests that no webhook told of", async () => {
    openPull(51, "s1-orders");
    await gitops.scheduled(createScheduledController(), controlEnv, createExecutionContext());
    await settle();
    expect(bodiesOf(51)).toHaveLength(1);
  });
});

describe("/shardctl apply", () => {
  async function shown(pull: number, name: string, text = manifest(name)): Promise<string> {
    openPull(pull, name, text);
    await see(pull);
    return (await reviewsOf(pull))[0]?.fingerprint ?? "";
  }

  it("by somebody who may write, after the merge: released, run, answered, and the comment follows", async () => {
    const fingerprint = await shown(61, "c1-orders");
    github.mergePull(61);
    const { id, answer } = await say(61, "ada", `/shardctl apply ${fingerprint}`);
    expect(answer).toContain("was started");
    expect(github.reactions).toContainEqual({ commentId: id, reaction: "rocket" });
    const runId = /run-[\w-]+/.exec(answer ?? "")?.[0] ?? "";
    expect(await endOf(runId)).toMatchObject({
      state: "succeeded",
      origin: { pull: 61 },
      requestedBy: "shardctl (ada)",
    });
    await settle();
    expect(bodiesOf(61)).toHaveLength(1);
    expect(bodiesOf(61)[0]).toContain("Applied.");
    expect((await reviewsOf(61))[0]?.release).toMatchObject({ releasedBy: "ada" });
    github.pushMain({ "manifests/c1-orders.yaml": null });
  });

  it.each([
    ["read", 62],
    ["none", 63],
  ] as const)("by somebody with %s gets a sign, and does nothing", async (permission, pull) => {
    github.permissions.set("mallory", permission);
    const fingerprint = await shown(pull, `c${pull}-orders`);
    github.mergePull(pull);
    const { id, answer } = await say(pull, "mallory", `/shardctl apply ${fingerprint}`);
    expect(answer).toBeNull();
    expect(github.reactions).toContainEqual({ commentId: id, reaction: "-1" });
    expect((await reviewsOf(pull))[0]?.release).toBeNull();
    github.pushMain({ [`manifests/c${pull}-orders.yaml`]: null });
  });

  it("before the merge releases only", async () => {
    const suspended =
      "strategy: hash\n  shardKey: id\n  count: 2\n  policy: { maxSkew: 100, suspend: true }";
    const fingerprint = await shown(64, "c4-orders", manifest("c4-orders", suspended));
    const { answer } = await say(64, "ada", `/shardctl apply ${fingerprint} --override suspend`);
    expect(answer).toContain("after the merge");
    const overrides: Guard[] = ["suspend"];
    expect((await reviewsOf(64))[0]?.release).toMatchObject({ overrides });
    expect((await ask<{ runs: Run[] }>("GET", "/v1/runs?active=1")).body.runs).toEqual([]);
  });

  it("writers 1: is not obeyed once more when its delivery comes again and nobody remembers the first", async () => {
    const fingerprint = await shown(69, "c9-orders");
    const body = `/shardctl apply ${fingerprint}`;
    const { id, answer } = await say(69, "ada", body);
    expect((await reviewsOf(69))[0]?.release).toMatchObject({ releasedBy: "ada" });
    await runInDurableObject(gitopsStub(), (_instance, { storage }) => {
      storage.sql.exec("DELETE FROM once");
      storage.sql.exec("UPDATE reviews SET release = NULL WHERE pull = 69");
    });
    const comment = { id, body, user: { login: "ada" } };
    await deliver("issue_comment", {
      action: "created",
      issue: { number: 69, pull_request: {} },
      comment,
    });
    await settle();
    expect((await reviewsOf(69))[0]?.release).toBeNull();
    expect(
      github.comments
        .filter((entry) => entry.body.startsWith(answerMarker(id)))
        .map((entry) => entry.body),
    ).toEqual([answer]);
    // Asked for anew, it is.
    await say(69, "ada", body);
    expect((await reviewsOf(69))[0]?.release).toMatchObject({ releasedBy: "ada" });
  });

  it.each([
    [
      "a plan that was never shown here",
      65,
      (_own: string, other: string) => `/shardctl apply ${other}`,
      "never shown",
    ],
    ["a plan that nobody knows", 66, () => `/shardctl apply ${"0".repeat(64)}`, "No plan"],
    ["half a fingerprint", 67, () => "/shardctl apply abc", "all 64 digits"],
    [
      "an unknown guard",
      68,
      (own: string) => `/shardctl apply ${own} --override everything`,
      "no guard everything",
    ],
  ] as const)("of %s is answered with what is wrong", async (_name, pull, write, message) => {
    const fingerprint = await shown(pull, `c${pull}-orders`);
    const other = (await reviewsOf(1))[0]?.fingerprint ?? "";
    const { id, answer } = await say(pull, "ada", write(fingerprint, other));
    expect(answer).toContain(message);
    expect(github.reactions).toContainEqual({ commentId: id, reaction: "confused" });
  });

  it("that is delivered or done twice is answered once", async () => {
    const fingerprint = await shown(69, "c9-orders");
    const { id } = await say(69, "ada", `/shardctl apply ${fingerprint}`);
    const command = {
      pull: 69,
      commentId: id,
      login: "ada",
      fingerprint,
      overrides: [],
      message: null,
    };
    await work({ kind: "command", ...command });
    expect(github.comments.filter(({ body }) => body.startsWith(answerMarker(id)))).toHaveLength(1);
  });
});

describe("a pull request that the Worker does not survive", () => {
  const WORD = "tried twice";

  async function attemptsOf(key: string): Promise<number> {
    return runInDurableObject(gitopsStub(), (_instance, { storage }) =>
      Number(
        storage.sql.exec("SELECT sum(begun) AS n FROM taskAttempts WHERE key = ?", key).one()["n"],
      ),
    );
  }

  /** As after attempts that took the object down. */
  async function died(key: string, times: number): Promise<void> {
    await runInDurableObject(gitopsStub(), (_instance, { storage }) => {
      storage.sql.exec("INSERT OR REPLACE INTO taskAttempts VALUES (?, ?)", key, times);
    });
  }

  it("has each attempt counted before it is made, and forgotten when it was answered", async () => {
    openPull(91, "u1-orders");
    const storage = await runInDurableObject(gitopsStub(), (_instance, context) => context.storage);
    const seen: unknown[] = [];
    github.before.set("pull", () => {
      seen.push(storage.sql.exec("SELECT key, begun FROM taskAttempts").toArray());
    });
    await see(91);
    expect(seen[0]).toEqual([{ key: "pull:91", begun: 1 }]);
    expect(await attemptsOf("pull:91")).toBe(0);
  });

  it("is tried once more, and then given up with a word, nothing of it being read again", async () => {
    const headSha = openPull(92, "u2-orders");
    await died("pull:92", 1);
    await see(92);
    expect(bodiesOf(92)[0]).toContain("u2-orders");

    const newSha = github.pushPull(92, { "manifests/u2-orders.yaml": manifest("u2-newer") });
    await died("pull:92", 2);
    const before = github.journal.filter((call) => call === "blob" || call === "pullFiles").length;
    await see(92);
    expect(github.journal.filter((call) => call === "blob" || call === "pullFiles")).toHaveLength(
      before,
    );
    expect(bodiesOf(92)).toHaveLength(1);
    expect(bodiesOf(92)[0]).toContain(WORD);
    expect(checksOf(newSha)).toMatchObject([{ conclusion: "neutral" }]);
    expect((await reviewsOf(92)).map((review) => review.headSha)).toEqual([headSha]);

    await work({ kind: "scan", all: true });
    expect(bodiesOf(92)[0]).toContain(WORD);
    const lastSha = github.pushPull(92, { "manifests/u2-orders.yaml": manifest("u2-last") });
    await work({ kind: "scan", all: false });
    expect(bodiesOf(92)[0]).toContain("u2-last");
    expect((await reviewsOf(92))[0]).toMatchObject({ headSha: lastSha });
  });

  it("is given up in silence when not even the word can be said", async () => {
    openPull(93, "u3-orders");
    await died("pull:93", 4);
    await see(93);
    expect(bodiesOf(93)).toEqual([]);
    expect(await attemptsOf("pull:93")).toBe(0);
  });

  it("because of its command gets a word as the answer, and nothing is released", async () => {
    openPull(94, "u4-orders");
    await see(94);
    const [review] = await reviewsOf(94);
    const body = `/shardctl apply ${review?.fingerprint}`;
    const { id } = github.addComment(94, "ada", body);
    await died(`command:${id}`, 2);
    await deliver("issue_comment", {
      action: "created",
      issue: { number: 94, pull_request: {} },
      comment: { id, body, user: { login: "ada" } },
    });
    await settle();
    const said = github.comments.find((entry) => entry.body.startsWith(answerMarker(id)));
    expect(said?.body).toContain(WORD);
    expect((await reviewsOf(94))[0]?.release ?? null).toBeNull();
  });
});

describe("manifests of strangers", () => {
  it("are read in an object of their own", async () => {
    const binding = controlEnv.GITOPS;
    openPull(95, "v1-orders");
    await see(95);
    const ids = (await listDurableObjectIds(binding)).map(String);
    expect(ids).toContain(binding.idFromName("manifests").toString());
    const tables = await runInDurableObject(
      binding.getByName("manifests"),
      (_instance, { storage }) =>
        storage.sql
          .exec("SELECT name FROM sqlite_schema WHERE name NOT LIKE '\\_cf%' ESCAPE '\\'")
          .toArray(),
    );
    expect(tables).toEqual([]);
  });

  it("may have less in them than those of a writer", async () => {
    const text = `${"\n".repeat(70_000)}${manifest("v2-orders")}`;
    openPull(96, "v2-orders", text, true);
    await see(96);
    expect(bodiesOf(96)[0]).toContain("from a fork have more than 65,536 tokens");
    github.openPull(97, { files: { "manifests/v2-orders.yaml": text } });
    await see(97);
    expect(bodiesOf(97)[0]).not.toContain("65,536");
  });
});
