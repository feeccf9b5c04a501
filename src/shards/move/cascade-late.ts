/**
 * Carries out ON DELETE on rows of tables that are no part of the move, for rows that leave behind
 * the commit of their wave.
 *
 * Before the commit no such row may point at one that leaves (`left-behind.ts`), and behind the
 * fence no call writes one. A constructor may: a deploy that comes then adds a table and fills it
 * from the rows that it finds. Nothing can end the wave any more, so these rows go with their
 * parents, by CASCADE and SET NULL of their definition; a circle of tables is followed once around.
 * Rows for which that is impossible stay, and point nowhere.
 */
import { isFull } from "../storage/faults.ts";
import { type Sql, quoteName } from "../storage/storage.ts";
import type { Table } from "../storage/tables.ts";
import { inKeys } from "./delete-keys.ts";
import {
  type Reference,
  isParent,
  isSameName,
  pointingTables,
  referencesOf,
} from "./references.ts";
import { withoutTriggers } from "./write-blocks.ts";

/** Rows of a table: those under `alias` for which `where` is true, with the keys bound as `?1`. */
interface Leaving {
  readonly name: string;
  readonly alias: string;
  readonly where: string;
}

/**
 * Deletes, or unties, what points at the rows of these keys. `name` is what the table of the move
 * is called by now, `moved` names the tables that move. Call inside a transaction, with foreign
 * keys off, before the rows themselves are deleted.
 */
export function cascadeLate(
  sql: Sql,
  name: string,
  table: Table,
  keys: string,
  moved: readonly string[],
): void {
  const references = sql
    .fromDefinitions("references", () =>
      pointingTables(sql).flatMap((pointing) => referencesOf(sql, pointing)),
    )
    .filter((reference) => !moved.some((other) => isSameName(other, reference.table)));
  if (references.length === 0 || keys === "[]") return;
  const follow = (leaving: Leaving, above: readonly string[]): void => {
    for (const reference of references) {
      if (!isSameName(reference.parent, leaving.name)) continue;
      const isAbove = above.some((other) => isSameName(other, reference.table));
      if (isAbove && reference.onDelete === "CASCADE") continue;
      const alias = `t${above.length}`;
      const where = `EXISTS (SELECT 1 FROM ${quoteName(leaving.name)} AS ${leaving.alias} WHERE ${isParent(reference.columns, leaving.alias, alias)} AND ${leaving.where})`;
      const pointing = { name: reference.table, alias, where };
      if (reference.onDelete === "CASCADE") follow(pointing, [...above, reference.table]);
      act(sql, reference, pointing, keys);
    }
  };
  follow({ name, alias: "t", where: inKeys(table) }, [name]);
}

function act(
  sql: Sql,
  { columns, onDelete }: Reference,
  { name, alias, where }: Leaving,
  keys: string,
): void {
  const untied = columns.map(({ child }) => `${quoteName(child)} = NULL`).join(", ");
  const statement =
    onDelete === "CASCADE"
      ? `DELETE FROM ${quoteName(name)} AS ${alias}`
      : onDelete === "SET NULL"
        ? `UPDATE OR IGNORE ${quoteName(name)} AS ${alias} SET ${untied}`
        : null;
  if (statement === null) return;
  try {
    withoutTriggers(sql, [name], () => sql.run(`${statement} WHERE ${where}`, keys));
  } catch (error) {
    // A column that is generated or a rowid, a key that names no column: there is only forward.
    if (isFull(error)) throw error;
  }
}
