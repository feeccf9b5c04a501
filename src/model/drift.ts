/**
 * Drift: where live differs from the merged manifests, or live itself is faulty; and what
 * reconciliation says of each namespace.
 */

/** Sorted as they are reported. What each may heal by itself is in docs/operations.md. */
export const DRIFT_KINDS = [
  "registryLost", // the root is behind what its members, or earlier looks, know: nothing is applied until it is repaired
  "outOfStep", // members cannot prove what they own, and serve nothing until they are repaired
  "spec", // live layout ≠ merged manifest
  "policy", // a merged policy that is not applied
  "skew", // max/average rows above policy.maxSkew
  "misplaced", // rows on a member that does not own them
  "orphan", // objects with rows that no layout names
  "unhealthy", // a member fails its health call again and again
  "capacity", // a member stores more than policy.maxFill of what an object may
  "storageFull", // an operation ended because a member had no room left
  "unreadable", // the namespace itself does not answer
  "stalled", // an operation without progress, or a change that is made again and again without effect
  "mixedVersions", // members run different libraries, or have different tables
  "unmanaged", // live, without a manifest
  "manifests", // the default branch's manifests do not parse, or are gone
] as const;
export type DriftKind = (typeof DRIFT_KINDS)[number];

/**
 * `watching`: seen once. `open`: two ticks in a row agreed; alerts are about these. `warning`: the
 * same, of what is shown and recorded, and no alert is sent of. `healing`: a change that heals it
 * is under way, or waits since the last one did not last.
 */
export const DRIFT_STATES = ["watching", "open", "warning", "healing"] as const;
export type DriftState = (typeof DRIFT_STATES)[number];

export interface Drift {
  readonly kind: DriftKind;
  /** Null for what concerns the whole environment. */
  readonly namespace: string | null;
  readonly object: string | null;
  readonly state: DriftState;
  /** The fault, without times, durations and row values: it is part of the alert's fingerprint. */
  readonly reason: string;
  /** Numbers that change from tick to tick; shown, but never part of the fingerprint. */
  readonly detail: string | null;
  /** Next step: a command or a sentence. */
  readonly remedy: string;
  /** Milliseconds since the Unix epoch. */
  readonly firstSeenAt: number;
  readonly lastSeenAt: number;
}

/** `GET /v1/drift?environment=`. */
export interface DriftReport {
  readonly environment: string;
  /** Commit and tree of the manifests that were compared; null before the first. */
  readonly commit: string | null;
  /** When the last tick ended; null before the first. */
  readonly checkedAt: number | null;
  /**
   * True when the last tick looked at everything that was due and could read all of it. Alerts are
   * closed only then.
   */
  readonly isComplete: boolean;
  /** SHA-256, lower-case hex, over kind, namespace and reason of the open drifts. */
  readonly fingerprint: string;
  /** Sorted by kind, then namespace. */
  readonly drifts: readonly Drift[];
  readonly conditions: readonly NamespaceCondition[];
  /** Set while nothing is applied anywhere: who switched it off, and why. */
  readonly paused: Pause | null;
}

export interface Pause {
  readonly by: string;
  readonly reason: string;
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
}

/**
 * As in Kubernetes' kstatus: `Ready` is as declared, `Reconciling` is on its way, `Stalled` needs a
 * person.
 */
export type ConditionType = "Ready" | "Reconciling" | "Stalled";

export interface NamespaceCondition {
  readonly namespace: string;
  readonly object: string;
  readonly type: ConditionType;
  /**
   * One CamelCase word for programs: `InSync`, `Applying`, `WindowClosed`, `NotReviewed`,
   * `Blocked`, `Unreadable`, `RetriesExhausted`, `HealingDoesNotLast`, …
   */
  readonly reason: string;
  readonly message: string;
  readonly observedCommit: string | null;
  readonly since: number;
  /** Failures in a row, heals that did not last among them; 0 when the last try succeeded. */
  readonly failures: number;
  /** When it is tried again after a failure; null when nothing waits. */
  readonly nextTryAt: number | null;
}
