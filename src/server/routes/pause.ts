/**
 * `/v1/pause` and `/v1/namespaces/:name/pause`: the switch that stops everything, and the operation
 * of one namespace.
 */
import * as z from "zod";

import type { OperationStatus } from "../../model/operation.ts";
import type { RequireRole } from "../access/authorize.ts";
import type { Api, ApiContext } from "../context.ts";
import { pauseOperation, resumeOperation } from "../../pauses/pause-operation.ts";
import { limitBody, readBody } from "../read-request.ts";
import { resolveRef } from "../resolve-ref.ts";

const REASON_LENGTH_MAX = 500;

const pauseSchema = z.strictObject({
  reason: z
    .string()
    .min(1)
    .max(REASON_LENGTH_MAX)
    .regex(/^[^\p{Cc}\p{Cs}]+$/u, "must have no control characters"),
});

export function addPauseRoutes(api: Api, requireRole: RequireRole): void {
  api.put("/v1/pause", requireRole("apply", "everything"), limitBody(), async (context) => {
    const { reason } = await readBody(context, pauseSchema);
    const by = context.var.caller.name;
    const { pauses } = context.var.coordinator;
    return context.json(await pauses.set({ by, reason, at: Date.now() }, by));
  });

  api.delete("/v1/pause", requireRole("apply", "everything"), async (context) => {
    await context.var.coordinator.pauses.set(null, context.var.caller.name);
    return new Response(null, { status: 204 });
  });

  api.put(
    "/v1/namespaces/:name/pause",
    requireRole("apply", "namespace"),
    limitBody(),
    async (context) => {
      const { reason } = await readBody(context, pauseSchema);
      const ref = await resolveRef(context, context.req.param("name"));
      return context.json<OperationStatus>(await pauseOperation(partsOf(context), ref, reason));
    },
  );

  api.delete("/v1/namespaces/:name/pause", requireRole("apply", "namespace"), async (context) => {
    const ref = await resolveRef(context, context.req.param("name"));
    return context.json<OperationStatus>(await resumeOperation(partsOf(context), ref));
  });
}

function partsOf({ var: { liveAccess, coordinator, caller } }: ApiContext) {
  return { liveAccess, pauses: coordinator.pauses, by: caller.name };
}
