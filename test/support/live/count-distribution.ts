/**
 * Counts how the rows of an in-memory namespace spread by a key: the buckets that a real namespace
 * counts in SQL.
 */
import { compareKeys, isMissing, type Key } from "../../../src/model/layout/key.ts";
import {
  type Partitioners,
  registeredPartitioner,
} from "../../../src/model/layout/partitioners.ts";
import type {
  Distribution,
  DistributionRequest,
  KeyBucket,
  MemberDistribution,
} from "../../../src/model/live.ts";
import { slotOf } from "../../../src/model/layout/slots.ts";
import { bytesOf, keyOf, placeRows, type MemoryNamespace } from "./memory-rows.ts";

interface KeyedRows {
  readonly key: Key;
  readonly rows: number;
  readonly bytes: number;
}

/** Counts every row. Key buckets hold one distinct key each, the finest that a request allows. */
export function countDistribution(
  namespace: MemoryNamespace,
  request: DistributionRequest,
  partitioners: Partitioners,
  now: number,
): Distribution {
  const placed = placeRows(namespace, partitioners);
  const members = namespace.layout.members.map((member): MemberDistribution => {
    const rows = placed
      .filter((place) => place.member === member)
      .map(({ group }): KeyedRows => ({
        key: keyOf(group, request.shardKey),
        rows: group.rows,
        bytes: bytesOf(group),
      }));
    return { member, ...bucketize(rows, request, partitioners) };
  });
  return {
    request,
    rows: sum(placed.map(({ group }) => group.rows)),
    bytes: sum(placed.map(({ group }) => bytesOf(group))),
    missing: sum(
      placed
        .filter(({ group }) => isMissing(keyOf(group, request.shardKey)))
        .map(({ group }) => group.rows),
    ),
    members,
    sampledEvery: null,
    countedAt: now,
  };
}

function bucketize(
  rows: readonly KeyedRows[],
  request: DistributionRequest,
  partitioners: Partitioners,
): Omit<MemberDistribution, "member"> {
  switch (request.by) {
    case "slots":
      return {
        slots: countBy(rows, ({ key }) => slotOf(key)).map(([slot, rest]) => ({ slot, ...rest })),
      };
    case "shards": {
      const partitioner = registeredPartitioner(request.partitioner, partitioners);
      return {
        shards: countBy(rows, ({ key }) => partitioner.owner(key, request.count)).map(
          ([shard, rest]) => ({ shard, ...rest }),
        ),
      };
    }
    case "keys":
      return { keys: countKeys(rows) };
  }
}

function countBy(
  rows: readonly KeyedRows[],
  bucketOf: (row: KeyedRows) => number,
): [number, { rows: number; bytes: number }][] {
  const counts = new Map<number, { rows: number; bytes: number }>();
  for (const row of rows) {
    const bucket = bucketOf(row);
    const before = counts.get(bucket) ?? { rows: 0, bytes: 0 };
    counts.set(bucket, { rows: before.rows + row.rows, bytes: before.bytes + row.bytes });
  }
  return [...counts].toSorted(([left], [right]) => left - right);
}

function countKeys(rows: readonly KeyedRows[]): KeyBucket[] {
  const buckets: KeyBucket[] = [];
  for (const row of rows.toSorted((left, right) => compareKeys(left.key, right.key))) {
    const previous = buckets.at(-1);
    if (previous && compareKeys(previous.last, row.key) === 0) {
      buckets[buckets.length - 1] = {
        ...previous,
        rows: previous.rows + row.rows,
        bytes: previous.bytes + row.bytes,
      };
    } else {
      buckets.push({ first: row.key, last: row.key, rows: row.rows, bytes: row.bytes });
    }
  }
  return buckets;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
