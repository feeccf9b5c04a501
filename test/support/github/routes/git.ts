/** Branches, commits, trees and blobs, to be read. */
import { answer, notFound, paginate, refuse, type Answer } from "../answers.ts";
import type { TreeEntry } from "../git-objects.ts";
import { authorOf, pullsForCommit } from "../pull-changes.ts";
import { repoRoute, type RepoCall, type Route } from "../route.ts";
import { type Schemas } from "../shapes/account.ts";
import { showBlob, showCommit, showGitCommit } from "../shapes/git.ts";
import { showPullSimple } from "../shapes/issue.ts";
import { repositoryPage, repositoryUrl } from "../shapes/repository.ts";
import { resolveRef, type Repository } from "../state.ts";

const TREES_DOCS = "/git/trees#get-a-tree";
const COMMITS_DOCS = "/commits/commits";

export function gitRoutes(treeEntriesMax: number): readonly Route[] {
  return [
    repoRoute("GET", "/branches/:branch{.+}", ["contents=read"], getBranch),
    repoRoute("GET", "/git/trees/:tree{.+}", ["contents=read"], (call) =>
      getTree(call, treeEntriesMax),
    ),
    repoRoute("GET", "/git/blobs/:sha", ["contents=read"], getBlob),
    repoRoute("GET", "/git/commits/:sha", ["contents=read"], getGitCommit),
    repoRoute("GET", "/commits/:sha/pulls", ["pull_requests=read"], listPullsOfCommit),
  ];
}

function getBranch({ world, repo, params }: RepoCall): Answer {
  const name = params["branch"] ?? "";
  const sha = repo.refs.get(`refs/heads/${name}`);
  if (sha === undefined) return refuse(404, "Branch not found", "/branches/branches#get-a-branch");
  const commit = repo.objects.commit(sha);
  const url = `${repositoryUrl(world.api, repo)}/branches/${name}`;
  const body: Schemas["branch-with-protection"] = {
    name,
    commit: showCommit(world.api, repo, commit, authorOf(world, commit)),
    _links: { self: url, html: `${repositoryPage(repo)}/tree/${name}` },
    protected: false,
    protection: {
      enabled: false,
      required_status_checks: { enforcement_level: "off", contexts: [], checks: [] },
    },
    protection_url: `${url}/protection`,
  };
  return answer(200, body);
}

function getTree({ world, repo, params, url }: RepoCall, entriesMax: number): Answer {
  const name = params["tree"] ?? "";
  const commit = resolveRef(repo, name);
  const sha = commit === null ? name : repo.objects.commit(commit).tree;
  const root = repo.objects.readTree(sha);
  if (root === null) return notFound(TREES_DOCS);
  const entries = url.searchParams.has("recursive")
    ? walkTree(repo, root, "")
    : root.map((entry) => ({ ...entry, path: entry.name }));
  const repoUrl = repositoryUrl(world.api, repo);
  const body: Schemas["git-tree"] = {
    sha,
    url: `${repoUrl}/git/trees/${sha}`,
    tree: entries.slice(0, entriesMax).map((entry) => ({
      path: entry.path,
      mode: entry.mode,
      type: entry.type,
      sha: entry.sha,
      ...(entry.type === "blob" ? { size: repo.objects.readBlob(entry.sha)?.length ?? 0 } : {}),
      ...(entry.type === "commit" ? {} : { url: `${repoUrl}/git/${entry.type}s/${entry.sha}` }),
    })),
    truncated: entries.length > entriesMax,
  };
  return answer(200, body);
}

function walkTree(
  repo: Repository,
  entries: readonly TreeEntry[],
  prefix: string,
): (TreeEntry & { readonly path: string })[] {
  return entries.flatMap((entry) => {
    const path = prefix + entry.name;
    const inside =
      entry.type === "tree"
        ? walkTree(repo, repo.objects.readTree(entry.sha) ?? [], `${path}/`)
        : [];
    return [{ ...entry, path }, ...inside];
  });
}

function getBlob({ world, repo, params, headers }: RepoCall): Answer {
  const sha = params["sha"] ?? "";
  const bytes = repo.objects.readBlob(sha);
  if (bytes === null) return notFound("/git/blobs#get-a-blob");
  if (wantsRaw(headers))
    return answer(200, bytes, { "content-type": "application/vnd.github.raw+json; charset=utf-8" });
  return answer(200, showBlob(world.api, repo, sha, bytes));
}

function getGitCommit({ world, repo, params }: RepoCall): Answer {
  const commit = repo.objects.readCommit(params["sha"] ?? "");
  return commit === null
    ? notFound("/git/commits#get-a-commit-object")
    : answer(200, showGitCommit(world.api, repo, commit));
}

function listPullsOfCommit({ world, repo, params, url }: RepoCall): Answer {
  const sha = resolveRef(repo, params["sha"] ?? "");
  if (sha === null)
    return refuse(
      422,
      `No commit found for SHA: ${params["sha"] ?? ""}`,
      `${COMMITS_DOCS}#list-pull-requests-associated-with-a-commit`,
    );
  const page = paginate(pullsForCommit(repo, sha), url);
  return answer(
    200,
    page.items.map((pull) => showPullSimple(world.api, pull)),
    page.headers,
  );
}

function wantsRaw(headers: Headers): boolean {
  return /application\/vnd\.github(\.v3)?\.raw/.test(headers.get("accept") ?? "");
}
