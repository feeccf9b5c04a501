/** Merges the answers of all shards to one query into one answer. Pure. */
import { type KeyInput, compareKeys, toKey } from "../../model/layout/key.ts";
import type { QueryReply } from "../protocol/replies.ts";
import type { SqlRow, SqlValue } from "../storage/storage.ts";

export type Aggregation = "merge" | "concat" | "sum" | "count" | "avg";

export interface QueryShards {
  /**
   * A SELECT, run on every shard. Refused when it is not proven that the shards' answers make the
   * one that a single object with all rows would give.
   */
  readonly query: string;
  readonly params?: readonly (string | number | null)[];
  /**
   * `concat`: rows in the order of the shards. `merge`: one list by `orderBy`, cut to `limit`.
   * `sum`, `avg`: of the values of the only column; `count`: of the rows. A query that selects one
   * `count(…)` is added up by `count` and `sum`, one `sum(…)` or `total(…)` by `sum`.
   */
  readonly aggregation: Aggregation;
  /** Column of the answer, optionally followed by `ASC` or `DESC`; several with commas. */
  readonly orderBy?: string;
  readonly limit?: number;
  /** Milliseconds per shard. */
  readonly timeout?: number;
  /** True reports a failed shard in `shardResults` instead of failing the query. Default false. */
  readonly continueOnError?: boolean;
  /**
   * True takes each shard's own answer for the rows that it has, also where the whole is another:
   * GROUP BY gives a group once for each shard. Default false.
   */
  readonly unsafePerShard?: boolean;
}

/** How the answers of all shards make one. */
export interface Verdict {
  /** `rows`: the shards' rows are the rows. `partial`: each shard gives one number to add up. */
  readonly kind: "rows" | "partial";
  /** The tables that it reads, as it names them. */
  readonly tables: readonly string[];
  /** True when the query's own order is the answer's: it must be by no collation. */
  readonly ordered: boolean;
  /** The order of a merge. */
  readonly orderBy: string | undefined;
  /** Rows of the whole answer at most. */
  readonly limit: number | undefined;
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
type Ordered = Pick<QueryShards, "query" | "aggregation"> & {
  readonly orderBy?: string | undefined;
  readonly limit?: number | undefined;
};

/**
 * @throws Error when a number is asked for and the first column holds something else, or the
 * answers cannot be put in order.
 */
export function mergeShardResults(
  request: QueryShards,
  answers: readonly ShardAnswer[],
  verdict: Verdict | null = null,
): QueryShardsResult {
  const rows = answers.flatMap((answer) => ("reply" in answer ? answer.reply.rows : []));
  const shardResults = answers.map((answer, shardIndex): ShardResult => {
    const { duration } = answer;
    if ("error" in answer) return { shardIndex, itemCount: 0, duration, error: answer.error };
    return { shardIndex, itemCount: answer.reply.rows.length, duration };
  });
  return {
    data: verdict
      ? aggregate({ ...request, ...verdict }, rows, verdict.kind === "partial")
      : aggregate(request, rows, isCount(request.query, answers)),
    shardResults,
    totalItems: rows.length,
  };
}

/** @throws Error with the first failure when no shard has answered: nothing would be the answer. */
export function requireAnswer(answers: readonly ShardAnswer[]): void {
  const [first] = answers;
  if (first && "error" in first && answers.every((answer) => "error" in answer))
    throw new Error(`No shard has answered the query: ${first.error}`);
}

function aggregate(request: Ordered, rows: readonly Row[], isCounted: boolean): number | SqlRow[] {
  switch (request.aggregation) {
    case "concat":
      return rows.slice(0, request.limit);
    case "merge":
      return (request.orderBy ? rows.toSorted(rowOrder(request.orderBy, rows[0])) : rows).slice(
        0,
        request.limit,
      );
    case "sum":
      return sumFirst(rows);
    case "count":
      return isCounted ? sumFirst(rows) : rows.length;
    case "avg": {
      if (/\bavg\s*\(/i.test(request.query)) {
        throw new Error(
          "An average of the shards' averages is not the average: select the values, or ask for the sum and the count",
        );
      }
      const values = numbersOf(rows);
      return values.length === 0
        ? 0
        : values.reduce((total, value) => total + value, 0) / values.length;
    }
  }
}

/**
 * True when the answers are counts: one number from every shard that answered, by a query that
 * counts.
 */
function isCount(query: string, answers: readonly ShardAnswer[]): boolean {
  if (/^\s*select\s+count\s*\(/i.test(query)) return true;
  const replies = answers.flatMap((answer) => ("reply" in answer ? [answer.reply.rows] : []));
  return (
    /\bcount\s*\(/i.test(query) &&
    replies.every((rows) => rows.length === 1 && isNumberAlone(rows[0]))
  );
}

function isNumberAlone(row: Row | undefined): boolean {
  const values = Object.values(row ?? {});
  return values.length === 1 && typeof values[0] === "number";
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

function rowOrder(orderBy: string, first: Row | undefined): (left: Row, right: Row) => number {
  const terms = orderBy.split(",").map((term) => {
    const [, named = "", direction = "ASC"] = /^(\S+)(?:\s+(ASC|DESC))?$/i.exec(term.trim()) ?? [];
    if (named === "")
      throw new Error(`orderBy takes columns, each with ASC or DESC, not '${term.trim()}'`);
    const column = first === undefined ? named : columnOf(first, named);
    if (column === undefined) {
      throw new Error(
        `orderBy names ${named}, but the query selects ${Object.keys(first ?? {}).join(", ")}`,
      );
    }
    return { column, sign: direction.toUpperCase() === "DESC" ? -1 : 1 };
  });
  return (left, right) => {
    for (const { column, sign } of terms) {
      const order = compareKeys(toKey(keyOf(left[column])), toKey(keyOf(right[column])));
      if (order !== 0) return order * sign;
    }
    return 0;
  };
}

/** The column of that name, in whatever case, as SQL has names. */
function columnOf(row: Row, name: string): string | undefined {
  if (Object.hasOwn(row, name)) return name;
  return Object.keys(row).find((column) => column.toLowerCase() === name.toLowerCase());
}

/** A value of an answer as a key: rows are put in SQLite's own order. */
function keyOf(value: SqlValue | undefined): KeyInput {
  return value instanceof ArrayBuffer ? new Uint8Array(value) : value;
}
