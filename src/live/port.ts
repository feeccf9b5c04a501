/**
 * The port to live namespaces. Adapters: Durable Object bindings (in a Worker) and in-memory
 * (tests, benchmarks).
 */
import type {
  Count,
  Distribution,
  DistributionRequest,
  LiveNamespace,
  LiveResult,
  NamespaceRef,
  RowIds,
} from "../model/live.ts";
import type { OperationStatus, StartOperation } from "../model/operation.ts";
import type { RepairOutcome, RepairPlan, RepairRequest } from "../model/repair.ts";

/**
 * The half that cannot write. Planning takes this type, so "plan writes nothing" is checked by the
 * compiler.
 */
export interface LiveReader {
  /**
   * The registry, with counts and health of every member. `countsMaxAgeMs`: how old the counts may
   * be; by default they are taken now.
   */
  describe(ref: NamespaceRef, countsMaxAgeMs?: number): Promise<LiveResult<LiveNamespace>>;
  /**
   * Counts by a key that need not be the live one. Large namespaces are sampled, unless `isExact`.
   */
  distribute(
    ref: NamespaceRef,
    request: DistributionRequest,
    isExact?: boolean,
  ): Promise<LiveResult<Distribution>>;
  /** One operation of the namespace, running or ended. */
  operation(ref: NamespaceRef, id: number): Promise<LiveResult<OperationStatus>>;
  /** Ended and running operations, newest first, at most `limit` (1 … 1000). */
  history(ref: NamespaceRef, limit: number): Promise<LiveResult<readonly OperationStatus[]>>;
  /**
   * Plans a repair: the disorder, the words of each object, and the steps. Asks every object
   * concerned.
   */
  planRepair(ref: NamespaceRef, request: RepairRequest): Promise<LiveResult<RepairPlan>>;
}

/** Looks past the root, at one object of a namespace: for audits. */
export interface MemberReader {
  /**
   * Rows and bytes on an object that a layout names or named. Refused by an object that is not, and
   * never was, part of the namespace.
   */
  countMember(ref: NamespaceRef, member: string): Promise<LiveResult<Count>>;
}

export interface LiveAccess extends LiveReader, MemberReader {
  /**
   * Journals the operation and returns; the namespace drives it. Idempotent under `correlationId`.
   */
  start(ref: NamespaceRef, request: StartOperation): Promise<LiveResult<OperationStatus>>;
  /** Cancels before cutover; after it, refuses. */
  cancel(ref: NamespaceRef, operation: number): Promise<LiveResult<OperationStatus>>;
  /**
   * Pauses a running operation: once this has answered it commits no cutover and begins no slice of
   * a copy, and a wave that has cut over is activated first. The pause survives crashes.
   * Idempotent: asked again, the newest `reason` and `by` are kept. Refused with `tooLate` when
   * nothing is left to hold up: after the last cutover, when it is being cancelled, and once it has
   * ended.
   */
  pause(
    ref: NamespaceRef,
    operation: number,
    why: { readonly reason: string; readonly by: string },
  ): Promise<LiveResult<OperationStatus>>;
  /**
   * Lets a paused operation go on at once. Idempotent: of one that is not paused, or has ended, it
   * only gives the status.
   */
  resume(ref: NamespaceRef, operation: number): Promise<LiveResult<OperationStatus>>;
  /** Tells of single rows as its objects name them. For callers that may apply; kept nowhere. */
  ids(ref: NamespaceRef): Promise<LiveResult<RowIds>>;
  /**
   * Applies the repair plan of this fingerprint and nothing else: refused as `invalid` when the
   * plan is another by now, or has obstacles, and as `operationRunning` while an operation makes
   * progress.
   */
  repair(
    ref: NamespaceRef,
    request: RepairRequest,
    fingerprint: string,
    by: string,
  ): Promise<LiveResult<RepairOutcome>>;
}
