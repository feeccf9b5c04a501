/**
 * The staging tables of a shift: made and dropped, cut into waves, and read by page for the source
 * that deletes what was staged.
 *
 * Nothing here writes a row: `store-rows.ts` stages them, `promote.ts` makes them live.
 */
import type { MoveRange } from "../../model/layout/move-range.ts";
import type { Message } from "../protocol/messages.ts";
import type { ChunksReply, StagedKeysReply } from "../protocol/replies.ts";
import { type MovePlan, type MoveTable, tableOf } from "./move-plan.ts";
import { type StagedPosition, rangeBetween, withinRange } from "./position.ts";
import {
  exactText,
  isTooBig,
  primaryKeyAfter,
  primaryKeyOrder,
  rowBytes,
  rowJson,
} from "../storage/row-codec.ts";
import { refused } from "../protocol/refused-error.ts";
import { POSITION_PREFIX } from "../storage/private-names.ts";
import { type Sql, type SqlRow, quoteName, unionAll } from "../storage/storage.ts";
import { columnRules, existingTables, primaryKeyDefinition } from "../storage/tables.ts";

export type StagedKeysRequest = Pick<Message<"stagedKeys">, "table" | "source" | "range" | "after">;

const STAGED_KEYS_MAX = 5000;
/** Of the keys as one text: below the limit of 2 MB for what a statement is given. */
const STAGED_KEYS_BYTES_MAX = 1_500_000;

/**
 * Creates the staging tables of a shift, empty. Columns have the affinities and the NOT NULL of the
 * live table's: a value that would be stored as another, or not at all, is found before the
 * cutover, not when its row is to become live. Call inside a transaction.
 */
export function createStaging(sql: Sql, plan: MovePlan): void {
  for (const table of plan.tables) createStagingOf(sql, table);
}

/** The same for one table, whatever was staged for it before. */
export function createStagingOf(sql: Sql, { table, store }: MoveTable): void {
  dropTable(sql, store);
  if (existingTables(sql, [store]).length > 0)
    throw refused("moving", `A cursor that is still open keeps ${store} from being made again`);
  const rules = columnRules(sql, table.name);
  const columns = table.columns
    .map((column) => `${quoteName(column)} ${rules.get(column) ?? ""}`)
    .join(", ");
  const key = primaryKeyDefinition(sql, table);
  sql.run(
    `CREATE TABLE IF NOT EXISTS ${quoteName(store)} (${columns}, shardctl_class, shardctl_position, shardctl_source TEXT, PRIMARY KEY (${key})) WITHOUT ROWID`,
  );
  sql.run(
    `CREATE INDEX IF NOT EXISTS ${quoteName(`${POSITION_PREFIX}${table.name}`)} ON ${quoteName(store)} (shardctl_class, shardctl_position)`,
  );
}

export function dropStaging(sql: Sql, plan: MovePlan): void {
  if (plan.moving.mode !== "shift") return;
  for (const { store } of plan.tables) dropTable(sql, store);
}

/**
 * Deletes what is staged for the ranges; gives how many rows that were. Call inside a transaction.
 */
export function dropStaged(sql: Sql, plan: MovePlan, ranges: readonly MoveRange[]): number {
  let rows = 0;
  for (const { store } of plan.tables) {
    for (const range of ranges) {
      const within = withinRange(range);
      sql.run(`DELETE FROM ${quoteName(store)} WHERE ${within.sql}`, ...within.bindings);
      rows += sql.first<{ n: number }>("SELECT changes() AS n")?.n ?? 0;
    }
  }
  return rows;
}

/**
 * A cursor that somebody left open keeps SQLite from dropping any table until it is collected: the
 * rows go in any case.
 */
function dropTable(sql: Sql, name: string): void {
  if (
    sql.first("SELECT 1 AS found FROM sqlite_master WHERE type = 'table' AND name = ?", name) ===
    undefined
  )
    return;
  try {
    sql.transaction(() => sql.run(`DROP TABLE ${quoteName(name)}`));
  } catch {
    sql.run(`DELETE FROM ${quoteName(name)}`);
  }
}

/**
 * Cuts the staged rows into pieces of at most `waveRowsMax` rows, never through a single position.
 */
export function stagedChunks(sql: Sql, plan: MovePlan, waveRowsMax: number): ChunksReply["chunks"] {
  const union = unionAll(
    plan.tables.map(
      ({ store }) => `SELECT shardctl_class AS c, shardctl_position AS p FROM ${quoteName(store)}`,
    ),
  );
  const query = `SELECT c AS class, typeof(p) AS type, ${exactText("p")} AS text, count(*) AS n FROM (${union}) GROUP BY c, p ORDER BY c, p`;
  const starts: { at: StagedPosition | undefined; rows: number }[] = [{ at: undefined, rows: 0 }];
  for (const row of sql.stream<{ class: number; type: string; text: string; n: number }>(query)) {
    const current = starts.at(-1);
    if (!current) break;
    if (current.rows > 0 && current.rows + row.n > waveRowsMax)
      starts.push({ at: row, rows: row.n });
    else current.rows += row.n;
  }
  return starts.map(({ at, rows }, index) => ({
    range: rangeBetween(plan.moving.to, at, starts[index + 1]?.at),
    rows,
  }));
}

/**
 * A page of the primary keys that a source staged in a range: what the source deletes once they are
 * live here, in one statement.
 */
export function stagedKeys(
  sql: Sql,
  plan: MovePlan,
  { table: name, source, range, after }: StagedKeysRequest,
): StagedKeysReply {
  const { table, store } = tableOf(plan, name);
  const within = withinRange(range);
  const cursor = after === null ? "?2 IS NULL" : primaryKeyAfter(table, "t", "?2");
  const select = (columns: string, rowsMax: number): string =>
    `SELECT ${columns} FROM ${quoteName(store)} AS t WHERE t.shardctl_source = ?1 AND ${cursor} AND ${within.sql} ORDER BY ${primaryKeyOrder(table, "t")} LIMIT ${rowsMax}`;
  const first = <Row extends SqlRow>(query: string): Row | undefined =>
    sql.first<Row>(query, source, after, ...within.bindings);
  // By what the keys take as they are stored; as JSON they may take more.
  const sizes = select(`${rowBytes(table.primaryKey, "t")} AS n`, STAGED_KEYS_MAX);
  const bytes =
    first<{ bytes: number | null }>(`SELECT sum(n) AS bytes FROM (${sizes})`)?.bytes ?? 0;
  let rowsMax = Math.max(
    1,
    Math.floor(STAGED_KEYS_MAX * Math.min(1, (0.8 * STAGED_KEYS_BYTES_MAX) / Math.max(1, bytes))),
  );
  for (; ; rowsMax = Math.ceil(rowsMax / 4)) {
    const keys = select(`${rowJson(table.primaryKey, "t")} AS pk`, rowsMax);
    const page = unlessTooBig(() =>
      first<KeysPage>(
        `SELECT keys, n, octet_length(keys) AS bytes FROM (SELECT '[' || coalesce(group_concat(pk, ','), '') || ']' AS keys, count(*) AS n FROM (${keys}))`,
      ),
    );
    if (rowsMax > 1 && (!page || page.bytes > STAGED_KEYS_BYTES_MAX)) continue;
    if (!page) throw new Error(`A primary key of table '${name}' is longer than a text can be`);
    return { keys: page.keys, after: page.n < rowsMax ? null : lastOf(sql, page.keys) };
  }
}

interface KeysPage extends SqlRow {
  keys: string;
  n: number;
  bytes: number;
}

/** The last key of an array of keys, taken by SQLite: no value passes through JavaScript. */
function lastOf(sql: Sql, keys: string): string | null {
  return (
    sql.first<{ last: string | null }>("SELECT json_extract(?, '$[#-1]') AS last", keys)?.last ??
    null
  );
}

/** Null when a text would have been longer than SQLite allows. */
function unlessTooBig<Value>(read: () => Value): Value | null {
  try {
    return read();
  } catch (error) {
    if (isTooBig(error)) return null;
    throw error;
  }
}
