/** Reaches the coordinator's object, and sends a call that hit a restart once more. */
import { COORDINATOR_NAME, type CallCoordinator, type CoordinatorApi } from "./coordinator-api.ts";
import { RefusedRequest } from "../../model/refused-request.ts";

/**
 * Binds the calls to the coordinator's object. @throws RefusedRequest `unavailable` from a call
 * that hits a second restart.
 */
export function createCoordinatorCalls(binding: DurableObjectNamespace): CallCoordinator {
  return async (use) => {
    // A stub stays broken after its object was reset: each try takes a new one.
    const open = (): CoordinatorApi =>
      binding.getByName(COORDINATOR_NAME) as unknown as CoordinatorApi;
    try {
      return await use(open());
    } catch (error) {
      if (!isRestart(error)) throw error;
    }
    try {
      return await use(open());
    } catch (error) {
      if (!isRestart(error)) throw error;
      throw new RefusedRequest(
        "unavailable",
        "The coordinator is restarting. Ask again in a moment; runs continue meanwhile.",
      );
    }
  };
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
