/**
 * Changes of issues, comments and labels, with the webhooks they send. Routes and scripts both use
 * them; limits are checked by the routes.
 */
import { showComment, showIssue } from "./shapes/issue.ts";
import type { Account, App, Comment, Issue, Label, Repository } from "./state.ts";
import type { FakeParts } from "./world.ts";

const LABEL_COLOR = "ededed";

export interface IssueFields {
  readonly author: Account;
  readonly app: App | null;
  readonly title: string;
  readonly body: string | null;
  readonly labels?: readonly string[];
}

export function createIssue(world: FakeParts, repo: Repository, fields: IssueFields): Issue {
  const issue: Issue = { ...newIssueFields(world, repo, fields), pull: null };
  repo.issues.set(issue.number, issue);
  return issue;
}

/**
 * The fields that issues and pull requests have in common, with the next number of the repository.
 */
export function newIssueFields(
  world: FakeParts,
  repo: Repository,
  fields: IssueFields,
): Omit<Issue, "pull"> {
  const now = world.state.now();
  for (const name of fields.labels ?? []) createLabel(world, repo, name);
  return {
    id: world.state.newId(),
    number: repo.nextNumber++,
    author: fields.author,
    app: fields.app,
    title: fields.title,
    body: fields.body,
    labels: [...(fields.labels ?? [])],
    state: "open",
    stateReason: null,
    createdAtMs: now,
    updatedAtMs: now,
    closedAtMs: null,
    closedBy: null,
  };
}

/** Closes or opens again; a call that changes nothing leaves the times alone. */
export function setIssueState(
  world: FakeParts,
  issue: Issue,
  state: "open" | "closed",
  by: Account,
  reason: Issue["stateReason"] = null,
): void {
  if (issue.state === state) return;
  const now = world.state.now();
  issue.state = state;
  issue.stateReason = issue.pull
    ? null
    : (reason ?? (state === "closed" ? "completed" : "reopened"));
  issue.closedAtMs = state === "closed" ? now : null;
  issue.closedBy = state === "closed" ? by : null;
  issue.updatedAtMs = now;
}

/** Labels that do not exist are made, as GitHub does for callers with push access. */
export function createLabel(
  world: FakeParts,
  repo: Repository,
  name: string,
  color = LABEL_COLOR,
  description: string | null = null,
): Label {
  const known = repo.labels.get(name.toLowerCase());
  if (known) return known;
  const label: Label = { id: world.state.newId(), name, color, description };
  repo.labels.set(name.toLowerCase(), label);
  return label;
}

export interface CommentFields {
  readonly author: Account;
  readonly app: App | null;
  readonly body: string;
}

export function createComment(
  world: FakeParts,
  repo: Repository,
  issue: Issue,
  fields: CommentFields,
): Comment {
  const now = world.state.now();
  const comment: Comment = {
    id: world.state.newId(),
    issue,
    author: fields.author,
    app: fields.app,
    createdAtMs: now,
    updatedAtMs: now,
    body: fields.body,
    bodies: [fields.body],
    reactions: [],
  };
  repo.comments.set(comment.id, comment);
  issue.updatedAtMs = now;
  emitComment(world, repo, comment, "created", fields.author, {});
  return comment;
}

export function updateComment(
  world: FakeParts,
  repo: Repository,
  comment: Comment,
  body: string,
  by: Account,
): void {
  const before = comment.body;
  comment.body = body;
  comment.bodies.push(body);
  comment.updatedAtMs = world.state.now();
  emitComment(world, repo, comment, "edited", by, { changes: { body: { from: before } } });
}

export function deleteComment(
  world: FakeParts,
  repo: Repository,
  comment: Comment,
  by: Account,
): void {
  repo.comments.delete(comment.id);
  emitComment(world, repo, comment, "deleted", by, {});
}

/** One reaction of a kind for each account: a second one gives back the first. */
export function addReaction(world: FakeParts, comment: Comment, account: Account, content: string) {
  const known = comment.reactions.find((one) => one.account === account && one.content === content);
  if (known) return { reaction: known, isNew: false };
  const reaction = { id: world.state.newId(), account, content, createdAtMs: world.state.now() };
  comment.reactions.push(reaction);
  return { reaction, isNew: true };
}

function emitComment(
  world: FakeParts,
  repo: Repository,
  comment: Comment,
  action: "created" | "edited" | "deleted",
  sender: Account,
  more: Readonly<Record<string, unknown>>,
): void {
  const payload = {
    action,
    issue: showIssue(world.api, repo, comment.issue),
    comment: showComment(world.api, repo, comment),
    ...more,
  };
  world.emit({ name: "issue_comment", repo, sender, payload });
}
