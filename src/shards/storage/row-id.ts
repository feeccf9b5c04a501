/** Finds a row by the text of its id, as a directory names it. */
import { quoteName } from "./storage.ts";
import type { Table } from "./tables.ts";

/**
 * SQL that finds the row under `alias` whose id has this text, byte by byte, by its index whatever
 * the id's storage class: the plus signs take the affinity of what is compared away, or SQLite
 * would turn every id of the table into a number first.
 */
export function idMatches({ primaryKey }: Table, alias: string, text: string): string {
  const id = `${alias}.${quoteName(primaryKey[0] ?? "")}`;
  return `(${id} = +${text} OR ${id} = +CAST(${text} AS NUMERIC) OR ${id} = +CAST(${text} AS BLOB)) AND CAST(${id} AS TEXT) COLLATE BINARY = ${text}`;
}
