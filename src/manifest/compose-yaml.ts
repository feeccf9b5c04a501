/**
 * Parses text into YAML documents one lexeme at a time, and stops where it becomes too much: at a
 * token too many, at a collection too deep, at an error of syntax too many.
 *
 * Nothing behind the stop is ever looked at, and the tokens of a document are dropped when it
 * is composed. What a text may cost is therefore decided by its budget, not by its author.
 */
import { CST, Composer, type Document, Lexer, Parser, type YAMLParseError } from "yaml";

import { DOCUMENT_TOKENS_MAX, NESTING_MAX, SYNTAX_ERRORS_MAX } from "./manifest-error.ts";

/** The last quote or bracket that is opened and never closed. */
export interface Unclosed {
  readonly offset: number;
  readonly message: string;
}

export interface ComposedDocument {
  readonly parsed: Document.Parsed;
  /** The library reports it only where the text ends. */
  readonly unclosed: Unclosed | null;
}

/** Why reading ended before the text did, and the offset where. */
export interface EarlyStop {
  readonly reason: "tokens" | "document" | "depth" | "errors";
  readonly offset: number;
}

export interface Composed {
  /** Tokens that were read: scalars, names and punctuation, space between them too. */
  readonly tokens: number;
  /** Null when the whole text was read. */
  readonly stop: EarlyStop | null;
  /** Errors that belong to no document. */
  readonly errors: readonly YAMLParseError[];
}

// Duplicate keys are found by our reader instead, since the library compares each key with each.
const YAML_OPTIONS = {
  version: "1.2",
  schema: "core",
  intAsBigInt: true,
  stringKeys: true,
  uniqueKeys: false,
  resolveKnownTags: false,
  prettyErrors: false,
  logLevel: "silent",
} as const;

/**
 * Hands each document to `onDocument` as soon as it is whole. Reads at most `tokensMax` tokens.
 * Never throws, whatever the text holds.
 *
 * @param onNewLine is told the offset at which each line begins.
 */
export function composeYaml(
  text: string,
  tokensMax: number,
  onNewLine: (offset: number) => void,
  onDocument: (document: ComposedDocument) => void,
): Composed {
  const parser = new Parser(onNewLine);
  const composer = new Composer(YAML_OPTIONS);
  const refused = limitErrors(composer);
  let unclosed: Unclosed | null = null;
  let tokens = 0;
  /** Tokens since the last part of the text that was handed on: what is held in memory. */
  let held = 0;
  let stop: EarlyStop | null = null;

  const handOver = (documents: Iterable<Document.Parsed>): void => {
    for (const parsed of documents) onDocument({ parsed, unclosed });
  };
  const take = (parsed: Iterable<CST.Token>): boolean => {
    for (const token of parsed) {
      held = 0;
      unclosed = laterOf(unclosed, findUnclosed(token));
      if (token.type === "error") refused.count++;
      if (refused.count > SYNTAX_ERRORS_MAX) return false;
      handOver(composer.next(token));
    }
    return true;
  };
  const read = (): EarlyStop | null => {
    const slips = new SlipFinder();
    onNewLine(0);
    for (const lexeme of new Lexer().lex(text)) {
      if (++tokens > tokensMax) return { reason: "tokens", offset: parser.offset };
      if (++held > DOCUMENT_TOKENS_MAX) return { reason: "document", offset: parser.offset };
      if (slips.isSlip(lexeme) && ++refused.count > SYNTAX_ERRORS_MAX)
        return { reason: "errors", offset: parser.offset };
      if (!take(parser.next(lexeme))) return { reason: "errors", offset: parser.offset };
      const tooDeep = firstTooDeep(parser.stack);
      if (tooDeep !== null) return { reason: "depth", offset: tooDeep };
    }
    return take(parser.end()) ? null : { reason: "errors", offset: text.length };
  };
  try {
    stop = read();
  } catch (error) {
    if (!(error instanceof TooManyErrors)) throw error;
    stop = { reason: "errors", offset: error.offset };
  }
  const isWhole = stop === null;
  handOver(isWhole ? composer.end(true, text.length) : composer.end());
  return { tokens, stop, errors: isWhole ? [] : composer.streamInfo().errors };
}

class TooManyErrors extends Error {
  readonly offset: number;

  constructor(offset: number) {
    super("The text has too many errors of syntax");
    this.offset = offset;
  }
}

type ErrorSink = (source: ErrorSource, code: string, message: string, isWarning?: boolean) => void;
type ErrorSource = number | readonly [number, number] | { readonly offset: number };

/**
 * Ends composing at the first error too many. The library collects every error of a document
 * before it hands any over, and its sink for them is a property that it does not declare.
 */
function limitErrors(composer: Composer): { count: number } {
  const refused = { count: 0 };
  const inside = composer as unknown as { onError: ErrorSink };
  const collect = inside.onError;
  inside.onError = (source, code, message, isWarning) => {
    collect(source, code, message, isWarning);
    if (++refused.count > SYNTAX_ERRORS_MAX) throw new TooManyErrors(offsetOf(source));
  };
  return refused;
}

function offsetOf(source: ErrorSource): number {
  if (typeof source === "number") return source;
  return "offset" in source ? source.offset : source[0];
}

/**
 * Finds what surely is an error of syntax, before the library has the whole document: an entry of
 * nothing between commas, and a second tag or anchor of one value.
 */
class SlipFinder {
  /** The last lexeme that is neither space nor comment. */
  private last = "";

  isSlip(lexeme: string): boolean {
    if (this.last === CST.SCALAR) {
      this.last = "scalar";
      return false;
    }
    if (/^(?:[ \t\r\n#]|$)/u.test(lexeme)) return false;
    const { last } = this;
    this.last = lexeme;
    switch (lexeme[0]) {
      case ",":
        return last === "," || last === "[" || last === "{";
      case "!":
      case "&":
        return last[0] === lexeme[0];
      default:
        return false;
    }
  }
}

/** Offset of the collection that is nested too deeply among those that are open. */
function firstTooDeep(stack: readonly CST.Token[]): number | null {
  if (stack.length <= NESTING_MAX) return null;
  const collections = stack.filter((token) => "items" in token);
  return collections[NESTING_MAX]?.offset ?? null;
}

/** Looks at a token that is whole. No deeper than the parser was let. */
function findUnclosed(token: CST.Token): Unclosed | null {
  const message = closingFault(token);
  let found: Unclosed | null = message === null ? null : { offset: token.offset, message };
  if (token.type === "document" && token.value) found = laterOf(found, findUnclosed(token.value));
  if (!("items" in token)) return found;
  for (const { key, value } of token.items) {
    for (const inner of [key, value]) if (inner) found = laterOf(found, findUnclosed(inner));
  }
  return found;
}

function laterOf(left: Unclosed | null, right: Unclosed | null): Unclosed | null {
  if (left === null || right === null) return left ?? right;
  return right.offset > left.offset ? right : left;
}

function closingFault(token: CST.Token): string | null {
  switch (token.type) {
    case "double-quoted-scalar":
      return token.source.length > 1 && token.source.endsWith('"')
        ? null
        : 'The text that begins here with " is never closed.';
    case "single-quoted-scalar":
      return token.source.length > 1 && token.source.endsWith("'")
        ? null
        : "The text that begins here with ' is never closed.";
    case "flow-collection": {
      const isList = token.start.source === "[";
      if (token.end.some(({ source }) => source === (isList ? "]" : "}"))) return null;
      return isList
        ? "The list that begins here with [ is never closed with ]."
        : "The map that begins here with { is never closed with }.";
    }
    default:
      return null;
  }
}
