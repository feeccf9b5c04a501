/** Check runs and their annotations as the REST API shows them. */
import { pullsOf, type Annotation, type CheckRun, type Repository } from "../state.ts";
import { isoTime, nodeId, showApp, type Schemas } from "./account.ts";
import { showPullMinimal } from "./issue.ts";
import { repositoryPage, repositoryUrl } from "./repository.ts";

export function showCheckRun(api: string, repo: Repository, run: CheckRun): Schemas["check-run"] {
  const url = `${repositoryUrl(api, repo)}/check-runs/${run.id}`;
  const page = `${repositoryPage(repo)}/runs/${run.id}`;
  return {
    id: run.id,
    name: run.name,
    node_id: nodeId("CR", run.id),
    head_sha: run.headSha,
    external_id: run.externalId ?? "",
    url,
    html_url: page,
    details_url: run.detailsUrl ?? page,
    status: run.status,
    conclusion: run.conclusion,
    started_at: isoTime(run.startedAtMs),
    completed_at: run.completedAtMs === null ? null : isoTime(run.completedAtMs),
    output: {
      title: run.title,
      summary: run.summary,
      text: run.text,
      annotations_count: run.annotations.length,
      annotations_url: `${url}/annotations`,
    },
    check_suite: { id: run.suiteId },
    app: showApp(api, run.app),
    pull_requests: pullsOf(repo)
      .filter(
        (pull) =>
          pull.issue.state === "open" && pull.head.sha === run.headSha && pull.head.repo === repo,
      )
      .map((pull) => showPullMinimal(api, pull)),
  };
}

export function showAnnotation(
  repo: Repository,
  run: CheckRun,
  annotation: Annotation,
): Schemas["check-annotation"] {
  return {
    ...annotation,
    blob_href: `${repositoryPage(repo)}/blob/${run.headSha}/${annotation.path}`,
  };
}
