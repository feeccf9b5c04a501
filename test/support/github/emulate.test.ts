/**
 * A second opinion: the same calls against the fake and against `emulate`, which others wrote. Both
 * must answer with the same status, the same facts, and the fields that `emulate` has, of the same
 * types.
 *
 * Left out is what emulate does not have or does otherwise than GitHub: sizes of bodies and
 * annotations, files of pull requests, heads that move, commits/:sha/pulls, ETags, unknown tokens,
 * reactions. What the steps read is written before them, by calls that the product never makes.
 */
import { createEmulator, type Emulator } from "emulate";
import { Octokit } from "@octokit/rest";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { startFakeGitHub, type FakeGitHub } from "./index.ts";

const AT = { owner: "acme", repo: "data" };
const TOKEN = "second-opinion";
const MANIFEST = "name: orders\n";
const ORDERS = Buffer.from(MANIFEST).toString("base64");

interface Answered {
  readonly status: number;
  readonly data: unknown;
}

interface Step {
  readonly name: string;
  readonly call: (octokit: Octokit) => Promise<Answered>;
  /** The facts that must be equal, not only of one type. */
  readonly facts: (data: never) => unknown;
}

/** In order: later steps build on earlier ones. */
const STEPS: readonly Step[] = [
  step(
    "the caller",
    (o) => o.users.getAuthenticated(),
    ({ login, type }) => [login, type],
  ),
  step(
    "the tree",
    (o) => o.git.getTree({ ...AT, tree_sha: "main", recursive: "1" }),
    ({ tree, truncated }) => [
      truncated,
      tree
        .map(
          (entry: { path: string; mode: string; sha: string }) =>
            `${entry.mode} ${entry.path} ${entry.sha}`,
        )
        .toSorted(),
    ],
  ),
  step(
    "a blob",
    async (o) => o.git.getBlob({ ...AT, file_sha: await blobSha(o) }),
    (blob) => [blob.sha, blob.size, decode(blob.content)],
  ),
  step(
    "open pull requests",
    (o) => o.pulls.list({ ...AT, base: "main" }),
    (pulls) => pulls.map((pull: { number: number }) => pull.number),
  ),
  step(
    "no pull requests",
    (o) => o.pulls.list({ ...AT, state: "closed" }),
    (pulls) => pulls,
  ),
  step(
    "a comment",
    (o) => o.issues.createComment({ ...AT, issue_number: 1, body: "hello" }),
    ({ body, user }) => [body, user.login],
  ),
  step(
    "an edited comment",
    async (o) =>
      o.issues.updateComment({ ...AT, comment_id: await commentId(o), body: "hello again" }),
    ({ body }) => body,
  ),
  step(
    "a second comment",
    (o) => o.issues.createComment({ ...AT, issue_number: 1, body: "second" }),
    ({ body }) => body,
  ),
  step(
    "a page of comments",
    (o) => o.issues.listComments({ ...AT, issue_number: 1, per_page: 1, page: 2 }),
    (list) => list.map((one: { body: string }) => one.body),
  ),
  step(
    "a deleted comment",
    async (o) => o.issues.deleteComment({ ...AT, comment_id: await commentId(o) }),
    () => null,
  ),
  step(
    "an issue",
    (o) => o.issues.create({ ...AT, title: "Drift", body: "text", labels: ["drift"] }),
    ({ number, state, title, labels }) => [number, state, title, labels[0].name],
  ),
  step(
    "issues by label",
    (o) => o.issues.listForRepo({ ...AT, labels: "drift", state: "open" }),
    (list) => list.map((one: { number: number }) => one.number),
  ),
  step(
    "a closed issue",
    (o) => o.issues.update({ ...AT, issue_number: 2, state: "closed" }),
    ({ state, state_reason }) => [state, state_reason],
  ),
  step(
    "the owner's permission",
    (o) => o.repos.getCollaboratorPermissionLevel({ ...AT, username: "acme" }),
    ({ permission, role_name }) => [permission, role_name],
  ),
  step(
    "the pull request",
    (o) => o.pulls.get({ ...AT, pull_number: 1 }),
    ({ number, state, merged, head, base }) => [number, state, merged, head.label, base.ref],
  ),
];

// The answers are compared field by field at run time; their types are the fake's own business.
// oxlint-disable-next-line typescript/no-explicit-any
function step(name: string, call: Step["call"], facts: (data: any) => unknown): Step {
  return { name, call, facts };
}

function decode(content: string): string {
  return Buffer.from(content, "base64").toString();
}

/** Writes to emulate by its API what the steps read. The fake is scripted to hold the same. */
async function writeTo(octokit: Octokit): Promise<void> {
  const put = (path: string, branch: string) =>
    octokit.repos.createOrUpdateFileContents({
      ...AT,
      path,
      branch,
      message: "Add a manifest",
      content: ORDERS,
    });
  await put("manifests/orders.yaml", "main");
  const { data } = await octokit.git.getRef({ ...AT, ref: "heads/main" });
  await octokit.git.createRef({ ...AT, ref: "refs/heads/change", sha: data.object.sha });
  await put("manifests/carts.yaml", "change");
  await octokit.pulls.create({ ...AT, head: "change", base: "main", title: "Carts", body: "text" });
}

async function blobSha(octokit: Octokit): Promise<string> {
  const { data } = await octokit.git.getTree({ ...AT, tree_sha: "main", recursive: "1" });
  return data.tree.find((entry) => entry.path === "manifests/orders.yaml")?.sha ?? "";
}

async function commentId(octokit: Octokit): Promise<number> {
  return (await octokit.issues.listComments({ ...AT, issue_number: 1 })).data[0]?.id ?? 0;
}

let github: FakeGitHub;
let emulator: Emulator;
let clients: { readonly fake: Octokit; readonly emulate: Octokit };

beforeAll(async () => {
  github = await startFakeGitHub();
  github.createUser("acme");
  const repo = github.createRepo({
    owner: "acme",
    name: "data",
    files: { "README.md": "# data\n", "manifests/orders.yaml": MANIFEST },
  });
  github.openPull(repo, {
    head: "change",
    title: "Carts",
    body: "text",
    author: "acme",
    files: { "manifests/carts.yaml": MANIFEST },
  });
  const tokens = { [TOKEN]: { login: "acme", scopes: ["repo"] } };
  const seed = {
    tokens,
    github: { users: [{ login: "acme" }], repos: [{ owner: "acme", name: "data" }] },
  };
  emulator = await createEmulator({ service: "github", port: 0, seed });
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  clients = {
    fake: new Octokit({ auth: github.createUserToken("acme").value, baseUrl: github.url, log }),
    emulate: new Octokit({ auth: TOKEN, baseUrl: emulator.url, log }),
  };
  await writeTo(clients.emulate);
});

afterAll(async () => {
  await github.stop();
  await emulator.close();
});

async function answerOf(call: Promise<Answered>): Promise<Answered> {
  try {
    return await call;
  } catch (error) {
    const { status, response } = error as { status?: number; response?: { data: unknown } };
    if (status === undefined || response === undefined) throw error;
    return { status, data: response.data };
  }
}

/** `path: type` of every field; the first entry stands for a list. */
function shapeOf(value: unknown, path = ""): Map<string, string> {
  if (value === null || value === undefined) return new Map([[path, "null"]]);
  if (Array.isArray(value)) return new Map([[path, "array"], ...shapeOf(value[0], `${path}[]`)]);
  if (typeof value !== "object") return new Map([[path, typeof value]]);
  return new Map([
    [path, "object"],
    ...Object.entries(value).flatMap(([name, inner]) => [...shapeOf(inner, `${path}.${name}`)]),
  ]);
}

/** Null on either side says nothing about a type, nor about what would be inside. */
function agrees(shape: ReadonlyMap<string, string>, path: string, type: string): boolean {
  if (type === "null" || shape.get(path) === type) return true;
  return [...shape].some(
    ([own, ownType]) => ownType === "null" && (path === own || path.startsWith(`${own}.`)),
  );
}

/**
 * Fields that emulate has and GitHub's schema has not there: lists of pull requests are short, and
 * settings are for administrators.
 */
const OWN_FIELDS: readonly RegExp[] = [
  /\.repo\.(permissions|allow_\w+|delete_branch_on_merge)/,
  /^\.commit\.comment_count$/,
  /^\[\]\.(merged|mergeable|rebaseable|mergeable_state|comments|review_comments|maintainer_can_modify)$/,
  /^\[\]\.(commits|additions|deletions|changed_files)$/,
];

describe("the fake and emulate agree on", () => {
  it.each(STEPS)("$name", async ({ call, facts }) => {
    const ours = await answerOf(call(clients.fake));
    const theirs = await answerOf(call(clients.emulate));
    expect(ours.status).toBe(theirs.status);
    expect(facts(ours.data as never)).toEqual(facts(theirs.data as never));
    const shape = shapeOf(ours.data);
    const wrong = [...shapeOf(theirs.data)].filter(
      ([path, type]) => !agrees(shape, path, type) && !OWN_FIELDS.some((own) => own.test(path)),
    );
    expect(wrong).toEqual([]);
  });
});
