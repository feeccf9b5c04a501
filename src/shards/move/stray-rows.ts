/**
 * Finds the rows of a member that are not its own under a layout, and sets them aside.
 *
 * Rows set aside are kept in a private table of the same columns, with the epoch of the repair:
 * nothing is deleted, and nothing chosen between two versions of a row. No call meets it any more.
 */
import { type Key, formatKey } from "../../model/layout/key.ts";
import type { Layout } from "../../model/layout/layout.ts";
import { createOwnerLookup } from "../../model/layout/owner-lookup.ts";
import type { Partitioners } from "../../model/layout/partitioners.ts";
import type { RowSample } from "../../model/live.ts";
import type { TableRows } from "../protocol/replies.ts";
import { isFull } from "../storage/faults.ts";
import { requireRoom } from "../storage/reserve.ts";
import { rowBytes, rowJson } from "../storage/row-codec.ts";
import { rowsAfter } from "../storage/row-slices.ts";
import { ASIDE_PREFIX } from "../storage/private-names.ts";
import { type Sql, quoteName, textOf } from "../storage/storage.ts";
import { type Table, keyExpression } from "../storage/tables.ts";
import { deleteKeys, inKeys } from "./delete-keys.ts";
import { keyColumn, keyOf } from "./move-plan.ts";

/** Rows that are looked at before others come between. */
const SLICE_ROWS = 2_000;
/** Rows that one statement sets aside; fewer where there is little room left. */
const PAGE_ROWS = 2_000;
/** Bytes of their values. */
const PAGE_BYTES_MAX = 4 * 1024 * 1024;
/** Characters of their keys: below the limit of 2 MB for what a statement is given. */
const PAGE_KEY_CHARACTERS_MAX = 400_000;
/** A leaf page that holds no further row may be empty to the half. */
const FILL_FACTOR = 2;
/** Bytes of a row beside its values, and of a column beside its text: its header, and a REAL. */
const ROW_OVERHEAD_BYTES = 64;
const COLUMN_OVERHEAD_BYTES = 9;
/** Bytes for the definition, and for the pages of the b-tree above the rows. */
const TREE_BYTES = 16 * 1024;
/** Characters of an id, or a key, that is told. */
const TOLD_LENGTH_MAX = 1_000;
/** The column of a table of rows set aside that says by which epoch. */
const EPOCH_COLUMN = "shardctl_epoch";

/** The rows of one member. */
export interface MemberRows {
  readonly sql: Sql;
  readonly self: string;
  readonly tables: readonly Table[];
  readonly partitioners: Partitioners;
}

/**
 * True for the keys of rows that are not this member's; null where all or none are, whatever their
 * key. In a roundRobin layout the directory alone knows the owner: what stands on a member is its
 * own.
 */
function strayKeys(
  layout: Layout,
  { self, partitioners }: Pick<MemberRows, "self" | "partitioners">,
): ((key: Key) => boolean) | boolean {
  if (!layout.members.includes(self)) return true;
  if (layout.kind === "none" || layout.kind === "roundRobin") return false;
  const ownerOf = createOwnerLookup(layout, partitioners);
  return (key) => ownerOf(key) !== self;
}

/** The rows that are not a member's own, as far as they are told. */
export interface FoundStrays {
  /** By table; tables without any are left out. */
  readonly strays: readonly TableRows[];
  /** The first of each table, as many as were asked for. A key that is too long to tell is cut. */
  readonly samples: readonly RowSample[];
}

/**
 * Finds the rows that are not this member's, slice by slice: whoever goes through the steps may let
 * others come between two of them.
 */
export function* findStraysInSlices(
  member: MemberRows,
  layout: Layout,
  samplesMax: number,
): Generator<void, FoundStrays, undefined> {
  const { sql, tables } = member;
  const isStray = strayKeys(layout, member);
  const strays: TableRows[] = [];
  const samples: RowSample[] = [];
  if (isStray === false) return { strays, samples };
  for (const table of tables) {
    const key = layout.kind === "none" ? "NULL" : keySql(table, layout);
    const columns = `${rowJson(table.primaryKey, "t")} AS pk, ${keyColumn(key, "key")}`;
    let found = 0;
    for (let after: string | null = null; ;) {
      const slice = sql.inOneTurn(() => rowsAfter(sql, table, columns, after, SLICE_ROWS));
      for (const row of slice.rows) {
        const of = keyOf(row["key"]);
        if (isStray !== true && !isStray(of)) continue;
        if (found++ < samplesMax)
          samples.push({ table: table.name, id: cut(textOf(row["pk"])), key: cut(formatKey(of)) });
      }
      if (slice.rows.length < SLICE_ROWS) break;
      after = slice.last;
      yield;
    }
    if (found > 0) strays.push({ table: table.name, rows: found });
  }
  return { strays, samples };
}

/** The same in one go. */
export function findStraysAtOnce(
  member: MemberRows,
  layout: Layout,
  samplesMax: number,
): FoundStrays {
  const steps = findStraysInSlices(member, layout, samplesMax);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

function cut(text: string): string {
  return text.length <= TOLD_LENGTH_MAX ? text : `${text.slice(0, TOLD_LENGTH_MAX)}…`;
}

/**
 * Sets those rows aside, and gives their number by table. Call inside a transaction, with foreign
 * keys off.
 */
export function setStraysAside(member: MemberRows, layout: Layout, epoch: number): TableRows[] {
  const { sql, tables } = member;
  const isStray = strayKeys(layout, member);
  if (isStray === false) return [];
  // All keys first: a follower is found by the row that it follows.
  const found = tables.map((table) => ({ table, keys: findStrays(sql, table, layout, isStray) }));
  const aside = found.filter(({ keys }) => keys.length > 0);
  for (const { table, keys } of aside.toReversed())
    setRowsAside(sql, { table, from: table.name, keys }, epoch);
  return aside.map(({ table, keys }) => ({ table: table.name, rows: keys.length }));
}

/**
 * Sets the rows of these primary keys aside: they leave the table `from`, which has the columns of
 * `table`. Each page needs room for its own rows alone, as far as those before it have emptied
 * pages. Call inside a transaction, with foreign keys off. @throws Error when a single row finds no
 * room.
 */
export function setRowsAside(
  sql: Sql,
  rows: { readonly table: Table; readonly from: string; readonly keys: readonly string[] },
  epoch: number,
): void {
  const { table, from, keys } = rows;
  requireRoom(sql, TREE_BYTES);
  const kept = keepAsideTable(sql, table, from);
  const columns = table.columns.map(quoteName).join(", ");
  const found = `FROM ${quoteName(from)} AS t WHERE ${inKeys(table)}`;
  const size = `${FILL_FACTOR} * (${rowBytes(table.columns, "t")}) + ${ROW_OVERHEAD_BYTES + COLUMN_OVERHEAD_BYTES * table.columns.length}`;
  let rowsMax = PAGE_ROWS;
  for (let first = 0; first < keys.length; first += rowsMax) {
    // After a page that was small for want of room the next may be larger again.
    const next = withinCharacters(keys.slice(first, first + Math.min(PAGE_ROWS, 4 * rowsMax)));
    rowsMax = rowsWithRoom(sql, next, `SELECT ${size} AS bytes ${found}`);
    const page = jsonArray(next.slice(0, rowsMax));
    sql.run(
      `INSERT INTO ${quoteName(kept)} (${EPOCH_COLUMN}, ${columns}) SELECT ?2, ${columns} ${found}`,
      page,
      epoch,
    );
    deleteKeys(sql, from, table, page);
  }
}

/** The first of these keys, as many as one statement takes; one at least. */
function withinCharacters(keys: readonly string[]): readonly string[] {
  let characters = 0;
  const end = keys.findIndex((key) => (characters += key.length + 1) > PAGE_KEY_CHARACTERS_MAX);
  return end < 0 ? keys : keys.slice(0, Math.max(1, end));
}

/**
 * How many of the rows of these keys the storage has room for a second time. It is asked before
 * they are written: SQLite would undo the whole transaction of a statement that finds none.
 */
function rowsWithRoom(sql: Sql, keys: readonly string[], sizesSql: string): number {
  for (let count = keys.length; ; count = Math.ceil(count / 4)) {
    const sum = `SELECT coalesce(sum(bytes), 0) AS bytes FROM (${sizesSql})`;
    const bytes = sql.first<{ bytes: number }>(sum, jsonArray(keys.slice(0, count)))?.bytes ?? 0;
    if (count > 1 && bytes > PAGE_BYTES_MAX) continue;
    try {
      requireRoom(sql, bytes + TREE_BYTES);
      return count;
    } catch (error) {
      if (!isFull(error) || count === 1) throw error;
    }
  }
}

function jsonArray(keys: readonly string[]): string {
  return `[${keys.join(",")}]`;
}

/** Primary keys as JSON arrays. */
function findStrays(
  sql: Sql,
  table: Table,
  layout: Layout,
  isStray: ((key: Key) => boolean) | true,
): string[] {
  const key = isStray === true ? "NULL" : keySql(table, layout);
  const query = `SELECT pk, ${keyColumn("k", "key")} FROM (SELECT ${rowJson(table.primaryKey, "t")} AS pk, ${key} AS k FROM ${quoteName(table.name)} AS t)`;
  const keys: string[] = [];
  for (const row of sql.stream(query))
    if (isStray === true || isStray(keyOf(row["key"]))) keys.push(textOf(row["pk"]));
  return keys;
}

function keySql(table: Table, layout: Layout): string {
  if (layout.kind === "none") throw new Error("An unsharded layout has no key");
  return keyExpression(table, layout.shardKey, "t");
}

/**
 * The table for rows of this one, made when there is none. One of other columns, as a later version
 * of the class has them, gets a name of its own.
 */
function keepAsideTable(sql: Sql, table: Table, from: string): string {
  const wanted = [EPOCH_COLUMN, ...table.columns];
  const columnsOf = (name: string): string[] =>
    sql
      .rows<{ name: string }>(`PRAGMA table_info(${quoteName(name)})`)
      .map((column) => column.name);
  for (let number = 1; ; number++) {
    const name = `${ASIDE_PREFIX}${table.name}${number === 1 ? "" : `_${number}`}`;
    const columns = columnsOf(name);
    if (columns.length === 0) {
      const columnList = table.columns.map(quoteName).join(", ");
      // As the columns' types have it, so that each value is stored as it was.
      sql.run(
        `CREATE TABLE ${quoteName(name)} AS SELECT 0 AS ${EPOCH_COLUMN}, ${columnList} FROM ${quoteName(from)} WHERE false`,
      );
      return name;
    }
    if (columns.join() === wanted.join()) return name;
  }
}
