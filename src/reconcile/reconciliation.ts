/**
 * Reconciliation in the coordinator: one pass a tick for each environment, in slices that alarms
 * carry on, one slice at a time.
 *
 * A slice is not waited for by the alarm: runs must not wait for GitHub or for an object that
 * hangs. It never throws. Which environments there are: with a repository the one of its manifests;
 * without, those that something was applied to, kept as it was applied last.
 */
import type { DriftReport, Pause } from "../model/drift.ts";
import type { Run } from "../model/api.ts";
import type { NamespaceRef } from "../model/live.ts";
import type { NamespaceSpec } from "../model/spec.ts";
import type { VisibleNames } from "../model/token-scope.ts";
import { buildReport } from "./track-drifts.ts";
import { isUnderWay, type EnvironmentState } from "./environment-state.ts";
import type { ManifestSource, ReconcilePorts } from "./ports.ts";
import { MergeMemory } from "../reviews/merge-memory.ts";
import { createReviewLookup, type ReviewLookup } from "../reviews/review-lookup.ts";
import type { NewEvent } from "../history/make-event.ts";
import { beginPass, reconcile } from "./reconcile.ts";
import type { GithubReader } from "../github/port.ts";
import type { LiveAccess } from "../live/port.ts";
import { endedNow, repairEvent } from "../history/make-events.ts";
import { logError, tickId } from "../log.ts";
import type { Followed, PlanBook } from "../runs/plan-book.ts";
import type { PolicyStore } from "../runs/policy-store.ts";
import type { PolicyFloors } from "../model/policy.ts";
import type { ReviewsStore } from "../reviews/reviews-store.ts";
import type { RunBook } from "../runs/run-book.ts";
import type { CoordinatorStore } from "../runs/store.ts";
import type { RunStarts } from "../runs/start-runs.ts";
import type { SetReader } from "../manifest/read-set.ts";
import type { GithubSettings } from "../github/settings.ts";
import { Waiters } from "../runs/waiters.ts";
import { areWindowsOpen } from "../runs/windows.ts";
import { BlobStore, createAppliedSource, createManifestSource } from "./manifest-source.ts";
import { followedNow } from "./follow-policies.ts";
import { declaredSpec, guardedSpec, type NamespaceState } from "./namespace-state.ts";
import { Pauses } from "../pauses/pauses.ts";
import {
  type AppliedRepair,
  RegistriesStore,
  type RepairNotes,
} from "../repair/registries-store.ts";
import { ReconcileDocuments, StateStore, StoreClosed } from "./state-store.ts";

/**
 * Calls and requests of one slice: one invocation may make 1,000, and the coordinator does other
 * things too.
 */
const SLICE_CALLS_MAX = 400;
const SLICE_MS_MAX = 20_000;
/**
 * While a slice works the object is woken up so often; after a crash it is what carries the pass
 * on.
 */
const WATCH_MS = 5_000;
/** After a slice that failed for no reason of a namespace. */
const FAULT_DELAY_MS = 30_000;

/** The calls about reconciliation. */
export interface ReconcileCalls extends RepairNotes {
  /**
   * Begins a pass in every environment that has none under way; alarms carry it on.
   *
   * @param cron the expression of the event that asks for it, or null.
   */
  tick(cron: string | null): void;
  /** Waits for a pass that began after this call. False when the time is over first. */
  runPass(environment: string, waitMs: number): Promise<boolean>;
  /** Environments that are reconciled here, sorted. */
  environments(): readonly string[];
  /** @param visible what its reader may see; null for everything. */
  report(environment: string, visible: VisibleNames | null): Promise<DriftReport>;
}

export interface ReconciliationParts {
  readonly settings: () => GithubSettings | null;
  /** Null without credentials. */
  readonly github: () => GithubReader | null;
  readonly readSet: SetReader;
  /** As reconciliation of that environment sees it. */
  readonly liveAccess: (environment: string) => LiveAccess;
  readonly reviews: Pick<ReviewsStore, "list" | "newest" | "figures" | "isOrdered">;
  readonly plans: Pick<PlanBook, "read" | "appliedEnvironments" | "newestApplied">;
  readonly policies: PolicyStore;
  /** The owner's. */
  readonly floors: () => PolicyFloors;
  /** Names that environments remember, of what is or was sharded. */
  readonly names: Pick<
    CoordinatorStore,
    | "environmentsOf"
    | "claimantsOf"
    | "rememberNamespaces"
    | "forgetNamespaces"
    | "claimNamespaces"
    | "releaseNamespace"
  >;
  readonly runs: Pick<RunBook, "findRun" | "detach">;
  readonly starts: Pick<RunStarts, "startOwn" | "findRival">;
  readonly record: (event: NewEvent) => void;
  /** Told of each event of the cron trigger, by its expression. */
  readonly onCron: (cron: string, now: number) => void;
  /** Told of each pass that is over: for the log, metrics and alerts. */
  readonly onTick: (state: EnvironmentState) => void;
  /** Sets the alarm for what is due next. */
  readonly arm: () => void;
}

export class Reconciliation implements ReconcileCalls {
  readonly pauses: Pauses;
  readonly registries: RegistriesStore;
  readonly #storage: DurableObjectStorage;
  readonly #parts: ReconciliationParts;
  readonly #documents: ReconcileDocuments;
  readonly #blobs: BlobStore;
  readonly #stores = new Map<string, StateStore>();
  readonly #merged = new MergeMemory();
  readonly #waiters = new Waiters();
  #slice: Promise<void> | null = null;
  /** After a slice that failed, by environment. */
  readonly #notBefore = new Map<string, number>();

  constructor(storage: DurableObjectStorage, parts: ReconciliationParts) {
    const { sql } = storage;
    this.#storage = storage;
    this.#parts = parts;
    this.#documents = new ReconcileDocuments(sql);
    this.registries = new RegistriesStore(sql);
    this.#blobs = new BlobStore(sql);
    this.pauses = new Pauses({
      storage,
      documents: this.#documents,
      environments: () => this.environments(),
      environmentsOf: (ref) => this.environmentsOf(ref),
      specOf: (environment, ref) => this.#store(environment).read(ref)?.spec ?? null,
      makeDue: (environment, ref) => this.#store(environment).makeDue(ref),
      record: (event) => parts.record(event),
    });
  }

  environments(): readonly string[] {
    const settings = this.#parts.settings();
    return settings !== null && this.#hasRepository()
      ? [settings.environment]
      : this.#parts.plans.appliedEnvironments();
  }

  #hasRepository(): boolean {
    return this.#parts.settings() !== null && this.#parts.github() !== null;
  }

  /** Environments that remember the namespace, or follow it; sorted. */
  environmentsOf(ref: NamespaceRef): readonly string[] {
    const following = this.#documents
      .environments()
      .filter((environment) => this.#store(environment).read(ref) !== null);
    return [...new Set([...this.#parts.names.environmentsOf(ref), ...following])].toSorted();
  }

  /** The same, and environments that only claim it. */
  knowersOf(ref: NamespaceRef): readonly string[] {
    return [...new Set([...this.environmentsOf(ref), ...this.claimantsOf(ref)])].toSorted();
  }

  /** Environments that declare it, have declared it, or have run a change of it; sorted. */
  claimantsOf(ref: NamespaceRef): readonly string[] {
    const declaring = this.#documents
      .environments()
      .filter((environment) => this.declared(environment, ref.name)?.object === ref.object);
    return [...new Set([...this.#parts.names.claimantsOf(ref), ...declaring])].toSorted();
  }

  /** True for a namespace that is looked at here: one that was forgotten is not. */
  isFollowed(environment: string, ref: NamespaceRef): boolean {
    return this.#store(environment).read(ref) !== null;
  }

  /** Namespaces that the followed manifests of one environment, or of all, declare. */
  declaredRefs(environment: string | null): readonly NamespaceRef[] {
    const environments = environment === null ? this.#documents.environments() : [environment];
    return environments.flatMap((one) => this.#store(one).declared());
  }

  /** The storage was changed under it: what is kept in memory is read anew. */
  reload(): void {
    for (const [environment, store] of this.#stores) {
      store.close();
      this.#waiters.wake(environment);
    }
    this.#stores.clear();
    // States that were imported may follow policies that nobody here knows to be applied.
    this.#parts.policies.recheck();
    this.#parts.arm();
  }

  /** The environment knows nothing of the namespace any more. */
  forget(environment: string, ref: NamespaceRef): void {
    this.#storage.transactionSync(() => {
      this.#store(environment).remove(ref);
      this.#parts.policies.forget(environment, ref.name);
      this.#parts.names.forgetNamespaces(environment, [ref]);
      this.#parts.names.releaseNamespace(environment, ref);
    });
  }

  /** The next pass looks. */
  noteRepair(ref: NamespaceRef, repair: AppliedRepair, by: string): void {
    const now = Date.now();
    this.#storage.transactionSync(() => {
      if (!this.registries.noteRepair(ref, repair, now)) return;
      for (const environment of this.environmentsOf(ref)) {
        this.#parts.record(repairEvent(environment, repair.outcome, by, now));
        this.#store(environment).makeDue(ref);
      }
    });
  }

  tick(cron: string | null): void {
    const now = Date.now();
    if (cron !== null) this.#parts.onCron(cron, now);
    for (const environment of this.environments()) {
      beginPass({ store: this.#store(environment), environment, now: () => Date.now() });
    }
    this.start(now);
    this.#parts.arm();
  }

  async runPass(environment: string, waitMs: number): Promise<boolean> {
    const deadline = Date.now() + waitMs;
    // A pass that is under way does not look again at namespaces that it has already looked at.
    if (!(await this.#waitForPass(environment, waitMs))) return false;
    this.tick(null);
    return this.#waitForPass(environment, deadline - Date.now());
  }

  /**
   * A namespace in which an operation ended is not what it was: whoever asked for it, the next pass
   * looks.
   */
  noteRun(run: Run, before: Run | null): void {
    run.actions.forEach((action, index) => {
      if (!endedNow(action, before?.actions[index] ?? null)) return;
      this.#store(run.environment).makeDue({ name: action.namespace, object: action.object });
    });
  }

  /** When there is work; null for never. */
  nextAt(now: number): number | null {
    if (this.#slice !== null) return now + WATCH_MS;
    const times = this.#underWay().map((environment) => now + this.#waitMs(environment, now));
    return times.length === 0 ? null : Math.min(...times);
  }

  /** Begins a slice when a pass is under way and no slice is. */
  start(now: number): void {
    const ready = this.#underWay().filter((environment) => this.#waitMs(environment, now) === 0);
    if (this.#slice !== null || ready.length === 0) return;
    this.#slice = this.#work(ready).finally(() => {
      this.#slice = null;
      this.#parts.arm();
    });
  }

  /** True when the environment's pass is over within the time; the pass goes on anyhow. */
  async #waitForPass(environment: string, waitMs: number): Promise<boolean> {
    const deadline = Date.now() + waitMs;
    while (this.#isUnderWay(environment)) {
      const leftMs = deadline - Date.now();
      if (leftMs <= 0) return false;
      await this.#waiters.next(environment, leftMs);
    }
    return true;
  }

  report(environment: string, visible: VisibleNames | null): Promise<DriftReport> {
    return buildReport(environment, this.#store(environment), this.pause(), visible);
  }

  /** Returns the cost and the outcome of the last pass; null before the first. */
  state(environment: string): EnvironmentState | null {
    return this.#store(environment).readEnvironment();
  }

  /**
   * The namespace's manifest as it is followed, with the policy that was applied last; null without
   * one.
   */
  declared(environment: string, namespace: string): NamespaceSpec | null {
    const state = this.#store(environment).readDeclared(namespace);
    return state?.spec ? this.#followedNow(environment, state, state.spec).spec : null;
  }

  /** The namespace as the merged manifests have it; null where the environment follows none. */
  followed(environment: string, namespace: string): Followed | null {
    if (!this.#hasRepository() || !this.environments().includes(environment)) return null;
    const store = this.#store(environment);
    const state = store.readDeclared(namespace);
    if (state?.spec) {
      const { spec, held = null } = this.#followedNow(environment, state, state.spec);
      return {
        declared: declaredSpec(state, state.spec),
        guarding: spec && guardedSpec({ held }, spec).policy,
        declaredAt: state.declaredAt ?? null,
      };
    }
    const left = store.readNamed(namespace);
    const declaredAt =
      left.length === 0 ? null : Math.max(...left.map((one) => one.declaredAt ?? 0));
    return { declared: null, guarding: null, declaredAt };
  }

  /** When other manifests than before were last followed; null for never. */
  followedAt(environment: string): number | null {
    return this.state(environment)?.followedAt ?? null;
  }

  /** A pass follows what was applied since only when it begins. */
  #followedNow(
    environment: string,
    state: NamespaceState,
    spec: NamespaceSpec,
  ): Pick<NamespaceState, "spec" | "held"> {
    const { policies, floors } = this.#parts;
    const known = policies.read(environment, state.name)?.policy ?? null;
    const isSource = !this.#hasRepository();
    return followedNow(declaredSpec(state, spec), known, { floors: floors(), isSource });
  }

  pause(): Pause | null {
    return this.pauses.read();
  }

  /** Never throws: what fails is one environment's, and it is tried again after a while. */
  async #work(environments: readonly string[]): Promise<void> {
    const until = Date.now() + SLICE_MS_MAX;
    for (const environment of environments) {
      try {
        const { next, state } = await reconcile(this.#ports(environment), {
          calls: SLICE_CALLS_MAX,
          until,
        });
        this.#notBefore.delete(environment);
        if (next === "more") continue;
        this.#parts.onTick(state);
        this.#waiters.wake(environment);
      } catch (error) {
        // The pass is over with the state that it worked on.
        if (error instanceof StoreClosed) continue;
        logError("reconcile.slice.failed", { environment }, error);
        this.#notBefore.set(environment, Date.now() + FAULT_DELAY_MS);
      }
    }
  }

  #waitMs(environment: string, now: number): number {
    const waitMs = (this.#notBefore.get(environment) ?? 0) - now;
    // A clock that went back does not make it wait for longer.
    return waitMs <= 0 || waitMs > FAULT_DELAY_MS ? 0 : waitMs;
  }

  #ports(environment: string): ReconcilePorts {
    const store = this.#store(environment);
    const parts = this.#parts;
    const { manifests, reviews } = this.#sources(environment);
    return {
      environment,
      applies: parts.settings()?.applies ?? "worker",
      store,
      manifests,
      policies: {
        floors: parts.floors(),
        isSource: !this.#hasRepository(),
        read: (name) => parts.policies.read(environment, name),
        noteDefault: (name) => parts.policies.noteDefault(environment, name),
        apply: (changes) =>
          this.#storage.transactionSync(() => parts.policies.apply(environment, changes)),
        changed: () => parts.policies.changed(environment),
        takeChanged: (names) => parts.policies.takeChanged(environment, names),
      },
      reviews,
      liveAccess: parts.liveAccess(environment),
      runs: {
        find: (id) => parts.runs.findRun(id),
        findRival: (names) => parts.starts.findRival(environment, names),
        start: (run) => {
          store.requireOpen();
          return parts.starts.startOwn(run);
        },
        detach: (id, namespace, reason) => parts.runs.detach(id, namespace, reason),
      },
      registries: {
        read: (ref) => this.registries.read(ref),
        note: (ref, registry) => {
          // Forgotten while the object was asked.
          const state = store.read(ref);
          if (state === null) return;
          this.registries.note(ref, registry);
          if (state.spec !== null) parts.names.claimNamespaces(environment, [ref]);
          // Its environment lists it from now on, also when somebody sharded it by hand.
          if (registry.epoch > 0) parts.names.rememberNamespaces(environment, [ref]);
        },
      },
      unseenRefs: () => store.unseen(),
      forget: (ref) => {
        store.requireOpen();
        this.forget(environment, ref);
      },
      isWindowOpen: areWindowsOpen,
      paused: () => this.pause(),
      resumedAt: () => this.#documents.resumedAt(),
      record: (event) => parts.record(event),
      onError: (namespace, error) => {
        const correlationId = tickId(environment, store.readEnvironment()?.pass.number ?? 0);
        logError("reconcile.namespace.failed", { correlationId, environment, namespace }, error);
      },
      now: () => Date.now(),
      random: () => Math.random(),
    };
  }

  #sources(environment: string): {
    readonly manifests: ManifestSource;
    readonly reviews: ReviewLookup;
  } {
    const settings = this.#parts.settings();
    const github = this.#parts.github();
    if (settings === null || github === null) {
      return {
        manifests: createAppliedSource(
          (known) => this.#parts.plans.newestApplied(environment, known),
          this.#parts.floors(),
        ),
        reviews: { find: () => Promise.resolve({ kind: "noRepository", requests: 0 }) },
      };
    }
    return {
      manifests: createManifestSource(
        github,
        { ...settings, floors: this.#parts.floors() },
        {
          blobs: this.#blobs,
          documents: this.#documents,
          readSet: this.#parts.readSet,
          now: () => Date.now(),
        },
      ),
      reviews: createReviewLookup(github, {
        environment,
        defaultBranch: settings.defaultBranch,
        list: (filter, limit) => this.#parts.reviews.list(filter, limit),
        newest: (where, pull) => this.#parts.reviews.newest(where, pull),
        readPlan: (fingerprint) => this.#parts.plans.read(fingerprint),
        figures: (place) => this.#parts.reviews.figures(place),
        isOrdered: (place) => this.#parts.reviews.isOrdered(place),
        merged: this.#merged,
        now: () => Date.now(),
      }),
    };
  }

  #store(environment: string): StateStore {
    const known =
      this.#stores.get(environment) ??
      new StateStore(this.#storage.sql, this.#documents, environment);
    this.#stores.set(environment, known);
    return known;
  }

  #underWay(): readonly string[] {
    return this.environments().filter((environment) => this.#isUnderWay(environment));
  }

  #isUnderWay(environment: string): boolean {
    const state = this.state(environment);
    return state !== null && isUnderWay(state);
  }
}
