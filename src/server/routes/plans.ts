/**
 * `/v1/plans`: making plans, reading them, and applying one exactly as it was reviewed or not at
 * all.
 */
import type { ApplyRequest } from "../../model/api.ts";
import { pullOfRef } from "../access/actions-identity.ts";
import { applyPlan } from "../../runs/apply-plan.ts";
import { checkOrigin } from "../access/check-origin.ts";
import type { RequireRole } from "../access/authorize.ts";
import type { CallerScope } from "../access/caller-scope.ts";
import type { Api, ApiContext } from "../context.ts";
import { RefusedRequest } from "../../model/refused-request.ts";
import type { Plan } from "../../model/plan.ts";
import type { DesiredState } from "../../model/spec.ts";
import { decodeJson } from "../../runs/store.ts";
import { makePlan, type PlanParts, readStoredPlan } from "../../runs/make-plan.ts";
import { limitBody, readBody } from "../read-request.ts";
import { applyRequestSchema, planRequestSchema } from "../schemas.ts";
import { runAccepted } from "./runs.ts";

export function addPlanRoutes(api: Api, requireRole: RequireRole): void {
  api.post("/v1/plans", requireRole("plan", "checked"), limitBody(), async (context) => {
    const { desired, basis, exact } = await readBody(context, planRequestSchema);
    const parts = await planWithinScope(context, desired, basis ?? null);
    const { actions } = context.var.caller;
    // A namespace that a pull request declares may never be merged: it is not known to be live, and
    // nobody else's plan calls it unmanaged.
    const isProposal = actions !== null && pullOfRef(actions.ref) !== null;
    const made = await makePlan(parts, desired, basis ?? null, !isProposal, exact === true);
    return jsonResponse(made.body);
  });

  api.get("/v1/plans/:fingerprint", requireRole("read", "checked"), async (context) => {
    const fingerprint = context.req.param("fingerprint");
    const { scope, coordinator } = context.var;
    await scope.requirePlan(fingerprint);
    const body = await readStoredPlan(coordinator.plans, fingerprint);
    if (scope.isEverything) return jsonResponse(body);
    return context.json<Plan>(await scope.showPlan(decodeJson(body) as Plan));
  });

  api.post(
    "/v1/plans/:fingerprint/apply",
    requireRole("apply", "checked"),
    limitBody(),
    async (context) => {
      const request = await readBody<ApplyRequest>(context, applyRequestSchema, {});
      const { caller, coordinator, scope } = context.var;
      const fingerprint = context.req.param("fingerprint");
      const held = await scope.requireChanges(fingerprint);
      const holdsFor = held && [...held, ...(await knownTo(context, fingerprint))];
      const given = request.origin ?? null;
      const origin =
        caller.actions === null
          ? given
          : await checkOrigin(caller.actions, given, coordinator.mergedPulls);
      const order = {
        fingerprint,
        overrides: request.overrides ?? [],
        requestedBy: request.requestedBy ? `${caller.name} (${request.requestedBy})` : caller.name,
        actor: caller.name,
        origin,
        needsReview: caller.actions !== null,
        ...(holdsFor === null ? {} : { holdsFor }),
      };
      const run = await applyPlan(context.var, order).catch((error: unknown) =>
        hideRival(error, scope),
      );
      return runAccepted(run);
    },
  );
}

/**
 * Names of all namespaces that the plan's environment knows, or that the caller has declared with
 * the plan, and that they hold for.
 */
async function knownTo(
  { var: { scope, caller, coordinator } }: ApiContext,
  fingerprint: string,
): Promise<string[]> {
  const { plans } = coordinator;
  const environment = await plans.environmentOf(fingerprint);
  if (environment === null) return [];
  const known = [
    ...(await plans.listNamespaces(environment)),
    ...(await plans.textRefs(fingerprint, caller.name)),
  ];
  return (await scope.filter(known, environment)).map(({ name }) => name);
}

/**
 * The parts to plan with, which know of no other namespace than the caller's token holds for: the
 * plan tells of none.
 */
async function planWithinScope(
  context: ApiContext,
  { environment, namespaces }: DesiredState,
  basis: string | null,
): Promise<PlanParts> {
  const { scope, liveAccess, caller, coordinator } = context.var;
  if (scope.isEverything) return context.var;
  scope.requireEnvironment(environment);
  const refs = namespaces.map(({ name, object }) => ({ name, object }));
  const held = await scope.filter(refs, environment);
  const other = refs.find((ref) => !held.includes(ref));
  if (other !== undefined) await scope.require(other, environment);
  if (basis !== null) await scope.requirePlan(basis);
  const { plans } = coordinator;
  const known: PlanParts["coordinator"]["plans"] = {
    put: (...stored) => plans.put(...stored),
    textRefs: (...asked) => plans.textRefs(...asked),
    readBody: (fingerprint) => plans.readBody(fingerprint),
    readDesiredBody: (fingerprint) => plans.readDesiredBody(fingerprint),
    readGuardedBody: (fingerprint) => plans.readGuardedBody(fingerprint),
    policies: async (of) => {
      const standing = await plans.policies(of);
      const isOwn = ([name]: (typeof standing.applied)[number]): boolean =>
        refs.some((ref) => ref.name === name);
      return { ...standing, applied: standing.applied.filter(isOwn) };
    },
    environmentOf: (fingerprint) => plans.environmentOf(fingerprint),
    // That a name lives behind another binding is told, or the guard for it would be off.
    listNamespaces: async (of) => {
      const all = await plans.listNamespaces(of);
      const seen = await scope.filter(all, of);
      return all.filter((ref) => seen.includes(ref) || refs.some(({ name }) => name === ref.name));
    },
  };
  return { liveAccess, caller, coordinator: { plans: known } };
}

/** A token with a scope hears that another run is active, and not whose. */
function hideRival(error: unknown, scope: CallerScope): never {
  if (!(error instanceof RefusedRequest) || error.kind !== "locked" || scope.isEverything)
    throw error;
  throw new RefusedRequest(
    "locked",
    "Nothing was applied: another run is active in this environment. Try again when it has ended; `shardctl status` shows it if your token holds for what it changes.",
  );
}

function jsonResponse(body: Uint8Array): Response {
  return new Response(body, { headers: { "content-type": "application/json" } });
}
