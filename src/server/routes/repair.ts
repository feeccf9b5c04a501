/**
 * `/v1/namespaces/:name/repair`: what is out of step and what a repair would do, and its
 * application, exactly as it was shown.
 */
import * as z from "zod";

import type { RepairOutcome, RepairPlan, RepairRequest } from "../../model/repair.ts";
import { SEEN_MEMBERS_MAX } from "../../model/disorder.ts";
import { isMemberName } from "../../model/layout/layout.ts";
import type { NamespaceRef } from "../../model/live.ts";
import type { RequireRole } from "../access/authorize.ts";
import type { Api, ApiContext } from "../context.ts";
import { RefusedRequest } from "../../model/refused-request.ts";
import { limitBody, readBody } from "../read-request.ts";
import { applyRepair, showRepair } from "../../repair/repair-namespace.ts";
import { resolveRef } from "../resolve-ref.ts";

/** Durable Object names are longer only where nobody shards. */
const NAME_LENGTH_MAX = 512;

const namesSchema = z
  .array(
    z
      .string()
      .min(1)
      .max(NAME_LENGTH_MAX)
      .regex(/^[^\p{Cc}\p{Cs}]+$/u, "must have no control characters"),
  )
  .max(SEEN_MEMBERS_MAX);

const repairSchema = z.strictObject({
  fingerprint: z.string().regex(/^[0-9a-f]{16,64}$/, "must be the hex digits of a repair plan"),
  members: namesSchema.default([]),
  acceptLoss: namesSchema.default([]),
  directory: z.boolean().default(false),
});

export function addRepairRoutes(api: Api, requireRole: RequireRole): void {
  api.get("/v1/namespaces/:name/repair", requireRole("plan", "namespace"), async (context) => {
    const request = readRequest(context);
    const ref = await resolveRef(context, context.req.param("name"));
    refuseOthersMembers(context, ref, request);
    return context.json<RepairPlan>(await showRepair(context.var, ref, request));
  });

  api.post(
    "/v1/namespaces/:name/repair",
    requireRole("apply", "namespace"),
    limitBody(),
    async (context) => {
      const { fingerprint, ...request } = await readBody(context, repairSchema);
      const ref = await resolveRef(context, context.req.param("name"));
      refuseOthersMembers(context, ref, request);
      const by = context.var.caller.name;
      return context.json<RepairOutcome>(
        await applyRepair(context.var, ref, request, fingerprint, by),
      );
    },
  );
}

/** A token with a scope may name no objects but those that the namespace may name itself. */
function refuseOthersMembers(
  { var: { scope } }: ApiContext,
  { name }: NamespaceRef,
  { members, acceptLoss }: RepairRequest,
): void {
  if (scope.isEverything) return;
  const other = [...members, ...acceptLoss].find((member) => !isMemberName(name, member));
  if (other !== undefined) throw scope.refuse(`object '${other}', which is no shard of '${name}'`);
}

/**
 * `?member=` and `?acceptLoss=`, each as often as there are names, and `?directory=true`. @throws
 * RefusedRequest
 */
function readRequest(context: ApiContext): RepairRequest {
  return {
    members: readNames(context, "member"),
    acceptLoss: readNames(context, "acceptLoss"),
    directory: readDirectory(context),
  };
}

function readDirectory(context: ApiContext): boolean {
  const directory = context.req.query("directory");
  if (directory === undefined || directory === "true") return directory === "true";
  throw new RefusedRequest("invalid", "?directory= must be true, or be left out.");
}

function readNames(context: ApiContext, parameter: string): string[] {
  const read = namesSchema.safeParse(context.req.queries(parameter) ?? []);
  if (read.success) return read.data;
  throw new RefusedRequest(
    "invalid",
    `?${parameter}= must be the name of an object, at most ${NAME_LENGTH_MAX} characters, and at most ${SEEN_MEMBERS_MAX} of them.`,
  );
}
