/** A comparison as the lines of a table for the terminal. Pure. */
import { alignColumns, formatValue } from "../report.ts";
import { CONFIDENCE } from "../statistics.ts";
import type { Comparison, Summary } from "./compare.ts";

const HEADER = [
  "figure",
  "this",
  "min … max",
  "other",
  "min … max",
  "ratio",
  "interval",
  "reading",
];
const ALIGNED_LEFT = [0, 7];

/** The lines of the table, header first. */
export function renderComparisons(comparisons: readonly Comparison[]): string[] {
  return alignColumns(
    HEADER,
    comparisons.map((one) => [
      one.name,
      ...summaryCells(one, one.this),
      ...summaryCells(one, one.other),
      one.ratio === null ? "" : one.ratio.toFixed(2),
      one.interval === null
        ? ""
        : `${shownRatio(one.interval.from)} … ${shownRatio(one.interval.to)}`,
      one.reading.text,
    ]),
    ALIGNED_LEFT,
  );
}

/** Renders the conclusion of the whole table. */
export function renderConclusion(comparisons: readonly Comparison[]): string[] {
  const named = (verdict: Comparison["reading"]["verdict"]): string =>
    comparisons
      .filter(({ reading }) => reading.verdict === verdict)
      .map(({ name }) => name)
      .join("; ") || "none";
  const unknown = comparisons.filter(({ reading }) => reading.verdict === "unknown").length;
  return [
    `Worse, above noise: ${named("worse")}`,
    `Better, above noise: ${named("better")}`,
    ...(unknown > 0
      ? [
          `${unknown} of ${comparisons.length} figures have too few values to tell: take 4 runs or more`,
        ]
      : []),
    `The ratio is this to other, by medians. With ${CONFIDENCE * 100} % confidence the true one lies in the interval (less with under 4 runs), so of 20`,
    "equal figures about one is outside by chance: take that one again with --only and more runs.",
  ];
}

function summaryCells({ unit, none }: Comparison, { median, min, max }: Summary): string[] {
  if (median === null || min === null || max === null) return [none ?? "", ""];
  return [formatValue(median, unit), min === max ? "" : `${bare(min, unit)} … ${bare(max, unit)}`];
}

/** Without its unit, which stands beside the median. */
function bare(value: number, unit: Comparison["unit"]): string {
  return formatValue(value, unit).split(" ")[0] ?? "";
}

function shownRatio(ratio: number): string {
  return Number.isFinite(ratio) ? ratio.toFixed(2) : "∞";
}
