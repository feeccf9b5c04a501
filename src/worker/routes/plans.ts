/** `/v1/plans`: making plans, reading them, and applying one exactly as it was reviewed or not at all. */
import { findStaleChanges } from "../../apply/find-stale-changes.ts";
import { gatherLive } from "../../apply/gather-live.ts";
import type { ApplyRequest, PlanRequest, Run } from "../../core/api.ts";
import type { Block, Plan } from "../../core/plan.ts";
import { buildPlan } from "../../core/planning/build-plan.ts";
import { blockOf, standingBlocks } from "../../core/planning/check-safety.ts";
import type { DesiredState } from "../../core/spec.ts";
import type { RequireRole } from "../authorize.ts";
import type { Api, ApiContext } from "../context.ts";
import type { StartRunFailure } from "../coordinator.ts";
import { RefusedRequest } from "../problems.ts";
import { limitBody, readBody } from "../read-request.ts";
import { applyRequestSchema, planRequestSchema } from "../schemas.ts";
import { decodeJson, encodeJson } from "../store.ts";
import { isAnyWindowOpen } from "../windows.ts";
import { runAccepted } from "./runs.ts";

/** Plans travel to the coordinator in one call, which carries 32 MiB with its desired state. */
const PLAN_BYTES_MAX = 20 * 1024 * 1024;

/** Messages of a refusal that are repeated in its text; `errors` has all. */
const MESSAGES_MAX = 5;

export function addPlanRoutes(api: Api, requireRole: RequireRole): void {
  api.post("/v1/plans", requireRole("plan"), limitBody(), async (context) => {
    const request = await readBody(context, planRequestSchema);
    return jsonResponse(await makePlan(context, request));
  });

  api.get("/v1/plans/:fingerprint", requireRole("read"), async (context) => {
    return jsonResponse(await readPlan(context, context.req.param("fingerprint")));
  });

  api.post("/v1/plans/:fingerprint/apply", requireRole("apply"), limitBody(), async (context) => {
    const request = await readBody<ApplyRequest>(context, applyRequestSchema, {});
    return runAccepted(await applyPlan(context, context.req.param("fingerprint"), request));
  });
}

async function makePlan(context: ApiContext, request: PlanRequest): Promise<Uint8Array> {
  const { coordinator, live } = context.var;
  const desired = sortNamespaces(request.desired);
  const basis = request.basis === undefined ? null : (decodeJson(await readPlan(context, request.basis)) as Plan);
  const known = await coordinator((calls) => calls.listNamespaces(desired.environment));
  const state = await gatherLive(live, desired, known, basis);
  const now = Date.now();
  const plan = await buildPlan({
    desired,
    live: state,
    basis,
    isWindowOpen: (spec) => isAnyWindowOpen(spec.policy.windows, now),
  });
  const body = encodeJson(plan);
  if (body.length > PLAN_BYTES_MAX) {
    throw new RefusedRequest(
      "tooLarge",
      `The plan has ${body.length} bytes, more than ${PLAN_BYTES_MAX}: plan fewer namespaces at a time.`,
    );
  }
  const seen = state.namespaces.filter(({ namespace }) => namespace.ok).map(({ ref }) => ref);
  const stored = { fingerprint: plan.fingerprint, environment: plan.environment, body, desired: encodeJson(desired) };
  await coordinator((calls) => calls.storePlan(stored, seen));
  return body;
}

/**
 * Refuses, in this order: an unknown plan, another active run, a standing block, a namespace that is not as planned. An active run of
 * the same plan is the answer: asking twice is asking once.
 */
async function applyPlan(context: ApiContext, fingerprint: string, request: ApplyRequest): Promise<Run> {
  const { coordinator, live, caller } = context.var;
  const plan = decodeJson(await readPlan(context, fingerprint)) as Plan;
  const rival = await coordinator((calls) => calls.findRival(fingerprint));
  if (rival?.fingerprint === fingerprint) return rival;
  if (rival) throw lockedBy(rival);
  const overrides = request.overrides ?? [];
  refuseBlocked([
    ...standingBlocks(plan, overrides).filter(({ guard }) => guard !== "window"),
    ...(overrides.includes("window") ? [] : await closedWindows(context, plan)),
  ]);
  refuseStale(await findStaleChanges(plan, live));
  const requestedBy = request.requestedBy ? `${caller.name} (${request.requestedBy})` : caller.name;
  const started = await coordinator((calls) =>
    calls.startRun({ fingerprint, overrides, requestedBy, origin: request.origin ?? null }),
  );
  if (started.ok) return started.value;
  throw refusedStart(started.failure, fingerprint);
}

async function readPlan(context: ApiContext, fingerprint: string): Promise<Uint8Array> {
  const body = await context.var.coordinator((calls) => calls.readPlan(fingerprint));
  if (body) return body;
  throw unknownPlan(fingerprint);
}

/** Windows are judged by the clock of now: the one of the plan has moved on, and the fingerprint has no time in it. */
async function closedWindows(context: ApiContext, plan: Plan): Promise<Block[]> {
  const body = await context.var.coordinator((calls) => calls.readDesired(plan.fingerprint));
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
  const errors = blocks.map(({ namespace, guard, message }) => ({ path: namespace ?? "", message: `${guard}: ${message}` }));
  const counted = blocks.length === 1 ? "1 guard stands against it" : `${blocks.length} guards stand against it`;
  throw new RefusedRequest("blocked", `Nothing was applied: ${counted}. ${listMessages(errors)}`, errors);
}

function refuseStale(problems: Awaited<ReturnType<typeof findStaleChanges>>): void {
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
  return reason.kind === "locked" ? lockedBy(reason.run) : unknownPlan(fingerprint);
}

function lockedBy(run: Run): RefusedRequest {
  const since = new Date(run.startedAt).toISOString();
  const detail = `Nothing was applied: run ${run.id} of ${run.environment} is active since ${since}, asked for by ${run.requestedBy}. Follow it with \`shardctl status --run ${run.id}\`, or cancel it with \`shardctl cancel ${run.id}\`.`;
  return new RefusedRequest("locked", detail);
}

function unknownPlan(fingerprint: string): RefusedRequest {
  return new RefusedRequest(
    "unknownPlan",
    `No plan ${fingerprint} is stored here: it was made elsewhere, or has expired. Plan again.`,
  );
}

function listMessages(errors: readonly { readonly path: string; readonly message: string }[]): string {
  const shown = errors
    .slice(0, MESSAGES_MAX)
    .map(({ path, message }) => (path === "" || message.includes(`'${path}'`) ? `${message}.` : `${path}: ${message}.`));
  const hidden = errors.length - shown.length;
  return [...shown, ...(hidden > 0 ? [`And ${hidden} more.`] : [])].join(" ");
}

function sortNamespaces(desired: DesiredState): DesiredState {
  return { ...desired, namespaces: desired.namespaces.toSorted((left, right) => (left.name < right.name ? -1 : 1)) };
}

function jsonResponse(body: Uint8Array): Response {
  return new Response(body, { headers: { "content-type": "application/json" } });
}
