/**
 * A run as it is kept between steps: what the API shows, and what only the next step needs to know.
 *
 * Plain values, JSON-safe. Everything here is pure: a record goes in, the next record comes out.
 */
import type { ActionState, Run, RunAction, RunState } from "../model/api.ts";
import type { ShownFigures } from "../model/count-moved.ts";
import type { Change, Guard, Plan } from "../model/plan.ts";
import type { RunOrigin } from "../model/review.ts";

/**
 * Kept for a namespace that is about to be asked to start, or that did not answer. A pending action
 * without one was certainly never started: that is why it is stored a step before the start is
 * sent.
 */
export interface Attempt {
  /** Calls in a row that got no answer. */
  readonly failures: number;
  /** Milliseconds since the Unix epoch. */
  readonly notBefore: number;
}

export interface RunRecord {
  readonly run: Run;
  /** By namespace. */
  readonly attempts: Readonly<Record<string, Attempt>>;
  readonly cancelRequested: boolean;
  /**
   * The counts that somebody had agreed to when it was accepted: what starts later is compared with
   * them. Null, or without a namespace, where nobody was to read them, as for a heal.
   */
  readonly shown: ShownFigures | null;
  /**
   * True since a step that came after its lease was lost. The storage may have been restored to a
   * time when the run went on: what has become of it since, nobody here knows, so it starts nothing
   * more and lets nothing go on that it has not held itself.
   */
  readonly isLost?: boolean;
}

export interface NewRun {
  readonly id: string;
  readonly requestedBy: string;
  readonly overrides: readonly Guard[];
  readonly origin: RunOrigin | null;
  /** One more than the last run of the environment had. */
  readonly leaseToken: number;
  /** As in the record. */
  readonly shown: ShownFigures | null;
  readonly now: number;
}

/**
 * Under which name the Worker starts runs, and pauses operations, by itself. Stored: never change.
 */
export const RECONCILER = "shardctl reconciler";

/**
 * A run that was not stepped for so long is lost: longer than the slowest retry of its coordinator.
 */
export const LEASE_MS = 10 * 60_000;

/** Operations of one run that may be running at the same time. */
export const RUNNING_MAX = 4;

/** Silence that is tolerated, in calls: about three minutes with the delays of `nextAttempt`. */
export const RETRIES_MAX = 10;
const RETRY_FIRST_MS = 500;
const RETRY_LONGEST_MS = 30_000;

/**
 * How often a running operation is asked for its progress: a tenth of its age, between these
 * bounds.
 */
const POLL_SHORTEST_MS = 100;
const POLL_LONGEST_MS = 2_000;
/** Interval between questions about an operation that waits for a window or a person. */
export const HOLD_MS = 5_000;

/** A run in which nothing has been started yet. One of policies alone has succeeded at once. */
export function createRun(
  plan: Plan,
  { id, requestedBy, overrides, origin, leaseToken, shown, now }: NewRun,
): RunRecord {
  const isOver = plan.changes.length === 0;
  const run: Run = {
    id,
    environment: plan.environment,
    fingerprint: plan.fingerprint,
    state: isOver ? "succeeded" : "running",
    requestedBy,
    overrides,
    origin,
    lease: { token: leaseToken, heartbeatAt: now, expiresAt: now + LEASE_MS },
    startedAt: now,
    updatedAt: now,
    finishedAt: isOver ? now : null,
    actions: plan.changes.map(pendingAction),
  };
  return { run, attempts: {}, cancelRequested: false, shown };
}

/** The record with the wish to cancel. Whoever is waiting for a retry is asked at once. */
export function requestRunCancel(record: RunRecord): RunRecord {
  const attempts = Object.fromEntries(
    Object.entries(record.attempts).map(([name, attempt]) => [name, { ...attempt, notBefore: 0 }]),
  );
  return { ...record, attempts, cancelRequested: true };
}

/**
 * The longest delay between two steps of a run: nothing below is put off for longer, unless a clock
 * was wrong.
 */
export const STEP_DELAY_LONGEST_MS = RETRY_LONGEST_MS;

/** True when the attempt may be made now. */
export function isAttemptDue(attempt: Attempt | undefined, now: number): boolean {
  return (
    attempt === undefined ||
    attempt.notBefore <= now ||
    attempt.notBefore - now > STEP_DELAY_LONGEST_MS
  );
}

/** Milliseconds until the next step is worth taking, or null when the run has ended. */
export function delayUntilNextMs(record: RunRecord, now: number): number | null {
  if (record.run.state !== "running") return null;
  const isFull =
    record.run.actions.filter(({ state }) => state === "running").length >= RUNNING_MAX;
  const delays = record.run.actions.flatMap((action) => {
    const attempt = record.attempts[action.namespace];
    const waitMs = attempt && !isAttemptDue(attempt, now) ? attempt.notBefore - now : 0;
    switch (action.state) {
      case "pending":
        return attempt && (!isFull || record.cancelRequested) ? [waitMs] : [];
      case "running":
        return [Math.max(waitMs, pollDelayMs(action, now))];
      default:
        return [];
    }
  });
  return delays.length === 0 ? 0 : Math.round(Math.min(...delays));
}

function pollDelayMs(action: RunAction, now: number): number {
  if (action.operation?.paused) return HOLD_MS;
  // A start that lies ahead was written by another clock.
  const ageMs = Math.abs(now - (action.operation?.startedAt ?? now));
  return Math.min(POLL_LONGEST_MS, Math.max(POLL_SHORTEST_MS, ageMs / 10));
}

/** The attempt after one more silence: its delay doubles from half a second to half a minute. */
export function nextAttempt(before: Attempt | undefined, now: number): Attempt {
  const failures = (before?.failures ?? 0) + 1;
  return {
    failures,
    notBefore: now + Math.min(RETRY_LONGEST_MS, RETRY_FIRST_MS * 2 ** (failures - 1)),
  };
}

/** Ends a run that cannot go on: what is open has failed for the given reason. */
export function failRun(record: RunRecord, reason: string, now: number): RunRecord {
  const actions = record.run.actions.map((action): RunAction => {
    if (!isOpen(action.state)) return action;
    return {
      ...action,
      state: action.state === "pending" ? "notExecuted" : "failed",
      error: reason,
    };
  });
  const failed = withActions(record, actions, {}, now);
  return { ...failed, run: { ...failed.run, state: "failed" } };
}

/** The words of an action that a run had not started before its lease was lost. */
export const LOST_BEFORE_START =
  "The run took no step until its lease was lost, as after a restore of its storage: it will start nothing more. Plan again";

/**
 * True when somebody has cancelled a part of the run, whatever else became of it: `cancelled` is
 * also the state of a run that only missed a window, and one that was cancelled may have failed.
 */
export function wasCancelled({ actions }: Run): boolean {
  return actions.some(
    ({ state, error }) => state === "cancelled" || error === CANCELLED_BEFORE_START,
  );
}

/** The words of an action that a cancel has kept from starting. */
export const CANCELLED_BEFORE_START = "The run was cancelled before this started";

/**
 * Lets go of one open action: an operation of it continues in the namespace, but the run, and who
 * waits for it, no longer wait for it. One that is paused has not failed.
 */
export function detachAction(
  record: RunRecord,
  namespace: string,
  reason: string,
  now: number,
): RunRecord {
  const actions = record.run.actions.map((action): RunAction => {
    if (action.namespace !== namespace || !isOpen(action.state)) return action;
    const hasFailed = action.state === "running" && action.operation?.paused === null;
    return { ...action, state: hasFailed ? "failed" : "notExecuted", error: reason };
  });
  const { [namespace]: _detached, ...attempts } = record.attempts;
  return withActions(record, actions, attempts, now);
}

/** True while the action may still change. */
function isOpen(state: ActionState): boolean {
  return state === "pending" || state === "running";
}

/**
 * The record with new actions, its state and its times. `updatedAt` grows with every change, even
 * within one millisecond: clients wait for "later than this".
 */
export function withActions(
  record: RunRecord,
  actions: readonly RunAction[],
  attempts: RunRecord["attempts"],
  now: number,
): RunRecord {
  const state = stateOf(actions);
  // Actions are copies of the stored ones with fields replaced, which keeps the order of fields; in
  // another order they would merely count as changed.
  const same =
    state === record.run.state && JSON.stringify(actions) === JSON.stringify(record.run.actions);
  const heartbeatAt = Math.max(now, record.run.lease.heartbeatAt);
  const lease = { ...record.run.lease, heartbeatAt, expiresAt: heartbeatAt + LEASE_MS };
  if (same) return { ...record, attempts, run: { ...record.run, lease } };
  const updatedAt = Math.max(now, record.run.updatedAt + 1);
  const finishedAt = state === "running" ? null : updatedAt;
  return {
    ...record,
    attempts,
    run: { ...record.run, lease, actions, state, updatedAt, finishedAt },
  };
}

/** Failed before cancelled before succeeded: a run tells the worst that happened to it. */
function stateOf(actions: readonly RunAction[]): RunState {
  if (actions.some(({ state }) => isOpen(state))) return "running";
  if (actions.some(({ state }) => state === "failed")) return "failed";
  if (actions.some(({ state }) => state === "cancelled" || state === "notExecuted"))
    return "cancelled";
  return "succeeded";
}

function pendingAction({ namespace, object, kind }: Change): RunAction {
  return { namespace, object, kind, state: "pending", operation: null, error: null };
}
