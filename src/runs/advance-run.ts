/**
 * One step of applying a plan.
 *
 * Level-triggered: a step looks at what the namespaces say now, never at what an earlier step meant
 * to do, so it may be repeated, interrupted or run after any restart. It starts nothing that the
 * plan did not show: a namespace whose epoch, layout or running operation is not the planned one
 * makes its action fail as stale.
 *
 * | action  | what the step finds                       | becomes                                        |
 * |---------|-------------------------------------------|------------------------------------------------|
 * | pending | a dependency failed, was cancelled or not executed; or the run is cancelled, or has lost its lease | notExecuted |
 * | pending | dependencies done, a place free           | pending, with an attempt: the next step starts it |
 * | pending | attempt, held by a closed window or a pause         | pending, asked about again later     |
 * | pending | attempt, live = planned                   | running (operation started)                    |
 * | pending | attempt, live ≠ planned, and not by our own start | failed (stale)                         |
 * | running | operation completed / failed / cancelled  | done / failed / cancelled                      |
 * | running | the run is cancelled                      | asks to cancel; after cutover it goes on to done |
 * | running | held by a closed window or a pause        | running, and its operation stands still after its wave |
 * | either  | no answer                                 | as it is, asked again later; failed after `RETRIES_MAX` |
 */
import type { RunAction } from "../model/api.ts";
import { describeDisorder, repairCommand } from "../model/disorder.ts";
import { sameLayout } from "../model/layout/layout.ts";
import type { LiveFailure, LiveNamespace, LiveResult, NamespaceRef } from "../model/live.ts";
import type { OperationStatus, StartOperation } from "../model/operation.ts";
import type { Change, Plan } from "../model/plan.ts";
import { policyUnderOverrides } from "../planning/check-safety.ts";
import { assertNever, success } from "../model/result.ts";
import { correlationIdOf } from "../model/run-operation.ts";
import type { LiveAccess } from "../live/port.ts";
import { describePause, holdOperation, WINDOW_CLOSED } from "./hold-operation.ts";
import { runBounded } from "../live/run-bounded.ts";
import {
  CANCELLED_BEFORE_START,
  HOLD_MS,
  isAttemptDue,
  LOST_BEFORE_START,
  nextAttempt,
  RETRIES_MAX,
  RUNNING_MAX,
  withActions,
  type Attempt,
  type RunRecord,
} from "./run-record.ts";

/** How far back a namespace's history is searched for the operation of an interrupted start. */
const HISTORY_MAX = 20;

/** Namespaces that one step asks at the same time. */
const LOOKS_MAX = 16;

/** Result of one look at one action: its next value, or no answer. */
type Outcome =
  | { readonly kind: "settled"; readonly action: RunAction }
  | { readonly kind: "silent"; readonly message: string };

/**
 * Why a change must not start or go on now: a window has closed, or everything is paused. Null when
 * it may.
 */
export type FindHold = (change: Change) => string | null;

/**
 * Takes the run one step further and returns it; unchanged (with the same `updatedAt`) when there
 * is nothing new.
 *
 * @param plan the plan that the run was made from; its changes are in the order of the run's
 * actions.
 * @param now milliseconds since the Unix epoch.
 * @param findHold asked before each start, and about each operation that runs. Default: nothing is
 * held.
 */
export async function advanceRun(
  record: RunRecord,
  plan: Plan,
  live: LiveAccess,
  now: number,
  findHold: FindHold = () => null,
): Promise<RunRecord> {
  if (record.run.state !== "running") return record;
  const isLost = record.isLost === true || now > record.run.lease.expiresAt;
  const current = isLost ? { ...record, isLost } : record;
  const step = new Step(current, plan, live, now, findHold);
  await step.followRunning();
  await step.startAttempted();
  step.giveUpPending();
  if (!record.cancelRequested && !isLost) step.attemptNext();
  return withActions(current, step.actions, step.attempts, now);
}

class Step {
  actions: RunAction[];
  attempts: Record<string, Attempt>;
  readonly #record: RunRecord;
  readonly #changes: ReadonlyMap<string, Change>;
  readonly #live: LiveAccess;
  readonly #now: number;
  readonly #findHold: FindHold;

  constructor(record: RunRecord, plan: Plan, live: LiveAccess, now: number, findHold: FindHold) {
    this.actions = [...record.run.actions];
    this.attempts = { ...record.attempts };
    this.#record = record;
    this.#changes = new Map(plan.changes.map((change) => [change.namespace, change]));
    this.#live = live;
    this.#now = now;
    this.#findHold = findHold;
  }

  /** Asks every running operation how far it is; asks it to cancel when the run is cancelled. */
  async followRunning(): Promise<void> {
    const running = this.actions.filter(
      (action) => action.state === "running" && this.#isDue(action),
    );
    const follow = this.#record.cancelRequested ? cancelOperation : pollOperation;
    await this.#settleAll(running, (action) => follow(this.#live, action, this.#holdOf(action)));
  }

  /**
   * Starts what an earlier step has attempted; in a cancelled run, only finds out whether it had
   * started.
   */
  async startAttempted(): Promise<void> {
    const attempted = this.actions.filter(
      (action) =>
        action.state === "pending" &&
        this.attempts[action.namespace] !== undefined &&
        this.#isDue(action),
    );
    const { run } = this.#record;
    const reason = this.#noMoreStarts();
    if (reason !== null) {
      await this.#settleAll(attempted, (action) => findStarted(this.#live, action, run.id, reason));
    } else {
      const held = attempted.filter((action) => this.#findHold(this.#changeOf(action)) !== null);
      await this.#hold(held);
      const chosen = attempted
        .filter((action) => !held.includes(action))
        .slice(0, this.#freePlaces());
      await this.#settleAll(chosen, (action) =>
        startChange(this.#live, action, this.#changeOf(action), run),
      );
    }
  }

  /**
   * Marks what can no longer be executed. Actions are in dependency order, so one pass reaches
   * every dependent.
   */
  giveUpPending(): void {
    const before = new Map<string, RunAction>();
    this.actions = this.actions.map((action) => {
      const isUntouched =
        action.state === "pending" && this.attempts[action.namespace] === undefined;
      const next = isUntouched ? this.#giveUp(action, before) : action;
      before.set(next.namespace, next);
      return next;
    });
  }

  /**
   * Attempts the pending actions whose dependencies are done, in plan order, as many as there are
   * free places.
   */
  attemptNext(): void {
    const states = new Map(this.actions.map(({ namespace, state }) => [namespace, state]));
    const isFresh = ({ state, namespace }: RunAction): boolean =>
      state === "pending" && this.attempts[namespace] === undefined;
    const ready = this.actions.filter(
      (action) =>
        isFresh(action) &&
        this.#changeOf(action).dependsOn.every((name) => (states.get(name) ?? "done") === "done"),
    );
    const aboutToStart = this.actions.filter(
      (action) =>
        action.state === "pending" &&
        this.attempts[action.namespace]?.failures === 0 &&
        this.#isDue(action),
    );
    for (const { namespace } of ready.slice(
      0,
      Math.max(0, this.#freePlaces() - aboutToStart.length),
    )) {
      this.attempts[namespace] = { failures: 0, notBefore: this.#now };
    }
    const isStuck = this.actions.every(
      (action) => action.state !== "running" && (action.state !== "pending" || isFresh(action)),
    );
    if (isStuck && this.actions.some(isFresh))
      throw new Error(
        `The changes of plan ${this.#record.run.fingerprint} depend on each other in a circle`,
      );
  }

  /**
   * They have to wait, unless an interrupted step has started them already; they are asked about
   * again after a while.
   */
  async #hold(held: readonly RunAction[]): Promise<void> {
    await this.#settleAll(held, (action) => {
      const error = `Waits: ${this.#findHold(this.#changeOf(action)) ?? "no reason any more"}`;
      return adoptOperation(this.#live, action, this.#record.run.id, { ...action, error });
    });
    for (const { namespace } of held) {
      const isPending = this.actions.some(
        (action) => action.namespace === namespace && action.state === "pending",
      );
      this.attempts[namespace] ??= { failures: 0, notBefore: this.#now + HOLD_MS };
      if (!isPending) delete this.attempts[namespace];
    }
  }

  #freePlaces(): number {
    return Math.max(
      0,
      RUNNING_MAX - this.actions.filter(({ state }) => state === "running").length,
    );
  }

  #giveUp(action: RunAction, before: ReadonlyMap<string, RunAction>): RunAction {
    const reason = this.#noMoreStarts();
    if (reason !== null) return notExecuted(action, reason);
    for (const name of this.#changeOf(action).dependsOn) {
      const state = before.get(name)?.state;
      if (state === "failed" || state === "cancelled" || state === "notExecuted") {
        return notExecuted(
          action,
          `Depends on '${name}', which ${state === "notExecuted" ? "was not executed" : `has ${state}`}`,
        );
      }
    }
    return action;
  }

  /** Why the run starts nothing any more, or null. */
  #noMoreStarts(): string | null {
    if (this.#record.cancelRequested) return CANCELLED_BEFORE_START;
    return this.#record.isLost === true ? LOST_BEFORE_START : null;
  }

  /**
   * A lost run does not know whether the switch that holds an operation was turned off since.
   * Windows can be seen.
   */
  #holdOf(action: RunAction): FoundHold {
    const hold = this.#findHold(this.#changeOf(action));
    return { hold, letsGo: this.#record.isLost === true ? "windows" : "all" };
  }

  #isDue({ namespace }: RunAction): boolean {
    return isAttemptDue(this.attempts[namespace], this.#now);
  }

  async #settleAll(
    actions: readonly RunAction[],
    settle: (action: RunAction) => Promise<Outcome>,
  ): Promise<void> {
    const outcomes = await runBounded(actions, LOOKS_MAX, async (action) => ({
      action,
      outcome: await settle(action),
    }));
    for (const { action, outcome } of outcomes) {
      if (outcome.kind === "settled") this.#accept(outcome.action);
      else this.#askAgain(action, outcome.message);
    }
  }

  #accept(action: RunAction): void {
    delete this.attempts[action.namespace];
    this.actions = this.actions.map((other) =>
      other.namespace === action.namespace ? action : other,
    );
  }

  #askAgain(action: RunAction, message: string): void {
    const attempt = nextAttempt(this.attempts[action.namespace], this.#now);
    if (attempt.failures > RETRIES_MAX) {
      this.#accept({
        ...action,
        state: "failed",
        error: explainSilence(action, attempt.failures, message),
      });
      return;
    }
    this.#accept({
      ...action,
      error: `${message} (no answer ${attempt.failures} times, given up after ${RETRIES_MAX + 1})`,
    });
    this.attempts[action.namespace] = attempt;
  }

  #changeOf({ namespace }: RunAction): Change {
    const change = this.#changes.get(namespace);
    if (!change)
      throw new Error(
        `Run ${this.#record.run.id} has an action for '${namespace}', which its plan does not change`,
      );
    return change;
  }
}

function notExecuted(action: RunAction, error: string): RunAction {
  return { ...action, state: "notExecuted", error };
}

function explainSilence({ operation }: RunAction, failures: number, message: string): string {
  const doubt = operation
    ? `Operation ${operation.id} may still be running there`
    : "An operation may have been started there";
  return `No answer in ${failures} tries: ${message}. ${doubt}: look at the namespace's status before the next plan.`;
}

/**
 * Why the namespace is no longer the one that was planned for, or null. Shared with the check
 * before a run is accepted.
 */
export function explainStale(change: Change, live: LiveNamespace): string | null {
  if (live.disorder)
    return `'${change.namespace}' must be repaired first (${describeDisorder(live.disorder)}); see \`${repairCommand(change.namespace)}\``;
  if (live.operation?.state === "running") {
    return `operation ${live.operation.id} (${live.operation.kind}) of '${change.namespace}' is running`;
  }
  if (live.epoch !== change.epoch)
    return `'${change.namespace}' is at epoch ${live.epoch}, the plan was made at epoch ${change.epoch}`;
  if (!sameLayout(live.layout, change.from))
    return `the layout of '${change.namespace}' at epoch ${live.epoch} is not the planned one`;
  return null;
}

async function startChange(
  live: LiveAccess,
  action: RunAction,
  change: Change,
  run: RunRecord["run"],
): Promise<Outcome> {
  const ref = refOf(action);
  const described = await live.describe(ref);
  if (!described.ok) return settleFailure(action, described.failure);
  const stale = explainStale(change, described.value);
  if (stale !== null) {
    const error = `Stale: ${stale}. Nothing was done here: plan again.`;
    return adoptOperation(live, action, run.id, { ...action, state: "failed", error });
  }
  const request: StartOperation = {
    kind: change.kind,
    epoch: change.epoch,
    to: change.to,
    policy: policyUnderOverrides(change.policy, run.overrides),
    correlationId: correlationIdOf(run.id, change.namespace),
    requestedBy: run.requestedBy,
    refuseEmpty: false,
  };
  return settleAnswer(action, await live.start(ref, request));
}

/**
 * Adopts an operation of this run's own. What looks stale may be our own doing: the step that
 * started it was interrupted before it could say so.
 */
async function adoptOperation(
  live: LiveAccess,
  action: RunAction,
  runId: string,
  otherwise: RunAction,
): Promise<Outcome> {
  const history = await live.history(refOf(action), HISTORY_MAX);
  if (!history.ok) return settleFailure(action, history.failure);
  const correlationId = correlationIdOf(runId, action.namespace);
  const own = history.value.find((operation) => operation.correlationId === correlationId);
  return own ? settleAnswer(action, success(own)) : { kind: "settled", action: otherwise };
}

function findStarted(
  live: LiveAccess,
  action: RunAction,
  runId: string,
  reason: string,
): Promise<Outcome> {
  return adoptOperation(live, action, runId, notExecuted(action, reason));
}

/**
 * Why an operation must stand still, or null, and which of the Worker's own pauses may be taken
 * back.
 */
interface FoundHold {
  readonly hold: string | null;
  readonly letsGo: "all" | "windows";
}

async function pollOperation(
  live: LiveAccess,
  action: RunAction,
  { hold, letsGo }: FoundHold,
): Promise<Outcome> {
  const status = await live.operation(refOf(action), operationOf(action).id);
  if (!status.ok) return settleAnswer(action, status);
  const paused = status.value.paused?.reason ?? null;
  const stays = hold === null && letsGo === "windows" && paused !== WINDOW_CLOSED;
  return settleAnswer(
    action,
    await holdOperation(live, refOf(action), status.value, stays ? paused : hold),
  );
}

/**
 * After cutover a cancel is refused and the operation goes forward: then its progress is followed
 * as before.
 */
async function cancelOperation(
  live: LiveAccess,
  action: RunAction,
  hold: FoundHold,
): Promise<Outcome> {
  const cancelled = await live.cancel(refOf(action), operationOf(action).id);
  if (!cancelled.ok && cancelled.failure.kind === "refused")
    return pollOperation(live, action, hold);
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
