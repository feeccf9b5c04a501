/** Writes a state into the one comment of a pull request, and its verdict into the check run. */
import { success } from "../model/result.ts";
import { planMarker } from "../github/markers.ts";
import type { GithubResult, Pull } from "../github/port.ts";
import { publishCheck } from "../github/publish-check.ts";
import { upsertComment, type CommentOutcome } from "../github/upsert-comment.ts";
import { renderCheck, type CheckState } from "./plan-check.ts";
import { renderComment, type CommentState } from "./plan-comment.ts";
import { logEvent } from "../log.ts";
import type { PullParts } from "./pull-parts.ts";

/** @param createIfAbsent false says it only in place of something that is said already. */
export function postComment(
  { github, settings, now }: Pick<PullParts, "github" | "settings" | "now">,
  pull: Pull,
  state: CommentState,
  createIfAbsent = true,
): Promise<GithubResult<CommentOutcome>> {
  const { environment, applies } = settings;
  const { headSha } = pull;
  return upsertComment(github, {
    pull: pull.number,
    marker: planMarker(environment),
    headSha,
    body: renderComment(state, { environment, headSha, applies, url: null, now: now() }),
    createIfAbsent,
  });
}

/** A credential that may not write check runs is told to the log: the comment says the same. */
export async function postCheck(
  { github, settings }: Pick<PullParts, "github" | "settings">,
  pull: Pull,
  state: CheckState,
): Promise<GithubResult<null>> {
  const { environment } = settings;
  const { conclusion, title, summary, annotations } = renderCheck(state);
  const published = await publishCheck(github, {
    name: `shardctl (${environment})`,
    headSha: pull.headSha,
    externalId: environment,
    conclusion,
    title,
    summary,
    text: "",
    annotations,
    detailsUrl: null,
  });
  if (!published.ok) return published;
  if (published.value.kind === "notAllowed")
    logEvent("pull.check.notAllowed", { pull: pull.number, message: published.value.message });
  return success(null);
}
