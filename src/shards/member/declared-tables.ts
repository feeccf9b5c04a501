/**
 * Judges by the class's own tables what the text of a query alone does not tell: whether its rows
 * are spread over the shards, and by which collation it orders them.
 */
import { refused } from "../protocol/refused-error.ts";
import type { Sql, SqlRow } from "../storage/storage.ts";
import type { TableSpec } from "../storage/tables.ts";
import { requireRead } from "./read-only.ts";

/**
 * A table that is not declared stays on the object on which it was written, and a view may hide
 * anything. @throws RefusedError
 */
export function requireDeclared(
  { tables: specs }: { readonly tables: readonly TableSpec[] },
  tables: readonly string[],
): void {
  const declared = new Set(specs.map(({ name }) => name.toLowerCase()));
  const other = tables.find((table) => !declared.has(table.toLowerCase()));
  if (other === undefined) return;
  throw refused(
    "invalid",
    `queryShards cannot prove that the shards' answers make the right one: '${other}' is no table of the namespace (declared: ${specs.map(({ name }) => name).join(", ")}), so that its rows are not spread over the shards. To do: declare it in the host's tables, or query the declared ones; or pass unsafePerShard: true, and get what each shard answers for its own rows`,
  );
}

interface Step extends SqlRow {
  p4: string | null;
}

/**
 * The answers of all shards are put in order byte by byte. Called only for a query that has run.
 * @throws RefusedError when SQLite's program for the query compares by another collation
 */
export function requireBinaryOrder(
  sql: Sql,
  query: string,
  params: readonly (string | number | null)[],
): void {
  const program = sql.rows<Step>(`EXPLAIN ${requireRead(sql, query, params)}`, ...params);
  const [, collation] =
    program.map(({ p4 }) => /\b(NOCASE|RTRIM)\b/.exec(p4 ?? "")).find((found) => found) ?? [];
  if (collation === undefined) return;
  throw refused(
    "invalid",
    `queryShards cannot prove that the shards' answers make the right one: the query compares by the collation ${collation}, and the answers are put in order byte by byte. To do: give the column of ORDER BY the COLLATE BINARY, under a name of its own, or order in the caller; or pass unsafePerShard: true, and get what each shard answers for its own rows`,
  );
}
