/**
 * Triggers that keep the user's code from writing where a write would be lost, and the way for the
 * engine to write all the same.
 *
 * A write block is three triggers per declared table, and two per other table that points at one.
 * They abort only while two things hold:
 *
 * | what                             | says                                                  | changed by                       |
 * |----------------------------------|-------------------------------------------------------|----------------------------------|
 * | the row of `shardctl_guard`      | why writes are refused, or that they are not          | the transaction that fences, …   |
 * | `legacy_alter_table` is on       | this life of the object has started: they are armed   | `armWriteBlocks`, at its start   |
 *
 * So fencing is an update of one row, and a constructor writes freely: the setting belongs to the
 * connection to the database, which is new in every life of the object. Migrations run in the
 * constructor, before or after the host is created, and an object whose constructor aborted would
 * never start again.
 *
 * The engine writes inside `withoutTriggers`, which lifts every trigger of a table, the user's own
 * too (they must not fire for a moved row), and puts them back in the same transaction; for a few
 * rows of a table that has write blocks alone, it opens them. A crash can leave neither a missing
 * write block nor a missing user trigger.
 */
import { WRITE_BLOCK_PREFIX, OWNED_PREFIX } from "../storage/private-names.ts";
import { type Sql, quoteName, quoteText } from "../storage/storage.ts";

/** Why a write is refused. The texts are part of the API: routers and tests look for the prefix. */
export const WRITE_BLOCK_MESSAGES = {
  moving: "shardctl: the namespace is being moved, nothing was written: retry in a moment",
  notMember:
    "shardctl: this object owns no part of the namespace, nothing was written: call through the router",
} as const;
export type WriteBlockReason = keyof typeof WRITE_BLOCK_MESSAGES;

const EVENTS = ["INSERT", "UPDATE", "DELETE"] as const;
/** A row that goes points at nothing any more. */
const POINTING_EVENTS = ["INSERT", "UPDATE"] as const;

/** Rows for which triggers cost less than to lift them. */
const FEW_ROWS = 250;

const IS_CLOSED = "EXISTS (SELECT 1 FROM shardctl_guard WHERE reason <> '')";
/** SQL that is true once the object has started in this life. */
export const IS_ARMED = "(SELECT legacy_alter_table FROM pragma_legacy_alter_table) = 1";
const ABORT = `SELECT CASE reason WHEN 'moving' THEN RAISE(ABORT, ${quoteText(WRITE_BLOCK_MESSAGES.moving)}) ELSE RAISE(ABORT, ${quoteText(WRITE_BLOCK_MESSAGES.notMember)}) END FROM shardctl_guard`;

/**
 * Puts a write block on every table and takes every other away, also those of a table that was
 * renamed, and of a library whose write blocks always aborted. Changes nothing that is right. Call
 * inside a transaction.
 *
 * `pointing` are tables that do not move and point at some that do: behind a fence, which rows will
 * leave is decided, and none may come that would point at one of them. Nor at those of a target
 * that does not serve yet: they may be taken back, or deleted at their source.
 */
export function keepWriteBlocks(
  sql: Sql,
  tables: readonly string[],
  pointing: readonly string[] = [],
): void {
  const { missing, wrong } = compareWriteBlocks(sql, tables, pointing);
  for (const name of wrong) sql.run(`DROP TRIGGER ${quoteName(name)}`);
  for (const statement of missing) sql.run(statement);
}

/** True when `keepWriteBlocks` would make none. */
export function writeBlocksStand(
  sql: Sql,
  tables: readonly string[],
  pointing: readonly string[],
): boolean {
  return compareWriteBlocks(sql, tables, pointing).missing.length === 0;
}

/** The statements of write blocks that lack, and the names of those that must go. */
function compareWriteBlocks(
  sql: Sql,
  tables: readonly string[],
  pointing: readonly string[],
): { readonly missing: readonly string[]; readonly wrong: readonly string[] } {
  const triggers = [
    ...writeBlockTriggers(tables, EVENTS),
    ...writeBlockTriggers(pointing, POINTING_EVENTS),
    KEEP_ROW,
  ];
  const wanted = new Map(triggers.map((trigger) => [trigger.name, trigger.sql]));
  const wrong: string[] = [];
  for (const { name, sql: found } of writeBlocksOf(sql)) {
    if (wanted.get(name) === found) wanted.delete(name);
    else wrong.push(name);
  }
  return { missing: [...wanted.values()], wrong };
}

/** Removes every write block. Idempotent. Call inside a transaction. */
export function removeWriteBlocks(sql: Sql): void {
  keepTriggers(sql, () => false);
}

/** Removes the write blocks of an older library, which abort whatever the row says. */
export function removeOldWriteBlocks(sql: Sql): void {
  keepTriggers(
    sql,
    (trigger) =>
      trigger.sql.includes("shardctl_guard WHERE") || trigger.tbl_name === "shardctl_guard",
  );
}

/**
 * Refuses writes from here on, or with null no longer: one row, no DDL. Call inside a transaction.
 */
export function setWriteBlock(sql: Sql, reason: WriteBlockReason | null): void {
  sql.run("UPDATE shardctl_guard SET reason = ?1 WHERE reason <> ?1", reason ?? "");
}

/**
 * Lets write blocks do what their row says, in this life of the object. Not part of a transaction.
 * Reads first: to set the pragma, also to what it is, has SQLite compile every statement anew.
 */
export function armWriteBlocks(sql: Sql): void {
  if (!areArmed(sql)) sql.run("PRAGMA legacy_alter_table = ON");
}

export function disarmWriteBlocks(sql: Sql): void {
  if (areArmed(sql)) sql.run("PRAGMA legacy_alter_table = OFF");
}

function areArmed(sql: Sql): boolean {
  const found = sql.first<{ legacy_alter_table: number }>("PRAGMA legacy_alter_table");
  return found?.legacy_alter_table === 1;
}

/** Notes that rows were written behind the fence of this attempt. Call inside a transaction. */
export function spoilFence(sql: Sql, attempt: number): void {
  sql.run("UPDATE shardctl_guard SET spoiled = ?1 WHERE spoiled <> ?1", attempt);
}

/** The attempt behind whose fence rows were written, 0 for none. */
export function spoiledAttempt(sql: Sql): number {
  return sql.first<{ spoiled: number }>("SELECT spoiled FROM shardctl_guard")?.spoiled ?? 0;
}

/**
 * Runs `write` with every trigger of the tables lifted, and puts them back, all in one transaction.
 * For few rows, write blocks alone are opened instead: to lift a trigger has SQLite write the
 * schema and compile every statement anew, to leave it costs a microsecond or two for each row.
 */
export function withoutTriggers<Value>(
  sql: Sql,
  tables: readonly string[],
  write: () => Value,
  rows = Infinity,
): Value {
  const triggers = triggersOn(sql, tables);
  if (triggers.length === 0) return sql.transaction(write);
  if (rows > FEW_ROWS || triggers.some((trigger) => !isOpenable(trigger)))
    return liftTriggers(sql, tables, () => true, write);
  return sql.transaction(() => {
    const reason = sql.first<{ reason: string }>("SELECT reason FROM shardctl_guard")?.reason;
    if (reason) setWriteBlock(sql, null);
    opened.set(sql, new Set(tables));
    let value: Value;
    try {
      value = write();
    } finally {
      opened.delete(sql);
    }
    if (reason) setWriteBlock(sql, reason as WriteBlockReason);
    return value;
  });
}

/** Tables whose write blocks are open for the engine, by database: nothing on them is lifted. */
const opened = new WeakMap<Sql, ReadonlySet<string>>();

/** True for a write block of a library that goes by the row of `shardctl_guard`. */
function isOpenable({ name, sql }: Trigger): boolean {
  return name.startsWith(WRITE_BLOCK_PREFIX) && sql.includes(IS_CLOSED);
}

/**
 * The same for what only deletes: triggers that check keys see no deletion, and stay. A full disk
 * may have no room to put them back.
 */
export function deleteUnseen<Value>(
  sql: Sql,
  tables: readonly string[],
  write: () => Value,
): Value {
  return liftTriggers(sql, tables, ({ name }) => !name.startsWith(OWNED_PREFIX), write);
}

function liftTriggers<Value>(
  sql: Sql,
  tables: readonly string[],
  isLifted: (trigger: Trigger) => boolean,
  write: () => Value,
): Value {
  if (tables.every((table) => opened.get(sql)?.has(table))) return write();
  return sql.transaction(() => {
    const lifted = triggersOn(sql, tables).filter((trigger) => isLifted(trigger));
    for (const trigger of lifted) sql.run(`DROP TRIGGER ${quoteName(trigger.name)}`);
    const value = write();
    for (const trigger of lifted) sql.run(trigger.sql);
    return value;
  });
}

/**
 * One trigger more than an older library expects, which counts them: rolled back to, it takes none
 * of these for its own, and puts up write blocks that abort whatever the row says.
 */
const KEEP_ROW = {
  name: `${WRITE_BLOCK_PREFIX}row`,
  sql: `CREATE TRIGGER ${quoteName(`${WRITE_BLOCK_PREFIX}row`)} BEFORE DELETE ON shardctl_guard BEGIN SELECT RAISE(ABORT, 'shardctl: the row of shardctl_guard stays'); END`,
};

function writeBlockTriggers(
  tables: readonly string[],
  events: readonly string[],
): Pick<Trigger, "name" | "sql">[] {
  return tables.flatMap((table) =>
    events.map((event) => {
      const name = `${WRITE_BLOCK_PREFIX}${event.toLowerCase()}_${table}`;
      const when = `BEFORE ${event} ON ${quoteName(table)} WHEN ${IS_CLOSED} AND ${IS_ARMED}`;
      return { name, sql: `CREATE TRIGGER ${quoteName(name)} ${when} BEGIN ${ABORT}; END` };
    }),
  );
}

interface Trigger extends Record<string, string> {
  name: string;
  tbl_name: string;
  sql: string;
}

function keepTriggers(sql: Sql, stays: (trigger: Trigger) => boolean): void {
  for (const trigger of writeBlocksOf(sql))
    if (!stays(trigger)) sql.run(`DROP TRIGGER ${quoteName(trigger.name)}`);
}

function writeBlocksOf(sql: Sql): Trigger[] {
  return triggersOf(sql).filter(({ name }) => name.startsWith(WRITE_BLOCK_PREFIX));
}

function triggersOn(sql: Sql, tables: readonly string[]): Trigger[] {
  // SQLite keeps the name as the trigger was written, whatever its case.
  const names = new Set(tables.map((table) => table.toLowerCase()));
  return triggersOf(sql).filter(({ tbl_name: table }) => names.has(table.toLowerCase()));
}

/** Every trigger of the database. */
export function triggersOf(sql: Sql): Trigger[] {
  return sql.rows<Trigger>(
    "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name",
  );
}
