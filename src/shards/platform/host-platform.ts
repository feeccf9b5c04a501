/** The ports of a host: an object's name, its storage, its clock, and the way to its peers. */
import type { Chain } from "../../model/wire/protocol.ts";
import type { Peers } from "../protocol/peers.ts";
import type { HostStorage, RunAlone, Runtime } from "../storage/storage.ts";

/**
 * Result of checking whether the binding of the object's class has this very object under a name.
 *
 * | verdict      | means                                                                        |
 * |--------------|------------------------------------------------------------------------------|
 * | `mine`       | the name leads here                                                          |
 * | `other`      | the name leads to another object                                             |
 * | `tooLong`    | no object can know a name of more than 1,024 bytes                           |
 * | `unprovable` | the binding of the class is not known                                        |
 */
export type NameVerdict = "mine" | "other" | "tooLong" | "unprovable";

/**
 * Platform of the host: the object's name, its storage, and access to others. `createHost` makes it
 * from a Durable Object.
 */
export interface HostPlatform {
  /**
   * The object's name as the runtime gives it. Undefined for one that was first opened by its id or
   * woken by an old alarm, and for one that has none: the host learns it from a message, if
   * `identify` proves it.
   */
  readonly self: string | undefined;
  /** Proves a name. Costs a hash: ask once for each life of the object, not for each call. */
  identify(name: string): NameVerdict;
  /**
   * The id of a peer, in this object's own jurisdiction, as text; empty when the class's binding is
   * not known.
   */
  idOf(member: string): string;
  readonly storage: HostStorage;
  readonly runtime: Runtime;
  readonly alone: RunAlone;
  /**
   * The point in time to which this object can be restored, as the runtime names it. Absent where
   * there is no such thing.
   */
  readonly bookmark?: () => Promise<string>;
  /** Null when the class's own binding is not known: then nothing can be sharded. */
  readonly peers: Peers | null;
  /**
   * Runs a routed call so that routers which are made inside it can tell what is below them. Absent
   * where only the host's own can.
   */
  readonly runBelow?: <Value>(chain: Chain, work: () => Value | Promise<Value>) => Promise<Value>;
}
