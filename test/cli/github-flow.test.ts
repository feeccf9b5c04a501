/**
 * `plan --github` and `apply --github` against the strict fake GitHub and a scripted Worker: bad
 * timing, bad luck, and who posts. The whole story with a real Worker is in
 * `test/e2e/pull-request.test.ts`.
 */
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { Run } from "../../src/model/api.ts";
import type { Plan } from "../../src/model/plan.ts";
import type { Review } from "../../src/model/review.ts";
import { EXIT } from "../../src/cli/exit-codes.ts";
import {
  type ActionsEvent,
  type ActionsOptions,
  type FakeGitHub,
  type Pull,
  type Repository,
  startFakeGitHub,
} from "../support/github/index.ts";
import { temporaryProject, TOKEN } from "./support/project.ts";
import { type CliRun, runInProcess } from "./support/run-cli.ts";
import {
  type Answer,
  type RecordedRequest,
  type ScriptedServer,
  problem,
  startScriptedServer,
} from "./support/scripted-server.ts";
import {
  EMPTY_PLAN,
  FINGERPRINT,
  MANIFEST,
  NOON,
  OTHER_FINGERPRINT,
  POLICY_PLAN,
  actionOf,
  operationOf,
  planOf,
  runOf,
  shardChange,
} from "./support/states.ts";

const LIVE_LEASE = { token: 1, heartbeatAt: Date.now(), expiresAt: Date.now() + 600_000 };
const ENDED: Partial<Run> = { state: "succeeded", finishedAt: NOON + 3000, updatedAt: NOON + 3000 };

let github: FakeGitHub;
let repo: Repository;
let worker: ScriptedServer;
beforeEach(async () => {
  github = await startFakeGitHub();
  repo = github.createRepo({
    owner: "acme",
    name: "data",
    private: true,
    files: { "manifests/orders.yaml": "old: 1\n" },
  });
});
afterEach(async () => {
  await worker?.close();
  await github[Symbol.asyncDispose]();
});

/** The state of the scripted Worker; a test changes it while the command runs. */
interface WorkerScript {
  plan: Plan;
  /** Plans by fingerprint, besides `plan`. */
  plans: readonly Plan[];
  reviews: Review[];
  postedBy: "worker" | "caller";
  runs: Run[];
  /** Answers before everything else. */
  first: (request: RecordedRequest) => Answer | undefined;
}

function world(given: Partial<WorkerScript> = {}): WorkerScript {
  return {
    plan: planOf(),
    plans: [],
    reviews: [],
    postedBy: "caller",
    runs: [],
    first: () => undefined,
    ...given,
  };
}

function reviewOf(pull: Pull, overrides: Partial<Review> = {}): Review {
  return {
    environment: "local",
    pull: pull.number,
    fingerprint: FINGERPRINT,
    headSha: pull.head.sha,
    runUrl: null,
    requestedBy: "github-actions (octocat)",
    reviewedAt: NOON,
    release: null,
    ...overrides,
  };
}

function answer(state: WorkerScript, request: RecordedRequest): Answer {
  const special = state.first(request);
  if (special !== undefined) return special;
  const url = new URL(request.path, "http://worker");
  const call = `${request.method} ${url.pathname}`;
  if (call === "POST /v1/plans") return { status: 200, json: state.plan };
  if (call === "GET /v1/reviews")
    return { status: 200, json: { reviews: state.reviews, postedBy: state.postedBy } };
  if (call === "PUT /v1/reviews") {
    const review = {
      ...(request.body as Review),
      environment: "local",
      requestedBy: "ci",
      reviewedAt: NOON,
      release: null,
    };
    return { status: 200, json: { review, postedBy: state.postedBy } };
  }
  if (call === "GET /v1/runs") {
    const isActive = url.searchParams.get("active") === "1";
    return {
      status: 200,
      json: { runs: state.runs.filter(({ finishedAt }) => !isActive || finishedAt === null) },
    };
  }
  const run = state.runs.find(({ id }) => url.pathname === `/v1/runs/${id}`);
  if (run !== undefined) return { status: 200, json: run };
  const plan = [state.plan, ...state.plans].find(
    ({ fingerprint }) => url.pathname === `/v1/plans/${fingerprint}`,
  );
  if (plan !== undefined) return { status: 200, json: plan };
  return problem("notFound", 404, `There is no ${call}.`);
}

interface Step extends CliRun {
  readonly outputs: Readonly<Record<string, string>>;
  readonly summary: string;
}

async function runStep(
  command: "plan" | "apply",
  event: ActionsEvent,
  state: WorkerScript,
  options: Partial<ActionsOptions> & { readonly manifest?: string } = {},
): Promise<Step> {
  worker = await startScriptedServer((request) => answer(state, request));
  await using project = await temporaryProject({
    "manifests/orders.yaml": options.manifest ?? MANIFEST,
  });
  const actions = await github.actionsEnv(event, {
    directory: join(project.path, ".runner"),
    ...options,
  });
  const run = await runInProcess([command, "--github"], {
    cwd: project.path,
    env: { ...actions.env, SHARDCTL_ENDPOINT: worker.endpoint, SHARDCTL_TOKEN: TOKEN },
    host: { now: Date.now },
  });
  if (github.journal.unknown.length > 0)
    throw new Error(`GitHub does not know ${JSON.stringify(github.journal.unknown)}`);
  return { ...run, outputs: await actions.readOutputs(), summary: await actions.readSummary() };
}

function openPull(
  files: Readonly<Record<string, string>> = { "manifests/orders.yaml": "new: 1\n" },
): Pull {
  return github.openPull(repo, { head: "topic", title: "topic", files });
}

function asked(method: string, path: string): readonly unknown[] {
  return worker.requests
    .filter((request) => request.method === method && request.path.startsWith(path))
    .map(({ body }) => body);
}

function githubWrites(): readonly string[] {
  return github.journal.writes
    .filter(({ path }) => path !== "/graphql")
    .map(({ method, path }) => `${method} ${path.replaceAll(/\d+/g, "n")}`);
}

describe("a plan", () => {
  it("of a pull request that is closed or merged while it is made is posted nowhere, and does not count", async () => {
    for (const end of ["close", "merge"] as const) {
      const pull = github.openPull(repo, {
        head: end,
        title: end,
        files: { "manifests/orders.yaml": `${end}: 1\n` },
      });
      const over = () => void (end === "close" ? github.closePull(pull) : github.mergePull(pull));
      const state = world();
      state.first = ({ method, path }) => {
        if (method === "POST" && path === "/v1/plans") over();
        return undefined;
      };
      const step = await runStep("plan", { kind: "pull_request", pull }, state);
      expect(step.exitCode, step.stderr).toBe(EXIT.done);
      expect(step.outputs["outcome"]).toBe("closed");
      expect(step.stdout).toContain(
        "Nothing was posted: the pull request was closed or merged meanwhile.",
      );
      expect(githubWrites()).toEqual([]);
      expect(asked("PUT", "/v1/reviews")).toEqual([]);
      await worker.close();
    }
  });

  it("that the Worker posts counts only while its commit is the head of an open pull request", async () => {
    const pull = openPull();
    const state = world({ postedBy: "worker" });
    state.first = ({ method, path }) => {
      if (method === "POST" && path === "/v1/plans")
        github.push(pull, { "manifests/orders.yaml": "newer: 1\n" });
      return undefined;
    };
    const step = await runStep("plan", { kind: "pull_request", pull }, state);
    expect(step.outputs["outcome"]).toBe("superseded");
    expect(asked("PUT", "/v1/reviews")).toEqual([]);
  });

  it("of manifests with errors makes no second comment where the Worker posts, or cannot be asked", async () => {
    const pull = openPull();
    const manifest = MANIFEST.replace("hash", "hush");
    const posting = await runStep(
      "plan",
      { kind: "pull_request", pull },
      world({ postedBy: "worker" }),
      { manifest },
    );
    expect(posting.exitCode).toBe(EXIT.error);
    expect(posting.outputs["outcome"]).toBe("invalid");
    expect(posting.stdout).toMatch(/^::error file=manifests\/orders\.yaml,/m);
    expect(githubWrites()).toEqual([]);
    await worker.close();
    const silent = world({ first: () => ({ status: 503, text: "down" }) });
    const unknown = await runStep("plan", { kind: "pull_request", pull }, silent, { manifest });
    expect(unknown.exitCode).toBe(EXIT.error);
    expect(unknown.stderr).toContain(
      "The Worker does not say who keeps the comment, so none is posted",
    );
    expect(github.comments(pull)).toEqual([]);
    expect(github.checkRuns(repo, pull.head.sha)).toMatchObject([{ conclusion: "failure" }]);
  });

  it("in a merge queue is a check on the queue's own commit, which the queue waits for", async () => {
    const pull = openPull();
    const { sha } = github.enqueue(pull);
    const planned = await runStep("plan", { kind: "merge_group", pull }, world());
    expect(planned.exitCode, planned.stderr).toBe(EXIT.done);
    expect(planned.outputs["outcome"]).toBe("planned");
    expect(github.checkRuns(repo, sha)).toMatchObject([
      { name: "shardctl (default)", conclusion: "success" },
    ]);
    expect(githubWrites()).toEqual(["POST /repos/acme/data/check-runs"]);
    expect(asked("PUT", "/v1/reviews")).toEqual([]);
    await worker.close();
    const invalid = await runStep("plan", { kind: "merge_group", pull }, world(), {
      manifest: MANIFEST.replace("hash", "hush"),
    });
    expect(invalid.exitCode).toBe(EXIT.error);
    expect(github.checkRuns(repo, sha).at(-1)).toMatchObject({ conclusion: "failure" });
  });

  it("from a pull request never sends what the runner keeps for itself to where its config says", async () => {
    const pull = openPull();
    worker = await startScriptedServer(() => ({ status: 200, json: {} }));
    const config = `apiVersion: shardctl.dev/v1\nkind: Config\nenvironments:\n  local: { endpoint: "${worker.endpoint}", tokenVariable: GITHUB_TOKEN }\n`;
    await using project = await temporaryProject({
      "manifests/orders.yaml": MANIFEST,
      "shardctl.yaml": config,
    });
    const actions = await github.actionsEnv(
      { kind: "pull_request", pull },
      { directory: join(project.path, ".runner") },
    );
    const run = await runInProcess(["plan", "--github"], {
      cwd: project.path,
      env: actions.env,
      host: { now: Date.now },
    });
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stderr).toContain("begins with SHARDCTL_");
    expect(worker.requests).toEqual([]);
  });
});

describe("trouble with GitHub", () => {
  it("that limits us for an hour ends the plan at once, says until when, and leaves nothing half done", async () => {
    const pull = openPull();
    github.limits.exhaust(60 * 60_000);
    const step = await runStep("plan", { kind: "pull_request", pull }, world());
    expect(step.exitCode).toBe(EXIT.error);
    expect(step.outputs).toMatchObject({ outcome: "error", has_changes: "false", fingerprint: "" });
    expect(step.stderr).toMatch(/GitHub accepts no more requests from shardctl until \d{4}-/);
    expect(worker.requests).toEqual([]);
    expect(github.comments(pull)).toEqual([]);
  });

  it("that begins between comment and check leaves a plan that does not count, and the next run completes it", async () => {
    const pull = openPull();
    github.faults.after("POST", `/repos/acme/data/issues/${pull.number}/comments`, () =>
      github.limits.exhaust(60 * 60_000),
    );
    const step = await runStep("plan", { kind: "pull_request", pull }, world());
    expect(step.exitCode).toBe(EXIT.error);
    expect(asked("PUT", "/v1/reviews")).toEqual([]);
    await worker.close();
    github.limits.exhaust(0);
    const again = await runStep("plan", { kind: "pull_request", pull }, world(), { runAttempt: 2 });
    expect(again.exitCode, again.stderr).toBe(EXIT.done);
    expect(github.comments(pull)).toHaveLength(1);
    expect(github.checkRuns(repo, pull.head.sha)).toHaveLength(1);
    expect(asked("PUT", "/v1/reviews")).toHaveLength(1);
  });

  it("that is down ends an apply before anything is asked of the Worker", async () => {
    const pull = openPull();
    github.mergePull(pull);
    github.faults.down = 502;
    const step = await runStep(
      "apply",
      { kind: "push", repo },
      world({ reviews: [reviewOf(pull)] }),
    );
    expect(step.exitCode).toBe(EXIT.error);
    expect(step.outputs["outcome"]).toBe("error");
    expect(step.stderr).toContain("githubstatus.com");
    expect(worker.requests).toEqual([]);
  });

  it("that takes no comment when a merge is held leaves the reason in the log", async () => {
    const pull = openPull();
    github.mergePull(pull);
    github.faults.failNext({ method: "POST", path: "/comments", status: 422, times: 9 });
    const other = planOf({ fingerprint: OTHER_FINGERPRINT, changes: [shardChange({ epoch: 3 })] });
    const state = world({ plan: other, plans: [planOf()], reviews: [reviewOf(pull)] });
    state.first = ({ path }) =>
      path.endsWith("/apply") ? problem("notReviewed", 409, "another plan was shown") : undefined;
    const step = await runStep("apply", { kind: "push", repo }, state);
    expect(step.exitCode).toBe(EXIT.error);
    expect(step.stderr).toContain(
      `Nothing was applied: live is no longer what pull request #${pull.number} was shown.`,
    );
    expect(step.stderr).toContain("422");
  });
});

describe("an apply", () => {
  /**
   * A merged pull request whose run is under way, as a job finds it that runs again after its
   * runner was lost.
   */
  function merged(): Pull {
    const pull = openPull();
    github.mergePull(pull);
    return pull;
  }

  function ownRun(pull: Pull, overrides: Partial<Run> = {}): Run {
    const origin = { pull: pull.number, commit: pull.mergeCommitSha, runUrl: null };
    return runOf({
      lease: LIVE_LEASE,
      origin,
      actions: [actionOf({ state: "running", operation: operationOf() })],
      ...overrides,
    });
  }

  it("whose runner was lost attaches to its run, and judges nothing by the half-way state", async () => {
    const pull = merged();
    // Half-way, a current plan has nothing to do with the reviewed one: one namespace is done, the
    // other one busy.
    const halfWay = planOf({
      fingerprint: OTHER_FINGERPRINT,
      changes: [],
      blocks: [
        {
          guard: "operationRunning",
          namespace: "orders",
          message: "operation 1 is running",
          overridable: false,
        },
      ],
    });
    const state = world({
      plan: halfWay,
      plans: [planOf()],
      reviews: [reviewOf(pull)],
      runs: [ownRun(pull)],
    });
    let polls = 0;
    state.first = ({ path }) => {
      if (path.startsWith("/v1/runs/") && ++polls === 2)
        state.runs = [
          ownRun(pull, {
            ...ENDED,
            actions: [actionOf({ state: "done", operation: operationOf() })],
          }),
        ];
      return undefined;
    };
    const step = await runStep("apply", { kind: "push", repo }, state, { runAttempt: 2 });
    expect(step.exitCode, step.stdout + step.stderr).toBe(EXIT.done);
    expect(step.outputs).toMatchObject({ outcome: "applied", fingerprint: FINGERPRINT });
    expect(step.stdout).toContain("is running");
    expect(github.comments(pull)).toHaveLength(1);
    expect(github.comments(pull)[0]?.body).toContain("**Applied.");
    expect(asked("POST", "/v1/plans")).toEqual([]);
  });

  it("that failed in part keeps what is done, names what is not, and exits with 1", async () => {
    const pull = merged();
    const changes = ["orders", "carts", "events"].map((namespace) => shardChange({ namespace }));
    const plan = planOf({ changes });
    const actions = [
      actionOf({ state: "done", operation: operationOf() }),
      actionOf({ namespace: "carts", state: "failed", error: "a member did not answer" }),
      actionOf({ namespace: "events", state: "notExecuted", error: "carts failed" }),
    ];
    const ended = ownRun(pull, {
      state: "failed",
      finishedAt: NOON + 3000,
      updatedAt: NOON + 3000,
      actions,
    });
    const state = world({ plan, reviews: [reviewOf(pull)] });
    state.first = ({ method, path }) => {
      if (method !== "POST" || !path.endsWith("/apply")) return undefined;
      state.runs = [ended];
      return { status: 202, json: ended };
    };
    const step = await runStep("apply", { kind: "push", repo }, state);
    expect(step.exitCode).toBe(EXIT.error);
    expect(step.outputs["outcome"]).toBe("failed");
    const [comment] = github.comments(pull);
    expect(comment?.body).toContain("Applied in part: something failed.");
    expect(comment?.body).toMatch(/<code>orders<\/code> .* done/);
    expect(comment?.body).toMatch(/<code>carts<\/code> .* failed .*a member did not answer/);
    expect(comment?.body).toMatch(/<code>events<\/code> .* not executed .*carts failed/);
    expect(comment?.body).toContain("2 of 3 changes were not made.");
    expect(step.summary).toContain("2 of 3 changes were not made.");
  });

  it("behind another run waits for it, also when that one makes its own plan impossible to make", async () => {
    const pull = merged();
    const rival = runOf({
      id: "run-0",
      lease: LIVE_LEASE,
      origin: { pull: 99, commit: null, runUrl: null },
    });
    const busy = planOf({
      fingerprint: OTHER_FINGERPRINT,
      changes: [],
      blocks: [
        {
          guard: "operationRunning",
          namespace: "orders",
          message: "operation 1 is running",
          overridable: false,
        },
      ],
    });
    const state = world({
      plan: busy,
      plans: [planOf()],
      reviews: [reviewOf(pull)],
      runs: [rival],
    });
    state.first = ({ method, path }) => {
      if (path.startsWith("/v1/runs/run-0")) {
        state.runs = [{ ...rival, ...ENDED }];
        state.plan = planOf();
      }
      if (method !== "POST" || !path.endsWith("/apply")) return undefined;
      const run = ownRun(pull, {
        ...ENDED,
        actions: [actionOf({ state: "done", operation: operationOf() })],
      });
      state.runs = [run, ...state.runs];
      return { status: 202, json: run };
    };
    const step = await runStep("apply", { kind: "push", repo }, state);
    expect(step.exitCode, step.stdout + step.stderr).toBe(EXIT.done);
    expect(step.stdout).toContain(
      "Run run-0 of local is active, asked for by ada for pull request #99.",
    );
    expect(github.journal.find("PATCH", "/comments/").length).toBeGreaterThan(0);
    expect(github.comments(pull)[0]?.body).toContain("**Applied.");
  });

  it("behind a lock that no list shows waits between its tries, gives up in the end, and says so", async () => {
    const pull = merged();
    const state = world({ reviews: [reviewOf(pull)] });
    state.first = ({ path }) =>
      path.endsWith("/apply") ? problem("locked", 409, "run run-0 is active.") : undefined;
    const step = await runStep("apply", { kind: "push", repo }, state);
    expect(step.exitCode).toBe(EXIT.locked);
    expect(step.outputs["outcome"]).toBe("locked");
    expect(new TextEncoder().encode(step.summary).byteLength).toBeLessThanOrEqual(1024 * 1024);
  });

  it("prints no line that a runner would obey, whatever a namespace is called or a server says", async () => {
    const pull = merged();
    const namespace = "::stop-commands::x";
    const plan = planOf({ changes: [shardChange({ namespace })] });
    const actions = [
      actionOf({ namespace, state: "failed", error: "no\n::error::pwned ##[command]x" }),
    ];
    const running = ownRun(pull, {
      actions: [actionOf({ namespace, state: "running", operation: operationOf({ namespace }) })],
    });
    const state = world({ plan, reviews: [reviewOf(pull)] });
    state.first = ({ method, path }) => {
      if (path.startsWith("/v1/runs/"))
        state.runs = [{ ...running, ...ENDED, state: "failed", actions }];
      if (method !== "POST" || !path.endsWith("/apply")) return undefined;
      state.runs = [running];
      return { status: 202, json: running };
    };
    const step = await runStep("apply", { kind: "push", repo }, state);
    expect(step.exitCode).toBe(EXIT.error);
    const lines = `${step.stdout}\n${step.stderr}`.split(/[\n\r]/);
    expect(lines.filter((line) => line.includes("stop-commands")).length).toBeGreaterThan(1);
    expect(lines.filter((line) => /^\s*::|##\[/.test(line))).toEqual([]);
  });

  it("says in a problem of the Worker nothing that a runner would obey", async () => {
    merged();
    const errors = [{ path: "::add-mask::x", message: "no" }];
    const state = world({
      first: ({ path }) =>
        path === "/v1/plans" ? problem("invalid", 400, "no\n::error::x", errors) : undefined,
    });
    const step = await runStep("apply", { kind: "push", repo }, state);
    expect(step.stderr).toContain("add-mask");
    expect(step.stderr.split("\n").filter((line) => /^\s*::/.test(line))).toEqual([]);
  });

  it("of a commit whose change the branch has taken back since brings nothing back", async () => {
    const pull = merged();
    const state = world({ reviews: [reviewOf(pull)] });
    state.first = ({ path }) => {
      if (path === "/v1/plans")
        github.commit(repo, { files: { "manifests/orders.yaml": "old: 1\n" }, message: "Revert" });
      return undefined;
    };
    const step = await runStep("apply", { kind: "push", repo }, state);
    expect(step.exitCode, step.stderr).toBe(EXIT.done);
    expect(step.outputs["outcome"]).toBe("superseded");
    expect(step.stderr).toContain(
      "declares something else in manifests/orders.yaml. The job of the newer commit applies it.",
    );
    expect(worker.requests.filter(({ path }) => path.endsWith("/apply"))).toEqual([]);
    expect(github.comments(pull)[0]?.body).toContain("Merged, but not applied.");
  });

  it("of a policy that the branch has taken back since brings nothing back", async () => {
    const pull = merged();
    const plan = {
      ...POLICY_PLAN,
      policies: (POLICY_PLAN.policies ?? []).map((change) => ({
        ...change,
        source: { ...change.source, file: "manifests/orders.yaml" },
      })),
    };
    const state = world({ plan, reviews: [reviewOf(pull)] });
    state.first = ({ path }) => {
      if (path === "/v1/plans")
        github.commit(repo, { files: { "manifests/orders.yaml": "old: 1\n" }, message: "Revert" });
      return undefined;
    };
    const step = await runStep("apply", { kind: "push", repo }, state);
    expect(step.exitCode, step.stderr).toBe(EXIT.done);
    expect(step.outputs["outcome"]).toBe("superseded");
    expect(worker.requests.filter(({ path }) => path.endsWith("/apply"))).toEqual([]);
  });

  it("of a commit that only other manifests have followed goes on", async () => {
    const pull = merged();
    const state = world({ reviews: [reviewOf(pull)] });
    state.first = ({ method, path }) => {
      if (path === "/v1/plans")
        github.commit(repo, { files: { "manifests/carts.yaml": "new: 1\n" }, message: "Next" });
      const run = ownRun(pull, {
        ...ENDED,
        actions: [actionOf({ state: "done", operation: operationOf() })],
      });
      return method === "POST" && path.endsWith("/apply") ? { status: 202, json: run } : undefined;
    };
    const step = await runStep("apply", { kind: "push", repo }, state);
    expect(step.outputs["outcome"], step.stderr).toBe("applied");
  });

  it("of a job that is run again long after, when live is as declared, does nothing", async () => {
    const pull = merged();
    const step = await runStep(
      "apply",
      { kind: "push", repo },
      world({ plan: EMPTY_PLAN, reviews: [reviewOf(pull)] }),
    );
    expect(step.exitCode).toBe(EXIT.done);
    expect(step.outputs["outcome"]).toBe("no_changes");
    expect(githubWrites()).toEqual([]);
  });
});

describe("a release", () => {
  function commandOn(pull: Pull, fingerprint = FINGERPRINT) {
    github.createUser("ada");
    github.addCollaborator(repo, "ada", "write");
    return github.commentAs("ada", pull, `/shardctl apply ${fingerprint}`);
  }

  it("of a plan that the pull request has not shown shows it, and applies nothing", async () => {
    const pull = openPull();
    github.mergePull(pull);
    const comment = commandOn(pull);
    const step = await runStep("apply", { kind: "issue_comment", repo, comment }, world(), {
      actor: comment.author,
    });
    expect(step.exitCode, step.stderr).toBe(EXIT.stalePlan);
    expect(asked("PUT", `/v1/reviews/${pull.number}/release`)).toEqual([]);
    expect(asked("PUT", "/v1/reviews")).toHaveLength(1);
    expect(github.comments(pull).at(-1)?.body).toContain("no plan was shown in this pull request");
  });

  it("whose comment was deleted meanwhile is a release all the same", async () => {
    const pull = openPull();
    github.mergePull(pull);
    const comment = commandOn(pull);
    const event: ActionsEvent = { kind: "issue_comment", repo, comment };
    const state = world({ reviews: [reviewOf(pull)] });
    state.first = ({ method, path }) => {
      const release = { releasedBy: "ada", releasedAt: NOON, expiresAt: NOON, overrides: [] };
      if (path.endsWith("/release")) return { status: 200, json: reviewOf(pull, { release }) };
      const run = runOf({
        ...ENDED,
        actions: [actionOf({ state: "done", operation: operationOf() })],
      });
      return method === "POST" && path.endsWith("/apply") ? { status: 202, json: run } : undefined;
    };
    github.faults.before("POST", "/reactions", () => github.deleteComment(comment));
    const step = await runStep("apply", event, state, { actor: comment.author });
    expect(step.exitCode, step.stdout + step.stderr).toBe(EXIT.done);
    expect(step.stderr).toContain("Warning: Could not react to comment");
  });
});
