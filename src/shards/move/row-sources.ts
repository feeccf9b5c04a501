/**
 * Maps each stored row to the source it came from. Several sources may send the same primary key.
 * The source is found in the staging table, or by the row's own shard key under the old layout, or
 * in the table of origins where the key does not tell. A second source's row is reported, never
 * stored over the first.
 */
import type { Incoming, IncomingPart } from "./incoming.ts";
import { type MovePlan, type MoveTable, keyColumn, keyOf } from "./move-plan.ts";
import { primaryKeyMatches, rowJson } from "../storage/row-codec.ts";
import { type SqlRow, quoteName, textOf } from "../storage/storage.ts";

/** Returns those of `keys` that are stored here and came from `source`. */
export function ownKeys(incoming: Incoming, table: MoveTable, keys: string): string {
  const { source } = incoming;
  return `[${storedOrigins(incoming, table, keys)
    .filter((row) => row.origin === null || row.origin === source)
    .map((row) => row.key)
    .join(",")}]`;
}

/** Returns those of `keys` that are stored here and came from another source. */
export function foreignKeysOf(incoming: Incoming, { part, table }: IncomingPart): string[] {
  const { plan, source } = incoming;
  if (plan.moving.mode === "swap" && plan.originOf === null) return [];
  return storedOrigins(incoming, table, part.keys)
    .filter((row) => row.origin !== null && row.origin !== source)
    .map((row) => row.key);
}

/** Keeps which of the rows of a part came from `source`, where their keys do not say it. */
export function rememberOrigins(
  { sql, plan, source }: Incoming,
  { part, table: { table } }: IncomingPart,
): void {
  if (plan.moving.mode === "shift" || plan.originOf === null) return;
  sql.run(
    "DELETE FROM shardctl_origin WHERE table_name = ?1 AND pk IN (SELECT value FROM json_each(?2))",
    table.name,
    part.keys,
  );
  if (part.originCount === 0) return;
  sql.run(
    "INSERT INTO shardctl_origin (table_name, pk, source) SELECT ?1, value, ?3 FROM json_each(?2)",
    table.name,
    part.origins,
    source,
  );
}

/**
 * The stored rows among `keys`, each with the source it came from; null when there is only one
 * source it can have.
 */
function storedOrigins(
  { sql, plan }: Incoming,
  moveTable: MoveTable,
  keys: string,
): { readonly key: string; readonly origin: string | null }[] {
  const { table, store } = moveTable;
  const isShift = plan.moving.mode === "shift";
  const origin = isShift ? null : moveTable.originSql("t");
  const key = rowJson(table.primaryKey, "t");
  // By the key as it is stored: the one that is asked for may be only alike.
  const columns = [
    `${key} AS pk`,
    isShift
      ? "t.shardctl_source AS source"
      : `(SELECT o.source FROM shardctl_origin AS o WHERE o.table_name = ?2 AND o.pk = ${key}) AS source`,
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
