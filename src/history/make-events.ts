/**
 * Makes the events of the history: one line each, with names, counts and numbers, and never the
 * content of a row. Pure.
 */
import { isPausedByUs } from "../runs/hold-operation.ts";
import { makeEvent, type NewEvent } from "./make-event.ts";
import { RECONCILER } from "../runs/run-record.ts";
import type { Run, RunAction } from "../model/api.ts";
import { formatQuantity } from "../model/figures.ts";
import type { NamespaceRef } from "../model/live.ts";
import type { OperationStatus } from "../model/operation.ts";
import type { Plan } from "../model/plan.ts";
import type { PolicyChange } from "../model/policy.ts";
import type { RepairOutcome } from "../model/repair.ts";
import type { Release, Review } from "../model/review.ts";
import { describePolicyChange } from "../render/policy-words.ts";
import { describeSummary, summarizePlan } from "../render/plan-summary.ts";
import { countActions } from "../render/run-text.ts";

export function planEvent(plan: Plan, actor: string, now: number): NewEvent {
  const { environment, fingerprint } = plan;
  const counts = summarizePlan(plan);
  const blocks =
    counts.blocks === 0 ? "" : ` ${formatQuantity(counts.blocks, "block")} against it.`;
  return makeEvent({
    at: now,
    environment,
    kind: "plan",
    summary: `${describeSummary(counts)}${blocks}`,
    actor,
    fingerprint,
    commit: plan.commit,
  });
}

export function reviewEvent({
  environment,
  pull,
  headSha,
  fingerprint,
  requestedBy,
  reviewedAt,
}: Review): NewEvent {
  const summary = `the plan was shown in pull request #${pull}`;
  return makeEvent({
    at: reviewedAt,
    environment,
    kind: "review",
    summary,
    actor: requestedBy,
    pull,
    commit: headSha,
    fingerprint,
  });
}

export function releaseEvent(
  { environment, pull, fingerprint }: Pick<Review, "environment" | "pull" | "fingerprint">,
  { releasedBy, releasedAt, overrides }: Release,
): NewEvent {
  const guards = overrides.length === 0 ? "" : `, overriding ${overrides.join(", ")}`;
  const summary = `the plan of pull request #${pull} was released${guards}`;
  return makeEvent({
    at: releasedAt,
    environment,
    kind: "release",
    summary,
    actor: releasedBy,
    pull,
    fingerprint,
  });
}

/** A repair of a namespace was applied. The fingerprint is that of its plan. */
export function repairEvent(
  environment: string,
  { namespace, fingerprint, steps, setAside }: RepairOutcome,
  actor: string,
  now: number,
): NewEvent {
  const rows = setAside.reduce((sum, stray) => sum + stray.rows, 0);
  const aside =
    rows === 0
      ? "no row was set aside"
      : `${formatQuantity(rows, "row was", "rows were")} set aside`;
  const summary = `the namespace was repaired: ${formatQuantity(steps.length, "step")}, ${aside}`;
  return makeEvent({
    at: now,
    environment,
    kind: "repair",
    namespace,
    summary,
    actor,
    fingerprint,
  });
}

/** @param epoch the highest at which it was seen; null when it never was sharded. */
export function forgetEvent(
  environment: string,
  { name, object }: NamespaceRef,
  epoch: number | null,
  actor: string,
  now: number,
): NewEvent {
  const seen = epoch === null ? "never seen sharded" : `last seen at epoch ${epoch}`;
  const summary = `what was remembered of it in ${object} was forgotten: ${seen}`;
  return makeEvent({ at: now, environment, kind: "forget", namespace: name, summary, actor });
}

/** Returns the events of a run's step: the run started, operations ended, the run ended. */
export function runEvents(run: Run, before: Run | null, now: number): NewEvent[] {
  const about = aboutRun(run, now);
  const started: NewEvent[] =
    before === null ? [makeEvent({ ...about, kind: "run", summary: describeStart(run) })] : [];
  const operations = run.actions.flatMap((action, index) => {
    const known = before?.actions[index] ?? null;
    return [...holdEvent(action, known, about), ...operationEvent(action, known, about)];
  });
  if (run.finishedAt === null || before?.finishedAt !== null) return [...started, ...operations];
  const rowsMoved = run.actions.reduce((sum, action) => sum + rowsMovedBy(action.operation), 0);
  const summary = `the run ${run.state}: ${countActions(run)}`;
  const ended = makeEvent({
    ...about,
    kind: "run",
    summary,
    rowsMoved,
    durationMs: run.finishedAt - run.startedAt,
  });
  return [...started, ...operations, ended];
}

/** One event for each policy that holds from now on. */
export function policyEvents(
  changes: readonly PolicyChange[],
  about: Omit<AboutRun, "run"> & Partial<AboutRun>,
): NewEvent[] {
  return changes.map((change) =>
    makeEvent({
      ...about,
      kind: "policy",
      namespace: change.namespace,
      summary: `the policy has changed: ${describePolicyChange(change)}`,
    }),
  );
}

/** One event for each policy of a run that a merge has taken back while it was under way. */
export function takenBackEvents(changes: readonly PolicyChange[], about: AboutRun): NewEvent[] {
  return changes.map((change) =>
    makeEvent({
      ...about,
      kind: "policy",
      namespace: change.namespace,
      summary: `the policy was not applied, another one was merged meanwhile: ${describePolicyChange(change)}`,
    }),
  );
}

/** Somebody has asked the run to end. */
export function cancelEvent(run: Run, by: string, now: number): NewEvent {
  return makeEvent({
    ...aboutRun(run, now),
    kind: "run",
    summary: "the run was asked to end",
    actor: by,
  });
}

type AboutRun = Pick<
  NewEvent,
  "at" | "environment" | "actor" | "commit" | "pull" | "fingerprint" | "run"
>;

export function aboutRun(
  { id, environment, requestedBy, origin, fingerprint }: Run,
  now: number,
): AboutRun {
  return {
    at: now,
    environment,
    actor: requestedBy,
    commit: origin?.commit ?? null,
    pull: origin?.pull ?? null,
    fingerprint,
    run: id,
  };
}

function describeStart({ actions, overrides }: Run): string {
  const guards = overrides.length === 0 ? "" : `, overriding ${overrides.join(", ")}`;
  const what = actions.length === 0 ? "no rows to move" : formatQuantity(actions.length, "change");
  return `the run started: ${what}${guards}`;
}

function operationEvent(action: RunAction, before: RunAction | null, about: AboutRun): NewEvent[] {
  const { operation, namespace } = action;
  return endedNow(action, before) && operation !== null
    ? [operationEnd(operation, { ...about, namespace })]
    : [];
}

/** The run's own pauses, and that they are over; those of people are told when they ask. */
function holdEvent(
  { operation, namespace }: RunAction,
  before: RunAction | null,
  about: AboutRun,
): NewEvent[] {
  if (operation?.state !== "running") return [];
  const hold = isPausedByUs(operation) ? operation.paused?.reason : null;
  const known =
    before?.operation && isPausedByUs(before.operation) ? before.operation.paused?.reason : null;
  if (hold === known || (hold === null && operation.paused !== null)) return [];
  const what = describeOperation(operation);
  const summary = hold === null ? `${what} has resumed` : `${what} is paused: ${hold}`;
  return [makeEvent({ ...about, namespace, kind: "pause", summary, actor: RECONCILER })];
}

/** An operation that has ended, whoever started it. */
export function operationEnd(
  operation: OperationStatus,
  about: Pick<NewEvent, "at" | "environment" | "actor" | "namespace"> & Partial<NewEvent>,
): NewEvent {
  const { state, fault, startedAt, finishedAt, updatedAt } = operation;
  const why = fault === null ? "" : `: ${fault.message}`;
  return makeEvent({
    ...about,
    kind: "operation",
    summary: `${describeOperation(operation)} ${state}${why}`,
    rowsMoved: rowsMovedBy(operation),
    durationMs: (finishedAt ?? updatedAt) - startedAt,
  });
}

/** An operation that has begun without a run: what a run begins, its own start tells. */
export function operationStart(
  operation: OperationStatus,
  about: Pick<NewEvent, "at" | "environment" | "actor" | "namespace">,
): NewEvent {
  return makeEvent({
    ...about,
    kind: "operation",
    summary: `${describeOperation(operation)} started without a run`,
  });
}

/** "rebalance 4 → 6 members, operation 3". */
function describeOperation({ kind, from, to, id }: OperationStatus): string {
  return `${kind} ${from.members.length} → ${to.members.length} members, operation ${id}`;
}

/** True when the operation of the action is over, and was not when it was last looked at. */
export function endedNow({ operation }: RunAction, before: RunAction | null): boolean {
  if (operation === null || operation.state === "running") return false;
  return before?.operation?.id !== operation.id || before.operation.state === "running";
}

/** Rows that changed their place for good. */
export function rowsMovedBy(operation: OperationStatus | null): number {
  return operation?.state === "completed" ? operation.rowsCopied : 0;
}
