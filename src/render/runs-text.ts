/** Runs for a terminal, in the order given (newest first), one line each. */
import type { Run } from "../core/api.ts";
import { type Cell, alignColumns } from "./columns.ts";
import { PLAIN_PALETTE } from "./palette.ts";
import { printable, shorten } from "./printable.ts";
import { FINGERPRINT_DIGITS, type RunTextOptions, paintState, summarizeRun } from "./run-text.ts";
import { formatDuration, formatMoment } from "./time.ts";

/** The runs as lines of text, ending with a newline. */
export function renderRuns(runs: readonly Run[], { now, palette = PLAIN_PALETTE }: RunTextOptions): string {
  if (runs.length === 0) return "No runs yet.\n";
  const rows = runs.map((run): Cell[] => [
    printable(run.id),
    formatMoment(run.startedAt),
    { text: run.state, paint: paintState(run.state, palette) },
    `plan ${printable(shorten(run.fingerprint, FINGERPRINT_DIGITS))}…`,
    formatDuration((run.finishedAt ?? now) - run.startedAt),
    `by ${printable(run.requestedBy)}`,
    summarizeRun(run),
  ]);
  return `${alignColumns(
    Array.from({ length: 7 }, () => ({ align: "left" as const })),
    rows,
  ).join("\n")}\n`;
}
