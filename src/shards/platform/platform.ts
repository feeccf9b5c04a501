/**
 * The Durable Object runtime behind the library's ports: storage, clock, hashing, and other objects
 * by name.
 */
import { sha256Hex } from "../../model/canonical.ts";
import type { Envelope, ProtocolReply } from "../../model/wire/protocol.ts";
import { runBelow } from "./call-context.ts";
import { Home, type ObjectNamespace, isTooLong } from "./home.ts";
import type { HostPlatform } from "./host-platform.ts";
import { realAlarmOf } from "./real-alarm.ts";
import type { MemberRequest, ReplyTo } from "../protocol/messages.ts";
import type { Peers } from "../protocol/peers.ts";
import type { Runtime } from "../storage/storage.ts";

/** An object of the namespace's own class, as its stub. */
interface Endpoint {
  shardctl<Request extends MemberRequest>(
    envelope: Envelope<Request>,
  ): Promise<ProtocolReply<ReplyTo<Request>>>;
}

/**
 * Sends through a binding. A new stub for every call: a stub is dead after its object was aborted.
 */
export function createPeers(binding: ObjectNamespace): Peers {
  return peersOf(() => binding);
}

function peersOf(namespace: () => ObjectNamespace): Peers {
  return {
    send: async (member, envelope) => {
      const binding = namespace();
      const stub = binding.get(binding.idFromName(member)) as Endpoint;
      // The reply is a plain value; awaiting it also disposes of the RPC's own handles.
      return stub.shardctl(envelope);
    },
  };
}

/**
 * The namespace of an object's own class, as the Worker exports it under the class's name; null
 * when it does not. `ctx.exports` itself is there from compatibility date 2025-11-17 on.
 */
export function ownNamespace(ctx: DurableObjectState, object: object): ObjectNamespace | null {
  const entries: unknown = Reflect.get(ctx, "exports");
  if (!(entries instanceof Object)) return null;
  const exported: unknown = Reflect.get(entries, object.constructor.name);
  return exported instanceof Object && "idFromName" in exported
    ? (exported as ObjectNamespace)
    : null;
}

export const platformRuntime: Runtime = {
  now: () => Date.now(),
  sleep: (delayMs, signal) =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, delayMs);
      signal?.addEventListener("abort", () => {
        clearTimeout(timer);
        resolve();
      });
    }),
  digest: sha256Hex,
};

/**
 * The platform of a Durable Object. `binding` is the namespace of its own class; null leaves the
 * object unable to be sharded.
 */
export function durableObjectPlatform(
  ctx: DurableObjectState,
  binding: ObjectNamespace | null,
): HostPlatform {
  const { id, storage } = ctx;
  const home = new Home(id, binding);
  return {
    self: id.name === undefined || isTooLong(id.name) ? undefined : id.name,
    identify: (name) => home.identify(name),
    idOf: (member) => home.namespace()?.idFromName(member).toString() ?? "",
    storage: {
      sql: storage.sql,
      transactionSync: (closure) => storage.transactionSync(closure),
      ...realAlarmOf(storage),
    },
    runtime: platformRuntime,
    alone: (work) => ctx.blockConcurrencyWhile(() => work(platformRuntime.sleep)),
    ...("getCurrentBookmark" in storage ? { bookmark: () => storage.getCurrentBookmark() } : {}),
    peers: binding && peersOf(() => home.namespace() ?? binding),
    runBelow,
  };
}
