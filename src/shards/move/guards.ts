/**
 * Triggers that keep the user's code from writing where a write would be lost, and the way for the engine to write all the same.
 *
 * A guard is three triggers per declared table that abort with a message for the caller. The engine writes inside `withoutTriggers`,
 * which lifts every trigger of a table, the user's own too (they must not fire for a moved row), and puts them back in the same
 * transaction: a crash can leave neither a missing guard nor a missing user trigger.
 */
import { GUARD_PREFIX } from "../storage/schema.ts";
import { type Sql, quoteName, quoteText } from "../storage/storage.ts";
import type { Table } from "../storage/tables.ts";

/** Why a write is refused. The texts are part of the API: routers and tests look for the prefix. */
export const GUARD_MESSAGES = {
  moving: "shardctl: the namespace is being moved, nothing was written: retry in a moment",
  notMember: "shardctl: this object owns no part of the namespace, nothing was written: call through the router",
} as const;
export type GuardReason = keyof typeof GUARD_MESSAGES;

const EVENTS = ["INSERT", "UPDATE", "DELETE"] as const;

/** Puts a guard on every table, replacing another one. Call inside a transaction. */
export function installGuards(sql: Sql, tables: readonly Table[], reason: GuardReason): void {
  removeGuards(sql);
  for (const table of tables) {
    for (const event of EVENTS) {
      const name = quoteName(`${GUARD_PREFIX}${event.toLowerCase()}_${table.name}`);
      const abort = `SELECT RAISE(ABORT, ${quoteText(GUARD_MESSAGES[reason])})`;
      sql.run(`CREATE TRIGGER ${name} BEFORE ${event} ON ${quoteName(table.name)} BEGIN ${abort}; END`);
    }
  }
}

/** True when every table has its guards. A table that is rebuilt, as migrations do, loses them. */
export function hasGuards(sql: Sql, tables: readonly Table[]): boolean {
  return triggers(sql).filter(({ name }) => name.startsWith(GUARD_PREFIX)).length === tables.length * EVENTS.length;
}

/** Removes every guard. Idempotent. Call inside a transaction. */
export function removeGuards(sql: Sql): void {
  for (const { name } of triggers(sql)) {
    if (name.startsWith(GUARD_PREFIX)) sql.run(`DROP TRIGGER ${quoteName(name)}`);
  }
}

/** Runs `write` with every trigger of the tables lifted, and puts them back, all in one transaction. */
export function withoutTriggers<Value>(sql: Sql, tables: readonly string[], write: () => Value): Value {
  return sql.transaction(() => {
    // SQLite keeps the name as the trigger was written, whatever its case.
    const names = new Set(tables.map((table) => table.toLowerCase()));
    const lifted = triggers(sql).filter((trigger) => names.has(trigger.tbl_name.toLowerCase()));
    for (const trigger of lifted) sql.run(`DROP TRIGGER ${quoteName(trigger.name)}`);
    const value = write();
    for (const trigger of lifted) sql.run(trigger.sql);
    return value;
  });
}

interface Trigger extends Record<string, string> {
  name: string;
  tbl_name: string;
  sql: string;
}

function triggers(sql: Sql): Trigger[] {
  return sql.rows<Trigger>("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name");
}
