/**
 * The typed client of the Worker's HTTP API. It asks one question per method and gives the answer
 * or a `CliFailure` that says what to do next. How requests are sent, repeated and read is
 * `http.ts`; what the answers must look like is `answers.ts`.
 *
 * | request          | repeated when                                                                        |
 * |------------------|--------------------------------------------------------------------------------------|
 * | reads            | the server refuses, resets, times out, or answers 5xx without a problem document      |
 * | plan, cancel     | the same: asking twice changes nothing more; so does pausing and letting go on, and a |
 * |                  | repair of one fingerprint, forgetting, and each step of an import                     |
 * | apply            | the connection was refused, so nothing arrived; otherwise the run is looked up first  |
 */
import type { ApplyRequest, NamespaceReport, PlanRequest, Run } from "../model/api.ts";
import type { DriftReport } from "../model/drift.ts";
import type { EventKind, HistoryEvent } from "../model/event.ts";
import type { ForgetPlan } from "../model/forget.ts";
import type { NamespaceRef, RowIds } from "../model/live.ts";
import type { OperationStatus } from "../model/operation.ts";
import type { Plan } from "../model/plan.ts";
import type { RepairOutcome, RepairPlan, RepairRequest } from "../model/repair.ts";
import type {
  ReleaseRequest,
  Review,
  ReviewList,
  ReviewReceipt,
  ReviewRequest,
} from "../model/review.ts";
import {
  type Pause,
  readDrift,
  readEvents,
  readForgetPlan,
  readHistory,
  readNamespace,
  readNamespaces,
  readNothing,
  readOperation,
  readPause,
  readPlan,
  readReceipt,
  readRepairOutcome,
  readRepairPlan,
  readRowIds,
  readReview,
  readReviews,
  readRun,
  readRuns,
  readTick,
} from "./answers.ts";
import type { CliResult } from "./failure.ts";
import type { Host } from "./host.ts";
import { sendRequest } from "./http.ts";
import { createStateApi, type StateApi } from "./state-api.ts";
import type { HttpTarget, ReadAnswer, Repeat } from "./http-request.ts";

/** Which memory is to be forgotten; null for the only binding, and for all environments. */
export interface ForgetQuery {
  readonly object: string | null;
  readonly environment: string | null;
}

export interface ApiClient extends StateApi {
  readonly endpoint: string;
  namespaces(filter?: Partial<NamespaceRef>): Promise<CliResult<readonly NamespaceReport[]>>;
  namespace(name: string, object: string | null): Promise<CliResult<NamespaceReport>>;
  history(name: string, object: string | null): Promise<CliResult<readonly OperationStatus[]>>;
  /** Tells what the objects of a namespace name of single rows; needs the role apply. */
  rowIds(name: string, object: string | null): Promise<CliResult<RowIds>>;
  /** Names in its blocks what is still being counted: see `await-counts.ts`. */
  createPlan(request: PlanRequest): Promise<CliResult<Plan>>;
  plan(fingerprint: string): Promise<CliResult<Plan>>;
  apply(fingerprint: string, request: ApplyRequest): Promise<CliResult<Run>>;
  runs(filter?: RunFilter): Promise<CliResult<readonly Run[]>>;
  run(id: string): Promise<CliResult<Run>>;
  /**
   * Waits up to `waitS` seconds for news after `since` (the run's `updatedAt`). Not repeated: the
   * caller follows and decides.
   */
  awaitRun(
    id: string,
    waitS: number,
    since: number | null,
    signal: AbortSignal,
  ): Promise<CliResult<Run>>;
  cancelRun(id: string): Promise<CliResult<Run>>;
  pauseOperation(
    name: string,
    object: string | null,
    reason: string,
  ): Promise<CliResult<OperationStatus>>;
  resumeOperation(name: string, object: string | null): Promise<CliResult<OperationStatus>>;
  /** Plans a repair: shows the disorder, and each step. */
  planRepair(
    name: string,
    object: string | null,
    request: RepairRequest,
  ): Promise<CliResult<RepairPlan>>;
  /** Applies exactly the plan of this fingerprint; asked again, it answers what that has done. */
  repair(
    name: string,
    object: string | null,
    request: RepairRequest & { readonly fingerprint: string },
  ): Promise<CliResult<RepairOutcome>>;
  /** Says what would be forgotten of a namespace, or why it would not be. */
  planForget(name: string, asked: ForgetQuery): Promise<CliResult<ForgetPlan>>;
  /** Forgets it; asked again, it answers that nothing is known. */
  forget(name: string, asked: ForgetQuery): Promise<CliResult<ForgetPlan>>;
  pauseAll(reason: string): Promise<CliResult<Pause>>;
  resumeAll(): Promise<CliResult<null>>;
  /** Returns what the last tick found. */
  drift(environment: string): Promise<CliResult<DriftReport>>;
  /** Runs a tick and waits up to `waitS` seconds for its end; `isOver` false: it goes on. */
  reconcile(
    environment: string,
    waitS: number,
  ): Promise<CliResult<{ readonly report: DriftReport; readonly isOver: boolean }>>;
  /** Newest first; with `after`, what is newer than that id, oldest first. */
  events(query: EventQuery): Promise<CliResult<readonly HistoryEvent[]>>;
  /** Says that a pull request was shown a plan. */
  putReview(request: ReviewRequest): Promise<CliResult<ReviewReceipt>>;
  /** Returns the plans that a pull request was shown, newest first. */
  reviews(environment: string, pull: number): Promise<CliResult<ReviewList>>;
  releasePlan(pull: number, request: ReleaseRequest): Promise<CliResult<Review>>;
}

export interface EventQuery {
  readonly environment: string;
  readonly namespace: string | null;
  readonly kind: EventKind | null;
  readonly after?: number;
  readonly limit?: number;
}

export interface RunFilter {
  readonly environment?: string;
  /** True for the runs that have not ended. */
  readonly isActive?: boolean;
}

const READ_TIMEOUT_MS = 60_000;
/** A plan reads every namespace it would change. */
const PLAN_TIMEOUT_MS = 300_000;
/** How much longer than the wait it asked for a poll may take. */
const POLL_GRACE_MS = 10_000;

export function createApiClient(host: Host, target: HttpTarget): ApiClient {
  const get = <Value>(path: string, read: ReadAnswer<Value>): Promise<CliResult<Value>> =>
    sendRequest(
      host,
      target,
      { method: "GET", path, timeoutMs: READ_TIMEOUT_MS, repeat: "whenTransient" },
      read,
    );
  // A repair asks every object of a namespace.
  const getSlowly = <Value>(path: string, read: ReadAnswer<Value>): Promise<CliResult<Value>> =>
    sendRequest(
      host,
      target,
      { method: "GET", path, timeoutMs: PLAN_TIMEOUT_MS, repeat: "whenTransient" },
      read,
    );
  const post = <Value>(
    path: string,
    body: unknown,
    repeat: Repeat,
    read: ReadAnswer<Value>,
  ): Promise<CliResult<Value>> =>
    sendRequest(
      host,
      target,
      { method: "POST", path, body, timeoutMs: PLAN_TIMEOUT_MS, repeat },
      read,
    );

  // Putting twice is putting once.
  const put = <Value>(
    path: string,
    body: unknown,
    read: ReadAnswer<Value>,
  ): Promise<CliResult<Value>> =>
    sendRequest(
      host,
      target,
      { method: "PUT", path, body, timeoutMs: READ_TIMEOUT_MS, repeat: "whenTransient" },
      read,
    );

  const remove = <Value>(path: string, read: ReadAnswer<Value>): Promise<CliResult<Value>> =>
    sendRequest(
      host,
      target,
      { method: "DELETE", path, timeoutMs: READ_TIMEOUT_MS, repeat: "whenTransient" },
      read,
    );

  return {
    endpoint: target.endpoint,
    ...createStateApi({ get, getSlowly, post, put }),
    namespaces: (filter = {}) =>
      get(`/v1/namespaces${query({ object: filter.object, name: filter.name })}`, readNamespaces),
    namespace: (name, object) =>
      get(`/v1/namespaces/${encodeURIComponent(name)}${query({ object })}`, readNamespace),
    history: (name, object) =>
      get(`/v1/namespaces/${encodeURIComponent(name)}/history${query({ object })}`, readHistory),
    rowIds: (name, object) =>
      getSlowly(`/v1/namespaces/${encodeURIComponent(name)}/ids${query({ object })}`, readRowIds),
    createPlan: (request) => post("/v1/plans", request, "whenTransient", readPlan),
    plan: (fingerprint) => get(`/v1/plans/${encodeURIComponent(fingerprint)}`, readPlan),
    apply: (fingerprint, request) =>
      post(`/v1/plans/${encodeURIComponent(fingerprint)}/apply`, request, "whenUnsent", readRun),
    runs: ({ environment, isActive } = {}) =>
      get(`/v1/runs${query({ environment, active: isActive === true ? "1" : null })}`, readRuns),
    run: (id) => get(`/v1/runs/${encodeURIComponent(id)}`, readRun),
    awaitRun: (id, waitS, since, signal) =>
      sendRequest(
        host,
        target,
        {
          method: "GET",
          path: `/v1/runs/${encodeURIComponent(id)}${query({ wait: String(waitS), since: since === null ? null : String(since) })}`,
          timeoutMs: waitS * 1000 + POLL_GRACE_MS,
          repeat: "never",
          signal,
        },
        readRun,
      ),
    cancelRun: (id) =>
      post(`/v1/runs/${encodeURIComponent(id)}/cancel`, {}, "whenTransient", readRun),
    pauseOperation: (name, object, reason) =>
      put(pathOfPause(name, object), { reason }, readOperation),
    resumeOperation: (name, object) => remove(pathOfPause(name, object), readOperation),
    planRepair: (name, object, { members, acceptLoss, directory }) => {
      const named = [
        ...members.map((member) => ["member", member]),
        ...acceptLoss.map((member) => ["acceptLoss", member]),
        ...(directory === true ? [["directory", "true"]] : []),
      ];
      return getSlowly(pathOfRepair(name, object, named), readRepairPlan);
    },
    repair: (name, object, request) =>
      post(pathOfRepair(name, object, []), request, "whenTransient", readRepairOutcome),
    planForget: (name, asked) => get(pathOfForget(name, asked), readForgetPlan),
    forget: (name, asked) =>
      post(pathOfForget(name, asked), undefined, "whenTransient", readForgetPlan),
    pauseAll: (reason) => put("/v1/pause", { reason }, readPause),
    resumeAll: () => remove("/v1/pause", readNothing),
    drift: (environment) => get(`/v1/drift${query({ environment })}`, readDrift),
    // A second tick does what is left of the first.
    reconcile: (environment, waitS) =>
      post(
        `/v1/reconcile${query({ environment, wait: String(waitS) })}`,
        undefined,
        "whenTransient",
        readTick,
      ),
    events: ({ after, limit, ...filter }) =>
      get(
        `/v1/events${query({ ...filter, after: numeral(after), limit: numeral(limit) })}`,
        readEvents,
      ),
    putReview: (request) => put("/v1/reviews", request, readReceipt),
    reviews: (environment, pull) =>
      get(`/v1/reviews${query({ environment, pull: String(pull) })}`, readReviews),
    releasePlan: (pull, request) => put(`/v1/reviews/${pull}/release`, request, readReview),
  };
}

function pathOfPause(name: string, object: string | null): string {
  return `/v1/namespaces/${encodeURIComponent(name)}/pause${query({ object })}`;
}

function pathOfForget(name: string, { object, environment }: ForgetQuery): string {
  return `/v1/namespaces/${encodeURIComponent(name)}/forget${query({ object, environment })}`;
}

function pathOfRepair(
  name: string,
  object: string | null,
  named: readonly (readonly string[])[],
): string {
  const search = new URLSearchParams(
    [...(object === null ? [] : [["object", object]]), ...named].map((pair) => [...pair]),
  );
  const text = search.toString();
  return `/v1/namespaces/${encodeURIComponent(name)}/repair${text === "" ? "" : `?${text}`}`;
}

function numeral(value: number | undefined): string | null {
  return value === undefined ? null : String(value);
}

function query(parameters: Readonly<Record<string, string | null | undefined>>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters))
    if (value !== null && value !== undefined) search.set(name, value);
  const text = search.toString();
  return text === "" ? "" : `?${text}`;
}
