/** One read-only query on one member. What may write is rolled back: a write is refused, not trusted to be absent. */
import type { QueryReply } from "../protocol/messages.ts";
import { type RefusedError, refused } from "../protocol/refused-error.ts";
import type { Sql, SqlRow } from "../storage/storage.ts";

/** Rows that one member returns at most; above it the caller must aggregate or limit. */
export const QUERY_ROWS_MAX = 100_000;

const READS = /^\s*(?:--[^\n]*\n\s*|\/\*[\s\S]*?\*\/\s*)*(?:select|with|values)\b/i;

/** Without a semicolon, or with one at its end, it is one statement; one in a text merely costs the short way. */
const LONE_SELECT = /^\s*select\b[^;]*;?\s*$/i;

/** @throws RefusedError when the query writes, is no SELECT, or returns too many rows. */
export function runQuery(sql: Sql, query: string, params: readonly (string | number | null)[]): QueryReply {
  if (!READS.test(query)) throw invalid("queryShards reads only: the query must be a SELECT, WITH or VALUES");
  // A lone SELECT has no way to write: it needs no transaction to be rolled back.
  if (LONE_SELECT.test(query)) return readRows(sql.run(query, ...params));
  const done = new Error("rolled back");
  let reply: QueryReply | undefined;
  try {
    sql.transaction(() => {
      const before = schemaOf(sql);
      const cursor = sql.run(query, ...params);
      const found = readRows(cursor);
      if (cursor.rowsWritten > 0) throw invalid("queryShards reads only: the query wrote rows, which were rolled back");
      if (schemaOf(sql) !== before) throw invalid("queryShards reads only: the query changed tables, which was rolled back");
      reply = found;
      throw done;
    });
  } catch (error) {
    if (error !== done) throw error;
  }
  if (!reply) throw new Error("A query ended without rows or an error");
  return reply;
}

function readRows(cursor: Iterable<SqlRow>): QueryReply {
  const rows: SqlRow[] = [];
  for (const row of cursor) {
    if (rows.length === QUERY_ROWS_MAX)
      throw invalid(`The query returns more than ${QUERY_ROWS_MAX} rows from one shard: aggregate, or add a LIMIT`);
    rows.push(row);
  }
  return { columns: Object.keys(rows[0] ?? {}), rows };
}

/** Changes with every statement that creates, alters or drops something: those count as no written rows. */
function schemaOf(sql: Sql): string {
  const found = sql.first<{ n: number; size: number | null }>(
    "SELECT count(*) AS n, sum(length(sql)) AS size FROM sqlite_master",
  );
  return `${found?.n} ${found?.size}`;
}

function invalid(message: string): RefusedError {
  return refused("invalid", message);
}
