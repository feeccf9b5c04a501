import { describe, expect, it } from "vitest";

import {
  alertFill,
  fillLevel,
  fillWith,
  formatFill,
  neededCount,
} from "../../src/model/capacity.ts";

describe("a level of fill", () => {
  it.each([
    [0.699, "none", "none"],
    [0.7, "none", "warning"],
    [0.69, "warning", "warning"],
    [0.67, "warning", "none"],
    [0.85, "none", "alert"],
    [0.84, "alert", "alert"],
    [0.84, "warning", "warning"],
    [0.82, "alert", "warning"],
    [0.69, "alert", "warning"],
  ] as const)("at %d after %s is %s", (fill, before, level) => {
    expect(fillLevel(fill, 0.7, before)).toBe(level);
  });

  it("alerts halfway from maxFill to full", () => {
    expect([0.5, 0.7, 0.9].map(alertFill)).toEqual([0.75, 0.85, 0.95]);
  });
});

describe("shards with room", () => {
  it("are as uneven as now", () => {
    expect(fillWith(0.87, 2, 3)).toBeCloseTo(0.58);
  });

  it.each([
    [0.87, 8, 64, 12],
    [0.87, 2, 2, null],
    [0.1, 2, 64, null],
    [0.9, 1, 64, 2],
    [0.9, 40, 50, 50],
  ])("of a fullest one at %d of %d, at most %d, are %j", (fullest, members, countMax, count) => {
    expect(neededCount(fullest, members, { maxFill: 0.7, countMax })).toBe(count);
  });
});

it("says of nothing but what is full that it is", () => {
  expect([0.001, 0.7, 0.996, 1, 1.04].map(formatFill)).toEqual([
    "0 %",
    "70 %",
    "99 %",
    "100 %",
    "104 %",
  ]);
});
