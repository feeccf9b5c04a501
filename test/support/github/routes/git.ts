/** Branches, refs, commits, trees and blobs. */
import { answer, invalidFields, notFound, paginate, refuse, type Answer } from "../answers.ts";
import type { Commit, Leaf, TreeEntry } from "../git-objects.ts";
import { authorOf, moveRef, personOf, pullsForCommit } from "../pull-changes.ts";
import { callerOf, repoRoute, type RepoCall, type Route } from "../route.ts";
import { isoTime, type Schemas } from "../shapes/account.ts";
import { showBlob, showChange, showCommit, showGitCommit, showRef } from "../shapes/git.ts";
import { showPullSimple } from "../shapes/issue.ts";
import { repositoryPage, repositoryUrl } from "../shapes/repository.ts";
import { resolveRef, type Repository } from "../state.ts";

const REFS_DOCS = "/git/refs";
const TREES_DOCS = "/git/trees#get-a-tree";
const COMMITS_DOCS = "/commits/commits";

export function gitRoutes(treeEntriesMax: number): readonly Route[] {
  return [
    repoRoute("GET", "/branches/:branch{.+}", ["contents=read"], getBranch),
    repoRoute("GET", "/git/ref/:ref{.+}", ["contents=read"], getRef),
    repoRoute("GET", "/git/matching-refs/:ref{.+}", ["contents=read"], listMatchingRefs),
    repoRoute("POST", "/git/refs", ["contents=write"], createRef),
    repoRoute("PATCH", "/git/refs/:ref{.+}", ["contents=write"], updateRef),
    repoRoute("DELETE", "/git/refs/:ref{.+}", ["contents=write"], deleteRef),
    repoRoute("GET", "/git/trees/:tree{.+}", ["contents=read"], (call) =>
      getTree(call, treeEntriesMax),
    ),
    repoRoute("POST", "/git/trees", ["contents=write"], createTree),
    repoRoute("GET", "/git/blobs/:sha", ["contents=read"], getBlob),
    repoRoute("POST", "/git/blobs", ["contents=write"], createBlob),
    repoRoute("GET", "/git/commits/:sha", ["contents=read"], getGitCommit),
    repoRoute("POST", "/git/commits", ["contents=write"], createGitCommit),
    repoRoute("GET", "/commits", ["contents=read"], listCommits),
    repoRoute("GET", "/commits/:sha/pulls", ["pull_requests=read"], listPullsOfCommit),
    // After the longer paths that begin in the same way: hono takes the first route that fits.
    repoRoute("GET", "/commits/:ref{.+}", ["contents=read"], getCommit),
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

function getRef({ world, repo, params }: RepoCall): Answer {
  const ref = `refs/${params["ref"] ?? ""}`;
  const sha = repo.refs.get(ref);
  return sha === undefined
    ? notFound(`${REFS_DOCS}#get-a-reference`)
    : answer(200, showRef(world.api, repo, ref, sha));
}

function listMatchingRefs({ world, repo, params, url }: RepoCall): Answer {
  const found = [...repo.refs]
    .filter(([ref]) => ref.startsWith(`refs/${params["ref"] ?? ""}`))
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  const page = paginate(found, url);
  return answer(
    200,
    page.items.map(([ref, sha]) => showRef(world.api, repo, ref, sha)),
    page.headers,
  );
}

function createRef(call: RepoCall): Answer {
  const { world, repo, body } = call;
  const { ref, sha } = body;
  if (typeof ref !== "string" || !/^refs\/.+\/.+/.test(ref))
    return refuse(
      422,
      "Reference name must start with 'refs/' and contain two slashes.",
      REFS_DOCS,
    );
  if (typeof sha !== "string" || repo.objects.readCommit(sha) === null)
    return refuse(422, "Object does not exist", REFS_DOCS);
  if (repo.refs.has(ref)) return refuse(422, "Reference already exists", REFS_DOCS);
  moveRef(world, repo, ref, sha, callerOf(call));
  return answer(201, showRef(world.api, repo, ref, sha));
}

function updateRef(call: RepoCall): Answer {
  const { world, repo, body, params } = call;
  const ref = `refs/${params["ref"] ?? ""}`;
  const before = repo.refs.get(ref);
  const { sha } = body;
  if (before === undefined) return refuse(422, "Reference does not exist", REFS_DOCS);
  if (typeof sha !== "string" || repo.objects.readCommit(sha) === null)
    return refuse(422, "Object does not exist", REFS_DOCS);
  if (body["force"] !== true && !repo.objects.ancestors(sha).has(before))
    return refuse(422, "Update is not a fast forward", REFS_DOCS);
  moveRef(world, repo, ref, sha, callerOf(call));
  return answer(200, showRef(world.api, repo, ref, sha));
}

function deleteRef(call: RepoCall): Answer {
  const ref = `refs/${call.params["ref"] ?? ""}`;
  if (!call.repo.refs.has(ref)) return refuse(422, "Reference does not exist", REFS_DOCS);
  moveRef(call.world, call.repo, ref, null, callerOf(call));
  return answer(204, null);
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

function createTree({ world, repo, body }: RepoCall): Answer {
  const { base_tree: base, tree } = body;
  if (!Array.isArray(tree))
    return invalidFields([{ resource: "Tree", field: "tree", code: "missing_field" }]);
  const baseTree = typeof base === "string" ? (repo.objects.readCommit(base)?.tree ?? base) : null;
  if (baseTree !== null && repo.objects.readTree(baseTree) === null)
    return refuse(422, "base_tree is not a valid tree oid");
  const leaves = baseTree === null ? new Map<string, Leaf>() : repo.objects.leaves(baseTree);
  for (const entry of tree as readonly {
    path: string;
    mode?: Leaf["mode"];
    sha?: string | null;
    content?: string;
  }[]) {
    if (entry.sha === null) leaves.delete(entry.path);
    else
      leaves.set(entry.path, {
        mode: entry.mode ?? "100644",
        sha: entry.sha ?? repo.objects.writeBlob(entry.content ?? ""),
      });
  }
  const sha = repo.objects.writeLeaves(leaves);
  const url = `${repositoryUrl(world.api, repo)}/git/trees/${sha}`;
  const entries = (repo.objects.readTree(sha) ?? []).map(({ name, ...entry }) => ({
    path: name,
    ...entry,
  }));
  return answer(201, { sha, url, tree: entries, truncated: false } satisfies Schemas["git-tree"]);
}

function getBlob({ world, repo, params, headers }: RepoCall): Answer {
  const sha = params["sha"] ?? "";
  const bytes = repo.objects.readBlob(sha);
  if (bytes === null) return notFound("/git/blobs#get-a-blob");
  if (wantsRaw(headers))
    return answer(200, bytes, { "content-type": "application/vnd.github.raw+json; charset=utf-8" });
  return answer(200, showBlob(world.api, repo, sha, bytes));
}

function createBlob({ world, repo, body }: RepoCall): Answer {
  if (typeof body["content"] !== "string")
    return invalidFields([{ resource: "Blob", field: "content", code: "missing_field" }]);
  const sha = repo.objects.writeBlob(
    body["encoding"] === "base64" ? Buffer.from(body["content"], "base64") : body["content"],
  );
  return answer(201, {
    sha,
    url: `${repositoryUrl(world.api, repo)}/git/blobs/${sha}`,
  } satisfies Schemas["short-blob"]);
}

function getGitCommit({ world, repo, params }: RepoCall): Answer {
  const commit = repo.objects.readCommit(params["sha"] ?? "");
  return commit === null
    ? notFound("/git/commits#get-a-commit-object")
    : answer(200, showGitCommit(world.api, repo, commit));
}

function createGitCommit(call: RepoCall): Answer {
  const { world, repo, body } = call;
  const { message, tree, parents = [] } = body;
  if (typeof message !== "string")
    return invalidFields([{ resource: "Commit", field: "message", code: "missing_field" }]);
  if (typeof tree !== "string" || repo.objects.readTree(tree) === null)
    return refuse(422, "Tree SHA does not exist");
  const known = (parents as readonly string[]).every(
    (sha) => repo.objects.readCommit(sha) !== null,
  );
  if (!known) return refuse(422, "Parent SHA does not exist or is not a commit object");
  const person = { ...personOf(callerOf(call)), date: isoTime(world.state.now()) };
  const commit = repo.objects.writeCommit({
    message,
    tree,
    parents: parents as readonly string[],
    author: person,
    committer: person,
  });
  return answer(201, showGitCommit(world.api, repo, commit));
}

function listCommits({ world, repo, url }: RepoCall): Answer {
  const name = url.searchParams.get("sha") ?? repo.defaultBranch;
  const head = resolveRef(repo, name);
  if (head === null)
    return repo.refs.size === 0
      ? refuse(409, "Git Repository is empty.", COMMITS_DOCS)
      : notFound(COMMITS_DOCS);
  const path = url.searchParams.get("path");
  const commits = [...repo.objects.ancestors(head)].map((sha) => repo.objects.commit(sha));
  const touching =
    path === null ? commits : commits.filter((commit) => touches(repo, commit, path));
  const page = paginate(touching, url);
  return answer(
    200,
    page.items.map((commit) => showCommit(world.api, repo, commit, authorOf(world, commit))),
    page.headers,
  );
}

function touches(repo: Repository, commit: Commit, path: string): boolean {
  const parent = commit.parents[0];
  const changes = repo.objects.diffTrees(
    parent === undefined ? null : repo.objects.commit(parent).tree,
    commit.tree,
  );
  return changes.some((change) =>
    [change.path, change.previousPath].some((one) => one === path || one?.startsWith(`${path}/`)),
  );
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

function getCommit({ world, repo, params, headers }: RepoCall): Answer {
  const name = params["ref"] ?? "";
  const sha = resolveRef(repo, name);
  if (sha === null)
    return refuse(422, `No commit found for SHA: ${name}`, `${COMMITS_DOCS}#get-a-commit`);
  if (headers.get("accept")?.includes("sha"))
    return answer(200, sha, { "content-type": "application/vnd.github.sha; charset=utf-8" });
  const commit = repo.objects.commit(sha);
  const parent = commit.parents[0];
  const changes = repo.objects.diffTrees(
    parent === undefined ? null : repo.objects.commit(parent).tree,
    commit.tree,
  );
  const files = changes.map((change) => showChange(world.api, repo, change, sha));
  const sum = (key: "additions" | "deletions") =>
    files.reduce((total, file) => total + file[key], 0);
  const body: Schemas["commit"] = {
    ...showCommit(world.api, repo, commit, authorOf(world, commit)),
    stats: {
      total: sum("additions") + sum("deletions"),
      additions: sum("additions"),
      deletions: sum("deletions"),
    },
    files,
  };
  return answer(200, body);
}

export function wantsRaw(headers: Headers): boolean {
  return /application\/vnd\.github(\.v3)?\.raw/.test(headers.get("accept") ?? "");
}
