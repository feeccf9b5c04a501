/**
 * Data of the status page, as plain JSON-safe values: the Worker gathers them, this folder turns
 * them into HTML. They hold no key of a row: split points stay out.
 */
import type { ActionState, Capacity, RunState } from "../model/api.ts";
import type { Drift, DriftReport, NamespaceCondition } from "../model/drift.ts";
import type { HistoryEvent } from "../model/event.ts";
import type { MemberStatus, NamespaceRef } from "../model/live.ts";
import type { OperationStatus, Step } from "../model/operation.ts";
import type { Disorder } from "../model/repair.ts";
import type { SizeHistory } from "../model/size-history.ts";
import type { PlanSummary } from "../render/plan-summary.ts";

/** States that the list can be narrowed to. `Unknown`: not looked at by reconciliation yet. */
export const STATE_FILTERS = ["Stalled", "Reconciling", "Ready", "Unknown"] as const;
export type StateFilter = (typeof STATE_FILTERS)[number];

/**
 * One member's rows, or those of neighbours that were put together because there are too many to
 * draw.
 */
export interface MemberBucket {
  /** 0-based index of the first member. */
  readonly first: number;
  readonly members: number;
  readonly rowsMin: number;
  readonly rowsMax: number;
  /** Of the members that answered. */
  readonly rowsTotal: number;
  readonly unhealthy: number;
}

export interface NamedCount {
  readonly name: string;
  readonly rows: number;
  readonly bytes: number;
}

/** A namespace as it was last seen live, small enough to keep thousands. */
export interface Sight {
  /** As `describeLayout` says it. */
  readonly layout: string;
  readonly isSharded: boolean;
  readonly epoch: number;
  readonly members: number;
  readonly rows: number;
  readonly bytes: number;
  /** max/average; null while a member is silent. */
  readonly skew: number | null;
  readonly buckets: readonly MemberBucket[];
  readonly fullest: NamedCount | null;
  readonly emptiest: NamedCount | null;
  readonly unhealthy: readonly { readonly name: string; readonly error: string }[];
  readonly unhealthyCount: number;
  readonly undeclaredTables: readonly string[];
  /** Bytes that the fullest member stores; absent where none has said. */
  readonly storageMax?: number;
  /** The operation that the registry names, running or ended. */
  readonly operation: OperationView | null;
  /** Why it does not serve, whole or in part, until it is repaired; absent when it does. */
  readonly disorder?: Disorder;
  /** Milliseconds since the Unix epoch. */
  readonly seenAt: number;
}

/** An operation without its layouts, which hold keys of rows, and without its bookmarks. */
export interface OperationView extends Omit<
  OperationStatus,
  "namespace" | "from" | "to" | "sources" | "correlationId" | "bookmarks"
> {
  /** As `describeChange` says it. */
  readonly change: string;
  /** Id of the run that started it; null when it was started otherwise. */
  readonly run: string | null;
}

export interface NamespaceView extends NamespaceRef {
  /** Null before reconciliation has looked. */
  readonly condition: NamespaceCondition | null;
  /** True when a manifest declares it. */
  readonly isManaged: boolean;
  /** Null without a manifest. */
  readonly maxSkew: number | null;
  /** Bytes that one object may store by its policy; absent for the platform's limit. */
  readonly bytesMax?: number;
  readonly sight: Sight | null;
  /** Running now, newer than the sight's where both are. */
  readonly running: OperationView | null;
  readonly drifts: readonly Drift[];
}

export interface RunView {
  readonly id: string;
  readonly environment: string;
  readonly state: RunState;
  readonly fingerprint: string;
  readonly requestedBy: string;
  readonly pull: number | null;
  readonly commit: string | null;
  readonly runUrl: string | null;
  readonly startedAt: number;
  readonly finishedAt: number | null;
  readonly counts: Readonly<Partial<Record<ActionState, number>>>;
  /** The first few that failed, with why. */
  readonly failures: readonly { readonly namespace: string; readonly error: string }[];
}

export interface ReviewView {
  readonly pull: number;
  readonly headSha: string;
  readonly fingerprint: string;
  readonly requestedBy: string;
  readonly reviewedAt: number;
  readonly runUrl: string | null;
  readonly releasedBy: string | null;
  /** Null when the plan is no longer stored. */
  readonly plan: PlanSummary | null;
}

export interface StoredPlanView {
  readonly fingerprint: string;
  readonly storedAt: number;
  readonly plan: PlanSummary | null;
}

/** Where the page stands in the whole: repeated on every page. */
export interface Surroundings {
  readonly environment: string | null;
  readonly environments: readonly string[];
  readonly paused: DriftReport["paused"];
  /** The manifests that are followed. */
  readonly commit: string | null;
  /** When the last pass of reconciliation ended; null before the first. */
  readonly checkedAt: number | null;
  readonly isComplete: boolean;
  /** Why the manifests at the head of the default branch are not followed. */
  readonly manifestsProblem: string | null;
}

/** Where an operation is under way. */
export interface RunningPlace {
  readonly namespace: string;
  readonly object: string;
  readonly step: Step;
  readonly isPaused: boolean;
}

export interface Overview extends Surroundings {
  /** Of the whole environment, whatever is asked for. */
  readonly counts: Readonly<Record<StateFilter, number>>;
  readonly search: string;
  readonly state: StateFilter | null;
  /** 1-based. */
  readonly page: number;
  readonly pages: number;
  /** Namespaces that match search and state. */
  readonly matches: number;
  readonly namespaces: readonly NamespaceView[];
  readonly drifts: readonly Drift[];
  readonly driftCount: number;
  /** Names of the namespaces with a running operation, a few of them. */
  readonly running: readonly RunningPlace[];
  readonly runs: readonly RunView[];
  readonly reviews: readonly ReviewView[];
  readonly plans: readonly StoredPlanView[];
  /** The last of the environment's history, newest first. */
  readonly events: readonly HistoryEvent[];
}

/** With what the member last said of itself; absent for what it never said. */
export interface MemberView
  extends NamedCount, Pick<MemberStatus, "library" | "schema" | "storage" | "saidAt"> {
  readonly index: number;
  readonly healthy: boolean;
  readonly error: string | null;
}

export interface NamespacePage extends Surroundings {
  readonly namespace: NamespaceView;
  /** The manifest's request, in words. */
  readonly declared: string | null;
  readonly policy: readonly { readonly name: string; readonly value: string }[];
  /** `file:line` of the declaration. */
  readonly source: string | null;
  /** The ones worth a line, fullest first; all when there are few. */
  readonly members: readonly MemberView[];
  readonly history: readonly OperationView[];
  /** Why the namespace could not be asked just now. */
  readonly problem: string | null;
  /** Runs of the history that are still known. */
  readonly runs: readonly RunView[];
  /** The last of the environment's history that concern the namespace, newest first. */
  readonly events: readonly HistoryEvent[];
  readonly capacity: Capacity;
  readonly sizes: SizeHistory;
}

/** Makes addresses of what lies on GitHub; null where there is no page to link to. */
export interface Links {
  readonly pull: (pull: number) => string | null;
  readonly commit: (sha: string) => string | null;
}
