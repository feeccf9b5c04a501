/** Figures of two engines side by side, and what their difference is worth. Pure. */
import type { ReportedFigure, Unit } from "../report.ts";
import {
  CONFIDENCE,
  type RatioInterval,
  type Series,
  maxOf,
  medianOf,
  minOf,
  presentOf,
  ratioInterval,
} from "../statistics.ts";

export type Side = "this" | "other";
export const SIDES = ["this", "other"] as const;

/** One figure of both engines. */
export interface Comparison {
  readonly name: string;
  readonly unit: Unit;
  readonly this: Summary;
  readonly other: Summary;
  /** Median of this to median of the other; null when either has none, or both are zero. */
  readonly ratio: number | null;
  readonly interval: RatioInterval | null;
  readonly reading: Reading;
  /** The text in place of a median that is missing. */
  readonly none: string | null;
}

export interface Summary {
  /** One value a run, in the order of the runs. */
  readonly values: Series;
  readonly median: number | null;
  readonly min: number | null;
  readonly max: number | null;
}

/** `better` and `worse` are above noise; `same` is not; `unknown` has too few values to tell. */
export interface Reading {
  readonly verdict: "better" | "worse" | "same" | "unknown";
  /** For people. */
  readonly text: string;
}

/**
 * Returns the order of the runs: A B, B A, A B, …, so that a drift of the machine meets both alike.
 */
export function turnsOf(runs: number): { readonly side: Side; readonly run: number }[] {
  return Array.from({ length: runs }, (_, run) => {
    const [first, second] = run % 2 === 0 ? SIDES : SIDES.toReversed();
    return [first, second].flatMap((side) => (side === undefined ? [] : [{ side, run }]));
  }).flat();
}

/**
 * One comparison for each figure that each run of a side gave and that repeats no other. @throws
 * Error when runs gave different figures.
 */
export function compareFigures(
  runs: Readonly<Record<Side, readonly (readonly ReportedFigure[])[]>>,
): Comparison[] {
  return (runs.this[0] ?? []).flatMap(
    ({ name, unit, none = "no value", repeats = false }, index) => {
      const seriesOf = (side: Side): Series =>
        runs[side].flatMap((figures) => {
          const figure = figures[index];
          if (figure?.name !== name)
            throw new Error(
              `A run gave '${figure?.name ?? "nothing"}' where another gave '${name}'`,
            );
          return figure.values;
        });
      return repeats
        ? []
        : [compareSeries({ name, unit, none }, seriesOf("this"), seriesOf("other"))];
    },
  );
}

export function compareSeries(
  { name, unit, none }: { readonly name: string; readonly unit: Unit; readonly none: string },
  values: Series,
  others: Series,
): Comparison {
  const [ours, theirs] = [summaryOf(values), summaryOf(others)];
  const isMissing = ours.median === null || theirs.median === null;
  const interval = ratioInterval(values, others);
  return {
    name,
    unit,
    this: ours,
    other: theirs,
    ratio:
      ours.median === null || theirs.median === null || theirs.median === 0
        ? null
        : ours.median / theirs.median,
    interval,
    reading: readDifference(unit, ours, theirs, interval),
    none: isMissing ? none : null,
  };
}

function summaryOf(values: Series): Summary {
  return { values, median: medianOf(values), min: minOf(values), max: maxOf(values) };
}

function readDifference(
  unit: Unit,
  ours: Summary,
  theirs: Summary,
  interval: RatioInterval | null,
): Reading {
  if (interval === null) return { verdict: "unknown", text: "no value to compare" };
  const words = wordsOf(unit);
  const fewest = Math.min(presentOf(ours.values).length, presentOf(theirs.values).length);
  if (
    isConstant(ours) &&
    isConstant(theirs) &&
    (ours.min === theirs.min || (isCount(unit) && fewest > 1))
  ) {
    if (ours.min === theirs.min) return { verdict: "same", text: "the same in every run" };
    const isMore = (ours.min ?? 0) > (theirs.min ?? 0);
    return {
      verdict: isMore === words.isMoreBetter ? "better" : "worse",
      text: `${isMore ? words.more : words.less}, by as much in every run`,
    };
  }
  const isEnough = interval.confidence >= CONFIDENCE;
  const isMore = interval.from > 1;
  const isLess = interval.to < 1;
  if (!isMore && !isLess) {
    const worst = words.isMoreBetter ? interval.from : interval.to;
    const bound = `${words.isMoreBetter ? words.less : words.more} by ${percentAway(worst)}`;
    return isEnough
      ? { verdict: "same", text: `within noise: ${bound}` }
      : { verdict: "unknown", text: `within noise, ${countRuns(fewest)} only` };
  }
  const word = isMore ? words.more : words.less;
  if (!isEnough)
    return { verdict: "unknown", text: `${word}, but may be chance in ${countRuns(fewest)}` };
  return {
    verdict: isMore === words.isMoreBetter ? "better" : "worse",
    text: `${word}, above noise`,
  };
}

function wordsOf(unit: Unit): {
  readonly more: string;
  readonly less: string;
  readonly isMoreBetter: boolean;
} {
  switch (unit) {
    case "rows/s":
      return { more: "faster", less: "slower", isMoreBetter: true };
    case "ms":
    case "s":
    case "µs":
      return { more: "slower", less: "faster", isMoreBetter: false };
    case "MB":
    case "rows":
    case "%":
    case "ratio":
      return { more: "more", less: "less", isMoreBetter: false };
  }
}

/** Counted, not timed: what does not differ from run to run has no noise. */
function isCount(unit: Unit): boolean {
  return unit === "rows" || unit === "ratio";
}

function isConstant({ min, max }: Summary): boolean {
  return min === max;
}

function countRuns(count: number): string {
  return count === 1 ? "1 run" : `${count} runs`;
}

/** How far a ratio is from 1, in the direction it lies. */
function percentAway(ratio: number): string {
  const percent = Math.abs(ratio - 1) * 100;
  return !Number.isFinite(percent)
    ? "any amount"
    : percent < 1
      ? "less than 1 %"
      : `at most ${Math.round(percent)} %`;
}
