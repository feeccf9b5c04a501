/**
 * Implements the parts of `apply` between the plan and the end of the run: guards, the start, and
 * the reply to a stale plan.
 */
import type { Run } from "../model/api.ts";
import { type Block, GUARDS, type Guard, type Plan } from "../model/plan.ts";
import type { DesiredState } from "../model/spec.ts";
import type { ApiClient } from "./api-client.ts";
import { formatQuantity } from "../model/figures.ts";
import { type CliFailure, type CliResult, fail } from "./failure.ts";
import { describePlanDifference } from "../render/plan-difference.ts";
import { planJson } from "./views.ts";

/** Checks the words of `--override`. */
export function readGuards(words: readonly string[]): CliResult<readonly Guard[]> {
  const unknown = words.filter((word) => !GUARDS.includes(word as Guard));
  if (unknown.length === 0) return { ok: true, value: [...new Set(words as readonly Guard[])] };
  return fail(
    "usage",
    `There is no guard '${unknown.join("', '")}'.`,
    `The guards are: ${GUARDS.join(", ")}.`,
  );
}

export function failBlocked(plan: Plan, blocks: readonly Block[]): ReturnType<typeof fail> {
  const lines = blocks.map(
    (block) => `  ${block.namespace ?? "whole plan"}: ${block.message} [${block.guard}]`,
  );
  const overridable = [
    ...new Set(blocks.filter((block) => block.overridable).map((block) => block.guard)),
  ];
  const hard = blocks.some((block) => !block.overridable);
  const hint = hard
    ? "Resolve what cannot be overridden first, then plan again."
    : `Resolve it, or override it: shardctl apply --override ${overridable.join(" ")}`;
  return fail(
    "blocked",
    `Nothing was applied: ${formatQuantity(blocks.length, "guard")} ${blocks.length === 1 ? "blocks" : "block"} the plan.\n${lines.join("\n")}`,
    hint,
    {
      plan: planJson(plan),
    },
  );
}

/**
 * Starts the run. When the connection breaks after the request was sent, nobody knows whether it
 * arrived: the run is looked up by its fingerprint, and only when there is none, the request is
 * sent once more.
 */
export async function startRun(
  api: ApiClient,
  plan: Plan,
  overrides: readonly Guard[],
  requestedBy: string,
  nowMs: number,
): Promise<CliResult<Run>> {
  const request = { overrides, requestedBy };
  const first = await api.apply(plan.fingerprint, request);
  if (first.ok || !leftUnknown(first.failure)) return first;
  const runs = await api.runs();
  if (!runs.ok) return runs;
  const started = runs.value.find(
    (run) =>
      run.fingerprint === plan.fingerprint && (run.finishedAt === null || run.finishedAt >= nowMs),
  );
  return started === undefined
    ? api.apply(plan.fingerprint, request)
    : { ok: true, value: started };
}

function leftUnknown(failure: CliFailure): boolean {
  return (
    failure.kind === "unreachable" ||
    failure.kind === "timeout" ||
    failure.details?.["transient"] === true
  );
}

/**
 * The current plan, with the frozen choices of an earlier one as far as they still hold; without
 * them when the server has forgotten it.
 */
export async function planAgain(
  api: ApiClient,
  desired: DesiredState,
  basis: string,
): Promise<CliResult<Plan>> {
  const current = await api.createPlan({ desired, basis });
  return current.ok || current.failure.kind !== "stalePlan" ? current : api.createPlan({ desired });
}

/**
 * Adds to a stale-plan failure what has changed since `reviewed`, when the current plan can be
 * made.
 */
export async function refuseStale(
  api: ApiClient,
  failure: CliFailure,
  reviewed: Plan,
  desired: DesiredState | null,
): Promise<{ readonly ok: false; readonly failure: CliFailure }> {
  if (failure.kind !== "stalePlan" || desired === null) return { ok: false, failure };
  const current = await planAgain(api, desired, reviewed.fingerprint);
  return current.ok ? failStale(reviewed, current.value) : { ok: false, failure };
}

export function failStale(reviewed: Plan, current: Plan): ReturnType<typeof fail> {
  const changes = describePlanDifference(reviewed, current).map((line) => `  ${line}`);
  return fail(
    "stalePlan",
    `Nothing was applied: the plan ${reviewed.fingerprint.slice(0, 12)} is stale. Since it was made:\n${changes.join("\n")}`,
    "Review the new plan: shardctl plan",
    { reviewed: reviewed.fingerprint, plan: planJson(current) },
  );
}
