/**
 * Takes over rows that only ever grow: names that are remembered, epochs that were seen, tokens
 * that were used, the last tokens of leases, what was posted, operations that were told of. Of a
 * row that is here as well the newer one stays.
 */
import type { StagedRows } from "./staged-rows.ts";
import { STATE_TABLES, type StateTableName } from "./state-tables.ts";
import type { Tally } from "./tally.ts";

type Row = Readonly<Record<string, unknown>>;

/** SQL that is true when the file's row, `excluded`, is the newer one. */
const IS_NEWER = {
  namespaces: "false",
  claims: "false",
  leases: "excluded.token > token",
  // After a repair what was seen before it says nothing; else the higher epoch was live.
  registries: "(excluded.repairs, excluded.epoch) > (repairs, epoch)",
  once: "false",
  pulls: "excluded.plannedAt > plannedAt",
  watchedOperations: "(excluded.startedAt, excluded.id) > (startedAt, id)",
} as const satisfies Partial<Record<StateTableName, string>>;

export function mergeRows(sql: SqlStorage, staged: StagedRows, tally: Tally, now: number): void {
  for (const table of Object.keys(IS_NEWER) as (keyof typeof IS_NEWER)[])
    for (const row of staged.all<Row>(table)) {
      // A token that can no longer be used need not be remembered as used.
      if (table === "once" && Number(row["expiresAt"]) <= now) tally.note(table, "kept");
      else mergeRow(sql, tally, table, row);
    }
}

function mergeRow(sql: SqlStorage, tally: Tally, table: keyof typeof IS_NEWER, row: Row): void {
  const { columns, key } = STATE_TABLES[table];
  const names = Object.keys(columns);
  const values = names.map((name) => toStored(row[name] ?? null, columns[name]?.kind === "json"));
  const isKnown =
    sql
      .exec(
        `SELECT 1 FROM ${table} WHERE ${key.map((name) => `${name} = ?`).join(" AND ")}`,
        ...key.map((name) => values[names.indexOf(name)] ?? null),
      )
      .toArray().length > 0;
  const others = names.filter((name) => !key.includes(name));
  const onConflict =
    others.length === 0
      ? "DO NOTHING"
      : `(${key.join(", ")}) DO UPDATE SET ${others.map((name) => `${name} = excluded.${name}`).join(", ")} WHERE ${IS_NEWER[table]}`;
  const { rowsWritten } = sql.exec(
    `INSERT INTO ${table} (${names.join(", ")}) VALUES (${names.map(() => "?").join(", ")}) ON CONFLICT ${onConflict}`,
    ...values,
  );
  tally.note(table, isKnown ? (rowsWritten > 0 ? "replaced" : "kept") : "added");
}

function toStored(value: unknown, isJson: boolean): SqlStorageValue {
  return isJson && value !== null ? JSON.stringify(value) : (value as SqlStorageValue);
}
