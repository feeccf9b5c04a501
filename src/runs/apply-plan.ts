/**
 * Starts the run of a stored plan, exactly as it was made or not at all.
 *
 * Refuses, in this order: an unknown plan, one that had to be reviewed and was not, another active
 * run, a guard that stands now, a namespace that is not as planned or as shown. An active run of
 * the same plan is the answer, and for a pull request so is the run that has carried its plan out:
 * a job that runs again is not told that its own work made its plan stale.
 */
import type { ChangeProblem } from "./find-stale-changes.ts";
import { judgePlan } from "./judge-start.ts";
import type { Run } from "../model/api.ts";
import type { Reachable } from "../model/calls.ts";
import type { Block, Guard, Plan } from "../model/plan.ts";
import { figuresOf } from "../model/count-moved.ts";
import { assertNever } from "../model/result.ts";
import type { NamespaceSpec } from "../model/spec.ts";
import type { LiveReader } from "../live/port.ts";
import type { PlanCalls } from "./plan-book.ts";
import type { RunCalls } from "./run-book.ts";
import type { ApplyOrder, StartCalls, StartRunFailure } from "./start-runs.ts";
import { readStoredPlan, unknownPlan } from "./make-plan.ts";
import { RefusedRequest } from "../model/refused-request.ts";
import { decodeJson } from "./store.ts";

/** Messages of a refusal that are repeated in its text; `errors` has all. */
const MESSAGES_MAX = 5;

export interface ApplyParts {
  readonly liveAccess: LiveReader;
  readonly coordinator: {
    readonly plans: Reachable<PlanCalls>;
    readonly runs: Reachable<RunCalls>;
    readonly starts: Reachable<StartCalls>;
  };
}

/** @throws RefusedRequest as above; nothing was started then. */
export async function applyPlan(
  { liveAccess, coordinator }: ApplyParts,
  order: ApplyOrder,
): Promise<Run> {
  const { fingerprint } = order;
  const { plans, runs, starts } = coordinator;
  const plan = decodeJson(await readStoredPlan(plans, fingerprint)) as Plan;
  const namespaces = plan.changes.map(({ namespace }) => namespace);
  const checked = await starts.check(order, namespaces);
  if (!checked.ok) throw refusedStart(checked.failure, fingerprint);
  const { overrides, rival, shown, stale } = checked.value;
  if (rival?.fingerprint === fingerprint) return rival;
  if (rival) throw lockedBy(rival);
  const now = Date.now();
  const judged = await judgePlan(plan, liveAccess, {
    specs: await readSpecs(plans, fingerprint),
    overrides,
    shown: shown ?? figuresOf(plan.changes),
    now,
  });
  const { blocks } = judged;
  const problems = [...stale, ...judged.problems];
  if (blocks.length > 0 && blocks.every(({ guard }) => passesByItself(guard)))
    await starts.putOff(order);
  refuseBlocked(blocks);
  const pull = order.origin?.pull ?? null;
  const finished =
    problems.length > 0 && pull !== null ? await runs.findSucceeded(fingerprint, pull) : null;
  if (finished) return finished;
  refuseStale(problems);
  const started = await starts.start(order, now);
  if (started.ok) return started.value;
  throw refusedStart(started.failure, fingerprint);
}

async function readSpecs(
  plans: Reachable<PlanCalls>,
  fingerprint: string,
): Promise<readonly NamespaceSpec[]> {
  const body = await plans.readGuardedBody(fingerprint);
  if (!body) throw unknownPlan(fingerprint);
  return decodeJson(body) as readonly NamespaceSpec[];
}

/** True for guards that wait for a moment, and that nobody has to decide about. */
function passesByItself(guard: Guard): boolean {
  return guard === "window" || guard === "suspend";
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
  if (problems.some(({ kind }) => kind !== "unreadable")) throw stalePlan(problems);
  const errors = errorsOf(problems);
  throw new RefusedRequest(
    "unavailable",
    `Nothing was applied: not every namespace could be read. ${listMessages(errors)}`,
    errors,
  );
}

function stalePlan(problems: readonly ChangeProblem[]): RefusedRequest {
  const errors = errorsOf(problems);
  return new RefusedRequest(
    "stalePlan",
    `Nothing was applied: the plan is stale. ${listMessages(errors)} Plan again and review the changes.`,
    errors,
  );
}

function errorsOf(
  problems: readonly ChangeProblem[],
): readonly { readonly path: string; readonly message: string }[] {
  return problems.map(({ namespace, message }) => ({ path: namespace, message }));
}

function refusedStart(reason: StartRunFailure, fingerprint: string): RefusedRequest {
  switch (reason.kind) {
    case "locked":
      return lockedBy(reason.run);
    case "unknownPlan":
      return unknownPlan(fingerprint);
    case "stale":
      return stalePlan(reason.problems);
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
  const detail = `Nothing was applied: run ${id} of ${environment} has been active since ${timeOf(startedAt)}, asked for by ${requestedBy}${pull}${page}; ${times}. Follow it with \`shardctl status --run ${id}\`, or cancel it with \`shardctl cancel ${id}\`.`;
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
