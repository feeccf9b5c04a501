/**
 * Asks one namespace about one action of a run, and says what the action becomes: started,
 * followed, held, cancelled, or not answered. Which actions are asked, `advance-run.ts` decides.
 */
import { ASKED_AGE_MAX_MS } from "../live/counts-age.ts";
import type { RunAction } from "../model/api.ts";
import type { LiveFailure, LiveNamespace, LiveResult, NamespaceRef } from "../model/live.ts";
import type { OperationStatus, StartOperation } from "../model/operation.ts";
import type { Change } from "../model/plan.ts";
import { assertNever, success } from "../model/result.ts";
import { correlationIdOf } from "../model/run-operation.ts";
import type { Policy } from "../model/spec.ts";
import { policyAtStart } from "../planning/operation-policy.ts";
import type { LiveAccess } from "../live/port.ts";
import { explainStale } from "./find-stale-changes.ts";
import type { Judgement } from "./judge-start.ts";
import { describePause, holdOperation, WINDOW_CLOSED } from "./hold-operation.ts";
import type { RunRecord } from "./run-record.ts";

/** How far back a namespace's history is searched for the operation of an interrupted start. */
const HISTORY_MAX = 20;

/** Result of one look at one action: its next value, or no answer. */
export type Outcome =
  | { readonly kind: "settled"; readonly action: RunAction }
  | { readonly kind: "silent"; readonly message: string };

export function notExecuted(action: RunAction, error: string): RunAction {
  return { ...action, state: "notExecuted", error };
}

/**
 * Asked before a change starts later than its run was accepted. Never asked about one that is not
 * as planned.
 */
export type JudgeStart = (change: Change, described: LiveNamespace) => Promise<Judgement>;

/** Asked before each start. */
export interface StartTerms {
  /** Null while the run was judged a moment ago. */
  readonly judge: JudgeStart | null;
  /** The policy that guards judge the namespace by now; null where nobody knows. */
  readonly standing: (namespace: string) => Policy | null;
}

/** Starts the change's operation, unless it is not the planned one any more, or a guard stands. */
export async function startChange(
  liveAccess: LiveAccess,
  action: RunAction,
  change: Change,
  run: RunRecord["run"],
  { judge, standing }: StartTerms,
): Promise<Outcome> {
  const ref = refOf(action);
  const described = await liveAccess.describe(ref, ASKED_AGE_MAX_MS);
  if (!described.ok) return settleFailure(action, described.failure);
  const stale = explainStale(change, described.value);
  if (stale !== null) {
    const error = `Stale: ${stale}. Nothing was done here: plan again.`;
    return adoptOperation(liveAccess, action, run.id, { ...action, state: "failed", error });
  }
  const judged = judge === null ? null : await judge(change, described.value);
  if (judged !== null && judged.kind !== "may") return settleJudgement(action, judged);
  const request: StartOperation = {
    kind: change.kind,
    epoch: change.epoch,
    to: change.to,
    policy: policyAtStart(change, standing(change.namespace), run.overrides),
    correlationId: correlationIdOf(run.id, change.namespace),
    requestedBy: run.requestedBy,
    refuseEmpty: false,
  };
  return settleAnswer(action, await liveAccess.start(ref, request));
}

/** Rows that could not be counted are counted again; nothing starts on a guess. */
function settleJudgement(action: RunAction, judged: Exclude<Judgement, { kind: "may" }>): Outcome {
  if (judged.kind === "not" && judged.problem.kind === "unreadable")
    return { kind: "silent", message: judged.problem.message };
  const why =
    judged.kind === "not"
      ? judged.problem.message
      : judged.blocks.map(({ guard, message }) => `${guard}: ${message}`).join("; ");
  const error = `Not started: ${why}. Nothing was done here: plan again.`;
  return { kind: "settled", action: { ...action, state: "failed", error } };
}

/**
 * Adopts an operation of this run's own. What looks stale may be our own doing: the step that
 * started it was interrupted before it could say so.
 */
export async function adoptOperation(
  liveAccess: LiveAccess,
  action: RunAction,
  runId: string,
  otherwise: RunAction,
): Promise<Outcome> {
  const history = await liveAccess.history(refOf(action), HISTORY_MAX);
  if (!history.ok) return settleFailure(action, history.failure);
  const correlationId = correlationIdOf(runId, action.namespace);
  const own = history.value.find((operation) => operation.correlationId === correlationId);
  return own ? settleAnswer(action, success(own)) : { kind: "settled", action: otherwise };
}

/** In a run that starts nothing more: the operation if it was started already. */
export function findStarted(
  liveAccess: LiveAccess,
  action: RunAction,
  runId: string,
  reason: string,
): Promise<Outcome> {
  return adoptOperation(liveAccess, action, runId, notExecuted(action, reason));
}

/**
 * Why an operation must stand still, or null, and which of the Worker's own pauses may be taken
 * back.
 */
export interface FoundHold {
  readonly hold: string | null;
  readonly letsGo: "all" | "windows";
}

/** How far the operation is, held or let go of on the way. */
export async function pollOperation(
  liveAccess: LiveAccess,
  action: RunAction,
  { hold, letsGo }: FoundHold,
): Promise<Outcome> {
  const status = await liveAccess.operation(refOf(action), operationOf(action).id);
  if (!status.ok) return settleAnswer(action, status);
  const paused = status.value.paused?.reason ?? null;
  const stays = hold === null && letsGo === "windows" && paused !== WINDOW_CLOSED;
  return settleAnswer(
    action,
    await holdOperation(liveAccess, refOf(action), status.value, stays ? paused : hold),
  );
}

/**
 * After cutover a cancel is refused and the operation goes forward: then its progress is followed
 * as before.
 */
export async function cancelOperation(
  liveAccess: LiveAccess,
  action: RunAction,
  hold: FoundHold,
): Promise<Outcome> {
  const cancelled = await liveAccess.cancel(refOf(action), operationOf(action).id);
  if (!cancelled.ok && cancelled.failure.kind === "refused")
    return pollOperation(liveAccess, action, hold);
  return settleAnswer(action, cancelled);
}

function settleAnswer(action: RunAction, answer: LiveResult<OperationStatus>): Outcome {
  return answer.ok
    ? { kind: "settled", action: followOperation(action, answer.value) }
    : settleFailure(action, answer.failure);
}

/**
 * Bookmarks stay in the namespace's own history: a run is written at every step, and has thousands
 * of actions.
 */
function followOperation(
  action: RunAction,
  { bookmarks: _bookmarks, ...operation }: OperationStatus,
): RunAction {
  switch (operation.state) {
    case "running":
      return {
        ...action,
        state: "running",
        operation,
        error: describePause(operation) ?? operation.lastError,
      };
    case "completed":
      return { ...action, state: "done", operation, error: null };
    case "failed":
    case "cancelled":
      return {
        ...action,
        state: operation.state,
        operation,
        error: operation.fault?.message ?? `Operation ${operation.id} ${operation.state}`,
      };
    default:
      return assertNever(operation.state);
  }
}

const LOOK_AGAIN: ReadonlySet<NonNullable<LiveFailure["reason"]>> = new Set([
  "moving",
  "operationRunning",
  "epochChanged",
  "protocol",
  "newerSchema",
]);

function settleFailure(action: RunAction, { kind, message, reason }: LiveFailure): Outcome {
  // Between our look and our start somebody else was faster, or the object is restarting, or being
  // deployed: looking again decides it.
  const lookAgain = kind === "unreachable" || (reason !== undefined && LOOK_AGAIN.has(reason));
  return lookAgain
    ? { kind: "silent", message }
    : { kind: "settled", action: { ...action, state: "failed", error: message } };
}

function refOf({ namespace, object }: RunAction): NamespaceRef {
  return { name: namespace, object };
}

function operationOf({ namespace, operation }: RunAction): OperationStatus {
  if (!operation) throw new Error(`The action for '${namespace}' is running without an operation`);
  return operation;
}
