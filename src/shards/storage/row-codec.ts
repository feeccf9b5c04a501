/**
 * Encodes rows as JSON text built by SQL: the only form in which they travel, so that no value
 * passes through a JavaScript number.
 *
 * A row is an array of its columns in order, built by `json_array` and read back by `json_each`.
 * JSON cannot hold a BLOB: those columns travel as hex, and the array's last element says which
 * they are (`'0100'`), or is null. A row above `LARGE_ROW_BYTES` would overflow SQLite's string
 * limit when escaped, and text that is not UTF-8 does not survive a JavaScript string: such rows
 * travel cell by cell, as bytes (`LargeRow`).
 *
 * Trade-off: one pass of JSON on both sides, for exact int64, REAL, NUL and infinity; measured
 * faster than bound parameters.
 */
import { rowWords } from "../../model/row-words.ts";
import { bytesToHex } from "../../model/bytes-to-hex.ts";
import { EngineFault } from "./faults.ts";
import { type Sql, type SqlRow, type SqlValue, quoteName, textOf } from "./storage.ts";
import { type Table, keyTerms } from "./tables.ts";

/**
 * Rows above this size, in bytes of their values, travel cell by cell: escaped six times this stays
 * below the limit of 2 MB for a string.
 */
export const LARGE_ROW_BYTES = 320 * 1024;

/**
 * Cloudflare's limit for a row. Larger rows are refused: they could be stored locally, but not in
 * production.
 */
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

/**
 * How a row's JSON is built: `plain` is twice as fast and fails on the first blob, `masked` holds
 * anything. Both give the same text for a row without blobs. See `inPlainForm`.
 */
export type RowForm = "plain" | "masked";

/** `json_array` over columns, with the blob mask as its last element. */
export function rowJson(
  columns: readonly string[],
  alias: string,
  form: RowForm = "masked",
): string {
  const stored = columns.map((column) => `${alias}.${quoteName(column)}`);
  if (form === "plain") return `json_array(${stored.join(", ")}, NULL)`;
  const values = stored.map(
    (column) => `CASE typeof(${column}) WHEN 'blob' THEN hex(${column}) ELSE ${column} END`,
  );
  return `json_array(${[...values, blobMask(stored)].join(", ")})`;
}

/**
 * Does the work in the plain form, and once more, from the start, in the masked form when it meets
 * a blob.
 */
export function inPlainForm<Value>(sql: Sql, work: (form: RowForm) => Value): Value {
  try {
    return sql.transaction(() => work("plain"));
  } catch (error) {
    if (!(error instanceof Error) || !error.message.includes("JSON cannot hold BLOB values"))
      throw error;
    return sql.transaction(() => work("masked"));
  }
}

/** True when a text would have been longer than SQLite allows. */
export function isTooBig(error: unknown): boolean {
  return error instanceof Error && error.message.includes("string or blob too big");
}

/** Bytes of a row's values, as SQL. */
export function rowBytes(columns: readonly string[], alias: string): string {
  return balanced(
    columns.map((column) => `coalesce(octet_length(${alias}.${quoteName(column)}), 0)`),
    "+",
  );
}

/**
 * The SQL value of column `column` of a JSON row whose columns begin at `offset` and whose mask
 * stands at `maskAt`. `withBlobs: false` is the fast form for pages without any blob.
 */
export function jsonCell(
  json: string,
  column: number,
  offset: number,
  maskAt: number,
  withBlobs: boolean,
): string {
  const value = `json_extract(${json}, '$[${offset + column}]')`;
  if (!withBlobs) return value;
  return `CASE WHEN substr(json_extract(${json}, '$[${maskAt}]'), ${column + 1}, 1) = '1' THEN unhex(${value}) ELSE ${value} END`;
}

/** The columns of a primary key, taken from a JSON array made by `rowJson(primaryKey)`. */
export function primaryKeyCells(table: Table, json: string): string[] {
  return table.primaryKey.map((_, index) =>
    jsonCell(json, index, 0, table.primaryKey.length, true),
  );
}

/** `t.pk1 = … AND t.pk2 = …` against a JSON key. */
export function primaryKeyMatches(table: Table, alias: string, json: string): string {
  const cells = primaryKeyCells(table, json);
  return keyTerms(table, alias)
    .map((term, index) => `${term} = ${cells[index] ?? ""}`)
    .join(" AND ");
}

export function primaryKeyOrder(table: Table, alias: string): string {
  return keyTerms(table, alias).join(", ");
}

/** `(t.pk1, t.pk2) > (…)`: rows after a cursor, by index. */
export function primaryKeyAfter(table: Table, alias: string, json: string): string {
  return `(${primaryKeyOrder(table, alias)}) > (${primaryKeyCells(table, json).join(", ")})`;
}

/**
 * True for JSON that is not the row's exact text: JavaScript has put U+FFFD where the bytes were
 * not UTF-8. Rarely, it was stored so.
 */
export function isAltered(json: string): boolean {
  return json.includes("\ufffd");
}

/**
 * Reads one row cell by cell; text as its bytes, which need not be UTF-8.
 *
 * @throws EngineFault when the key does not find its row: it holds text that is not UTF-8, and was
 * altered on its way through JavaScript.
 */
export function readCells(sql: Sql, table: Table, primaryKeyJson: string): Cell[] {
  const cells: Cell[] = [];
  // A result has at most 100 columns.
  for (let start = 0; start < table.columns.length; start += CELLS_PER_READ) {
    const columns = table.columns
      .slice(start, start + CELLS_PER_READ)
      .map((column) => `t.${quoteName(column)}`);
    const selected = columns.map(
      (column, index) => `typeof(${column}) AS t${index}, ${cellColumn(column)} AS v${index}`,
    );
    const found = sql.first<SqlRow>(
      `SELECT ${selected.join(", ")} FROM ${quoteName(table.name)} AS t WHERE ${primaryKeyMatches(table, "t", "?1")}`,
      primaryKeyJson,
    );
    if (!found) {
      throw new EngineFault(
        "unsupportedTable",
        `Table '${table.name}' has text in its primary key that is not UTF-8 (near ${rowWords(primaryKeyJson)}): correct it, then start again`,
      );
    }
    columns.forEach((_, index) =>
      cells.push({ type: textOf(found[`t${index}`]), value: cellValue(found[`v${index}`]) }),
    );
  }
  return cells;
}

/** The SQL and the bindings that store a cell exactly. */
export function cellBinding(cell: Cell): {
  readonly sql: string;
  readonly bindings: readonly SqlValue[];
} {
  switch (cell.type) {
    case "integer":
      return { sql: "CAST(? AS INTEGER)", bindings: [cell.value] };
    case "real":
      return { sql: "CAST(? AS REAL)", bindings: [infiniteReal(cell.value)] };
    case "text":
      return { sql: "CAST(? AS TEXT)", bindings: [cell.value] };
    case "blob":
      return { sql: "?", bindings: [cell.value] };
    default:
      return { sql: "NULL", bindings: [] };
  }
}

/** Rows that go cell by cell, as text for the digest; bytes as hex. */
export function cellsText(cells: readonly Cell[]): string {
  return JSON.stringify(
    cells.map(({ type, value }) => [
      type,
      value instanceof ArrayBuffer ? bytesToHex(new Uint8Array(value)) : value,
    ]),
  );
}

const CELLS_PER_READ = 40;

/**
 * A text that holds the value exactly; blobs stay blobs. Seventeen significant digits name every
 * REAL.
 */
export function exactText(value: string): string {
  return `CASE typeof(${value}) WHEN 'real' THEN printf('%!.17g', ${value}) WHEN 'integer' THEN CAST(${value} AS TEXT) ELSE ${value} END`;
}

/** Text and blobs as bytes, numbers as text that names them exactly. */
function cellColumn(column: string): string {
  return `CASE typeof(${column}) WHEN 'real' THEN printf('%!.17g', ${column}) WHEN 'integer' THEN CAST(${column} AS TEXT) ELSE CAST(${column} AS BLOB) END`;
}

function blobMask(stored: readonly string[]): string {
  const isBlob = stored.map((column) => `typeof(${column}) = 'blob'`);
  return `CASE WHEN ${balanced(isBlob, "OR")} THEN ${balanced(
    isBlob.map((test) => `(${test})`),
    "||",
  )} END`;
}

/** Joins terms as a tree: a chain of a hundred would be deeper than SQLite allows. */
function balanced(terms: readonly string[], operator: string): string {
  if (terms.length <= 2) return terms.join(` ${operator} `);
  const middle = Math.ceil(terms.length / 2);
  return `(${balanced(terms.slice(0, middle), operator)}) ${operator} (${balanced(terms.slice(middle), operator)})`;
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
