/** Tables of a terminal: columns as wide as their widest cell, no lines, no trailing blanks. */

export interface Column {
  readonly align: "left" | "right";
  /** Blanks before the column. Default 3, and none before the first. */
  readonly gap?: number;
}

/** A cell is its text, or a text with the paint that is put on after its width is known. */
export type Cell = string | { readonly text: string; readonly paint: (text: string) => string };

const DEFAULT_GAP = 3;

/** One line per row. Rows may be shorter than the columns. */
export function alignColumns(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
): string[] {
  const widths = columns.map((_, index) =>
    rows.reduce((most, row) => Math.max(most, widthOf(textOf(row[index]))), 0),
  );
  return rows.map((row) => {
    let line = "";
    let pending = "";
    columns.forEach((column, index) => {
      const width = widths[index] ?? 0;
      if (width === 0) return;
      const cell = row[index] ?? "";
      const text = textOf(cell);
      const padding = " ".repeat(width - widthOf(text));
      if (index > 0) pending += " ".repeat(column.gap ?? DEFAULT_GAP);
      if (text === "") {
        pending += padding;
        return;
      }
      const painted = typeof cell === "string" ? text : cell.paint(text);
      line += pending + (column.align === "right" ? padding + painted : painted);
      pending = column.align === "right" ? "" : padding;
    });
    return line;
  });
}

function textOf(cell: Cell | undefined): string {
  return cell === undefined ? "" : typeof cell === "string" ? cell : cell.text;
}

/** Code points, which is near enough to columns for what people name things. */
function widthOf(text: string): number {
  return Array.from(text).length;
}
