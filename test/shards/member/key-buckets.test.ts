/** Ranges of keys that are collected in any order. */
import { expect, it } from "vitest";

import { type Key, compareKeys } from "../../../src/model/layout/key.ts";
import { FencePosts, distanceAfter } from "../../../src/shards/member/fence-posts.ts";
import { KeyBuckets } from "../../../src/shards/member/key-buckets.ts";
import { type Tally, clusteringOf } from "../../../src/shards/member/sampling-error.ts";

function integer(value: number): Key {
  return { type: "integer", text: String(value) };
}

function one(): Tally {
  return { rows: 1, bytes: 2, groups: [] };
}

const ORDERS: Readonly<Record<string, (index: number) => number>> = {
  rising: (index) => index,
  falling: (index) => 59_999 - index,
  scattered: (index) => (index * 7_919) % 60_000,
};

it.each(Object.entries(ORDERS))("of %s keys keep all rows, side by side", (_, keyOf) => {
  const bounds = [10_000, 10_001, 59_000].map(integer);
  const buckets = new KeyBuckets(bounds);
  for (let start = 0; start < 60_000; start += 2_000)
    buckets.add(
      Array.from({ length: 2_000 }, (_unused, index) => [integer(keyOf(start + index)), one()]),
    );
  const ranges = buckets.end();
  expect(ranges.length).toBeLessThan(4_100);
  expect(ranges.reduce((sum, { rows }) => sum + rows, 0)).toBe(60_000);
  expect(ranges.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(120_000);
  ranges.forEach(({ first, last }, index) => {
    const next = ranges[index + 1]?.first ?? integer(60_000);
    expect(compareKeys(last, next)).toBeLessThan(0);
    for (const bound of bounds)
      expect(compareKeys(first, bound) < 0 && compareKeys(last, bound) >= 0).toBe(false);
  });
  expect(Math.max(...ranges.map(({ rows }) => rows))).toBeLessThan(120);
});

it("take the integer 1 and the real 1.0 for one key", () => {
  const buckets = new KeyBuckets([]);
  buckets.add([
    [integer(1), one()],
    [{ type: "real", text: "1.0" }, one()],
    [integer(2), one()],
  ]);
  expect(buckets.end().map(({ rows }) => rows)).toEqual([2, 1]);
});

it("fence posts stay few, and tell of every row", () => {
  const posts = new FencePosts();
  let rows = 0;
  for (let index = 0; index < 50_000; index++) {
    posts.add(index === 0 ? null : String(rows), distanceAfter(index));
    rows += distanceAfter(index);
  }
  const { spans } = posts;
  expect(spans.length).toBeGreaterThan(3_000);
  expect(spans.length).toBeLessThanOrEqual(8_000);
  let at = 0;
  for (const span of spans) {
    expect(span.after).toBe(at === 0 ? null : String(at));
    at += span.rows;
  }
  expect(at).toBe(rows);
});

it("rows that one group alone has are far from drawn one by one", () => {
  const spread = { rows: 800, bytes: 0, groups: Array.from({ length: 8 }, () => 100) };
  const alone = Array.from({ length: 8 }, (_, group) => ({
    rows: 800,
    bytes: 0,
    groups: Array.from({ length: 8 }, (_unused, index) => (index === group ? 800 : 0)),
  }));
  expect(clusteringOf([spread, spread], 10)).toBe(1);
  expect(clusteringOf(alone, 10)).toBeGreaterThan(50);
});
