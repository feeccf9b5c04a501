/**
 * The coordinator's facts that the status page shows. One call a page; it reads its own storage
 * only and asks no namespace.
 */
import type { NamespaceSpec } from "../model/spec.ts";
import type { NamespaceView } from "./page-data.ts";
import { sortDrifts } from "../reconcile/track-drifts.ts";
import type { EnvironmentState } from "../reconcile/environment-state.ts";
import type { Run, RunAction } from "../model/api.ts";
import { formatQuantity } from "../model/figures.ts";
import type { LiveNamespace, NamespaceRef } from "../model/live.ts";
import {
  isVisible,
  isVisibleEnvironment,
  visibleIn,
  type VisibleNames,
  type VisibleThere,
} from "../model/token-scope.ts";
import type { OperationView, Overview, RunView, Surroundings } from "./page-data.ts";
import { viewOperation } from "./sight.ts";
import type { Reconciliation } from "../reconcile/reconciliation.ts";
import type { CoordinatorStore } from "../runs/store.ts";
import { NamesQuery, type NamedState } from "./names-query.ts";
import type {
  NamespaceFacts,
  NamespacePageFacts,
  OverviewFacts,
  OverviewRequest,
} from "./namespace-facts.ts";
import { RecentFacts, type RecentSources } from "./recent-facts.ts";
import { SightsStore, type Looked } from "./sights-store.ts";

/** Namespaces on one page of the list. */
export const PAGE_SIZE = 50;
const DRIFTS_MAX = 50;
const RUNNING_MAX = 5;

/** The calls for the status page. No namespace is asked. */
export interface PageCalls {
  /** Everything known for the overview. */
  overview(request: OverviewRequest): OverviewFacts;
  /**
   * Null when the namespace was never planned nor reconciled in that environment, or may not be
   * shown.
   *
   * @param visible what the viewer may see; null for everything.
   */
  namespace(
    environment: string | null,
    ref: NamespaceRef,
    visible: VisibleNames | null,
  ): NamespacePageFacts | null;
  /** The runs of the given ids that are still known. */
  runs(ids: readonly string[]): RunView[];
  /** Keeps what namespaces of one environment answered when they were asked for the status page. */
  noteLooks(looks: readonly Looked[], environment: string): void;
}

export interface PageSources extends RecentSources {
  readonly store: Pick<CoordinatorStore, "listRuns" | "listActiveRuns">;
  readonly reconciliation: Pick<Reconciliation, "environments" | "state" | "pause">;
}

export class PageFacts implements PageCalls {
  readonly #sources: PageSources;
  readonly #names: NamesQuery;
  readonly #sights: SightsStore;
  readonly #recent: RecentFacts;

  constructor(sql: SqlStorage, sources: PageSources) {
    this.#sources = sources;
    this.#names = new NamesQuery(sql);
    this.#sights = new SightsStore(sql);
    this.#recent = new RecentFacts(sql, sources);
  }

  /** Takes note of a namespace that somebody has read. */
  noteLive(live: LiveNamespace, now: number): void {
    this.#sights.put({ name: live.name, object: live.object, live, problem: null }, now);
  }

  /** The namespace is no longer remembered. */
  forget(ref: NamespaceRef): void {
    this.#sights.forget(ref);
  }

  noteLooks(looks: readonly Looked[], environment: string): void {
    const now = Date.now();
    // One that was forgotten while it was asked leaves nothing behind.
    for (const looked of looks)
      if (this.#names.isKnown(environment, looked)) this.#sights.put(looked, now);
  }

  /** A namespace in which an operation ended is not what it was when it was seen. */
  noteRun(run: Run, before: Run | null): void {
    run.actions.forEach((action, index) => {
      const stateBefore = before?.actions[index]?.state;
      if (action.state !== stateBefore && stateBefore === "running") {
        this.#sights.expire({ name: action.namespace, object: action.object });
      }
    });
  }

  overview(request: OverviewRequest): OverviewFacts {
    const { search, state, visible } = request;
    const surroundings = this.#surroundings(request.environment, visible);
    const { environment } = surroundings;
    if (environment === null) return { ...surroundings, ...EMPTY, search, state };
    const names = visibleIn(visible, environment);
    const filter = { environment, search, state, names };
    const matches = this.#names.count(filter);
    const pages = Math.max(1, Math.ceil(matches / PAGE_SIZE));
    const page = Math.min(Math.max(1, request.page), pages);
    const running = this.#runningActions();
    const shown = [...running.values()].filter(({ namespace: name, object }) =>
      isVisible(visible, environment, { name, object }),
    );
    const listed = this.#names.list(filter, (page - 1) * PAGE_SIZE, PAGE_SIZE);
    const drifts = this.#drifts(environment, names);
    return {
      ...surroundings,
      counts: this.#names.counts(environment, names),
      search,
      state,
      page,
      pages,
      matches,
      namespaces: listed.map((named) => this.#facts(named, running)),
      ...drifts,
      running: shown.slice(0, RUNNING_MAX).map(({ namespace, object, operation }) => ({
        namespace,
        object,
        step: operation?.step ?? "prepare",
        isPaused: (operation?.paused ?? null) !== null,
      })),
      ...this.#recent.of(environment, visible),
    };
  }

  namespace(
    environment: string | null,
    ref: NamespaceRef,
    visible: VisibleNames | null,
  ): NamespacePageFacts | null {
    const surroundings = this.#surroundings(environment, visible);
    const chosen = surroundings.environment;
    if (chosen === null || !this.#names.isKnown(chosen, ref)) return null;
    if (!isVisible(visible, chosen, ref)) return null;
    const state = this.#names.find(chosen, ref);
    return {
      ...surroundings,
      facts: this.#facts({ ...ref, state }, this.#runningActions()),
      spec: state?.spec ?? null,
      members: this.#sights.members(ref),
      events: this.#recent.events(chosen, ref.name, visible),
    };
  }

  runs(ids: readonly string[]): RunView[] {
    return this.#recent.runs(ids);
  }

  #surroundings(asked: string | null, visible: VisibleNames | null): Surroundings {
    const environments = [
      ...new Set([...this.#sources.reconciliation.environments(), ...this.#names.environments()]),
    ]
      .filter((environment) => isVisibleEnvironment(visible, environment))
      .toSorted();
    const environment =
      asked !== null && environments.includes(asked) ? asked : (environments[0] ?? null);
    const state = environment === null ? null : this.#sources.reconciliation.state(environment);
    return {
      environment,
      environments,
      paused: this.#sources.reconciliation.pause(),
      commit: state?.commit ?? null,
      checkedAt: state?.checkedAt ?? null,
      isComplete: state?.outcome === "complete",
      // It may quote the manifest of any namespace.
      manifestsProblem:
        state === null || !isVisible(visible, environment ?? "", null)
          ? null
          : describeProblem(state),
    };
  }

  #facts(
    { name, object, state }: NamedState,
    running: ReadonlyMap<string, RunAction>,
  ): NamespaceFacts {
    const stored = this.#sights.get({ name, object });
    const sight = stored?.sight ?? null;
    const action = running.get(keyOf({ name, object }));
    const seen = sight?.operation?.state === "running" ? sight.operation : null;
    const followed =
      action?.operation?.state === "running" ? viewOperation(action.operation) : null;
    return {
      view: {
        name,
        object,
        condition: state?.condition ?? null,
        isManaged: state !== null && state.spec !== null,
        ...limitsOf(state?.spec ?? null),
        sight,
        running: newer(followed, seen),
        drifts: state === null ? [] : sortDrifts([...state.faults, ...state.differences]),
      },
      askedAt: stored?.askedAt ?? 0,
      isFollowed: followed !== null,
      problem: stored?.problem ?? null,
    };
  }

  #drifts(
    environment: string,
    names: VisibleThere | null,
  ): Pick<Overview, "drifts" | "driftCount"> {
    const state = names === null ? this.#sources.reconciliation.state(environment) : null;
    const own = state?.drifts ?? [];
    const drifting = this.#names.drifting(environment, DRIFTS_MAX, names);
    const drifts = sortDrifts([
      ...own,
      ...drifting.flatMap(({ faults, differences }) => [...faults, ...differences]),
    ]);
    const beyond = Math.max(0, this.#names.countDrifting(environment, names) - drifting.length);
    return { drifts: drifts.slice(0, DRIFTS_MAX), driftCount: drifts.length + beyond };
  }

  /** Returns the running actions of runs, by namespace. */
  #runningActions(): ReadonlyMap<string, RunAction> {
    const runs = this.#sources.store
      .listActiveRuns()
      .flatMap(({ id }) => this.#sources.findRun(id) ?? []);
    const actions = runs.flatMap((run) => run.actions.filter(({ state }) => state === "running"));
    return new Map(
      actions.map((action) => [keyOf({ name: action.namespace, object: action.object }), action]),
    );
  }
}

const EMPTY = {
  counts: { Stalled: 0, Reconciling: 0, Ready: 0, Unknown: 0 },
  page: 1,
  pages: 1,
  matches: 0,
  namespaces: [],
  drifts: [],
  driftCount: 0,
  running: [],
  runs: [],
  reviews: [],
  plans: [],
  events: [],
} as const;

function keyOf({ name, object }: NamespaceRef): string {
  return JSON.stringify([object, name]);
}

/** A run follows its operation by itself; whoever asked last may know more. */
function newer(left: OperationView | null, right: OperationView | null): OperationView | null {
  if (left === null || right === null) return left ?? right;
  return right.id === left.id && right.updatedAt > left.updatedAt ? right : left;
}

function describeProblem({ manifestsProblem, silence }: EnvironmentState): string | null {
  if (manifestsProblem !== null) {
    const { reason, detail } = manifestsProblem;
    return `${reason}${detail === null ? "" : `: ${detail}`}. The last valid manifests stay in force.`;
  }
  if (silence === null) return null;
  return `They could not be read ${formatQuantity(silence.failures, "time")} in a row: ${silence.message}. The manifests that were read last stay in force.`;
}

function limitsOf(spec: NamespaceSpec | null): Pick<NamespaceView, "maxSkew" | "bytesMax"> {
  if (spec === null) return { maxSkew: null };
  const { maxSkew, storageBytesMax: bytesMax } = spec.policy;
  return { maxSkew, ...(bytesMax !== undefined && { bytesMax }) };
}
