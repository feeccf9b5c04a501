import { describe, expect, it } from "vitest";

import { reportFigure } from "../report.ts";
import type { Paused } from "../worker/pause.ts";
import { describeRun, figuresOf } from "./pause.ts";

const PAUSED: Paused = {
  atFences: [40, 60],
  atRest: [4, 6],
  meanwhile: [9],
  fences: [55],
  writes: 100,
  errorCount: 0,
  errors: [],
  durationMs: 800,
  missing: 0,
};
const MET_NONE: Paused = { ...PAUSED, atFences: [] };

function shownOf(runs: readonly Paused[]): Record<string, unknown> {
  const figures = figuresOf("rekey of 2", 2, runs).map((figure) => reportFigure(figure));
  return Object.fromEntries(
    figures.map(({ name, median, none }) => [
      name.slice("pause, rekey of 2: ".length),
      median ?? none,
    ]),
  );
}

describe("the figures of a pause", () => {
  it("are those of the writes that met one", () => {
    expect(shownOf([PAUSED])).toMatchObject({
      p50: 50,
      max: 60,
      "p99 of writes while copying": 9,
      "writes with an error": 0,
    });
  });

  it("say so when no write met one, in one run or in all", () => {
    const met = "none of 200 writes met a pause";
    expect(shownOf([MET_NONE, MET_NONE])).toMatchObject({ p50: met, p99: met, max: met });
    expect(shownOf([MET_NONE, PAUSED])).toMatchObject({ p50: 50, max: 60 });
  });

  it("say so when every write fell into the pause, or none came before the operation", () => {
    const shown = shownOf([{ ...PAUSED, meanwhile: [], atRest: [] }]);
    expect(shown).toMatchObject({
      p50: 50,
      "p99 of writes while copying": "none of 100 writes fell into the copy",
    });
  });

  it("say so when nothing was written", () => {
    const nothing = { ...MET_NONE, atRest: [], meanwhile: [], writes: 0 };
    expect(shownOf([nothing])).toMatchObject({ "writes with an error": "nothing was written" });
    expect(describeRun(nothing)).toBe(
      "no write at rest; 1 fence(s) of 55 ms; no write met one; 0 errors in 0",
    );
  });
});
