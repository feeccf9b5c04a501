/**
 * Reads the coordinator's state a page at a time, in the order of each table's key: a page and its
 * successor never overlap, whatever is written in between. Nothing is locked: each row is as it was
 * when its page was read.
 */
import type { StatePage, StateRow } from "../../../model/state-file.ts";
import {
  allTables,
  type Column,
  DOCUMENT_CONDITION,
  DOCUMENTS,
  STATE_TABLES,
  type StateTable,
  type StateTableName,
} from "./state-tables.ts";

/** Far below the 32 MiB that one call carries, in characters. */
const PAGE_LENGTH_MAX = 2 * 1024 * 1024;
const ROWS_MAX = 1000;
/** Characters of one piece of a document. */
const PIECE_LENGTH_MAX = 256 * 1024;

/**
 * @param after `next` of the page before; null for the first. Null when there is no such table, or
 * no such place in it.
 */
export function readStatePage(
  sql: SqlStorage,
  name: string,
  after: string | null,
): StatePage | null {
  const cursor = after === null ? null : (JSON.parse(after) as SqlStorageValue[]);
  const key = allTables().get(name)?.key;
  if (key === undefined || (cursor !== null && cursor.length !== key.length)) return null;
  return name === DOCUMENTS
    ? readDocuments(sql, cursor)
    : readRows(sql, name, STATE_TABLES[name as StateTableName], cursor);
}

function readRows(
  sql: SqlStorage,
  name: string,
  { columns, key, condition }: StateTable,
  cursor: readonly SqlStorageValue[] | null,
): StatePage {
  const keys = key.join(", ");
  const from = cursor === null ? "" : `AND (${keys}) > (${cursor.map(() => "?").join(", ")})`;
  const stored = sql.exec<StoredRow>(
    `SELECT ${Object.keys(columns).join(", ")} FROM ${name} WHERE ${condition} ${from} ORDER BY ${keys} LIMIT ?`,
    ...(cursor ?? []),
    ROWS_MAX,
  );
  const { page, isCut } = takePage(stored);
  const rows = page.map((row) => toRow(columns, row));
  const last = rows.at(-1);
  const isEnd = last === undefined || (!isCut && rows.length < ROWS_MAX);
  return { rows, next: isEnd ? null : JSON.stringify(key.map((column) => last[column])) };
}

type StoredRow = Record<string, SqlStorageValue>;

function toRow(columns: Readonly<Record<string, Column>>, stored: Readonly<StoredRow>): StateRow {
  return Object.fromEntries(
    Object.entries(columns).map(([name, { kind }]) => {
      const value = stored[name] ?? null;
      return [
        name,
        kind === "json" && value !== null ? (JSON.parse(value as string) as unknown) : value,
      ];
    }),
  );
}

/** Of a number about; no table has bytes but that of documents. */
function lengthOf(value: SqlStorageValue): number {
  return typeof value === "string" ? value.length : 8;
}

/**
 * At least one row, and no more than a page carries. What is behind it stays in the database: a
 * thousand rows may be a thousand documents.
 */
function takePage(stored: Iterable<StoredRow>): {
  readonly page: StoredRow[];
  readonly isCut: boolean;
} {
  const page: StoredRow[] = [];
  let length = 0;
  for (const row of stored) {
    length += Object.values(row).reduce<number>((sum, value) => sum + lengthOf(value), 0);
    if (page.length > 0 && length > PAGE_LENGTH_MAX) return { page, isCut: true };
    page.push(row);
  }
  return { page, isCut: false };
}

/** A document can be larger than a page: it comes in pieces, and the cursor names the next one. */
function readDocuments(sql: SqlStorage, cursor: readonly SqlStorageValue[] | null): StatePage {
  const [kind = "", id = "", piece = 0] = cursor ?? [];
  const ids = sql
    .exec<Record<"kind" | "id", string>>(
      `SELECT DISTINCT kind, id FROM documents WHERE ${DOCUMENT_CONDITION} AND (kind, id) >= (?, ?) ORDER BY kind, id LIMIT ?`,
      kind,
      id,
      ROWS_MAX,
    )
    .toArray();
  const rows: StateRow[] = [];
  let length = 0;
  let pieces = 0;
  for (const one of ids) {
    const body = readDocument(sql, one.kind, one.id);
    pieces = Math.max(1, Math.ceil(body.length / PIECE_LENGTH_MAX));
    for (let at = one.kind === kind && one.id === id ? Number(piece) : 0; at < pieces; at++) {
      if (length >= PAGE_LENGTH_MAX) return { rows, next: JSON.stringify([one.kind, one.id, at]) };
      const text = body.slice(at * PIECE_LENGTH_MAX, (at + 1) * PIECE_LENGTH_MAX);
      rows.push({ ...one, piece: at, text });
      length += text.length;
    }
  }
  const last = ids.at(-1);
  if (last === undefined || ids.length < ROWS_MAX) return { rows, next: null };
  return { rows, next: JSON.stringify([last.kind, last.id, pieces]) };
}

function readDocument(sql: SqlStorage, kind: string, id: string): string {
  const decoder = new TextDecoder();
  const parts = sql
    .exec<{ body: ArrayBuffer }>(
      "SELECT body FROM documents WHERE kind = ? AND id = ? ORDER BY part",
      kind,
      id,
    )
    .toArray();
  // A part may end within a character.
  return (
    parts.map(({ body }) => decoder.decode(body, { stream: true })).join("") + decoder.decode()
  );
}
