/**
 * Reads a target's rows from its tables again, as the text that is hashed and compared with the
 * source's.
 *
 * A message's own rows are never hashed here: rule "digest-before-deletion" is about what is
 * stored. Two ways: a page that has just been stored, in one statement; and any rows by their keys,
 * for a second look.
 */
import type { RowsPart } from "../protocol/messages.ts";
import type { Incoming, IncomingPart } from "./incoming.ts";
import type { MoveTable } from "./move-plan.ts";
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
import { type Table, keyTerms } from "../storage/tables.ts";

/**
 * The rows of a part as they are stored, as text or as its UTF-8 bytes. Differs from the source's
 * text when any of them does.
 */
export function storedText(
  { sql, plan: { moving } }: Incoming,
  { part, table: moveTable }: IncomingPart,
): string | ArrayBuffer {
  const { table, store } = moveTable;
  if (part.large.length === 0 && part.rowCount > 0) {
    // Rows that a single source has walked in key order are stored without another row between
    // them: no key is looked up.
    const isAlone = moving.mode === "swap" && moving.from.members.length === 1;
    const span = isAlone ? joinRows(sql, table, spanOf(moveTable, part), part, "BLOB") : null;
    // Rows that it has picked for a drain lie among others.
    return span?.count === part.rowCount
      ? span.rows
      : joinRows(sql, table, listOf(moveTable, part), part, "BLOB").rows;
  }
  const rows =
    part.rowCount === 0
      ? ""
      : textOf(joinRows(sql, table, listOf(moveTable, part), part, "TEXT").rows);
  return partText(
    rows,
    part.large.map(({ key }) => cellsText(readCells(sql, { ...table, name: store }, key))),
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
      texts.push(
        json === null || isAltered(json)
          ? cellsText(readCells(sql, stored, textOf(row["pk"])))
          : json,
      );
    }
    return texts.join("\n");
  });
}

/**
 * FROM … ORDER BY of everything from the first key of a part to its last. The keys are bound as
 * `?1`.
 */
function spanOf({ table, store }: MoveTable, { withBlobs }: RowsPart): string {
  const order = primaryKeyOrder(table, "t");
  const bound = (at: string): string =>
    table.primaryKey
      .map((_, index) =>
        jsonCell(`json_extract(?1, '$[${at}]')`, index, 0, table.primaryKey.length, withBlobs),
      )
      .join(", ");
  return `${quoteName(store)} AS t WHERE (${order}) >= (${bound("0")}) AND (${order}) <= (${bound("#-1")}) ORDER BY ${order}`;
}

/** The same of the rows under the keys of a part, large ones left out. */
function listOf({ table, store }: MoveTable, { rowCount, withBlobs }: RowsPart): string {
  const same = keyTerms(table, "t")
    .map(
      (term, index) =>
        `${term} = ${jsonCell("j.value", index, 0, table.primaryKey.length, withBlobs)}`,
    )
    .join(" AND ");
  return `json_each(?1) AS j CROSS JOIN ${quoteName(store)} AS t ON ${same} WHERE j.key < ${rowCount} ORDER BY j.key`;
}

/**
 * The type that SQLite gives the text as. Bytes go to the digest without a string of JavaScript
 * between.
 */
type JoinedAs = "BLOB" | "TEXT";

/**
 * Rows of a part as one text, and how many: one more than there should be shows as well as all of
 * them.
 */
function joinRows(
  sql: Sql,
  { columns }: Table,
  from: string,
  { keys, rowCount, withBlobs }: RowsPart,
  as: JoinedAs,
): Joined {
  const read = (form: RowForm): Joined | undefined => {
    const rows = `SELECT ${rowJson(columns, "t", form)} AS row FROM ${from} LIMIT ${rowCount + 1}`;
    const joined = `SELECT coalesce(CAST(group_concat(row, ',') AS ${as}), '') AS rows, count(*) AS count FROM (${rows})`;
    return sql.first<Joined>(joined, keys);
  };
  try {
    return (withBlobs ? read("masked") : inPlainForm(sql, read)) ?? NOTHING;
  } catch (error) {
    if (isTooBig(error)) return { rows: "rows larger than those of the part", count: -1 };
    throw error;
  }
}

interface Joined extends SqlRow {
  readonly rows: string | ArrayBuffer;
  readonly count: number;
}

const NOTHING: Joined = { rows: "", count: 0 };
