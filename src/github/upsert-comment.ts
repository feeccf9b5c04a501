/**
 * Keeps the one comment of a pull request and an environment: creates it, updates it in place,
 * creates it again when it was deleted, and never has two.
 *
 * Shas have no order, so the pull request itself says which commit is the newest: its head is read
 * again right before every write, and a plan of another commit is not posted. Two writers may still
 * create at the same moment; both look again afterwards, and both keep the oldest.
 */
import { failure, success } from "../model/result.ts";
import { headMarker, isSameBody } from "./markers.ts";
import type { Comment, GithubFailure, GithubResult, GithubWriter } from "./port.ts";
import { BODY_LENGTH_MAX } from "./writes.ts";

export interface CommentRequest {
  readonly pull: number;
  /** Of `planMarker`. */
  readonly marker: string;
  /** The commit that the body is about. */
  readonly headSha: string;
  /** Markdown, without markers. */
  readonly body: string;
  /**
   * False leaves a pull request without a comment as it is: for what is worth saying only in place
   * of something else.
   */
  readonly createIfAbsent: boolean;
  /**
   * True writes nothing once the pull request is closed or merged: what a merge would do is then no
   * news, and stands in the way of what it did.
   */
  readonly onlyWhileOpen?: boolean;
}

type Written = "created" | "updated" | "unchanged";

export type CommentOutcome =
  | { readonly kind: Written }
  /** There was none, and none was asked for. */
  | { readonly kind: "absent" }
  /** It was closed or merged meanwhile. Nothing was written. */
  | { readonly kind: "closed" }
  /**
   * The pull request has moved on to another commit, whose own plan belongs there. Nothing was
   * written.
   */
  | { readonly kind: "superseded" };

/** A write is looked at afterwards, and done again when another writer came between; so often. */
const ROUNDS_MAX = 4;

export async function upsertComment(
  writer: GithubWriter,
  request: CommentRequest,
): Promise<GithubResult<CommentOutcome>> {
  const text = `${request.marker}\n${headMarker(request.headSha)}\n\n${request.body}`;
  if (text.length > BODY_LENGTH_MAX) return refuseLength(request.pull, text.length);
  let kind: Written = "unchanged";
  let written: GithubResult<Comment> | null = null;
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const seen = await look(writer, request);
    if (!seen.ok) return seen;
    if (seen.value.headSha !== request.headSha) return success({ kind: "superseded" });
    if (!seen.value.isWanted) return success({ kind: "closed" });
    const { comment } = seen.value;
    if (comment !== null && isSameBody(comment.body, text)) return success({ kind });
    if (comment === null && written === null && !request.createIfAbsent)
      return success({ kind: "absent" });
    // GitHub's lists may lag behind its writes: what it said was created is not created again.
    if (comment === null && kind === "created" && written?.ok === true) break;
    written =
      comment === null
        ? await writer.createComment(request.pull, text)
        : await writer.updateComment(comment.id, text);
    if (!written.ok && !mayHaveHappened(written.failure, comment !== null)) return written;
    kind = nextKind(kind, comment);
  }
  if (written === null) throw new Error("Every round returns or writes");
  return written.ok ? success({ kind }) : written;
}

function nextKind(kind: Written, comment: Comment | null): Written {
  return comment === null || kind === "created" ? "created" : "updated";
}

interface Sight {
  readonly headSha: string;
  /** False for a pull request that is closed already, and a comment for an open one. */
  readonly isWanted: boolean;
  /** The oldest of our comments. */
  readonly comment: Comment | null;
}

/**
 * Reads the current state. Of several comments the oldest is kept, unless the pull request has
 * moved on: then nothing is touched.
 */
async function look(writer: GithubWriter, request: CommentRequest): Promise<GithubResult<Sight>> {
  const pull = await writer.pull(request.pull);
  if (!pull.ok) return pull;
  const { headSha, state } = pull.value;
  const isWanted = request.onlyWhileOpen !== true || state === "open";
  if (headSha !== request.headSha || !isWanted)
    return success({ headSha, isWanted, comment: null });
  const own = await writer.commentsWith(request.pull, request.marker);
  if (!own.ok) return own;
  const [comment, ...duplicates] = own.value;
  for (const { id } of duplicates) {
    const deleted = await writer.deleteComment(id);
    // One that is gone already was removed by another writer.
    if (!deleted.ok && deleted.failure.kind !== "notFound") return deleted;
  }
  return success({ headSha, isWanted, comment: comment ?? null });
}

/**
 * True after a failure that another look can settle: the answer was lost, or the comment was
 * deleted just before its update.
 */
function mayHaveHappened({ kind }: GithubFailure, isUpdate: boolean): boolean {
  return kind === "unreachable" || (isUpdate && kind === "notFound");
}

function refuseLength(pull: number, length: number): GithubResult<never> {
  const [is, most] = [length, BODY_LENGTH_MAX].map((count) => count.toLocaleString("en-US"));
  const message = `Could not comment on #${pull}: the comment has ${is} characters, and GitHub takes ${most}. Nothing was sent; show less of the plan.`;
  return failure({ kind: "invalid", message, retryAt: null });
}
