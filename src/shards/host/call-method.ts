/**
 * Calls a method of the user's class by name, for the router: which methods those are, and what
 * their errors may say.
 */
import type { Chain } from "../../model/wire/protocol.ts";
import type { HostPlatform } from "../platform/host-platform.ts";
import { RefusedError, refused } from "../protocol/refused-error.ts";

/**
 * Runs a call so that what it sends can be told from other calls, where the platform can do that.
 */
export function callBelow({ runBelow }: HostPlatform, chain: Chain, work: () => unknown): unknown {
  return runBelow === undefined ? work() : runBelow(chain, work);
}

/** @throws RefusedError when there is no such method, and whatever the method throws. */
export function callMethod(target: object, name: string, args: readonly unknown[]): unknown {
  const method = methodOf(target, name);
  if (method === undefined || NOT_CALLABLE.has(name) || name.startsWith("_")) {
    throw refused(
      "invalid",
      `The class has no method '${name}' that can be called through the router`,
    );
  }
  return withoutRetries(() => Reflect.apply(method, target, args));
}

/**
 * A method that itself calls through a router may let a refusal of that call escape. "Try again"
 * was about that call: said of this one, it would run the method a second time, after it has
 * written.
 */
async function withoutRetries(method: () => unknown): Promise<unknown> {
  try {
    return await method();
  } catch (error) {
    if (error instanceof RefusedError && error.reason.retryable)
      throw new Error(error.message, { cause: error });
    throw error;
  }
}

/**
 * A method of the class or of one that it extends, as RPC has it: what stands on the instance,
 * behind a getter or on every object is none.
 */
function methodOf(target: object, name: string): ((...args: unknown[]) => unknown) | undefined {
  if (Object.hasOwn(target, name)) return undefined;
  for (
    let prototype = Reflect.getPrototypeOf(target);
    prototype !== null && prototype !== Object.prototype;
    prototype = Reflect.getPrototypeOf(prototype)
  ) {
    const found = Object.getOwnPropertyDescriptor(prototype, name);
    if (found)
      return typeof found.value === "function"
        ? (found.value as (...args: unknown[]) => unknown)
        : undefined;
  }
  return undefined;
}

const NOT_CALLABLE = new Set([
  "constructor",
  "shardctl",
  "alarm",
  "fetch",
  "webSocketMessage",
  "webSocketClose",
  "webSocketError",
  // ShardedObject gives these methods to its classes for their own use.
  "createHost",
  "onAlarm",
  "handle",
]);
