/**
 * Changes of branches and pull requests: pushes, opening, merging, the merge queue; with the
 * webhooks they send and the test merges GitHub keeps.
 */
import type { Commit, Files } from "./git-objects.ts";
import { newIssueFields, setIssueState } from "./issue-changes.ts";
import { isoTime } from "./shapes/account.ts";
import { showCommit } from "./shapes/git.ts";
import { showPull } from "./shapes/issue.ts";
import { repositoryPage } from "./shapes/repository.ts";
import { commitsOf, pullsOf, type Account, type App, type Pull, type Repository } from "./state.ts";
import type { FakeParts } from "./world.ts";

export const NO_SHA = "0".repeat(40);
const PUSH_COMMITS_MAX = 20;

export type MergeMethod = "merge" | "squash" | "rebase";

export interface CommitFields {
  readonly files: Files;
  readonly message: string;
  readonly author: Account;
}

/** Writes a commit on top of the parent (or the first one, for `null`) and moves no branch. */
export function writeCommit(
  world: FakeParts,
  repo: Repository,
  parent: string | null,
  fields: CommitFields,
): Commit {
  const tree = repo.objects.changeTree(
    parent === null ? null : repo.objects.commit(parent).tree,
    fields.files,
  );
  return writeTreeCommit(world, repo, {
    tree,
    parents: parent === null ? [] : [parent],
    ...fields,
  });
}

function writeTreeCommit(
  world: FakeParts,
  repo: Repository,
  fields: {
    readonly tree: string;
    readonly parents: readonly string[];
    readonly message: string;
    readonly author: Account;
  },
): Commit {
  const person = { ...personOf(fields.author), date: isoTime(world.state.now()) };
  const { tree, parents, message } = fields;
  return repo.objects.writeCommit({ tree, parents, message, author: person, committer: person });
}

export function personOf(account: Account): { readonly name: string; readonly email: string } {
  return { name: account.login, email: `${account.id}+${account.login}@users.noreply.github.com` };
}

/** The account whose address a commit carries. */
export function authorOf(world: FakeParts, commit: Commit): Account | null {
  const id = Number(/^(\d+)\+.*@users\.noreply\.github\.com$/.exec(commit.author.email)?.[1]);
  return [...world.state.accounts.values()].find((account) => account.id === id) ?? null;
}

/**
 * Moves, makes or (with `null`) deletes a ref, and with it the pull requests that come from or go
 * to it. Sends `push`, then `synchronize`.
 */
export function moveRef(
  world: FakeParts,
  repo: Repository,
  ref: string,
  sha: string | null,
  by: Account,
): void {
  const before = repo.refs.get(ref) ?? null;
  if (before === sha) return;
  if (sha === null) repo.refs.delete(ref);
  else repo.refs.set(ref, sha);
  repo.pushedAtMs = world.state.now();
  world.emit({
    name: "push",
    repo,
    sender: by,
    payload: pushPayload(world, repo, ref, before, sha, by),
  });
  if (sha !== null)
    for (const pull of pullsFrom(world, repo, ref)) synchronize(world, pull, sha, by);
  for (const pull of pullsOf(repo)) {
    if (pull.issue.state === "open" && ref === `refs/heads/${pull.base.ref}`)
      writeTestMerge(world, pull);
  }
}

function pullsFrom(world: FakeParts, repo: Repository, ref: string): Pull[] {
  return [...world.state.repositories.values()]
    .flatMap(pullsOf)
    .filter(
      (pull) =>
        pull.issue.state === "open" &&
        pull.head.repo === repo &&
        `refs/heads/${pull.head.ref}` === ref,
    );
}

function synchronize(world: FakeParts, pull: Pull, sha: string, by: Account): void {
  const before = pull.head.sha;
  pull.head.sha = sha;
  pull.base.sha = pull.repo.refs.get(`refs/heads/${pull.base.ref}`) ?? pull.base.sha;
  pull.repo.refs.set(`refs/pull/${pull.number}/head`, sha);
  pull.issue.updatedAtMs = world.state.now();
  writeTestMerge(world, pull);
  emitPull(world, pull, "synchronize", by, { before, after: sha });
}

/**
 * `refs/pull/N/merge`: what the base would be with the pull request in it. Without one on a
 * conflict.
 */
function writeTestMerge(world: FakeParts, pull: Pull): void {
  const { repo } = pull;
  const base = repo.refs.get(`refs/heads/${pull.base.ref}`) ?? pull.base.sha;
  const tree = repo.objects.mergeTrees(base, pull.head.sha);
  pull.mergeable = tree !== null;
  if (tree === null) {
    pull.mergeCommitSha = null;
    repo.refs.delete(`refs/pull/${pull.number}/merge`);
    return;
  }
  const message = `Merge ${pull.head.sha} into ${base}`;
  const commit = writeTreeCommit(world, repo, {
    tree,
    parents: [base, pull.head.sha],
    message,
    author: pull.issue.author,
  });
  pull.mergeCommitSha = commit.sha;
  repo.refs.set(`refs/pull/${pull.number}/merge`, commit.sha);
}

export interface PullFields {
  readonly headRepo: Repository;
  readonly head: string;
  readonly base: string;
  readonly title: string;
  readonly body: string | null;
  readonly author: Account;
  readonly app: App | null;
  readonly draft: boolean;
}

/** @throws Error when a branch is missing: routes look before they call. */
export function openPull(world: FakeParts, repo: Repository, fields: PullFields): Pull {
  const headSha = fields.headRepo.refs.get(`refs/heads/${fields.head}`);
  const baseSha = repo.refs.get(`refs/heads/${fields.base}`);
  if (headSha === undefined || baseSha === undefined)
    throw new Error(`No branch ${fields.head} or ${fields.base}`);
  const shared = newIssueFields(world, repo, fields);
  const pull: Pull = {
    id: world.state.newId(),
    number: shared.number,
    repo,
    // The issue and its pull request point at each other; the issue is put in place right below.
    issue: undefined as unknown as Pull["issue"],
    head: { repo: fields.headRepo, ref: fields.head, sha: headSha },
    base: { ref: fields.base, sha: baseSha },
    draft: fields.draft,
    mergedAtMs: null,
    mergedBy: null,
    mergeCommitSha: null,
    mergeable: true,
  };
  const issue = Object.assign(shared, { pull });
  Object.assign(pull, { issue });
  repo.issues.set(issue.number, issue);
  repo.refs.set(`refs/pull/${pull.number}/head`, headSha);
  writeTestMerge(world, pull);
  emitPull(world, pull, "opened", fields.author, {});
  return pull;
}

export function setPullState(
  world: FakeParts,
  pull: Pull,
  state: "open" | "closed",
  by: Account,
): void {
  if (pull.issue.state === state) return;
  setIssueState(world, pull.issue, state, by);
  emitPull(world, pull, state === "open" ? "reopened" : "closed", by, {});
}

/**
 * Merges on the base branch. Sends `push` of the base branch, then `closed`. Gives the commit that
 * is the new head of the base, or `null` on a conflict.
 */
export function mergePull(
  world: FakeParts,
  pull: Pull,
  method: MergeMethod,
  by: Account,
): string | null {
  const ref = `refs/heads/${pull.base.ref}`;
  const base = pull.repo.refs.get(ref);
  if (base === undefined) return null;
  const sha = writeMerge(world, pull, method, by, base);
  if (sha !== null) landPull(world, pull, sha, by, () => moveRef(world, pull.repo, ref, sha, by));
  return sha;
}

function writeMerge(
  world: FakeParts,
  pull: Pull,
  method: MergeMethod,
  by: Account,
  base: string,
): string | null {
  const { repo, issue } = pull;
  const tree = repo.objects.mergeTrees(base, pull.head.sha);
  if (tree === null) return null;
  if (method === "merge") {
    const message = `Merge pull request #${pull.number} from ${pull.head.repo.owner.login}/${pull.head.ref}\n\n${issue.title}`;
    return writeTreeCommit(world, repo, {
      tree,
      parents: [base, pull.head.sha],
      message,
      author: by,
    }).sha;
  }
  if (method === "squash") {
    const message = `${issue.title} (#${pull.number})`;
    return writeTreeCommit(world, repo, { tree, parents: [base], message, author: issue.author })
      .sha;
  }
  return rebase(world, pull, base);
}

/**
 * Each commit of the pull request again, on top of the base; what it did to the tree is done to the
 * base's tree.
 */
function rebase(world: FakeParts, pull: Pull, base: string): string | null {
  const { objects } = pull.repo;
  let at = base;
  for (const sha of commitsOf(pull)) {
    const commit = objects.commit(sha);
    const [parent] = commit.parents;
    const leaves = objects.leaves(objects.commit(at).tree);
    const own = objects.leaves(commit.tree);
    for (const change of objects.diffTrees(
      parent === undefined ? null : objects.commit(parent).tree,
      commit.tree,
    )) {
      if (change.previousPath !== null) leaves.delete(change.previousPath);
      const leaf = own.get(change.path);
      if (leaf === undefined) leaves.delete(change.path);
      else leaves.set(change.path, leaf);
    }
    const fields = {
      tree: objects.writeLeaves(leaves),
      parents: [at],
      message: commit.message,
      author: pull.issue.author,
    };
    at = writeTreeCommit(world, pull.repo, fields).sha;
  }
  return at;
}

function landPull(
  world: FakeParts,
  pull: Pull,
  sha: string,
  by: Account,
  moveBase: () => void,
): void {
  pull.mergedAtMs = world.state.now();
  pull.mergedBy = by;
  pull.mergeCommitSha = sha;
  pull.repo.refs.delete(`refs/pull/${pull.number}/merge`);
  setIssueState(world, pull.issue, "closed", by);
  moveBase();
  emitPull(world, pull, "closed", by, {});
}

/**
 * Puts the pull request at the end of the queue: a branch `gh-readonly-queue/<base>/pr-<n>-<base
 * sha>` with its squash on top of those before it.
 */
export function enqueuePull(
  world: FakeParts,
  pull: Pull,
  by: Account,
): { readonly ref: string; readonly sha: string; readonly baseSha: string } {
  const { repo } = pull;
  const queued = repo.mergeQueue.findLast((entry) => entry.pull.base.ref === pull.base.ref);
  const baseSha = queued?.sha ?? repo.refs.get(`refs/heads/${pull.base.ref}`);
  const sha = baseSha === undefined ? null : writeMerge(world, pull, "squash", by, baseSha);
  if (baseSha === undefined || sha === null)
    throw new Error(`Pull request ${pull.number} cannot be queued: it conflicts with its base`);
  const ref = `refs/heads/gh-readonly-queue/${pull.base.ref}/pr-${pull.number}-${baseSha}`;
  const entry = { pull, ref, sha, baseSha };
  repo.mergeQueue.push(entry);
  moveRef(world, repo, ref, sha, by);
  const payload = { action: "checks_requested", merge_group: mergeGroup(world, entry) };
  world.emit({ name: "merge_group", repo, sender: by, payload });
  return entry;
}

/**
 * Lands everything in the queue up to the pull request with one push of the base branch. Gives its
 * new head.
 */
export function landQueue(world: FakeParts, pull: Pull, by: Account): string {
  const { repo } = pull;
  const at = repo.mergeQueue.findIndex((entry) => entry.pull === pull);
  if (at < 0) throw new Error(`Pull request ${pull.number} is not in the merge queue`);
  const landed = repo.mergeQueue.splice(0, at + 1);
  const head = landed.at(-1)?.sha ?? "";
  let isMoved = false;
  const moveBase = () => {
    if (!isMoved) moveRef(world, repo, `refs/heads/${pull.base.ref}`, head, by);
    isMoved = true;
  };
  for (const entry of landed) landPull(world, entry.pull, entry.sha, by, moveBase);
  for (const entry of landed) moveRef(world, repo, entry.ref, null, by);
  return head;
}

export function mergeGroup(
  world: FakeParts,
  entry: {
    readonly pull: Pull;
    readonly ref: string;
    readonly sha: string;
    readonly baseSha: string;
  },
) {
  const commit = entry.pull.repo.objects.commit(entry.sha);
  return {
    head_sha: entry.sha,
    head_ref: entry.ref,
    base_sha: entry.baseSha,
    base_ref: `refs/heads/${entry.pull.base.ref}`,
    head_commit: pushCommit(world, entry.pull.repo, commit),
  };
}

/**
 * Pull requests that GitHub names for a commit: on the default branch the merged ones that brought
 * it, elsewhere the open ones that have it.
 */
export function pullsForCommit(repo: Repository, sha: string): Pull[] {
  const head = repo.refs.get(`refs/heads/${repo.defaultBranch}`);
  const isOnDefault = head !== undefined && repo.objects.ancestors(head).has(sha);
  return pullsOf(repo).filter((pull) =>
    isOnDefault
      ? pull.mergedAtMs !== null && (pull.mergeCommitSha === sha || commitsOf(pull).includes(sha))
      : pull.issue.state === "open" && commitsOf(pull).includes(sha),
  );
}

function emitPull(
  world: FakeParts,
  pull: Pull,
  action: "opened" | "synchronize" | "closed" | "reopened",
  sender: Account,
  more: Readonly<Record<string, unknown>>,
): void {
  const payload = { action, number: pull.number, pull_request: showPull(world.api, pull), ...more };
  world.emit({ name: "pull_request", repo: pull.repo, sender, payload });
}

export function pushPayload(
  world: FakeParts,
  repo: Repository,
  ref: string,
  before: string | null,
  after: string | null,
  by: Account,
) {
  const { objects } = repo;
  const isForced = before !== null && after !== null && !objects.ancestors(after).has(before);
  const commits =
    after === null ? [] : newCommits(repo, ref, before, after).slice(-PUSH_COMMITS_MAX);
  return {
    ref,
    before: before ?? NO_SHA,
    after: after ?? NO_SHA,
    pusher: personOf(by),
    created: before === null,
    deleted: after === null,
    forced: isForced,
    base_ref: null,
    compare: `${repositoryPage(repo)}/compare/${(before ?? NO_SHA).slice(0, 12)}...${(after ?? NO_SHA).slice(0, 12)}`,
    commits: commits.map((commit) => pushCommit(world, repo, commit)),
    head_commit: after === null ? null : pushCommit(world, repo, objects.commit(after)),
  };
}

function newCommits(repo: Repository, ref: string, before: string | null, after: string): Commit[] {
  if (before !== null) return repo.objects.commitsBetween(before, after);
  const base = repo.refs.get(`refs/heads/${repo.defaultBranch}`);
  if (base !== undefined && ref !== `refs/heads/${repo.defaultBranch}`)
    return repo.objects.commitsBetween(base, after);
  return [...repo.objects.ancestors(after)].map((sha) => repo.objects.commit(sha)).toReversed();
}

function pushCommit(world: FakeParts, repo: Repository, commit: Commit) {
  const { objects } = repo;
  const parent = commit.parents[0];
  const changes = objects.diffTrees(
    parent === undefined ? null : objects.commit(parent).tree,
    commit.tree,
  );
  const author = authorOf(world, commit);
  const person = {
    name: commit.author.name,
    email: commit.author.email,
    ...(author ? { username: author.login } : {}),
  };
  const paths = (...statuses: readonly string[]) =>
    changes.filter((one) => statuses.includes(one.status)).map((one) => one.path);
  return {
    id: commit.sha,
    tree_id: commit.tree,
    distinct: true,
    message: commit.message,
    timestamp: commit.committer.date,
    url: showCommit(world.api, repo, commit, author).html_url,
    author: person,
    committer: person,
    added: paths("added", "renamed"),
    removed: [...paths("removed"), ...changes.flatMap((one) => one.previousPath ?? [])],
    modified: paths("modified"),
  };
}
