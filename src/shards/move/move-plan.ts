/**
 * The tables of a move as one object sees them: where each row comes from, where it goes, and under
 * which name it is stored there.
 *
 * Built from the move's record and the user's schema on every call, so that nothing but SQLite
 * survives a crash.
 */
import { type Key, keyFromSql } from "../../model/layout/key.ts";
import {
  type KeyedDirectoryLayout,
  directoryMember,
  hasDirectory,
  hasKeyedDirectory,
} from "../../model/layout/directory.ts";
import type { Layout, RoundRobinLayout } from "../../model/layout/layout.ts";
import { createOwnerLookup } from "../../model/layout/owner-lookup.ts";
import type { Partitioners } from "../../model/layout/partitioners.ts";
import { idMatches } from "../storage/row-id.ts";
import type { Moving } from "./moving.ts";
import { alikeRows, refuseAlike } from "./alike-ids.ts";
import { primaryKeyCells } from "../storage/row-codec.ts";
import { EngineFault } from "../storage/faults.ts";
import { STAGE_PREFIX } from "../storage/private-names.ts";
import { type Sql, type SqlValue, quoteName, textOf } from "../storage/storage.ts";
import { type Table, idExpression, keyExpression, leadingTable } from "../storage/tables.ts";

/** The private table that stands in for a shift's live tables until its wave comes. */
export function stageName(table: string): string {
  return `${STAGE_PREFIX}${table}`;
}

/** One table of a move. */
export interface MoveTable {
  readonly table: Table;
  /** The table on the target that takes the rows. */
  readonly store: string;
  /**
   * SQL for the value that decides the row's owner under the target layout, for a row under
   * `alias`.
   */
  routeSql(alias: string): string;
  /**
   * SQL for the value that decides the row's owner under the source layout; null when that layout
   * does not route by key.
   */
  originSql(alias: string): string | null;
  /** The target of a row, from the value of `routeSql`. */
  ownerOf(key: Key): string;
  /**
   * Keeps what the directory will say of a row, from its primary key and its shard key, where one
   * is made.
   */
  enter(pk: string, key: Key): void;
  /** False for rows that carry no shard key of their own: followers and directory entries. */
  readonly needsKey: boolean;
}

export interface MovePlan {
  readonly moving: Moving;
  /** Followed tables before their followers; the directory last. */
  readonly tables: readonly MoveTable[];
  /**
   * Every member that may receive rows. A member of both layouts is among them, and keeps what it
   * owns.
   */
  readonly targets: readonly string[];
  /** Where a key's row is before the move; null when the key does not say so. */
  readonly originOf: ((key: Key) => string) | null;
}

/**
 * The directory as a table that moves like any other. A swap makes it anew from the rows: what a
 * source will say of its own stands in `shardctl_dealt` until it goes to the targets' directories.
 * A shift moves the entries themselves, by the slot of the id.
 */
const DEALT_TABLE: Table = {
  name: "shardctl_dealt",
  columns: ["table_name", "id", "owner"],
  primaryKey: ["table_name", "id"],
  followed: null,
  shardKeys: {},
  hasConstraints: false,
  hasLikeKeys: false,
};

/**
 * The private tables that a source captures and moves beside the user's: the live directory, in a
 * shift.
 */
export function movedDirectories({ mode, to }: Pick<Moving, "mode" | "to">): Table[] {
  if (mode !== "shift" || !hasKeyedDirectory(to)) return [];
  return [{ ...DEALT_TABLE, name: "shardctl_directory", shardKeys: { [to.shardKey]: "id" } }];
}

export function buildMovePlan(
  sql: Sql,
  moving: Moving,
  declared: readonly Table[],
  partitioners: Partitioners,
): MovePlan {
  const { from, to } = moving;
  const routesByKey = from.kind !== "roundRobin" && from.kind !== "none";
  const store = (name: string): string => (moving.mode === "shift" ? stageName(name) : name);
  const owner = to.kind === "roundRobin" ? null : lazyLookup(to, partitioners);
  const dealer = createDealer(sql, to);
  const makesDirectory = moving.mode === "swap" && hasKeyedDirectory(to);
  const tables = [...declared, ...movedDirectories(moving)];
  const moveTables = tables.map((table): MoveTable => ({
    table,
    store: store(table.name),
    routeSql: (alias) => routeExpression(to, table, alias),
    originSql: (alias) => (routesByKey ? keyExpression(table, from.shardKey, alias) : null),
    ownerOf: owner ?? ((id) => dealer(table, id)),
    enter:
      makesDirectory && table.followed === null
        ? (pk, key) => enterKey(sql, table, pk, key)
        : enterNothing,
    needsKey:
      table.followed === null &&
      declared.includes(table) &&
      to.kind !== "none" &&
      to.kind !== "roundRobin",
  }));
  if (to.kind === "roundRobin" || makesDirectory) moveTables.push(directoryOf(to));
  return {
    moving,
    tables: moveTables,
    targets: to.members,
    originOf: routesByKey ? lazyLookup(from, partitioners) : null,
  };
}

/** The table of that name. @throws EngineFault when the move has none. */
export function tableOf(plan: MovePlan, name: string): MoveTable {
  const found = plan.tables.find(({ table }) => table.name === name);
  if (!found)
    throw new EngineFault(
      "schema",
      `Table '${name}' is not declared here: the objects of a namespace must run the same class`,
    );
  return found;
}

/** A lookup that is made when the first key is looked up: a target asks for none. */
function lazyLookup(layout: Layout, partitioners: Partitioners): (key: Key) => string {
  let lookup: ((key: Key) => string) | undefined;
  return (key) => (lookup ??= createOwnerLookup(layout, partitioners))(key);
}

/**
 * A key as one column: a letter for the storage class, then the exact text. Evaluates the
 * expression as seldom as can be.
 */
export function keyColumn(expression: string, name: string): string {
  return `CASE typeof(${expression}) WHEN 'text' THEN 't' || ${expression} WHEN 'integer' THEN 'i' || ${expression}
    WHEN 'real' THEN 'r' || printf('%!.17g', ${expression}) WHEN 'blob' THEN 'b' || hex(${expression}) ELSE 'n' END AS ${name}`;
}

/** Reads a `keyColumn`. */
export function keyOf(column: SqlValue | undefined): Key {
  const text = textOf(column);
  return keyFromSql(CLASS_OF_LETTER[text.slice(0, 1)] ?? "null", text.slice(1));
}

const CLASS_OF_LETTER: Readonly<Record<string, string>> = {
  t: "text",
  i: "integer",
  r: "real",
  b: "blob",
};

function routeExpression(to: Layout, table: Table, alias: string): string {
  switch (to.kind) {
    case "none":
      return "NULL";
    case "roundRobin":
      return idExpression(table, alias);
    default:
      return keyExpression(table, to.shardKey, alias);
  }
}

/** A key as the directory stores it: what `keyColumn` gives for the value of a row. */
export function directoryText({ type, text }: Key): string {
  return `${type === "null" ? "n" : type.slice(0, 1)}${text}`;
}

function directoryOf(to: RoundRobinLayout | KeyedDirectoryLayout): MoveTable {
  return {
    table: DEALT_TABLE,
    store: "shardctl_directory",
    routeSql: (alias) => `${alias}.${quoteName("id")}`,
    originSql: () => null,
    ownerOf: (id) => directoryMember(to, id.text),
    enter: enterNothing,
    needsKey: false,
  };
}

/**
 * Deals the next owner in turn to a row that has none, and remembers it: the same row asked for
 * again, also after a crash, has the same owner. Followers of a row that does not exist go to the
 * first member, the owner of the empty key.
 */
function createDealer(sql: Sql, to: Layout): (table: Table, id: Key) => string {
  let turn: number | undefined;
  return (table, id) => {
    const leading = leadingTable(table);
    const known = sql.first<{ owner: string }>(
      "SELECT owner FROM shardctl_dealt WHERE table_name = ? AND id = ?",
      leading.name,
      id.text,
    );
    // Rows of several columns are told apart by more than the id that they are dealt by.
    if (leading === table && table.primaryKey.length === 1) refuseAlike(sql, table, id.text);
    if (known) return known.owner;
    if (leading !== table && !rowExists(sql, leading, id)) return to.members[0] ?? "";
    turn ??= sql.first<{ n: number }>("SELECT count(*) AS n FROM shardctl_dealt")?.n ?? 0;
    const owner = to.members[turn++ % to.members.length] ?? "";
    sql.run(
      "INSERT INTO shardctl_dealt (table_name, id, owner) VALUES (?, ?, ?)",
      leading.name,
      id.text,
      owner,
    );
    captureDealt(sql, leading, id.text);
    return owner;
  };
}

/**
 * Remembers the key of a row for the directory that is being made; a key that has changed is
 * remembered anew.
 */
function enterKey(sql: Sql, table: Table, pk: string, key: Key): void {
  const id = `CAST(${primaryKeyCells(table, "?2")[0] ?? "NULL"} AS TEXT)`;
  const changed = sql.first<{ id: string; rows: number }>(
    `INSERT INTO shardctl_dealt (table_name, id, owner) VALUES (?1, ${id}, ?3)
     ON CONFLICT (table_name, id) DO UPDATE SET owner = excluded.owner WHERE owner <> excluded.owner RETURNING id, ${alikeRows(table, id)} AS rows`,
    table.name,
    pk,
    directoryText(key),
  );
  if (changed) captureDealt(sql, table, changed.id);
  if (changed?.rows === 1) return;
  // An entry that stays as it is was made by this row before, or by one that reads the same.
  const stored =
    changed ?? sql.first<{ id: string }>(`SELECT ${id.replaceAll("?2", "?1")} AS id`, pk);
  if (stored) refuseAlike(sql, table, stored.id);
}

function enterNothing(): void {
  // No directory is made, or the row stands in none: it follows another.
}

/** Once the walk has reached the directory, a new entry is a change like any other. */
function captureDealt(sql: Sql, table: Table, id: string): void {
  sql.run(
    `INSERT INTO shardctl_captured (table_name, pk, is_moved) SELECT 'shardctl_dealt', json_array(?1, ?2, NULL), 0
     WHERE EXISTS (SELECT 1 FROM shardctl_walk WHERE step = 'copy' AND table_name = 'shardctl_dealt')`,
    table.name,
    id,
  );
}

/**
 * Forgets what the directory was to say of a row which is gone, as a change like any other: the row
 * may stand on another source by now, under another key, and two owners of one id would be taken
 * for two rows.
 */
export function forgetDealt(sql: Sql, { to, mode }: Moving, table: Table, pk: string): void {
  if (mode !== "swap" || !hasDirectory(to) || table.followed !== null || table === DEALT_TABLE)
    return;
  const id = `CAST(${primaryKeyCells(table, "?2")[0] ?? "NULL"} AS TEXT)`;
  const gone = sql.rows<{ id: string }>(
    `DELETE FROM shardctl_dealt WHERE table_name = ?1 AND id = ${id} RETURNING id`,
    table.name,
    pk,
  );
  for (const dealt of gone)
    sql.run(
      "INSERT INTO shardctl_captured (table_name, pk, is_moved) VALUES ('shardctl_dealt', json_array(?1, ?2, NULL), 1)",
      table.name,
      dealt.id,
    );
}

/**
 * The same for every row that a table has lost unseen: one that a migration rebuilds has no capture
 * meanwhile.
 */
export function forgetLost(sql: Sql, { to, mode }: Moving, table: Table): void {
  if (mode !== "swap" || !hasDirectory(to) || table.followed !== null) return;
  const isLost = `table_name = ?1 AND NOT EXISTS (SELECT 1 FROM ${quoteName(table.name)} AS t WHERE ${idMatches(table, "t", "shardctl_dealt.id")})`;
  sql.run(
    `INSERT INTO shardctl_captured (table_name, pk, is_moved)
     SELECT 'shardctl_dealt', json_array(table_name, id, NULL), 1 FROM shardctl_dealt WHERE ${isLost}`,
    table.name,
  );
  sql.run(`DELETE FROM shardctl_dealt WHERE ${isLost}`, table.name);
}

function rowExists(sql: Sql, table: Table, id: Key): boolean {
  return (
    sql.first(
      `SELECT 1 AS found FROM ${quoteName(table.name)} AS t WHERE ${idMatches(table, "t", "?1")}`,
      id.text,
    ) !== undefined
  );
}
