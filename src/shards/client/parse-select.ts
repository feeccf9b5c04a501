/**
 * Parses the clauses of a SELECT, and leaves its expressions as tokens: as much of SQLite's grammar
 * as it takes to judge how a query may be run over shards. A text that it does not understand is
 * refused, so that an unknown form is never taken for a known one.
 */

export interface Token {
  readonly kind: "word" | "name" | "text" | "number" | "parameter" | "sign";
  /** In lower case for words; without quotes for names. */
  readonly text: string;
  /** As it was written, without quotes for names. */
  readonly written: string;
}

/** One source of a FROM: a table, a table-valued function, or a query in parentheses. */
export type Source =
  | { readonly kind: "table"; readonly name: string }
  | { readonly kind: "function"; readonly name: string; readonly tokens: readonly Token[] }
  | { readonly kind: "query"; readonly select: Select };

/** One SELECT of a compound. */
export interface Core {
  readonly distinct: boolean;
  readonly columns: readonly (readonly Token[])[];
  readonly sources: readonly Source[];
  /** Words of joins that change which rows or columns remain: FULL, NATURAL, RIGHT, USING. */
  readonly joinWords: readonly string[];
  /** ON, WHERE: everything that is an expression outside of the columns. */
  readonly conditions: readonly Token[];
  readonly clauses: readonly ("GROUP BY" | "HAVING" | "WINDOW" | "VALUES")[];
}

export interface Select {
  readonly ctes: readonly { readonly name: string; readonly select: Select }[];
  readonly recursive: boolean;
  readonly cores: readonly Core[];
  /** Between the cores. */
  readonly operators: readonly string[];
  readonly orderBy: readonly (readonly Token[])[];
  readonly limit: readonly Token[] | null;
  readonly offset: boolean;
}

/** The text is no SELECT that this parser understands. */
export class UnknownSql extends Error {}

const TOKEN =
  /(?<blank>[ \t\n\f\r\ufeff]+|--[^\n]*|\/\*(?:(?!\*\/)[^])*(?:\*\/|$))|(?<text>[xX]?'(?:[^']|'')*')|(?<name>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])|(?<number>0[xX][\da-fA-F]+|(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?)|(?<parameter>\?\d*|[$@:#][\w$:\u0080-\uffff]+)|(?<word>[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*)|(?<sign>->>|->|<<|>>|<=|>=|==|<>|!=|\|\||[-+*/%&|~<>=(),.;])/y;

/** The text goes on behind the semicolon of its first statement. */
export class SeveralStatements extends UnknownSql {}

/** @throws UnknownSql when a character begins no token of SQLite's. */
export function tokensOf(sql: string): Token[] {
  const tokens: Token[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < sql.length) {
    const at = TOKEN.lastIndex;
    const groups = TOKEN.exec(sql)?.groups;
    if (groups === undefined)
      throw new UnknownSql(`it cannot be read from ${JSON.stringify(sql.slice(at, at + 12))} on`);
    const token = tokenOf(groups);
    if (token) tokens.push(token);
  }
  return tokens;
}

function tokenOf(groups: Record<string, string | undefined>): Token | null {
  const { text, name, number, parameter, word, sign } = groups;
  if (name !== undefined) return { kind: "name", text: unquoted(name), written: unquoted(name) };
  if (word !== undefined) return { kind: "word", text: word.toLowerCase(), written: word };
  const token = (kind: Token["kind"], written: string): Token => ({ kind, text: written, written });
  if (text !== undefined) return token("text", text);
  if (number !== undefined) return token("number", number);
  if (parameter !== undefined) return token("parameter", parameter);
  return sign === undefined ? null : token("sign", sign);
}

function unquoted(name: string): string {
  const quote = name[0] ?? "";
  const inner = name.slice(1, -1);
  return quote === "[" ? inner : inner.replaceAll(quote + quote, quote);
}

/** The whole text as one SELECT. @throws UnknownSql */
export function parseSelect(sql: string): Select {
  return parseTokens(tokensOf(sql));
}

/** @throws UnknownSql */
export function parseTokens(tokens: readonly Token[]): Select {
  const parser = new Parser(tokens);
  const select = parser.select(0);
  parser.end();
  return select;
}

/** True for a word of the grammar, in whatever case it was written. A quoted name is none. */
export function isWord(token: Token | undefined, ...words: readonly string[]): boolean {
  return token?.kind === "word" && words.includes(token.text);
}

export function isSign(token: Token | undefined, ...signs: readonly string[]): boolean {
  return token?.kind === "sign" && signs.includes(token.text);
}

/** The index behind the parenthesis that closes the one at `open`. @throws UnknownSql */
export function behindParenthesis(tokens: readonly Token[], open: number): number {
  let depth = 0;
  for (let index = open; index < tokens.length; index++) {
    if (isSign(tokens[index], "(")) depth++;
    if (isSign(tokens[index], ")") && --depth === 0) return index + 1;
  }
  throw new UnknownSql("a parenthesis is not closed");
}

const NESTING_MAX = 50;
const COMPOUND = ["union", "except", "intersect"];
const ENDS = [...COMPOUND, "order", "limit"];
const CLAUSES = ["from", "where", "group", "having", "window", ...ENDS];
const JOIN_WORDS = ["join", "left", "inner", "cross", "outer", "full", "right", "natural"];

class Parser {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  end(): void {
    const begin = this.#at;
    while (isSign(this.#next, ";")) this.#at++;
    if (this.#next && this.#at > begin) throw new SeveralStatements("it has several statements");
    if (this.#next) throw new UnknownSql(`'${this.#next.text}' is not expected behind the query`);
  }

  select(depth: number): Select {
    if (depth > NESTING_MAX) throw new UnknownSql(`it nests more than ${NESTING_MAX} queries`);
    const isWith = this.#takeWord("with");
    const recursive = isWith && this.#takeWord("recursive");
    const ctes = isWith ? this.#ctes(depth) : [];
    const cores = [this.#core(depth)];
    const operators: string[] = [];
    while (isWord(this.#next, ...COMPOUND)) {
      const operator = this.#take().text;
      operators.push(this.#takeWord("all") ? `${operator} all` : operator);
      cores.push(this.#core(depth));
    }
    const orderBy: (readonly Token[])[] = [];
    if (this.#takeWord("order")) {
      this.#expectWord("by");
      orderBy.push(...this.#list(["limit"]));
    }
    let limit: readonly Token[] | null = null;
    let offset = false;
    if (this.#takeWord("limit")) {
      const [first, ...more] = this.#list(["offset"]);
      limit = first ?? [];
      offset = more.length > 0;
      if (this.#takeWord("offset")) {
        this.#expression([]);
        offset = true;
      }
    }
    return { ctes, recursive, cores, operators, orderBy, limit, offset };
  }

  #ctes(depth: number): Select["ctes"] {
    const ctes: { name: string; select: Select }[] = [];
    do {
      const name = this.#identifier();
      if (isSign(this.#next, "(")) this.#at = behindParenthesis(this.#tokens, this.#at);
      this.#expectWord("as");
      this.#takeWord("not");
      this.#takeWord("materialized");
      this.#expectSign("(");
      ctes.push({ name, select: this.select(depth + 1) });
      this.#expectSign(")");
    } while (this.#takeSign(","));
    return ctes;
  }

  #core(depth: number): Core {
    const none = { distinct: false, columns: [], sources: [], joinWords: [], conditions: [] };
    if (this.#takeWord("values")) {
      this.#expression(ENDS);
      return { ...none, clauses: ["VALUES"] };
    }
    this.#expectWord("select");
    const distinct = this.#takeWord("distinct");
    if (!distinct) this.#takeWord("all");
    const columns = this.#list(CLAUSES);
    const conditions: Token[] = [];
    const { sources, joinWords } = this.#takeWord("from")
      ? this.#sources(depth, conditions)
      : { sources: [], joinWords: [] };
    if (this.#takeWord("where"))
      conditions.push(...this.#expression(["group", "having", "window", ...ENDS]));
    const clauses: Core["clauses"][number][] = [];
    if (this.#takeWord("group")) {
      this.#expectWord("by");
      this.#expression(["having", "window", ...ENDS]);
      clauses.push("GROUP BY");
    }
    if (this.#takeWord("having")) {
      this.#expression(["window", ...ENDS]);
      clauses.push("HAVING");
    }
    if (this.#takeWord("window")) {
      this.#expression(ENDS);
      clauses.push("WINDOW");
    }
    return { distinct, columns, sources, joinWords, conditions, clauses };
  }

  #sources(
    depth: number,
    conditions: Token[],
  ): { readonly sources: Source[]; readonly joinWords: string[] } {
    const sources: Source[] = [];
    const joinWords: string[] = [];
    const stop = [...CLAUSES, ...JOIN_WORDS, "on", "using"];
    for (;;) {
      sources.push(this.#source(depth));
      this.#alias(stop);
      if (this.#takeWord("on")) conditions.push(...this.#onCondition());
      if (this.#takeWord("using")) {
        joinWords.push("USING");
        this.#expression(stop);
      }
      if (this.#takeSign(",")) continue;
      if (!isWord(this.#next, ...JOIN_WORDS)) return { sources, joinWords };
      while (isWord(this.#next, ...JOIN_WORDS)) {
        const word = this.#take().text;
        if (["full", "right", "natural"].includes(word)) joinWords.push(word.toUpperCase());
        if (word === "join") break;
      }
    }
  }

  /** The condition of a join ends with the next join, too; a comma begins another source. */
  #onCondition(): readonly Token[] {
    const begin = this.#at;
    for (; this.#next; this.#skip()) {
      if (isSign(this.#next, ",", ")", ";")) break;
      // `left(…)` and the like are no functions of SQLite's.
      if (isWord(this.#next, ...CLAUSES, ...JOIN_WORDS)) break;
    }
    return this.#tokens.slice(begin, this.#at);
  }

  #source(depth: number): Source {
    if (this.#takeSign("(")) {
      if (!isWord(this.#next, "select", "with", "values"))
        throw new UnknownSql("FROM has tables in parentheses");
      const select = this.select(depth + 1);
      this.#expectSign(")");
      return { kind: "query", select };
    }
    let name = this.#identifier();
    if (this.#takeSign(".")) {
      if (name.toLowerCase() !== "main") throw new UnknownSql(`the schema '${name}' is not known`);
      name = this.#identifier();
    }
    if (!isSign(this.#next, "(")) return { kind: "table", name };
    const begin = this.#at;
    this.#at = behindParenthesis(this.#tokens, begin);
    return { kind: "function", name, tokens: this.#tokens.slice(begin + 1, this.#at - 1) };
  }

  #alias(stop: readonly string[]): void {
    if (this.#takeWord("as")) this.#identifier();
    else if (isWord(this.#next, "indexed", "not"))
      throw new UnknownSql("INDEXED BY is not supported");
    else if (this.#next?.kind === "name") this.#at++;
    else if (this.#next?.kind === "word" && !stop.includes(this.#next.text)) this.#at++;
    if (isWord(this.#next, "indexed", "not")) throw new UnknownSql("INDEXED BY is not supported");
  }

  /** Expressions with commas between them, up to one of the words, outside of parentheses. */
  #list(stop: readonly string[]): (readonly Token[])[] {
    const items: (readonly Token[])[] = [];
    do {
      const item = this.#expression(stop, true);
      if (item.length === 0) throw new UnknownSql("an expression is missing");
      items.push(item);
    } while (this.#takeSign(","));
    return items;
  }

  #expression(stop: readonly string[], endsAtComma = false): readonly Token[] {
    const begin = this.#at;
    for (; this.#next; this.#skip()) {
      if (isSign(this.#next, ")", ";") || (endsAtComma && isSign(this.#next, ","))) break;
      // IS [NOT] DISTINCT FROM has a word in it that otherwise begins a clause.
      if (isWord(this.#next, "from") && isWord(this.#tokens[this.#at - 1], "distinct")) continue;
      if (isWord(this.#next, ...stop)) break;
    }
    return this.#tokens.slice(begin, this.#at);
  }

  #skip(): void {
    this.#at = isSign(this.#next, "(") ? behindParenthesis(this.#tokens, this.#at) : this.#at + 1;
  }

  get #next(): Token | undefined {
    return this.#tokens[this.#at];
  }

  #take(): Token {
    const token = this.#next;
    if (!token) throw new UnknownSql("it ends too early");
    this.#at++;
    return token;
  }

  #identifier(): string {
    const token = this.#take();
    if (token.kind !== "word" && token.kind !== "name")
      throw new UnknownSql(`'${token.text}' stands where a name is expected`);
    return token.text;
  }

  #takeWord(word: string): boolean {
    if (!isWord(this.#next, word)) return false;
    this.#at++;
    return true;
  }

  #takeSign(sign: string): boolean {
    if (!isSign(this.#next, sign)) return false;
    this.#at++;
    return true;
  }

  #expectWord(word: string): void {
    if (!this.#takeWord(word))
      throw new UnknownSql(`${word.toUpperCase()} is expected, not '${this.#next?.text ?? ""}'`);
  }

  #expectSign(sign: string): void {
    if (!this.#takeSign(sign))
      throw new UnknownSql(`'${sign}' is expected, not '${this.#next?.text ?? ""}'`);
  }
}
