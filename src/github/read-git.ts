/**
 * Reads commits, trees and files. A truncated tree, or bytes with another hash, is a failure; a
 * part is never taken for the whole.
 */
import { bytesToHex } from "../model/bytes-to-hex.ts";
import { failure, success } from "../model/result.ts";
import type { GithubCaller } from "./call.ts";
import type { CommitRef, GithubReader, GithubResult, TreeFile } from "./port.ts";
import * as shapes from "./shapes.ts";

const FOLDER_DEPTH_MAX = 32;
const REPOSITORY = "/repos/{owner}/{repo}";
const FILE_MODE = "100";
const LINK_MODE = "120000";

export function createGitReads(
  caller: GithubCaller,
): Pick<GithubReader, "branchHead" | "commit" | "files" | "file" | "blob"> {
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
    file: (commit, path) => findFile(caller, commit, path),
    blob: (blobSha) => readBlob(caller, blobSha),
  };
}

/**
 * Goes down to the folder level by level, so that a truncated answer is about its own files and not
 * about a large repository.
 */
async function listFiles(
  caller: GithubCaller,
  commit: CommitRef,
  folder: string,
): Promise<GithubResult<readonly TreeFile[]>> {
  const segments = splitPath(folder);
  const found = await findEntry(caller, commit, segments);
  if (!found.ok) return found;
  if (found.value === null) return success([]);
  const { type, sha: treeSha } = found.value;
  if (type !== "tree") return refuseFolder(folder, "it is a file or a symbolic link");
  const tree = await readTree(caller, treeSha, true);
  if (!tree.ok) return tree;
  if (tree.value.isTruncated) {
    const shown = tree.value.entries.length.toLocaleString("en-US");
    return refuseFolder(
      folder,
      `it has more files than GitHub lists in one answer (it stopped after ${shown})`,
    );
  }
  const prefix = segments.length === 0 ? "" : `${segments.join("/")}/`;
  return success(
    tree.value.entries
      .filter((entry) => isFile(entry))
      .map((entry) => toFile(entry, `${prefix}${entry.path}`)),
  );
}

async function findFile(
  caller: GithubCaller,
  commit: CommitRef,
  path: string,
): Promise<GithubResult<TreeFile | null>> {
  const found = await findEntry(caller, commit, splitPath(path));
  if (!found.ok) return found;
  return success(found.value !== null && isFile(found.value) ? toFile(found.value, path) : null);
}

type Entry = shapes.Tree["entries"][number];

/** The tree or file at a path; null when there is none. */
async function findEntry(
  caller: GithubCaller,
  commit: CommitRef,
  segments: readonly string[],
): Promise<GithubResult<Entry | null>> {
  const path = segments.join("/");
  if (segments.length > FOLDER_DEPTH_MAX)
    return refuseFolder(path, `it is deeper than ${FOLDER_DEPTH_MAX} folders`);
  let entry: Entry = { path: "", mode: "040000", type: "tree", sha: commit.treeSha, bytes: 0 };
  for (const segment of segments) {
    if (entry.type !== "tree") return success(null);
    const level = await readTree(caller, entry.sha, false);
    if (!level.ok) return level;
    const next = level.value.entries.find((candidate) => candidate.path === segment);
    if (next === undefined) {
      return level.value.isTruncated
        ? refuseFolder(path, "a folder above it has more entries than GitHub lists")
        : success(null);
    }
    entry = next;
  }
  return success(entry);
}

function splitPath(path: string): string[] {
  return path.split("/").filter((segment) => segment !== "" && segment !== ".");
}

/** Files and links; submodules are neither. */
function isFile({ type, mode }: Entry): boolean {
  return type === "blob" && (mode.startsWith(FILE_MODE) || mode === LINK_MODE);
}

function toFile({ sha, bytes, mode }: Entry, path: string): TreeFile {
  return { path, blobSha: sha, bytes, isLink: mode === LINK_MODE };
}

function readTree(
  caller: GithubCaller,
  treeSha: string,
  isRecursive: boolean,
): Promise<GithubResult<shapes.Tree>> {
  return caller.call({
    what: `list the tree ${treeSha}`,
    route: `GET ${REPOSITORY}/git/trees/{tree_sha}`,
    parameters: { tree_sha: treeSha, ...(isRecursive ? { recursive: "1" } : {}) },
    answer: shapes.treeSchema,
    needs: "`contents: read`",
    isCached: !isRecursive,
  });
}

function refuseFolder(folder: string, why: string): GithubResult<never> {
  const message = `Could not list the files below ${folder}: ${why}. Keep the manifests in a folder of their own, and name it in the settings.`;
  return failure({ kind: "invalid", message, retryAt: null });
}

/**
 * The bytes of a blob, which must have the hash that they were asked for by: what is kept for ever
 * must be right.
 */
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
  return bytesToHex(new Uint8Array(await crypto.subtle.digest("SHA-1", whole)));
}
