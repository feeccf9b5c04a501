/**
 * Ends `apply --github`: writes the pull request, the step's summary and its outputs, and chooses
 * the exit code.
 */
import type { Run } from "../../model/api.ts";
import { isEmptyPlan, type Plan } from "../../model/plan.ts";
import type { Pull } from "../../github/port.ts";
import type { Review, ReviewReceipt } from "../../model/review.ts";
import { describePlanDifference } from "../../render/plan-difference.ts";
import { type CommentState, renderComment } from "../../pulls/plan-comment.ts";
import { EXIT, type ExitCode } from "../exit-codes.ts";
import type { CliResult } from "../failure.ts";
import type { Outcome, Session } from "../session.ts";
import { planJson } from "../views.ts";
import type { Actions, ActionsOutcome } from "./actions.ts";
import type { ApplyFlow } from "./prepare-apply.ts";
import { postRunnerComment } from "./pull-post.ts";

/** A flow that knows what the pull request was shown last. */
export interface EndingFlow extends ApplyFlow {
  /** True when the Worker writes the comment. */
  readonly isWorkerPosting: boolean;
}

const OUTCOMES = {
  running: "error",
  succeeded: "applied",
  failed: "failed",
  cancelled: "cancelled",
} as const;

export async function endRun(flow: EndingFlow, plan: Plan, run: Run): Promise<CliResult<Outcome>> {
  const state: CommentState = { kind: "run", plan, run };
  await flow.actions.summarize(renderComment(state, contextOf(flow)));
  const posted = await writeComment(flow, state);
  if (!posted.ok) return posted;
  const isDone = run.state === "succeeded";
  return endApply(flow, OUTCOMES[run.state], plan, isDone ? EXIT.done : EXIT.error, {
    plan: planJson(plan),
    run,
  });
}

export async function endStale(
  flow: EndingFlow,
  plan: Plan,
  reviewed: Review | null,
): Promise<CliResult<Outcome>> {
  const { api, session, pull } = flow;
  const before = reviewed === null ? null : await api.plan(reviewed.fingerprint);
  const moved = before?.ok ? describePlanDifference(before.value, plan) : [];
  const state: CommentState = {
    kind: "stale",
    reviewed: reviewed?.fingerprint ?? null,
    moved,
    plan,
  };
  const why =
    pull === null
      ? "no pull request has shown this commit's plan. Open one, or apply it with a personal token: shardctl apply"
      : `live is no longer what pull request #${pull.number} was shown. The pull request lists what changed, with the command that releases the new plan`;
  session.warn(`Nothing was applied: ${why}.`);
  for (const line of moved) session.say(`  ${line}`);
  await flow.actions.summarize(renderComment(state, contextOf(flow)));
  const posted = await writeComment(flow, state);
  if (!posted.ok) return posted;
  // A release agrees to the counts that stand in the pull request. Another plan was told before.
  const isAgain = reviewed?.fingerprint === plan.fingerprint && !flow.isWorkerPosting;
  const noted = pull !== null && isAgain ? await noteShown(flow, pull, plan) : null;
  return noted?.ok === false ? noted : endApply(flow, "stale", plan, EXIT.stalePlan);
}

async function noteShown(
  { api, actions, sha }: EndingFlow,
  { number }: Pull,
  { fingerprint }: Plan,
): Promise<CliResult<ReviewReceipt>> {
  return api.putReview({ fingerprint, pull: number, headSha: sha, runUrl: actions.runUrl });
}

export async function endHeld(
  flow: EndingFlow,
  plan: Plan,
  message: string,
  outcome: ActionsOutcome,
  exitCode: ExitCode,
): Promise<CliResult<Outcome>> {
  const state: CommentState = { kind: "held", message, plan };
  // Said first: when GitHub takes no comment, the log is all there is.
  flow.session.warn(`Nothing was applied: ${message}`);
  await flow.actions.summarize(renderComment(state, contextOf(flow)));
  const posted = await writeComment(flow, state);
  return posted.ok ? endApply(flow, outcome, plan, exitCode) : posted;
}

export async function endIgnored(
  session: Session,
  actions: Actions,
  why: string,
): Promise<CliResult<Outcome>> {
  session.show(why);
  await actions.output({ outcome: "ignored", hasChanges: false, fingerprint: null });
  return { ok: true, value: { exitCode: EXIT.done, json: { ignored: why } } };
}

export async function endApply(
  { actions }: EndingFlow,
  outcome: ActionsOutcome,
  plan: Plan,
  exitCode: ExitCode,
  json: unknown = { plan: planJson(plan), run: null },
): Promise<CliResult<Outcome>> {
  await actions.output({
    outcome,
    hasChanges: !isEmptyPlan(plan),
    fingerprint: plan.fingerprint,
  });
  return { ok: true, value: { exitCode, json } };
}

export async function writeComment(
  flow: EndingFlow,
  state: CommentState,
  createIfAbsent = true,
): Promise<CliResult<null>> {
  if (flow.pull === null || flow.isWorkerPosting) return { ok: true, value: null };
  const place = {
    pull: flow.pull.number,
    headSha: flow.pull.headSha,
    environment: flow.project.environment,
  };
  const posted = await postRunnerComment(flow.session, flow.actions, place, state, {
    createIfAbsent,
    onlyWhileOpen: false,
  });
  return posted.ok ? { ok: true, value: null } : posted;
}

function contextOf({
  project,
  pull,
  sha,
  actions,
  session,
}: EndingFlow): Parameters<typeof renderComment>[1] {
  return {
    environment: project.environment,
    headSha: pull?.headSha ?? sha,
    url: actions.runUrl,
    now: session.host.now(),
  };
}
