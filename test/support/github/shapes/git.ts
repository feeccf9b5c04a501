/**
 * Git objects as the REST API shows them: commits, trees, blobs, refs, and the files that a pull
 * request or a commit changes.
 */
import type { Commit, FileChange } from "../git-objects.ts";
import { diffLines } from "../line-diff.ts";
import type { Account, Repository } from "../state.ts";
import { nodeId, showCommitter, type Schemas } from "./account.ts";
import { repositoryPage, repositoryUrl } from "./repository.ts";

const UNSIGNED = {
  verified: false,
  reason: "unsigned",
  signature: null,
  payload: null,
  verified_at: null,
};
/** Above it GitHub leaves the patch out. */
const PATCH_BYTES_MAX = 1_000_000;

export function showCommit(
  api: string,
  repo: Repository,
  commit: Commit,
  author: Account | null,
): Schemas["commit"] {
  const url = repositoryUrl(api, repo);
  return {
    sha: commit.sha,
    node_id: nodeId("C", commit.sha),
    commit: {
      author: { ...commit.author },
      committer: { ...commit.committer },
      message: commit.message,
      tree: { sha: commit.tree, url: `${url}/git/trees/${commit.tree}` },
      url: `${url}/git/commits/${commit.sha}`,
      comment_count: 0,
      verification: UNSIGNED,
    },
    url: `${url}/commits/${commit.sha}`,
    html_url: `${repositoryPage(repo)}/commit/${commit.sha}`,
    comments_url: `${url}/commits/${commit.sha}/comments`,
    author: showCommitter(api, author),
    committer: showCommitter(api, author),
    parents: commit.parents.map((sha) => ({
      sha,
      url: `${url}/commits/${sha}`,
      html_url: `${repositoryPage(repo)}/commit/${sha}`,
    })),
  };
}

export function showGitCommit(
  api: string,
  repo: Repository,
  commit: Commit,
): Schemas["git-commit"] {
  const url = repositoryUrl(api, repo);
  return {
    sha: commit.sha,
    node_id: nodeId("C", commit.sha),
    url: `${url}/git/commits/${commit.sha}`,
    html_url: `${repositoryPage(repo)}/commit/${commit.sha}`,
    author: { ...commit.author },
    committer: { ...commit.committer },
    tree: { sha: commit.tree, url: `${url}/git/trees/${commit.tree}` },
    message: commit.message,
    parents: commit.parents.map((sha) => ({
      sha,
      url: `${url}/git/commits/${sha}`,
      html_url: `${repositoryPage(repo)}/commit/${sha}`,
    })),
    verification: UNSIGNED,
  };
}

export function showBlob(
  api: string,
  repo: Repository,
  sha: string,
  bytes: Uint8Array,
): Schemas["blob"] {
  return {
    sha,
    node_id: nodeId("B", sha),
    size: bytes.length,
    url: `${repositoryUrl(api, repo)}/git/blobs/${sha}`,
    content: wrapBase64(bytes),
    encoding: "base64",
  };
}

/** GitHub breaks base64 into lines of 60 characters. */
export function wrapBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes)
    .toString("base64")
    .replace(/.{60}/g, "$&\n")
    .replace(/([^\n])$/, "$1\n");
}

export function showChange(
  api: string,
  repo: Repository,
  change: FileChange,
  sha: string,
): Schemas["diff-entry"] {
  const url = repositoryUrl(api, repo);
  const read = (blob: string | null) =>
    blob === null ? "" : new TextDecoder().decode(repo.objects.readBlob(blob) ?? new Uint8Array());
  const [before, after] = [read(change.before), read(change.after)];
  const diff =
    change.before === change.after
      ? { additions: 0, deletions: 0, patch: "" }
      : diffLines(before, after);
  const path = change.path.split("/").map(encodeURIComponent).join("/");
  const isShown = diff.patch !== "" && before.length + after.length <= PATCH_BYTES_MAX;
  return {
    sha: change.after ?? change.before,
    filename: change.path,
    status: change.status,
    additions: diff.additions,
    deletions: diff.deletions,
    changes: diff.additions + diff.deletions,
    blob_url: `${repositoryPage(repo)}/blob/${sha}/${path}`,
    raw_url: `${repositoryPage(repo)}/raw/${sha}/${path}`,
    contents_url: `${url}/contents/${path}?ref=${sha}`,
    ...(isShown ? { patch: diff.patch } : {}),
    ...(change.previousPath === null ? {} : { previous_filename: change.previousPath }),
  };
}
