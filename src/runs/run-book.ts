/**
 * The runs as they are written: each record with its progress, when it takes its next step, and who
 * waits for news of it.
 *
 * Decides nothing: `start-runs.ts` says which runs begin, `step-runs.ts` what becomes of them.
 */
import {
  delayUntilNextMs,
  detachAction,
  requestRunCancel,
  STEP_DELAY_LONGEST_MS,
  type RunRecord,
} from "./run-record.ts";
import type { Run } from "../model/api.ts";
import type { CoordinatorStore, RunFilter, RunRow } from "./store.ts";
import { takePage } from "./take-page.ts";
import { Waiters } from "./waiters.ts";

const FAULT_DELAY_FIRST_MS = 500;
/** Between two steps of a run that end in an unexpected exception. */
const FAULT_DELAY_LONGEST_MS = 60_000;

/** The calls about runs as they are written. */
export interface RunCalls {
  findRun(id: string): Run | null;
  /** The run once it differs from `since` (default: from now), has ended, or the time is over. */
  waitFor(id: string, since: number | null, waitMs: number): Promise<Run | null>;
  /** Newest first. */
  listIds(filter: RunFilter): string[];
  /**
   * In the order of the ids; null for one that is not known. Of the first of them only, one at
   * least, where all are too much for one answer.
   */
  read(ids: readonly string[]): (Run | null)[];
  /** The newest run that has carried out this plan for this pull request. */
  findSucceeded(fingerprint: string, pull: number): Run | null;
  /** Asks a run to end. Null when there is no such run; a run that has ended stays as it is. */
  cancel(id: string): Run | null;
}

export interface RunBookParts {
  readonly storage: DurableObjectStorage;
  readonly store: CoordinatorStore;
  /** Told of every write, inside its transaction. */
  readonly onWrite: (run: Run, before: Run | null, now: number) => void;
  /** Sets the alarm. Called in the turn of the write, so that both become durable together. */
  readonly arm: () => void;
}

export class RunBook implements RunCalls {
  readonly #parts: RunBookParts;
  /** Active runs as last written, so that a step does not read thousands of actions. */
  readonly #records = new Map<string, RunRecord>();
  /** When each active run is to take its next step; empty after a restart, which means now. */
  readonly #nextStepAt = new Map<string, number>();
  readonly #waiters = new Waiters();

  constructor(parts: RunBookParts) {
    this.#parts = parts;
  }

  find(id: string): RunRecord | null {
    return this.#records.get(id) ?? this.#parts.store.getRun(id);
  }

  findRun(id: string): Run | null {
    return this.find(id)?.run ?? null;
  }

  /** The same object until somebody writes: a step tells by it whether it was alone. */
  load(id: string): RunRecord {
    const record = this.find(id);
    if (!record) throw new Error(`Run ${id} is listed, but its document is missing`);
    if (record.run.state === "running") this.#records.set(id, record);
    return record;
  }

  listIds(filter: RunFilter): string[] {
    return this.#parts.store.listRuns(filter).map(({ id }) => id);
  }

  read(ids: readonly string[]): (Run | null)[] {
    return takePage(ids, (id) => {
      const run = this.findRun(id);
      return run && { value: run, bytes: JSON.stringify(run).length };
    });
  }

  /** Runs that have not ended, oldest first. */
  active(): Run[] {
    return this.#parts.store.listActiveRuns().map(({ id }) => this.load(id).run);
  }

  findSucceeded(fingerprint: string, pull: number): Run | null {
    const runs = this.#parts.store.listSucceeded(fingerprint).map(({ id }) => this.load(id).run);
    return runs.find(({ origin }) => origin?.pull === pull) ?? null;
  }

  /** Active runs whose next step is due. */
  due(now: number): RunRow[] {
    return this.#parts.store.listActiveRuns().filter(({ id }) => {
      const at = this.#nextStepAt.get(id) ?? 0;
      return at <= now || isNonsense(at, now);
    });
  }

  /**
   * When the first of the active runs takes its next step, as far as this process has written them;
   * null for none.
   */
  nextAt(now: number): number | null {
    const times = [...this.#nextStepAt.values()].map((at) => (isNonsense(at, now) ? now : at));
    return times.length === 0 ? null : Math.min(...times);
  }

  /**
   * Writes the record and the alarm for what comes next in one transaction, then tells who is
   * waiting.
   */
  write(record: RunRecord, before: RunRecord | null, faults: number, now: number): void {
    const { id, state } = record.run;
    const { storage, store, onWrite, arm } = this.#parts;
    storage.transactionSync(() => {
      store.putRun(record, before, faults);
      onWrite(record.run, before?.run ?? null, now);
    });
    if (state === "running") this.#records.set(id, record);
    else this.#records.delete(id);
    const delayMs = delayUntilNextMs(record, now);
    if (delayMs === null) this.#nextStepAt.delete(id);
    else this.#nextStepAt.set(id, now + Math.max(delayMs, faultDelayMs(faults)));
    // No await since the writes above: the alarm and the progress become durable together.
    arm();
    if (record.run.updatedAt !== before?.run.updatedAt) this.#waiters.wake(id);
  }

  cancel(id: string): Run | null {
    const record = this.find(id);
    if (!record || record.run.state !== "running") return record?.run ?? null;
    const now = Date.now();
    this.write(requestRunCancel(record), record, 0, now);
    this.#nextStepAt.set(id, now);
    this.#parts.arm();
    return record.run;
  }

  /** Ends the run's part in one namespace. */
  detach(id: string, namespace: string, reason: string): void {
    const record = this.find(id);
    if (!record || record.run.state !== "running") return;
    const now = Date.now();
    this.write(detachAction(record, namespace, reason, now), record, 0, now);
  }

  async waitFor(id: string, since: number | null, waitMs: number): Promise<Run | null> {
    const run = this.findRun(id);
    if (!run) return null;
    const isNews = since !== null && run.updatedAt > since;
    if (run.state === "running" && !isNews) await this.#waiters.next(id, waitMs);
    return this.findRun(id);
  }
}

/** No step is put off for so long: the time was written by a clock that was wrong. */
function isNonsense(at: number, now: number): boolean {
  return at - now > Math.max(STEP_DELAY_LONGEST_MS, FAULT_DELAY_LONGEST_MS);
}

function faultDelayMs(faults: number): number {
  return faults === 0
    ? 0
    : Math.min(FAULT_DELAY_LONGEST_MS, FAULT_DELAY_FIRST_MS * 2 ** (faults - 1));
}
