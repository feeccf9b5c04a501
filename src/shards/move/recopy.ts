/**
 * Forgets what a target has of tables that a deploy has changed, so that they can be copied again
 * alone.
 */
import { withoutTriggers } from "./write-blocks.ts";
import { forgetLives } from "./lives-of-sources.ts";
import { dropChecked } from "./late-rows.ts";
import type { MovePlan } from "./move-plan.ts";
import { createStagingOf } from "./staging.ts";
import type { PageFloor } from "../protocol/terms.ts";
import { type Sql, quoteName } from "../storage/storage.ts";

/**
 * Rule "recopied-from-scratch": a target takes no page of a changed table that was sent before it
 * forgot the table: the row of a late page may have been deleted since, unseen by a capture that
 * was lost with the old table. Call inside a transaction.
 */
export function takeAgain(
  sql: Sql,
  plan: MovePlan,
  names: readonly string[],
  floors: readonly PageFloor[],
  isServing: boolean,
): void {
  const changed = plan.tables.filter(({ table }) => names.includes(table.name));
  if (plan.moving.mode === "shift") for (const table of changed) createStagingOf(sql, table);
  else if (!isServing)
    withoutTriggers(sql, names, () => {
      for (const { table } of changed.toReversed()) sql.run(`DELETE FROM ${quoteName(table.name)}`);
    });
  for (const { table } of changed)
    for (const records of ["origin", "late"])
      sql.run(`DELETE FROM shardctl_${records} WHERE table_name = ?`, table.name);
  dropChecked(sql);
  // The newest number of a source may be that of a page which has yet to come.
  forgetLives(sql);
  for (const { source, sequence } of floors)
    sql.run(
      `INSERT INTO shardctl_received (source, sequence) VALUES (?1, ?2)
       ON CONFLICT (source) DO UPDATE SET sequence = max(sequence, excluded.sequence)`,
      source,
      sequence,
    );
}

/** The last page that this source has sent to each target. */
export function sentFloors(sql: Sql, source: string): PageFloor[] {
  return sql
    .rows<{ target: string; sequence: number }>(
      "SELECT target, sequence FROM shardctl_sent ORDER BY target",
    )
    .map(({ target, sequence }) => ({ source, target, sequence }));
}

/** The last page that this target has taken from each source. */
export function receivedPages(sql: Sql): ReadonlyMap<string, number> {
  const rows = sql.rows<{ source: string; sequence: number }>(
    "SELECT source, sequence FROM shardctl_received",
  );
  return new Map(rows.map(({ source, sequence }) => [source, sequence]));
}
