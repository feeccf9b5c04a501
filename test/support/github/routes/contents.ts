/**
 * Files and directories by path, in the forms that the `Accept` header asks for, and their 1 MB,
 * 100 MB and 1,000 files rules.
 */
import { posix } from "node:path";

import { answer, invalidFields, notFound, refuse, type Answer } from "../answers.ts";
import type { TreeEntry } from "../git-objects.ts";
import { authorOf, moveRef, writeCommit } from "../pull-changes.ts";
import { callerOf, repoRoute, type RepoCall, type Route } from "../route.ts";
import type { Schemas } from "../shapes/account.ts";
import { showCommit, wrapBase64 } from "../shapes/git.ts";
import { repositoryPage, repositoryUrl } from "../shapes/repository.ts";
import { resolveRef, type Repository } from "../state.ts";
import { wantsRaw } from "./git.ts";

const INLINE_BYTES_MAX = 1024 * 1024;
const RAW_BYTES_MAX = 100 * 1024 * 1024;
const DIRECTORY_ENTRIES_MAX = 1_000;
const DOCS = "/repos/contents#get-repository-content";

export const contentRoutes: readonly Route[] = [
  repoRoute("GET", "/contents", ["contents=read"], getContent),
  repoRoute("GET", "/contents/:path{.*}", ["contents=read"], getContent),
  repoRoute("PUT", "/contents/:path{.+}", ["contents=write"], putContent),
];

function getContent(call: RepoCall): Answer {
  const { repo, params, url, headers } = call;
  const ref = url.searchParams.get("ref") ?? repo.defaultBranch;
  const commit = resolveRef(repo, ref);
  if (commit === null)
    return repo.refs.size === 0
      ? refuse(404, "This repository is empty.", DOCS)
      : refuse(404, `No commit found for the ref ${ref}`, DOCS);
  const path = (params["path"] ?? "").replace(/^\/+|\/+$/g, "");
  const { tree } = repo.objects.commit(commit);
  const named = findEntry(repo, tree, path);
  if (named === null) return notFound(DOCS);
  if (named.type === "tree") return showDirectory(call, path, named.sha, ref);
  if (named.type === "commit") return answer(200, showSubmodule(call, path, named.sha, ref));
  // A link to a file of the repository is followed; another one is shown as a link.
  const target =
    named.mode === "120000"
      ? new TextDecoder().decode(repo.objects.readBlob(named.sha) ?? undefined)
      : null;
  const found =
    target === null ? named : findEntry(repo, tree, posix.join(posix.dirname(path), target));
  if (target !== null && found?.mode !== "100644")
    return answer(200, showLink(call, path, named.sha, ref, target));
  if (found === null) return notFound(DOCS);
  const bytes = repo.objects.readBlob(found.sha) ?? new Uint8Array();
  if (bytes.length > RAW_BYTES_MAX) {
    const message = `This API returns blobs up to 100 MB in size. The requested blob is too large to fetch via the API.`;
    return refuse(403, message, DOCS, {
      errors: [{ resource: "Blob", field: "data", code: "too_large" }],
    });
  }
  if (wantsRaw(headers))
    return answer(200, bytes, { "content-type": "application/vnd.github.raw+json; charset=utf-8" });
  return answer(200, showFile(call, path, found.sha, ref, bytes));
}

type Entry = Pick<TreeEntry, "mode" | "type" | "sha">;

/** The entry at a path; the root for an empty one. */
function findEntry(repo: Repository, tree: string, path: string): Entry | null {
  let at: Entry = { mode: "040000", type: "tree", sha: tree };
  for (const name of path === "" ? [] : path.split("/")) {
    const next = repo.objects.readTree(at.sha)?.find((entry) => entry.name === name);
    if (!next) return null;
    at = next;
  }
  return at;
}

/** Above 1 MB the content is left out, with the encoding `none`. */
function showFile(
  call: RepoCall,
  path: string,
  sha: string,
  ref: string,
  bytes: Uint8Array,
): Schemas["content-file"] {
  const isInline = bytes.length <= INLINE_BYTES_MAX;
  return {
    ...entryLinks(call, path, sha, ref, "file"),
    type: "file",
    size: bytes.length,
    content: isInline ? wrapBase64(bytes) : "",
    encoding: isInline ? "base64" : "none",
  };
}

function showLink(
  call: RepoCall,
  path: string,
  sha: string,
  ref: string,
  target: string,
): Schemas["content-symlink"] {
  return {
    ...entryLinks(call, path, sha, ref, "file"),
    type: "symlink",
    size: target.length,
    target,
  };
}

function showSubmodule(
  call: RepoCall,
  path: string,
  sha: string,
  ref: string,
): Schemas["content-submodule"] {
  return {
    ...entryLinks(call, path, sha, ref, "dir"),
    type: "submodule",
    size: 0,
    submodule_git_url: "https://example.com/vendor.git",
  };
}

function showDirectory(call: RepoCall, path: string, tree: string, ref: string): Answer {
  const { repo, headers } = call;
  const entries = (repo.objects.readTree(tree) ?? [])
    .slice(0, DIRECTORY_ENTRIES_MAX)
    .map((entry) => {
      const type = entry.type === "tree" ? "dir" : entry.mode === "120000" ? "symlink" : "file";
      const inner = path === "" ? entry.name : `${path}/${entry.name}`;
      const size = entry.type === "blob" ? (repo.objects.readBlob(entry.sha)?.length ?? 0) : 0;
      return {
        ...entryLinks(call, inner, entry.sha, ref, entry.type === "blob" ? "file" : "dir"),
        type,
        size,
      } as const;
    });
  if (!/application\/vnd\.github(\.v3)?\.object/.test(headers.get("accept") ?? ""))
    return answer(200, entries satisfies Schemas["content-directory"]);
  const body: Schemas["content-tree"] = {
    ...entryLinks(call, path, tree, ref, "dir"),
    type: "dir",
    size: 0,
    entries,
  };
  return answer(200, body);
}

function entryLinks(
  { world, repo }: RepoCall,
  path: string,
  sha: string,
  ref: string,
  type: "file" | "dir",
) {
  const encoded = path.split("/").map(encodeURIComponent).join("/");
  const url = `${repositoryUrl(world.api, repo)}/contents/${encoded}?ref=${encodeURIComponent(ref)}`;
  const git = `${repositoryUrl(world.api, repo)}/git/${type === "dir" ? "trees" : "blobs"}/${sha}`;
  const html = `${repositoryPage(repo)}/${type === "dir" ? "tree" : "blob"}/${ref}/${encoded}`;
  const raw = `https://raw.githubusercontent.com/${repo.owner.login}/${repo.name}/${ref}/${encoded}`;
  return {
    name: path.slice(path.lastIndexOf("/") + 1),
    path,
    sha,
    url,
    html_url: html,
    git_url: git,
    download_url: type === "dir" ? null : raw,
    _links: { self: url, git, html },
  };
}

/** Makes or changes one file on a branch: a change needs the SHA of the blob it replaces. */
function putContent(call: RepoCall): Answer {
  const { world, repo, params, body } = call;
  const { message, content, sha } = body;
  if (typeof message !== "string" || typeof content !== "string") {
    return invalidFields([
      {
        resource: "Commit",
        field: typeof message === "string" ? "content" : "message",
        code: "missing_field",
      },
    ]);
  }
  const branch = typeof body["branch"] === "string" ? body["branch"] : repo.defaultBranch;
  const head = repo.refs.get(`refs/heads/${branch}`) ?? null;
  if (head === null && repo.refs.size > 0) return refuse(404, `Branch ${branch} not found`, DOCS);
  const path = params["path"] ?? "";
  const known = head === null ? null : findEntry(repo, repo.objects.commit(head).tree, path);
  if (known !== null && sha === undefined)
    return refuse(422, `Invalid request.\n\n"sha" wasn't supplied.`, DOCS);
  if (known !== null && sha !== known.sha)
    return refuse(409, `${path} does not match ${String(sha)}`, DOCS);
  const bytes = Buffer.from(content, "base64");
  const author = callerOf(call);
  const commit = writeCommit(world, repo, head, { files: { [path]: bytes }, message, author });
  moveRef(world, repo, `refs/heads/${branch}`, commit.sha, author);
  const blob = repo.objects.writeBlob(bytes);
  const shown = showCommit(world.api, repo, commit, authorOf(world, commit));
  return answer(known === null ? 201 : 200, {
    content: { ...entryLinks(call, path, blob, branch, "file"), type: "file", size: bytes.length },
    commit: {
      ...shown.commit,
      sha: commit.sha,
      node_id: shown.node_id,
      url: shown.commit.url,
      html_url: shown.html_url,
      parents: shown.parents,
    },
  });
}
