/** One query on one member, which reads only: see `read-only.ts`. */
import type { QueryReply } from "../protocol/replies.ts";
import { refused } from "../protocol/refused-error.ts";
import type { Sql, SqlRow } from "../storage/storage.ts";
import { requireRead } from "./read-only.ts";

/** Rows that one member returns at most; above it the caller must aggregate or limit. */
export const QUERY_ROWS_MAX = 100_000;

/** @throws RefusedError when the query would write, is no lone SELECT, or returns too many rows. */
export function runQuery(
  sql: Sql,
  query: string,
  params: readonly (string | number | null)[],
): QueryReply {
  const statement = requireRead(sql, query, params);
  const rows: SqlRow[] = [];
  for (const row of sql.run(statement, ...params)) {
    if (rows.length === QUERY_ROWS_MAX)
      throw refused(
        "invalid",
        `The query returns more than ${QUERY_ROWS_MAX} rows from one shard: aggregate, or add a LIMIT`,
      );
    rows.push(row);
  }
  return { rows };
}
