/** Renders single rows as the objects of a namespace name them, for whoever may apply. */
import type { RowIds } from "../model/live.ts";
import { printable } from "./printable.ts";

export function renderRowIds({ texts, misplaced, unsaid }: RowIds): string {
  const lines = [
    ...texts.map(({ of, text }) => `${printable(of)}: ${printable(text)}`),
    ...misplaced.map(
      ({ member, table, id, key }) =>
        `${printable(member)} does not own row ${printable(id)} of '${printable(table)}', key ${printable(key)}`,
    ),
    ...unsaid.map((member) => `${printable(member)} could not be asked for its misplaced rows`),
  ];
  return `${(lines.length === 0 ? ["The objects name no row."] : lines).join("\n")}\n`;
}
