/**
 * Sets aside the copies at a target whose source has lost its storage: they may be the last ones.
 *
 * An operation that ends before its cutover deletes what came to its targets, since every source
 * still has its rows. That does not hold for a source that has lost its storage. Copies that a wave
 * has made live are the member's own, and stay.
 */
import type { MoveRange } from "../../model/layout/move-range.ts";
import type { TableRows } from "../protocol/replies.ts";
import { rowJson } from "../storage/row-codec.ts";
import { readMeta, writeMeta } from "../storage/schema.ts";
import { PRIVATE_PREFIX } from "../storage/private-names.ts";
import { type Sql, type SqlValue, quoteName, textOf } from "../storage/storage.ts";
import { type Table, tableNow } from "../storage/tables.ts";
import { type MovePlan, type MoveTable, keyColumn, keyOf } from "./move-plan.ts";
import { withinRange } from "./position.ts";
import { setRowsAside } from "./stray-rows.ts";

export interface LostCopies {
  readonly plan: MovePlan;
  /** The sources that have lost their storage. */
  readonly lost: readonly string[];
  /** Ranges that waves of this operation have made this member's own (shift). */
  readonly own: readonly MoveRange[];
}

/** Counts those copies by table; tables without any are left out. */
export function countLostCopies(sql: Sql, copies: LostCopies): TableRows[] {
  return lostKeys(sql, copies).map(({ table, keys }) => ({
    table: table.table.name,
    rows: keys.length,
  }));
}

/**
 * Sets those copies aside, and gives their number by table. Call inside a transaction, with foreign
 * keys off, and with nothing promoted.
 */
export function setLostCopiesAside(sql: Sql, copies: LostCopies, epoch: number): TableRows[] {
  return lostKeys(sql, copies)
    .toReversed()
    .map(({ table: { table, store }, keys }) => {
      setRowsAside(sql, { table, from: store, keys }, epoch);
      return { table: table.name, rows: keys.length };
    });
}

/**
 * Keeps what a message has set aside on this object: the answer that says so may be lost. `message`
 * tells it from any other.
 */
export function noteAside(sql: Sql, message: string, setAside: readonly TableRows[]): void {
  if (setAside.length > 0) writeMeta(sql, ASIDE, { message, setAside });
}

/** Returns what that message has set aside here when it came before. */
export function notedAside(sql: Sql, message: string): readonly TableRows[] {
  const noted = readMeta<{
    readonly message: string;
    readonly setAside: readonly TableRows[];
  }>(sql, ASIDE);
  return noted?.message === message ? noted.setAside : [];
}

const ASIDE = "aside";

/** The primary keys of those copies as JSON arrays, by table: followers are found by their rows. */
function lostKeys(
  sql: Sql,
  { plan, lost, own }: LostCopies,
): { readonly table: MoveTable; readonly keys: readonly string[] }[] {
  const { from, mode } = plan.moving;
  if (!from.members.some((source) => lost.includes(source))) return [];
  const tables = plan.tables.filter(
    ({ table, store }) => isUsers(table.name) && isThere(sql, store),
  );
  const found = tables.map((table) => {
    if (mode === "shift") return { table, keys: stagedFrom(sql, { plan, lost, own }, table) };
    const now = { ...table, table: tableNow(sql, table.table) };
    return { table: now, keys: storedFrom(sql, { plan, lost, own }, table, now.table) };
  });
  return found.filter(({ keys }) => keys.length > 0);
}

function stagedFrom(sql: Sql, { lost, own }: LostCopies, { table, store }: MoveTable): string[] {
  const ranges = own.map(withinRange);
  const isOwn = ranges.map((range) => ` AND NOT (${range.sql})`).join("");
  const bindings: SqlValue[] = ranges.flatMap((range) => range.bindings);
  const query = `SELECT ${rowJson(table.primaryKey, "t")} AS pk FROM ${quoteName(store)} AS t WHERE t.shardctl_source IN (SELECT value FROM json_each(?))${isOwn}`;
  return Array.from(sql.stream(query, JSON.stringify(lost), ...bindings), ({ pk }) => textOf(pk));
}

/**
 * Of a swap, in the live table as it is `now`. A row whose source nothing tells counts as one of a
 * lost source: so do all of a table that has another key by now, or lacks a column.
 */
function storedFrom(
  sql: Sql,
  { plan, lost }: LostCopies,
  moveTable: MoveTable,
  now: Table,
): string[] {
  const { table, store } = moveTable;
  const [only, ...others] = plan.moving.from.members;
  const key = rowJson(now.primaryKey, "t");
  const isSame = isAsMoved(sql, table) && now.primaryKey.join() === table.primaryKey.join();
  const origin = isSame ? moveTable.originSql("t") : null;
  const columns = [
    `${key} AS pk`,
    `(SELECT o.source FROM shardctl_origin AS o WHERE o.table_name = ?1 AND o.pk = ${key}) AS source`,
    ...(origin === null ? [] : [keyColumn(origin, "origin")]),
  ];
  const sourceOf = (row: Readonly<Record<string, SqlValue>>): string | null => {
    if (others.length === 0) return only ?? null;
    if (!isSame) return null;
    if (row["source"] !== null) return textOf(row["source"]);
    return plan.originOf && "origin" in row ? plan.originOf(keyOf(row["origin"])) : null;
  };
  const keys: string[] = [];
  for (const row of sql.stream(
    `SELECT ${columns.join(", ")} FROM ${quoteName(store)} AS t`,
    table.name,
  )) {
    const source = sourceOf(row);
    if (source === null || lost.includes(source)) keys.push(textOf(row["pk"]));
  }
  return keys;
}

/** True when a table, and those that it follows, have all columns that they were moved with. */
function isAsMoved(sql: Sql, table: Table): boolean {
  const { columns } = tableNow(sql, table);
  const hasAll = table.columns.every((column) => columns.includes(column));
  return hasAll && (table.followed === null || isAsMoved(sql, table.followed.table));
}

function isUsers(name: string): boolean {
  return !name.startsWith(PRIVATE_PREFIX);
}

/** A target that was restored, or whose class has dropped the table, may lack it. */
function isThere(sql: Sql, name: string): boolean {
  return (
    sql.first("SELECT 1 AS found FROM sqlite_master WHERE type = 'table' AND name = ?", name) !==
    undefined
  );
}
