import { describe, expect, it } from "vitest";

import { type Figure, type Unit, reportFigure } from "../report.ts";
import type { Series } from "../statistics.ts";
import { type Comparison, compareFigures, compareSeries, turnsOf } from "./compare.ts";
import { renderComparisons, renderConclusion } from "./table.ts";

const compare = (unit: Unit, values: Series, others: Series): Comparison =>
  compareSeries({ name: "figure", unit, none: "none of 9 writes met a pause" }, values, others);

describe("the turns of two engines", () => {
  it("alternate who goes first, so that each is first and last as often", () => {
    expect(turnsOf(4).map(({ side, run }) => `${side} ${run}`)).toEqual([
      "this 0",
      "other 0",
      "other 1",
      "this 1",
      "this 2",
      "other 2",
      "other 3",
      "this 3",
    ]);
  });
});

describe("a reading", () => {
  const fast = [100, 101, 102, 103, 104];
  const slow = [80, 81, 82, 83, 84];
  const wide = [60, 90, 100, 110, 140];

  it.each([
    {
      case: "a higher rate",
      unit: "rows/s",
      values: fast,
      others: slow,
      verdict: "better",
      text: "faster, above noise",
    },
    {
      case: "a lower rate",
      unit: "rows/s",
      values: slow,
      others: fast,
      verdict: "worse",
      text: "slower, above noise",
    },
    {
      case: "a longer time",
      unit: "ms",
      values: fast,
      others: slow,
      verdict: "worse",
      text: "slower, above noise",
    },
    {
      case: "a shorter time",
      unit: "µs",
      values: slow,
      others: fast,
      verdict: "better",
      text: "faster, above noise",
    },
    {
      case: "more memory",
      unit: "MB",
      values: fast,
      others: slow,
      verdict: "worse",
      text: "more, above noise",
    },
    {
      case: "overlapping times",
      unit: "s",
      values: fast,
      others: wide,
      verdict: "same",
      text: /^within noise: slower by at most \d+ %$/,
    },
    {
      case: "overlapping rates",
      unit: "rows/s",
      values: wide,
      others: fast,
      verdict: "same",
      text: /^within noise: slower by at most \d+ %$/,
    },
    {
      case: "three runs apart",
      unit: "ms",
      values: [9, 9.5, 10],
      others: [1, 2, 3],
      verdict: "unknown",
      text: "slower, but may be chance in 3 runs",
    },
    {
      case: "one run",
      unit: "ms",
      values: [9],
      others: [1],
      verdict: "unknown",
      text: "slower, but may be chance in 1 run",
    },
    {
      case: "two runs that overlap",
      unit: "ms",
      values: [1, 4],
      others: [2, 3],
      verdict: "unknown",
      text: "within noise, 2 runs only",
    },
    {
      case: "counts that never vary",
      unit: "ratio",
      values: [2.1, 2.1],
      others: [2, 2],
      verdict: "worse",
      text: "more, by as much in every run",
    },
    {
      case: "equal counts",
      unit: "ratio",
      values: [2],
      others: [2],
      verdict: "same",
      text: "the same in every run",
    },
    {
      case: "times that happen to be equal on each side",
      unit: "ms",
      values: [5, 5],
      others: [6, 6],
      verdict: "unknown",
      text: "faster, but may be chance in 2 runs",
    },
    {
      case: "no errors on either side",
      unit: "%",
      values: [0, 0],
      others: [0, 0],
      verdict: "same",
      text: "the same in every run",
    },
    {
      case: "a side without values",
      unit: "ms",
      values: [null, null],
      others: [1, 2],
      verdict: "unknown",
      text: "no value to compare",
    },
  ] as const)("of $case is $verdict", ({ unit, values, others, verdict, text }) => {
    const { reading } = compare(unit, values, others);
    expect(reading.verdict).toBe(verdict);
    expect(reading.text).toMatch(text);
  });

  it.each([
    {
      values: [1000, 1000, 1000, 1004],
      others: [1000, 1000, 1000, 1000],
      text: "within noise: slower by less than 1 %",
    },
    { values: [0, 0, 0, 3], others: [0, 0, 0, 0], text: "within noise: slower by any amount" },
  ])("of $values beside $others is '$text'", ({ values, others, text }) => {
    expect(compare("ms", values, others).reading.text).toBe(text);
  });

  it("tells by how much this may still be worse, not better", () => {
    const { interval, reading } = compare("ms", [100, 100, 100, 110], [100, 100, 100, 100]);
    expect(interval).toMatchObject({ from: 1, to: 1.1 });
    expect(reading.text).toBe("within noise: slower by at most 10 %");
  });
});

describe("a comparison", () => {
  const figure = (name: string, values: Series): Figure => ({
    name,
    unit: "ms",
    values,
    reference: null,
    goal: null,
  });
  const run = (...figures: Figure[]) => figures.map((one) => reportFigure(one));

  it("takes the values of all runs of a side, figure by figure", () => {
    const [get, insert] = compareFigures({
      this: [
        run(figure("get", [1]), figure("insert", [10])),
        run(figure("get", [3]), figure("insert", [null])),
      ],
      other: [
        run(figure("get", [4]), figure("insert", [20])),
        run(figure("get", [4]), figure("insert", [20])),
      ],
    });
    expect(get).toMatchObject({
      name: "get",
      ratio: 0.5,
      this: { values: [1, 3], median: 2, min: 1, max: 3 },
    });
    expect(insert).toMatchObject({
      name: "insert",
      ratio: 0.5,
      this: { values: [10, null], median: 10 },
    });
  });

  it("leaves out a figure that has the values of another beside another reference", () => {
    const figures = run(figure("get", [1]), {
      ...figure("get, against another way", [1]),
      repeats: true,
    });
    expect(compareFigures({ this: [figures], other: [figures] }).map(({ name }) => name)).toEqual([
      "get",
    ]);
  });

  it("refuses runs of different figures", () => {
    expect(() =>
      compareFigures({ this: [run(figure("get", [1]))], other: [run(figure("insert", [1]))] }),
    ).toThrow("A run gave 'insert' where another gave 'get'");
  });

  it("is shown with what stands for a missing median", () => {
    const lines = renderComparisons([
      compare("ms", [null], [1200]),
      compare("rows/s", [90, 110], [100, 100]),
    ]);
    expect(lines[2]).toMatch(/none of 9 writes met a pause +1,200 ms .* no value to compare$/);
    expect(lines[3]).toMatch(
      /100 rows\/s +90 … 110 +100 rows\/s +1\.00 +0\.90 … 1\.10 {2}within noise, 2 runs only$/,
    );
  });

  it("ends with what is above noise", () => {
    const worse = compareSeries(
      { name: "shard", unit: "rows/s", none: "" },
      [1, 2, 3, 4],
      [10, 11, 12, 13],
    );
    const conclusion = renderConclusion([worse, compare("ms", [1], [1])]);
    expect(conclusion.slice(0, 2)).toEqual([
      "Worse, above noise: shard",
      "Better, above noise: none",
    ]);
  });
});
