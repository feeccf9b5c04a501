/**
 * `plan.yml`, `apply.yml` and `action.yml`, run from their YAML: installed as on a runner, against
 * the fake GitHub and the local Worker.
 */
import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { afterAll, beforeAll, expect, it } from "vitest";

import { EXIT } from "../../src/cli/exit-codes.ts";
import type { ActionsEvent } from "../support/github/index.ts";
import { ENVIRONMENT, PullStory, manifestOf } from "../support/gitops/pull-story.ts";
import { type JobRun, JobRunner } from "../support/gitops/run-workflow.ts";
import { isLongRun } from "../support/sample.ts";

let story: PullStory;
beforeAll(async () => {
  const unsharded = manifestOf("orders", 1).replace(/strategy: hash[^]*/, "strategy: none\n");
  story = await PullStory.start({ files: { "manifests/orders.yaml": unsharded } });
  await story.putThings("orders", 100);
});
afterAll(async () => {
  await story?.[Symbol.asyncDispose]();
});

/** @param text the workflow; default the one of this repository. */
async function runJob(
  workflow: "plan" | "apply",
  event: ActionsEvent,
  text?: string,
): Promise<JobRun> {
  const folder = await mkdtemp(join(tmpdir(), "shardctl-job-"));
  const actions = await story.github.actionsEnv(event, {
    directory: join(folder, "runner"),
    hasIdToken: true,
    workflow: `${workflow}.yml`,
    environment: workflow === "apply" ? ENVIRONMENT : null,
  });
  await using runner = new JobRunner(story, actions, join(folder, "workspace"));
  return await (text === undefined
    ? runner.run(`${workflow}.yml`, workflow)
    : runner.runText(text, workflow));
}

it("plan.yml shows the plan of a pull request, by the code of the default branch", async () => {
  const files = {
    "manifests/orders.yaml": manifestOf("orders", 3),
    "src/cli/main.ts": "process.exit(99);\n",
  };
  const pull = story.github.openPull(story.repo, {
    head: "three-shards",
    title: "Three shards",
    files,
  });
  const job = await runJob("plan", { kind: "pull_request", pull });
  expect(job.exitCode, job.output).toBe(EXIT.done);
  expect(job.scripts).toBe(2);
  expect(job.outputs).toMatchObject({ outcome: "planned", has_changes: "true" });
  expect(story.commentsOf(pull)).toHaveLength(1);
  expect(story.commentsOf(pull)[0]).toContain(job.outputs["fingerprint"]);
});

it("apply.yml applies what a merged pull request has shown", async () => {
  const files = { "manifests/orders.yaml": manifestOf("orders", 2) };
  const pull = story.github.openPull(story.repo, {
    head: "two-shards",
    title: "Two shards",
    files,
  });
  await story.plan(pull);
  story.github.mergePull(pull);
  const job = await runJob("apply", { kind: "push", repo: story.repo });
  expect(job.exitCode, job.output).toBe(EXIT.done);
  expect(job.outputs).toMatchObject({ outcome: "applied" });
  expect(story.commentsOf(pull)[0]).toContain("**Applied. Run: 1 done.**");
});

it.runIf(isLongRun())(
  "the workflows of docs/github.md do the same in a repository that has nothing but manifests",
  async () => {
    const guide = await readFile(
      fileURLToPath(new URL("../../docs/github.md", import.meta.url).href),
      "utf8",
    );
    const [plan = "", apply = ""] = [...guide.matchAll(/^```yaml\n(name: .*?)^```$/gms)].map(
      ([, text = ""]) => text,
    );
    const files = { "manifests/orders.yaml": manifestOf("orders", 5) };
    const pull = story.github.openPull(story.repo, {
      head: "five-shards",
      title: "Five shards",
      files,
    });
    const planned = await runJob("plan", { kind: "pull_request", pull }, plan);
    expect(planned.exitCode, planned.output).toBe(EXIT.done);
    expect(story.commentsOf(pull)[0]).toContain("hash(id) × 5");
    story.github.mergePull(pull);
    const applied = await runJob("apply", { kind: "push", repo: story.repo }, apply);
    expect(applied.exitCode, applied.output).toBe(EXIT.done);
    expect(applied.outputs).toMatchObject({ outcome: "applied" });
  },
);
