/**
 * The life of a change in a pull request: the workflows' commands against the strict fake GitHub
 * and the Worker on the real local runtime. One story, told in order; each chapter begins where the
 * last one ended.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import type { NamespaceList, Run, RunList } from "../../src/model/api.ts";
import { EXIT } from "../../src/cli/exit-codes.ts";
import type { Pull } from "../support/github/index.ts";
import { ENVIRONMENT, PullStory, type StepRun, manifestOf } from "../support/gitops/pull-story.ts";

const CHECK = `shardctl (${ENVIRONMENT})`;
const UNSHARDED = (name: string) =>
  `apiVersion: shardctl.dev/v1\nkind: Namespace\nmetadata: { name: ${name} }\nspec: { object: ORDERS, strategy: none }\n`;

let story: PullStory;
beforeAll(async () => {
  story = await PullStory.start({
    files: {
      "manifests/orders.yaml": UNSHARDED("orders"),
      "manifests/carts.yaml": UNSHARDED("carts"),
      "README.md": "data",
    },
  });
  await story.putThings("orders", 300);
  await story.putThings("carts", 200);
});
afterAll(async () => {
  await story?.[Symbol.asyncDispose]();
});

function openPull(head: string, files: Readonly<Record<string, string>>, fork?: string): Pull {
  return story.github.openPull(story.repo, {
    head,
    title: head,
    files,
    ...(fork === undefined ? {} : { fork }),
  });
}

/** The only comment of a pull request. */
function commentOf(pull: Pull): string {
  const comments = story.commentsOf(pull);
  expect(comments).toHaveLength(1);
  return comments[0] ?? "";
}

function checksOf(sha: string) {
  return story.github.checkRuns(story.repo, sha).filter(({ name }) => name === CHECK);
}

/** Returns the whole output of the step, for messages of failed expectations. */
function said({ exitCode, stdout, stderr }: StepRun): string {
  return `exit ${exitCode}\n${stdout}\n${stderr}`;
}

async function membersOf(name: string): Promise<number> {
  const { namespaces } = await story.ask<NamespaceList>(
    "GET",
    `/v1/namespaces?object=ORDERS&name=${name}`,
  );
  const [report] = namespaces;
  return report?.kind === "live" ? report.namespace.layout.members.length : -1;
}

async function runsOf(pull: Pull): Promise<readonly Run[]> {
  const { runs } = await story.ask<RunList>("GET", "/v1/runs");
  return runs.filter(({ origin }) => origin?.pull === pull.number);
}

describe("a pull request that is merged as reviewed", () => {
  let pull: Pull;

  it("shows the plan as one comment and one check, and applies nothing", async () => {
    pull = openPull("four-shards", { "manifests/orders.yaml": manifestOf("orders", 4) });
    const before = story.github.journal.writes.length;
    const step = await story.plan(pull);
    expect(step.exitCode, said(step)).toBe(EXIT.done);
    expect(commentOf(pull)).toContain("**Plan: 1 to shard, 1 in sync.**");
    expect(commentOf(pull)).toContain("Merging applies exactly this plan");
    expect(checksOf(pull.head.sha)).toMatchObject([
      { conclusion: "success", title: "Plan: 1 to shard, 1 in sync." },
    ]);
    expect(step.outputs).toMatchObject({ outcome: "planned", has_changes: "true" });
    expect(commentOf(pull)).toContain(step.outputs["fingerprint"]);
    expect(step.summary).toContain("**Plan: 1 to shard, 1 in sync.**");
    expect(await membersOf("orders")).toBe(1);
    const writes = story.github.journal.writes
      .slice(before)
      .filter(({ path }) => path !== "/graphql");
    expect(writes.map(({ method, path }) => `${method} ${path.replace(/\d+/g, "n")}`)).toEqual([
      "POST /repos/acme/data/issues/n/comments",
      "POST /repos/acme/data/check-runs",
    ]);
  });

  it("updates the comment in place with the next push, and says nothing twice", async () => {
    story.github.push(pull, { "manifests/orders.yaml": manifestOf("orders", 6) });
    await story.plan(pull);
    expect(commentOf(pull)).toContain("hash(id) × 6");
    const writes = story.github.journal.writes.length;
    await story.plan(pull, { runAttempt: 2 });
    const again = story.github.journal.writes
      .slice(writes)
      .filter(({ path }) => path.includes("/comments"));
    // The same plan in another run: only its link to the run differs.
    expect(again.length).toBeLessThanOrEqual(1);
    expect(story.commentsOf(pull)).toHaveLength(1);
  });

  it("comes back when somebody deletes the comment", async () => {
    const [comment] = story.github.comments(pull);
    if (comment) story.github.deleteComment(comment);
    await story.plan(pull);
    expect(commentOf(pull)).toContain("hash(id) × 6");
  });

  it("puts errors on the lines of the manifest, and takes the plan away", async () => {
    story.github.push(pull, {
      "manifests/orders.yaml": manifestOf("orders", 6).replace("strategy: hash", "strategy: hush"),
    });
    const step = await story.plan(pull);
    expect(step.exitCode).toBe(EXIT.error);
    expect(step.outputs).toMatchObject({
      outcome: "invalid",
      has_changes: "false",
      fingerprint: "",
    });
    expect(commentOf(pull)).toContain("The manifests have 1 error: nothing was planned.");
    const [check] = checksOf(pull.head.sha);
    expect(check).toMatchObject({ conclusion: "failure" });
    expect(check?.annotations).toMatchObject([{ path: "manifests/orders.yaml", start_line: 6 }]);
    expect(step.stdout).toMatch(/^::error file=manifests\/orders\.yaml,line=6,/m);
    story.github.push(pull, { "manifests/orders.yaml": manifestOf("orders", 6) });
    await story.plan(pull);
    expect(commentOf(pull)).toContain("hash(id) × 6");
  });

  it("applies exactly that with the merge, and writes the result back", async () => {
    story.github.mergePull(pull);
    const step = await story.apply();
    expect(step.exitCode, said(step)).toBe(EXIT.done);
    expect(step.outputs).toMatchObject({ outcome: "applied" });
    expect(commentOf(pull)).toContain("**Applied. Run: 1 done.**");
    expect(await membersOf("orders")).toBe(6);
    expect(await runsOf(pull)).toMatchObject([
      { state: "succeeded", origin: { pull: pull.number } },
    ]);
  });

  it("does nothing more when the job runs again, and still shows what was done", async () => {
    const step = await story.apply({ runAttempt: 2 });
    expect(step.exitCode, said(step)).toBe(EXIT.done);
    expect(step.stdout).toContain("has already ended");
    expect(commentOf(pull)).toContain("**Applied. Run: 1 done.**");
    expect(await runsOf(pull)).toHaveLength(1);
  });
});

describe("a pull request whose plan has moved", () => {
  let pull: Pull;
  let released = "";

  it("is not applied: the comment says what moved, and how to release the current plan", async () => {
    pull = openPull("eight-shards", { "manifests/orders.yaml": manifestOf("orders", 8) });
    await story.plan(pull);
    // Somebody with a token reshards by hand between review and merge.
    const byHand = await story.ask<{ readonly fingerprint: string }>("POST", "/v1/plans", {
      desired: handmade("orders", 7),
    });
    const run = await story.ask<Run>("POST", `/v1/plans/${byHand.fingerprint}/apply`, {});
    await expect
      .poll(async () => (await story.ask<Run>("GET", `/v1/runs/${run.id}?wait=10`)).state, {
        timeout: 60_000,
      })
      .toBe("succeeded");
    story.github.mergePull(pull);
    const step = await story.apply();
    expect(step.exitCode, said(step)).toBe(EXIT.stalePlan);
    expect(step.outputs).toMatchObject({ outcome: "stale", has_changes: "true" });
    released = step.outputs["fingerprint"] ?? "";
    expect(commentOf(pull)).toContain("Merged, but not applied: live has changed");
    expect(commentOf(pull)).toMatch(/orders&#58; live epoch \d+ → \d+/);
    expect(commentOf(pull)).toContain(`/shardctl apply ${released}`);
    expect(await membersOf("orders")).toBe(7);
  });

  it("is not applied by running the job again: that would be reviewing oneself", async () => {
    const step = await story.apply({ runAttempt: 2 });
    expect(step.exitCode, said(step)).toBe(EXIT.stalePlan);
    expect(await membersOf("orders")).toBe(7);
  });

  it("ignores a command of somebody who may not write", async () => {
    story.github.createUser("mallory");
    story.github.addCollaborator(story.repo, "mallory", "read");
    const comment = story.github.commentAs("mallory", pull, `/shardctl apply ${released}`);
    const step = await story.applyComment(comment, { actor: comment.author });
    expect(step.exitCode, said(step)).toBe(EXIT.done);
    expect(step.outputs).toMatchObject({ outcome: "ignored" });
    expect(step.stdout).toContain("mallory may not write");
    expect(await membersOf("orders")).toBe(7);
  });

  it("is applied once somebody who may write releases it", async () => {
    story.github.createUser("ada");
    story.github.addCollaborator(story.repo, "ada", "write");
    const comment = story.github.commentAs("ada", pull, `/shardctl apply ${released}`);
    const step = await story.applyComment(comment, { actor: comment.author });
    expect(step.exitCode, said(step)).toBe(EXIT.done);
    expect(step.outputs).toMatchObject({ outcome: "applied" });
    expect(story.commentsOf(pull)[0]).toContain("**Applied. Run: 1 done.**");
    expect(await membersOf("orders")).toBe(8);
  });
});

describe("a pull request that cannot be applied", () => {
  it("fails while a guard stands, and names it", async () => {
    const pull = openPull("by-type", { "manifests/carts.yaml": manifestOf("carts", 4, "type") });
    const step = await story.plan(pull);
    expect(step.exitCode, said(step)).toBe(EXIT.blocked);
    expect(step.outputs).toMatchObject({ outcome: "blocked" });
    expect(checksOf(pull.head.sha)).toMatchObject([{ conclusion: "failure" }]);
    expect(commentOf(pull)).toContain("Blocked: ");
    expect(commentOf(pull)).toContain("--override skew");
  });

  it("from a fork, is checked without writing or asking anything, whatever its manifests say", async () => {
    const hostile = manifestOf("carts", 3).replace(
      "strategy: hash",
      'strategy: "\\n::add-mask::hash\\n::set-output name=x::y"',
    );
    const pull = openPull("from-fork", { "manifests/carts.yaml": hostile }, "stranger");
    const writes = story.github.journal.writes.length;
    const step = await story.plan(pull);
    expect(step.exitCode).toBe(EXIT.error);
    expect(step.outputs).toMatchObject({ outcome: "invalid" });
    expect(story.commentsOf(pull)).toEqual([]);
    expect(story.github.journal.writes.slice(writes)).toEqual([]);
    expect(step.stdout.split("\n").filter((line) => /^\s*::(?!error )/.test(line))).toEqual([]);
    story.github.push(pull, { "manifests/carts.yaml": manifestOf("carts", 3) });
    const valid = await story.plan(pull);
    expect(valid.exitCode, said(valid)).toBe(EXIT.done);
    expect(valid.outputs).toMatchObject({ outcome: "validated" });
  });

  it("that touches no manifest, gets no comment and a check that passes", async () => {
    const pull = openPull("docs", { "README.md": "more" });
    const step = await story.plan(pull);
    expect(step.exitCode, said(step)).toBe(EXIT.done);
    expect(step.outputs).toMatchObject({ outcome: "untouched" });
    expect(story.commentsOf(pull)).toEqual([]);
    expect(checksOf(pull.head.sha)).toMatchObject([{ conclusion: "success" }]);
  });

  it("without a permission, fails and says which", async () => {
    const pull = openPull("no-permission", { "manifests/carts.yaml": manifestOf("carts", 5) });
    const step = await story.plan(pull, { permissions: { contents: "read", checks: "write" } });
    expect(step.exitCode).toBe(EXIT.error);
    expect(step.outputs).toMatchObject({ outcome: "error" });
    expect(step.stderr).toMatch(/pull_requests/);
  });
});

it("a newer commit wins over the plan of an older one that ends later", async () => {
  const pull = openPull("racing", { "manifests/carts.yaml": manifestOf("carts", 2) });
  const old = pull.head.sha;
  story.github.faults.before("POST", `/repos/acme/data/issues/${pull.number}/comments`, () => {});
  story.github.faults.before("GET", `/repos/acme/data/pulls/${pull.number}`, () => {
    if (pull.head.sha === old)
      story.github.push(pull, { "manifests/carts.yaml": manifestOf("carts", 3) });
  });
  const late = await story.plan(pull);
  expect(late.exitCode, said(late)).toBe(EXIT.done);
  expect(late.outputs).toMatchObject({ outcome: "superseded" });
  expect(story.commentsOf(pull)).toEqual([]);
  const newer = await story.plan(pull);
  expect(newer.outputs).toMatchObject({ outcome: "planned" });
  expect(commentOf(pull)).toContain("hash(id) × 3");
});

it("a namespace that is only proposed is nobody else's business", async () => {
  const proposal = openPull("wishes", { "manifests/wishes.yaml": manifestOf("wishes", 2) });
  const proposed = await story.plan(proposal);
  expect(proposed.exitCode, said(proposed)).toBe(EXIT.done);
  const other = await story.plan(
    openPull("two-carts", { "manifests/carts.yaml": manifestOf("carts", 2) }),
  );
  expect(other.stdout).toContain("carts");
  expect(other.stdout).not.toContain("wishes");
});

it("through a merge queue, on a runner that is lost: the queue gets its check, and the next job finds the run and shows its end", async () => {
  // 13 seconds: on a busy machine the CLI takes some of them to find the run.
  const slow = "  policy: { rowsPerSecondMax: 15 }\n";
  const pull = openPull("queued", { "manifests/carts.yaml": manifestOf("carts", 2, "id", slow) });
  const planned = await story.plan(pull);
  expect(planned.outputs, said(planned)).toMatchObject({ outcome: "planned" });
  const { sha } = story.github.enqueue(pull);
  const queued = await story.runStep(
    "plan",
    { kind: "merge_group", pull },
    { workflow: "plan.yml" },
  );
  expect(queued.exitCode, said(queued)).toBe(EXIT.done);
  expect(checksOf(sha)).toMatchObject([{ conclusion: "success" }]);
  story.github.landQueue(pull);
  await story.applyAndLoseRunner("is running");
  expect(await runsOf(pull)).toMatchObject([{ state: "running" }]);
  const step = await story.apply({ runAttempt: 2 });
  expect(step.exitCode, said(step)).toBe(EXIT.done);
  expect(step.outputs).toMatchObject({
    outcome: "applied",
    fingerprint: planned.outputs["fingerprint"],
  });
  expect(commentOf(pull)).toContain("**Applied. Run: 1 done.**");
  expect(await runsOf(pull)).toHaveLength(1);
  expect(await membersOf("carts")).toBe(2);
});

it("asked GitHub nothing that it does not know", () => {
  expect(story.github.journal.unknown.map(({ method, path }) => `${method} ${path}`)).toEqual([]);
});

function handmade(name: string, count: number) {
  return {
    environment: ENVIRONMENT,
    commit: null,
    namespaces: [
      {
        name,
        labels: {},
        object: "ORDERS",
        strategy: "hash",
        shardKey: "id",
        count,
        directory: false,
        splitPoints: null,
        partitioner: null,
        dependsOn: [],
        policy: {
          maxSkew: 1.5,
          selfHeal: "alert",
          suspend: false,
          onMissingKey: "reject",
          windows: [],
          budgetRows: null,
          rowsPerSecondMax: null,
          retainHours: 24,
        },
        source: { file: "by-hand.yaml", line: 1, column: 1 },
      },
    ],
  };
}
