/**
 * Keeps the rows of one import until all of them are there: in the coordinator's SQLite, by table
 * and key, so that a page that is sent again changes nothing. A new import takes the place of one
 * that was not applied.
 */
import type { ImportReport, ImportRequest, StateRow } from "../../../model/state-file.ts";
import type { NamespaceRef } from "../../../model/live.ts";
import { allTables } from "./state-tables.ts";

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS stateImports (id TEXT PRIMARY KEY, header TEXT NOT NULL, report TEXT) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS stagedRows (tableName TEXT, key TEXT, row TEXT NOT NULL, PRIMARY KEY (tableName, key)) WITHOUT ROWID;
`;
const PAGE_ROWS = 500;

export interface StagedImport {
  readonly request: ImportRequest;
  /** As it was shown last, or applied; null before the first look. */
  readonly report: ImportReport | null;
}

export class StagedRows {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(SCHEMA);
  }

  /** Begins an import, and drops what another one has left. */
  begin(id: string, request: ImportRequest): void {
    this.drop();
    this.#sql.exec("DELETE FROM stateImports");
    this.#sql.exec("INSERT INTO stateImports VALUES (?, ?, NULL)", id, JSON.stringify(request));
  }

  /** Null when it is not the import that was begun last. Its report is the one shown last. */
  findImport(id: string): StagedImport | null {
    const row = this.#sql
      .exec<{ header: string; report: string | null }>(
        "SELECT header, report FROM stateImports WHERE id = ?",
        id,
      )
      .toArray()[0];
    if (!row) return null;
    return {
      request: JSON.parse(row.header) as ImportRequest,
      report: row.report === null ? null : (JSON.parse(row.report) as ImportReport),
    };
  }

  /** Keeps what was shown: an apply does exactly that. */
  show(report: ImportReport): void {
    this.#sql.exec(
      "UPDATE stateImports SET report = ? WHERE id = ?",
      JSON.stringify(report),
      report.id,
    );
  }

  /** It was applied: the rows go, the report stays for whoever asks again. */
  finish(report: ImportReport): void {
    this.show(report);
    this.drop();
  }

  put(table: string, rows: readonly StateRow[]): void {
    const key = allTables().get(table)?.key ?? [];
    for (const row of rows)
      this.#sql.exec(
        "INSERT OR REPLACE INTO stagedRows VALUES (?, ?, ?)",
        table,
        keyText(key.map((column) => row[column])),
        JSON.stringify(row),
      );
  }

  count(table: string): number {
    return this.#sql
      .exec<{ rows: number }>("SELECT count(*) AS rows FROM stagedRows WHERE tableName = ?", table)
      .one().rows;
  }

  /** Null when the file has no such row. */
  find<Row extends StateRow>(table: string, ...key: readonly unknown[]): Row | null {
    const row = this.#sql
      .exec<{ row: string }>(
        "SELECT row FROM stagedRows WHERE tableName = ? AND key = ?",
        table,
        keyText(key),
      )
      .toArray()[0];
    return row ? (JSON.parse(row.row) as Row) : null;
  }

  /** Every row of the table, in the order of its key as text. */
  *all<Row extends StateRow>(table: string): Generator<Row> {
    for (let after = ""; ;) {
      // Read to its end: the caller writes between two rows.
      const page = this.#sql
        .exec<{ key: string; row: string }>(
          "SELECT key, row FROM stagedRows WHERE tableName = ? AND key > ? ORDER BY key LIMIT ?",
          table,
          after,
          PAGE_ROWS,
        )
        .toArray();
      for (const { row } of page) yield JSON.parse(row) as Row;
      const last = page.at(-1);
      if (last === undefined) return;
      after = last.key;
    }
  }

  /** Environments that the file has reconciled, sorted. */
  environments(): string[] {
    return this.#sql
      .exec<{ id: string }>(
        `SELECT json_extract(row, '$.id') AS id FROM stagedRows
          WHERE tableName = 'reconcileDocuments' AND json_extract(row, '$.kind') = 'environment' ORDER BY id`,
      )
      .toArray()
      .map(({ id }) => id);
  }

  /** Namespaces that the manifests of an environment declare, as the file knows it. */
  declared(environment: string): NamespaceRef[] {
    return this.#sql
      .exec<Record<"name" | "object", string>>(
        `SELECT json_extract(row, '$.name') AS name, json_extract(row, '$.object') AS object FROM stagedRows
          WHERE tableName = 'reconciledNames' AND json_extract(row, '$.environment') = ?
            AND json_extract(row, '$.body.specDigest') IS NOT NULL`,
        environment,
      )
      .toArray();
  }

  drop(): void {
    this.#sql.exec("DELETE FROM stagedRows");
  }
}

/** Numbers sort as they count. */
function keyText(key: readonly unknown[]): string {
  return JSON.stringify(
    key.map((value) => (typeof value === "number" ? String(value).padStart(16, "0") : value)),
  );
}
