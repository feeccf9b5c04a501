/**
 * Counts of one member by a key that need not be the live one: what a plan's projections are made
 * of.
 *
 * Rows are routed by the very lookups that will route them when they are moved. Memory is bounded
 * by the number of buckets, not of rows: slots and shards are fixed, keys are read in order and
 * closed into buckets on the way. Large tables are sampled, every n-th row in primary-key order, so
 * that the same rows give the same counts.
 */
import { type Key, compareKeys, isMissing } from "../../model/layout/key.ts";
import { createOwnerLookup } from "../../model/layout/owner-lookup.ts";
import type { Partitioners } from "../../model/layout/partitioners.ts";
import type { DistributionRequest, KeyBucket, MemberDistribution } from "../../model/live.ts";
import { slotOf } from "../../model/layout/slots.ts";
import type { DistributeReply } from "../protocol/replies.ts";
import { keyColumn, keyOf } from "../move/move-plan.ts";
import type { MemberRows } from "../move/stray-rows.ts";
import { primaryKeyOrder, rowBytes } from "../storage/row-codec.ts";
import { type Sql, type SqlRow, quoteName, unionAll } from "../storage/storage.ts";
import { type Table, keyExpression } from "../storage/tables.ts";

/**
 * Buckets of keys on one member: an upper bound on the error of quantiles, 1 / 2,000 of the
 * member's rows.
 */
const KEY_BUCKETS_MAX = 2000;

interface Total {
  rows: number;
  bytes: number;
}

export function distributeRows(
  member: MemberRows,
  request: DistributionRequest,
  sampleEvery: number,
): DistributeReply {
  const { self } = member;
  const total: Total = { rows: 0, bytes: 0 };
  let missing = 0;
  const counted = (key: Key, rows: number, bytes: number, isKeyed: boolean): void => {
    total.rows += rows;
    total.bytes += bytes;
    if (isKeyed && isMissing(key)) missing += rows;
  };
  const distribution: MemberDistribution =
    request.by === "keys"
      ? { member: self, keys: countKeys(member, request, sampleEvery, counted) }
      : { member: self, ...countBuckets(member, request, sampleEvery, counted) };
  return { distribution, ...total, missing };
}

type Counted = (key: Key, rows: number, bytes: number, isKeyed: boolean) => void;

function countBuckets(
  { sql, tables, partitioners }: MemberRows,
  request: Exclude<DistributionRequest, { by: "keys" }>,
  every: number,
  counted: Counted,
): Pick<MemberDistribution, "slots" | "shards"> {
  const bucketOf = request.by === "slots" ? slotOf : shardOf(request, partitioners);
  const buckets = new Map<number, Total>();
  for (const table of tables) {
    const query = `SELECT ${keyColumn("k", "key")}, n, bytes FROM (
      SELECT k, count(*) * ${every} AS n, sum(bytes) * ${every} AS bytes FROM (${sampled(table, request.shardKey, every)}) GROUP BY typeof(k), k COLLATE BINARY)`;
    for (const row of sql.stream<SqlRow>(query)) {
      const key = keyOf(row["key"]);
      const found = { rows: Number(row["n"]), bytes: Number(row["bytes"]) };
      counted(key, found.rows, found.bytes, table.followed === null);
      const bucket = bucketOf(key);
      const before = buckets.get(bucket) ?? { rows: 0, bytes: 0 };
      buckets.set(bucket, { rows: before.rows + found.rows, bytes: before.bytes + found.bytes });
    }
  }
  const sorted = [...buckets].toSorted(([left], [right]) => left - right);
  return request.by === "slots"
    ? { slots: sorted.map(([slot, count]) => ({ slot, ...count })) }
    : { shards: sorted.map(([shard, count]) => ({ shard, ...count })) };
}

/** The shard index under a layout that does not exist yet: its members are named by their index. */
function shardOf(
  { shardKey, partitioner, count }: DistributionRequest & { by: "shards" },
  partitioners: Partitioners,
): (key: Key) => number {
  const members = Array.from({ length: count }, (_, index) => String(index));
  const owner = createOwnerLookup(
    { kind: "custom", shardKey, generation: 0, members, partitioner },
    partitioners,
  );
  return (key) => Number(owner(key));
}

function countKeys(
  { sql, tables }: MemberRows,
  { shardKey, boundaries }: DistributionRequest & { by: "keys" },
  every: number,
  counted: Counted,
): KeyBucket[] {
  const union = unionAll(
    tables.map(
      (table) =>
        `SELECT k, bytes, ${table.followed === null ? 1 : 0} AS is_keyed FROM (${sampled(table, shardKey, every)})`,
    ),
  );
  const rowsMax = Math.ceil(totalRows(sql, tables) / KEY_BUCKETS_MAX);
  const bounds = boundaries.toSorted(compareKeys);
  const buckets: { first: Key; last: Key; rows: number; bytes: number }[] = [];
  let boundary = 0;
  const query = `SELECT ${keyColumn("k", "key")}, n, bytes, keyed FROM (
    SELECT k, count(*) * ${every} AS n, sum(bytes) * ${every} AS bytes, sum(is_keyed) * ${every} AS keyed FROM (${union}) GROUP BY typeof(k), k COLLATE BINARY) ORDER BY k COLLATE BINARY`;
  for (const row of sql.stream<SqlRow>(query)) {
    const key = keyOf(row["key"]);
    const rows = Number(row["n"]);
    const bytes = Number(row["bytes"]);
    const keyed = Number(row["keyed"]);
    counted(key, keyed, bytes, true);
    counted(key, rows - keyed, 0, false);
    const isNextRange = crossesBoundary(key, bounds, boundary);
    while (crossesBoundary(key, bounds, boundary)) boundary++;
    const last = buckets.at(-1);
    if (last && compareKeys(last.last, key) === 0) {
      last.rows += rows; // the integer 1 and the real 1.0 are one key
      last.bytes += bytes;
    } else if (last && !isNextRange && last.rows + rows <= rowsMax) {
      last.last = key;
      last.rows += rows;
      last.bytes += bytes;
    } else {
      buckets.push({ first: key, last: key, rows, bytes });
    }
  }
  return buckets;
}

function crossesBoundary(key: Key, bounds: readonly Key[], index: number): boolean {
  const bound = bounds[index];
  return bound !== undefined && compareKeys(key, bound) >= 0;
}

function totalRows(sql: Sql, tables: readonly Table[]): number {
  return tables.reduce(
    (total, { name }) =>
      total + (sql.first<{ n: number }>(`SELECT count(*) AS n FROM ${quoteName(name)}`)?.n ?? 0),
    0,
  );
}

/** Key and bytes of every row, or of every n-th in primary-key order. */
function sampled(table: Table, shardKey: string, every: number): string {
  const columns = `${keyExpression(table, shardKey, "t")} AS k, ${rowBytes(table.columns, "t")} AS bytes`;
  if (every === 1) return `SELECT ${columns} FROM ${quoteName(table.name)} AS t`;
  const numbered = `SELECT t.*, row_number() OVER (ORDER BY ${primaryKeyOrder(table, "t")}) AS shardctl_number FROM ${quoteName(table.name)} AS t`;
  return `SELECT ${columns} FROM (${numbered}) AS t WHERE t.shardctl_number % ${every} = 1`;
}
