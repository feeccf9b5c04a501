/**
 * The Worker's HTTP API as values: what `/v1` takes and gives. The Worker validates them with zod,
 * the CLI reads them.
 */
import type { Forecast } from "./forecast.ts";
import type { LiveFailure, LiveNamespace } from "./live.ts";
import type { OperationKind, OperationStatus } from "./operation.ts";
import type { Guard } from "./plan.ts";
import type { RunOrigin } from "./review.ts";
import type { DesiredState } from "./spec.ts";

export const ROLES = ["read", "plan", "apply"] as const;
/** Each role includes the ones before it. */
export type Role = (typeof ROLES)[number];

/** Set in answers to a token that expires within a week: when, in ISO 8601. */
export const EXPIRES_HEADER = "x-shardctl-token-expires";

/**
 * `POST /v1/plans`. `basis` is the fingerprint of an earlier plan whose frozen choices (quantiles,
 * slots chosen for skew) are kept where nothing moved.
 */
export interface PlanRequest {
  readonly desired: DesiredState;
  readonly basis?: string;
  /** True to count every row now, where otherwise kept counts and samples do. */
  readonly exact?: boolean;
}

/** `POST /v1/plans/:fingerprint/apply`. */
export interface ApplyRequest {
  /** Guards to override, for this fingerprint only. */
  readonly overrides?: readonly Guard[];
  /** Requester, for the history. */
  readonly requestedBy?: string;
  /**
   * The pull request and commit behind it. Needed from a workflow, which may only apply what was
   * reviewed.
   */
  readonly origin?: RunOrigin;
}

export type RunState = "running" | "succeeded" | "failed" | "cancelled";
export type ActionState = "pending" | "running" | "done" | "failed" | "cancelled" | "notExecuted";

export interface RunAction {
  readonly namespace: string;
  readonly object: string;
  readonly kind: OperationKind;
  readonly state: ActionState;
  /** The operation as last seen; null before it started. */
  readonly operation: OperationStatus | null;
  readonly error: string | null;
}

/**
 * The right to change an environment, held by one run at a time. It is the Worker that drives a
 * run, so a lost CI job leaves no lock.
 */
export interface Lease {
  /**
   * Fencing token: grows by one with each run of the environment. A step under an older one is
   * refused.
   */
  readonly token: number;
  /** The last step of the run. */
  readonly heartbeatAt: number;
  /** When it is lost if no step is taken any more. */
  readonly expiresAt: number;
}

/** One apply of one plan. Actions are in the plan's order. */
export interface Run {
  readonly id: string;
  readonly environment: string;
  readonly fingerprint: string;
  readonly state: RunState;
  readonly requestedBy: string;
  readonly overrides: readonly Guard[];
  /** Null when no pull request was named. */
  readonly origin: RunOrigin | null;
  readonly lease: Lease;
  /** Milliseconds since the Unix epoch. */
  readonly startedAt: number;
  readonly updatedAt: number;
  readonly finishedAt: number | null;
  readonly actions: readonly RunAction[];
}

/**
 * `GET /v1/runs/:id?wait=<seconds>&since=<updatedAt>` answers once the run is newer than `since`,
 * has ended, or after `wait` seconds.
 */
export const RUN_WAIT_MAX_S = 30;

/** `GET /v1/runs?limit=<1 … 1000, default 50>`: newest first. */
export interface RunList {
  readonly runs: readonly Run[];
}

/**
 * `GET /v1/namespaces?environment=`: the namespaces that were ever planned and could be read.
 * `?object=&name=` asks one that need not be known.
 */
export interface NamespaceList {
  readonly namespaces: readonly NamespaceReport[];
}

/** How much each member may store, by the policy that is followed, and until when it has room. */
export interface Capacity {
  readonly bytesMax: number;
  /** The part of it from which on drift `capacity` is told: 0 … 1. */
  readonly maxFill: number;
  /** Of the fullest member. */
  readonly forecast: Forecast;
}

export type NamespaceReport =
  | {
      readonly kind: "live";
      readonly namespace: LiveNamespace;
      /** Absent from a Worker of an older version. */
      readonly capacity?: Capacity;
    }
  | {
      readonly kind: "failed";
      readonly name: string;
      readonly object: string;
      readonly failure: LiveFailure;
    };

/** `GET /v1/namespaces/:name/history?object=&limit=<1 … 1000, default 50>`: newest first. */
export interface OperationList {
  readonly operations: readonly OperationStatus[];
}

/** RFC 9457 problem document. `type` is `about:blank` or `https://shardctl.dev/problems/<kind>`. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  /** Stable word for programs. */
  readonly kind: ProblemKind;
  /**
   * Details of what is wrong. `path` is the place in the body for `invalid`, the namespace for
   * `blocked` and `stalePlan`.
   */
  readonly errors?: readonly { readonly path: string; readonly message: string }[];
}

export const PROBLEM_KINDS = [
  "invalid", // 400
  "unauthenticated", // 401
  "forbidden", // 403
  "notFound", // 404
  "methodNotAllowed", // 405
  "unknownPlan", // 404: planned elsewhere, or expired
  "stalePlan", // 409: an epoch or a layout under the plan has changed
  "locked", // 409: another run is active; `detail` names it
  "notReviewed", // 409: a workflow asks for a plan that no pull request has shown
  "blocked", // 409: a guard is not overridden
  "conflict", // 409: e.g. the run has ended already
  "tooLarge", // 413
  "unavailable", // 503
  "internal", // 500
] as const;
export type ProblemKind = (typeof PROBLEM_KINDS)[number];
