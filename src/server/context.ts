/**
 * Gives every handler of the HTTP API the caller, the live namespaces and the coordinator. Nothing
 * else reaches into `env`.
 */
import type { Context, Hono } from "hono";

import type { LiveAccess } from "../live/port.ts";
import type { RemoteCoordinator } from "./coordinator/coordinator-api.ts";
import type { Settings } from "./settings.ts";
import type { CallerScope } from "./access/caller-scope.ts";
import type { Caller } from "./access/tokens.ts";

export interface ApiEnv {
  Bindings: object;
  Variables: {
    /** Of this request in the log, and in its answer as `x-request-id`. */
    correlationId: string;
    settings: Settings;
    caller: Caller;
    /** Set with `caller`. */
    scope: CallerScope;
    liveAccess: LiveAccess;
    coordinator: RemoteCoordinator;
  };
}
export type Api = Hono<ApiEnv>;
export type ApiContext = Context<ApiEnv>;
