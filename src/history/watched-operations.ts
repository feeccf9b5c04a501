/**
 * Operations that no run tells of: started by hand, or left behind by a run. Looks at live
 * namespaces see them begin and end; each is told once. What was seen last is one row a namespace,
 * so that a restart repeats nothing and forgets nothing.
 *
 * | a look sees an operation that    | and the row says       | then it is                            |
 * |----------------------------------|------------------------|---------------------------------------|
 * | an active run waits for          | anything               | told by the run                       |
 * | is under way                     | another one            | told as started                       |
 * | has ended                        | another one, or it ran | told as ended                         |
 * | has ended                        | nothing yet            | no news: it was over before the first look |
 * | began before the one in the row  |                        | an answer that came late              |
 */
import type { NewEvent } from "./make-event.ts";
import type { Run } from "../model/api.ts";
import type { LiveNamespace, LiveResult, NamespaceRef } from "../model/live.ts";
import type { OperationState, OperationStatus, Step } from "../model/operation.ts";
import { runIdOf } from "../model/run-operation.ts";
import { endedNow, operationEnd, operationStart } from "./make-events.ts";

/** Operations between two looks that are still told of, one by one. */
export const MISSED_MAX = 50;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS watchedOperations (environment TEXT, object TEXT, name TEXT, id INTEGER NOT NULL, startedAt INTEGER NOT NULL,
    state TEXT, step TEXT, PRIMARY KEY (environment, object, name)) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS watchedRunning ON watchedOperations (environment, step) WHERE state = 'running';
`;

/** `id` 0 and a null state: the namespace was seen without an operation. */
interface Watched {
  readonly id: number;
  /**
   * Tells what is new from what is old even when a namespace begins anew, and counts from 1 again.
   */
  readonly startedAt: number;
  readonly state: OperationState | null;
  readonly step: Step | null;
}

export interface WatchParts {
  readonly activeRuns: () => readonly Run[];
  readonly record: (event: NewEvent) => void;
  /** Told of each operation that ended: for metrics. */
  readonly onEnd: (environment: string, operation: OperationStatus) => void;
}

/** The newest operations of the namespace that was read, newest first, at most so many. */
export type ReadHistory = (limit: number) => Promise<LiveResult<readonly OperationStatus[]>>;

export class WatchedOperations {
  readonly #sql: SqlStorage;
  readonly #parts: WatchParts;

  constructor(sql: SqlStorage, parts: WatchParts) {
    this.#sql = sql;
    this.#parts = parts;
    sql.exec(SCHEMA);
  }

  /**
   * A namespace was read. Asks for its history only when more than one operation began since the
   * last look.
   */
  async noteLive(
    environment: string,
    live: LiveNamespace,
    readHistory: ReadHistory,
    now: number,
  ): Promise<void> {
    const { operation } = live;
    const wanted = countUnseen(this.#read(environment, live), operation);
    if (wanted <= 1)
      return this.#tell(environment, live, operation === null ? [] : [operation], now);
    const history = await readHistory(Math.min(wanted, MISSED_MAX));
    // Not told now is told at the next look: nothing was written.
    if (!history.ok) return;
    const oldestFirst = history.value.toSorted((left, right) => left.id - right.id);
    this.#tell(environment, live, oldestFirst, now);
  }

  /** A run was written: what it tells of is not told again. */
  noteRun(run: Run, before: Run | null): void {
    run.actions.forEach((action, index) => {
      const { operation, object, namespace } = action;
      if (operation === null || !endedNow(action, before?.actions[index] ?? null)) return;
      const ref = { object, name: namespace };
      const seen = this.#read(run.environment, ref);
      if (seen === null || compareAge(operation, seen) >= 0)
        this.#write(run.environment, ref, operation);
    });
  }

  /** Operations under way without a run that waits for them, by step. */
  running(environments: readonly string[]): ReadonlyMap<Step, number> {
    const rows = this.#sql
      .exec<{ step: Step; count: number }>(
        `SELECT step, count(*) AS count FROM watchedOperations WHERE state = 'running'
          AND environment IN (SELECT value FROM json_each(?)) GROUP BY step`,
        JSON.stringify(environments),
      )
      .toArray();
    return new Map(rows.map(({ step, count }) => [step, count]));
  }

  /**
   * @param operations oldest first. Looks may overlap, so the row is read in the turn in which it
   * is written.
   */
  #tell(
    environment: string,
    ref: NamespaceRef,
    operations: readonly OperationStatus[],
    now: number,
  ): void {
    let seen = this.#read(environment, ref);
    if (seen === null && operations.length === 0) this.#write(environment, ref, NOTHING);
    for (const operation of operations) {
      if (this.#isFollowed(operation)) return;
      if (seen !== null && compareAge(operation, seen) < 0) continue;
      const event = eventOf(environment, seen, operation, now);
      if (event !== null) this.#parts.record(event);
      if (event !== null && operation.state !== "running")
        this.#parts.onEnd(environment, operation);
      if (
        seen === null ||
        compareAge(operation, seen) > 0 ||
        seen.state !== operation.state ||
        seen.step !== operation.step
      )
        this.#write(environment, ref, operation);
      seen = operation;
    }
  }

  /** True while a run waits for it, or is about to. */
  #isFollowed({ correlationId, namespace }: OperationStatus): boolean {
    const id = runIdOf(correlationId);
    const run =
      id === null ? undefined : this.#parts.activeRuns().find((active) => active.id === id);
    const action = run?.actions.find((one) => one.namespace === namespace);
    return action?.state === "running" || action?.state === "pending";
  }

  #read(environment: string, { object, name }: NamespaceRef): Watched | null {
    const query =
      "SELECT id, startedAt, state, step FROM watchedOperations WHERE environment = ? AND object = ? AND name = ?";
    return this.#sql.exec<WatchedRow>(query, environment, object, name).toArray()[0] ?? null;
  }

  #write(
    environment: string,
    { object, name }: NamespaceRef,
    { id, startedAt, state, step }: Watched,
  ): void {
    this.#sql.exec(
      `INSERT INTO watchedOperations VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (environment, object, name) DO UPDATE SET
        id = excluded.id, startedAt = excluded.startedAt, state = excluded.state, step = excluded.step`,
      environment,
      object,
      name,
      id,
      startedAt,
      state,
      step,
    );
  }
}

type WatchedRow = Watched & Record<string, SqlStorageValue>;

const NOTHING: Watched = { id: 0, startedAt: 0, state: null, step: null };

/** How many of the newest operations have to be known to tell what has happened since. */
function countUnseen(seen: Watched | null, operation: OperationStatus | null): number {
  if (seen === null) return operation === null ? 0 : 1;
  // It ran, and the namespace does not name it any more.
  if (operation === null) return seen.state === "running" ? MISSED_MAX : 0;
  return operation.id - seen.id + (seen.state === "running" ? 1 : 0);
}

function eventOf(
  environment: string,
  seen: Watched | null,
  operation: OperationStatus,
  now: number,
): NewEvent | null {
  const { namespace, state, requestedBy, correlationId } = operation;
  const run = runIdOf(correlationId);
  const about = { at: now, environment, namespace, actor: requestedBy };
  const isNew = seen === null || compareAge(operation, seen) > 0;
  // That a run began it, the start of the run has told.
  if (state === "running") return isNew && run === null ? operationStart(operation, about) : null;
  if (seen === null) return null;
  return isNew || seen.state === "running" ? operationEnd(operation, { ...about, run }) : null;
}

/** Above 0 when the left one began later. */
function compareAge(
  left: Pick<Watched, "id" | "startedAt">,
  right: Pick<Watched, "id" | "startedAt">,
): number {
  return left.startedAt - right.startedAt || left.id - right.id;
}
