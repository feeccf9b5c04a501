/**
 * Finds what a reader stumbles over in a source file: comments that begin with a question word,
 * lines that are wider than 100 columns, and phrases that have a plain word in their place.
 *
 * | exempt from the width | why                                                        |
 * |-----------------------|------------------------------------------------------------|
 * | tables in comments    | a row that is wrapped is no row                            |
 * | samples in comments   | a command is copied as it stands                           |
 * | texts in code         | a message that is cut in two cannot be searched for        |
 */
import tokenize from "js-tokens";

export interface ProseFault {
  /** Counted from 1. */
  readonly line: number;
  readonly reason: string;
}

const COLUMNS_MAX = 100;
const QUESTION = /^(What|Who|Whose|Whether|Those|Whoever|Whatever)\b/;
/** A row of a table, a line of a usage or of a sample. */
const LAID_OUT = /^\s*(\/\/|\*)( *\|| {4,}\S)/;
/** Each phrase, and what the field says instead. */
const RETIRED: readonly (readonly [phrase: RegExp, instead: string])[] = [
  [/\b(does|do|did) not get on\b/i, "has stalled"],
  [/\b(was|were|went) well\b/i, "succeeded"],
  [/\btakes? (\w+ )?rows for one\b/i, "counts as the same row"],
  [/\bgoes on in the namespace\b/i, "continues in the namespace"],
  [/\bsees? to it\b/i, "ensures"],
];

/** Faults of one file, by line. */
export function findProseFaults(source: string): ProseFault[] {
  const faults: ProseFault[] = [];
  const isLong = source
    .split("\n")
    .map((text) => text.length > COLUMNS_MAX && !LAID_OUT.test(text));
  let [line, isComment] = [0, false];
  for (const { type, value } of tokenize(source)) {
    const last = line + value.split("\n").length - 1;
    if (type === "MultiLineComment" || type === "SingleLineComment") {
      // A comment of several lines begins once.
      const isBegun = isComment && type === "SingleLineComment";
      for (const { at, text } of isBegun ? [] : paragraphsOf(value)) {
        const first = QUESTION.exec(text);
        if (first)
          faults.push({
            line: line + at + 1,
            reason: `a comment begins with "${first[0]}": say what it is or does`,
          });
      }
    } else if (HOLDS_TEXT.has(type)) {
      isLong.fill(false, line, last + 1);
    }
    if (type !== "WhiteSpace" && type !== "LineTerminatorSequence")
      isComment = type === "SingleLineComment";
    line = last;
  }
  for (const [index, text] of source.split("\n").entries()) {
    if (isLong[index])
      faults.push({ line: index + 1, reason: `${text.length} columns, at most ${COLUMNS_MAX}` });
    for (const [phrase, instead] of RETIRED) {
      const found = phrase.exec(text);
      if (found)
        faults.push({
          line: index + 1,
          reason: `"${found[0]}" is retired: "${instead}", for example`,
        });
    }
  }
  return faults.toSorted((left, right) => left.line - right.line);
}

const HOLDS_TEXT: ReadonlySet<string> = new Set([
  "StringLiteral",
  "NoSubstitutionTemplate",
  "TemplateHead",
  "TemplateMiddle",
  "TemplateTail",
  "RegularExpressionLiteral",
]);

/** The first line of each paragraph of a comment without its marks, and its place from 0. */
function paragraphsOf(comment: string): { readonly at: number; readonly text: string }[] {
  const lines = comment.split("\n").map((line) => line.replace(/^\s*(\/\*+|\/\/|\*)?\s*/, ""));
  const words = lines.findIndex((line) => line !== "");
  return lines.flatMap((text, at) => {
    const isFirst = at === words || (at > 0 && lines[at - 1] === "");
    return isFirst && text !== "" ? [{ at, text }] : [];
  });
}
