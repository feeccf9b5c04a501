import { describe, expect, it } from "vitest";

import { type Figure, cellsOf, renderTable, reportFigure } from "./report.ts";

const PAUSE: Figure = {
  name: "pause",
  unit: "ms",
  values: [120, 80, 100],
  none: "none of 300 writes met a pause",
  reference: { name: "at rest", values: [10, 10, 10] },
  goal: { of: "value", is: "atMost", limit: 110 },
};

describe("a figure", () => {
  it("is the median of its runs, beside the reference of the same runs", () => {
    expect(reportFigure(PAUSE)).toMatchObject({
      median: 100,
      referenceMedian: 10,
      ratio: 10,
      isReached: true,
      spread: 0.4,
    });
  });

  it("without a value says why, and reaches and misses no goal", () => {
    const reported = reportFigure({ ...PAUSE, values: [null, null, null] });
    expect(reported).toMatchObject({
      median: null,
      ratio: null,
      isReached: null,
      spread: null,
      referenceMedian: 10,
    });
    expect(cellsOf(reported)).toEqual([
      "pause",
      "none of 300 writes met a pause",
      "10 ms",
      "",
      "≤ 110 ms",
      "",
      "",
      "0 of 3",
    ]);
    expect(renderTable([reported]).at(-1)).toContain("none of 300 writes met a pause");
  });

  it("of which some runs gave no value says of how many it is", () => {
    const reported = reportFigure({
      ...PAUSE,
      values: [null, 80, 100],
      reference: { name: "at rest", values: [1, null, 10] },
    });
    expect(reported).toMatchObject({ median: 90, ratio: 10, referenceMedian: 5.5 });
    expect(cellsOf(reported).at(-1)).toBe("2 of 3");
  });

  it("has no ratio to a reference without values, and no judgement by one", () => {
    const goal = { of: "ratio", is: "atMost", limit: 2 } as const;
    expect(
      reportFigure({ ...PAUSE, reference: { name: "at rest", values: [] }, goal }),
    ).toMatchObject({
      ratio: null,
      isReached: null,
      referenceMedian: null,
    });
    expect(() => reportFigure({ ...PAUSE, reference: null, goal })).toThrow("needs a reference");
  });

  it("stands beside a reference that was taken once in every run", () => {
    expect(reportFigure({ ...PAUSE, reference: { name: "minimum", values: [50] } }).ratio).toBe(2);
  });
});
