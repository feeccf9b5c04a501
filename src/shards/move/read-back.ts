/**
 * What a target holds, read from its tables again, as the text that is hashed and compared with the source's.
 *
 * A message's own rows are never hashed here: rule "no source row is removed before the digest of its copy matched" is about what is
 * stored. Two ways: a page that has just been stored, in one statement; and any rows by their keys, for a second look.
 */
import type { RowsPart } from "../protocol/messages.ts";
import type { MovePlan, MoveTable } from "./move-plan.ts";
import { partText } from "./outbox.ts";
import {
  LARGE_ROW_BYTES,
  type RowForm,
  cellsText,
  inPlainForm,
  isAltered,
  isTooBig,
  jsonCell,
  primaryKeyMatches,
  primaryKeyOrder,
  readCells,
  rowBytes,
  rowJson,
} from "../storage/row-codec.ts";
import { type Sql, type SqlRow, quoteName, textOf } from "../storage/storage.ts";
import type { Table } from "../storage/tables.ts";

/** The rows of a part as they are stored. Differs from the source's text when any of them does, or when a row stands among them. */
export function storedText(sql: Sql, { moving }: MovePlan, moveTable: MoveTable, part: RowsPart): string {
  const { table, store } = moveTable;
  // What one source sends in the order of its keys stands there without a row of another between: no key is looked up.
  const isAlone = moving.mode === "swap" && moving.from.members.length === 1 && part.large.length === 0;
  const rows = part.rowCount === 0 ? "" : isAlone ? spanText(sql, moveTable, part) : listText(sql, moveTable, part);
  const keys = part.large.map((row) => row.key);
  return partText(
    rows,
    keys.map((key) => cellsText(readCells(sql, { ...table, name: store }, key))),
  );
}

/** Rows of `keys` in their order, one by one. */
export function rowsText(sql: Sql, { table, store }: MoveTable, keys: string): string {
  const stored = { ...table, name: store };
  return inPlainForm(sql, (form) => {
    const query = `SELECT j.value AS pk, CASE WHEN ${rowBytes(table.columns, "t")} <= ${LARGE_ROW_BYTES} THEN ${rowJson(table.columns, "t", form)} END AS row
      FROM json_each(?1) AS j CROSS JOIN ${quoteName(store)} AS t ON ${primaryKeyMatches(table, "t", "j.value")} ORDER BY j.key`;
    const texts: string[] = [];
    for (const row of sql.rows<SqlRow>(query, keys)) {
      const json = row["row"] === null ? null : textOf(row["row"]);
      texts.push(json === null || isAltered(json) ? cellsText(readCells(sql, stored, textOf(row["pk"]))) : json);
    }
    return texts.join("\n");
  });
}

/** Everything from the first key of the part to its last. */
function spanText(sql: Sql, { table, store }: MoveTable, part: RowsPart): string {
  const order = primaryKeyOrder(table, "t");
  const bound = (at: string): string =>
    table.primaryKey
      .map((_, index) => jsonCell(`json_extract(?1, '$[${at}]')`, index, 0, table.primaryKey.length, part.withBlobs))
      .join(", ");
  const rows = `${quoteName(store)} AS t WHERE (${order}) >= (${bound("0")}) AND (${order}) <= (${bound("#-1")}) ORDER BY ${order}`;
  return joinRows(sql, table, rows, part);
}

/** The rows under the keys of the part, large ones left out. */
function listText(sql: Sql, { table, store }: MoveTable, part: RowsPart): string {
  const same = table.primaryKey
    .map((name, index) => `t.${quoteName(name)} = ${jsonCell("j.value", index, 0, table.primaryKey.length, part.withBlobs)}`)
    .join(" AND ");
  const rows = `json_each(?1) AS j CROSS JOIN ${quoteName(store)} AS t ON ${same} WHERE j.key < ${part.rowCount} ORDER BY j.key`;
  return joinRows(sql, table, rows, part);
}

function joinRows(sql: Sql, { columns }: Table, from: string, { keys, rowCount, withBlobs }: RowsPart): string {
  const read = (form: RowForm): string => {
    // One row more than there should be shows as well as all of them.
    const rows = `SELECT ${rowJson(columns, "t", form)} AS row FROM ${from} LIMIT ${rowCount + 1}`;
    return sql.first<{ rows: string | null }>(`SELECT group_concat(row, ',') AS rows FROM (${rows})`, keys)?.rows ?? "";
  };
  try {
    return withBlobs ? read("masked") : inPlainForm(sql, read);
  } catch (error) {
    if (isTooBig(error)) return "rows larger than those of the part";
    throw error;
  }
}
