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
 * | pending | attempt, held by a closed window, a pause or `suspend` | pending, asked about again later  |
 * | pending | attempt, live = planned                   | running (operation started, by the stricter limits of then and now) |
 * | pending | attempt, live ≠ planned, and not by our own start | failed (stale)                         |
 * | pending | attempt, later than the run was judged, and a guard stands now | failed                    |
 * | running | operation completed / failed / cancelled  | done / failed / cancelled                      |
 * | running | the run is cancelled                      | asks to cancel; after cutover it goes on to done |
 * | running | held by a closed window or a pause        | running, and its operation stands still after its wave |
 * | either  | no answer                                 | as it is, asked again later; failed after `RETRIES_MAX` |
 */
import type { RunAction } from "../model/api.ts";
import type { Change, Plan } from "../model/plan.ts";
import type { LiveAccess } from "../live/port.ts";
import { runBounded } from "../model/run-bounded.ts";
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
import type { FindHold } from "./hold-operation.ts";
import {
  adoptOperation,
  cancelOperation,
  findStarted,
  type FoundHold,
  notExecuted,
  type Outcome,
  pollOperation,
  startChange,
  type StartTerms,
} from "./settle-action.ts";

/** Namespaces that one step asks at the same time. */
const LOOKS_MAX = 16;

/** Asked before each start, and `findHold` about each operation that runs. */
export interface StartGates extends StartTerms {
  readonly findHold: FindHold;
}

/** Why a namespace must wait that was suspended since its run was accepted. */
const SUSPENDED = "policy.suspend is true";

const NO_GATES: StartGates = { findHold: () => null, judge: null, standing: () => null };

/**
 * Takes the run one step further and returns it; unchanged (with the same `updatedAt`) when there
 * is nothing new.
 *
 * @param plan the plan that the run was made from; its changes are in the order of the run's
 * actions.
 * @param now milliseconds since the Unix epoch.
 * @param gates default: nothing is held, and nothing judged.
 */
export async function advanceRun(
  record: RunRecord,
  plan: Plan,
  liveAccess: LiveAccess,
  now: number,
  gates: Partial<StartGates> = {},
): Promise<RunRecord> {
  if (record.run.state !== "running") return record;
  const isLost = record.isLost === true || now > record.run.lease.expiresAt;
  const current = isLost ? { ...record, isLost } : record;
  const step = new Step(current, plan, liveAccess, now, { ...NO_GATES, ...gates });
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
  readonly liveAccess: LiveAccess;
  readonly #now: number;
  readonly #gates: StartGates;

  constructor(
    record: RunRecord,
    plan: Plan,
    liveAccess: LiveAccess,
    now: number,
    gates: StartGates,
  ) {
    this.actions = [...record.run.actions];
    this.attempts = { ...record.attempts };
    this.#record = record;
    this.#changes = new Map(plan.changes.map((change) => [change.namespace, change]));
    this.liveAccess = liveAccess;
    this.#now = now;
    this.#gates = gates;
  }

  /** Asks every running operation how far it is; asks it to cancel when the run is cancelled. */
  async followRunning(): Promise<void> {
    const running = this.actions.filter(
      (action) => action.state === "running" && this.#isDue(action),
    );
    const follow = this.#record.cancelRequested ? cancelOperation : pollOperation;
    await this.#settleAll(running, (action) =>
      follow(this.liveAccess, action, this.#holdOf(action)),
    );
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
      await this.#settleAll(attempted, (action) =>
        findStarted(this.liveAccess, action, run.id, reason),
      );
    } else {
      const held = attempted.filter((action) => this.#holdOfStart(action) !== null);
      await this.#hold(held);
      const chosen = attempted
        .filter((action) => !held.includes(action))
        .slice(0, this.#freePlaces());
      await this.#settleAll(chosen, (action) =>
        startChange(this.liveAccess, action, this.#changeOf(action), run, this.#gates),
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

  /** Why the action must not start now. What runs already is not stopped by `suspend`. */
  #holdOfStart(action: RunAction): string | null {
    const hold = this.#gates.findHold(this.#changeOf(action));
    if (hold !== null || this.#record.run.overrides.includes("suspend")) return hold;
    return this.#gates.standing(action.namespace)?.suspend === true ? SUSPENDED : null;
  }

  /**
   * They have to wait, unless an interrupted step has started them already; they are asked about
   * again after a while.
   */
  async #hold(held: readonly RunAction[]): Promise<void> {
    await this.#settleAll(held, (action) => {
      const error = `Waits: ${this.#holdOfStart(action) ?? "no reason any more"}`;
      return adoptOperation(this.liveAccess, action, this.#record.run.id, { ...action, error });
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
    const hold = this.#gates.findHold(this.#changeOf(action));
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

function explainSilence({ operation }: RunAction, failures: number, message: string): string {
  const doubt = operation
    ? `Operation ${operation.id} may still be running there`
    : "An operation may have been started there";
  return `No answer in ${failures} tries: ${message}. ${doubt}: check the namespace's status before you plan again.`;
}
