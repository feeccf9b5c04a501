/**
 * Judges from the text of a query whether the shards' answers make the answer that one object with
 * all rows would give. What is not proven is refused, with what to do instead.
 *
 * | the query                                        | concat, merge  | sum, avg      | count          |
 * |--------------------------------------------------|----------------|---------------|----------------|
 * | rows of one table, each judged by itself         | the rows       | of the values | of the rows    |
 * | … with ORDER BY                                  | merge only     | no difference | no difference  |
 * | … with LIMIT                                     | cut once more  | refused       | refused        |
 * | one count(…)                                     | refused        | sum: added up | added up       |
 * | one sum(…) or total(…)                           | refused        | sum: added up | refused        |
 * | rows that depend on others (DISTINCT, GROUP BY,  | refused        | refused       | refused        |
 * | HAVING, windows, joins, queries within, OFFSET)  |                |               |                |
 *
 * Row by row means: one declared table, directly, through a query in FROM or WITH, or as a UNION
 * ALL of such queries; `json_each` and `json_tree` of its columns; functions known to read nothing
 * but their arguments. The member checks that the tables are declared ones: see
 * `member/declared-tables.ts`.
 */
import { refused, type RefusedError } from "../protocol/refused-error.ts";
import {
  type Core,
  type Select,
  type Source,
  SeveralStatements,
  type Token,
  UnknownSql,
  behindParenthesis,
  isSign,
  isWord,
  parseSelect,
  parseTokens,
} from "./parse-select.ts";
import type { QueryShards, Verdict } from "./query-shards.ts";

/**
 * The way to make one answer of the shards'; null for a text that is no query that reads, which a
 * member refuses by its own rules. @throws RefusedError that says what to do instead
 */
export function judgeQuery(request: QueryShards): Verdict | null {
  if (!READS.test(request.query) || NOT_LONE.test(request.query)) return null;
  try {
    return new Judge(request).verdict(parseSelect(request.query));
  } catch (error) {
    if (!(error instanceof UnknownSql)) throw error;
    if (error instanceof SeveralStatements || WRITES.test(request.query)) return null;
    throw refusedOver(error.message, "write it in a simpler form");
  }
}

const BLANK = "(?:[ \\t\\n\\f\\r\\ufeff]|--[^\\n]*(?:\\n|$)|/\\*(?:(?!\\*/)[^])*(?:\\*/|$))*";
const READS = new RegExp(`^${BLANK}(?:select|with|values)\\b`, "i");
/** A member refuses these before it looks at the rest. */
const NOT_LONE = /\0|pragma_optimize|[$@:#][\w$:\u0080-\uffff]*\(/i;
const WRITES = /\b(?:delete|insert|update|replace)\b/i;

/** Functions of SQLite that read nothing but their arguments. */
const ROW_FUNCTIONS: ReadonlySet<string> = new Set(
  (
    "abs acos acosh asin asinh atan atan2 atanh ceil ceiling char coalesce concat concat_ws cos " +
    "cosh date datetime degrees exp floor format glob hex if ifnull iif instr json json_array " +
    "json_array_length json_error_position json_extract json_insert json_object json_patch " +
    "json_pretty json_quote json_remove json_replace json_set json_type json_valid jsonb " +
    "jsonb_array jsonb_extract jsonb_insert jsonb_object jsonb_patch jsonb_remove jsonb_replace " +
    "jsonb_set julianday length like likelihood likely ln log log10 log2 lower ltrim mod nullif " +
    "octet_length pi pow power printf quote radians random randomblob replace round rtrim sign " +
    "sin sinh soundex sqrt strftime substr substring tan tanh time timediff trim trunc typeof " +
    "unhex unicode unistr unistr_quote unixepoch unlikely upper zeroblob"
  ).split(" "),
);
const AGGREGATES: ReadonlySet<string> = new Set(
  (
    "avg count group_concat json_group_array json_group_object jsonb_group_array " +
    "jsonb_group_object max median min percentile percentile_cont percentile_disc string_agg sum " +
    "total"
  ).split(" "),
);
/** Words that may stand before a parenthesis and are no function. */
const OPERATORS: ReadonlySet<string> = new Set(
  (
    "all and as between by case cast collate distinct else end escape exists from glob having in " +
    "is isnull like match not notnull null on or regexp select then values when where"
  ).split(" "),
);
const LATERAL: ReadonlySet<string> = new Set([
  "json_each",
  "json_tree",
  "jsonb_each",
  "jsonb_tree",
]);
const ROW_IDS: ReadonlySet<string> = new Set(["rowid", "_rowid_", "oid"]);

class Judge {
  readonly #request: QueryShards;
  readonly #tables = new Set<string>();

  constructor(request: QueryShards) {
    this.#request = request;
  }

  verdict(select: Select): Verdict {
    const { aggregation, limit, orderBy } = this.#request;
    const [core] = select.cores;
    const partial = core && select.cores.length === 1 ? this.#partialOf(core) : null;
    if (partial === null) this.#requireRowByRow(select, new Map(), true);
    else this.#requirePartial(select, core as Core, partial);
    const verdict = { kind: "rows", ordered: false, orderBy, limit } as const;
    const tables = [...this.#tables];
    switch (aggregation) {
      case "sum":
      case "avg":
      case "count": {
        if (select.limit)
          throw refusedOver(
            `LIMIT takes other rows from each shard than from all, and ${aggregation} depends on them`,
            "leave it out",
          );
        if (aggregation !== "count" && partial === null) this.#requireOneColumn(select);
        return { ...verdict, kind: partial === null ? "rows" : "partial", tables };
      }
      case "concat":
        if (select.orderBy.length > 0)
          throw refusedOver(
            "ORDER BY orders the rows of each shard alone",
            'use aggregation "merge"',
          );
        return { ...verdict, tables, limit: this.#limitOf(select) };
      case "merge": {
        const isOrdered = select.orderBy.length > 0;
        return {
          ...verdict,
          tables,
          ordered: isOrdered,
          orderBy: isOrdered ? this.#orderOf(select) : orderBy,
          limit: this.#limitOf(select, !isOrdered && orderBy !== undefined),
        };
      }
    }
  }

  /** The function and its arguments when the query gives one aggregate and nothing else. */
  #partialOf({ columns }: Core): Call | null {
    const [column] = columns;
    const call = columns.length === 1 && column ? loneCall(column) : null;
    return call && isAggregate(call) ? call : null;
  }

  #requirePartial(select: Select, core: Core, call: Call): void {
    const { aggregation } = this.#request;
    const { name } = call;
    if (isWord(call.args[0], "distinct"))
      throw refusedOver(
        `${name}(DISTINCT …) counts a value again on each shard that has it`,
        "ask for the values, and take each once",
      );
    if (aggregation === "avg" || name === "avg")
      throw refusedOver(
        "an average of the shards' averages is not the average",
        'select the values with aggregation "avg", or ask for the sum and the count',
      );
    const adds = { sum: ["count", "sum", "total"], count: ["count"] };
    const added = aggregation === "sum" || aggregation === "count" ? adds[aggregation] : [];
    if (!added.includes(name))
      throw refusedOver(
        `aggregation "${aggregation}" does not make one answer of each shard's ${name}(…)`,
        name === "count" || name === "sum" || name === "total"
          ? `use aggregation "${name === "count" ? "count" : "sum"}"`
          : "select the values, and combine them in the caller",
      );
    this.#requireClauses(core);
    this.#requireExpression([...call.args, ...call.filter, ...core.conditions]);
    this.#requireSources(core, this.#ctes(select));
  }

  /** Each row of the answer comes of one row of one table. */
  #requireRowByRow(select: Select, known: Ctes, isOutermost = false): void {
    const ctes = this.#ctes(select, known);
    const operator = select.operators.find((each) => each !== "union all");
    if (operator !== undefined)
      throw refusedOver(
        `${operator.toUpperCase()} compares the rows of all shards`,
        "use UNION ALL, or compare in the caller",
      );
    if (!isOutermost && (select.limit || select.orderBy.length > 0))
      throw refusedOver(
        "ORDER BY or LIMIT in a query within takes other rows from each shard than from all",
        "put it at the end of the whole query",
      );
    for (const core of select.cores) {
      this.#requireClauses(core);
      for (const column of core.columns) this.#requireExpression(column);
      this.#requireExpression(core.conditions);
      this.#requireSources(core, ctes);
      requireNames(core);
    }
  }

  #ctes({ ctes, recursive }: Select, known: Ctes = new Map()): Ctes {
    if (recursive)
      throw refusedOver("WITH RECURSIVE follows rows to other shards", "follow them in the caller");
    const all = new Map(known);
    // A name of a later one must not be taken for a table.
    for (const { name } of ctes) all.set(name.toLowerCase(), null);
    for (const { name, select } of ctes) {
      this.#requireRowByRow(select, all);
      all.set(name.toLowerCase(), select);
    }
    return all;
  }

  #requireClauses({ distinct, clauses, joinWords }: Core): void {
    if (distinct)
      throw refusedOver(
        "DISTINCT gives a row again for each shard that has it",
        "leave it out, and take each row once",
      );
    const [clause] = clauses;
    if (clause === "VALUES") throw refusedOver(...NO_TABLE);
    if (clause !== undefined)
      throw refusedOver(
        `${clause} needs the rows of all shards`,
        "ask for the rows and group them in the caller, or query one owner through at(key)",
      );
    const [word] = joinWords;
    if (word !== undefined) throw refusedOver(`the join is ${word}`, ...JOIN_ADVICE);
  }

  #requireSources({ sources }: Core, ctes: Ctes): void {
    const rows = sources.filter((source) => !isLateral(source));
    if (rows.length > 1)
      throw refusedOver("a join may need rows of several shards", ...JOIN_ADVICE);
    const [source] = rows;
    // Rows begin with those of the table: others before it would have to be the same for all.
    if (source === undefined) throw refusedOver(...NO_TABLE);
    if (sources[0] !== source)
      throw refusedOver("the table does not come first in FROM", "name it first");
    for (const each of sources) if (each.kind === "function") this.#requireFunction(each);
    if (source.kind === "query") this.#requireRowByRow(source.select, ctes);
    if (source.kind !== "table") return;
    const cte = ctes.get(source.name.toLowerCase());
    if (cte === null)
      throw refusedOver(`'${source.name}' is a query that comes later`, "name it first");
    if (cte === undefined) this.#tables.add(source.name);
  }

  #requireFunction(source: Source & { kind: "function" }): void {
    if (!isLateral(source))
      throw refusedOver(
        `the table-valued function ${source.name} is not known to read its arguments only`,
        "use json_each or json_tree",
      );
    this.#requireExpression(source.tokens);
  }

  /** An expression that has its value by the row alone. */
  #requireExpression(tokens: readonly Token[], mayAggregate = false): void {
    for (let index = 0; index < tokens.length; index++) {
      const token = tokens[index];
      const next = tokens[index + 1];
      if (!token) continue;
      if (isSign(token, "(") && isWord(next, "select", "with", "values")) {
        const end = behindParenthesis(tokens, index);
        this.#requireOfRow(parseTokens(tokens.slice(index + 1, end - 1)));
        index = end - 1;
        continue;
      }
      if (isWord(token, "over"))
        throw refusedOver("a window function needs the rows of all shards", "use none");
      if (isWord(token, "in") && !isSign(next, "("))
        throw refusedOver("IN names a table", "list the values");
      const isName = token.kind === "word" || token.kind === "name";
      const name = token.text.toLowerCase();
      if (isName && ROW_IDS.has(name))
        throw refusedOver(
          `${name} numbers the rows of each shard alone`,
          "use the table's primary key",
        );
      if (!isName || !isSign(next, "(")) continue;
      if (token.kind === "word" && OPERATORS.has(name) && name !== "like" && name !== "glob")
        continue;
      this.#requireRowFunction(name, tokens, index + 1, mayAggregate);
    }
  }

  #requireRowFunction(
    name: string,
    tokens: readonly Token[],
    open: number,
    mayAggregate: boolean,
  ): void {
    const args = tokens.slice(open + 1, behindParenthesis(tokens, open) - 1);
    if (isAggregate({ name, args })) {
      if (mayAggregate) return;
      throw refusedOver(
        `${name}(…) needs the rows of all shards`,
        'select it alone with aggregation "sum" or "count", or select the values',
      );
    }
    if (!ROW_FUNCTIONS.has(name) && !(name === "min" || name === "max"))
      throw refusedOver(
        `the function ${name} is not known to read its arguments only`,
        "apply it in the caller",
      );
  }

  /** A query within an expression: only over what its own row holds. */
  #requireOfRow(select: Select): void {
    if (select.recursive || select.ctes.length > 0)
      throw refusedOver("an expression has a WITH", "put it before the whole query");
    for (const core of select.cores) {
      if (core.clauses.includes("VALUES"))
        throw refusedOver("an expression has VALUES", "list the values");
      if (!core.sources.every(isLateral))
        throw refusedOver(
          "a query within an expression (EXISTS, IN, a scalar) sees the rows of its own shard only",
          "ask for both and compare in the caller",
        );
      for (const source of core.sources)
        if (source.kind === "function") this.#requireExpression(source.tokens);
      for (const column of core.columns) this.#requireExpression(column, true);
      this.#requireExpression(core.conditions, true);
      if (core.clauses.length > 0 || core.joinWords.length > 0)
        throw refusedOver(
          "a query within an expression has GROUP BY, HAVING, a window or a special join",
          "leave it out",
        );
    }
    for (const term of select.orderBy) this.#requireExpression(term, true);
    if (select.limit) this.#requireExpression(select.limit, true);
  }

  #requireOneColumn({ cores }: Select): void {
    const { aggregation } = this.#request;
    for (const { columns } of cores) {
      const [column] = columns;
      if (columns.length !== 1 || !column || isStar(column))
        throw refusedOver(
          `aggregation "${aggregation}" is of one column, and the query does not select exactly one by name`,
          "select the one to take",
        );
    }
  }

  /** The order of the query as that of the merge. */
  #orderOf({ orderBy, cores }: Select): string {
    const names = cores[0] ? namesOf(cores[0]) : [];
    const terms = orderBy.map((term) => {
      const [column, direction, ...more] = term;
      const isNamed = column?.kind === "word" || column?.kind === "name";
      const isPlain = direction === undefined || isWord(direction, "asc", "desc");
      if (!column || !isNamed || !isPlain || more.length > 0)
        throw refusedOver(
          "ORDER BY has more than names of columns with ASC or DESC",
          "give the expression a name with AS, and order by that",
        );
      const name = names.find((each) => each.toLowerCase() === column.text.toLowerCase());
      if (name === undefined && !names.includes("*"))
        throw refusedOver(
          `ORDER BY names ${column.text}, which the query does not select`,
          "select it as well",
        );
      return `${name ?? column.written} ${isWord(direction, "desc") ? "DESC" : "ASC"}`;
    });
    const wanted = terms.join(", ");
    const given = this.#request.orderBy;
    if (given !== undefined && normalOrder(given) !== normalOrder(wanted))
      throw refusedOver(
        `the query is ordered by ${wanted}, and orderBy says ${given}`,
        "let both say the same",
      );
    // With the case of the given names: those of the answer are as the query writes them.
    return given ?? wanted;
  }

  /** `reorders`: the merge has an order that the query's LIMIT does not know. */
  #limitOf({ limit, offset }: Select, reorders = false): number | undefined {
    const given = this.#request.limit;
    if (limit === null) return given;
    if (offset)
      throw refusedOver(
        "OFFSET leaves out rows of each shard",
        "take the rows behind the last one by a condition on the key",
      );
    if (reorders)
      throw refusedOver(
        "LIMIT takes any rows of each shard, and orderBy orders what is left",
        "say ORDER BY in the query as well",
      );
    const [token, ...more] = limit;
    const own = more.length > 0 || !token ? Number.NaN : this.#numberOf(token);
    if (!Number.isInteger(own) || own < 0)
      throw refusedOver(
        "LIMIT is no plain number",
        "write the number, or pass it as the last parameter",
      );
    return given === undefined ? own : Math.min(given, own);
  }

  #numberOf(token: Token): number {
    if (token.kind === "number") return Number(token.text);
    // A LIMIT is the last thing of a query: its parameter is the last one.
    return token.text === "?" ? Number(this.#request.params?.at(-1) ?? Number.NaN) : Number.NaN;
  }
}

type Ctes = ReadonlyMap<string, Select | null>;
interface Call {
  readonly name: string;
  readonly args: readonly Token[];
  readonly filter: readonly Token[];
}

const JOIN_ADVICE = [
  "ask for the rows of each table, or join in a method that callAll or at(key) runs",
] as const;
const NO_TABLE = [
  "it reads no table, so that each shard gives the same rows",
  "select from a table",
] as const;

function isLateral(source: Source): boolean {
  return source.kind === "function" && LATERAL.has(source.name.toLowerCase());
}

/** `min` and `max` of several arguments are functions of the row. */
function isAggregate({ name, args }: Pick<Call, "name" | "args">): boolean {
  if (!AGGREGATES.has(name)) return false;
  return !(name === "min" || name === "max") || !hasComma(args);
}

function hasComma(tokens: readonly Token[]): boolean {
  for (let index = 0; index < tokens.length; index++) {
    if (isSign(tokens[index], "(")) index = behindParenthesis(tokens, index) - 1;
    else if (isSign(tokens[index], ",")) return true;
  }
  return false;
}

/** The call that a column consists of, whatever parentheses are around it. */
function loneCall(column: readonly Token[]): Call | null {
  const tokens = expressionOf(column);
  const [first, second] = tokens;
  if (isSign(first, "(")) {
    return behindParenthesis(tokens, 0) === tokens.length ? loneCall(tokens.slice(1, -1)) : null;
  }
  if (first?.kind !== "word" || !isSign(second, "(")) return null;
  const end = behindParenthesis(tokens, 1);
  const rest = tokens.slice(end);
  if (rest.length > 0 && !isWord(rest[0], "filter")) return null;
  if (rest.length > 0 && behindParenthesis(rest, 1) !== rest.length) return null;
  // Within the parentheses of FILTER stands a WHERE.
  return { name: first.text, args: tokens.slice(2, end - 1), filter: rest.slice(3, -1) };
}

/** A column without its AS. */
function expressionOf(column: readonly Token[]): readonly Token[] {
  return isWord(column.at(-2), "as") ? column.slice(0, -2) : column;
}

function isStar(column: readonly Token[]): boolean {
  return isSign(column.at(-1), "*") && (column.length === 1 || isSign(column.at(-2), "."));
}

/** The names of the columns of the answer; `*` for all of a table. */
function namesOf({ columns }: Core): string[] {
  return columns.map((column) => {
    if (isStar(column)) return "*";
    const last = column.at(-1);
    const before = column.at(-2);
    const written = column.map((token) => token.written).join(" ");
    if (last === undefined || !["word", "name", "text"].includes(last.kind)) return written;
    const name = last.kind === "text" ? last.written.slice(1, -1) : last.written;
    if (before === undefined) return last.kind === "text" ? written : name;
    if (isWord(before, "as") || isSign(before, ".")) return name;
    // An alias without AS stands behind the end of an expression.
    const isBehind = before.kind !== "sign" || before.text === ")";
    const isEnd = isWord(last, "end", "null", "isnull", "notnull");
    const isOperand = before.kind === "word" && OPERATORS.has(before.text) && before.text !== "end";
    return isBehind && !isOperand && !isEnd ? name : written;
  });
}

function requireNames(core: Core): void {
  const names = namesOf(core).map((name) => name.toLowerCase());
  const isOfAll = core.columns.some((column) => column.length === 1 && isStar(column));
  if (names.includes("*") && (names.length > 1 || (isOfAll && core.sources.length > 1)))
    throw refusedOver(
      "a star beside other columns or sources may name a column twice, and rows keep one of each name",
      "list the columns",
    );
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined)
    throw refusedOver(
      `two columns are named ${twice}, and rows keep one of each name`,
      "give one another name with AS",
    );
}

function normalOrder(orderBy: string): string {
  return orderBy
    .split(",")
    .map((term) => {
      const [column = "", direction = "ASC"] = term.trim().split(/\s+/);
      return `${column} ${direction}`.toLowerCase();
    })
    .join(", ");
}

function refusedOver(reason: string, advice: string): RefusedError {
  return refused(
    "invalid",
    `queryShards cannot prove that the shards' answers make the right one: ${reason}. To do: ${advice}; or pass unsafePerShard: true, and get what each shard answers for its own rows`,
  );
}
