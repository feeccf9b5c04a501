/**
 * State that reconciliation keeps of one namespace between ticks: small, JSON-safe, one row.
 * Layouts and changes are kept as digests; the rest is read again when it is needed.
 */
import { canonicalJson, sha256Hex } from "../model/canonical.ts";
import type { ConditionType, Drift, NamespaceCondition } from "../model/drift.ts";
import type { Layout } from "../model/layout/layout.ts";
import type { NamespaceRef } from "../model/live.ts";
import type { OperationKind } from "../model/operation.ts";
import type { Block, Change } from "../model/plan.ts";
import { type PolicyFloors, stricterPolicy } from "../model/policy.ts";
import type { NamespaceSpec, Policy } from "../model/spec.ts";
import type { AwaitedJob } from "./awaited-jobs.ts";
import type { HealAttempts, HealedKind } from "./heal-attempts.ts";

/** A drift, and the pass in which it was first seen: it opens when a later look agrees. */
export interface TrackedDrift extends Drift {
  readonly pass: number;
  /** Also while it is only watched: its level is left later than it is reached. */
  readonly isWarning?: boolean;
}

/**
 * Why a change is wanted: the manifest says so, the rows are uneven, or rows are not where they
 * belong.
 */
export type ChangeCause = "declared" | "skew" | "misplaced";

/** A change that the last look found, as far as deciding about it needs. */
export interface PendingChange {
  readonly cause: ChangeCause;
  readonly kind: OperationKind;
  /** May hold counts: shown, never compared. */
  readonly reason: string;
  readonly epoch: number;
  readonly fromDigest: string;
  readonly toDigest: string;
  readonly rowsMoved: number;
  /** Absent in what was written before it was kept. */
  readonly bytesMoved?: number;
  /** Guards against it, but for the clock, `suspend` and what concerns the whole plan. */
  readonly blocks: readonly Block[];
  readonly lookedAt: number;
  /** The run that made live what it is, when nobody here knows it; null otherwise. */
  readonly stranger: string | null;
}

/** Runs of one change that may fail in a row before a person is needed. */
export const RUN_FAILURES_MAX = 5;

/**
 * Runs of this namespace that failed in a row, and what they failed under: when that changes, the
 * count begins again.
 */
export interface FailedAttempts {
  readonly failures: number;
  readonly nextTryAt: number;
  readonly lastError: string;
  readonly specDigest: string | null;
  /** The live epoch as the last failed run left it; null until it is looked at. */
  readonly epoch: number | null;
}

export interface NamespaceState extends NamespaceRef {
  /** With the policy that is followed. Null: live, without a manifest. */
  readonly spec: NamespaceSpec | null;
  /**
   * The declared policy where another one is followed: it is not applied yet, or is looser than the
   * owner's floors. Null, or absent in what was written before, where it is followed itself.
   */
  readonly held?: { readonly declared: Policy; readonly isApplied: boolean } | null;
  /**
   * When its manifest became another one, came or went, in milliseconds since the Unix epoch.
   * Absent while nobody knows, as after the first reading.
   */
  readonly declaredAt?: number;
  /** Of the declared spec without its labels and position, and of the floors. */
  readonly specDigest: string | null;
  /** Of what the spec asks of the layout: policy and order are not part of it. */
  readonly shapeDigest: string | null;
  /** The shape that live was last in sync with: what differs from it since, is drift. */
  readonly syncedDigest: string | null;
  /**
   * True when the last look found it even enough for the declared `maxSkew`, which may not be
   * followed yet. Absent while nobody knows.
   */
  readonly isEven?: boolean;
  /** The spec that the last look compared. */
  readonly observedDigest: string | null;
  readonly observedCommit: string | null;
  /** The registry as it was last believed, after how many repairs. */
  readonly registry: {
    readonly epoch: number;
    readonly layoutDigest: string;
    readonly specDigest: string | null;
    readonly repairs: number;
  } | null;
  readonly rows: number;
  /** 0: at the next pass. */
  readonly dueAt: number;
  readonly auditDueAt: number;
  /** The pass that last looked. */
  readonly pass: number;
  readonly condition: NamespaceCondition;
  /** Looks in a row that got no answer. */
  readonly silences: number;
  readonly pending: PendingChange | null;
  /** The run that applies a change of this namespace, started here. */
  readonly run: string | null;
  /**
   * The last run that was started here for a reviewed change: what it left unfinished may be taken
   * up again under the same shape.
   */
  readonly approval: {
    readonly run: string;
    readonly shapeDigest: string;
    readonly pull: number;
  } | null;
  readonly attempts: FailedAttempts | null;
  /**
   * Heals that have not lasted yet, or the last of which nobody knows whether it lasts. Absent in
   * what was written before it was kept.
   */
  readonly heals?: readonly HealAttempts[];
  /** The drift that the run heals; null or absent for another run, or none. */
  readonly healing?: HealedKind | null;
  /** Apply jobs that the pending change waits for. Absent as above. */
  readonly awaited?: readonly AwaitedJob[];
  /** A running operation as last seen to move. */
  readonly progress: { readonly mark: string; readonly since: number } | null;
  /** Findings of the last audit. */
  readonly audit: AuditFinding | null;
  /** Drifts that looks found, and those that come from a pending change. */
  readonly faults: readonly TrackedDrift[];
  readonly differences: readonly TrackedDrift[];
}

export interface AuditFinding {
  /** When it began. */
  readonly at: number;
  /** Of the layout whose rows it counted; absent in what was written before it was kept. */
  readonly epoch?: number;
  readonly misplacedRows: number;
  /** `source → target` with the rows, a few of them. */
  readonly moves: readonly string[];
  readonly orphans: readonly { readonly name: string; readonly rows: number }[];
  /** Where the next audit goes on among the candidates for orphans. */
  readonly orphanCursor: number;
}

/** A namespace of which nothing is known yet; it is looked at in the next pass. */
export function newNamespaceState(ref: NamespaceRef, now: number): NamespaceState {
  return {
    name: ref.name,
    object: ref.object,
    spec: null,
    specDigest: null,
    shapeDigest: null,
    syncedDigest: null,
    observedDigest: null,
    observedCommit: null,
    registry: null,
    rows: 0,
    dueAt: 0,
    auditDueAt: 0,
    pass: 0,
    condition: {
      namespace: ref.name,
      object: ref.object,
      type: "Reconciling",
      reason: "NotLookedAt",
      message: "Not checked yet",
      observedCommit: null,
      since: now,
      failures: 0,
      nextTryAt: null,
    },
    silences: 0,
    pending: null,
    run: null,
    approval: null,
    attempts: null,
    heals: [],
    healing: null,
    awaited: [],
    progress: null,
    audit: null,
    faults: [],
    differences: [],
  };
}

/** The condition as it is now; `since` stays while type and reason do, unless it is given. */
export function conditionOf(
  state: NamespaceState,
  now: number,
  next: {
    readonly type: ConditionType;
    readonly reason: string;
    readonly message: string;
    readonly nextTryAt?: number | null;
    readonly since?: number | null;
  },
): NamespaceCondition {
  const { condition } = state;
  const isSame = condition.type === next.type && condition.reason === next.reason;
  return {
    namespace: state.name,
    object: state.object,
    type: next.type,
    reason: next.reason,
    message: next.message,
    observedCommit: state.observedCommit,
    since: next.since ?? (isSame ? condition.since : now),
    failures: Math.max(
      state.silences,
      state.attempts?.failures ?? 0,
      ...(state.heals ?? []).map(({ relapsed }) => relapsed),
    ),
    nextTryAt: next.nextTryAt ?? null,
  };
}

/** True while another policy is declared than was applied. */
export function declaresUnapplied({ held }: Pick<NamespaceState, "held">): boolean {
  return held?.isApplied === false;
}

/** The spec as its manifest declares it. */
export function declaredSpec(
  { held }: { readonly held?: NamespaceState["held"] | undefined },
  spec: NamespaceSpec,
): NamespaceSpec {
  return held ? { ...spec, policy: held.declared } : spec;
}

/** The spec with the policy that guards judge by: a declared one counts where it is stricter. */
export function guardedSpec(
  { held }: Pick<NamespaceState, "held">,
  spec: NamespaceSpec,
): NamespaceSpec {
  return held ? { ...spec, policy: stricterPolicy(spec.policy, held.declared) } : spec;
}

/**
 * SHA-256 of what a spec asks for, within which floors: labels and the place in a file are not part
 * of it.
 */
export function digestSpec(
  { source: _source, labels: _labels, ...spec }: NamespaceSpec,
  floors: PolicyFloors,
): Promise<string> {
  const hasFloors = Object.keys(floors).length > 0;
  return sha256Hex(canonicalJson(hasFloors ? { ...spec, floors } : spec));
}

/** SHA-256 of what a spec asks of the layout. */
export function digestShape({
  object,
  strategy,
  shardKey,
  count,
  directory,
  splitPoints,
  partitioner,
}: NamespaceSpec): Promise<string> {
  return sha256Hex(
    canonicalJson({ object, strategy, shardKey, count, directory, splitPoints, partitioner }),
  );
}

export function digestLayout(layout: Layout): Promise<string> {
  return sha256Hex(canonicalJson(layout));
}

/** True when the change is the one that was found: same namespace, start, end and epoch. */
export async function isSameChange(
  state: NamespaceState,
  pending: PendingChange,
  change: Change,
): Promise<boolean> {
  return (
    change.namespace === state.name &&
    change.object === state.object &&
    change.kind === pending.kind &&
    change.epoch === pending.epoch &&
    (await digestLayout(change.from)) === pending.fromDigest &&
    (await digestLayout(change.to)) === pending.toDigest
  );
}
