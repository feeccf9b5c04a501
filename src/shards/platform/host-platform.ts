/** The ports of a host: an object's name, its storage, its clock, and the way to its peers. */
import type { HostStorage, Peers, Runtime } from "../storage/storage.ts";

/** What the host runs on: the object's name, its storage, and how to reach others. `createHost` makes it from a Durable Object. */
export interface HostPlatform {
  /** The object's name; undefined for an object without one, which cannot be part of a namespace. */
  readonly self: string | undefined;
  readonly storage: HostStorage;
  readonly runtime: Runtime;
  /** Null when the class's own binding is not known: then nothing can be sharded. */
  readonly peers: Peers | null;
}
