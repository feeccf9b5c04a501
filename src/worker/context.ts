/** What every handler of the HTTP API may use: the caller, the live namespaces and the coordinator. Nothing else reaches into `env`. */
import type { Context, Hono } from "hono";

import type { LiveAccess } from "../live/port.ts";
import { COORDINATOR_NAME, type CoordinatorApi } from "./coordinator-api.ts";
import type { Settings } from "./options.ts";
import { RefusedRequest } from "./problems.ts";
import type { Caller } from "./tokens.ts";

/** Calls the coordinator; every call of it may be repeated, so one that hit a restart is sent once more. */
export type CallCoordinator = <Value>(use: (coordinator: CoordinatorApi) => Promise<Value>) => Promise<Value>;

export interface ApiEnv {
  Bindings: object;
  Variables: {
    /** Of this request in the log, and in its answer as `x-request-id`. */
    correlationId: string;
    settings: Settings;
    caller: Caller;
    live: LiveAccess;
    coordinator: CallCoordinator;
  };
}
export type Api = Hono<ApiEnv>;
export type ApiContext = Context<ApiEnv>;

/** Binds the calls to the coordinator's object. */
export function createCoordinatorCalls(binding: DurableObjectNamespace): CallCoordinator {
  return async (use) => {
    // A stub stays broken after its object was reset: each try takes a new one.
    const open = (): CoordinatorApi => binding.getByName(COORDINATOR_NAME) as unknown as CoordinatorApi;
    try {
      return await use(open());
    } catch (error) {
      if (!isRestart(error)) throw error;
    }
    try {
      return await use(open());
    } catch (error) {
      if (!isRestart(error)) throw error;
      throw new RefusedRequest("unavailable", "The coordinator is restarting. Ask again in a moment; runs go on by themselves.");
    }
  };
}

/** The runtime marks the exceptions that say "this object was reset or moved", as opposed to ones that its code threw. */
function isRestart(error: unknown): boolean {
  if (typeof error !== "object" || error === null) return false;
  const marks = error as { readonly retryable?: unknown; readonly durableObjectReset?: unknown };
  return marks.retryable === true || marks.durableObjectReset === true;
}
