/**
 * The HTTP API as one function from request to response. Owns what is the same for all routes: who
 * may ask, what an error looks like, and that an unexpected exception says nothing but an id to
 * look for in the log.
 */
import { Hono } from "hono";
import { methodNotAllowed } from "hono/method-not-allowed";

import { watchRegistries } from "../live/watch-registries.ts";
import type { SeenRegistry } from "../model/disorder.ts";
import type { NamespaceRef } from "../model/live.ts";
import type { Result } from "../model/result.ts";
import type { LiveAccess } from "../live/port.ts";
import { createAuthorization, type AccessOptions, type RequireRole } from "./access/authorize.ts";
import type { RemoteCoordinator } from "./coordinator/coordinator-api.ts";
import { reachCoordinator } from "./coordinator/reach-coordinator.ts";
import type { Api, ApiContext, ApiEnv } from "./context.ts";
import { logError, logEvent } from "../log.ts";
import { addPageRoutes } from "./routes/page.ts";
import type { ViewerOptions } from "./access/viewer.ts";
import { hideSplitPoints } from "./hide-split-points.ts";
import { problemResponse } from "./problems.ts";
import { RefusedRequest } from "../model/refused-request.ts";
import { addEventRoutes } from "./routes/events.ts";
import { addForgetRoutes } from "./routes/forget.ts";
import { addHealthRoutes } from "./routes/health.ts";
import { addNamespaceRoutes } from "./routes/namespaces.ts";
import { addPauseRoutes } from "./routes/pause.ts";
import { addPlanRoutes } from "./routes/plans.ts";
import { addRepairRoutes } from "./routes/repair.ts";
import { addReviewRoutes } from "./routes/reviews.ts";
import { addReconcileRoutes } from "./routes/reconcile.ts";
import { addRunRoutes } from "./routes/runs.ts";
import { addStateRoutes } from "./routes/state.ts";
import { addWebhookRoute } from "./routes/webhook.ts";
import type { Settings } from "./settings.ts";
import type { Caller } from "./access/tokens.ts";

export interface HttpApiOptions extends AccessOptions, ViewerOptions {
  readonly settings: (env: object) => Result<Settings, string>;
  readonly liveAccess: (env: object) => LiveAccess;
  readonly coordinator: (env: object) => DurableObjectNamespace;
  /** More routes of the same Worker, under the same rules. */
  readonly extend?: (api: Api, requireRole: RequireRole) => void;
}

export function createHttpApi(options: HttpApiOptions): Api {
  const api: Api = new Hono<ApiEnv>();
  api.use(
    methodNotAllowed({
      app: api,
      onMethodNotAllowed: (context, methods) => refuseMethod(context.req.method, methods),
    }),
  );
  api.use(async (context, next) => {
    const correlationId = correlationIdOf(context.req.header("cf-ray"));
    const startedAt = Date.now();
    context.set("correlationId", correlationId);
    await next();
    context.header("x-request-id", correlationId);
    logRequest(context, correlationId, Date.now() - startedAt);
  });
  api.use(async (context, next) => {
    const settings = options.settings(context.env);
    if (!settings.ok) return problemResponse("unavailable", settings.failure);
    context.set("settings", settings.value);
    const coordinator = reachCoordinator(options.coordinator(context.env));
    context.set("coordinator", coordinator);
    context.set(
      "liveAccess",
      watchRegistries(options.liveAccess(context.env), createSeenLookup(coordinator)),
    );
    await next();
    await hideSplitPoints(context);
    if (!context.res.headers.has("cache-control")) context.header("cache-control", "no-store");
    return undefined;
  });
  const requireRole = createAuthorization(options);
  addHealthRoutes(api, requireRole);
  addEventRoutes(api, requireRole);
  addNamespaceRoutes(api, requireRole);
  addPlanRoutes(api, requireRole);
  addReviewRoutes(api, requireRole);
  addRunRoutes(api, requireRole);
  addReconcileRoutes(api, requireRole);
  addPauseRoutes(api, requireRole);
  addRepairRoutes(api, requireRole);
  addForgetRoutes(api, requireRole);
  addStateRoutes(api, requireRole);
  addWebhookRoute(api);
  addPageRoutes(api, options);
  options.extend?.(api, requireRole);
  api.notFound((context) =>
    problemResponse("notFound", `There is nothing at ${context.req.path}.`),
  );
  api.onError((error, context) =>
    error instanceof RefusedRequest
      ? problemResponse(error.kind, error.message, error.errors)
      : hideError(error, context.var.correlationId),
  );
  return api;
}

/** Asks the coordinator once a request, and only when a namespace is read. */
function createSeenLookup({
  registries,
}: RemoteCoordinator): (ref: NamespaceRef) => Promise<SeenRegistry | null> {
  let known: Promise<ReadonlyMap<string, SeenRegistry>> | null = null;
  return async ({ object, name }) => {
    known ??= registries
      .list()
      .then(
        (all) =>
          new Map(
            all.map((one) => [
              `${one.object}/${one.name}`,
              { epoch: one.epoch, at: one.at, members: [], repairs: 0 },
            ]),
          ),
      );
    return (await known).get(`${object}/${name}`) ?? null;
  };
}

/** Cloudflare's id of the request, so that its own logs and ours meet; a made one elsewhere. */
function correlationIdOf(ray: string | undefined): string {
  return ray !== undefined && /^[\w-]{1,64}$/.test(ray) ? ray : crypto.randomUUID();
}

/**
 * Logs requests that change something, and those that were refused: the runtime's own log has the
 * rest. No query, header or body is logged.
 */
function logRequest(
  { req, res, var: { caller } }: ApiContext,
  correlationId: string,
  durationMs: number,
): void {
  if (req.method === "GET" && res.status < 400) return;
  const { method, path } = req;
  // Not set when the request never got as far as its check.
  const by = (caller as Caller | undefined)?.name ?? "";
  logEvent("http.request", {
    correlationId,
    method,
    path,
    status: res.status,
    durationMs,
    caller: by,
  });
}

function refuseMethod(method: string, allowed: readonly string[]): Response {
  const allow = allowed.join(", ");
  return problemResponse(
    "methodNotAllowed",
    `${method} is not possible here; ${allow} is.`,
    undefined,
    { allow },
  );
}

function hideError(error: unknown, id: string): Response {
  logError("http.unexpected", { correlationId: id }, error);
  return problemResponse(
    "internal",
    `An unexpected error occurred. The Worker's log has it under the id ${id}.`,
  );
}
