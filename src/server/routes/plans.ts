/**
 * `/v1/plans`: making plans, reading them, and applying one exactly as it was reviewed or not at
 * all.
 */
import type { ApplyRequest } from "../../model/api.ts";
import { pullOfRef } from "../access/actions-identity.ts";
import { applyPlan } from "../../runs/apply-plan.ts";
import { checkOrigin } from "../access/check-origin.ts";
import type { RequireRole } from "../access/authorize.ts";
import type { Api } from "../context.ts";
import { makePlan, readStoredPlan } from "../../runs/make-plan.ts";
import { limitBody, readBody } from "../read-request.ts";
import { applyRequestSchema, planRequestSchema } from "../schemas.ts";
import { runAccepted } from "./runs.ts";

export function addPlanRoutes(api: Api, requireRole: RequireRole): void {
  api.post("/v1/plans", requireRole("plan"), limitBody(), async (context) => {
    const { desired, basis } = await readBody(context, planRequestSchema);
    const { actions } = context.var.caller;
    // A namespace that a pull request declares may never be merged: it is not known to be live, and
    // nobody else's plan calls it unmanaged.
    const isProposal = actions !== null && pullOfRef(actions.ref) !== null;
    return jsonResponse((await makePlan(context.var, desired, basis ?? null, !isProposal)).body);
  });

  api.get("/v1/plans/:fingerprint", requireRole("read"), async (context) => {
    return jsonResponse(
      await readStoredPlan(context.var.coordinator.plans, context.req.param("fingerprint")),
    );
  });

  api.post("/v1/plans/:fingerprint/apply", requireRole("apply"), limitBody(), async (context) => {
    const request = await readBody<ApplyRequest>(context, applyRequestSchema, {});
    const { caller, coordinator } = context.var;
    const given = request.origin ?? null;
    const origin =
      caller.actions === null
        ? given
        : await checkOrigin(caller.actions, given, coordinator.mergedPulls);
    const run = await applyPlan(context.var, {
      fingerprint: context.req.param("fingerprint"),
      overrides: request.overrides ?? [],
      requestedBy: request.requestedBy ? `${caller.name} (${request.requestedBy})` : caller.name,
      actor: caller.name,
      origin,
      needsReview: caller.actions !== null,
    });
    return runAccepted(run);
  });
}

function jsonResponse(body: Uint8Array): Response {
  return new Response(body, { headers: { "content-type": "application/json" } });
}
