/**
 * `/v1/namespaces/:name/forget`: what is remembered of a namespace that is no more, and its end.
 */
import type { ForgetPlan } from "../../model/forget.ts";
import { forgetNamespace, planForget } from "../../reconcile/forget-namespace.ts";
import type { RequireRole } from "../access/authorize.ts";
import type { Api } from "../context.ts";
import { resolveRef } from "../resolve-ref.ts";

export function addForgetRoutes(api: Api, requireRole: RequireRole): void {
  api.get("/v1/namespaces/:name/forget", requireRole("read", "namespace"), async (context) => {
    const ref = await resolveRef(context, context.req.param("name"));
    const only = context.req.query("environment") || null;
    return context.json<ForgetPlan>(await planForget(context.var, ref, only));
  });

  api.post("/v1/namespaces/:name/forget", requireRole("apply", "namespace"), async (context) => {
    const ref = await resolveRef(context, context.req.param("name"));
    const only = context.req.query("environment") || null;
    const by = context.var.caller.name;
    return context.json<ForgetPlan>(await forgetNamespace(context.var, ref, only, by));
  });
}
