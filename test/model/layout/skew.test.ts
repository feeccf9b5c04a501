import * as fc from "fast-check";
import { expect, it } from "vitest";

import { isWorthwhile, skewGoal, skewOf, toleratedSkew } from "../../../src/model/layout/skew.ts";
import { formatBytes, formatCount, formatShare } from "../../../src/model/figures.ts";

it.each([
  [[], 1],
  [[0, 0], 1],
  [[5], 1],
  [[10, 0], 2],
  [[6, 1, 1, 0], 3],
])("the skew of %j is %d", (rows, skew) => {
  expect(skewOf(rows)).toBe(skew);
});

it("tolerates what chance explains for few rows, and the policy alone for many", () => {
  expect(toleratedSkew(1.5, 1, 8)).toBeGreaterThan(8);
  expect(toleratedSkew(1.5, 50, 8)).toBeLessThan(8);
  expect(toleratedSkew(1.5, 0, 8)).toBe(1.5);
  fc.assert(
    fc.property(
      fc.integer({ min: 100, max: 1e9 }),
      fc.integer({ min: 1, max: 1000 }),
      (average, members) => {
        expect(toleratedSkew(1.5, average * members, members)).toBe(1.5);
      },
    ),
  );
});

it("aims below the limit, and asks for a gain", () => {
  expect(skewGoal(1.5)).toBe(1.25);
  expect([isWorthwhile(2, 1.9), isWorthwhile(2, 1.91)]).toEqual([true, false]);
});

it("writes figures as people read them", () => {
  expect([0, 999, 1000, 1_204_332].map(formatCount)).toEqual(["0", "999", "1,000", "1,204,332"]);
  expect(
    [0, 999, 1000, 123_456, 999_600, 10_000_000_000, 12_345_678_901_234].map(formatBytes),
  ).toEqual(["0 B", "999 B", "1.0 kB", "123 kB", "1.0 MB", "10.0 GB", "12.3 TB"]);
  expect([
    formatShare(1, 3),
    formatShare(0, 0),
    formatShare(1, 1_000_000),
    formatShare(99_999, 100_000),
    formatShare(5, 5),
  ]).toEqual(["33.3 %", "0.0 %", "< 0.1 %", "99.9 %", "100.0 %"]);
});
