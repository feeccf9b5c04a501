/**
 * State that reconciliation keeps of the environment as a whole: the position of the pass, and what
 * is known of the manifests. One row.
 */
import type { TrackedDrift } from "./namespace-state.ts";

/**
 * `manifests` → `look` → `decide`, then the pass is over. Kept, so that a pass that was killed goes
 * on where it was.
 */
export type Phase = "manifests" | "look" | "decide";

export interface Pass {
  readonly number: number;
  readonly startedAt: number;
  /** Null when the pass is over. */
  readonly phase: Phase | null;
  /** Times that `decide` sent namespaces back to be looked at again: once is enough. */
  readonly refreshed: boolean;
  readonly figures: TickFigures;
}

/** Cost and work of one tick. */
export interface TickFigures {
  /** Requests to GitHub. */
  readonly requests: number;
  /** Calls to live namespaces. */
  readonly calls: number;
  readonly looks: number;
  readonly audits: number;
  readonly runsStarted: number;
}

export type TickOutcome = "complete" | "incomplete";

export interface EnvironmentState {
  readonly environment: string;
  /** Tree and commit of the manifests that are followed. */
  readonly commit: string | null;
  /** The tree that was read last, valid or not. */
  readonly treeSha: string | null;
  /**
   * When another tree than before was last followed, in milliseconds since the Unix epoch. Absent
   * before the first time.
   */
  readonly followedAt?: number;
  /** Why the manifests at the head are not followed; null when they are. */
  readonly manifestsProblem: ManifestsProblem | null;
  /** Failures of reading them, in a row, and since when. */
  readonly silence: {
    readonly failures: number;
    readonly since: number;
    readonly nextTryAt: number;
    readonly message: string;
  } | null;
  readonly pass: Pass;
  /** When the last pass ended, how long it took, and how it went. */
  readonly checkedAt: number | null;
  readonly durationMs: number | null;
  readonly outcome: TickOutcome | null;
  readonly lastFigures: TickFigures | null;
  /** Drifts of the whole environment. */
  readonly drifts: readonly TrackedDrift[];
}

export interface ManifestsProblem {
  readonly kind: "invalid" | "absent" | "empty" | "givenUp";
  /** Stable while the cause is. */
  readonly reason: string;
  readonly detail: string | null;
}

export const NO_FIGURES: TickFigures = {
  requests: 0,
  calls: 0,
  looks: 0,
  audits: 0,
  runsStarted: 0,
};

export function newEnvironmentState(environment: string): EnvironmentState {
  return {
    environment,
    commit: null,
    treeSha: null,
    manifestsProblem: null,
    silence: null,
    pass: { number: 0, startedAt: 0, phase: null, refreshed: false, figures: NO_FIGURES },
    checkedAt: null,
    durationMs: null,
    outcome: null,
    lastFigures: null,
    drifts: [],
  };
}

/** True while a pass is under way. */
export function isUnderWay(state: EnvironmentState): boolean {
  return state.pass.phase !== null;
}

export function addFigures(left: TickFigures, right: Partial<TickFigures>): TickFigures {
  return {
    requests: left.requests + (right.requests ?? 0),
    calls: left.calls + (right.calls ?? 0),
    looks: left.looks + (right.looks ?? 0),
    audits: left.audits + (right.audits ?? 0),
    runsStarted: left.runsStarted + (right.runsStarted ?? 0),
  };
}
