/** The history for a terminal, in the order given (newest first), one line an event. */
import { formatQuantity } from "../model/figures.ts";
import type { HistoryEvent } from "../model/event.ts";
import { alignColumns } from "./columns.ts";
import { printable, shorten } from "./printable.ts";
import { formatDuration, formatMoment } from "./time.ts";

const COMMIT_DIGITS = 7;

/** The events as lines of text, ending with a newline. */
export function renderEvents(events: readonly HistoryEvent[]): string {
  if (events.length === 0) return "No events yet.\n";
  const rows = events.map((event) => [
    formatMoment(event.at),
    event.kind,
    printable(event.namespace ?? ""),
    printable([event.summary, figuresOf(event)].filter((part) => part !== "").join(", ")),
    `by ${printable(event.actor)}`,
    originOf(event),
  ]);
  const columns = Array.from({ length: 6 }, () => ({ align: "left" as const }));
  return `${alignColumns(columns, rows).join("\n")}\n`;
}

function figuresOf({ rowsMoved, durationMs }: HistoryEvent): string {
  const rows = rowsMoved === null ? [] : [`${formatQuantity(rowsMoved, "row")} moved`];
  const took = durationMs === null ? [] : [`in ${formatDuration(durationMs)}`];
  return [...rows, ...took].join(" ");
}

function originOf({ pull, commit, run }: HistoryEvent): string {
  const parts = [
    ...(pull === null ? [] : [`#${pull}`]),
    ...(commit === null ? [] : [shorten(printable(commit), COMMIT_DIGITS)]),
    ...(run === null ? [] : [printable(run)]),
  ];
  return parts.join(" ");
}
