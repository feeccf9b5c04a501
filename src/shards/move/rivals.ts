/**
 * Finds the rows that a statement may take away without a delete trigger, as SQL for the triggers
 * that capture them before it runs.
 *
 * `OR REPLACE` takes away what is in the way of a row: by a unique index, whole or partial, by a
 * rowid, by a key that is only alike.
 */
import { rowJson } from "../storage/row-codec.ts";
import { TOKEN, generatedColumns } from "./generated-columns.ts";
import { type Sql, quoteName, quoteText } from "../storage/storage.ts";
import { type Table, TableFault, columnRules, isRowidTable } from "../storage/tables.ts";

/** SQL that is true when an update makes another key of it, also one that compares alike. */
export function idChange(sql: Sql, table: Table): string {
  return table.primaryKey
    .map((column) => changeOf(column))
    .concat(
      untypedKeys(sql, table).map(
        (column) => `typeof(OLD.${quoteName(column)}) IS NOT typeof(NEW.${quoteName(column)})`,
      ),
    )
    .join(" OR ");
}

function changeOf(column: string): string {
  return `OLD.${quoteName(column)} COLLATE BINARY IS NOT NEW.${quoteName(column)}`;
}

/**
 * Columns of the primary key in which a number may be stored as 1 and as 1.0: two keys that compare
 * alike.
 */
function untypedKeys(sql: Sql, table: Table): string[] {
  const rules = columnRules(sql, table.name);
  return table.primaryKey.filter((column) => rules.get(column)?.startsWith("BLOB"));
}

/** A way in which a statement may take rows away without a delete trigger. */
interface Rivals {
  /** Names the triggers. */
  readonly label: string;
  /** SQL that is true for a row under `r` that the row under `NEW` takes the place of. */
  readonly same: string;
  /** SQL that is true for an update that may do so; null when every update may. */
  readonly changes: string | null;
}

export function rivalsOf(sql: Sql, table: Table): Rivals[] {
  const defaults = requiredDefaults(sql, table);
  const generated = generatedValues(sql, table, defaults);
  const values = new Map([...defaultedValues(defaults), ...generated]);
  // A value that is the same as generated from NULL may be another one, from the default.
  const isDefaulted = [...defaults.keys()].map((column) => `NEW.${quoteName(column)} IS NULL`);
  const byIndex = uniqueColumns(sql, table).map(
    ({ isKey, isPartial, name: index, columns }, number): Rivals => {
      const changes = isKey
        ? idChange(sql, table)
        : columns
            .map(({ name }) => changeOf(name))
            .concat(columns.some(({ name }) => generated.has(name)) ? isDefaulted : [])
            .join(" OR ");
      const same = columns
        .map(
          ({ name, collation }) =>
            `r.${quoteName(name)} = ${values.get(name) ?? `NEW.${quoteName(name)}`} COLLATE ${quoteName(collation)}`,
        )
        .join(" AND ");
      const label = isKey ? "key" : String(number);
      if (!isPartial) return { label, same, changes };
      const condition = conditionOf(sql, table, index);
      // A row enters a partial index by any column that the index's condition looks at.
      return { label, same: condition === null ? same : `${same} AND ${condition}`, changes: null };
    },
  );
  const rowid = rowidName(sql, table);
  if (rowid === null) return byIndex;
  // Of a row whose rowid is left to SQLite it is -1 here.
  return [
    ...byIndex,
    {
      label: "rowid",
      same: `r.${rowid} = NEW.${rowid}`,
      changes: `OLD.${rowid} IS NOT NEW.${rowid}`,
    },
  ];
}

/**
 * The condition of a partial index, as SQL for a row under `r`: with it SQLite finds rivals by that
 * index, and does not read the whole table for each write. Null when it holds for the table's own
 * name alone: then it does.
 */
function conditionOf(sql: Sql, table: Table, index: string): string | null {
  const text =
    sql.first<{ sql: string }>(
      "SELECT sql FROM sqlite_master WHERE type = 'index' AND name = ?",
      index,
    )?.sql ?? "";
  const where = [...text.matchAll(TOKEN)].find(([token]) => token.toUpperCase() === "WHERE");
  if (!where) return null;
  const condition = `(${text.slice(where.index + "WHERE".length)}\n)`;
  try {
    sql.first(`SELECT 1 FROM ${quoteName(table.name)} AS r WHERE ${condition} LIMIT 0`);
    return condition;
  } catch {
    return null; // only a way to be faster
  }
}

/**
 * SQL for what such columns will hold: `OR REPLACE` stores the default for a NULL that the column
 * refuses, behind these triggers.
 */
function defaultedValues(defaults: ReadonlyMap<string, string>): Map<string, string> {
  return new Map(
    [...defaults].map(([column, otherwise]) => [
      column,
      `ifnull(NEW.${quoteName(column)}, ${otherwise})`,
    ]),
  );
}

/**
 * SQL for what generated columns will hold where a column that they are generated from may get its
 * default behind these triggers; none where no column may.
 */
function generatedValues(
  sql: Sql,
  table: Table,
  defaults: ReadonlyMap<string, string>,
): Map<string, string> {
  if (defaults.size === 0) return new Map();
  const generated = generatedColumns(sql, table.name);
  const rules = columnRules(sql, table.name);
  const defaulted = defaultedValues(
    new Map([...defaults].map(([name, value]) => [name, storedSql(value, rules.get(name) ?? "")])),
  );
  const columns = columnNames(sql, table);
  const listed = (valueOf: (column: string) => string): string =>
    columns.map((column) => `${valueOf(column)} AS ${quoteName(column)}`).join(", ");
  let row = `SELECT ${listed((column) => defaulted.get(column) ?? `NEW.${quoteName(column)}`)}`;
  // One may be generated from another one: the last of such a chain is right after as many rounds.
  for (let round = 0; round < generated.size; round++) {
    const value = (column: string): string => {
      const expression = generated.get(column);
      return expression === undefined ? quoteName(column) : `(${expression}\n)`;
    };
    row = `SELECT ${listed(value)} FROM (${row} LIMIT 1)`;
  }
  return new Map(
    [...generated.keys()].map((column) => [column, `(SELECT ${quoteName(column)} FROM (${row}))`]),
  );
}

/** SQL for a value as a column of this affinity stores it. */
function storedSql(value: string, rule: string): string {
  const [affinity = ""] = rule.split(" ");
  if (affinity === "BLOB") return value;
  if (affinity === "TEXT")
    return `CASE WHEN typeof(${value}) IN ('integer', 'real') THEN CAST(${value} AS TEXT) ELSE ${value} END`;
  const types = affinity === "REAL" ? ["REAL"] : ["INTEGER", "NUMERIC"];
  // Compared with a number of such a type, a text that reads as one is taken for one.
  const cases = types.map(
    (type) => `WHEN CAST(${value} AS ${type}) = ${value} THEN CAST(${value} AS ${type})`,
  );
  return `CASE ${cases.join(" ")} ELSE ${value} END`;
}

/** The defaults of the columns that refuse NULL, as SQL. */
function requiredDefaults(sql: Sql, table: Table): Map<string, string> {
  const columns = sql.rows<{ name: string; notnull: number; dflt_value: string | null }>(
    `PRAGMA table_xinfo(${quoteName(table.name)})`,
  );
  return new Map(
    columns.flatMap(({ name, notnull, dflt_value: text }) =>
      notnull === 0 || text === null ? [] : [[name, defaultSql(text)]],
    ),
  );
}

/** A default that is one name, in quotes or not, is a text: anywhere else it would be a column. */
function defaultSql(text: string): string {
  if (/^(?:true|false|null|current_\w+)$/i.test(text)) return text;
  if (/^[\p{L}_][\p{L}\p{N}_$]*$/u.test(text)) return quoteText(text);
  const quoted = /^(?:"((?:[^"]|"")*)"|`((?:[^`]|``)*)`|\[([^\]]*)\])$/.exec(text);
  if (!quoted) return `(${text}\n)`;
  return quoteText(
    quoted[1]?.replaceAll('""', '"') ?? quoted[2]?.replaceAll("``", "`") ?? quoted[3] ?? "",
  );
}

/**
 * The name by which a statement can give a row a rowid that is not its primary key; null when there
 * is none.
 */
function rowidName(sql: Sql, table: Table): string | null {
  if (!isRowidTable(sql, table)) return null;
  // A column that is named so hides it.
  const taken = new Set(columnNames(sql, table).map((column) => column.toLowerCase()));
  return ["rowid", "_rowid_", "oid"].find((name) => !taken.has(name)) ?? null;
}

function columnNames(sql: Sql, table: Table): string[] {
  return sql
    .rows<{ name: string }>(`PRAGMA table_xinfo(${quoteName(table.name)})`)
    .map(({ name }) => name);
}

/** The statements of a trigger that capture them. */
export function captureRivals(table: Table, same: string): string {
  const name = quoteText(table.name);
  const key = rowJson(table.primaryKey, "r");
  const rivals = `FROM ${quoteName(table.name)} AS r WHERE ${same}`;
  return `INSERT INTO shardctl_captured (table_name, pk, is_moved) SELECT ${name}, ${key}, 1 ${rivals};
    DELETE FROM shardctl_captured WHERE table_name = ${name} AND pk IN (SELECT ${key} ${rivals})
      AND id < (SELECT max(n.id) FROM shardctl_captured AS n WHERE n.table_name = ${name} AND n.pk = shardctl_captured.pk);`;
}

interface IndexColumn {
  readonly name: string;
  /** The index's own: it may find two values equal that the column does not. */
  readonly collation: string;
}

interface UniqueColumns {
  /** The index's own. */
  readonly name: string;
  /** True for the primary key. */
  readonly isKey: boolean;
  /** True for an index with a condition: it holds only the rows for which that is true. */
  readonly isPartial: boolean;
  readonly columns: readonly IndexColumn[];
}

/**
 * The unique indexes; the primary key only where another key may compare alike: any other row in
 * its way has the key that is captured.
 */
function uniqueColumns(sql: Sql, table: Table): UniqueColumns[] {
  const isAmbiguous = table.hasLikeKeys || untypedKeys(sql, table).length > 0;
  return sql
    .rows<{ name: string; unique: number; origin: string; partial: number }>(
      `PRAGMA index_list(${quoteName(table.name)})`,
    )
    .filter((index) => index.unique === 1 && (index.origin !== "pk" || isAmbiguous))
    .toSorted((left, right) => Number(left.origin === "pk") - Number(right.origin === "pk"))
    .map((index) => {
      const columns = sql
        .rows<{ name: string | null; coll: string | null; key: number }>(
          `PRAGMA index_xinfo(${quoteName(index.name)})`,
        )
        .filter((column) => column.key === 1);
      const found = columns.map(({ name, coll }): IndexColumn => {
        if (name !== null) return { name, collation: coll ?? "BINARY" };
        throw new TableFault(
          `Table '${table.name}' has a unique index on an expression (${index.name}): a replaced row could not be seen. Use columns`,
        );
      });
      return {
        name: index.name,
        isKey: index.origin === "pk",
        isPartial: index.partial === 1,
        columns: found,
      };
    });
}
