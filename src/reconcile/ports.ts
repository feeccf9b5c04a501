/**
 * Dependencies of reconciliation: manifests, reviews, live namespaces, runs, a store for its state,
 * a clock and a random source.
 *
 * Everything that waits is asynchronous. State and runs are not, so that a decision is written in
 * the turn that makes it. A call that fails returns the failure as a value; an exception is a kill,
 * and the next tick resumes from what was written.
 */
import type { Run } from "../model/api.ts";
import type { Pause } from "../model/drift.ts";
import type { NamespaceRef } from "../model/live.ts";
import type { Result } from "../model/result.ts";
import type { AppliedPolicy, PolicyChange, PolicyFloors } from "../model/policy.ts";
import type { DesiredState, Policy } from "../model/spec.ts";
import type { Applies } from "../github/settings.ts";
import type { NewEvent } from "../history/make-event.ts";
import type { LiveReader, MemberReader } from "../live/port.ts";
import type { ReviewLookup } from "../reviews/review-lookup.ts";
import type { NewRun } from "../runs/start-runs.ts";
import type { OperationHolder } from "../runs/hold-operation.ts";
import type { SeenRegistries } from "../live/watch-registries.ts";
import type { EnvironmentState } from "./environment-state.ts";
import type { NamespaceState } from "./namespace-state.ts";

/** The manifests at the head of the default branch. */
export interface ManifestSource {
  /**
   * @param knownTreeSha the tree that was read last; while it is the head's, the answer is
   * `unchanged`.
   */
  read(knownTreeSha: string | null): Promise<ManifestReading>;
}

/** Each with the requests that it took. `absent`: the branch or the folder is gone. */
export type ManifestReading = { readonly requests: number } & (
  | { readonly kind: "unchanged" }
  | {
      readonly kind: "desired";
      readonly commit: string | null;
      readonly treeSha: string;
      readonly desired: DesiredState;
    }
  | {
      readonly kind: "invalid";
      readonly commit: string | null;
      readonly treeSha: string;
      readonly errors: readonly string[];
    }
  | { readonly kind: "absent"; readonly message: string }
  /** Two readings have ended without an answer: they were not tried again. */
  | { readonly kind: "givenUp"; readonly treeSha: string }
  /** There is more than fits one slice: the next call goes on. */
  | { readonly kind: "incomplete" }
  /** Nothing is known; asked again from `retryAt` on, or at the next tick. */
  | { readonly kind: "failed"; readonly message: string; readonly retryAt: number | null }
);

/** The runs of the environment. Starting the same plan twice is starting it once. */
export interface RunPort {
  find(id: string): Run | null;
  /**
   * The active run that has to end before a change of these namespaces may start: the environment
   * has one at a time.
   */
  findRival(namespaces: readonly string[]): Run | null;
  start(run: NewRun): Result<Run, string>;
  /**
   * Ends the run's part in a namespace whose operation has stalled, or waits for its window, so
   * that the others need not wait for it.
   */
  detach(id: string, namespace: string, reason: string): void;
}

/** Rows, one a namespace. Every method is one transaction. */
export interface ReconcileStore {
  readEnvironment(): EnvironmentState | null;
  writeEnvironment(state: EnvironmentState): void;
  read(ref: NamespaceRef): NamespaceState | null;
  /** The namespace of that name that a manifest declares. */
  readDeclared(name: string): NamespaceState | null;
  write(states: readonly NamespaceState[]): void;
  remove(ref: NamespaceRef): void;
  /**
   * Namespaces that are due by `dueBy`, or by nonsense after `dueAfter`, and were not looked at in
   * this pass; sorted by `dueAt`, then name.
   */
  due(pass: number, dueBy: number, dueAfter: number, limit: number): NamespaceState[];
  /** Namespaces with a pending change, sorted by name. */
  pending(): NamespaceState[];
  /** True while a declared policy is not applied. */
  hasAwaiting(): boolean;
  /** Every namespace and the digest of its spec, without the rest. */
  digests(): readonly StoredDigest[];
  /** Every namespace, sorted by name, then object. */
  all(): Iterable<NamespaceState>;
  /** Of the namespaces with a manifest; `unreadable` of all. */
  totals(): { readonly managed: number; readonly rows: number; readonly unreadable: number };
}

export interface StoredDigest extends NamespaceRef {
  /** Null without a manifest. */
  readonly specDigest: string | null;
  /** Of its manifest; they are not part of the digest. */
  readonly labels: Readonly<Record<string, string>> | null;
}

/** The policies of the environment that were applied. */
export interface PolicyPort {
  readonly floors: PolicyFloors;
  /** True without a repository: what was applied is what is declared. */
  readonly isSource: boolean;
  /** The one that was applied last; null for a namespace that never had one. */
  read(namespace: string): AppliedPolicy | null;
  noteDefault(namespace: string): void;
  /** Applies those that are not stale, and returns them. */
  apply(changes: readonly PolicyChange[]): readonly PolicyChange[];
  /** Namespaces whose policy was applied, and is not followed yet. */
  changed(): readonly string[];
  takeChanged(namespaces: readonly string[]): void;
}

export interface ReconcilePorts {
  readonly environment: string;
  /** Says who starts what was reviewed and merged. */
  readonly applies: Applies;
  readonly store: ReconcileStore;
  readonly manifests: ManifestSource;
  readonly policies: PolicyPort;
  readonly reviews: ReviewLookup;
  readonly liveAccess: LiveReader & MemberReader & OperationHolder;
  readonly runs: RunPort;
  readonly registries: SeenRegistries;
  /** Namespaces that were live here once, and that the store does not know yet. */
  readonly unseenRefs: () => readonly NamespaceRef[];
  /** No manifest declares it, and nothing is there: neither the store nor plans keep it. */
  readonly forget: (ref: NamespaceRef) => void;
  readonly isWindowOpen: (policy: Pick<Policy, "windows" | "within">, now: number) => boolean;
  readonly paused: () => Pause | null;
  /**
   * When the switch was last turned off, in milliseconds since the Unix epoch; null when nobody
   * here remembers.
   */
  readonly resumedAt: () => number | null;
  readonly record: (event: NewEvent) => void;
  /** Told of what should not have happened; the other namespaces go on. */
  readonly onError: (namespace: string, error: unknown) => void;
  /** Milliseconds since the Unix epoch. */
  readonly now: () => number;
  /** From 0 up to, not including, 1. */
  readonly random: () => number;
}
