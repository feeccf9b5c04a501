/** Checks the options of a query at run time: JavaScript has no types, and JSON none either. */
import { requireKnown, requireMilliseconds, shownValue } from "../protocol/options.ts";
import type { Aggregation, QueryShards } from "./query-shards.ts";

const OPTIONS: Readonly<Record<keyof QueryShards, true>> = {
  query: true,
  params: true,
  aggregation: true,
  orderBy: true,
  limit: true,
  timeout: true,
  continueOnError: true,
  unsafePerShard: true,
};
const AGGREGATIONS: Readonly<Record<Aggregation, true>> = {
  concat: true,
  merge: true,
  sum: true,
  count: true,
  avg: true,
};

/** @throws Error that names the option and what it takes. */
export function requireQueryOptions(request: QueryShards): void {
  requireKnown("queryShards", request, Object.keys(OPTIONS));
  const { query, params, aggregation, orderBy, limit, timeout } = request;
  if (typeof query !== "string" || query.trim() === "")
    throw new Error("queryShards: query must be the text of a SELECT");
  if (!Object.hasOwn(AGGREGATIONS, aggregation))
    throw new Error(
      `queryShards: aggregation must be one of ${Object.keys(AGGREGATIONS).join(", ")}, not ${shownValue(aggregation)}`,
    );
  if (params !== undefined) requireParams(params);
  if (orderBy !== undefined && (typeof orderBy !== "string" || orderBy.trim() === ""))
    throw new Error("queryShards: orderBy must be the name of a column, several with commas");
  if (orderBy !== undefined && aggregation !== "merge")
    throw new Error(`queryShards: orderBy is for aggregation "merge", not "${aggregation}"`);
  if (limit !== undefined && !(Number.isSafeInteger(limit) && limit >= 0))
    throw new Error(`queryShards: limit must be an integer from 0, not ${String(limit)}`);
  if (limit !== undefined && aggregation !== "merge" && aggregation !== "concat")
    throw new Error(`queryShards: limit is for rows, and "${aggregation}" gives one number`);
  requireMilliseconds("queryShards", "timeout", timeout);
  for (const name of ["continueOnError", "unsafePerShard"] as const) {
    const value: unknown = request[name];
    if (value !== undefined && typeof value !== "boolean")
      throw new Error(`queryShards: ${name} must be true or false, not ${shownValue(value)}`);
  }
}

function requireParams(params: unknown): void {
  if (!Array.isArray(params)) throw new Error("queryShards: params must be a list of values");
  params.forEach((value: unknown, index) => {
    const isValue = value === null || typeof value === "string" || typeof value === "number";
    if (isValue && !Number.isNaN(value)) return;
    const advice =
      typeof value === "boolean" ? `: SQLite has no booleans, pass ${Number(value)}` : "";
    throw new Error(
      `queryShards: parameter ${index + 1} must be a text, a number or null, not ${Number.isNaN(value) ? "NaN" : typeof value}${advice}`,
    );
  });
}
