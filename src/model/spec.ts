/**
 * Desired state: what the manifests of one environment say, after defaults and overrides are
 * applied. Plain values, JSON-safe.
 */
import type { Key } from "./layout/key.ts";
import type { Strategy } from "./layout/layout.ts";

/** Actions that reconciliation may take by itself when the namespace has drifted. */
export type SelfHeal = "off" | "alert" | "apply";

export interface Window {
  /** Cron expression of the window's start. */
  readonly start: string;
  readonly durationMs: number;
  /** IANA time zone. */
  readonly timezone: string;
}

export interface Policy {
  /** Largest tolerated max/average rows over shards, above 1. Default 1.5. */
  readonly maxSkew: number;
  readonly selfHeal: SelfHeal;
  /** True stops every change of this namespace. */
  readonly suspend: boolean;
  /**
   * Handling of rows that lack the shard key: refuse the change, or route them by the empty key.
   */
  readonly onMissingKey: "reject" | "allow";
  /** Times in which changes may start; empty means always. */
  readonly windows: readonly Window[];
  /**
   * More lists, of each of which a window must be open as well: of the owner, or of the policy that
   * another one is about to replace. No manifest has them.
   */
  readonly within?: readonly (readonly Window[])[];
  /** Most rows that one action may move; null means no limit. */
  readonly budgetRows: number | null;
  /** Throttle of the copy, rows per second; null means none. */
  readonly rowsPerSecondMax: number | null;
  /** How long retired members keep their rows, in hours. Default 24. */
  readonly retainHours: number;
  /**
   * Most bytes that one object may take, with indexes and all that a change keeps for a while.
   * Absent: what the runtime lets an object store, `STORAGE_BYTES_MAX`.
   */
  readonly storageBytesMax?: number;
  /**
   * Share of what an object may store, from which on drift `capacity` warns; it alerts halfway from
   * there to full. Left out: `DEFAULT_MAX_FILL`.
   */
  readonly maxFill?: number;
}

/** Where a declaration stands, 1-based. Kept out of every fingerprint. */
export interface SourcePosition {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export interface NamespaceSpec {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Durable Object binding whose class holds the namespace. */
  readonly object: string;
  readonly strategy: Strategy;
  /**
   * Column, or JSON path below a JSON column, with dots. Null exactly when `strategy` is `none`.
   */
  readonly shardKey: string | null;
  /** Number of shards, 1 … 1000; 1 when `strategy` is `none`. */
  readonly count: number;
  /**
   * True: row ids are unique over the shards and found without their key. Always true for
   * `roundRobin`.
   */
  readonly directory: boolean;
  /**
   * range only: the `count - 1` inner bounds, ascending. Null lets the planner choose quantiles.
   */
  readonly splitPoints: readonly Key[] | null;
  /** custom only: the name of a registered partitioner. */
  readonly partitioner: string | null;
  /** Namespaces whose actions must have finished before this one's starts. */
  readonly dependsOn: readonly string[];
  readonly policy: Policy;
  readonly source: SourcePosition;
}

export interface DesiredState {
  readonly environment: string;
  /** Commit of the manifests, when known. */
  readonly commit: string | null;
  /** Sorted by name; names are unique. */
  readonly namespaces: readonly NamespaceSpec[];
}

export const SHARD_COUNT_MAX = 1000;

export const DEFAULT_POLICY: Policy = {
  maxSkew: 1.5,
  selfHeal: "alert",
  suspend: false,
  onMissingKey: "reject",
  windows: [],
  budgetRows: null,
  rowsPerSecondMax: null,
  retainHours: 24,
};

/** A policy without `maxFill` has this one: policies that were stored before it are read so. */
export const DEFAULT_MAX_FILL = 0.7;
