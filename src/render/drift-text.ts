/**
 * The drift report for a terminal: what is wrong, since when and what to do, and then what is not
 * as it should be in each namespace.
 */
import type { Drift, DriftReport, NamespaceCondition } from "../model/drift.ts";
import { formatCount, formatQuantity } from "../model/figures.ts";
import { alignColumns } from "./columns.ts";
import { PLAIN_PALETTE, type Palette } from "./palette.ts";
import { printable, shorten } from "./printable.ts";
import { formatAge } from "./time.ts";

export interface DriftTextOptions {
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
  readonly palette?: Palette;
}

const COMMIT_DIGITS = 7;
/** Namespaces that are not ready and are listed; the others are counted. */
const CONDITIONS_MAX = 50;

/** The report as lines of text, ending with a newline. */
export function renderDrift(
  report: DriftReport,
  { now, palette = PLAIN_PALETTE }: DriftTextOptions,
): string {
  const { drifts, paused } = report;
  const blocks = [
    [palette.bold(headOf(report, now))],
    ...(paused === null
      ? []
      : [
          [
            palette.yellow(
              `Paused by ${printable(paused.by)} ${formatAge(paused.at, now)}: ${printable(paused.reason)}`,
            ),
          ],
        ]),
    ...drifts.map((drift) => driftLines(drift, now, palette)),
    conditionLines(report.conditions, now, palette),
    [summaryOf(report)],
  ].filter((lines) => lines.length > 0);
  return `${blocks.map((lines) => lines.join("\n")).join("\n\n")}\n`;
}

/** Where a drift is: its namespace, or the environment as a whole. */
export function placeOf({ namespace }: Drift): string {
  return namespace ?? "the whole environment";
}

function headOf({ environment, commit, checkedAt }: DriftReport, now: number): string {
  const manifests =
    commit === null ? "" : ` · manifests@${printable(shorten(commit, COMMIT_DIGITS))}`;
  const checked = checkedAt === null ? "not checked yet" : `checked ${formatAge(checkedAt, now)}`;
  return `shardctl drift · ${printable(environment)}${manifests} · ${checked}`;
}

function driftLines(drift: Drift, now: number, palette: Palette): string[] {
  const paint = drift.state === "open" ? palette.red : palette.yellow;
  const state = {
    open: "open",
    watching: "seen once",
    warning: "a warning",
    healing: "being corrected",
  }[drift.state];
  return [
    `${paint(drift.kind)} · ${printable(placeOf(drift))} · ${state}, since ${formatAge(drift.firstSeenAt, now)}`,
    `  ${printable(drift.reason)}`,
    ...(drift.detail === null ? [] : [`  ${palette.dim(printable(drift.detail))}`]),
    `  → ${printable(drift.remedy)}`,
  ];
}

function conditionLines(
  conditions: readonly NamespaceCondition[],
  now: number,
  palette: Palette,
): string[] {
  const others = conditions.filter(({ type }) => type !== "Ready");
  const rows = others
    .slice(0, CONDITIONS_MAX)
    .map((condition) => [
      printable(condition.namespace),
      { text: condition.type, paint: condition.type === "Stalled" ? palette.red : palette.yellow },
      printable(condition.reason),
      formatAge(condition.since, now),
      printable(condition.message),
    ]);
  const hidden = others.length - rows.length;
  const columns = Array.from({ length: 5 }, () => ({ align: "left" as const }));
  return [
    ...alignColumns(columns, rows),
    ...(hidden > 0 ? [`… and ${formatCount(hidden)} more`] : []),
  ];
}

function summaryOf({ drifts, conditions, isComplete, checkedAt }: DriftReport): string {
  const ready = conditions.filter(({ type }) => type === "Ready").length;
  const found = drifts.length === 0 ? "No drift" : formatQuantity(drifts.length, "drift");
  const all = `${found}: ${formatCount(ready)} of ${formatQuantity(conditions.length, "namespace")} ready.`;
  return isComplete || checkedAt === null ? all : `${all} Not everything could be read.`;
}
