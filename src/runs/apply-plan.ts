/**
 * Starts the run of a stored plan, exactly as it was made or not at all.
 *
 * Refuses, in this order: an unknown plan, one that had to be reviewed and was not, another active
 * run, a standing block, a namespace that is not as planned. An active run of the same plan is the
 * answer, and for a pull request so is the run that has carried its plan out: a job that runs again
 * is not told that its own work made its plan stale.
 */
import { findStaleChanges, type ChangeProblem } from "./find-stale-changes.ts";
import type { Run } from "../model/api.ts";
import type { Reachable } from "../model/calls.ts";
import type { Block, Plan } from "../model/plan.ts";
import { blockOf, standingBlocks } from "../planning/check-safety.ts";
import { assertNever } from "../model/result.ts";
import type { DesiredState } from "../model/spec.ts";
import type { LiveReader } from "../live/port.ts";
import type { PlanCalls } from "./plan-book.ts";
import type { RunCalls } from "./run-book.ts";
import type { ApplyOrder, StartCalls, StartRunFailure } from "./start-runs.ts";
import { readStoredPlan, unknownPlan } from "./make-plan.ts";
import { RefusedRequest } from "../model/refused-request.ts";
import { decodeJson } from "./store.ts";
import { isAnyWindowOpen } from "./windows.ts";

/** Messages of a refusal that are repeated in its text; `errors` has all. */
const MESSAGES_MAX = 5;

export interface ApplyParts {
  readonly live: LiveReader;
  readonly coordinator: {
    readonly plans: Reachable<PlanCalls>;
    readonly runs: Reachable<RunCalls>;
    readonly starts: Reachable<StartCalls>;
  };
}

/** @throws RefusedRequest as above; nothing was started then. */
export async function applyPlan(
  { live, coordinator }: ApplyParts,
  order: ApplyOrder,
): Promise<Run> {
  const { fingerprint } = order;
  const { plans, runs, starts } = coordinator;
  const plan = decodeJson(await readStoredPlan(plans, fingerprint)) as Plan;
  const namespaces = plan.changes.map(({ namespace }) => namespace);
  const checked = await starts.check(order, namespaces);
  if (!checked.ok) throw refusedStart(checked.failure, fingerprint);
  const { overrides, rival } = checked.value;
  if (rival?.fingerprint === fingerprint) return rival;
  if (rival) throw lockedBy(rival);
  refuseBlocked([
    ...standingBlocks(plan, overrides).filter(({ guard }) => guard !== "window"),
    ...(overrides.includes("window") ? [] : await closedWindows(plans, plan)),
  ]);
  const stale = await findStaleChanges(plan, live);
  const pull = order.origin?.pull ?? null;
  const finished =
    stale.length > 0 && pull !== null ? await runs.findSucceeded(fingerprint, pull) : null;
  if (finished) return finished;
  refuseStale(stale);
  const started = await starts.start(order);
  if (started.ok) return started.value;
  throw refusedStart(started.failure, fingerprint);
}

/**
 * Windows are judged by the current clock: that of the plan has moved on, and the fingerprint has
 * no time in it.
 */
async function closedWindows(plans: Reachable<PlanCalls>, plan: Plan): Promise<Block[]> {
  const body = await plans.readDesiredBody(plan.fingerprint);
  if (!body) throw unknownPlan(plan.fingerprint);
  const changed = new Set(plan.changes.map(({ namespace }) => namespace));
  const now = Date.now();
  return (decodeJson(body) as DesiredState).namespaces
    .filter(({ name, policy }) => changed.has(name) && !isAnyWindowOpen(policy.windows, now))
    .map(({ name, policy }) => {
      const starts = policy.windows.map(({ start, timezone }) => `${start} ${timezone}`).join(", ");
      return blockOf(
        "window",
        name,
        `No window of '${name}' is open (they start at ${starts}): apply in one, or override window`,
      );
    });
}

function refuseBlocked(blocks: readonly Block[]): void {
  if (blocks.length === 0) return;
  const errors = blocks.map(({ namespace, guard, message }) => ({
    path: namespace ?? "",
    message: `${guard}: ${message}`,
  }));
  const counted = blocks.length === 1 ? "1 guard blocks it" : `${blocks.length} guards block it`;
  throw new RefusedRequest(
    "blocked",
    `Nothing was applied: ${counted}. ${listMessages(errors)}`,
    errors,
  );
}

function refuseStale(problems: readonly ChangeProblem[]): void {
  if (problems.length === 0) return;
  const errors = problems.map(({ namespace, message }) => ({ path: namespace, message }));
  if (problems.some(({ kind }) => kind === "stale")) {
    throw new RefusedRequest(
      "stalePlan",
      `Nothing was applied: the plan is stale. ${listMessages(errors)} Plan again and review what is new.`,
      errors,
    );
  }
  throw new RefusedRequest(
    "unavailable",
    `Nothing was applied: not every namespace could be read. ${listMessages(errors)}`,
    errors,
  );
}

function refusedStart(reason: StartRunFailure, fingerprint: string): RefusedRequest {
  switch (reason.kind) {
    case "locked":
      return lockedBy(reason.run);
    case "unknownPlan":
      return unknownPlan(fingerprint);
    case "notReviewed":
      return new RefusedRequest("notReviewed", `Nothing was applied: ${reason.message}`);
    default:
      return assertNever(reason);
  }
}

function lockedBy({ id, environment, requestedBy, origin, startedAt, lease }: Run): RefusedRequest {
  const pull = origin?.pull ? ` for pull request #${origin.pull}` : "";
  const page = origin?.runUrl ? ` (${origin.runUrl})` : "";
  const times = `its last step was at ${timeOf(lease.heartbeatAt)}, its lease expires at ${timeOf(lease.expiresAt)} if it takes no further step`;
  const detail = `Nothing was applied: run ${id} of ${environment} is active since ${timeOf(startedAt)}, asked for by ${requestedBy}${pull}${page}; ${times}. Follow it with \`shardctl status --run ${id}\`, or cancel it with \`shardctl cancel ${id}\`.`;
  return new RefusedRequest("locked", detail);
}

function timeOf(at: number): string {
  return new Date(at).toISOString();
}

function listMessages(
  errors: readonly { readonly path: string; readonly message: string }[],
): string {
  const shown = errors
    .slice(0, MESSAGES_MAX)
    .map(({ path, message }) =>
      path === "" || message.includes(`'${path}'`) ? `${message}.` : `${path}: ${message}.`,
    );
  const hidden = errors.length - shown.length;
  return [...shown, ...(hidden > 0 ? [`And ${hidden} more.`] : [])].join(" ");
}
