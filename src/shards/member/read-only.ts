/**
 * Proves that the text of a query reads only, before anything of it runs.
 *
 * | the text                               | what proves it                                                      |
 * |----------------------------------------|---------------------------------------------------------------------|
 * | more than one statement                | refused: the runtime would run all of them                          |
 * | begins with SELECT or VALUES           | the grammar: such a statement has no way to write a table           |
 * | begins with WITH                       | SQLite's own program for it (`EXPLAIN`) begins no write             |
 * | anything else, PRAGMA among them       | refused: a pragma may act when it is merely prepared                |
 * | names `pragma_optimize`                | refused: the one function of a SELECT that writes, its statistics   |
 *
 * Refusing beats rolling back: a writing statement whose cursor is still open cannot be rolled back
 * at all, and the runtime resets the object.
 */
import { type RefusedError, refused } from "../protocol/refused-error.ts";
import type { Sql, SqlRow } from "../storage/storage.ts";

/**
 * Comments, texts and quoted names, which hide a semicolon or a quote, as SQLite's tokenizer has
 * them. Then the end of a statement, and a variable whose name goes on in parentheses, which may
 * hold anything.
 */
const TOKENS =
  /--[^\n]*|\/\*(?:(?!\*\/)[^])*(?:\*\/|$)|'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|(?<end>;)|(?<variable>[$@:#][\w$:\u0080-\uffff]*\()/g;

/** White space, as SQLite has it, and comments. */
const BLANK = "(?:[ \\t\\n\\f\\r\\ufeff]|--[^\\n]*(?:\\n|$)|/\\*(?:(?!\\*/)[^])*(?:\\*/|$))*";
const NOTHING_MORE = new RegExp(`^(?:${BLANK};)*${BLANK}$`);
const FIRST_WORD = new RegExp(`^${BLANK}(select|values|with)\\b`, "i");

/**
 * The only statement of a query, known to read only, without the semicolon at its end. @throws
 * RefusedError
 */
export function requireRead(
  sql: Sql,
  query: string,
  params: readonly (string | number | null)[],
): string {
  const statement = loneStatement(query);
  const [, first] = FIRST_WORD.exec(statement) ?? [];
  if (first === undefined) throw refusedRead("the query must be a SELECT, WITH or VALUES");
  if (/pragma_optimize/i.test(statement)) throw refusedRead("pragma_optimize writes statistics");
  if (first.toLowerCase() === "with" && beginsWrite(sql, statement, params))
    throw refusedRead("the query would write rows. Nothing was run");
  return statement;
}

/**
 * @throws RefusedError when there are several statements, or what they are cannot be told for
 * certain.
 */
function loneStatement(query: string): string {
  if (query.includes("\0"))
    throw refusedRead("the query has a NUL character, behind which nothing would run");
  for (const { index, groups } of query.matchAll(TOKENS)) {
    if (groups?.["variable"] !== undefined)
      throw refusedRead("the query has a parameter whose name has parentheses");
    if (groups?.["end"] === undefined) continue;
    if (!NOTHING_MORE.test(query.slice(index)))
      throw refusedRead("the query has more than one statement. Nothing was run");
    return query.slice(0, index);
  }
  return query;
}

interface Step extends SqlRow {
  opcode: string;
  p2: number;
}

/**
 * True when SQLite's program for the statement begins a transaction that writes. Prepares the
 * statement, and does not run it.
 */
function beginsWrite(
  sql: Sql,
  statement: string,
  params: readonly (string | number | null)[],
): boolean {
  const program = sql.rows<Step>(`EXPLAIN ${statement}`, ...params);
  // Of a program that is written in another way than this reads it, nothing is known.
  if (program[0]?.opcode !== "Init")
    throw new Error("SQLite explains a statement in a way that this library does not know");
  return program.some(({ opcode, p2 }) => opcode === "Transaction" && p2 !== 0);
}

function refusedRead(reason: string): RefusedError {
  return refused("invalid", `queryShards reads only: ${reason}`);
}
