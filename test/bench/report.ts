/** What one benchmark found, as a line of the table and as JSON. A figure without a goal is shown, never judged. */
import { medianOf, spreadOf } from "./statistics.ts";

export type Unit = "rows/s" | "ms" | "s" | "MB" | "rows" | "%" | "ratio" | "µs";

/** A value that a figure must not pass. */
export interface Goal {
  readonly of: "value" | "ratio";
  readonly is: "atLeast" | "atMost";
  readonly limit: number;
}

export interface Figure {
  readonly name: string;
  readonly unit: Unit;
  /** One value a run; the figure is their median. */
  readonly values: readonly number[];
  /** What it is measured beside, run by run; null when there is nothing to compare with. */
  readonly reference: { readonly name: string; readonly values: readonly number[] } | null;
  readonly goal: Goal | null;
  readonly note?: string;
}

export interface ReportedFigure extends Figure {
  readonly median: number;
  readonly referenceMedian: number | null;
  /** Median of the ratios of the runs: value to reference of the same run. */
  readonly ratio: number | null;
  readonly isReached: boolean | null;
  /** (max - min) / median over the runs. */
  readonly spread: number;
}

export function reportFigure(figure: Figure): ReportedFigure {
  const median = medianOf(figure.values);
  const ratio = ratioOf(figure);
  return {
    ...figure,
    median,
    referenceMedian: figure.reference && medianOf(figure.reference.values),
    ratio,
    isReached: figure.goal && isWithin(figure.goal, median, ratio),
    spread: spreadOf(figure.values),
  };
}

/** The lines of the table, header first; columns are as wide as their widest cell. */
export function renderTable(figures: readonly ReportedFigure[]): string[] {
  const cells = [HEADER, ...figures.map((figure) => cellsOf(figure))];
  const widths = HEADER.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const lines = cells.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
  return [lines[0] ?? "", widths.map((width) => "─".repeat(width)).join("  "), ...lines.slice(1)];
}

const HEADER = ["figure", "value", "reference", "ratio", "goal", "reached", "spread", "runs"];

/** One line of the table, in the order of its header. */
export function cellsOf(figure: ReportedFigure): string[] {
  const { name, unit, median, referenceMedian, ratio, goal, isReached, spread, values } = figure;
  return [
    name,
    formatValue(median, unit),
    referenceMedian === null ? "" : formatValue(referenceMedian, unit),
    ratio === null ? "" : ratio.toFixed(2),
    goal === null ? "" : formatGoal(goal, unit),
    isReached === null ? "" : isReached ? "yes" : "NO",
    `±${Math.round((spread / 2) * 100)} %`,
    String(values.length),
  ];
}

function ratioOf({ values, reference }: Figure): number | null {
  if (reference === null) return null;
  return medianOf(values.map((value, run) => value / (reference.values[run] ?? medianOf(reference.values))));
}

function isWithin({ of, is, limit }: Goal, value: number, ratio: number | null): boolean {
  const found = of === "value" ? value : ratio;
  if (found === null) throw new Error("A goal for a ratio needs a reference");
  return is === "atLeast" ? found >= limit : found <= limit;
}

function formatGoal({ of, is, limit }: Goal, unit: Unit): string {
  return `${is === "atLeast" ? "≥" : "≤"} ${of === "ratio" ? limit.toFixed(2) : formatValue(limit, unit)}`;
}

function formatValue(value: number, unit: Unit): string {
  const digits = unit === "ratio" ? 3 : value >= 100 || Number.isInteger(value) ? 0 : value >= 10 ? 1 : 2;
  const text = value.toFixed(digits).replace(/\B(?=(\d{3})+(?!\d)(?<!\.\d*))/g, ",");
  return unit === "ratio" ? text : `${text} ${unit}`;
}
