/** `queryShards`: one answer from the answers of all shards. Pure. */
import type { QueryReply } from "./messages.ts";
import type { SqlRow } from "./storage.ts";

export type Aggregation = "merge" | "concat" | "sum" | "count" | "avg";

export interface QueryShards {
  /** A SELECT, run on every shard. */
  readonly query: string;
  readonly params?: readonly (string | number | null)[];
  /**
   * `concat`: rows in the order of the shards. `merge`: one list by `orderBy`, cut to `limit`. `sum`, `count`, `avg`: one number over
   * the query's first column; `count` adds up counts when the query selects one, and counts rows otherwise.
   */
  readonly aggregation: Aggregation;
  /** Column, optionally followed by `ASC` or `DESC`; several with commas. */
  readonly orderBy?: string;
  readonly limit?: number;
  /** Milliseconds per shard. */
  readonly timeout?: number;
  /** True reports a failed shard in `shardResults` instead of failing the query. Default false. */
  readonly continueOnError?: boolean;
}

export interface ShardResult {
  readonly shardIndex: number;
  readonly itemCount: number;
  /** Milliseconds. */
  readonly duration: number;
  readonly error?: string;
}

export interface QueryShardsResult {
  /** Rows, or one number. Not `unknown`: a stub's types turn that into `never`. */
  readonly data: number | SqlRow[];
  readonly shardResults: readonly ShardResult[];
  readonly totalItems: number;
}

export type ShardAnswer =
  | { readonly reply: QueryReply; readonly duration: number }
  | { readonly error: string; readonly duration: number };

type Row = SqlRow;

/** @throws Error when a number is asked for and the first column holds something else. */
export function mergeShardResults(request: QueryShards, answers: readonly ShardAnswer[]): QueryShardsResult {
  const rows = answers.flatMap((answer) => ("reply" in answer ? answer.reply.rows : []));
  const shardResults = answers.map((answer, shardIndex): ShardResult => {
    const { duration } = answer;
    if ("error" in answer) return { shardIndex, itemCount: 0, duration, error: answer.error };
    return { shardIndex, itemCount: answer.reply.rows.length, duration };
  });
  return { data: aggregate(request, rows), shardResults, totalItems: rows.length };
}

function aggregate(request: QueryShards, rows: readonly Row[]): number | SqlRow[] {
  switch (request.aggregation) {
    case "concat":
      return rows.slice(0, request.limit);
    case "merge":
      return (request.orderBy ? rows.toSorted(rowOrder(request.orderBy)) : rows).slice(0, request.limit);
    case "sum":
      return sumFirst(rows);
    case "count":
      return isCount(request.query) ? sumFirst(rows) : rows.length;
    case "avg": {
      const values = numbersOf(rows);
      return values.length === 0 ? 0 : values.reduce((total, value) => total + value, 0) / values.length;
    }
  }
}

function isCount(query: string): boolean {
  return /^\s*select\s+count\s*\(/i.test(query);
}

function sumFirst(rows: readonly Row[]): number {
  return numbersOf(rows).reduce((total, value) => total + value, 0);
}

/** The first column; NULL does not count, as in SQL. */
function numbersOf(rows: readonly Row[]): number[] {
  return rows.flatMap((row) => {
    const value = Object.values(row)[0];
    if (value === null || value === undefined) return [];
    if (typeof value === "number") return [value];
    throw new Error("sum, count and avg need numbers in the first column of the query");
  });
}

function rowOrder(orderBy: string): (left: Row, right: Row) => number {
  const terms = orderBy.split(",").map((term) => {
    const [column = "", direction = "ASC"] = term.trim().split(/\s+/);
    return { column, sign: direction.toUpperCase() === "DESC" ? -1 : 1 };
  });
  return (left, right) => {
    for (const { column, sign } of terms) {
      const order = compareValues(left[column], right[column]);
      if (order !== 0) return order * sign;
    }
    return 0;
  };
}

/** SQLite's order over what a query returns: NULL < numbers < text. */
function compareValues(left: unknown, right: unknown): number {
  const byClass = classOf(left) - classOf(right);
  if (byClass !== 0) return byClass;
  if (typeof left === "number" && typeof right === "number") return left - right;
  if (typeof left === "string" && typeof right === "string") return left < right ? -1 : left > right ? 1 : 0;
  return 0;
}

function classOf(value: unknown): number {
  if (value === null || value === undefined) return 0;
  if (typeof value === "number") return 1;
  return typeof value === "string" ? 2 : 3;
}
