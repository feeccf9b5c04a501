/**
 * Rows as SQL-built JSON text: the only form in which they travel, so that no value passes through a JavaScript number.
 *
 * A row is an array of its columns in order, built by `json_array` and read back by `json_each`. JSON cannot hold a BLOB: those columns
 * travel as hex, and the array's last element says which they are (`'0100'`), or is null. A row above `LARGE_ROW_BYTES` would overflow
 * SQLite's string limit when escaped; it travels alone, cell by cell, as text and bytes (`LargeRow`).
 *
 * Trade-off: one pass of JSON on both sides, for exact int64, REAL, NUL and infinity; measured faster than bound parameters.
 */
import { type Sql, type SqlRow, type SqlValue, quoteName, textOf } from "./storage.ts";
import type { Table } from "./tables.ts";

/** Rows above this size, in bytes of their values, travel alone. Six times this stays below SQLite's 4 MiB text limit. */
export const LARGE_ROW_BYTES = 512 * 1024;

/** Cloudflare's limit for a row. Larger rows are refused: they could be stored locally, but not in production. */
export const ROW_BYTES_MAX = 2 * 1024 * 1024;

/** One value of a large row: SQLite's storage class with its text or bytes. */
export interface Cell {
  readonly type: string;
  readonly value: string | ArrayBuffer | null;
}
export interface LargeRow {
  /** Class and value of the position, as JSON without brackets; see position.ts. */
  readonly position: string;
  /** The primary key, as JSON. */
  readonly key: string;
  readonly cells: readonly Cell[];
}

/** `json_array` over columns, with the blob mask as its last element. */
export function rowJson(columns: readonly string[], alias: string): string {
  const stored = columns.map((column) => `${alias}.${quoteName(column)}`);
  const values = stored.map((column) => `CASE typeof(${column}) WHEN 'blob' THEN hex(${column}) ELSE ${column} END`);
  return `json_array(${[...values, blobMask(stored)].join(", ")})`;
}

/** Bytes of a row's values, as SQL. */
export function rowBytes(columns: readonly string[], alias: string): string {
  return columns.map((column) => `coalesce(octet_length(${alias}.${quoteName(column)}), 0)`).join(" + ");
}

/**
 * The SQL value of column `column` of a JSON row whose columns begin at `offset` and whose mask stands at `maskAt`.
 * `withBlobs: false` is the fast form for pages without any blob.
 */
export function jsonCell(json: string, column: number, offset: number, maskAt: number, withBlobs: boolean): string {
  const value = `json_extract(${json}, '$[${offset + column}]')`;
  if (!withBlobs) return value;
  return `CASE WHEN substr(json_extract(${json}, '$[${maskAt}]'), ${column + 1}, 1) = '1' THEN unhex(${value}) ELSE ${value} END`;
}

/** The columns of a primary key, taken from a JSON array made by `rowJson(primaryKey)`. */
export function primaryKeyCells(table: Table, json: string): string[] {
  return table.primaryKey.map((_, index) => jsonCell(json, index, 0, table.primaryKey.length, true));
}

/** `t.pk1 = … AND t.pk2 = …` against a JSON key. */
export function primaryKeyMatches(table: Table, alias: string, json: string): string {
  const cells = primaryKeyCells(table, json);
  return table.primaryKey.map((column, index) => `${alias}.${quoteName(column)} = ${cells[index] ?? ""}`).join(" AND ");
}

export function primaryKeyOrder(table: Table, alias: string): string {
  return table.primaryKey.map((column) => `${alias}.${quoteName(column)}`).join(", ");
}

/** `(t.pk1, t.pk2) > (…)`: rows after a cursor, by index. */
export function primaryKeyAfter(table: Table, alias: string, json: string): string {
  return `(${primaryKeyOrder(table, alias)}) > (${primaryKeyCells(table, json).join(", ")})`;
}

/** Reads one row cell by cell. */
export function readCells(sql: Sql, table: Table, primaryKeyJson: string): Cell[] {
  const parts = table.columns.flatMap((column, index) => {
    const stored = `t.${quoteName(column)}`;
    return [`typeof(${stored}) AS t${index}`, `${exactText(stored)} AS v${index}`];
  });
  // At most 100 columns a table, so 200 results: within SQLite's limit, but a result row is also limited to 100 columns.
  const cells: Cell[] = [];
  for (let start = 0; start < parts.length; start += 2 * CELLS_PER_READ) {
    const some = parts.slice(start, start + 2 * CELLS_PER_READ);
    const found = sql.first<SqlRow>(
      `SELECT ${some.join(", ")} FROM ${quoteName(table.name)} AS t WHERE ${primaryKeyMatches(table, "t", "?1")}`,
      primaryKeyJson,
    );
    if (!found) throw new Error(`A row of '${table.name}' vanished while it was read`);
    for (let index = start / 2; index < Math.min(start / 2 + CELLS_PER_READ, table.columns.length); index++) {
      cells.push({ type: textOf(found[`t${index}`]), value: cellValue(found[`v${index}`]) });
    }
  }
  return cells;
}

/** The SQL and the bindings that store a cell exactly. */
export function cellBinding(cell: Cell): { readonly sql: string; readonly bindings: readonly SqlValue[] } {
  switch (cell.type) {
    case "integer":
      return { sql: "CAST(? AS INTEGER)", bindings: [cell.value] };
    case "real":
      return { sql: "CAST(? AS REAL)", bindings: [infiniteReal(cell.value)] };
    case "text":
    case "blob":
      return { sql: "?", bindings: [cell.value] };
    default:
      return { sql: "NULL", bindings: [] };
  }
}

/** A large row as text for the digest; blobs as hex. */
export function cellsText(cells: readonly Cell[]): string {
  return JSON.stringify(cells.map(({ type, value }) => [type, value instanceof ArrayBuffer ? hexOf(value) : value]));
}

const CELLS_PER_READ = 40;

/** A text that holds the value exactly; blobs stay blobs. Seventeen significant digits name every REAL. */
export function exactText(value: string): string {
  return `CASE typeof(${value}) WHEN 'real' THEN printf('%!.17g', ${value}) WHEN 'integer' THEN CAST(${value} AS TEXT) ELSE ${value} END`;
}

function blobMask(stored: readonly string[]): string {
  const isBlob = stored.map((column) => `typeof(${column}) = 'blob'`);
  return `CASE WHEN ${isBlob.join(" OR ")} THEN ${isBlob.map((test) => `(${test})`).join(" || ")} END`;
}

function cellValue(value: SqlValue | undefined): string | ArrayBuffer | null {
  if (value === null || value === undefined) return null;
  if (typeof value === "number") throw new Error("A number must not be read as a number");
  return value;
}

function infiniteReal(value: string | ArrayBuffer | null): string {
  const text = textOf(value);
  if (text === "Inf") return "9e999";
  if (text === "-Inf") return "-9e999";
  return text;
}

function hexOf(bytes: ArrayBuffer): string {
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
