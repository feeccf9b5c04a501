/**
 * Foreign keys as tables declare them, and the SQL that follows them as SQLite itself does: by the
 * affinity and collation of the parent.
 */
import { type Sql, quoteName } from "../storage/storage.ts";
import { columnRules } from "../storage/tables.ts";

export interface Reference {
  /** The table that points, and the one that it points at. */
  readonly table: string;
  readonly parent: string;
  readonly columns: readonly { readonly child: string; readonly key: string }[];
  /** In SQLite's words: `CASCADE`, `SET NULL`, `SET DEFAULT`, `RESTRICT` or `NO ACTION`. */
  readonly onDelete: string;
}

export function referencesOf(sql: Sql, table: string): Reference[] {
  const found = sql.rows<{
    id: number;
    seq: number;
    table: string;
    from: string;
    to: string | null;
    on_delete: string;
  }>(`PRAGMA foreign_key_list(${quoteName(table)})`);
  return [...new Set(found.map(({ id }) => id))].map((id) => {
    const parts = found
      .filter((part) => part.id === id)
      .toSorted((left, right) => left.seq - right.seq);
    const parent = parts[0]?.table ?? "";
    const primaryKey = sql
      .rows<{ name: string; pk: number }>(`PRAGMA table_info(${quoteName(parent)})`)
      .filter(({ pk }) => pk > 0)
      .toSorted((left, right) => left.pk - right.pk);
    return {
      table,
      parent,
      onDelete: parts[0]?.on_delete ?? "NO ACTION",
      columns: parts.map(({ from, to, seq }) => ({
        child: from,
        key: to ?? primaryKey[seq]?.name ?? "rowid",
      })),
    };
  });
}

/** The tables of this object that point at others, declared or not. */
export function pointingTables(sql: Sql): string[] {
  return sql
    .rows<{ name: string }>(
      "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%REFERENCES%' ORDER BY name",
    )
    .map(({ name }) => name);
}

/** Tables that point at some of these, and are none of them. */
export function pointingAt(sql: Sql, tables: readonly string[]): string[] {
  const isOne = (name: string): boolean => tables.some((table) => isSameName(table, name));
  return pointingTables(sql).filter(
    (name) => !isOne(name) && referencesOf(sql, name).some(({ parent }) => isOne(parent)),
  );
}

/** SQL that is true for a row under `child` that points at a row which is not here. */
export function pointsNowhere({ parent, columns }: Reference, child: string): string {
  const isSet = columns
    .map((column) => `${child}.${quoteName(column.child)} IS NOT NULL`)
    .join(" AND ");
  return `${isSet} AND NOT EXISTS (SELECT 1 FROM ${quoteName(parent)} AS shardctl_p WHERE ${isParent(columns, "shardctl_p", child)})`;
}

/**
 * SQL that is true when the row under `childAlias` points at the one under `parentAlias`; by an
 * index of the child, where it has one.
 */
export function pointsAt(
  sql: Sql,
  reference: Reference,
  parentAlias: string,
  childAlias: string,
): string {
  const { columns } = reference;
  if (!isAlike(sql, reference)) return isParent(columns, parentAlias, childAlias);
  return columns
    .map(({ child, key }) => `${parentAlias}.${quoteName(key)} = ${childAlias}.${quoteName(child)}`)
    .join(" AND ");
}

/**
 * True when what is pointed with and what is pointed at have the same affinity: they can be
 * compared as they stand.
 */
export function isAlike(sql: Sql, { table, parent, columns }: Reference): boolean {
  const affinities = (name: string): ReadonlyMap<string, string> =>
    new Map(
      [...columnRules(sql, name)].map(([column, rule]) => [
        column.toLowerCase(),
        rule.replace(" NOT NULL", ""),
      ]),
    );
  const [parents, children] = [affinities(parent), affinities(table)];
  return columns.every(
    ({ child, key }) => parents.get(key.toLowerCase()) === children.get(child.toLowerCase()),
  );
}

/** SQLite keeps the names of a foreign key as they were written, whatever their case. */
export function isSameName(left: string, right: string): boolean {
  return left.toLowerCase() === right.toLowerCase();
}

/**
 * SQL that is true when the row under `child` points at the one under `parent`. An expression has
 * no affinity of its own: the parent's affinity and collation decide, as for the key itself.
 */
export function isParent(columns: Reference["columns"], parent: string, child: string): string {
  return columns
    .map((column) => `${parent}.${quoteName(column.key)} = +${child}.${quoteName(column.child)}`)
    .join(" AND ");
}
