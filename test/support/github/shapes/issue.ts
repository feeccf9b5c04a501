/** Issues, pull requests, comments and reactions as the REST API shows them. */
import {
  changesOf,
  commentsOf,
  commitsOf,
  type Account,
  type Comment,
  type Issue,
  type Pull,
  type Repository,
} from "../state.ts";
import { isoTime, nodeId, showAccount, showApp, showLabel, type Schemas } from "./account.ts";
import { showChange } from "./git.ts";
import { repositoryPage, repositoryUrl, showRepository } from "./repository.ts";

const REACTIONS = ["+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes"] as const;
type ReactionName = (typeof REACTIONS)[number];

export function showIssue(api: string, repo: Repository, issue: Issue): Schemas["issue"] {
  const url = `${repositoryUrl(api, repo)}/issues/${issue.number}`;
  const page = issuePage(repo, issue);
  return {
    id: issue.id,
    node_id: nodeId("I", issue.id),
    url,
    repository_url: repositoryUrl(api, repo),
    labels_url: `${url}/labels{/name}`,
    comments_url: `${url}/comments`,
    events_url: `${url}/events`,
    html_url: page,
    number: issue.number,
    state: issue.state,
    state_reason: issue.stateReason,
    title: issue.title,
    body: issue.body,
    user: showAccount(api, issue.author),
    labels: showLabels(api, repo, issue),
    assignee: null,
    assignees: [],
    milestone: null,
    locked: false,
    active_lock_reason: null,
    comments: commentsOf(issue, repo).length,
    ...(issue.pull
      ? { pull_request: showPullLinks(api, repo, issue.pull), draft: issue.pull.draft }
      : {}),
    created_at: isoTime(issue.createdAtMs),
    updated_at: isoTime(issue.updatedAtMs),
    closed_at: issue.closedAtMs === null ? null : isoTime(issue.closedAtMs),
    closed_by: issue.closedBy === null ? null : showAccount(api, issue.closedBy),
    author_association: showAssociation(repo, issue.author),
    reactions: showReactionCounts(`${url}/reactions`, []),
    timeline_url: `${url}/timeline`,
    performed_via_github_app: issue.app === null ? null : showApp(api, issue.app),
  };
}

export function showComment(
  api: string,
  repo: Repository,
  comment: Comment,
): Schemas["issue-comment"] {
  const url = `${repositoryUrl(api, repo)}/issues/comments/${comment.id}`;
  return {
    url,
    html_url: `${issuePage(repo, comment.issue)}#issuecomment-${comment.id}`,
    issue_url: `${repositoryUrl(api, repo)}/issues/${comment.issue.number}`,
    id: comment.id,
    node_id: nodeId("IC", comment.id),
    user: showAccount(api, comment.author),
    created_at: isoTime(comment.createdAtMs),
    updated_at: isoTime(comment.updatedAtMs),
    author_association: showAssociation(repo, comment.author),
    body: comment.body,
    reactions: showReactionCounts(`${url}/reactions`, comment.reactions),
    performed_via_github_app: comment.app === null ? null : showApp(api, comment.app),
  };
}

export function showReaction(
  api: string,
  reaction: Comment["reactions"][number],
): Schemas["reaction"] {
  return {
    id: reaction.id,
    node_id: nodeId("REA", reaction.id),
    user: showAccount(api, reaction.account),
    content: reaction.content as ReactionName,
    created_at: isoTime(reaction.createdAtMs),
  };
}

export function isReaction(content: unknown): content is ReactionName {
  return REACTIONS.some((name) => name === content);
}

export function showPullSimple(api: string, pull: Pull): Schemas["pull-request-simple"] {
  const { repo, issue } = pull;
  const url = `${repositoryUrl(api, repo)}/pulls/${pull.number}`;
  const issueUrl = `${repositoryUrl(api, repo)}/issues/${pull.number}`;
  const statuses = `${repositoryUrl(api, repo)}/statuses/${pull.head.sha}`;
  const page = issuePage(repo, issue);
  return {
    url,
    id: pull.id,
    node_id: nodeId("PR", pull.id),
    html_url: page,
    diff_url: `${page}.diff`,
    patch_url: `${page}.patch`,
    issue_url: issueUrl,
    number: pull.number,
    state: issue.state,
    locked: false,
    title: issue.title,
    user: showAccount(api, issue.author),
    body: issue.body,
    created_at: isoTime(issue.createdAtMs),
    updated_at: isoTime(issue.updatedAtMs),
    closed_at: issue.closedAtMs === null ? null : isoTime(issue.closedAtMs),
    merged_at: pull.mergedAtMs === null ? null : isoTime(pull.mergedAtMs),
    merge_commit_sha: pull.mergeCommitSha,
    assignee: null,
    assignees: [],
    requested_reviewers: [],
    requested_teams: [],
    labels: showLabels(api, repo, issue).map((label) => ({
      ...label,
      description: label.description ?? "",
    })),
    milestone: null,
    draft: pull.draft,
    commits_url: `${url}/commits`,
    review_comments_url: `${url}/comments`,
    review_comment_url: `${repositoryUrl(api, repo)}/pulls/comments{/number}`,
    comments_url: `${issueUrl}/comments`,
    statuses_url: statuses,
    head: showSide(api, pull.head.repo, pull.head.ref, pull.head.sha),
    base: showSide(api, repo, pull.base.ref, pull.base.sha),
    _links: {
      self: { href: url },
      html: { href: page },
      issue: { href: issueUrl },
      comments: { href: `${issueUrl}/comments` },
      review_comments: { href: `${url}/comments` },
      review_comment: { href: `${repositoryUrl(api, repo)}/pulls/comments{/number}` },
      commits: { href: `${url}/commits` },
      statuses: { href: statuses },
    },
    author_association: showAssociation(repo, issue.author),
    auto_merge: null,
    active_lock_reason: null,
  };
}

export function showPull(api: string, pull: Pull): Schemas["pull-request"] {
  const { repo, issue } = pull;
  const files = changesOf(pull).map((change) => showChange(api, repo, change, pull.head.sha));
  const sum = (key: "additions" | "deletions") =>
    files.reduce((total, file) => total + file[key], 0);
  const isOpen = issue.state === "open";
  return {
    ...showPullSimple(api, pull),
    state: issue.state,
    user: showAccount(api, issue.author),
    labels: showLabels(api, repo, issue),
    requested_teams: [],
    head: showSide(api, pull.head.repo, pull.head.ref, pull.head.sha),
    base: showSide(api, repo, pull.base.ref, pull.base.sha),
    merged: pull.mergedAtMs !== null,
    mergeable: isOpen ? pull.mergeable : null,
    rebaseable: isOpen ? pull.mergeable : null,
    mergeable_state: isOpen ? (pull.mergeable ? "clean" : "dirty") : "unknown",
    merged_by: pull.mergedBy === null ? null : showAccount(api, pull.mergedBy),
    comments: commentsOf(issue, repo).length,
    review_comments: 0,
    maintainer_can_modify: false,
    commits: commitsOf(pull).length,
    additions: sum("additions"),
    deletions: sum("deletions"),
    changed_files: files.length,
  };
}

/** The short form inside check runs. */
export function showPullMinimal(api: string, pull: Pull): Schemas["pull-request-minimal"] {
  const side = (repo: Repository, ref: string, sha: string) => ({
    ref,
    sha,
    repo: { id: repo.id, url: repositoryUrl(api, repo), name: repo.name },
  });
  return {
    id: pull.id,
    number: pull.number,
    url: `${repositoryUrl(api, pull.repo)}/pulls/${pull.number}`,
    head: side(pull.head.repo, pull.head.ref, pull.head.sha),
    base: side(pull.repo, pull.base.ref, pull.base.sha),
  };
}

export function issuePage(repo: Repository, issue: Issue): string {
  return `${repositoryPage(repo)}/${issue.pull ? "pull" : "issues"}/${issue.number}`;
}

export function showAssociation(repo: Repository, account: Account): Schemas["author-association"] {
  if (repo.owner.login === account.login) return "OWNER";
  const role = repo.collaborators.get(account.login.toLowerCase());
  if (role !== undefined && role !== "none")
    return repo.owner.type === "Organization" ? "MEMBER" : "COLLABORATOR";
  const hasMerged = [...repo.issues.values()].some(
    (issue) => issue.author === account && issue.pull?.mergedAtMs,
  );
  return hasMerged ? "CONTRIBUTOR" : "NONE";
}

function showSide(api: string, repo: Repository, ref: string, sha: string) {
  return {
    label: `${repo.owner.login}:${ref}`,
    ref,
    sha,
    user: showAccount(api, repo.owner),
    // GitHub answers null for a fork that is gone; its own schema does not know.
    repo: repo.isDeleted ? (null as unknown as Schemas["repository"]) : showRepository(api, repo),
  };
}

function showLabels(api: string, repo: Repository, issue: Issue): Schemas["label"][] {
  return issue.labels.flatMap((name) => {
    const label = repo.labels.get(name.toLowerCase());
    return label ? [showLabel(repositoryUrl(api, repo), label)] : [];
  });
}

function showPullLinks(api: string, repo: Repository, pull: Pull) {
  const page = issuePage(repo, pull.issue);
  return {
    url: `${repositoryUrl(api, repo)}/pulls/${pull.number}`,
    html_url: page,
    diff_url: `${page}.diff`,
    patch_url: `${page}.patch`,
    merged_at: pull.mergedAtMs === null ? null : isoTime(pull.mergedAtMs),
  };
}

function showReactionCounts(
  url: string,
  reactions: readonly { readonly content: string }[],
): Schemas["reaction-rollup"] {
  const count = (name: ReactionName) => reactions.filter((one) => one.content === name).length;
  return {
    url,
    total_count: reactions.length,
    "+1": count("+1"),
    "-1": count("-1"),
    laugh: count("laugh"),
    hooray: count("hooray"),
    confused: count("confused"),
    heart: count("heart"),
    rocket: count("rocket"),
    eyes: count("eyes"),
  };
}
