/**
 * The coordinator: the one Durable Object of a Worker that knows its plans and runs, and drives runs to their end.
 *
 * It steps by alarm, never in a request: a run goes on when nobody is looking, and resumes after a restart at any point, because a
 * step is re-entrant and its progress and the next alarm are written together. The alarm handler never throws: the runtime drops
 * an alarm after six failures. One object serves all environments, since they share the namespaces of one Worker.
 */
import { DurableObject } from "cloudflare:workers";

import { advanceRun } from "../apply/advance-run.ts";
import { createRun, delayUntilNextMs, failRun, requestCancel, type RunRecord } from "../apply/run-record.ts";
import type { Run } from "../core/api.ts";
import type { NamespaceRef } from "../core/live.ts";
import type { Guard, Plan } from "../core/plan.ts";
import type { RunOrigin } from "../core/review.ts";
import { failure, success, type Result } from "../core/result.ts";
import { createObjectAccess } from "../live/durable-object.ts";
import { logError } from "./log.ts";
import type { Settings } from "./options.ts";
import { CoordinatorStore, decodeJson, type RunRow, type StoredPlan } from "./store.ts";

/** The name of the coordinator's object. Stored state lives under it: never change. */
export const COORDINATOR_NAME = "coordinator";

/** Unexpected exceptions in a row after which a run is failed: more than a quarter of an hour with the backoff below. */
export const FAULTS_MAX = 20;
const FAULT_DELAY_FIRST_MS = 500;
const FAULT_DELAY_LONGEST_MS = 60_000;

export interface StartRun {
  readonly fingerprint: string;
  readonly overrides: readonly Guard[];
  readonly requestedBy: string;
  readonly origin: RunOrigin | null;
}

export type StartRunFailure = { readonly kind: "unknownPlan" } | { readonly kind: "locked"; readonly run: Run };

/** The coordinator as the HTTP API calls it. Every call may be repeated. */
export interface CoordinatorApi {
  storePlan(plan: StoredPlan, seen: readonly NamespaceRef[]): Promise<void>;
  readPlan(fingerprint: string): Promise<Uint8Array | null>;
  /** The desired state under a stored plan, as UTF-8 JSON. */
  readDesired(fingerprint: string): Promise<Uint8Array | null>;
  listNamespaces(environment: string | null): Promise<NamespaceRef[]>;
  startRun(request: StartRun): Promise<Result<Run, StartRunFailure>>;
  /** The active run that keeps this plan from being started anew; it may be the run of this very plan. */
  findRival(fingerprint: string): Promise<Run | null>;
  readRun(id: string): Promise<Run | null>;
  waitForRun(id: string, since: number | null, waitMs: number): Promise<Run | null>;
  listRuns(limit: number): Promise<Run[]>;
  cancelRun(id: string): Promise<Run | null>;
  resume(): Promise<number>;
}

/** Subclassed by `createReconciler`, which knows where the bindings are. */
export abstract class Coordinator<Env> extends DurableObject<Env> implements CoordinatorApi {
  readonly #store: CoordinatorStore;
  /** Active runs as last written, so that a step does not read thousands of actions. */
  readonly #records = new Map<string, RunRecord>();
  /** When each active run is to take its next step; empty after a restart, which means now. */
  readonly #nextStepAt = new Map<string, number>();
  readonly #waiters = new Map<string, Set<() => void>>();

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#store = new CoordinatorStore(ctx.storage.sql);
    // An alarm can only be missing after a crash, and after a crash this runs.
    void ctx.blockConcurrencyWhile(() => this.resume());
  }

  protected abstract objects(): Readonly<Record<string, DurableObjectNamespace>>;
  /** Throws when the Worker is set up wrongly: the HTTP API says so before anything gets here. */
  protected abstract settings(): Settings;

  async storePlan(plan: StoredPlan, seen: readonly NamespaceRef[]): Promise<void> {
    this.ctx.storage.transactionSync(() => {
      this.#store.putPlan(plan, Date.now());
      this.#store.rememberNamespaces(plan.environment, seen);
    });
  }

  async readPlan(fingerprint: string): Promise<Uint8Array | null> {
    return this.#store.getPlan(fingerprint);
  }

  async readDesired(fingerprint: string): Promise<Uint8Array | null> {
    return this.#store.getDesired(fingerprint);
  }

  async listNamespaces(environment: string | null): Promise<NamespaceRef[]> {
    return this.#store.listNamespaces(environment);
  }

  /** Creates the run, or returns the active one of the same plan. Checks the lock in the turn in which it takes it. */
  async startRun({ fingerprint, overrides, requestedBy, origin }: StartRun): Promise<Result<Run, StartRunFailure>> {
    const plan = this.#plan(fingerprint);
    if (!plan) return failure({ kind: "unknownPlan" });
    const rival = this.#findRival(plan);
    if (rival) return rival.fingerprint === fingerprint ? success(rival) : failure({ kind: "locked", run: rival });
    const now = Date.now();
    const record = createRun(plan, {
      id: createRunId(now),
      requestedBy,
      overrides,
      origin,
      leaseToken: this.#store.nextLeaseToken(plan.environment),
      now,
    });
    this.#save(record, null, 0, now);
    return success(record.run);
  }

  async findRival(fingerprint: string): Promise<Run | null> {
    const plan = this.#plan(fingerprint);
    return plan ? this.#findRival(plan) : null;
  }

  async readRun(id: string): Promise<Run | null> {
    return this.#find(id)?.run ?? null;
  }

  /** The run once it differs from `since` (default: from now), has ended, or the time is over. */
  async waitForRun(id: string, since: number | null, waitMs: number): Promise<Run | null> {
    const run = this.#find(id)?.run;
    if (!run) return null;
    const isNews = since !== null && run.updatedAt > since;
    if (run.state === "running" && !isNews) await this.#nextChange(id, waitMs);
    return this.readRun(id);
  }

  async listRuns(limit: number): Promise<Run[]> {
    return this.#store.listRuns(limit).map(({ id }) => this.#load(id).run);
  }

  /** Asks a run to end. Null when there is no such run; a run that has ended stays as it is. */
  async cancelRun(id: string): Promise<Run | null> {
    const record = this.#find(id);
    if (!record || record.run.state !== "running") return record?.run ?? null;
    const now = Date.now();
    this.#save(requestCancel(record), record, 0, now);
    this.#nextStepAt.set(id, now);
    this.#arm();
    return record.run;
  }

  /** Makes sure that unfinished runs have an alarm; returns how many there are. */
  async resume(): Promise<number> {
    const active = this.#store.listActiveRuns();
    if (active.length > 0 && (await this.ctx.storage.getAlarm()) === null) await this.ctx.storage.setAlarm(Date.now());
    return active.length;
  }

  override async alarm(): Promise<void> {
    try {
      const now = Date.now();
      const due = this.#store.listActiveRuns().filter(({ id }) => (this.#nextStepAt.get(id) ?? 0) <= now);
      await Promise.all(due.map((row) => this.#step(row)));
      this.#arm();
    } catch (error) {
      // Storage itself failed. Throwing would use up one of the alarm's six lives.
      logError("coordinator.alarm.failed", {}, error);
      await this.ctx.storage.setAlarm(Date.now() + FAULT_DELAY_LONGEST_MS);
    }
  }

  /** Never throws: a run that cannot be stepped must not keep the others from theirs. */
  async #step({ id, fingerprint, faults }: RunRow): Promise<void> {
    try {
      const before = this.#load(id);
      const plan = this.#plan(fingerprint);
      const now = Date.now();
      if (plan) this.#saveStep(before, await advanceRun(before, plan, createObjectAccess(this.objects()), now));
      else this.#save(failRun(before, `Plan ${fingerprint} is no longer stored: plan again.`, now), before, 0, now);
    } catch (error) {
      this.#saveFault(id, faults + 1, error);
    }
  }

  /** A cancel may have come in while the step was asking namespaces: it must not be overwritten. */
  #saveStep(before: RunRecord, after: RunRecord): void {
    const cancelledMeanwhile = this.#load(after.run.id).cancelRequested && !before.cancelRequested;
    this.#save(cancelledMeanwhile ? requestCancel(after) : after, before, 0, Date.now());
  }

  #saveFault(id: string, faults: number, error: unknown): void {
    logError("run.step.failed", { run: id, faults }, error);
    const now = Date.now();
    const current = this.#load(id);
    const reason = `The run was given up after ${faults} internal errors: the Worker's log has them under ${id}. What is running in the namespace goes on.`;
    this.#save(faults < FAULTS_MAX ? current : failRun(current, reason, now), current, faults, now);
  }

  /** Writes the record and the alarm for what comes next in one transaction, then tells who is waiting. */
  #save(record: RunRecord, before: RunRecord | null, faults: number, now: number): void {
    const { id, state } = record.run;
    this.ctx.storage.transactionSync(() => this.#store.putRun(record, before, faults));
    if (state === "running") this.#records.set(id, record);
    else this.#records.delete(id);
    const delayMs = delayUntilNextMs(record, now);
    if (delayMs === null) this.#nextStepAt.delete(id);
    else this.#nextStepAt.set(id, now + Math.max(delayMs, faultDelayMs(faults)));
    // No await since the writes above: the alarm and the progress become durable together.
    this.#arm();
    if (record.run.updatedAt !== before?.run.updatedAt) this.#wake(id);
  }

  /** Sets the alarm for the run that is due first. */
  #arm(): void {
    if (this.#nextStepAt.size > 0) void this.ctx.storage.setAlarm(Math.min(...this.#nextStepAt.values()));
  }

  #findRival(plan: Plan): Run | null {
    const own = new Set(plan.changes.map(({ namespace }) => namespace));
    for (const row of this.#store.listActiveRuns()) {
      const { run } = this.#load(row.id);
      const overlaps = run.environment === plan.environment || run.actions.some(({ namespace }) => own.has(namespace));
      if (overlaps) return run;
    }
    return null;
  }

  #plan(fingerprint: string): Plan | null {
    const body = this.#store.getPlan(fingerprint);
    return body ? (decodeJson(body) as Plan) : null;
  }

  #find(id: string): RunRecord | null {
    return this.#records.get(id) ?? this.#store.getRun(id);
  }

  #load(id: string): RunRecord {
    const record = this.#find(id);
    if (!record) throw new Error(`Run ${id} is listed, but its document is missing`);
    return record;
  }

  #nextChange(id: string, waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const waiters = this.#waiters.get(id) ?? new Set();
      this.#waiters.set(id, waiters);
      const done = (): void => {
        clearTimeout(timer);
        waiters.delete(done);
        if (waiters.size === 0) this.#waiters.delete(id);
        resolve();
      };
      const timer = setTimeout(done, waitMs);
      waiters.add(done);
    });
  }

  #wake(id: string): void {
    for (const done of this.#waiters.get(id) ?? []) done();
  }
}

function faultDelayMs(faults: number): number {
  return faults === 0 ? 0 : Math.min(FAULT_DELAY_LONGEST_MS, FAULT_DELAY_FIRST_MS * 2 ** (faults - 1));
}

/** Sorts by time; unguessable enough to be unique. */
function createRunId(now: number): string {
  return `run-${now.toString(36)}-${crypto.randomUUID().slice(0, 8)}`;
}
