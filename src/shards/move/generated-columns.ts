/**
 * Reads the expressions of generated columns from the definition of a table: SQLite tells them
 * nowhere else. Columns without one are left out.
 */
import { type Sql, quoteName } from "../storage/storage.ts";

/** The tokens of a statement; what stands in quotes, and a comment, is one of them. */
export const TOKEN =
  /'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|--[^\n]*|\/\*[\s\S]*?\*\/|[\w$\u{80}-\u{10ffff}]+|[\s\S]/gu;
const BLANK = /^(?:\s|--|\/\*)/;

/** By the name of the column, each as it stands in the table's own text. */
export function generatedColumns(sql: Sql, table: string): Map<string, string> {
  const columns = sql
    .rows<{ name: string; hidden: number }>(`PRAGMA table_xinfo(${quoteName(table)})`)
    .filter(({ hidden }) => hidden >= 2);
  if (columns.length === 0) return new Map();
  const text =
    sql.first<{ sql: string }>(
      "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ? COLLATE NOCASE",
      table,
    )?.sql ?? "";
  const found = new Map(
    definitionsOf(text).map(({ name, expression }) => [name.toLowerCase(), expression]),
  );
  return new Map(
    columns.map(({ name }) => {
      const expression = found.get(name.toLowerCase());
      if (expression === undefined)
        throw new Error(`The definition of '${table}' does not tell how '${name}' is generated`);
      return [name, expression];
    }),
  );
}

interface Definition {
  readonly name: string;
  readonly expression: string;
}

function definitionsOf(text: string): Definition[] {
  const found: Definition[] = [];
  let depth = 0;
  /** The first token of the definition that is being read. */
  let name: string | null = null;
  let before = "";
  let start: number | null = null;
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    if (BLANK.test(token)) continue;
    if (token === "(") {
      depth++;
      if (depth === 2 && before.toUpperCase() === "AS") start = index + 1;
    } else if (token === ")") {
      if (depth === 2 && start !== null && name !== null)
        found.push({ name: unquoted(name), expression: text.slice(start, index) });
      if (depth === 2) start = null;
      depth--;
    } else if (depth === 1) {
      name = token === "," ? null : (name ?? token);
    }
    before = token;
  }
  return found;
}

function unquoted(name: string): string {
  const [quote = ""] = name;
  if (quote === "[") return name.slice(1, -1);
  return `"'\``.includes(quote) ? name.slice(1, -1).replaceAll(quote + quote, quote) : name;
}
