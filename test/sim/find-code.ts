/**
 * Finds code by its tokens: comments, spaces, line breaks and trailing commas tell no two places
 * apart. A mutant that is written so fits whatever the comments say and however the file is laid
 * out.
 */
import tokenize from "js-tokens";

interface Token {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

/** Stands in a pattern for any code, as little as possible, with its brackets closed. */
export const ANY = "…";

const BLANK: ReadonlySet<string> = new Set([
  "WhiteSpace",
  "LineTerminatorSequence",
  "MultiLineComment",
  "SingleLineComment",
]);
const OPENING: ReadonlySet<string> = new Set(["(", "[", "{"]);
const CLOSING: ReadonlySet<string> = new Set([")", "]", "}"]);

/** The places of `pattern` in `source`, as offsets of its first and behind its last character. */
export function findCode(source: string, pattern: string): { start: number; end: number }[] {
  const tokens = tokensOf(source);
  const wanted = tokensOf(pattern).map(({ text }) => text);
  if (wanted.length === 0) throw new Error("A pattern has at least one token");
  const found: { start: number; end: number }[] = [];
  for (let index = 0; index < tokens.length; index++) {
    const behind = matchFrom(tokens, index, wanted);
    const [first, last] = [tokens[index], tokens[(behind ?? 0) - 1]];
    if (behind === null || !first || !last) continue;
    found.push({ start: first.start, end: last.end });
    index = behind - 1;
  }
  return found;
}

/** The tokens that are code, without trailing commas. */
function tokensOf(source: string): Token[] {
  const tokens: Token[] = [];
  let start = 0;
  for (const { type, value } of tokenize(source)) {
    const end = start + value.length;
    if (!BLANK.has(type)) {
      if (CLOSING.has(value) && tokens.at(-1)?.text === ",") tokens.pop();
      tokens.push({ text: value, start, end });
    }
    start = end;
  }
  return tokens;
}

/** The index behind the last token of a match that begins at `index`; null when there is none. */
function matchFrom(
  tokens: readonly Token[],
  index: number,
  wanted: readonly string[],
): number | null {
  const [first, ...rest] = wanted;
  if (first === undefined) return index;
  if (first !== ANY)
    return tokens[index]?.text === first ? matchFrom(tokens, index + 1, rest) : null;
  let depth = 0;
  for (let next = index; next < tokens.length; next++) {
    const behind = depth === 0 ? matchFrom(tokens, next, rest) : null;
    if (behind !== null) return behind;
    const text = tokens[next]?.text ?? "";
    if (OPENING.has(text)) depth++;
    if (CLOSING.has(text) && --depth < 0) return null;
  }
  return null;
}
