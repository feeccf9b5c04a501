/**
 * Finds what a reader stumbles over in a source file: comments that begin with a question word,
 * lines that are wider than 100 columns, and phrases that have a plain word in their place. In what
 * users read, manuals and messages, more phrases are refused.
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
/** The same for a file's header, which says what the file does. */
const HEADER_QUESTION = /^(What|Who|Whose|Whether|Those|How|When|Where|Which|Why)\b/;
/** A row of a table, a line of a usage or of a sample. */
const LAID_OUT = /^\s*(\/\/|\*)( *\|| {4,}\S)/;
/** Each phrase, and what the field says instead. */
const RETIRED: readonly (readonly [phrase: RegExp, instead: string])[] = [
  [/\b(does|do|did) not get on\b/i, "has stalled"],
  [/\b(was|were|went) well\b/i, "succeeded"],
  [/\btakes? (\w+ ){1,2}for one\b/i, "counts as the same row"],
  [/\b(operation|run|change|move)s? gets? on\b/i, "advances"],
  [/\b(named|waited|made|\w+ again) in vain\b/i, "needlessly, or without effect"],
  [/\bgoes on in the namespace\b/i, "continues in the namespace"],
  [/\bsees? to it\b/i, "ensures"],
  [/\bpart(s|ed)? ways\b/i, "differs from"],
  [/\bin spite of\b/i, "overrides"],
  [/\bplan of now\b/i, "current plan"],
  [/\bst(an|oo)ds? against\b/i, "blocks"],
  [/\bpoke[ds]?\b/i, "wakes"],
  [/\b(is|are) there already\b/i, "already exists"],
  [/\b(is|are) no (name|command|event) (of|to)\b/i, "is not a valid name"],
];
/** Refused in manuals and messages only. */
const RETIRED_FOR_USERS: typeof RETIRED = [
  ...RETIRED,
  [/\b(go|goes|going|went) on\b/i, "continues"],
  [/\bst(an|oo)ds? still\b/i, "is paused, or has stalled"],
  [/\banew\b/i, "again"],
  [/\bmend(s|ed|ing)?\b/i, "corrects, or fixes"],
  [/\bputs? back\b/i, "restores"],
  [/\b(all|is|are) (is )?well\b(?!,)/i, "healthy"],
  [/\bsees? to\b/i, "ensures"],
  [/\bnobody\b/i, "no caller, or no person"],
  [/\blets? go of\b/i, "releases"],
  [/\bis not looked at\b|\bwas looked at\b/i, "checked, or read"],
];

/** Retired phrases in a manual. Code and quotations, as of a test's name, may have them. */
export function findManualFaults(markdown: string): ProseFault[] {
  const prose = markdown
    .replace(/^```.*?^```$/gms, (block) => block.replace(/[^\n]/g, ""))
    .replace(/`[^`\n]*`|"[^"\n]*"/g, "");
  return retiredIn(prose, RETIRED_FOR_USERS);
}

/** Retired phrases in the texts of a file whose texts are messages to users. */
export function findMessageFaults(source: string): ProseFault[] {
  const faults: ProseFault[] = [];
  let line = 0;
  for (const { type, value } of tokenize(source)) {
    // A single word is a name: of a message, for example.
    if (HOLDS_TEXT.has(type) && type !== "RegularExpressionLiteral" && /\w[^\w]*\s+\w/.test(value))
      for (const fault of retiredIn(value, RETIRED_FOR_USERS))
        faults.push({ ...fault, line: line + fault.line });
    line += value.split("\n").length - 1;
  }
  return faults;
}

function retiredIn(text: string, retired: typeof RETIRED): ProseFault[] {
  return text.split("\n").flatMap((line, index) =>
    retired.flatMap(([phrase, instead]) => {
      const found = phrase.exec(line);
      return found === null
        ? []
        : [{ line: index + 1, reason: `"${found[0]}" is retired: "${instead}", for example` }];
    }),
  );
}

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
        const isHeader = line === 0 && at <= 1;
        const first = (isHeader ? HEADER_QUESTION : QUESTION).exec(text);
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
  }
  faults.push(...retiredIn(source, RETIRED));
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
