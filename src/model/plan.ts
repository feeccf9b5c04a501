/**
 * Plans: the difference between desired and live, as a value that is shown, fingerprinted, reviewed
 * and applied. JSON, versioned.
 */
import type { Layout, Strategy } from "./layout/layout.ts";
import type { OperationKind, OperationPolicy } from "./operation.ts";
import type { PolicyChange } from "./policy.ts";
import type { SourcePosition } from "./spec.ts";

export const PLAN_VERSION = 1;

/**
 * Guards, in the order in which they are reported. Each can be overridden for one fingerprint
 * unless it says so.
 */
export const GUARDS = [
  "unreadable", // cannot be overridden
  "unsupported", // cannot be overridden
  "outOfStep", // cannot be overridden: the namespace is to be repaired first
  "operationRunning", // cannot be overridden
  "unhealthyMember", // cannot be overridden
  "targetTooLarge", // only where the bound of the estimate, not its middle, is above the limit
  "tooLargeToUnshard", // the name of `targetTooLarge` in older plans; cannot be overridden
  "object",
  "missingKey",
  "skew",
  "budget",
  "bulkChange",
  "emptyManifests",
  "window",
  "suspend",
] as const;
export type Guard = (typeof GUARDS)[number];

/** A reason not to apply. `message` names the number, the limit and the way out. */
export interface Block {
  readonly guard: Guard;
  /** Null when the block concerns the whole plan. */
  readonly namespace: string | null;
  readonly message: string;
  readonly overridable: boolean;
  /** Rows counted so far, where the namespace is still counting: the block ends by itself. */
  readonly counted?: number;
}

/** Rows that go from one member to another. */
export interface MoveSummary {
  readonly source: string;
  readonly target: string;
  readonly rows: number;
  readonly bytes: number;
}

/**
 * Bytes that an object takes by a change, as `storage` of a member says them: with indexes and
 * private tables.
 */
export interface MemberSize {
  readonly member: string;
  /** Before the change; null for an object that is no member yet. */
  readonly before: number | null;
  /** When the operation has ended, and the rows that a member which leaves keeps are dropped. */
  readonly after: number;
  /** At most meanwhile: the middle of the estimate, and its upper bound. */
  readonly peak: number;
  readonly peakMax: number;
  /** How it takes part. */
  readonly part: "source" | "target" | "both" | "none";
}

/** max/average rows over members, 1 when empty. */
export type Skew = number;

export interface Change {
  readonly kind: OperationKind;
  readonly namespace: string;
  readonly object: string;
  /** The live epoch under the plan. */
  readonly epoch: number;
  readonly from: Layout;
  readonly to: Layout;
  /** Why, for a person: "count 8 → 12", "skew 6.10 is above 1.5", … */
  readonly reason: string;
  /** Moves between members, sorted by source, then target. */
  readonly moves: readonly MoveSummary[];
  readonly rowsTotal: number;
  readonly rowsMoved: number;
  readonly bytesMoved: number;
  /**
   * Bytes of each object before, during and after the change, sorted by name. Absent in plans of an
   * older version, and where a member does not say its size.
   */
  readonly sizes?: readonly MemberSize[];
  /** Bytes that one object may store, where the policy sets it. */
  readonly bytesMax?: number;
  readonly skewBefore: Skew;
  readonly skewAfter: Skew;
  /** Rows without the new shard key. */
  readonly missingKeys: number;
  /** Tables with rows that stay behind because no table spec names them. */
  readonly staysBehind: readonly string[];
  /**
   * Null when counts are exact; else every n-th row was read and `error` is the relative error at
   * 95 %.
   */
  readonly estimate: { readonly sampledEvery: number; readonly error: number } | null;
  readonly countedAt: number;
  readonly policy: OperationPolicy;
  readonly dependsOn: readonly string[];
  readonly source: SourcePosition;
}

export interface InSync {
  readonly namespace: string;
  readonly object: string;
  readonly strategy: Strategy;
  readonly members: number;
  readonly rows: number;
  readonly bytes: number;
  readonly skew: Skew;
  readonly epoch: number;
}

/**
 * Something worth a line that neither changes nor blocks: unmanaged namespaces, tables that stay
 * behind, a rebalance that cannot reach the policy, an unhealthy member of a namespace that does
 * not change, a policy that is looser than the owner's floors.
 */
export interface Notice {
  readonly kind:
    | "unmanaged"
    | "staysBehind"
    | "skewRemains"
    | "largeKey"
    | "estimate"
    | "unhealthy"
    | "floors";
  readonly namespace: string;
  readonly message: string;
}

export interface Plan {
  readonly version: typeof PLAN_VERSION;
  readonly environment: string;
  readonly commit: string | null;
  /** Sorted in the order of execution: dependencies first, then by name. */
  readonly changes: readonly Change[];
  /**
   * Policies that are to hold from the apply on, sorted by namespace. They move no row. Absent when
   * there are none.
   */
  readonly policies?: readonly PolicyChange[];
  readonly inSync: readonly InSync[];
  readonly blocks: readonly Block[];
  readonly notices: readonly Notice[];
  /**
   * SHA-256, lower-case hex, of the specs, live epochs and layouts of what changes, of the policies
   * that change, and of the guards against it that are no matter of the moment. No times, counts or
   * durations in it.
   */
  readonly fingerprint: string;
}

/** True for a plan that an apply would do nothing for. */
export function isEmptyPlan({
  changes,
  policies = [],
}: Pick<Plan, "changes" | "policies">): boolean {
  return changes.length === 0 && policies.length === 0;
}
