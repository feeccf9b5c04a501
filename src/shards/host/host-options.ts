/** What a host is made with: what the user's class says of the namespace, and the platform that it runs on. */
import type { Partitioners } from "../../core/partitioners.ts";
import type { RegistryEntry, StoredEvent } from "../root/journal.ts";
import type { HostStorage, Peers, Runtime } from "../storage/storage.ts";
import type { TableSpec } from "../storage/tables.ts";

export interface ShardHostOptions {
  /** The tables that belong to the namespace. */
  readonly tables: readonly TableSpec[];
  /** The partitioners that `strategy: custom` may name. */
  readonly partitioners?: Partitioners;
  /** Told of every event of operations on this root, after it is stored. */
  readonly onEvent?: (event: StoredEvent) => void;
  /** Tables of the object itself, which never move: they are not reported as staying behind. */
  readonly localTables?: readonly string[];
  /** Called on the root inside the transaction that commits an epoch, to keep the user's own records in step. Must not throw. */
  readonly onEpoch?: (entry: RegistryEntry) => void;
}

/** What the host runs on: the object's name, its storage, and how to reach others. `createHost` makes it from a Durable Object. */
export interface HostPlatform {
  /** The object's name; undefined for an object without one, which cannot be part of a namespace. */
  readonly self: string | undefined;
  readonly storage: HostStorage;
  readonly runtime: Runtime;
  /** Null when the class's own binding is not known: then nothing can be sharded. */
  readonly peers: Peers | null;
}
