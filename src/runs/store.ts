/**
 * The coordinator's memory, in its own SQLite: plans by fingerprint, runs, and the namespaces that
 * are or were sharded.
 *
 * Bodies are documents. A run's actions are documents of their own, so that progress of one action
 * rewrites one action. All methods are synchronous: the caller decides what is one transaction.
 */
import type { Run, RunAction, RunState } from "../model/api.ts";
import type { ShownFigures } from "../model/count-moved.ts";
import type { NamespaceRef } from "../model/live.ts";
import { Documents, haveSameBytes } from "./documents.ts";
import type { RunRecord } from "./run-record.ts";

/**
 * Plans are kept while they are among the newest and young, while a run applies them, while a pull
 * request shows them, or while they are what was applied last: where no repository is followed,
 * that is what is desired.
 */
export const PLANS_MAX = 1000;
export const PLAN_AGE_MAX_MS = 30 * 24 * 60 * 60 * 1000;
export const RUNS_MAX = 1000;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS plans (fingerprint TEXT PRIMARY KEY, environment TEXT NOT NULL, storedAt INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS runs (id TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, environment TEXT NOT NULL, state TEXT NOT NULL,
    startedAt INTEGER NOT NULL, cancelRequested INTEGER NOT NULL, faults INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS applied (environment TEXT PRIMARY KEY, fingerprint TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS leases (environment TEXT PRIMARY KEY, token INTEGER NOT NULL) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS runsByState ON runs (state);
  CREATE TABLE IF NOT EXISTS namespaces (environment TEXT, name TEXT, object TEXT, PRIMARY KEY (environment, name, object)) WITHOUT ROWID;
`;
/** Length of the JSON `null`, which no desired state is. */
const SAME_BYTES = 4;

/** Of environments that remembered a namespace before there were claims, nobody knows why. */
const CLAIMS = `
  CREATE TABLE claims (environment TEXT, name TEXT, object TEXT, PRIMARY KEY (environment, name, object)) WITHOUT ROWID;
  INSERT INTO claims SELECT environment, name, object FROM namespaces;
`;

export interface StoredPlan {
  readonly fingerprint: string;
  readonly environment: string;
  /** The plan as UTF-8 JSON. */
  readonly body: Uint8Array;
  /** The desired state that it was made from, as UTF-8 JSON. */
  readonly desired: Uint8Array;
}

export interface RunRow {
  readonly id: string;
  readonly fingerprint: string;
  readonly environment: string;
  readonly state: RunState;
  /** Steps in a row that ended in an unexpected exception. */
  readonly faults: number;
}

export interface RunFilter {
  readonly limit: number;
  /** True leaves out runs that have ended. */
  readonly isActive: boolean;
  /** Null for all. */
  readonly environment: string | null;
}

export class CoordinatorStore {
  readonly #sql: SqlStorage;
  readonly #documents: Documents;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    this.#documents = new Documents(sql);
    sql.exec(SCHEMA);
    const tables = sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'claims'");
    if (tables.toArray().length === 0) sql.exec(CLAIMS);
  }

  /** @param kept plans that stay however old they are. */
  putPlan(
    { fingerprint, environment, body, desired }: StoredPlan,
    kept: readonly string[],
    now: number,
  ): void {
    this.#sql.exec(
      "INSERT INTO plans VALUES (?, ?, ?) ON CONFLICT (fingerprint) DO UPDATE SET storedAt = excluded.storedAt",
      fingerprint,
      environment,
      now,
    );
    this.#documents.put("plan", fingerprint, body);
    this.#documents.put("desired", fingerprint, desired);
    this.#forgetPlans(kept, now);
  }

  getPlan(fingerprint: string): Uint8Array | null {
    return this.#documents.get("plan", fingerprint);
  }

  getDesired(fingerprint: string): Uint8Array | null {
    return this.#documents.get("desired", fingerprint);
  }

  /**
   * Takes note of the counts that somebody was shown with the plan.
   *
   * @param actor "" for the first that anybody was shown.
   */
  putShown(fingerprint: string, actor: string, figures: ShownFigures): void {
    this.#documents.put("shownTo", ofPlan(fingerprint, actor), encodeJson(figures));
  }

  /** Null for somebody who was never shown the plan. */
  getShown(fingerprint: string, actor: string): ShownFigures | null {
    const body = this.#documents.get("shownTo", ofPlan(fingerprint, actor));
    return body && (decodeJson(body) as ShownFigures);
  }

  /**
   * Stores a desired state under the plan, beside the one that it was stored with first.
   *
   * @param slot whose.
   * @param body null when it is that very one.
   */
  putText(fingerprint: string, slot: string, body: Uint8Array | null): void {
    this.#documents.put("text", ofPlan(fingerprint, slot), body ?? encodeJson(null));
  }

  /** Null for a slot that has none. */
  getText(fingerprint: string, slot: string): Uint8Array | null {
    const body = this.#documents.get("text", ofPlan(fingerprint, slot));
    return body?.length === SAME_BYTES ? this.getDesired(fingerprint) : body;
  }

  /** Null when the plan is not stored. */
  environmentOfPlan(fingerprint: string): string | null {
    const row = this.#sql
      .exec<{ environment: string }>(
        "SELECT environment FROM plans WHERE fingerprint = ?",
        fingerprint,
      )
      .toArray()[0];
    return row?.environment ?? null;
  }

  rememberNamespaces(environment: string, refs: readonly NamespaceRef[]): void {
    for (const { name, object } of refs)
      this.#sql.exec(
        "INSERT OR IGNORE INTO namespaces VALUES (?, ?, ?)",
        environment,
        name,
        object,
      );
  }

  /** The environment has declared them, or runs a change of them: more than to have seen them. */
  claimNamespaces(environment: string, refs: readonly NamespaceRef[]): void {
    for (const { name, object } of refs)
      this.#sql.exec("INSERT OR IGNORE INTO claims VALUES (?, ?, ?)", environment, name, object);
  }

  /** The namespace is no more: the environment claims nothing of it. */
  releaseNamespace(environment: string, { name, object }: NamespaceRef): void {
    this.#sql.exec(
      "DELETE FROM claims WHERE environment = ? AND name = ? AND object = ?",
      environment,
      name,
      object,
    );
  }

  forgetNamespaces(environment: string, refs: readonly NamespaceRef[]): void {
    for (const { name, object } of refs)
      this.#sql.exec(
        "DELETE FROM namespaces WHERE environment = ? AND name = ? AND object = ?",
        environment,
        name,
        object,
      );
  }

  /** Namespaces of one environment, or of all, each once, sorted by name. */
  listNamespaces(environment: string | null): NamespaceRef[] {
    const rows = this.#sql.exec<{ name: string; object: string }>(
      "SELECT DISTINCT name, object FROM namespaces WHERE ?1 IS NULL OR environment = ?1 ORDER BY name, object",
      environment,
    );
    return rows.toArray().map(({ name, object }) => ({ name, object }));
  }

  /** Where the namespace is remembered, sorted. */
  environmentsOf({ name, object }: NamespaceRef): string[] {
    return this.#sql
      .exec<{ environment: string }>(
        "SELECT environment FROM namespaces WHERE name = ? AND object = ? ORDER BY environment",
        name,
        object,
      )
      .toArray()
      .map(({ environment }) => environment);
  }

  /** Where the namespace is claimed, whether it is remembered or not; sorted. */
  claimantsOf({ name, object }: NamespaceRef): string[] {
    return this.#sql
      .exec<{ environment: string }>(
        "SELECT environment FROM claims WHERE name = ? AND object = ? ORDER BY environment",
        name,
        object,
      )
      .toArray()
      .map(({ environment }) => environment);
  }

  /**
   * Writes a run; of its actions only those that differ from `before`, the record as it was read or
   * last written.
   */
  putRun(record: RunRecord, before: RunRecord | null, faults: number): void {
    const { actions, ...head } = record.run;
    this.#sql.exec(
      `INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
         state = excluded.state, cancelRequested = excluded.cancelRequested, faults = excluded.faults`,
      head.id,
      head.fingerprint,
      head.environment,
      head.state,
      head.startedAt,
      record.cancelRequested ? 1 : 0,
      faults,
    );
    this.#documents.put(
      "run",
      head.id,
      encodeJson({ head, attempts: record.attempts, actionCount: actions.length }),
    );
    actions.forEach((action, index) => {
      if (action !== before?.run.actions[index])
        this.#documents.put("action", actionId(head.id, index), encodeJson(action));
    });
    if (before !== null) return;
    // They never change: a step need not write the counts of thousands of changes again.
    if (record.shown !== null) this.#documents.put("shown", head.id, encodeJson(record.shown));
    this.#forgetRuns();
  }

  getRun(id: string): RunRecord | null {
    const row = this.#sql
      .exec<{ cancelRequested: number }>("SELECT cancelRequested FROM runs WHERE id = ?", id)
      .toArray()[0];
    const body = this.#documents.get("run", id);
    if (!row || !body) return null;
    const { head, attempts, actionCount } = decodeJson(body) as StoredRun;
    const actions = Array.from({ length: actionCount }, (_, index) => this.#getAction(id, index));
    const shown = this.#documents.get("shown", id);
    return {
      run: { ...head, actions },
      attempts,
      cancelRequested: row.cancelRequested === 1,
      shown: shown && (decodeJson(shown) as ShownFigures),
    };
  }

  /** One more than the last of the environment; never given twice. */
  nextLeaseToken(environment: string): number {
    const { token } = this.#sql
      .exec<{ token: number }>(
        "INSERT INTO leases VALUES (?, 1) ON CONFLICT (environment) DO UPDATE SET token = token + 1 RETURNING token",
        environment,
      )
      .one();
    return token;
  }

  /** The last token of the environment; 0 before the first. */
  newestLeaseToken(environment: string): number {
    const row = this.#sql
      .exec<{ token: number }>("SELECT token FROM leases WHERE environment = ?", environment)
      .toArray()[0];
    return row?.token ?? 0;
  }

  /** Newest first. */
  listRuns({ limit, isActive, environment }: RunFilter): RunRow[] {
    return this.#readRuns(
      `SELECT id, fingerprint, environment, state, faults FROM runs WHERE (?1 = 0 OR state = 'running') AND (?2 IS NULL OR environment = ?2)
        ORDER BY startedAt DESC, id DESC LIMIT ?3`,
      isActive ? 1 : 0,
      environment,
      limit,
    );
  }

  /** Runs of one plan that have succeeded, newest first. */
  listSucceeded(fingerprint: string): RunRow[] {
    return this.#readRuns(
      `SELECT id, fingerprint, environment, state, faults FROM runs WHERE state = 'succeeded' AND fingerprint = ?
        ORDER BY startedAt DESC, id DESC`,
      fingerprint,
    );
  }

  /** Takes note of what somebody applies, and of what the environment is meant to be by it. */
  rememberApplied(environment: string, fingerprint: string, desired: Uint8Array): void {
    const before = this.#documents.get("applied", environment);
    if (before === null || !haveSameBytes(before, desired)) {
      this.#documents.put("applied", environment, desired);
      const version = encodeJson(this.#appliedVersion(environment) + 1);
      this.#documents.put("appliedVersion", environment, version);
    }
    this.#sql.exec(
      "INSERT INTO applied VALUES (?, ?) ON CONFLICT (environment) DO UPDATE SET fingerprint = excluded.fingerprint",
      environment,
      fingerprint,
    );
  }

  /** The state that the environment is meant to have; null when nothing was applied. */
  getAppliedDesired(environment: string): Uint8Array | null {
    const applied = this.#documents.get("applied", environment);
    if (applied !== null) return applied;
    // Before it was stored by itself, it was that of the plan that was applied last.
    const fingerprint = this.#appliedPlan(environment);
    return fingerprint === null ? null : this.getDesired(fingerprint);
  }

  /** Another one with each other state; null when nothing was applied. */
  appliedId(environment: string): string | null {
    const fingerprint = this.#appliedPlan(environment);
    const version = this.#appliedVersion(environment);
    return fingerprint === null || version === 0 ? fingerprint : `${fingerprint} ${version}`;
  }

  #appliedPlan(environment: string): string | null {
    const query = "SELECT fingerprint FROM applied WHERE environment = ?";
    const row = this.#sql.exec<{ fingerprint: string }>(query, environment).toArray()[0];
    return row?.fingerprint ?? null;
  }

  /** 0 for a state that was never stored by itself. */
  #appliedVersion(environment: string): number {
    const body = this.#documents.get("appliedVersion", environment);
    return body === null ? 0 : (decodeJson(body) as number);
  }

  /** The plan that was applied last in each environment, sorted by environment. */
  listApplied(): { readonly environment: string; readonly fingerprint: string }[] {
    return this.#sql
      .exec<Record<"environment" | "fingerprint", string>>(
        "SELECT environment, fingerprint FROM applied ORDER BY environment",
      )
      .toArray();
  }

  /** Runs that have not ended, oldest first. */
  listActiveRuns(): RunRow[] {
    return this.#readRuns(
      "SELECT id, fingerprint, environment, state, faults FROM runs WHERE state = ? ORDER BY startedAt, id",
      "running",
    );
  }

  #readRuns(query: string, ...bindings: SqlStorageValue[]): RunRow[] {
    const rows = this.#sql
      .exec<Record<keyof RunRow, SqlStorageValue>>(query, ...bindings)
      .toArray();
    return rows.map((row) => row as unknown as RunRow);
  }

  #getAction(id: string, index: number): RunAction {
    const body = this.#documents.get("action", actionId(id, index));
    if (!body) throw new Error(`Run ${id} has lost its action ${index}`);
    return decodeJson(body) as RunAction;
  }

  #forgetPlans(kept: readonly string[], now: number): void {
    const old = this.#sql
      .exec<{ fingerprint: string }>(
        `SELECT fingerprint FROM plans
          WHERE (storedAt < ? OR fingerprint NOT IN (SELECT fingerprint FROM plans ORDER BY storedAt DESC, fingerprint LIMIT ?))
            AND fingerprint NOT IN (SELECT fingerprint FROM runs WHERE state = 'running')
            AND fingerprint NOT IN (SELECT fingerprint FROM applied)
            AND fingerprint NOT IN (SELECT value FROM json_each(?))`,
        now - PLAN_AGE_MAX_MS,
        PLANS_MAX,
        JSON.stringify(kept),
      )
      .toArray();
    for (const { fingerprint } of old) {
      this.#documents.delete("plan", fingerprint);
      this.#documents.delete("desired", fingerprint);
      this.#sql.exec(
        "DELETE FROM documents WHERE kind IN ('shownTo', 'text') AND id >= ? AND id < ?",
        ofPlan(fingerprint, ""),
        `${fingerprint}0`,
      );
      this.#sql.exec("DELETE FROM plans WHERE fingerprint = ?", fingerprint);
    }
  }

  #forgetRuns(): void {
    const old = this.#sql
      .exec<{ id: string }>(
        `SELECT id FROM runs WHERE state <> 'running'
          AND id NOT IN (SELECT id FROM runs ORDER BY startedAt DESC, id DESC LIMIT ?)`,
        RUNS_MAX,
      )
      .toArray();
    for (const { id } of old) {
      this.#documents.delete("run", id);
      this.#documents.delete("shown", id);
      this.#sql.exec(
        "DELETE FROM documents WHERE kind = 'action' AND id >= ? AND id < ?",
        actionPrefix(id),
        `${id}0`,
      );
      this.#sql.exec("DELETE FROM runs WHERE id = ?", id);
    }
  }
}

/** A run as it is stored, without its actions. */
export interface StoredRun {
  readonly head: Omit<Run, "actions">;
  readonly attempts: RunRecord["attempts"];
  readonly actionCount: number;
}

// As below: all that belongs to a plan lies between `<fingerprint>/` and `<fingerprint>0`.
function ofPlan(fingerprint: string, name: string): string {
  return `${fingerprint}/${name}`;
}

// "/" sorts just below "0": all actions of a run lie between `<id>/` and `<id>0`.
function actionPrefix(runId: string): string {
  return `${runId}/`;
}

function actionId(runId: string, index: number): string {
  return `${actionPrefix(runId)}${index}`;
}

export function encodeJson(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

export function decodeJson(body: Uint8Array): unknown {
  return JSON.parse(new TextDecoder().decode(body));
}
