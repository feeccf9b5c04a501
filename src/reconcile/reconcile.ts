/**
 * The reconciler: from what is merged and what is live to what is done about it. One pass a tick,
 * in slices.
 *
 *     manifests ─▶ look (each namespace that is due) ─▶ decide (every pending change) ─▶ over
 *
 * Level-triggered: a slice works from what is stored and what it reads now, writes each namespace
 * as soon as it knows it, and may end anywhere; the next slice, or the next tick after a kill, goes
 * on from there and ends in the same place. It costs in proportion to what is due: see schedule.ts.
 * One namespace's trouble is noted with that namespace and never stops the others.
 */
import type { Plan } from "../model/plan.ts";
import { runBounded } from "../live/run-bounded.ts";
import { watchRegistries } from "../live/watch-registries.ts";
import { adoptManifests } from "./adopt-manifests.ts";
import { decidePending } from "./decide-pending.ts";
import {
  addFigures,
  isUnderWay,
  newEnvironmentState,
  NO_FIGURES,
  type EnvironmentState,
  type TickFigures,
} from "./environment-state.ts";
import { INTERNAL_ERROR } from "./judge.ts";
import type { DecideContext } from "./judge-all.ts";
import { lookAt } from "./look-at.ts";
import { conditionOf, type NamespaceState } from "./namespace-state.ts";
import type { ReconcilePorts } from "./ports.ts";
import type { ReviewAnswer } from "../reviews/review-lookup.ts";
import { CHECK_MS_MAX, retryDelayMs } from "./schedule.ts";

/** Limits of one slice. */
export interface SliceBudget {
  /** Calls to live namespaces and requests to GitHub, about: the look in work is finished. */
  readonly calls: number;
  /** After this moment nothing new is begun; milliseconds since the Unix epoch. */
  readonly until: number;
}

export interface SliceResult {
  /** `more`: the pass goes on with the next slice. */
  readonly next: "done" | "more";
  readonly state: EnvironmentState;
}

/** Namespaces that are looked at at the same time. */
const LOOKS_AT_ONCE = 16;
/** Namespaces that are read from the store at once. */
const DUE_MAX = 128;
/** Audits of one pass: each counts all rows of a namespace. */
const AUDITS_MAX = 50;

/** Begins the next pass, unless one is under way. */
export function beginPass({
  store,
  environment,
  now,
}: Pick<ReconcilePorts, "store" | "environment" | "now">): EnvironmentState {
  const state = store.readEnvironment() ?? newEnvironmentState(environment);
  if (isUnderWay(state)) return state;
  const pass = {
    number: state.pass.number + 1,
    startedAt: now(),
    phase: "manifests",
    refreshed: false,
    figures: NO_FIGURES,
  } as const;
  const begun = { ...state, pass };
  store.writeEnvironment(begun);
  return begun;
}

/**
 * Works on the pass that is under way until it is over or the budget is used. Does nothing between
 * passes.
 */
export async function reconcile(ports: ReconcilePorts, budget: SliceBudget): Promise<SliceResult> {
  const slice = new Slice(ports, budget);
  for (;;) {
    const { state } = slice;
    if (!isUnderWay(state)) return { next: "done", state };
    if (slice.isSpent()) return { next: "more", state };
    await slice.advance();
  }
}

class Slice {
  state: EnvironmentState;
  readonly #ports: ReconcilePorts;
  readonly #budget: SliceBudget;
  #spent = 0;
  #answer: Promise<ReviewAnswer> | null = null;

  constructor(ports: ReconcilePorts, budget: SliceBudget) {
    // A root that has lost its storage without knowing it is out of step for every part of a pass.
    this.#ports = {
      ...ports,
      live: watchRegistries(ports.live, (ref) => ports.registries.read(ref)),
    };
    this.#budget = budget;
    this.state = ports.store.readEnvironment() ?? newEnvironmentState(ports.environment);
  }

  isSpent(): boolean {
    return this.#spent >= this.#budget.calls || this.#ports.now() >= this.#budget.until;
  }

  async advance(): Promise<void> {
    switch (this.state.pass.phase) {
      case "manifests":
        await this.#readManifests();
        break;
      case "look":
        if ((await this.#look()) === 0) this.#enter("decide");
        break;
      case "decide":
        await this.#decide();
        break;
      case null:
        return;
    }
    this.#ports.store.writeEnvironment(this.state);
  }

  async #readManifests(): Promise<void> {
    const before = this.state.pass.figures.requests;
    this.state = await adoptManifests(this.state, this.#ports);
    this.#spent += this.state.pass.figures.requests - before;
  }

  /** Looks at namespaces that are due, and returns how many there were. */
  async #look(): Promise<number> {
    const { pass } = this.state;
    const { store } = this.#ports;
    const due = store.due(pass.number, pass.startedAt, pass.startedAt + 2 * CHECK_MS_MAX, DUE_MAX);
    const context = this.#context();
    await runBounded(due, LOOKS_AT_ONCE, async (before) => {
      if (this.isSpent()) return;
      const after = await this.#lookSafely(before, context);
      // The manifests may have been read anew by nobody else: one slice works at a time.
      store.write([after]);
      this.#count({ looks: 1 });
    });
    return due.length;
  }

  async #lookSafely(before: NamespaceState, context: DecideContext): Promise<NamespaceState> {
    try {
      return await lookAt(before, context);
    } catch (error) {
      this.#ports.onError(before.name, error);
      const now = this.#ports.now();
      const failed = { ...before, silences: before.silences + 1, pass: this.state.pass.number };
      const nextTryAt = now + retryDelayMs(failed.silences, this.#ports.random);
      const condition = conditionOf(failed, now, { ...INTERNAL_ERROR, nextTryAt });
      return { ...failed, dueAt: nextTryAt, condition };
    }
  }

  async #decide(): Promise<void> {
    const { next, runsStarted } = await decidePending(this.state, this.#context());
    this.#count({ runsStarted });
    if (next === "refresh")
      this.state = { ...this.state, pass: { ...this.state.pass, phase: "look", refreshed: true } };
    else if (next === "done") this.#end();
  }

  #end(): void {
    const { store, now } = this.#ports;
    const { manifestsProblem, silence, pass } = this.state;
    const isComplete =
      manifestsProblem === null && silence === null && store.totals().unreadable === 0;
    this.state = {
      ...this.state,
      checkedAt: now(),
      durationMs: Math.max(0, now() - pass.startedAt),
      outcome: isComplete ? "complete" : "incomplete",
      lastFigures: pass.figures,
      pass: { ...pass, phase: null },
    };
  }

  #enter(phase: "decide"): void {
    this.state = { ...this.state, pass: { ...this.state.pass, phase } };
  }

  #count(figures: Partial<TickFigures>): void {
    this.state = {
      ...this.state,
      pass: { ...this.state.pass, figures: addFigures(this.state.pass.figures, figures) },
    };
  }

  #context(): DecideContext {
    const ports = this.#ports;
    return {
      env: this.state,
      ports,
      live: ports.live,
      managed: ports.store.totals().managed,
      reviews: () => this.#reviews(),
      basisFor: (namespace) => this.#basisFor(namespace),
      spend: (calls) => {
        this.#spent += calls;
        this.#count({ calls });
      },
      takeAudit: () => {
        if (this.state.pass.figures.audits >= AUDITS_MAX) return false;
        this.#count({ audits: 1 });
        return true;
      },
    };
  }

  #reviews(): Promise<ReviewAnswer> {
    const { commit } = this.state;
    if (commit === null) return Promise.resolve({ kind: "found", plans: [], requests: 0 });
    this.#answer ??= this.#ports.reviews.find(commit).then((answer) => {
      this.#spent += answer.requests;
      this.#count({ requests: answer.requests });
      return answer;
    });
    return this.#answer;
  }

  async #basisFor(namespace: string): Promise<Plan | null> {
    const answer = await this.#reviews();
    if (answer.kind === "failed") return null;
    return (
      answer.plans.find(({ plan }) => plan.changes.some((change) => change.namespace === namespace))
        ?.plan ?? null
    );
  }
}
