/** Writes a pull request's comment and check from one state, so that both always agree. */
import type { PullHead } from "../../model/review.ts";
import { planMarker } from "../../github/markers.ts";
import { publishCheck } from "../../github/publish-check.ts";
import { upsertComment } from "../../github/upsert-comment.ts";
import { type CheckState, renderCheck } from "../../pulls/plan-check.ts";
import { type CommentState, renderComment } from "../../pulls/plan-comment.ts";
import type { CliResult } from "../failure.ts";
import type { Session } from "../session.ts";
import { type Actions, failGithub } from "./actions.ts";

/** Name of the check run; users require it in branch protection: never change. */
export function checkName(environment: string): string {
  return `shardctl (${environment})`;
}

export interface PullPlace extends PullHead {
  readonly environment: string;
}

/**
 * `superseded`: a newer commit was pushed meanwhile; `closed`: the pull request was closed or
 * merged. The result is then not shown.
 */
export type Posted = "posted" | "superseded" | "closed";

export interface CommentRules {
  /** False says it only in place of something that is said already. */
  readonly createIfAbsent: boolean;
  /** True for what a merge would do. */
  readonly onlyWhileOpen: boolean;
}

export async function postRunnerComment(
  session: Session,
  actions: Actions,
  { pull, headSha, environment }: PullPlace,
  state: CommentState,
  rules: CommentRules,
): Promise<CliResult<Posted>> {
  const body = renderComment(state, {
    environment,
    headSha,
    url: actions.runUrl,
    now: session.host.now(),
  });
  const marker = planMarker(environment);
  const outcome = await upsertComment(actions.github, { pull, marker, headSha, body, ...rules });
  if (!outcome.ok) return failGithub(outcome.failure);
  const { kind } = outcome.value;
  return { ok: true, value: kind === "superseded" || kind === "closed" ? kind : "posted" };
}

/**
 * Finds whether a plan of this commit is still worth showing, for callers that do not write the
 * comment.
 */
export async function findStanding(
  { github }: Actions,
  { pull, headSha }: PullHead,
): Promise<CliResult<Posted>> {
  const read = await github.pull(pull);
  if (!read.ok) return failGithub(read.failure);
  if (read.value.headSha !== headSha) return { ok: true, value: "superseded" };
  return { ok: true, value: read.value.state === "open" ? "posted" : "closed" };
}

export async function postRunnerCheck(
  session: Session,
  actions: Actions,
  { headSha, environment }: Pick<PullPlace, "headSha" | "environment">,
  state: CheckState,
): Promise<CliResult<null>> {
  const { conclusion, title, summary, annotations } = renderCheck(state);
  const fingerprint = state.kind === "planned" ? state.plan.fingerprint : state.kind;
  const outcome = await publishCheck(actions.github, {
    name: checkName(environment),
    headSha,
    externalId: `${environment}:${fingerprint}`,
    conclusion,
    title,
    summary,
    text: "",
    annotations,
    detailsUrl: actions.runUrl,
  });
  if (!outcome.ok) return failGithub(outcome.failure);
  if (outcome.value.kind === "notAllowed")
    session.warn(`No check run was written: ${outcome.value.message}`);
  return { ok: true, value: null };
}
