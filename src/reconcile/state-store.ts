/**
 * The state of reconciliation in the coordinator's SQLite: one row an environment, one row a
 * namespace, and what has a key of its own (the pause, the head that was read last). All methods
 * are synchronous: what one turn writes becomes durable together.
 */
import type { EnvironmentState } from "./environment-state.ts";
import type { NamespaceState } from "./namespace-state.ts";
import type { ReconcileStore, StoredDigest } from "./ports.ts";
import type { Pause } from "../model/drift.ts";
import type { NamespaceRef } from "../model/live.ts";

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS reconciledNames (environment TEXT, name TEXT, object TEXT, dueAt INTEGER NOT NULL, pass INTEGER NOT NULL,
    specDigest TEXT, isPending INTEGER NOT NULL, silences INTEGER NOT NULL, rowCount INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (environment, name, object)) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS reconciledByTime ON reconciledNames (environment, dueAt);
  CREATE INDEX IF NOT EXISTS reconciledPending ON reconciledNames (environment, name) WHERE isPending = 1;
  CREATE TABLE IF NOT EXISTS awaitedPolicies (environment TEXT, name TEXT, object TEXT, PRIMARY KEY (environment, name, object)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS reconcileDocuments (kind TEXT, id TEXT, body TEXT NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID;
`;

interface Totals {
  managed: number;
  rows: number;
  unreadable: number;
}

type TotalsRow = Record<"specDigest" | "silences" | "rowCount", SqlStorageValue>;

/** Documents that are not an environment's: of the Worker as a whole. */
export class ReconcileDocuments {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(SCHEMA);
  }

  pause(): Pause | null {
    return this.read<Pause>("pause", "");
  }

  /** @param now when it is set; of the end it is remembered: see `resumedAt`. */
  setPause(pause: Pause | null, now: number): void {
    if (pause === null) {
      this.#sql.exec("DELETE FROM reconcileDocuments WHERE kind = 'pause'");
      this.write("resumed", "", { at: now });
    } else this.write("pause", "", pause);
  }

  /**
   * When the switch was last turned off; null when it never was, or this storage knows nothing of
   * it.
   */
  resumedAt(): number | null {
    return this.read<{ readonly at: number }>("resumed", "")?.at ?? null;
  }

  /** Environments that were ever reconciled here, sorted. */
  environments(): string[] {
    const rows = this.#sql.exec<{ id: string }>(
      "SELECT id FROM reconcileDocuments WHERE kind = 'environment' ORDER BY id",
    );
    return rows.toArray().map(({ id }) => id);
  }

  read<Body>(kind: string, id: string): Body | null {
    const row = this.#sql
      .exec<{ body: string }>(
        "SELECT body FROM reconcileDocuments WHERE kind = ? AND id = ?",
        kind,
        id,
      )
      .toArray()[0];
    return row ? (JSON.parse(row.body) as Body) : null;
  }

  write(kind: string, id: string, body: unknown): void {
    this.#sql.exec(
      "INSERT INTO reconcileDocuments VALUES (?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body",
      kind,
      id,
      JSON.stringify(body),
    );
  }
}

/** The rows were taken over from a file: what is known from before must not be written. */
export class StoreClosed extends Error {}

/** The rows of one environment. One instance each, since it keeps the totals. */
export class StateStore implements ReconcileStore {
  readonly #sql: SqlStorage;
  readonly #documents: ReconcileDocuments;
  readonly #environment: string;
  #totals: Totals | null = null;
  #isClosed = false;

  constructor(sql: SqlStorage, documents: ReconcileDocuments, environment: string) {
    this.#sql = sql;
    this.#documents = documents;
    this.#environment = environment;
  }

  /** The rows were changed under it. Whoever still works with it ends at its next write. */
  close(): void {
    this.#isClosed = true;
  }

  /** @throws StoreClosed */
  requireOpen(): void {
    if (this.#isClosed) throw new StoreClosed("The state was replaced by an import");
  }

  readEnvironment(): EnvironmentState | null {
    return this.#documents.read<EnvironmentState>("environment", this.#environment);
  }

  writeEnvironment(state: EnvironmentState): void {
    this.requireOpen();
    this.#documents.write("environment", this.#environment, state);
  }

  read({ name, object }: NamespaceRef): NamespaceState | null {
    return this.#bodies("name = ? AND object = ?", name, object)[0] ?? null;
  }

  readDeclared(name: string): NamespaceState | null {
    return this.#bodies("name = ? AND specDigest IS NOT NULL", name)[0] ?? null;
  }

  /** All of that name, whether a manifest declares them or not. */
  readNamed(name: string): NamespaceState[] {
    return this.#bodies("name = ?", name);
  }

  write(states: readonly NamespaceState[]): void {
    this.requireOpen();
    for (const state of states) {
      this.#count(this.#figures(state), -1);
      this.#sql.exec(
        `INSERT INTO reconciledNames VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (environment, name, object) DO UPDATE SET
           dueAt = excluded.dueAt, pass = excluded.pass, specDigest = excluded.specDigest, isPending = excluded.isPending,
           silences = excluded.silences, rowCount = excluded.rowCount, body = excluded.body`,
        this.#environment,
        state.name,
        state.object,
        state.dueAt,
        state.pass,
        state.specDigest,
        state.pending === null ? 0 : 1,
        state.silences,
        state.rows,
        JSON.stringify(state),
      );
      this.#noteAwaiting(state);
      this.#count(
        { specDigest: state.specDigest, silences: state.silences, rowCount: state.rows },
        1,
      );
    }
  }

  #noteAwaiting({ name, object, held }: NamespaceState): void {
    this.#sql.exec(
      held && !held.isApplied
        ? "INSERT OR IGNORE INTO awaitedPolicies VALUES (?, ?, ?)"
        : "DELETE FROM awaitedPolicies WHERE environment = ? AND name = ? AND object = ?",
      this.#environment,
      name,
      object,
    );
  }

  hasAwaiting(): boolean {
    return (
      this.#sql
        .exec("SELECT 1 FROM awaitedPolicies WHERE environment = ? LIMIT 1", this.#environment)
        .toArray().length > 0
    );
  }

  remove(ref: NamespaceRef): void {
    this.#count(this.#figures(ref), -1);
    for (const table of ["reconciledNames", "awaitedPolicies"])
      this.#sql.exec(
        `DELETE FROM ${table} WHERE environment = ? AND name = ? AND object = ?`,
        this.#environment,
        ref.name,
        ref.object,
      );
  }

  /** Has a namespace looked at in the next pass. */
  makeDue({ name, object }: NamespaceRef): void {
    this.#sql.exec(
      "UPDATE reconciledNames SET dueAt = 0 WHERE environment = ? AND name = ? AND object = ?",
      this.#environment,
      name,
      object,
    );
  }

  due(pass: number, dueBy: number, dueAfter: number, limit: number): NamespaceState[] {
    const inTime = this.#bodies(
      "dueAt <= ? AND pass < ? ORDER BY dueAt, name LIMIT ?",
      dueBy,
      pass,
      limit,
    );
    const left = limit - inTime.length;
    return left === 0
      ? inTime
      : [
          ...inTime,
          ...this.#bodies("dueAt > ? AND pass < ? ORDER BY dueAt LIMIT ?", dueAfter, pass, left),
        ];
  }

  pending(): NamespaceState[] {
    return this.#bodies("isPending = 1 ORDER BY name");
  }

  /** Namespaces that plans have seen live, and that have no row here. */
  unseen(): NamespaceRef[] {
    return this.#sql
      .exec<Record<"name" | "object", string>>(
        `SELECT name, object FROM namespaces AS seen WHERE environment = ?1 AND NOT EXISTS (SELECT 1 FROM reconciledNames AS known
           WHERE known.environment = ?1 AND known.name = seen.name AND known.object = seen.object)`,
        this.#environment,
      )
      .toArray();
  }

  /** Namespaces that a manifest declares. */
  declared(): NamespaceRef[] {
    return this.#sql
      .exec<Record<"name" | "object", string>>(
        "SELECT name, object FROM reconciledNames WHERE environment = ? AND specDigest IS NOT NULL",
        this.#environment,
      )
      .toArray();
  }

  digests(): StoredDigest[] {
    return this.#sql
      .exec<Record<"name" | "object", string> & Record<"specDigest" | "labels", string | null>>(
        "SELECT name, object, specDigest, json_extract(body, '$.spec.labels') AS labels FROM reconciledNames WHERE environment = ?",
        this.#environment,
      )
      .toArray()
      .map(({ labels, ...stored }) => ({
        ...stored,
        labels: labels === null ? null : (JSON.parse(labels) as Record<string, string>),
      }));
  }

  *all(): Generator<NamespaceState> {
    // Read to its end first: the reader may write between two rows.
    const names = this.#sql
      .exec<{ body: string }>(
        "SELECT body FROM reconciledNames WHERE environment = ? ORDER BY name, object",
        this.#environment,
      )
      .toArray();
    for (const { body } of names) yield JSON.parse(body) as NamespaceState;
  }

  totals(): Totals {
    this.#totals ??= this.#sql
      .exec<Record<keyof Totals, number>>(
        `SELECT count(specDigest) AS managed, coalesce(sum(rowCount) FILTER (WHERE specDigest IS NOT NULL), 0) AS rows,
           count(*) FILTER (WHERE silences > 0) AS unreadable FROM reconciledNames WHERE environment = ?`,
        this.#environment,
      )
      .one();
    return { ...this.#totals };
  }

  #bodies(condition: string, ...bindings: SqlStorageValue[]): NamespaceState[] {
    return this.#sql
      .exec<{ body: string }>(
        `SELECT body FROM reconciledNames WHERE environment = ? AND ${condition}`,
        this.#environment,
        ...bindings,
      )
      .toArray()
      .map(({ body }) => JSON.parse(body) as NamespaceState);
  }

  #figures({ name, object }: NamespaceRef): TotalsRow | null {
    if (this.#totals === null) return null;
    const query =
      "SELECT specDigest, silences, rowCount FROM reconciledNames WHERE environment = ? AND name = ? AND object = ?";
    return this.#sql.exec<TotalsRow>(query, this.#environment, name, object).toArray()[0] ?? null;
  }

  /** Keeps the totals true without reading every row again. */
  #count(row: TotalsRow | null, sign: 1 | -1): void {
    if (row === null || this.#totals === null) return;
    const isManaged = row.specDigest !== null;
    this.#totals.managed += isManaged ? sign : 0;
    this.#totals.rows += isManaged ? sign * Number(row.rowCount) : 0;
    this.#totals.unreadable += Number(row.silences) > 0 ? sign : 0;
  }
}
