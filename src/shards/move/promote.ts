/** Makes staged rows live, and tries it before the cutover: what the live tables refuse ends the operation while nothing is lost. */
import type { MoveRange } from "../../core/move-range.ts";
import { EngineFault, messageOf } from "../storage/faults.ts";
import { checkForeignKeys } from "./foreign-keys.ts";
import { withoutTriggers } from "./guards.ts";
import type { MovePlan } from "./move-plan.ts";
import { withinRange } from "./position.ts";
import { rowJson } from "../storage/row-codec.ts";
import { type Sql, quoteName } from "../storage/storage.ts";

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
