/**
 * Keeps the one issue of an alert: opens it, edits it when its text changes, closes it with a
 * comment when no drift is left, and reopens it instead of creating another.
 *
 * It is found by its marker and our own authorship, whatever people did to title and labels. One
 * that a person has closed stays closed until there is news.
 */
import { success } from "../model/result.ts";
import { CLOSED_MARKER, isSameBody, readTold, toldMarker } from "./markers.ts";
import type { GithubResult, GithubWriter, Issue } from "./port.ts";

export interface IssueRequest {
  /** Of `alertMarker`. */
  readonly marker: string;
  readonly title: string;
  /** Markdown, without the marker. */
  readonly body: string;
  /** Of what it tells; null when no drift is left. */
  readonly fingerprint: string | null;
  /** Set when the issue is made; later they are people's. */
  readonly labels: readonly string[];
  readonly isOpen: boolean;
  /** Said when the issue is closed. */
  readonly closingComment: string;
}

export type IssueOutcome =
  | {
      readonly kind: "created" | "updated" | "reopened" | "closed" | "unchanged";
      readonly issue: Issue;
    }
  /** There is none, and all is well. */
  | { readonly kind: "absent" };

export async function upsertIssue(
  writer: GithubWriter,
  request: IssueRequest,
): Promise<GithubResult<IssueOutcome>> {
  const own = await writer.issuesWith(request.marker);
  if (!own.ok) return own;
  const open = own.value.filter(({ state }) => state === "open");
  const issue = open[0] ?? own.value[0];
  for (const duplicate of open.slice(1)) {
    const closed = await closeIssue(
      writer,
      request,
      duplicate,
      `This repeats #${issue?.number ?? 0}, which continues.`,
    );
    if (!closed.ok) return closed;
  }
  if (!request.isOpen)
    return issue === undefined ? success({ kind: "absent" }) : settleIssue(writer, request, issue);
  return showIssue(writer, request, issue);
}

async function showIssue(
  writer: GithubWriter,
  { marker, title, body: text, labels, fingerprint }: IssueRequest,
  issue: Issue | undefined,
): Promise<GithubResult<IssueOutcome>> {
  const told = fingerprint === null ? "" : `\n${toldMarker(fingerprint)}\n`;
  const body = `${marker}\n\n${text}${told}`;
  if (issue === undefined) {
    const created = await writer.createIssue({ title, body, labels });
    return created.ok ? success({ kind: "created", issue: created.value }) : created;
  }
  // The same drifts, whatever else the text says of them: nobody has to hear of that again.
  const isTold = fingerprint !== null && readTold(issue.body) === fingerprint;
  if (isTold || isSameBody(issue.body, body)) return success({ kind: "unchanged", issue });
  const isClosed = issue.state === "closed";
  // The title stays as it is: people may have changed it, and it says nothing that changes.
  const updated = await writer.updateIssue(issue.number, {
    body,
    ...(isClosed ? { state: "open" } : {}),
  });
  return updated.ok
    ? success({ kind: isClosed ? "reopened" : "updated", issue: updated.value })
    : updated;
}

async function settleIssue(
  writer: GithubWriter,
  request: IssueRequest,
  issue: Issue,
): Promise<GithubResult<IssueOutcome>> {
  if (issue.state === "closed") return success({ kind: "unchanged", issue });
  const closed = await closeIssue(writer, request, issue, request.closingComment);
  return closed.ok ? success({ kind: "closed", issue: closed.value }) : closed;
}

/**
 * Says why first: an issue that was closed without a word would never get one. A hidden line tells
 * our closing from a person's.
 */
async function closeIssue(
  writer: GithubWriter,
  { marker }: IssueRequest,
  issue: Issue,
  comment: string,
): Promise<GithubResult<Issue>> {
  const said = await writer.commentOnIssue(issue.number, comment);
  if (!said.ok) return said;
  const rest = issue.body.split("\n").slice(1).join("\n");
  return writer.updateIssue(issue.number, {
    state: "closed",
    body: `${marker}\n${CLOSED_MARKER}\n${rest}`,
  });
}
