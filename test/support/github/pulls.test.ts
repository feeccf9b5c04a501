/**
 * Pull requests as a client sees them: heads that move, files, merges, the queue, and which pull
 * request a commit came from.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { startFakeGitHub, type FakeGitHub, type Pull, type Repository } from "./index.ts";
import { octokitFor, refusalOf } from "./octokit.ts";

const AT = { owner: "acme", repo: "data" };
const ORDERS = "name: orders\nshards: 8\nkey: customer\nskew: 2\n";
let github: FakeGitHub;
let repo: Repository;
let pull: Pull;
let octokit: ReturnType<typeof octokitFor>;

beforeEach(async () => {
  github = await startFakeGitHub({ limits: { isSecondaryOn: false } });
  repo = github.createRepo({
    ...AT,
    name: "data",
    private: true,
    files: { "manifests/orders.yaml": ORDERS, "manifests/carts.yaml": "name: carts\n" },
  });
  pull = github.openPull(repo, {
    head: "more/shards",
    title: "12 shards",
    files: { "manifests/orders.yaml": ORDERS.replace("8", "12") },
  });
  octokit = octokitFor(
    github,
    github.createActionsToken(repo, { contents: "read", pull_requests: "read" }),
  );
  return () => github.stop();
});

async function filesOf(number: number) {
  const files = await octokit.paginate(octokit.pulls.listFiles, {
    ...AT,
    pull_number: number,
    per_page: 100,
  });
  return files.map(({ filename, status, previous_filename, additions, deletions }) => ({
    filename,
    status,
    previous_filename,
    additions,
    deletions,
  }));
}

async function pullsOf(sha: string): Promise<number[]> {
  const { data } = await octokit.repos.listPullRequestsAssociatedWithCommit({
    ...AT,
    commit_sha: sha,
  });
  return data.map((one) => one.number);
}

describe("a push to a pull request", () => {
  it("moves its head, its files and its test merge", async () => {
    const before = await octokit.pulls.get({ ...AT, pull_number: pull.number });
    expect(before.data.head.sha).toBe(pull.head.sha);
    expect(await filesOf(pull.number)).toEqual([
      {
        filename: "manifests/orders.yaml",
        status: "modified",
        previous_filename: undefined,
        additions: 1,
        deletions: 1,
      },
    ]);
    const head = github.push(pull, {
      "manifests/basket.yaml": "name: carts\n",
      "manifests/carts.yaml": null,
    });
    const after = await octokit.pulls.get({ ...AT, pull_number: pull.number });
    expect(after.data.head.sha).toBe(head);
    expect(after.data.merge_commit_sha).not.toBe(before.data.merge_commit_sha);
    expect(after.data).toMatchObject({
      commits: 2,
      changed_files: 2,
      mergeable: true,
      merged: false,
    });
    expect(await filesOf(pull.number)).toEqual([
      {
        filename: "manifests/basket.yaml",
        status: "renamed",
        previous_filename: "manifests/carts.yaml",
        additions: 0,
        deletions: 0,
      },
      {
        filename: "manifests/orders.yaml",
        status: "modified",
        previous_filename: undefined,
        additions: 1,
        deletions: 1,
      },
    ]);
  });

  it("that is forced leaves nothing of what was there", async () => {
    const old = pull.head.sha;
    github.push(pull, { "manifests/new.yaml": "name: new\n" }, { isForced: true });
    expect((await filesOf(pull.number)).map((file) => file.filename)).toEqual([
      "manifests/new.yaml",
    ]);
    expect(await pullsOf(old)).toEqual([]);
    const push = JSON.parse((await github.webhooks.last("push")).body) as {
      forced: boolean;
      before: string;
    };
    expect(push).toMatchObject({ forced: true, before: old });
  });

  it("that conflicts takes the test merge away", async () => {
    github.commit(repo, { files: { "manifests/orders.yaml": "name: orders\nshards: 9\n" } });
    const { data } = await octokit.pulls.get({ ...AT, pull_number: pull.number });
    expect(data).toMatchObject({
      mergeable: false,
      mergeable_state: "dirty",
      merge_commit_sha: null,
    });
    expect(() => github.mergePull(pull)).toThrow(/conflicts/);
  });
});

describe("commits/:sha/pulls", () => {
  it.each(["squash", "merge", "rebase"] as const)(
    "names the pull request of a %s",
    async (method) => {
      expect(await pullsOf(pull.head.sha)).toEqual([pull.number]);
      const sha = github.mergePull(pull, { method });
      expect(await pullsOf(sha)).toEqual([pull.number]);
      const { data } = await octokit.pulls.get({ ...AT, pull_number: pull.number });
      expect(data).toMatchObject({
        state: "closed",
        merged: true,
        merge_commit_sha: sha,
        changed_files: 1,
      });
      const main = await octokit.git.getRef({ ...AT, ref: "heads/main" });
      expect(main.data.object.sha).toBe(sha);
      const content = await octokit.repos.getContent({
        ...AT,
        path: "manifests/orders.yaml",
        mediaType: { format: "raw" },
      });
      expect(content.data).toBe(ORDERS.replace("8", "12"));
    },
  );

  it("names none for a direct push, and refuses a commit that is not there", async () => {
    expect(await pullsOf(github.commit(repo, { files: { "a.txt": "a" } }))).toEqual([]);
    const request = octokit.repos.listPullRequestsAssociatedWithCommit({
      ...AT,
      commit_sha: "f".repeat(40),
    });
    expect(await refusalOf(request)).toMatchObject({
      status: 422,
      message: expect.stringContaining("No commit found for SHA") as string,
    });
  });

  it("names no pull request that was closed without a merge", async () => {
    const { sha } = pull.head;
    github.closePull(pull);
    expect(await pullsOf(sha)).toEqual([]);
    github.reopenPull(pull);
    expect(await pullsOf(sha)).toEqual([pull.number]);
  });
});

describe("the merge queue", () => {
  it("lands two pull requests with one push, each with a commit of its own", async () => {
    const other = github.openPull(repo, {
      head: "other",
      title: "Other",
      files: { "manifests/other.yaml": "name: other\n" },
    });
    const first = github.enqueue(pull);
    const second = github.enqueue(other);
    expect(second.ref).toBe(`refs/heads/gh-readonly-queue/main/pr-${other.number}-${first.sha}`);
    expect(
      (await octokit.git.getRef({ ...AT, ref: second.ref.slice("refs/".length) })).data.object.sha,
    ).toBe(second.sha);
    expect(github.landQueue(other)).toBe(second.sha);
    expect(await pullsOf(first.sha)).toEqual([pull.number]);
    expect(await pullsOf(second.sha)).toEqual([other.number]);
    expect(
      await refusalOf(octokit.git.getRef({ ...AT, ref: second.ref.slice("refs/".length) })),
    ).toMatchObject({ status: 404 });
    await github.webhooks.settled();
    const pushes = github.webhooks.deliveries.filter(
      (one) => one.event === "push" && one.body.includes('"ref":"refs/heads/main"'),
    );
    expect(pushes).toHaveLength(2); // the first commit of the repository, and the queue
  });
});

describe("lists", () => {
  it("have pages with links, a state, a base and an order", async () => {
    for (let one = 0; one < 4; one++)
      github.openPull(repo, { head: `more-${one}`, title: `More ${one}` });
    github.closePull(pull);
    const page = await octokit.pulls.list({ ...AT, per_page: 2, state: "all", direction: "asc" });
    expect(page.data.map((one) => one.number)).toEqual([1, 2]);
    expect(page.headers.link).toContain('page=2>; rel="next"');
    expect(page.headers.link).toContain('page=3>; rel="last"');
    const open = await octokit.paginate(octokit.pulls.list, { ...AT, per_page: 2 });
    expect(open.map((one) => one.number)).toEqual([5, 4, 3, 2]);
    expect((await octokit.pulls.list({ ...AT, base: "elsewhere" })).data).toEqual([]);
    expect(
      (await octokit.pulls.list({ ...AT, head: "acme:more-1" })).data.map((one) => one.number),
    ).toEqual([3]);
  });

  it("end at 3,000 files", async () => {
    const files = Object.fromEntries(
      Array.from({ length: 3_010 }, (_, at) => [
        `many/${String(at).padStart(5, "0")}.yaml`,
        `n: ${at}\n`,
      ]),
    );
    const large = github.openPull(repo, { head: "large", title: "Large", files });
    expect(await filesOf(large.number)).toHaveLength(3_000);
    expect((await octokit.pulls.get({ ...AT, pull_number: large.number })).data.changed_files).toBe(
      3_010,
    );
  });
});

describe("a fork", () => {
  it("is the head repository until it is deleted, and its content is readable", async () => {
    const fork = github.openPull(repo, {
      head: "evil",
      title: "From outside",
      fork: "mallory",
      files: { "manifests/evil.yaml": "name: evil\n" },
    });
    const { data } = await octokit.pulls.get({ ...AT, pull_number: fork.number });
    expect(data.head.repo).toMatchObject({ full_name: "mallory/data", fork: true });
    const content = await octokit.repos.getContent({
      ...AT,
      path: "manifests/evil.yaml",
      ref: data.head.sha,
      mediaType: { format: "raw" },
    });
    expect(content.data).toBe("name: evil\n");
    github.deleteRepo(fork.head.repo);
    expect(
      (await octokit.pulls.get({ ...AT, pull_number: fork.number })).data.head.repo,
    ).toBeNull();
  });
});

describe("trees and contents", () => {
  let small: FakeGitHub;
  beforeAll(async () => {
    small = await startFakeGitHub({ treeEntriesMax: 4 });
  });
  afterAll(() => small.stop());

  it("are truncated above the limit", async () => {
    const wide = small.createRepo({
      owner: "acme",
      name: "wide",
      files: { "a/1": "1", "a/2": "2", b: "3" },
    });
    const client = octokitFor(small, null);
    const where = { owner: "acme", repo: "wide", tree_sha: "main", recursive: "1" };
    const whole = await client.git.getTree(where);
    expect(whole.data.truncated).toBe(false);
    expect(whole.data.tree.map((entry) => `${entry.type} ${entry.path}`)).toEqual([
      "tree a",
      "blob a/1",
      "blob a/2",
      "blob b",
    ]);
    small.commit(wide, { files: { c: "4" } });
    const cut = await client.git.getTree(where);
    expect(cut.data.truncated).toBe(true);
    expect(cut.data.tree).toHaveLength(4);
  });

  it("leave content above 1 MB out, unless raw is asked for", async () => {
    const large = "x".repeat(1024 * 1024 + 1);
    github.commit(repo, { files: { "large.txt": large } });
    const where = { ...AT, path: "large.txt" };
    expect((await octokit.repos.getContent(where)).data).toMatchObject({
      encoding: "none",
      content: "",
      size: large.length,
    });
    expect((await octokit.repos.getContent({ ...where, mediaType: { format: "raw" } })).data).toBe(
      large,
    );
  });

  it("show links and submodules as what they are, and follow a link inside", async () => {
    const sha = github.commit(repo, {
      files: {
        inside: { linkTo: "manifests/orders.yaml" },
        outside: { linkTo: "/etc/passwd" },
        vendor: { submodule: "1".repeat(40) },
      },
    });
    const { data } = await octokit.git.getTree({ ...AT, tree_sha: sha });
    expect(data.tree.map(({ path, mode, type }) => `${mode} ${type} ${path}`)).toEqual([
      "120000 blob inside",
      "040000 tree manifests",
      "120000 blob outside",
      "160000 commit vendor",
    ]);
    const read = async (path: string) => (await octokit.repos.getContent({ ...AT, path })).data;
    expect(await read("inside")).toMatchObject({ type: "file", size: ORDERS.length });
    expect(await read("outside")).toMatchObject({ type: "symlink", target: "/etc/passwd" });
    expect(await read("vendor")).toMatchObject({ type: "submodule" });
  });

  it("show a file, a folder and a blob with the same SHA", async () => {
    const folder = await octokit.repos.getContent({ ...AT, path: "manifests" });
    const entries = folder.data as {
      readonly name: string;
      readonly sha: string;
      readonly type: string;
    }[];
    expect(entries.map(({ name, type }) => `${type} ${name}`)).toEqual([
      "file carts.yaml",
      "file orders.yaml",
    ]);
    const sha = entries[1]?.sha ?? "";
    const blob = await octokit.git.getBlob({ ...AT, file_sha: sha });
    expect(Buffer.from(blob.data.content, "base64").toString()).toBe(ORDERS);
    expect(
      (await octokit.repos.getContent({ ...AT, path: "manifests/orders.yaml" })).data,
    ).toMatchObject({
      sha,
      encoding: "base64",
    });
    expect(
      await refusalOf(octokit.repos.getContent({ ...AT, path: "manifests/none.yaml" })),
    ).toMatchObject({ status: 404 });
    expect(
      await refusalOf(octokit.repos.getContent({ ...AT, path: "manifests", ref: "none" })),
    ).toMatchObject({
      status: 404,
      message: expect.stringContaining("No commit found for the ref none") as string,
    });
  });
});
