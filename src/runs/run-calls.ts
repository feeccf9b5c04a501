/** Declares what the coordinator answers about plans and runs, and how its calls are made. */
import type { Run } from "../model/api.ts";
import type { NamespaceRef } from "../model/live.ts";
import type { Guard } from "../model/plan.ts";
import type { Result } from "../model/result.ts";
import type { RunOrigin } from "../model/review.ts";
import type { RunFilter, StoredPlan } from "./store.ts";

/**
 * Calls the coordinator; every call of it may be repeated, so one that hit a restart is sent once
 * more.
 */
export type Call<Calls> = <Value>(use: (calls: Calls) => Promise<Value>) => Promise<Value>;

export interface ApplyOrder {
  readonly fingerprint: string;
  readonly overrides: readonly Guard[];
  readonly requestedBy: string;
  readonly origin: RunOrigin | null;
  /**
   * True: only what the pull request of `origin` has shown last, or what was released there;
   * overrides only as released.
   */
  readonly needsReview: boolean;
}

export type StartRunFailure =
  | { readonly kind: "unknownPlan" }
  | { readonly kind: "locked"; readonly run: Run }
  | { readonly kind: "notReviewed"; readonly message: string };

export interface PlanCalls {
  /** @param actor who asked for the plan, for the history. */
  storePlan(plan: StoredPlan, seen: readonly NamespaceRef[], actor: string): Promise<void>;
  readPlan(fingerprint: string): Promise<Uint8Array | null>;
  /** The desired state under a stored plan, as UTF-8 JSON. */
  readDesired(fingerprint: string): Promise<Uint8Array | null>;
  listNamespaces(environment: string | null): Promise<NamespaceRef[]>;
}

export interface RunCalls {
  /** The guards that the order may override: as asked, or where it needs a review as released. */
  checkReview(order: ApplyOrder): Promise<Result<readonly Guard[], StartRunFailure>>;
  startRun(order: ApplyOrder): Promise<Result<Run, StartRunFailure>>;
  /** The active run that keeps this plan from starting; it may be the run of this very plan. */
  findRival(fingerprint: string): Promise<Run | null>;
  /** The newest run that has carried out this plan for this pull request. */
  findSucceeded(fingerprint: string, pull: number): Promise<Run | null>;
  readRun(id: string): Promise<Run | null>;
  waitForRun(id: string, since: number | null, waitMs: number): Promise<Run | null>;
  listRuns(filter: RunFilter): Promise<Run[]>;
  cancelRun(id: string): Promise<Run | null>;
}
