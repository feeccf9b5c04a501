/** Pull requests: list, read, files. */
import { answer, notFound, paginate, type Answer } from "../answers.ts";
import { repoRoute, type RepoCall, type Route } from "../route.ts";
import { showChange } from "../shapes/git.ts";
import { showPull, showPullSimple } from "../shapes/issue.ts";
import { changesOf, pullsOf, type Pull } from "../state.ts";

/** GitHub lists no more files of a pull request, whatever the page. */
export const PULL_FILES_MAX = 3_000;
const DOCS = "/pulls/pulls";

export const pullRoutes: readonly Route[] = [
  repoRoute("GET", "/pulls", ["pull_requests=read"], listPulls),
  repoRoute("GET", "/pulls/:number", ["pull_requests=read"], (call) =>
    withPull(call, (pull) => answer(200, showPull(call.world.api, pull))),
  ),
  repoRoute("GET", "/pulls/:number/files", ["pull_requests=read"], (call) =>
    withPull(call, (pull) => listFiles(call, pull)),
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

function listFiles({ world, repo, url }: RepoCall, pull: Pull): Answer {
  const page = paginate(changesOf(pull).slice(0, PULL_FILES_MAX), url);
  return answer(
    200,
    page.items.map((change) => showChange(world.api, repo, change, pull.head.sha)),
    page.headers,
  );
}
