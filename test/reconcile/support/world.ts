/**
 * A small world for the reconciler: manifests, reviews and a clock that a test moves by hand,
 * namespaces in memory, and runs that are really stepped. `tick` is one cron tick: a pass in
 * slices, then some steps of the runs.
 */
import { advanceRun } from "../../../src/runs/advance-run.ts";
import type { FindHold } from "../../../src/runs/hold-operation.ts";
import { buildReport } from "../../../src/reconcile/track-drifts.ts";
import type { Applies } from "../../../src/github/settings.ts";
import type { EnvironmentState } from "../../../src/reconcile/environment-state.ts";
import type { ManifestReading, ReconcilePorts } from "../../../src/reconcile/ports.ts";
import type { ReviewAnswer } from "../../../src/reviews/review-lookup.ts";
import type { Drift, DriftReport, NamespaceCondition, Pause } from "../../../src/model/drift.ts";
import type { NewEvent } from "../../../src/history/make-event.ts";
import { beginPass, reconcile } from "../../../src/reconcile/reconcile.ts";
import { gatherLive } from "../../../src/runs/gather-live.ts";
import {
  createRun,
  detachAction,
  RECONCILER,
  requestRunCancel,
  type RunRecord,
} from "../../../src/runs/run-record.ts";
import type { Run } from "../../../src/model/api.ts";
import { unshardedLayout } from "../../../src/model/layout/layout.ts";
import type { NamespaceRef } from "../../../src/model/live.ts";
import type { Guard, Plan } from "../../../src/model/plan.ts";
import { buildPlan } from "../../../src/planning/build-plan.ts";
import { failure, success } from "../../../src/model/result.ts";
import type { DesiredState, NamespaceSpec } from "../../../src/model/spec.ts";
import { createMemoryAccess, type MemoryAccess } from "../../support/live/memory.ts";
import type { MemoryNamespace } from "../../support/live/memory-rows.ts";
import { findHold } from "../../../src/runs/hold-operation.ts";
import { areWindowsOpen } from "../../../src/runs/windows.ts";
import { hashOf } from "../../support/state.ts";
import { MemoryPolicies } from "./memory-policies.ts";
import { MemoryRegistries } from "./memory-registries.ts";
import { MemoryStore } from "./memory-store.ts";

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
const SLICES_MAX = 1000;
const RUN_STEPS = 8;

export interface WorldOptions {
  readonly live: readonly MemoryNamespace[];
  /** Their policies have been applied. */
  readonly specs: readonly NamespaceSpec[];
  readonly environment?: string;
  readonly startAt?: number;
  readonly pollsToComplete?: () => number;
  readonly random?: () => number;
  readonly partitioners?: Parameters<typeof createMemoryAccess>[0]["partitioners"];
}

interface Head {
  readonly commit: string;
  readonly treeSha: string;
  readonly reading: "desired" | "invalid" | "absent";
  readonly specs: readonly NamespaceSpec[];
}

export class ReconcilerFixture {
  now: number;
  environment: string;
  store = new MemoryStore();
  readonly policies = new MemoryPolicies();
  registries = new MemoryRegistries();
  readonly live: MemoryAccess;
  readonly events: NewEvent[] = [];
  readonly errors: unknown[] = [];
  readonly runs = new Map<string, { record: RunRecord; plan: Plan }>();
  #paused: Pause | null = null;
  /** As the Worker remembers it. */
  resumedAt: number | null = null;
  known: NamespaceRef[] = [];
  githubRequests = 0;
  /** The answer of a broken GitHub. */
  githubFails: string | null = null;
  reviewed: {
    pull: number;
    plan: Plan;
    isOrdered?: boolean;
    isReleased?: boolean;
    overrides: Guard[];
  }[] = [];
  applies: Applies = "worker";
  #head: Head;
  #commits = 0;
  readonly #random: () => number;
  /** Called at every call to a port: a test kills by never answering. */
  onCall: () => Promise<void> = () => Promise.resolve();

  constructor(options: WorldOptions) {
    this.now = options.startAt ?? Date.UTC(2026, 2, 2, 12);
    this.environment = options.environment ?? "production";
    this.#random = options.random ?? (() => 0.5);
    this.live = createMemoryAccess({
      namespaces: options.live,
      now: () => this.now,
      ...(options.pollsToComplete ? { pollsToComplete: options.pollsToComplete } : {}),
      ...(options.partitioners ? { partitioners: options.partitioners } : {}),
    });
    this.#head = { commit: "", treeSha: "", reading: "desired", specs: options.specs };
    for (const { name, policy } of options.specs) this.policies.set(name, policy);
    this.merge(options.specs);
  }

  get paused(): Pause | null {
    return this.#paused;
  }

  set paused(pause: Pause | null) {
    if (pause === null) this.resumedAt = this.now;
    this.#paused = pause;
  }

  /** Puts manifests on the default branch. */
  merge(
    specs: readonly NamespaceSpec[],
    reading: "desired" | "invalid" | "absent" = "desired",
  ): void {
    this.#commits++;
    const sha = this.#commits.toString(16).padStart(40, "0");
    this.#head = { commit: sha, treeSha: `tree-${sha}`, reading, specs };
  }

  get head(): string {
    return this.#head.commit;
  }

  /** The head of the default branch now, to be put back as the very same. */
  get tree(): Head {
    return this.#head;
  }

  restore(head: Head): void {
    this.#head = head;
  }

  /** Shows the plan of these manifests in a pull request, merges it, and returns the plan. */
  async reviewAndMerge(specs: readonly NamespaceSpec[], overrides: Guard[] = []): Promise<Plan> {
    const plan = await this.plan(specs);
    this.merge(specs);
    const pull = 40 + this.#commits;
    this.reviewed = [{ pull, plan, overrides }, ...this.reviewed];
    return plan;
  }

  async plan(specs: readonly NamespaceSpec[], known: readonly NamespaceRef[] = []): Promise<Plan> {
    const desired = this.#desired(specs);
    const { applied, floors } = this.policies;
    return buildPlan({
      desired,
      live: await gatherLive(this.live, desired, known),
      applied,
      floors,
    });
  }

  /** A run that somebody else starts. */
  startRunOf(plan: Plan, requestedBy = "ci"): string {
    const id = `run-${this.runs.size + 1}`;
    const record = createRun(plan, {
      id,
      requestedBy,
      overrides: [],
      origin: null,
      leaseToken: 1,
      shown: null,
      now: this.now,
    });
    this.runs.set(id, { record, plan });
    return id;
  }

  cancelRun(id: string): void {
    const found = this.runs.get(id);
    if (found) this.runs.set(id, { ...found, record: requestRunCancel(found.record) });
  }

  /** Only the pass, without any step of a run. */
  async pass(calls = 400): Promise<EnvironmentState> {
    beginPass(this.ports());
    for (let slice = 0; slice < SLICES_MAX; slice++) {
      const { next, state } = await reconcile(this.ports(), { calls, until: this.now + 5000 });
      if (next === "done") return state;
    }
    throw new Error("The pass does not end");
  }

  async stepRuns(steps = RUN_STEPS): Promise<void> {
    for (let step = 0; step < steps; step++) {
      for (const [id, { record, plan }] of this.runs) {
        if (record.run.state === "running")
          this.runs.set(id, {
            plan,
            record: await advanceRun(record, plan, this.live, this.now, {
              findHold: this.#findHold(record),
            }),
          });
      }
      this.now += 1000;
    }
  }

  async tick(times = 1): Promise<EnvironmentState> {
    let state = this.store.readEnvironment();
    for (let time = 0; time < times; time++) {
      const at = this.now;
      state = await this.pass();
      await this.stepRuns();
      this.now = at + MINUTE;
    }
    if (!state) throw new Error("No tick");
    return state;
  }

  report(): Promise<DriftReport> {
    return buildReport(this.environment, this.store, this.paused);
  }

  async drifts(): Promise<Pick<Drift, "kind" | "namespace" | "state" | "reason">[]> {
    return (await this.report()).drifts.map(({ kind, namespace, state, reason }) => ({
      kind,
      namespace,
      state,
      reason,
    }));
  }

  condition(name: string): NamespaceCondition | undefined {
    const state = [...this.store.all()].find((one) => one.name === name);
    return state?.condition;
  }

  async epochOf(name: string): Promise<number> {
    const described = await this.live.describe({ name, object: "ORDERS" });
    if (!described.ok) throw new Error(described.failure.message);
    return described.value.epoch;
  }

  async membersOf(name: string): Promise<number> {
    const described = await this.live.describe({ name, object: "ORDERS" });
    if (!described.ok) throw new Error(described.failure.message);
    return described.value.layout.kind === "none" ? 0 : described.value.layout.members.length;
  }

  startedRuns(): Run[] {
    return [...this.runs.values()]
      .map(({ record }) => record.run)
      .filter(({ requestedBy }) => requestedBy === RECONCILER);
  }

  #desired(specs: readonly NamespaceSpec[]): DesiredState {
    return {
      environment: this.environment,
      commit: null,
      namespaces: specs.toSorted((left, right) => (left.name < right.name ? -1 : 1)),
    };
  }

  #readManifests(known: string | null): ManifestReading {
    if (this.githubFails !== null)
      return { kind: "failed", message: this.githubFails, retryAt: null, requests: 1 };
    const { commit, treeSha, reading, specs } = this.#head;
    if (reading === "absent")
      return { kind: "absent", message: "the folder manifests is gone", requests: 1 };
    if (treeSha === known) return { kind: "unchanged", requests: 1 };
    if (reading === "invalid")
      return {
        kind: "invalid",
        commit,
        treeSha,
        errors: ["orders.yaml:3:1 unknown key"],
        requests: 2,
      };
    return {
      kind: "desired",
      commit,
      treeSha,
      desired: { ...this.#desired(specs), commit },
      requests: 3,
    };
  }

  ports(): ReconcilePorts {
    const guard = async <Value>(value: () => Value | Promise<Value>): Promise<Value> => {
      await this.onCall();
      return value();
    };
    return {
      environment: this.environment,
      applies: this.applies,
      store: this.store,
      manifests: {
        read: (known) =>
          guard(() => {
            const reading = this.#readManifests(known);
            this.githubRequests += reading.requests;
            return reading;
          }),
      },
      policies: this.policies,
      reviews: {
        find: () =>
          guard((): ReviewAnswer => {
            this.githubRequests++;
            if (this.githubFails !== null)
              return { kind: "failed", message: this.githubFails, requests: 1 };
            {
              const plans = this.reviewed.map((one) => ({
                isOrdered: false,
                isReleased: one.overrides.length > 0,
                ...one,
              }));
              return { kind: "found", plans, requests: 1 };
            }
          }),
      },
      liveAccess: {
        describe: (ref) => guard(() => this.live.describe(ref)),
        distribute: (ref, request) => guard(() => this.live.distribute(ref, request)),
        operation: (ref, id) => guard(() => this.live.operation(ref, id)),
        history: (ref, limit) => guard(() => this.live.history(ref, limit)),
        planRepair: (ref, request) => guard(() => this.live.planRepair(ref, request)),
        countMember: (ref, member) => guard(() => this.live.countMember(ref, member)),
        pause: (ref, id, why) => guard(() => this.live.pause(ref, id, why)),
        resume: (ref, id) => guard(() => this.live.resume(ref, id)),
      },
      runs: {
        find: (id) => this.runs.get(id)?.record.run ?? null,
        findRival: (names) => this.#findRival(names),
        start: ({ plan, overrides, origin, shown }) => {
          const rival = this.#findRival(plan.changes.map(({ namespace }) => namespace));
          if (rival)
            return rival.fingerprint === plan.fingerprint
              ? success(rival)
              : failure(`run ${rival.id} is active`);
          const id = `run-${this.runs.size + 1}`;
          const record = createRun(plan, {
            id,
            requestedBy: RECONCILER,
            overrides,
            origin,
            leaseToken: 1,
            shown,
            now: this.now,
          });
          this.runs.set(id, { record, plan });
          return success(record.run);
        },
        detach: (id, namespace, reason) => {
          const found = this.runs.get(id);
          if (found)
            this.runs.set(id, {
              ...found,
              record: detachAction(found.record, namespace, reason, this.now),
            });
        },
      },
      registries: this.registries,
      unseenRefs: () => this.known.filter((ref) => this.store.read(ref) === null),
      forget: (ref) => {
        this.store.remove(ref);
        this.known = this.known.filter(
          ({ name, object }) => name !== ref.name || object !== ref.object,
        );
      },
      isWindowOpen: areWindowsOpen,
      paused: () => this.paused,
      resumedAt: () => this.resumedAt,
      record: (event) => void this.events.push(event),
      onError: (_namespace, error) => void this.errors.push(error),
      now: () => this.now,
      random: this.#random,
    };
  }

  /** As in the Worker, from what is merged now. */
  #findHold({ run }: RunRecord): FindHold {
    return findHold({
      pausedBy: this.paused?.by ?? null,
      overrides: run.overrides,
      guarded: (namespace) => this.#head.specs.find(({ name }) => name === namespace) ?? null,
      changed: () => [],
      declared: () => null,
      now: this.now,
    });
  }

  /** As in the coordinator: an environment has one run at a time. */
  #findRival(names: readonly string[]): Run | null {
    const active = [...this.runs.values()]
      .map(({ record }) => record.run)
      .filter(({ state }) => state === "running");
    const overlaps = (run: Run): boolean =>
      run.actions.some(({ namespace }) => names.includes(namespace));
    return active.find((run) => run.environment === this.environment || overlaps(run)) ?? null;
  }
}

/** A hash namespace in memory with one row for each of `rows` ids. */
export function hashed(
  name: string,
  count: number,
  rows = 200,
  changes: Partial<MemoryNamespace> = {},
): MemoryNamespace {
  return {
    name,
    object: "ORDERS",
    epoch: 1,
    layout: hashOf(name, count),
    rows: idRows(rows),
    ...changes,
  };
}

export function unsharded(name: string, rows = 200): MemoryNamespace {
  return { name, object: "ORDERS", epoch: 0, layout: unshardedLayout(name, 0), rows: idRows(rows) };
}

export function idRows(rows: number): MemoryNamespace["rows"] {
  return Array.from({ length: rows }, (_, index) => ({ keys: { id: `row-${index}` }, rows: 1 }));
}
