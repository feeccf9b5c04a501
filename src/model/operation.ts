/**
 * Operations: one durable change of layout, as the root's journal records it and as the world sees
 * it.
 */
import type { Layout } from "./layout/layout.ts";

export type OperationKind = "shard" | "rebalance" | "rekey" | "unshard";

/**
 * `swap`: every source leaves the layout and every target is new to it; one cutover. `shift`:
 * members stay; rows are staged on their targets and cut over in waves.
 */
export type OperationMode = "swap" | "shift";

/** Steps in order. `fence` is passed once per wave, with `cutover` and `activate`. */
export const STEPS = [
  "prepare",
  "copy",
  "verify",
  "fence",
  "cutover",
  "activate",
  "cleanUp",
] as const;
export type Step = (typeof STEPS)[number];

export type OperationState = "running" | "completed" | "cancelled" | "failed";

/** Limits that one operation runs under. */
export interface OperationPolicy {
  /** False fails the operation, before cutover, when a row lacks the shard key. */
  readonly allowMissingKey: boolean;
  readonly rowsPerSecondMax: number | null;
  /**
   * Most rows of one wave of a shift. Waves become smaller by themselves when a cutover takes long.
   * Default 20,000.
   */
  readonly waveRowsMax: number;
  readonly retainHours: number;
}

export const DEFAULT_OPERATION_POLICY: OperationPolicy = {
  allowMissingKey: true,
  rowsPerSecondMax: null,
  waveRowsMax: 20_000,
  retainHours: 24,
};

/**
 * Request that starts an operation. The same request (same `correlationId`) started twice is one
 * operation.
 */
export interface StartOperation {
  readonly kind: OperationKind;
  /** The epoch that the caller planned against; any other epoch refuses the start. */
  readonly epoch: number;
  readonly to: Layout;
  readonly policy: OperationPolicy;
  readonly correlationId: string;
  /** Requester, for the history: a user, a run, a pull request. */
  readonly requestedBy: string;
  /** Refuse when the namespace has no rows, as `shard()` does. Manifests allow it. */
  readonly refuseEmpty: boolean;
}

/**
 * The outcome of an operation that fails before its cutover, in the message of its fault. The end
 * of one that had cut waves over says that instead.
 */
export const NOTHING_CHANGED = "Nothing was changed";

/**
 * Why an operation failed or what last went wrong. The message carries counts and names. Ids of
 * rows are marked in it, and stay in the object: see `row-words.ts`.
 */
export interface OperationFault {
  readonly kind:
    | "unreachable"
    | "mismatch"
    | "missingKey"
    | "duplicateId"
    | "rowTooLarge"
    | "unsupportedTable"
    | "schema"
    | "storageFull" // a member has no room left
    | "outOfStep" // a participant has forgotten its part, as after a restore
    | "timeout"
    | "cancelled"
    | "internal";
  readonly message: string;
  /** True from a library that marks in the message what it quotes of rows; see `row-words.ts`. */
  readonly marked?: true;
}

/**
 * The reason for which an operation waits, with nothing held: a deploy that has yet to reach every
 * member. A library is waited for without end, tables for ten minutes.
 */
export interface OperationWait {
  /**
   * `mixedVersions`: a member runs an older library. `tablesDiffer`: tables of the move are not the
   * same on every member.
   */
  readonly kind: "mixedVersions" | "tablesDiffer";
  /** Names the members, and says what to do. */
  readonly message: string;
}

/** A pause: who asked for it, why, and when it began. */
export interface OperationPause {
  /** In the words of who asked, for people. */
  readonly reason: string;
  /** Requester: a user, or a rule such as a window. Tells whoever resumes whose pause it is. */
  readonly by: string;
  /** Milliseconds since the Unix epoch. Stays when the reason is changed. */
  readonly since: number;
}

/**
 * How long calls waited for the cutovers of an operation, measured at the root from when the first
 * of them may have been kept waiting to after the last activation, with the attempts at the fence
 * that were given up before: an upper bound, unless the root itself crashed meanwhile: then only
 * what came after counts.
 */
export interface WritePause {
  /** Milliseconds, of the newest cutover, or of the attempts at the next one so far. */
  readonly last: number;
  /** Milliseconds, the longest of all its cutovers. */
  readonly max: number;
}

/** The part of an operation that its record and its status have in common. */
export interface OperationFacts {
  /** Grows by one for each operation of the namespace. */
  readonly id: number;
  readonly kind: OperationKind;
  readonly mode: OperationMode;
  readonly state: OperationState;
  readonly step: Step;
  /** Rows to move. Of a shift this is an estimate until the copy is done. */
  readonly rowsTotal: number;
  /**
   * Null until callers have waited for a cutover. Attempts at its fence that were given up are
   * added to it.
   */
  readonly writePauseMs: WritePause | null;
  readonly from: Layout;
  readonly to: Layout;
  readonly epochFrom: number;
  /** The namespace's epoch as the operation has it now. */
  readonly epoch: number;
  readonly correlationId: string;
  readonly requestedBy: string;
  /** Milliseconds since the Unix epoch. */
  readonly startedAt: number;
  readonly updatedAt: number;
  readonly finishedAt: number | null;
  /**
   * While it stands still on request, between two slices of a copy or two waves; see
   * `LiveAccess.pause`. Null when it goes on.
   */
  readonly paused: OperationPause | null;
  /** The reason for which it waits; null or absent when it goes on. */
  readonly waitsFor?: OperationWait | null;
  /** Set when failed or cancelled. */
  readonly fault: OperationFault | null;
  /** The last thing that went wrong and is being retried. */
  readonly lastError: string | null;
  readonly retries: number;
  /**
   * Each participant's bookmark of point-in-time recovery from before the operation began, by the
   * member's name. Absent for an operation of an older library; zeros in the local runtime, which
   * keeps none.
   */
  readonly bookmarks?: Readonly<Record<string, string>>;
}

/** An operation as the world sees it. */
export interface OperationStatus extends OperationFacts {
  /** True of an operation whose texts mark what they quote of rows; see `row-words.ts`. */
  readonly marked?: true;
  readonly namespace: string;
  /** 1-based wave in work, and how many there are; 0 of 0 for a swap. */
  readonly wave: number;
  readonly waves: number;
  readonly rowsCopied: number;
  readonly rowsVerified: number;
  readonly bytesCopied: number;
  /** Progress of each source. */
  readonly sources: readonly {
    readonly member: string;
    readonly rowsCopied: number;
    readonly rowsVerified: number;
  }[];
}

/** Members with a bookmark to restore to, by name; none from a runtime that keeps none. */
export function listBookmarks({
  bookmarks = {},
}: OperationStatus): { readonly member: string; readonly bookmark: string }[] {
  return Object.entries(bookmarks)
    .filter(([, bookmark]) => /[^0-]/.test(bookmark))
    .map(([member, bookmark]) => ({ member, bookmark }))
    .toSorted((left, right) => (left.member < right.member ? -1 : 1));
}
