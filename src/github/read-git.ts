/** Commits, trees and files. A tree that GitHub truncates and bytes without the right hash are failures, never a part taken for the whole. */
import { failure, success } from "../core/result.ts";
import type { GithubCaller } from "./call.ts";
import type { CommitRef, GithubReader, GithubResult, TreeFile } from "./port.ts";
import * as shapes from "./shapes.ts";

const FOLDER_DEPTH_MAX = 32;
const REPOSITORY = "/repos/{owner}/{repo}";
const FILE_MODE = "100";
const LINK_MODE = "120000";

export function createGitReads(caller: GithubCaller): Pick<GithubReader, "branchHead" | "commit" | "files" | "blob"> {
  const { call } = caller;
  return {
    branchHead: (branch) =>
      call({
        what: `read branch ${branch}`,
        route: `GET ${REPOSITORY}/branches/{branch}`,
        parameters: { branch },
        answer: shapes.branchSchema,
        needs: "`contents: read`",
        isCached: true,
      }),
    commit: (sha) =>
      call({
        what: `read commit ${sha}`,
        route: `GET ${REPOSITORY}/git/commits/{commit_sha}`,
        parameters: { commit_sha: sha },
        answer: shapes.commitSchema,
        needs: "`contents: read`",
      }),
    files: (commit, folder) => listFiles(caller, commit, folder),
    blob: (blobSha) => readBlob(caller, blobSha),
  };
}

/** Goes down to the folder level by level, so that a truncated answer is about its own files and not about a large repository. */
async function listFiles(caller: GithubCaller, commit: CommitRef, folder: string): Promise<GithubResult<readonly TreeFile[]>> {
  const segments = folder.split("/").filter((segment) => segment !== "" && segment !== ".");
  if (segments.length > FOLDER_DEPTH_MAX) return refuseFolder(folder, `it is deeper than ${FOLDER_DEPTH_MAX} folders`);
  let treeSha = commit.treeSha;
  for (const segment of segments) {
    const level = await readTree(caller, treeSha, false);
    if (!level.ok) return level;
    const next = level.value.entries.find((entry) => entry.path === segment);
    if (next === undefined && level.value.isTruncated)
      return refuseFolder(folder, "a folder above it has more entries than GitHub lists");
    if (next === undefined) return success([]);
    if (next.type !== "tree")
      return refuseFolder(folder, `${segment} is a ${next.mode === LINK_MODE ? "symbolic link" : "file"}`);
    treeSha = next.sha;
  }
  const tree = await readTree(caller, treeSha, true);
  if (!tree.ok) return tree;
  if (tree.value.isTruncated) {
    const shown = tree.value.entries.length.toLocaleString("en-US");
    return refuseFolder(folder, `it has more files than GitHub lists in one answer (it stopped after ${shown})`);
  }
  const prefix = segments.length === 0 ? "" : `${segments.join("/")}/`;
  const files = tree.value.entries.filter(
    ({ type, mode }) => type === "blob" && (mode.startsWith(FILE_MODE) || mode === LINK_MODE),
  );
  return success(
    files.map(({ path, sha, bytes, mode }) => ({ path: `${prefix}${path}`, blobSha: sha, bytes, isLink: mode === LINK_MODE })),
  );
}

function readTree(caller: GithubCaller, treeSha: string, isRecursive: boolean): Promise<GithubResult<shapes.Tree>> {
  return caller.call({
    what: `list the tree ${treeSha}`,
    route: `GET ${REPOSITORY}/git/trees/{tree_sha}`,
    parameters: { tree_sha: treeSha, ...(isRecursive ? { recursive: "1" } : {}) },
    answer: shapes.treeSchema,
    needs: "`contents: read`",
  });
}

function refuseFolder(folder: string, why: string): GithubResult<never> {
  const message = `Could not list the files below ${folder}: ${why}. Keep the manifests in a folder of their own, and name it in the settings.`;
  return failure({ kind: "invalid", message, retryAt: null });
}

/** The bytes of a blob, which must have the hash that they were asked for by: what is kept for ever must be right. */
async function readBlob(caller: GithubCaller, blobSha: string): Promise<GithubResult<Uint8Array>> {
  const what = `read the file with blob ${blobSha}`;
  const blob = await caller.call({
    what,
    route: `GET ${REPOSITORY}/git/blobs/{file_sha}`,
    parameters: { file_sha: blobSha },
    answer: shapes.blobSchema,
    needs: "`contents: read`",
  });
  if (!blob.ok) return blob;
  const found = await hashBlob(blob.value);
  if (found === blobSha) return blob;
  const message = `Could not ${what}: the bytes that came have the hash ${found}. Try again.`;
  return failure({ kind: "unreachable", message, retryAt: null });
}

/** Git's name for a file's content: SHA-1 of `blob <length>`, a NUL, and the bytes. */
async function hashBlob(bytes: Uint8Array): Promise<string> {
  const header = new TextEncoder().encode(`blob ${bytes.byteLength}\0`);
  const whole = new Uint8Array(header.byteLength + bytes.byteLength);
  whole.set(header);
  whole.set(bytes, header.byteLength);
  const digest = await crypto.subtle.digest("SHA-1", whole);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
