/** Pull requests: list, read, files, commits, open, change, merge. */
import { answer, invalidFields, notFound, paginate, refuse, type Answer } from "../answers.ts";
import { authorOf, mergePull, openPull, setPullState, type MergeMethod } from "../pull-changes.ts";
import { appOf, callerOf, repoRoute, type RepoCall, type Route } from "../route.ts";
import { showChange, showCommit } from "../shapes/git.ts";
import { showPull, showPullSimple } from "../shapes/issue.ts";
import { changesOf, commitsOf, pullsOf, type Pull } from "../state.ts";
import { checkBody } from "./issues.ts";

/** GitHub lists no more files of a pull request, whatever the page. */
export const PULL_FILES_MAX = 3_000;
const PULL_COMMITS_MAX = 250;
const DOCS = "/pulls/pulls";

export const pullRoutes: readonly Route[] = [
  repoRoute("GET", "/pulls", ["pull_requests=read"], listPulls),
  repoRoute("POST", "/pulls", ["pull_requests=write"], createPull),
  repoRoute("GET", "/pulls/:number", ["pull_requests=read"], (call) =>
    withPull(call, (pull) => answer(200, showPull(call.world.api, pull))),
  ),
  repoRoute("PATCH", "/pulls/:number", ["pull_requests=write"], (call) =>
    withPull(call, (pull) => updatePull(call, pull)),
  ),
  repoRoute("GET", "/pulls/:number/files", ["pull_requests=read"], (call) =>
    withPull(call, (pull) => listFiles(call, pull)),
  ),
  repoRoute("GET", "/pulls/:number/commits", ["pull_requests=read"], (call) =>
    withPull(call, (pull) => listCommits(call, pull)),
  ),
  repoRoute("PUT", "/pulls/:number/merge", ["contents=write"], (call) =>
    withPull(call, (pull) => merge(call, pull)),
  ),
];

function withPull(call: RepoCall, act: (pull: Pull) => Answer): Answer {
  const pull = call.repo.issues.get(Number(call.params["number"]))?.pull;
  return pull ? act(pull) : notFound(`${DOCS}#get-a-pull-request`);
}

function listPulls({ world, repo, url }: RepoCall): Answer {
  const query = url.searchParams;
  const state = query.get("state") ?? "open";
  const sort = query.get("sort") ?? "created";
  const isAscending = (query.get("direction") ?? (sort === "created" ? "desc" : "asc")) === "asc";
  const [base, head] = [query.get("base"), query.get("head")];
  const found = pullsOf(repo)
    .filter((pull) => state === "all" || pull.issue.state === state)
    .filter((pull) => base === null || pull.base.ref === base)
    .filter((pull) => head === null || `${pull.head.repo.owner.login}:${pull.head.ref}` === head)
    .toSorted((a, b) => {
      const byTime =
        sort === "updated"
          ? a.issue.updatedAtMs - b.issue.updatedAtMs
          : a.issue.createdAtMs - b.issue.createdAtMs;
      return (isAscending ? 1 : -1) * (byTime || a.number - b.number);
    });
  const page = paginate(found, url);
  return answer(
    200,
    page.items.map((pull) => showPullSimple(world.api, pull)),
    page.headers,
  );
}

function createPull(call: RepoCall): Answer {
  const { world, repo, body } = call;
  const { title, head, base, body: text = null } = body;
  for (const field of ["title", "head", "base"]) {
    if (typeof body[field] !== "string")
      return invalidFields([{ resource: "PullRequest", code: "missing_field", field }], DOCS);
  }
  const tooLong = checkBody("PullRequest", text);
  if (tooLong) return tooLong;
  const [owner, branch] = String(head).includes(":")
    ? (String(head).split(":", 2) as [string, string])
    : [repo.owner.login, String(head)];
  const headRepo = [...world.state.repositories.values()].find(
    (one) => one.owner.login === owner && (one === repo || one.parent === repo),
  );
  if (!headRepo?.refs.has(`refs/heads/${branch}`))
    return invalidFields([{ resource: "PullRequest", field: "head", code: "invalid" }], DOCS);
  if (!repo.refs.has(`refs/heads/${String(base)}`))
    return invalidFields([{ resource: "PullRequest", field: "base", code: "invalid" }], DOCS);
  const refused = refuseDuplicate(call, branch, owner);
  if (refused) return refused;
  const pull = openPull(world, repo, {
    headRepo,
    head: branch,
    base: String(base),
    title: String(title),
    body: typeof text === "string" ? text : null,
    author: callerOf(call),
    app: appOf(call),
    draft: body["draft"] === true,
  });
  return answer(201, showPull(world.api, pull));
}

function refuseDuplicate({ repo, body }: RepoCall, branch: string, owner: string): Answer | null {
  const base = String(body["base"]);
  const known = pullsOf(repo).some(
    (pull) =>
      pull.issue.state === "open" &&
      pull.head.ref === branch &&
      pull.head.repo.owner.login === owner &&
      pull.base.ref === base,
  );
  if (known) {
    const message = `A pull request already exists for ${owner}:${branch}.`;
    return invalidFields([{ resource: "PullRequest", field: "", code: "custom", message }], DOCS);
  }
  const [from, to] = [repo.refs.get(`refs/heads/${base}`), repo.refs.get(`refs/heads/${branch}`)];
  if (from === undefined || to === undefined || from !== to) return null;
  const message = `No commits between ${base} and ${branch}`;
  return invalidFields([{ resource: "PullRequest", field: "", code: "custom", message }], DOCS);
}

function updatePull(call: RepoCall, pull: Pull): Answer {
  const { world, body } = call;
  const tooLong = checkBody("PullRequest", body["body"]);
  if (tooLong) return tooLong;
  if (typeof body["title"] === "string") pull.issue.title = body["title"];
  if (typeof body["body"] === "string") pull.issue.body = body["body"];
  if (body["state"] === "open" || body["state"] === "closed") {
    if (pull.mergedAtMs !== null)
      return invalidFields([{ resource: "PullRequest", field: "state", code: "invalid" }], DOCS);
    setPullState(world, pull, body["state"], callerOf(call));
  }
  pull.issue.updatedAtMs = world.state.now();
  return answer(200, showPull(world.api, pull));
}

function listFiles({ world, repo, url }: RepoCall, pull: Pull): Answer {
  const page = paginate(changesOf(pull).slice(0, PULL_FILES_MAX), url);
  return answer(
    200,
    page.items.map((change) => showChange(world.api, repo, change, pull.head.sha)),
    page.headers,
  );
}

function listCommits({ world, repo, url }: RepoCall, pull: Pull): Answer {
  const page = paginate(
    commitsOf(pull)
      .slice(0, PULL_COMMITS_MAX)
      .map((sha) => repo.objects.commit(sha)),
    url,
  );
  return answer(
    200,
    page.items.map((commit) => showCommit(world.api, repo, commit, authorOf(world, commit))),
    page.headers,
  );
}

function merge(call: RepoCall, pull: Pull): Answer {
  const { body, world } = call;
  const docs = `${DOCS}#merge-a-pull-request`;
  if (typeof body["sha"] === "string" && body["sha"] !== pull.head.sha) {
    return refuse(409, "Head branch was modified. Review and try the merge again.", docs);
  }
  if (pull.issue.state !== "open" || !pull.mergeable)
    return refuse(405, "Pull Request is not mergeable", docs);
  const method =
    body["merge_method"] === "squash" || body["merge_method"] === "rebase"
      ? body["merge_method"]
      : "merge";
  const sha = mergePull(world, pull, method satisfies MergeMethod, callerOf(call));
  return sha === null
    ? refuse(405, "Pull Request is not mergeable", docs)
    : answer(200, { sha, merged: true, message: "Pull Request successfully merged" });
}
