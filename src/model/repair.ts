/**
 * A namespace whose objects are out of step, as after a restore or a loss of storage, and its
 * repair: what each member says, what a repair would do, and what it has done. Plain values,
 * JSON-safe.
 */

/** A state in which a namespace, or part of it, does not serve until it is repaired. */
export interface Disorder {
  /**
   * `registryLost`: the root is behind its members, or has lost the registry that they know; no
   * call is served through it. `outOfStep`: these members cannot prove what they own, and serve
   * nothing.
   */
  readonly kind: "registryLost" | "outOfStep";
  /** The members that are behind or have lost their storage; the root itself for `registryLost`. */
  readonly members: readonly string[];
  /** Says how it shows, and what to do. */
  readonly message: string;
  /** When the root first knew, in milliseconds since the Unix epoch. */
  readonly since: number;
}

/** Rows of one table that stand where no call is routed to. */
export interface StrayRows {
  readonly member: string;
  readonly table: string;
  readonly rows: number;
}

/** One step of a repair. */
export interface RepairStep {
  /**
   * `registry`: the root takes the epoch and layout that its members prove. `operation`: an
   * operation that not all sides believe in is ended. `member`: a member takes the registry's
   * epoch and layout, and sets rows aside that are not its own. `directory`: every member enters
   * the ids of its rows in the directory again.
   */
  readonly kind: "registry" | "operation" | "member" | "directory";
  /** The object that is changed. */
  readonly member: string;
  /** One line for people. */
  readonly summary: string;
  /** Rows that it sets aside. */
  readonly setAside: readonly StrayRows[];
}

export interface RepairPlan {
  readonly namespace: string;
  /** Of all that would be done, and what it is concluded from: only what was shown is applied. */
  readonly fingerprint: string;
  readonly disorder: Disorder | null;
  /** One line for each object that was asked: what it says of itself. */
  readonly testimonies: readonly { readonly member: string; readonly says: string }[];
  /** Empty when nothing is out of step, or nothing can be proven. */
  readonly steps: readonly RepairStep[];
  /**
   * Losses that nothing can undo, one line each: applying the plan accepts them. Each needs to be
   * named by `acceptLoss`, or stands in `obstacles`.
   */
  readonly losses: readonly { readonly member: string; readonly summary: string }[];
  /** Reasons for which the plan cannot be applied, one line each, with the way out. */
  readonly obstacles: readonly string[];
}

/** The choices of who asks for a repair. */
export interface RepairRequest {
  /** Further objects to ask, by name: for a root that knows none of its members any more. */
  readonly members: readonly string[];
  /** Members whose losses are accepted: see `RepairPlan.losses`. */
  readonly acceptLoss: readonly string[];
  /**
   * True to have all ids entered in the directory again although no member is out of step: after
   * one was restored to a time that is later than all operations. Absent for false.
   */
  readonly directory?: boolean;
}

/** The outcome of a repair that was applied. */
export interface RepairOutcome {
  readonly namespace: string;
  readonly fingerprint: string;
  readonly steps: readonly RepairStep[];
  /** Rows set aside in all, by member and table: they are kept in the member's own storage. */
  readonly setAside: readonly StrayRows[];
}
