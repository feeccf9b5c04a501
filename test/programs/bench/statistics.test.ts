import { describe, expect, it } from "vitest";

import {
  CONFIDENCE,
  maxOf,
  medianOf,
  minOf,
  perSecond,
  quantileOf,
  ratioInterval,
  shareOf,
  spreadOf,
} from "./statistics.ts";

describe("a series without values", () => {
  it.each([{ series: [] }, { series: [null] }, { series: [null, null, null] }])(
    "has no figure: $series",
    ({ series }) => {
      expect([medianOf, minOf, maxOf, spreadOf].map((work) => work(series))).toEqual([
        null,
        null,
        null,
        null,
      ]);
      expect([0, 0.5, 0.99, 1].map((share) => quantileOf(series, share))).toEqual([
        null,
        null,
        null,
        null,
      ]);
      expect(ratioInterval(series, [1, 2])).toBeNull();
      expect(ratioInterval([1, 2], series)).toBeNull();
    },
  );
});

describe("a quantile", () => {
  it("is interpolated between the sorted values, whatever their order", () => {
    expect(quantileOf([30, 10, 20], 0.5)).toBe(20);
    expect(quantileOf([10, 20], 0.5)).toBe(15);
    expect(quantileOf([0, 100], 0.99)).toBe(99);
    expect(quantileOf([7], 0.99)).toBe(7);
  });

  it("passes over runs that gave no value", () => {
    expect(medianOf([null, 3, null, 1, 2])).toBe(2);
    expect(spreadOf([null, 1, 2, 3])).toBe(1);
  });
});

describe("a rate or a share", () => {
  it("has no value where nothing was counted or no time passed", () => {
    expect(perSecond(100, 50)).toBe(2000);
    expect([perSecond(100, 0), perSecond(0, 50), shareOf(3, 0), shareOf(0, 0)]).toEqual([
      null,
      null,
      null,
      null,
    ]);
    expect(shareOf(0, 4)).toBe(0);
  });
});

describe("the interval of a ratio", () => {
  // Chances of the Mann-Whitney statistic, from its published tables: 2 of C(n + m, n) orders are
  // as far apart as can be.
  it.each([
    { values: [1], others: [1], outside: 1 },
    { values: [1, 2, 3], others: [4, 5, 6], outside: 2 / 20 },
    { values: [1, 2, 3, 4], others: [5, 6, 7, 8], outside: 2 / 70 },
    { values: [1, 2, 3, 4, 5], others: [6, 7, 8, 9, 10], outside: (2 * (1 + 1 + 2)) / 252 },
    { values: [1, 2, 3, 4], others: [5, 6, 7, 8, 9], outside: (2 * (1 + 1)) / 126 },
  ])(
    "has the confidence of $values.length and $others.length runs",
    ({ values, others, outside }) => {
      expect(ratioInterval(values, others)?.confidence).toBeCloseTo(1 - outside, 10);
    },
  );

  it("goes over all ratios with four runs, and leaves out the two outermost at each end with five", () => {
    expect(ratioInterval([1, 2, 3, 4], [1, 1, 1, 1])).toMatchObject({ from: 1, to: 4 });
    expect(ratioInterval([1, 2, 3, 4, 5], [1, 1, 1, 1, 1])).toMatchObject({ from: 1, to: 5 });
    expect(ratioInterval([10, 20, 30, 40, 50], [10, 20, 30, 40, 50])).toMatchObject({
      from: 1 / 3,
      to: 3,
    });
  });

  it("has a side without end where the other side is zero, and is 1 where both are", () => {
    expect(ratioInterval([0, 0, 0, 0], [0, 0, 0, 0])).toMatchObject({ from: 1, to: 1 });
    expect(ratioInterval([0, 1, 2, 3], [0, 0, 0, 0])).toMatchObject({ from: 1, to: Infinity });
  });

  it("holds the true ratio about as often as it says, with runs drawn at random", () => {
    const draw = randomFrom(7);
    const rounds = 2_000;
    let held = 0;
    for (let round = 0; round < rounds; round++) {
      const runs = (): number[] => Array.from({ length: 5 }, () => Math.exp(draw()));
      const interval = ratioInterval(
        runs().map((value) => value * 1.5),
        runs(),
      );
      if (interval && interval.from <= 1.5 && interval.to >= 1.5) held++;
    }
    expect(held / rounds).toBeGreaterThan(CONFIDENCE);
    expect(held / rounds).toBeLessThan(0.985);
  });
});

/** Numbers 0 … 1 from a seed, by a linear congruential generator. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32) / 2 ** 32;
}
