/**
 * A table of the page: rows on a wide screen, one card each on a narrow one. The roles are said,
 * because CSS takes them away.
 */
import { type Markup, markup } from "./markup.ts";

export interface TableRow {
  /** Tells rows apart when the page brings itself up to date. */
  readonly key: string;
  readonly cells: readonly Markup[];
}

export function table(
  caption: string,
  columns: readonly string[],
  rows: readonly TableRow[],
): Markup {
  return markup`<table class="cards" role="table"><caption class="hidden">${caption}</caption>
<thead role="rowgroup"><tr role="row">${columns.map((name) => markup`<th scope="col" role="columnheader">${name}</th>`)}</tr></thead>
<tbody role="rowgroup">${rows.map(
    ({ key, cells }) =>
      markup`<tr role="row" data-key="${key}">${cells.map((cell, index) => markup`<td role="cell" data-label="${columns[index] ?? ""}">${cell}</td>`)}</tr>
`,
  )}</tbody></table>`;
}
