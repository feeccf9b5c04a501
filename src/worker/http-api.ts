/**
 * The HTTP API as one function from request to response. Owns what is the same for all routes: who may ask, what an error looks like,
 * and that an unexpected exception says nothing but an id to look for in the log.
 */
import { Hono } from "hono";
import { methodNotAllowed } from "hono/method-not-allowed";

import type { Result } from "../core/result.ts";
import type { LiveAccess } from "../live/port.ts";
import { createAuthorization, type AccessOptions, type RequireRole } from "./authorize.ts";
import { createCoordinatorCalls, type Api, type ApiEnv } from "./context.ts";
import { logError } from "./log.ts";
import type { Settings } from "./options.ts";
import { addPageRoutes } from "./page/page-routes.ts";
import type { ViewerOptions } from "./page/viewer.ts";
import { problemResponse, RefusedRequest } from "./problems.ts";
import { addNamespaceRoutes } from "./routes/namespaces.ts";
import { addPlanRoutes } from "./routes/plans.ts";
import { addReviewRoutes } from "./routes/reviews.ts";
import { addReconcileRoutes } from "./routes/reconcile.ts";
import { addRunRoutes } from "./routes/runs.ts";
import { addWebhookRoute } from "./routes/webhook.ts";

export interface HttpApiOptions extends AccessOptions, ViewerOptions {
  readonly settings: (env: object) => Result<Settings, string>;
  readonly live: (env: object) => LiveAccess;
  readonly coordinator: (env: object) => DurableObjectNamespace;
  /** More routes of the same Worker, under the same rules. */
  readonly extend?: (api: Api, requireRole: RequireRole) => void;
}

export function createHttpApi(options: HttpApiOptions): Api {
  const api: Api = new Hono<ApiEnv>();
  api.use(methodNotAllowed({ app: api, onMethodNotAllowed: (context, methods) => refuseMethod(context.req.method, methods) }));
  api.use(async (context, next) => {
    const settings = options.settings(context.env);
    if (!settings.ok) return problemResponse("unavailable", settings.failure);
    context.set("settings", settings.value);
    context.set("live", options.live(context.env));
    context.set("coordinator", createCoordinatorCalls(options.coordinator(context.env)));
    await next();
    if (!context.res.headers.has("cache-control")) context.header("cache-control", "no-store");
    return undefined;
  });
  api.get("/healthz", (context) => context.json({ status: "ok" }));
  const requireRole = createAuthorization(options);
  addNamespaceRoutes(api, requireRole);
  addPlanRoutes(api, requireRole);
  addReviewRoutes(api, requireRole);
  addRunRoutes(api, requireRole);
  addReconcileRoutes(api, requireRole);
  addWebhookRoute(api);
  addPageRoutes(api, options);
  options.extend?.(api, requireRole);
  api.notFound((context) => problemResponse("notFound", `There is nothing at ${context.req.path}.`));
  api.onError((error) =>
    error instanceof RefusedRequest ? problemResponse(error.kind, error.message, error.errors) : hideError(error),
  );
  return api;
}

function refuseMethod(method: string, allowed: readonly string[]): Response {
  const allow = allowed.join(", ");
  return problemResponse("methodNotAllowed", `${method} is not possible here; ${allow} is.`, undefined, { allow });
}

function hideError(error: unknown): Response {
  const id = crypto.randomUUID();
  logError("http.unexpected", { id }, error);
  return problemResponse("internal", `Something went wrong that should not have. The Worker's log has it under the id ${id}.`);
}
