/** Check runs: who may write them, what fits, and that annotations are appended. */
import { beforeEach, describe, expect, it } from "vitest";

import { startFakeGitHub, type FakeGitHub, type Pull, type Repository } from "./index.ts";
import { octokitFor, refusalOf } from "./octokit.ts";

const AT = { owner: "acme", repo: "data" };
const OUTPUT = { title: "Plan", summary: "1 to rebalance" };
let github: FakeGitHub;
let repo: Repository;
let pull: Pull;
let octokit: ReturnType<typeof octokitFor>;

beforeEach(async () => {
  github = await startFakeGitHub();
  repo = github.createRepo({ owner: "acme", name: "data", private: true });
  pull = github.openPull(repo, { head: "change", title: "Change" });
  octokit = octokitFor(github, github.createActionsToken(repo, { checks: "write" }));
  return () => github.stop();
});

function annotations(count: number, from = 0) {
  return Array.from({ length: count }, (_, at) => ({
    path: "manifests/orders.yaml",
    start_line: from + at + 1,
    end_line: from + at + 1,
    annotation_level: "warning" as const,
    message: `problem ${from + at}`,
  }));
}

function create(output: object, more: object = {}) {
  return octokit.checks.create({
    ...AT,
    name: "plan",
    head_sha: pull.head.sha,
    ...more,
    output: { ...OUTPUT, ...output },
  });
}

describe("annotations", () => {
  it("are appended by updates, and read in pages", async () => {
    const { data } = await create({ annotations: annotations(50) }, { status: "in_progress" });
    await octokit.checks.update({
      ...AT,
      check_run_id: data.id,
      output: { ...OUTPUT, annotations: annotations(50, 50) },
    });
    const last = await octokit.checks.update({
      ...AT,
      check_run_id: data.id,
      conclusion: "failure",
      output: { ...OUTPUT, summary: "101 problems", annotations: annotations(1, 100) },
    });
    expect(last.data).toMatchObject({
      status: "completed",
      conclusion: "failure",
      output: { annotations_count: 101, summary: "101 problems" },
    });
    const all = await octokit.paginate(octokit.checks.listAnnotations, {
      ...AT,
      check_run_id: data.id,
      per_page: 40,
    });
    expect(all.map((one) => one.start_line)).toEqual(
      Array.from({ length: 101 }, (_, at) => at + 1),
    );
  });

  it("are at most 50 in a request, and nothing of a refused request is kept", async () => {
    const refused = {
      status: 422,
      message: expect.stringContaining(
        "No more than 50 items are allowed; 51 were supplied.",
      ) as string,
    };
    expect(await refusalOf(create({ annotations: annotations(51) }))).toMatchObject(refused);
    expect(github.checkRuns(repo)).toEqual([]);
    const { data } = await create({});
    const update = octokit.checks.update({
      ...AT,
      check_run_id: data.id,
      output: { ...OUTPUT, annotations: annotations(51) },
    });
    expect(await refusalOf(update)).toMatchObject(refused);
    expect(github.checkRuns(repo)[0]?.annotations).toEqual([]);
  });
});

const [ANNOTATION] = annotations(1);

const REFUSED: readonly {
  readonly name: string;
  readonly output: object;
  readonly more?: object;
  readonly says: string;
}[] = [
  {
    name: "a summary of 65,536 characters",
    output: { summary: "x".repeat(65_536) },
    says: "Only 65535 characters are allowed; 65536 were supplied.",
  },
  {
    name: "a text of 65,536 characters",
    output: { text: "x".repeat(65_536) },
    says: "Only 65535 characters are allowed",
  },
  {
    name: "a title of 256 characters",
    output: { title: "x".repeat(256) },
    says: "Only 255 characters are allowed",
  },
  {
    name: "a message above 64 KB",
    output: { annotations: [{ ...ANNOTATION, message: "ü".repeat(32 * 1024 + 1) }] },
    says: "exceeds 65536 bytes",
  },
  {
    name: "columns over two lines",
    output: { annotations: [{ ...ANNOTATION, end_line: 2, start_column: 1 }] },
    says: "columns",
  },
  {
    name: "a line 0",
    output: { annotations: [{ ...ANNOTATION, start_line: 0 }] },
    says: "start_line",
  },
  {
    name: "an unknown level",
    output: { annotations: [{ ...ANNOTATION, annotation_level: "error" }] },
    says: "annotation_level",
  },
  {
    name: "completed without a conclusion",
    output: {},
    more: { status: "completed" },
    says: "conclusion",
  },
  {
    name: "an unknown conclusion",
    output: {},
    more: { conclusion: "stale" },
    says: "is not a member of",
  },
  {
    name: "a commit that is not there",
    output: {},
    more: { head_sha: "f".repeat(40) },
    says: "No commit found for SHA",
  },
  {
    name: "an action whose label is too long",
    output: {},
    more: { actions: [{ label: "x".repeat(21), description: "d", identifier: "i" }] },
    says: "Only 20 characters are allowed",
  },
];

describe("a check run is refused", () => {
  it.each(REFUSED)("with $name", async ({ output, more, says }) => {
    expect(await refusalOf(create(output, more))).toMatchObject({
      status: 422,
      message: expect.stringContaining(says) as string,
    });
  });

  it("to a person's token, and to another app", async () => {
    const people = octokitFor(github, github.createUserToken("octocat"));
    const attempt = people.checks.create({ ...AT, name: "plan", head_sha: pull.head.sha });
    expect(await refusalOf(attempt)).toMatchObject({
      status: 403,
      message: expect.stringContaining("GitHub App") as string,
    });
    const { data } = await create({});
    const app = await github.createApp({ slug: "other", permissions: { checks: "write" } });
    const other = octokitFor(
      github,
      github.createInstallationToken(github.installApp(app, "acme")),
    );
    const foreign = other.checks.update({ ...AT, check_run_id: data.id, conclusion: "success" });
    expect(await refusalOf(foreign)).toMatchObject({
      status: 403,
      message: expect.stringContaining("Invalid app_id") as string,
    });
  });
});

describe("the runs of a commit", () => {
  it("are the newest of each name, and all on request", async () => {
    await create({}, { external_id: "one" });
    const second = await create({}, { external_id: "two", conclusion: "success" });
    await octokit.checks.create({ ...AT, name: "other", head_sha: pull.head.sha });
    const list = async (query: object) => {
      const { data } = await octokit.checks.listForRef({ ...AT, ref: pull.head.sha, ...query });
      return data.check_runs.map((run) => run.external_id);
    };
    expect(await list({ check_name: "plan" })).toEqual(["two"]);
    expect(await list({ check_name: "plan", filter: "all" })).toEqual(["two", "one"]);
    expect(await list({})).toEqual(["", "two"]);
    expect(second.data.pull_requests.map((one) => one.number)).toEqual([pull.number]);
  });
});
