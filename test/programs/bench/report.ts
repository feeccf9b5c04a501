/**
 * The figures of one benchmark, as lines of the table and as JSON. A figure without a goal is
 * shown, never judged.
 */
import { type Series, medianOf, presentOf, spreadOf } from "./statistics.ts";

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
  /** One value a run; the figure is their median. Null of a run that gave none. */
  readonly values: Series;
  /**
   * Stands in place of the median when no run gave a value, such as `none of 412 writes met a
   * pause`.
   */
  readonly none?: string;
  /** The values it is measured beside, run by run; null when there is nothing to compare with. */
  readonly reference: { readonly name: string; readonly values: Series } | null;
  readonly goal: Goal | null;
  /** True when another figure has the same values, beside another reference. */
  readonly repeats?: boolean;
  readonly note?: string;
}

export interface ReportedFigure extends Figure {
  /** Null when no run gave a value. */
  readonly median: number | null;
  readonly referenceMedian: number | null;
  /** Median of the ratios of the runs: value to reference of the same run. */
  readonly ratio: number | null;
  /** Null without a goal, or without a value to judge by it. */
  readonly isReached: boolean | null;
  /** (max - min) / median over the runs; null when no run gave a value. */
  readonly spread: number | null;
}

/** @throws Error when a goal asks for a ratio and there is no reference. */
export function reportFigure(figure: Figure): ReportedFigure {
  if (figure.goal?.of === "ratio" && figure.reference === null)
    throw new Error("A goal for a ratio needs a reference");
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
  return alignColumns(
    HEADER,
    figures.map((figure) => cellsOf(figure)),
    [0],
  );
}

/**
 * Lines of cells under a header and a rule, as wide as their widest cell; the columns of `left`
 * begin at the left, the others end at the right.
 */
export function alignColumns(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  left: readonly number[],
): string[] {
  const cells = [header, ...rows];
  const widths = header.map((_, column) =>
    Math.max(...cells.map((row) => row[column]?.length ?? 0)),
  );
  const lines = cells.map((row) =>
    row
      .map((cell, column) =>
        left.includes(column)
          ? cell.padEnd(widths[column] ?? 0)
          : cell.padStart(widths[column] ?? 0),
      )
      .join("  ")
      .trimEnd(),
  );
  return [lines[0] ?? "", widths.map((width) => "─".repeat(width)).join("  "), ...lines.slice(1)];
}

const HEADER = ["figure", "value", "reference", "ratio", "goal", "reached", "spread", "runs"];

/** One line of the table, in the order of its header. */
export function cellsOf(figure: ReportedFigure): string[] {
  const {
    name,
    unit,
    median,
    none = "no value",
    referenceMedian,
    ratio,
    goal,
    isReached,
    spread,
    values,
  } = figure;
  const measured = presentOf(values).length;
  return [
    name,
    median === null ? none : formatValue(median, unit),
    referenceMedian === null ? "" : formatValue(referenceMedian, unit),
    ratio === null ? "" : ratio.toFixed(2),
    goal === null ? "" : formatGoal(goal, unit),
    isReached === null ? "" : isReached ? "yes" : "NO",
    spread === null ? "" : `±${Math.round((spread / 2) * 100)} %`,
    measured === values.length ? String(measured) : `${measured} of ${values.length}`,
  ];
}

function ratioOf({ values, reference }: Figure): number | null {
  if (reference === null) return null;
  // A reference that was taken once stands beside every run.
  const once = reference.values.length === 1 ? reference.values[0] : undefined;
  return medianOf(
    values.map((value, run) => ratioTo(value, once ?? reference.values[run] ?? null)),
  );
}

function ratioTo(value: number | null, reference: number | null): number | null {
  return value === null || reference === null || reference === 0 ? null : value / reference;
}

function isWithin(
  { of, is, limit }: Goal,
  value: number | null,
  ratio: number | null,
): boolean | null {
  const found = of === "value" ? value : ratio;
  if (found === null) return null;
  return is === "atLeast" ? found >= limit : found <= limit;
}

function formatGoal({ of, is, limit }: Goal, unit: Unit): string {
  return `${is === "atLeast" ? "≥" : "≤"} ${of === "ratio" ? limit.toFixed(2) : formatValue(limit, unit)}`;
}

export function formatValue(value: number, unit: Unit): string {
  const digits =
    unit === "ratio" ? 3 : value >= 100 || Number.isInteger(value) ? 0 : value >= 10 ? 1 : 2;
  const text = value.toFixed(digits).replace(/\B(?=(\d{3})+(?!\d)(?<!\.\d*))/g, ",");
  return unit === "ratio" ? text : `${text} ${unit}`;
}
