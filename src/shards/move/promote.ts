/**
 * Makes staged rows live, under the fence and before the cutover: what the live tables refuse is
 * met while everything can be given up.
 *
 * Rule "promoted-before-commit": the registry commits a wave only when its rows are live on every
 * target. What is promoted belongs to its attempt: it is undone in the transaction that lifts or
 * replaces the fence. The rows stay staged until then, so that the undo knows them.
 */
import { NOTHING_CHANGED } from "../../model/operation.ts";
import { rowWords } from "../../model/row-words.ts";
import type { MoveRange } from "../../model/layout/move-range.ts";
import { EngineFault, isFull, messageOf } from "../storage/faults.ts";
import { checkForeignKeys } from "./foreign-keys.ts";
import { deleteUnseen, withoutTriggers } from "./write-blocks.ts";
import type { MovePlan } from "./move-plan.ts";
import { withinRange } from "./position.ts";
import { keepTriggerRoom, spendTriggerRoom } from "../storage/reserve.ts";
import { primaryKeyOrder, rowJson } from "../storage/row-codec.ts";
import { type Table, keyTerms, presentTable } from "../storage/tables.ts";
import { type Sql, quoteName } from "../storage/storage.ts";

const RIVALS_NAMED_MAX = 20;

/**
 * Makes the staged rows of the ranges live and checks what they point at. No trigger sees it,
 * capture neither. Call inside a transaction, with foreign keys off. @throws EngineFault when the
 * rows do not fit; the transaction must then be rolled back.
 */
export function promoteRows(
  sql: Sql,
  plan: MovePlan,
  incoming: readonly MoveRange[],
  self: string,
): void {
  try {
    insertStaged(sql, plan, incoming);
    checkForeignKeys(sql, plan, incoming, self);
  } catch (error) {
    throw explainRefusal(sql, plan, incoming, self, error);
  }
}

/**
 * Takes back what `promoteRows` made live: exactly the rows that are staged for the ranges. Needs
 * no space. Call inside a transaction.
 */
export function undoPromotion(sql: Sql, plan: MovePlan, incoming: readonly MoveRange[]): void {
  const names = plan.tables.map(({ table }) => table.name);
  deleteUnseen(sql, names, () => {
    for (const { table, store } of plan.tables.toReversed()) {
      const present = presentTable(sql, table);
      if (present === null) continue;
      for (const range of incoming) {
        const within = withinRange(range);
        // With an alias before them: alone, a name that is no column is taken for a text.
        sql.run(
          `DELETE FROM ${quoteName(table.name)} AS t WHERE (${primaryKeyOrder(present, "t")}) IN (SELECT ${primaryKeyOrder(table, "s")} FROM ${quoteName(store)} AS s WHERE ${within.sql})`,
          ...within.bindings,
        );
      }
    }
  });
}

/**
 * Tries a promotion and rolls it back, or, in a swap, checks what came. @throws EngineFault when
 * the rows do not fit.
 */
export function rehearsePromotion(
  sql: Sql,
  plan: MovePlan,
  incoming: readonly MoveRange[],
  self: string,
): void {
  sql.rolledBack(() => promoteRows(sql, plan, incoming, self));
}

function insertStaged(sql: Sql, plan: MovePlan, incoming: readonly MoveRange[]): void {
  if (incoming.length === 0) return;
  const names = plan.tables.map(({ table }) => table.name);
  sql.transaction(() => {
    const isSpent = withoutTriggers(sql, names, () => {
      for (const { table, store } of plan.tables) insertRows(sql, table, store, incoming);
      return spendTriggerRoom(sql);
    });
    // The deletions behind the commit need it: without it there is none.
    if (isSpent) keepTriggerRoom(sql);
  });
}

function insertRows(sql: Sql, table: Table, store: string, incoming: readonly MoveRange[]): void {
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

/** Says what a person can do about rows that the live tables refuse. */
function explainRefusal(
  sql: Sql,
  plan: MovePlan,
  incoming: readonly MoveRange[],
  self: string,
  error: unknown,
): unknown {
  const message = messageOf(error);
  if (error instanceof EngineFault || isFull(error)) return error;
  if (!message.includes("UNIQUE constraint failed"))
    return new EngineFault(
      "schema",
      `Rows to be moved do not fit the tables of ${self}: ${message}. ${NOTHING_CHANGED}: let the tables be the same on every shard, and their rows satisfy them, then start again`,
    );
  const rivals = findRivals(sql, plan, incoming);
  const what = rivals ?? `values that rows which are here already have: ${message}`;
  return new EngineFault(
    "duplicateId",
    `Rows to be moved have ${what}. ${NOTHING_CHANGED}: give each row its own, then start again`,
  );
}

/** The primary keys that stand in the way, in words; null when another unique value does. */
function findRivals(sql: Sql, plan: MovePlan, incoming: readonly MoveRange[]): string | null {
  for (const { table, store } of plan.tables) {
    const staged = keyTerms(table, "s");
    const same = keyTerms(table, "t")
      .map((term, index) => `${term} = ${staged[index] ?? ""}`)
      .join(" AND ");
    for (const range of incoming) {
      const within = withinRange(range);
      const query = `SELECT ${rowJson(table.primaryKey, "s")} AS pk FROM ${quoteName(store)} AS s CROSS JOIN ${quoteName(table.name)} AS t ON ${same} WHERE ${within.sql} LIMIT ${RIVALS_NAMED_MAX}`;
      const rivals = sql.rows<{ pk: string }>(query, ...within.bindings).map((row) => row.pk);
      if (rivals.length > 0)
        return `ids that rows of '${table.name}' have here already: ${rowWords(rivals.join(", "))}`;
    }
  }
  return null;
}
