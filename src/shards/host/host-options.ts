/** The options of a host: what the user's class says of the namespace. */
import type { Partitioners } from "../../model/layout/partitioners.ts";
import type { KeyChecks } from "../member/owned-keys.ts";
import type { RegistryEntry, StoredEvent } from "../root/journal.ts";
import type { TableSpec } from "../storage/tables.ts";

export interface ShardHostOptions {
  /** The tables that belong to the namespace. */
  readonly tables: readonly TableSpec[];
  /** The partitioners that `strategy: custom` may name. */
  readonly partitioners?: Partitioners;
  /** Told of every event of operations on this root, after it is stored. */
  readonly onEvent?: (event: StoredEvent) => void;
  /**
   * Decides which shard keys of written rows are checked: each (`all`, the default), only
   * that none changes in place (`changes`), or nothing (`none`). For what it costs see
   * docs/library.md.
   */
  readonly checkKeys?: KeyChecks;
  /** Tables of the object itself, which never move: they are not reported as staying behind. */
  readonly localTables?: readonly string[];
  /**
   * Called on the root inside the transaction that commits an epoch, to keep the user's own records
   * in step. Must not throw.
   */
  readonly onEpoch?: (entry: RegistryEntry) => void;
}
