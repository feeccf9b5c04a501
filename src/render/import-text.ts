/** Shows what an import of the Worker's own state would take over, for the command line. */
import { formatCount } from "../model/figures.ts";
import type { ImportReport } from "../model/state-file.ts";
import { alignColumns, type Column } from "./columns.ts";
import { printable } from "./printable.ts";

const HEAD = ["table", "in the file", "added", "replaced", "kept as here"];
const COLUMNS = HEAD.map((_, index): Column => ({ align: index === 0 ? "left" : "right" }));

export function renderImportReport({ exportedAt, tables, notes }: ImportReport): string {
  const present = tables.filter(({ rows }) => rows > 0);
  const lines = present.map(({ table, rows, added, replaced, kept }) => [
    printable(table),
    formatCount(rows),
    formatCount(added),
    formatCount(replaced),
    formatCount(kept),
  ]);
  return [
    `The Worker's state of ${new Date(exportedAt).toISOString()}`,
    "",
    ...(present.length === 0
      ? ["It has no row."]
      : alignColumns(COLUMNS, [HEAD, ...lines]).map((line) => `  ${line}`)),
    ...(notes.length === 0 ? [] : ["", ...notes.map((note) => `  ! ${printable(note)}`)]),
  ].join("\n");
}
