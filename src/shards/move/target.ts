/**
 * A target's part of a move: take rows, answer checks, tell how the staged rows can be cut into waves.
 *
 * Rule "no-late-rows": a target takes rows only while its part of the operation runs, and from each source only with a number above the
 * last one. In a swap the rows go straight into the live tables, which nobody is routed to yet; in a shift into staging tables.
 *
 * Several sources may send the same primary key. Whose row it is, the staging table says, or the row's own shard key under the old
 * layout, or the table of origins where the key does not say it; a second source's row is reported, never stored over the first.
 */
import type { MoveRange } from "../../core/move-range.ts";
import { EngineFault, messageOf } from "../storage/faults.ts";
import { checkForeignKeys } from "./foreign-keys.ts";
import { withoutTriggers } from "./guards.ts";
import { noteLate } from "./late-rows.ts";
import type { CheckPart, ChunksReply, ReceiveReply, RowsPart, StagedKeysReply } from "../protocol/messages.ts";
import { type MovePlan, type MoveTable, keyColumn, keyOf } from "./move-plan.ts";
import { rowsText, storedText } from "./read-back.ts";
import { RefusedError } from "../protocol/refused-error.ts";
import { type StagedPosition, rangeBetween, withinRange } from "./position.ts";
import {
  cellBinding,
  exactText,
  isTooBig,
  jsonCell,
  primaryKeyAfter,
  primaryKeyMatches,
  primaryKeyOrder,
  rowBytes,
  rowJson,
} from "../storage/row-codec.ts";
import { POSITION_PREFIX } from "../storage/schema.ts";
import { type Runtime, type Sql, type SqlRow, quoteName, textOf, unionAll } from "../storage/storage.ts";
import { type Table, columnRules, primaryKeyDefinition } from "../storage/tables.ts";

/**
 * Applies one message of rows. Idempotent: a message that is not newer than the last one of its source changes nothing. Rows that
 * `repairs` brings displace no other row. @throws EngineFault when they would.
 */
export function receiveRows(
  sql: Sql,
  plan: MovePlan,
  source: string,
  sequence: number,
  parts: readonly RowsPart[],
  repairs = false,
): Received {
  const tables = parts.map((part) => ({ part, table: sameTable(plan, part, source) }));
  return sql.transaction(() => {
    const last =
      sql.first<{ sequence: number }>("SELECT sequence FROM shardctl_received WHERE source = ?", source)?.sequence ?? 0;
    const findDuplicates = (): string[] =>
      tables.flatMap(({ part, table }) => foreignKeysOf(sql, plan, table, part.keys, source));
    const answer = (duplicates: string[]): Received => {
      if (duplicates.length > 0) return { duplicates, texts: [], unsettled: [] };
      return { duplicates, ...readBack(sql, plan, tables, source) };
    };
    if (sequence === last) return answer(findDuplicates()); // delivered twice
    // Rule "captured-until-stored": an older page is never acknowledged.
    if (sequence < last)
      throw new RefusedError({
        kind: "staleEpoch",
        message: `Page ${sequence} of ${source} came after page ${last}`,
        retryable: true,
      });
    sql.run(
      "INSERT INTO shardctl_received (source, sequence) VALUES (?1, ?2) ON CONFLICT (source) DO UPDATE SET sequence = ?2",
      source,
      sequence,
    );
    noteLate(sql, plan, tables);
    const stores = tables.map(({ table }) => table.store);
    const duplicates = withoutTriggers(sql, stores, () => {
      // What is gone goes in any case: two sources may be waiting for each other's word, when rows have changed places.
      for (const { part, table } of tables.toReversed()) deleteAbsent(sql, plan, table, part, source);
      const found = findDuplicates();
      if (found.length === 0) for (const { part, table } of tables) upsertRows(sql, plan, table, part, source, repairs);
      return found;
    });
    return answer(duplicates);
  });
}

/** What was stored, before it is hashed: the text of each part's rows. */
export type Received = Omit<ReceiveReply, "digests"> & { readonly texts: readonly (string | ArrayBuffer)[] };

/** Hashes what was read back: the source compares it with what it has read. */
export async function digestReceived({ duplicates, texts, unsettled }: Received, runtime: Runtime): Promise<ReceiveReply> {
  return { duplicates, digests: await Promise.all(texts.map((text) => runtime.digest(text))), unsettled };
}

/** Reads the rows of the parts as they are stored now. Rows that should be gone and are not make a text that matches nothing. */
function readBack(
  sql: Sql,
  plan: MovePlan,
  tables: readonly { readonly part: RowsPart; readonly table: MoveTable }[],
  source: string,
): Pick<Received, "texts" | "unsettled"> {
  const texts = tables.map(({ part, table }) => {
    const isGone = part.absentCount === 0 || ownKeys(sql, plan, table, part.absent, source) === "[]";
    return isGone ? storedText(sql, plan, table, part) : "rows that should be gone";
  });
  // Rows replace each other by the unique values of a live table, which a staging table has not, and by keys that are alike here.
  const isUnsettled = ({ table }: MoveTable): boolean =>
    table.hasLikeKeys || (plan.moving.mode === "swap" && table.hasConstraints);
  return { texts, unsettled: tables.filter(({ table }) => isUnsettled(table)).map(({ part }) => part.table) };
}

/** Compares with the source's rows: index of the first part that differs, or -1. */
export async function checkRows(
  sql: Sql,
  plan: MovePlan,
  source: string,
  parts: readonly CheckPart[],
  runtime: Runtime,
): Promise<number> {
  const texts = parts.map((part) => {
    const table = tableOf(plan, part.table);
    return { text: rowsText(sql, table, part.keys), hasAbsent: ownKeys(sql, plan, table, part.absent, source) !== "[]" };
  });
  for (const [index, { text, hasAbsent }] of texts.entries()) {
    if (hasAbsent || (await runtime.digest(text)) !== parts[index]?.digest) return index;
  }
  return -1;
}

/**
 * Creates the staging tables of a shift, empty. Columns have the affinities and the NOT NULL of the live table's: a value that would be
 * stored as another, or not at all, is found before the cutover, not when its row is to become live. Call inside a transaction.
 */
export function createStaging(sql: Sql, plan: MovePlan): void {
  dropStaging(sql, plan);
  for (const { table, store } of plan.tables) {
    const rules = columnRules(sql, table.name);
    const columns = table.columns.map((column) => `${quoteName(column)} ${rules.get(column) ?? ""}`).join(", ");
    const key = primaryKeyDefinition(sql, table);
    sql.run(
      `CREATE TABLE IF NOT EXISTS ${quoteName(store)} (${columns}, shardctl_class, shardctl_position, shardctl_source TEXT, PRIMARY KEY (${key})) WITHOUT ROWID`,
    );
    sql.run(
      `CREATE INDEX IF NOT EXISTS ${quoteName(`${POSITION_PREFIX}${table.name}`)} ON ${quoteName(store)} (shardctl_class, shardctl_position)`,
    );
  }
}

export function dropStaging(sql: Sql, plan: MovePlan): void {
  if (plan.moving.mode !== "shift") return;
  for (const { store } of plan.tables) dropTable(sql, store);
}

/** A cursor that somebody left open keeps SQLite from dropping any table until it is collected: the rows go in any case. */
function dropTable(sql: Sql, name: string): void {
  if (sql.first("SELECT 1 AS found FROM sqlite_master WHERE type = 'table' AND name = ?", name) === undefined) return;
  try {
    sql.transaction(() => sql.run(`DROP TABLE ${quoteName(name)}`));
  } catch {
    sql.run(`DELETE FROM ${quoteName(name)}`);
  }
}

/** Cuts the staged rows into pieces of at most `waveRowsMax` rows, never through a single position. */
export function stagedChunks(sql: Sql, plan: MovePlan, waveRowsMax: number): ChunksReply["chunks"] {
  const union = unionAll(
    plan.tables.map(({ store }) => `SELECT shardctl_class AS c, shardctl_position AS p FROM ${quoteName(store)}`),
  );
  const query = `SELECT c AS class, typeof(p) AS type, ${exactText("p")} AS text, count(*) AS n FROM (${union}) GROUP BY c, p ORDER BY c, p`;
  const starts: { at: StagedPosition | undefined; rows: number }[] = [{ at: undefined, rows: 0 }];
  for (const row of sql.stream<{ class: number; type: string; text: string; n: number }>(query)) {
    const current = starts.at(-1);
    if (!current) break;
    if (current.rows > 0 && current.rows + row.n > waveRowsMax) starts.push({ at: row, rows: row.n });
    else current.rows += row.n;
  }
  return starts.map(({ at, rows }, index) => ({ range: rangeBetween(plan.moving.to, at, starts[index + 1]?.at), rows }));
}

/** Tries a promotion and rolls it back, so that a row which the live tables refuse is found before cutover. @throws EngineFault */
export function rehearsePromotion(sql: Sql, plan: MovePlan, incoming: readonly MoveRange[], self: string): void {
  const tables = plan.tables.map(({ table }) => table);
  if (!tables.some((table) => table.hasConstraints || table.hasChecks)) return refuseRivals(sql, plan, incoming);
  const rolledBack = new Error("rehearsal");
  try {
    sql.transaction(() => {
      promoteRows(sql, plan, incoming);
      checkForeignKeys(sql, plan, incoming, self);
      throw rolledBack;
    });
  } catch (error) {
    if (error === rolledBack) return;
    if (error instanceof EngineFault) throw error;
    const message = messageOf(error);
    if (message.includes("UNIQUE constraint failed"))
      throw new EngineFault(
        "duplicateId",
        `Rows to be moved have values that rows which are here already have: ${message}. Nothing was changed: give each row its own, then start again`,
      );
    throw new EngineFault(
      "schema",
      `Rows to be moved do not fit the tables of ${self}: ${message}. Nothing was changed: let the tables be the same on every shard, and their rows satisfy them, then start again`,
    );
  }
}

/** Without constraints only the primary key can be in the way: that is found without writing. @throws EngineFault */
function refuseRivals(sql: Sql, plan: MovePlan, incoming: readonly MoveRange[]): void {
  for (const { table, store } of plan.tables) {
    const same = table.primaryKey.map((column) => `t.${quoteName(column)} = s.${quoteName(column)}`).join(" AND ");
    for (const range of incoming) {
      const within = withinRange(range);
      const query = `SELECT ${rowJson(table.primaryKey, "s")} AS pk FROM ${quoteName(store)} AS s CROSS JOIN ${quoteName(table.name)} AS t ON ${same} WHERE ${within.sql} LIMIT 20`;
      const rivals = sql.rows<{ pk: string }>(query, ...within.bindings).map((row) => row.pk);
      if (rivals.length === 0) continue;
      throw new EngineFault(
        "duplicateId",
        `Rows to be moved have ids that rows of '${table.name}' have here already: ${rivals.join(", ")}. Nothing was changed: give each row its own id, then start again`,
      );
    }
  }
}

/** Makes the staged rows of the ranges live. Rule "waves-apart": they stay staged. No trigger sees it, capture neither. Call inside a transaction. */
export function promoteRows(sql: Sql, plan: MovePlan, incoming: readonly MoveRange[]): void {
  if (incoming.length === 0) return;
  const tables = plan.tables.map(({ table }) => table.name);
  withoutTriggers(sql, tables, () => {
    for (const { table, store } of plan.tables) {
      const columns = table.columns.map((column) => quoteName(column)).join(", ");
      // With the table's name before them: alone, a name that is no column is taken for a text.
      const staged = table.columns.map((column) => `s.${quoteName(column)}`).join(", ");
      for (const range of incoming) {
        const within = withinRange(range);
        sql.run(
          `INSERT OR ABORT INTO ${quoteName(table.name)} (${columns}) SELECT ${staged} FROM ${quoteName(store)} AS s WHERE ${within.sql}`,
          ...within.bindings,
        );
      }
    }
  });
}

/** A page of the primary keys that a source staged in a range: what the source deletes once they are live here, in one statement. */
export function stagedKeys(
  sql: Sql,
  plan: MovePlan,
  name: string,
  source: string,
  range: MoveRange,
  after: string | null,
): StagedKeysReply {
  const { table, store } = tableOf(plan, name);
  const within = withinRange(range);
  const cursor = after === null ? "?2 IS NULL" : primaryKeyAfter(table, "t", "?2");
  const select = (columns: string, rowsMax: number): string =>
    `SELECT ${columns} FROM ${quoteName(store)} AS t WHERE t.shardctl_source = ?1 AND ${cursor} AND ${within.sql} ORDER BY ${primaryKeyOrder(table, "t")} LIMIT ${rowsMax}`;
  const first = <Row extends SqlRow>(query: string): Row | undefined => sql.first<Row>(query, source, after, ...within.bindings);
  // By what the keys take as they are stored; as JSON they may take more.
  const sizes = select(`${rowBytes(table.primaryKey, "t")} AS n`, STAGED_KEYS_MAX);
  const bytes = first<{ bytes: number | null }>(`SELECT sum(n) AS bytes FROM (${sizes})`)?.bytes ?? 0;
  let rowsMax = Math.max(1, Math.floor(STAGED_KEYS_MAX * Math.min(1, (0.8 * STAGED_KEYS_BYTES_MAX) / Math.max(1, bytes))));
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
  return sql.first<{ last: string | null }>("SELECT json_extract(?, '$[#-1]') AS last", keys)?.last ?? null;
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

/** Deletes rows by primary key, unseen by triggers. Call inside a transaction. */
export function deleteKeys(sql: Sql, name: string, table: Table, keys: string): void {
  withoutTriggers(sql, [name], () => {
    sql.run(`DELETE FROM ${quoteName(name)} AS t WHERE ${inKeys(table)}`, keys);
  });
}

/** SQL that is true for a row under `t` whose primary key is one of those bound as `?1`. */
function inKeys(table: Table): string {
  const cells = table.primaryKey.map((_, index) => jsonCell("j.value", index, 0, table.primaryKey.length, true));
  return `(${primaryKeyOrder(table, "t")}) IN (SELECT ${cells.join(", ")} FROM json_each(?1) AS j)`;
}

const STAGED_KEYS_MAX = 5000;
/** Of the keys as one text: below the limit of 2 MB for what a statement is given. */
const STAGED_KEYS_BYTES_MAX = 1_500_000;

/** The table of a part. Rows travel without the names of their columns: @throws EngineFault when they are others here. */
function sameTable(plan: MovePlan, { table: name, columns }: RowsPart, source: string): MoveTable {
  const found = tableOf(plan, name);
  const own = found.table.columns.join(", ");
  const sent = columns.join(", ");
  if (own === sent) return found;
  throw new EngineFault(
    "schema",
    `Table '${name}' has other columns on its target (${own}) than on ${source} (${sent}). Nothing was changed: let the table be the same on every shard, then start again`,
  );
}

function tableOf(plan: MovePlan, name: string): MoveTable {
  const found = plan.tables.find(({ table }) => table.name === name);
  if (!found)
    throw new EngineFault("schema", `Table '${name}' is not declared here: the objects of a namespace must run the same class`);
  return found;
}

/**
 * Stores the rows in place of what was here under their keys.
 *
 * REPLACE, not an update of the row: its key may be written another way (1 and 1.0, or letters whose case does not count).
 *
 * Another row may still hold a unique value that a new one has now. When both are from one source it is out of date, and on its way again
 * in the log: it gives way. Rows of two sources may really be in each other's way: that ends the operation. So may those that a repair
 * brings, when two rows are one here that their source tells apart.
 *
 * Every insert says itself what becomes of a row in its way: a table may have a rule of its own (`UNIQUE ON CONFLICT REPLACE`).
 */
function upsertRows(sql: Sql, plan: MovePlan, table: MoveTable, part: RowsPart, source: string, repairs: boolean): void {
  const displaces = !repairs && !mayMeetOthers(plan, table);
  try {
    if (repairs) deleteSameKeys(sql, table, part.keys);
    else if (!displaces) deleteKeys(sql, table.store, table.table, part.keys);
    storeRows(sql, plan, table, part, source, displaces ? "INSERT OR REPLACE" : "INSERT OR ABORT");
  } catch (error) {
    if (!/constraint failed|cannot store/.test(messageOf(error))) throw error;
    if (!messageOf(error).includes("UNIQUE constraint failed"))
      throw new EngineFault(
        "schema",
        `Table '${table.table.name}' refuses a row that ${source} has (${messageOf(error)}). Nothing was changed: let the table be the same on every shard, then start again`,
      );
    if (repairs)
      throw new EngineFault(
        "duplicateId",
        `Rows of table '${table.table.name}' displace each other, and differ from their source ${source}, which has them all (${messageOf(error)}). Nothing was changed: let the table be the same on every shard, then start again`,
      );
    throw new EngineFault(
      "duplicateId",
      `Rows of table '${table.table.name}' from ${source} have values that rows of other shards have, and that must be unique in one object (${messageOf(error)}). Nothing was changed: change the values, then start again`,
    );
  }
}

/** True when rows of several sources meet in one live table with constraints beside its primary key. */
function mayMeetOthers({ moving }: MovePlan, { table }: MoveTable): boolean {
  return moving.mode === "swap" && moving.from.members.length > 1 && table.hasConstraints;
}

/** Deletes the rows of these very keys, and none whose key is only alike. */
function deleteSameKeys(sql: Sql, { table, store }: MoveTable, keys: string): void {
  const same = `SELECT 1 FROM json_each(?1) AS j WHERE j.value = ${rowJson(table.primaryKey, "t")}`;
  sql.run(`DELETE FROM ${quoteName(store)} AS t WHERE ${inKeys(table)} AND EXISTS (${same})`, keys);
}

function storeRows(
  sql: Sql,
  plan: MovePlan,
  table: MoveTable,
  part: RowsPart,
  source: string,
  insert: "INSERT OR ABORT" | "INSERT OR REPLACE",
): void {
  if (part.rowCount > 0) {
    const { columns } = table.table;
    const offset = plan.moving.mode === "shift" ? STAGE_POSITION.length : 0;
    const cells = columns.map((_, index) => jsonCell("j.value", index, offset, columns.length + offset, part.withBlobs));
    const staged = plan.moving.mode === "shift" ? ["json_extract(j.value, '$[0]')", "json_extract(j.value, '$[1]')", "?2"] : [];
    const select = `SELECT ${[...cells, ...staged].join(", ")} FROM json_each(?1) AS j WHERE true`;
    sql.run(`${insert} ${into(plan, table)} ${select}`, part.rows, ...(staged.length > 0 ? [source] : []));
  }
  for (const { position, cells } of part.large) {
    const bound = cells.map((cell) => cellBinding(cell));
    // As JSON up to SQLite, like that of other rows: an integer of 64 bits is no number of JavaScript.
    const at = bound.flatMap((cell) => cell.bindings).length + 1;
    const staged =
      plan.moving.mode === "shift"
        ? { sql: [`json_extract(?${at}, '$[0]')`, `json_extract(?${at}, '$[1]')`, "?"], bindings: [`[${position}]`, source] }
        : { sql: [], bindings: [] };
    const values = [...bound.map((cell) => cell.sql), ...staged.sql].join(", ");
    sql.run(`${insert} ${into(plan, table)} VALUES (${values})`, ...bound.flatMap((cell) => cell.bindings), ...staged.bindings);
  }
  rememberOrigins(sql, plan, table, part, source);
}

function into({ moving }: MovePlan, { table, store }: MoveTable): string {
  const columns = [...table.columns, ...(moving.mode === "shift" ? STAGE_COLUMNS : [])];
  return `INTO ${quoteName(store)} (${columns.map((column) => quoteName(column)).join(", ")})`;
}

/** The elements of a staged row that stand before its columns. */
const STAGE_POSITION = ["shardctl_class", "shardctl_position"];
const STAGE_COLUMNS = [...STAGE_POSITION, "shardctl_source"];

function rememberOrigins(sql: Sql, plan: MovePlan, { table }: MoveTable, part: RowsPart, source: string): void {
  if (plan.moving.mode === "shift" || plan.originOf === null) return;
  sql.run("DELETE FROM shardctl_origin WHERE table_name = ?1 AND pk IN (SELECT value FROM json_each(?2))", table.name, part.keys);
  if (part.originCount === 0) return;
  sql.run(
    "INSERT INTO shardctl_origin (table_name, pk, source) SELECT ?1, value, ?3 FROM json_each(?2)",
    table.name,
    part.origins,
    source,
  );
}

function deleteAbsent(sql: Sql, plan: MovePlan, table: MoveTable, part: RowsPart, source: string): void {
  if (part.absentCount === 0) return;
  const own = ownKeys(sql, plan, table, part.absent, source);
  deleteKeys(sql, table.store, table.table, own);
  sql.run("DELETE FROM shardctl_origin WHERE table_name = ?1 AND pk IN (SELECT value FROM json_each(?2))", table.table.name, own);
}

/** Those of `keys` that are stored here and came from `source`. */
function ownKeys(sql: Sql, plan: MovePlan, table: MoveTable, keys: string, source: string): string {
  return `[${storedOrigins(sql, plan, table, keys)
    .filter((row) => row.origin === null || row.origin === source)
    .map((row) => row.key)
    .join(",")}]`;
}

/** Those of `keys` that are stored here and came from another source. */
function foreignKeysOf(sql: Sql, plan: MovePlan, table: MoveTable, keys: string, source: string): string[] {
  if (plan.moving.mode === "swap" && plan.originOf === null) return [];
  return storedOrigins(sql, plan, table, keys)
    .filter((row) => row.origin !== null && row.origin !== source)
    .map((row) => row.key);
}

/** The stored rows among `keys`, each with the source it came from; null when there is only one source it can have. */
function storedOrigins(
  sql: Sql,
  plan: MovePlan,
  moveTable: MoveTable,
  keys: string,
): { readonly key: string; readonly origin: string | null }[] {
  const { table, store } = moveTable;
  const isShift = plan.moving.mode === "shift";
  const origin = isShift ? null : moveTable.originSql("t");
  const columns = [
    `${rowJson(table.primaryKey, "t")} AS pk`,
    isShift
      ? "t.shardctl_source AS source"
      : "(SELECT o.source FROM shardctl_origin AS o WHERE o.table_name = ?2 AND o.pk = j.value) AS source",
    ...(origin === null ? [] : [keyColumn(origin, "origin")]),
  ];
  const query = `SELECT ${columns.join(", ")} FROM json_each(?1) AS j CROSS JOIN ${quoteName(store)} AS t ON ${primaryKeyMatches(table, "t", "j.value")}`;
  return sql.rows<SqlRow>(query, keys, ...(isShift ? [] : [table.name])).map((row) => ({
    key: textOf(row["pk"]),
    origin: row["source"] !== null ? textOf(row["source"]) : derivedOrigin(plan, row),
  }));
}

function derivedOrigin(plan: MovePlan, row: SqlRow): string | null {
  if (plan.originOf === null || !("origin" in row)) return null;
  return plan.originOf(keyOf(row["origin"]));
}
