/** Reaches the coordinator's object, and sends a call that hit a restart once more. */
import { COORDINATOR_NAME, type RemoteCoordinator } from "./coordinator-api.ts";
import { RefusedRequest } from "../../model/refused-request.ts";

/** The one method of the object that carries every call. */
export interface CallCarrier {
  call(part: string, name: string, args: readonly unknown[]): Promise<unknown>;
}

/**
 * The coordinator behind the binding: `coordinator.plans.readBody(fingerprint)` is one call of its
 * object. Each throws RefusedRequest `unavailable` when it hits a second restart.
 */
export function reachCoordinator(binding: DurableObjectNamespace): RemoteCoordinator {
  const send = async (part: string, name: string, args: readonly unknown[]): Promise<unknown> => {
    // A stub stays broken after its object was reset: each try takes a new one.
    const carrier = (): CallCarrier =>
      binding.getByName(COORDINATOR_NAME) as unknown as CallCarrier;
    try {
      return await carrier().call(part, name, args);
    } catch (error) {
      if (!isRestart(error)) throw error;
    }
    try {
      return await carrier().call(part, name, args);
    } catch (error) {
      if (!isRestart(error)) throw error;
      throw new RefusedRequest(
        "unavailable",
        "The coordinator is restarting. Ask again in a moment; runs continue meanwhile.",
      );
    }
  };
  const parts = byName((part) =>
    byName(
      (name) =>
        (...args: readonly unknown[]) =>
          send(part, name, args),
    ),
  );
  return parts as RemoteCoordinator;
}

/** An object that has a property of every name. */
function byName(make: (name: string) => unknown): object {
  return new Proxy(
    {},
    { get: (_target, name) => (typeof name === "string" ? make(name) : undefined) },
  );
}

/**
 * The runtime marks the exceptions that say "this object was reset or moved", as opposed to ones
 * that its code threw.
 */
function isRestart(error: unknown): boolean {
  if (typeof error !== "object" || error === null) return false;
  const marks = error as { readonly retryable?: unknown; readonly durableObjectReset?: unknown };
  return marks.retryable === true || marks.durableObjectReset === true;
}
