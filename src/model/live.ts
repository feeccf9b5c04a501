/** Live state: what the registries say, as the planner reads it. Plain values, JSON-safe. */
import type { Forecast } from "./forecast.ts";
import type { Key } from "./layout/key.ts";
import type { Layout, PartitionerRef } from "./layout/layout.ts";
import type { OperationStatus } from "./operation.ts";
import type { ProtocolFailure } from "./wire/protocol-failure.ts";
import type { Disorder } from "./repair.ts";
import type { Result } from "./result.ts";

/** Which object to ask: a namespace's name and the binding of its class. */
export interface NamespaceRef {
  readonly name: string;
  readonly object: string;
}

export interface Count {
  readonly rows: number;
  /** Bytes of the values as stored, without indexes. */
  readonly bytes: number;
}

export interface MemberStatus extends Count {
  readonly name: string;
  readonly healthy: boolean;
  /** Why it is not healthy. Its counts are then 0 and mean nothing. */
  readonly error: string | null;
  /** Rows counted so far, of a member that is not healthy only because it is still counting. */
  readonly counting?: number;
  readonly responseMs: number;
  /**
   * Version of its library, as it last said; absent for one that never did, or speaks protocol 1
   * alone.
   */
  readonly library?: string;
  /**
   * Digest of the columns of its declared tables, as it last said: members with equal tables have
   * equal ones.
   */
  readonly schema?: string;
  /**
   * Bytes that its database takes, with indexes and private tables, as it last said. Free pages are
   * not among them: what is deleted there is room for what comes.
   */
  readonly storage?: number;
  /** When its rows were counted, in milliseconds since the Unix epoch; older libraries say none. */
  readonly countedAt?: number;
  /**
   * When it last refused a write for its shard key, in milliseconds since the Unix epoch; absent
   * when it remembers none, as after a restart.
   */
  readonly refusedWriteAt?: number;
  /**
   * When it said so, in milliseconds since the Unix epoch; only of a member that does not answer
   * now.
   */
  readonly saidAt?: number;
}

export interface TableStatus {
  readonly name: string;
  /** `keyed` tables carry the shard key; `follows` tables travel with the rows they follow. */
  readonly role: "keyed" | "follows";
}

/** A root's own account of its namespace. */
export interface LiveNamespace {
  readonly name: string;
  readonly object: string;
  readonly layout: Layout;
  readonly epoch: number;
  readonly operation: OperationStatus | null;
  /** Why it does not serve, whole or in part, until it is repaired; absent or null when it does. */
  readonly disorder?: Disorder | null;
  /**
   * When its fullest member will be full, where it fills up: of the reconciler, which knows its
   * sizes over time; absent in what a root answers.
   */
  readonly forecast?: Forecast;
  /** In the order of `layout.members`. */
  readonly members: readonly MemberStatus[];
  readonly tables: readonly TableStatus[];
  /** Tables with rows that no table spec names: they stay behind on the member that has them. */
  readonly undeclaredTables: readonly string[];
  /** Partitioners that the class registers now. */
  readonly partitioners: readonly PartitionerRef[];
  /** Milliseconds since the Unix epoch. */
  readonly countedAt: number;
  /** True from a library whose texts mark what they quote of rows; see `row-words.ts`. */
  readonly marked?: true;
}

/**
 * Single rows as the objects of a namespace name them, for whoever may apply: read from the objects
 * for each who asks, and kept nowhere else.
 */
export interface RowIds {
  readonly namespace: string;
  /** Texts of the newest operations and of members that do not answer, with all that they quote. */
  readonly texts: readonly { readonly of: string; readonly text: string }[];
  /**
   * Rows on a member that does not own them, the first of each table. `id` is the primary key as a
   * JSON array, `key` the shard key in words.
   */
  readonly misplaced: readonly ({ readonly member: string } & RowSample)[];
  /** Members that could not be asked for misplaced rows. */
  readonly unsaid: readonly string[];
}

export interface RowSample {
  readonly table: string;
  readonly id: string;
  readonly key: string;
}

/** Why a namespace could not be read. It is never taken for an empty one. */
export interface LiveFailure {
  /**
   * `unbound`: the Worker has no such Durable Object binding. `notShardable`: the class does not
   * answer the protocol. `unreachable`: no answer. `refused`: the namespace answered no.
   */
  readonly kind: "unbound" | "notShardable" | "unreachable" | "refused";
  readonly message: string;
  /** Only with `refused`: the object's own word for why. */
  readonly reason?: ProtocolFailure["kind"];
  /** Rows counted so far, where the namespace is still counting. */
  readonly counted?: number;
}

export type LiveResult<Value> = Result<Value, LiveFailure>;

/**
 * How the rows of a namespace would be spread by a key. What to ask for follows from the desired
 * strategy.
 */
export type DistributionRequest =
  | { readonly by: "slots"; readonly shardKey: string }
  | { readonly by: "keys"; readonly shardKey: string; readonly boundaries: readonly Key[] }
  | {
      readonly by: "shards";
      readonly shardKey: string;
      readonly partitioner: PartitionerRef;
      readonly count: number;
    };

/** Rows of one bucket on one member. */
export interface SlotBucket extends Count {
  readonly slot: number;
}
/**
 * Rows with keys above the previous bucket's `last` up to and with `last`. A bucket never spans a
 * requested boundary.
 */
export interface KeyBucket extends Count {
  readonly first: Key;
  readonly last: Key;
}
export interface ShardBucket extends Count {
  readonly shard: number;
}

export interface MemberDistribution {
  readonly member: string;
  readonly slots?: readonly SlotBucket[];
  readonly keys?: readonly KeyBucket[];
  readonly shards?: readonly ShardBucket[];
}

/**
 * Counts per bucket and member, made by the code that would route the rows. Rows of `follows`
 * tables count with the row they follow.
 */
export interface Distribution extends Count {
  readonly request: DistributionRequest;
  /** Rows whose key is missing or empty text. */
  readonly missing: number;
  readonly members: readonly MemberDistribution[];
  /** Null when every row was read; else every n-th row was, and counts are scaled up. */
  readonly sampledEvery: number | null;
  /**
   * How many times the variance of rows drawn one by one the sample has, as measured: rows that
   * stand side by side are often alike. Absent for 1.
   */
  readonly clustering?: number;
  /** The oldest count that a sample is scaled by, or when every row was read. */
  readonly countedAt: number;
}
