/**
 * The tables of a move as one object sees them: where each row comes from, where it goes, and under which name it is stored there.
 *
 * Built from the move's record and the user's schema on every call, so that nothing but SQLite survives a crash.
 */
import { type Key, keyFromSql } from "../core/key.ts";
import { type Layout, type Partitioners, createOwnerLookup, directoryMember } from "../core/layout.ts";
import type { Moving } from "./membership.ts";
import { primaryKeyCells } from "./row-codec.ts";
import { STAGE_PREFIX } from "./schema.ts";
import { type Sql, type SqlValue, quoteName, textOf } from "./storage.ts";
import { type Table, idExpression, keyExpression, leadingTable } from "./tables.ts";

/** The private table that stands in for a shift's live tables until its wave comes. */
export function stageName(table: string): string {
  return `${STAGE_PREFIX}${table}`;
}

/** One table of a move. */
export interface MoveTable {
  readonly table: Table;
  /** The table on the target that takes the rows. */
  readonly store: string;
  /** SQL for the value that decides the row's owner under the target layout, for a row under `alias`. */
  routeSql(alias: string): string;
  /** SQL for the value that decides the row's owner under the source layout; null when that layout does not route by key. */
  originSql(alias: string): string | null;
  /** The target of a row, from the value of `routeSql`. */
  ownerOf(key: Key): string;
  /** False for rows that carry no shard key of their own: followers and directory entries. */
  readonly needsKey: boolean;
}

export interface MovePlan {
  readonly moving: Moving;
  /** Followed tables before their followers; the roundRobin directory last. */
  readonly tables: readonly MoveTable[];
  /** Every member that may receive rows. A member of both layouts is among them, and keeps what it owns. */
  readonly targets: readonly string[];
  /** Where a key's row is before the move; null when the key does not say so. */
  readonly originOf: ((key: Key) => string) | null;
}

/** The directory of a roundRobin layout as a table that moves like any other. */
const DIRECTORY_TABLE: Table = {
  name: "shardctl_dealt",
  columns: ["table_name", "id", "owner"],
  primaryKey: ["table_name", "id"],
  followed: null,
  shardKeys: {},
  hasConstraints: false,
};

export function buildMovePlan(sql: Sql, moving: Moving, tables: readonly Table[], partitioners: Partitioners): MovePlan {
  const { from, to } = moving;
  const routesByKey = from.kind !== "roundRobin" && from.kind !== "none";
  const store = (name: string): string => (moving.mode === "shift" ? stageName(name) : name);
  const owner = to.kind === "roundRobin" ? null : lazyLookup(to, partitioners);
  const dealer = createDealer(sql, to);
  const moveTables = tables.map((table): MoveTable => ({
    table,
    store: store(table.name),
    routeSql: (alias) => routeExpression(to, table, alias),
    originSql: (alias) => (routesByKey ? keyExpression(table, from.shardKey, alias) : null),
    ownerOf: owner ?? ((id) => dealer(table, id)),
    needsKey: table.followed === null && to.kind !== "none" && to.kind !== "roundRobin",
  }));
  if (to.kind === "roundRobin") moveTables.push(directoryOf(to));
  return {
    moving,
    tables: moveTables,
    targets: to.members,
    originOf: routesByKey ? lazyLookup(from, partitioners) : null,
  };
}

/** A lookup that is made when the first key is looked up: a target asks for none. */
function lazyLookup(layout: Layout, partitioners: Partitioners): (key: Key) => string {
  let lookup: ((key: Key) => string) | undefined;
  return (key) => (lookup ??= createOwnerLookup(layout, partitioners))(key);
}

/** A key as one column: a letter for the storage class, then the exact text. Evaluates the expression as seldom as can be. */
export function keyColumn(expression: string, name: string): string {
  return `CASE typeof(${expression}) WHEN 'text' THEN 't' || ${expression} WHEN 'integer' THEN 'i' || ${expression}
    WHEN 'real' THEN 'r' || printf('%!.17g', ${expression}) WHEN 'blob' THEN 'b' || hex(${expression}) ELSE 'n' END AS ${name}`;
}

/** Reads a `keyColumn`. */
export function keyOf(column: SqlValue | undefined): Key {
  const text = textOf(column);
  return keyFromSql(CLASS_OF_LETTER[text.slice(0, 1)] ?? "null", text.slice(1));
}

const CLASS_OF_LETTER: Readonly<Record<string, string>> = { t: "text", i: "integer", r: "real", b: "blob" };

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

function directoryOf(to: Layout & { kind: "roundRobin" }): MoveTable {
  return {
    table: DIRECTORY_TABLE,
    store: "shardctl_directory",
    routeSql: (alias) => `${alias}.${quoteName("id")}`,
    originSql: () => null,
    ownerOf: (id) => directoryMember(to, id.text),
    needsKey: false,
  };
}

/**
 * Deals the next owner in turn to a row that has none, and remembers it: the same row asked for again, also after a crash, has the same
 * owner. Followers of a row that does not exist go to the first member, the owner of the empty key.
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
    if (known) return known.owner;
    if (leading !== table && !rowExists(sql, leading, id)) return to.members[0] ?? "";
    turn ??= sql.first<{ n: number }>("SELECT count(*) AS n FROM shardctl_dealt")?.n ?? 0;
    const owner = to.members[turn++ % to.members.length] ?? "";
    sql.run("INSERT INTO shardctl_dealt (table_name, id, owner) VALUES (?, ?, ?)", leading.name, id.text, owner);
    // Once the walk has reached the directory, a new entry is a change like any other.
    sql.run(
      `INSERT INTO shardctl_captured (table_name, pk, is_moved) SELECT 'shardctl_dealt', json_array(?1, ?2, NULL), 0
       WHERE EXISTS (SELECT 1 FROM shardctl_walk WHERE step = 'copy' AND table_name = 'shardctl_dealt')`,
      leading.name,
      id.text,
    );
    return owner;
  };
}

/**
 * Forgets the owner that was dealt to a row which is gone, as a change like any other: the row may stand on another source by now, under
 * another key, and two owners of one id would be taken for two rows.
 */
export function forgetDealt(sql: Sql, { to }: Moving, table: Table, pk: string): void {
  if (to.kind !== "roundRobin" || table.followed !== null || table === DIRECTORY_TABLE) return;
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

function rowExists(sql: Sql, table: Table, id: Key): boolean {
  const column = quoteName(table.primaryKey[0] ?? "");
  return sql.first(`SELECT 1 AS found FROM ${quoteName(table.name)} WHERE CAST(${column} AS TEXT) = ?`, id.text) !== undefined;
}
