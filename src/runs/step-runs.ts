/**
 * Takes active runs to their end, one step after the other. A step is re-entrant, so an exception
 * costs a delay and not the run; a run that was fenced off meanwhile is not overwritten.
 */
import { advanceRun } from "./advance-run.ts";
import type { Pause } from "../model/drift.ts";
import { failRun, type RunRecord } from "./run-record.ts";
import type { Guard } from "../model/plan.ts";
import type { NamespaceSpec } from "../model/spec.ts";
import type { LiveAccess } from "../live/port.ts";
import { logError } from "../log.ts";
import type { OpenPlan, PlanBook } from "./plan-book.ts";
import type { CoordinatorStore, RunRow } from "./store.ts";
import { findHold, type FindHold } from "./hold-operation.ts";
import { COUNT_AGE_MAX_MS, judgeDescribed } from "./judge-start.ts";
import type { JudgeStart, StartTerms } from "./settle-action.ts";
import type { RunBook } from "./run-book.ts";

/**
 * Unexpected exceptions in a row after which a run is failed: more than a quarter of an hour with
 * the delays of the book.
 */
export const FAULTS_MAX = 20;

export interface RunStepsParts {
  readonly store: CoordinatorStore;
  readonly book: RunBook;
  readonly plans: PlanBook;
  readonly liveAccess: () => LiveAccess;
  /** The switch that stops everything; null while it is off. */
  readonly pause: () => Pause | null;
  /** The namespace's manifest as it is followed now; null when it is not. */
  readonly declared: (environment: string, namespace: string) => NamespaceSpec | null;
}

export class RunSteps {
  readonly #parts: RunStepsParts;
  /** Plans of active runs, which a step need not decode again; by run. */
  readonly #open = new Map<string, OpenPlan>();

  constructor(parts: RunStepsParts) {
    this.#parts = parts;
  }

  /** Takes a step of every run that is due. */
  async takeDue(now: number): Promise<void> {
    await Promise.all(this.#parts.book.due(now).map((row) => this.#step(row)));
  }

  /** Never throws: a run that cannot be stepped must not keep the others from theirs. */
  async #step({ id, fingerprint, faults }: RunRow): Promise<void> {
    const { book, liveAccess } = this.#parts;
    try {
      const before = book.load(id);
      const opened = this.#openPlan(id, fingerprint);
      const now = Date.now();
      if (this.#isFenced(id))
        book.write(
          failRun(before, "A newer run of the environment took over.", now),
          before,
          0,
          now,
        );
      else if (opened)
        this.#save(
          before,
          await advanceRun(before, opened.plan, liveAccess(), now, {
            findHold: this.#findHold(before, opened, now),
            ...this.#terms(before, opened, now),
          }),
        );
      else
        book.write(
          failRun(before, `Plan ${fingerprint} is no longer stored: plan again.`, now),
          before,
          0,
          now,
        );
    } catch (error) {
      this.#saveFault(id, faults + 1, error);
    }
    if (book.find(id)?.run.state !== "running") this.#open.delete(id);
  }

  #openPlan(id: string, fingerprint: string): OpenPlan | null {
    const opened = this.#open.get(id) ?? this.#parts.plans.open(fingerprint);
    if (opened !== null) this.#open.set(id, opened);
    return opened;
  }

  /**
   * Others may have written while the step was asking namespaces: a cancel, a takeover, a change
   * that was let go. None is overwritten. What a step did and could not note, the next one finds,
   * as after a crash.
   */
  #save(before: RunRecord, after: RunRecord): void {
    const { book } = this.#parts;
    if (this.#isFenced(after.run.id)) return;
    const current = book.load(after.run.id);
    const isAlone = current === before;
    book.write(isAlone ? after : current, isAlone ? before : current, 0, Date.now());
  }

  #saveFault(id: string, faults: number, error: unknown): void {
    const { book } = this.#parts;
    logError("run.step.failed", { correlationId: id, faults }, error);
    if (this.#isFenced(id)) return;
    const now = Date.now();
    const current = book.load(id);
    const reason = `The run was given up after ${faults} internal errors: see them in the Worker's log under ${id}. Operations that run already continue.`;
    book.write(faults < FAULTS_MAX ? current : failRun(current, reason, now), current, faults, now);
  }

  /**
   * True when a newer run has taken the environment over: what an older one still has to say no
   * longer counts.
   */
  #isFenced(id: string): boolean {
    const { run } = this.#parts.book.load(id);
    return (
      run.state !== "running" ||
      run.lease.token < this.#parts.store.newestLeaseToken(run.environment)
    );
  }

  /**
   * A run is judged before it is accepted. What starts later, after a window or what it depends on,
   * is judged again by the counts of its own moment, against those that were agreed to then. Limits
   * are those of its own moment in any case.
   */
  #terms({ run, shown }: RunRecord, { guarded }: OpenPlan, now: number): StartTerms {
    const { liveAccess } = this.#parts;
    const judge: JudgeStart = async (change, described) => {
      const spec = guarded(change.namespace);
      if (!spec) throw new Error(`Plan ${run.fingerprint} has no spec of '${change.namespace}'`);
      // The clock's guards are the hold's, which knows what was merged since: they have passed.
      const overrides: readonly Guard[] = [...run.overrides, "window", "suspend"];
      return judgeDescribed(change, described, liveAccess(), { spec, overrides, shown, now });
    };
    return {
      judge: Math.abs(now - run.startedAt) <= COUNT_AGE_MAX_MS ? null : judge,
      standing: (namespace) => guarded(namespace)?.policy ?? null,
    };
  }

  #findHold({ run }: RunRecord, { plan, guarded }: OpenPlan, now: number): FindHold {
    return findHold({
      pausedBy: this.#parts.pause()?.by ?? null,
      overrides: run.overrides,
      guarded,
      changed: () => plan.policies ?? [],
      declared: (namespace) => this.#parts.declared(run.environment, namespace),
      now,
    });
  }
}
