/**
 * One slice of a pass: the state that it works on, what it has spent, and what its looks and
 * decisions are given.
 */
import { watchRegistries } from "../live/watch-registries.ts";
import type { Plan } from "../model/plan.ts";
import type { ReviewAnswer } from "../reviews/review-lookup.ts";
import {
  addFigures,
  newEnvironmentState,
  type EnvironmentState,
  type Phase,
  type TickFigures,
} from "./environment-state.ts";
import { plansAwaitedBy } from "./follow-policies.ts";
import { changeIn, PlanProgress } from "./plan-progress.ts";
import type { DecideContext } from "./judge-all.ts";
import type { ReconcilePorts } from "./ports.ts";

/** Limits of one slice. */
export interface SliceBudget {
  /** Calls to live namespaces and requests to GitHub, about: the look in work is finished. */
  readonly calls: number;
  /** After this moment nothing new is begun; milliseconds since the Unix epoch. */
  readonly until: number;
}

/** Audits of one pass: each counts all rows of a namespace. */
const AUDITS_MAX = 50;

export class Slice {
  state: EnvironmentState;
  readonly ports: ReconcilePorts;
  readonly #budget: SliceBudget;
  readonly #progress: PlanProgress;
  #spent = 0;
  #answer: Promise<ReviewAnswer> | null = null;

  constructor(ports: ReconcilePorts, budget: SliceBudget) {
    // A root that has lost its storage without knowing it is out of step for every part of a pass.
    this.ports = {
      ...ports,
      liveAccess: watchRegistries(ports.liveAccess, (ref) => ports.registries.read(ref)),
    };
    this.#budget = budget;
    this.#progress = new PlanProgress(ports.store);
    this.state = ports.store.readEnvironment() ?? newEnvironmentState(ports.environment);
  }

  isSpent(): boolean {
    return this.#spent >= this.#budget.calls || this.ports.now() >= this.#budget.until;
  }

  /** Takes calls or requests from the budget. */
  spend(calls: number): void {
    this.#spent += calls;
  }

  count(figures: Partial<TickFigures>): void {
    const { pass } = this.state;
    this.state = { ...this.state, pass: { ...pass, figures: addFigures(pass.figures, figures) } };
  }

  enter(phase: Phase): void {
    this.state = { ...this.state, pass: { ...this.state.pass, phase } };
  }

  /** Has what is about to be started looked at once more. */
  refresh(): void {
    this.state = { ...this.state, pass: { ...this.state.pass, phase: "look", refreshed: true } };
  }

  /** The pass is over. */
  end(): void {
    const { store, now } = this.ports;
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

  save(): void {
    this.ports.store.writeEnvironment(this.state);
  }

  /** As the slice is now: looks and decisions are given it anew. */
  context(): DecideContext {
    const { ports } = this;
    this.#progress.askAgain();
    return {
      env: this.state,
      progress: this.#progress,
      ports,
      liveAccess: ports.liveAccess,
      managed: ports.store.totals().managed,
      reviews: () => this.#reviews(),
      basisFor: (namespace) => this.#basisFor(namespace),
      plansAwaitedBy: (namespace) => this.#plansAwaitedBy(namespace),
      spend: (calls) => {
        this.spend(calls);
        this.count({ calls });
      },
      takeAudit: () => {
        if (this.state.pass.figures.audits >= AUDITS_MAX) return false;
        this.count({ audits: 1 });
        return true;
      },
    };
  }

  #reviews(): Promise<ReviewAnswer> {
    const { commit } = this.state;
    if (commit === null) return Promise.resolve({ kind: "found", plans: [], requests: 0 });
    this.#answer ??= this.ports.reviews.find(commit).then((answer) => {
      this.spend(answer.requests);
      this.count({ requests: answer.requests });
      return answer;
    });
    return this.#answer;
  }

  async #plansAwaitedBy(namespace: string): Promise<readonly Plan[]> {
    const answer = await this.#reviews();
    return answer.kind === "found" ? plansAwaitedBy(namespace, answer.plans, this.ports) : [];
  }

  async #basisFor(namespace: string): Promise<Plan | null> {
    const answer = await this.#reviews();
    if (answer.kind !== "found") return null;
    return answer.plans.find(({ plan }) => changeIn(plan, namespace) !== null)?.plan ?? null;
  }
}
