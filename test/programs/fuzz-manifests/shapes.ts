/**
 * Shapes of YAML that cost a parser most, each for a length in characters: collections that are
 * opened, repeated or left empty, keys, tags, anchors, numbers and long scalars, in flow and block
 * style.
 */
export type Shape = (length: number) => string;

function repeat(part: string, before = "", after = ""): Shape {
  return (length) =>
    before +
    part.repeat(Math.max(1, Math.floor((length - before.length - after.length) / part.length))) +
    after;
}

function counted(line: (index: number) => string, after = ""): Shape {
  return (length) => {
    const lines: string[] = [];
    for (let size = after.length, index = 0; size < length; index++) {
      const next = line(index);
      lines.push(next);
      size += next.length;
    }
    return lines.join("") + after;
  };
}

export const SHAPES: Readonly<Record<string, Shape>> = {
  "flow lists, opened": repeat("["),
  "flow lists with empty entries, opened": repeat("[,,,,"),
  "flow maps, opened": repeat("{a: "),
  "flow list of lists": repeat("[],", "[", "]"),
  "flow list of maps": repeat("{},", "[", "]"),
  "flow list, empty entries": repeat(",", "[", "]"),
  "flow list, empty entries, not closed": repeat(",", "["),
  "flow map, empty entries": repeat(",", "{", "}"),
  "flow map, keys only": repeat("a,", "{", "}"),
  "flow map, :": repeat(":,", "{", "}"),
  "flow list, ?": repeat("? ,", "[", "]"),
  "flow closers": repeat("]"),
  "flow maps side by side": repeat("{}"),
  "block lists, opened": repeat("- "),
  "block lists, indented": counted((index) => `${" ".repeat(index)}-\n`),
  "block maps, indented": counted((index) => `${" ".repeat(index)}a:\n`),
  "block list, empty entries": repeat("-\n"),
  "block map": counted((index) => `k${index}: 1\n`),
  "block map, one key": repeat("a: 1\n"),
  "block ?": repeat("?\n"),
  "block ?, opened": repeat("? "),
  "block :": repeat(":\n"),
  "block :, opened": repeat(": "),
  "? and [, opened": repeat("[? "),
  tags: repeat("!a "),
  "list of tags": repeat("- !a b\n"),
  "tag directives": counted((index) => `%TAG !a${index}! b\n`, "---\na"),
  directives: repeat("%A\n"),
  anchors: repeat("&a "),
  "list of anchors": repeat("- &a\n"),
  "anchors and aliases": repeat("- *a\n", "- &a x\n"),
  "aliases of aliases": counted(
    (index) => `a${index}: &a${index} [*a${index - 1}, *a${index - 1}]\n`,
  ),
  "flow numbers": repeat("1,", "[", "1]"),
  "block numbers": repeat("- 1\n"),
  "long number": repeat("9", "a: "),
  "long plain text": repeat("x", "a: "),
  "long plain text of many lines": repeat("x\n ", "a: "),
  "long quoted text": repeat("x", 'a: "', '"'),
  "quoted text of many lines": repeat("x\n ", 'a: "', '"'),
  "quoted text of escapes": repeat("\\n", 'a: "', '"'),
  "quoted text of quotes": repeat("''", "a: '", "'"),
  "quoted text, not closed": repeat("x\n", '"'),
  "literal text": repeat(" x\n", "a: |\n"),
  "folded text": repeat(" x\n", "a: >\n"),
  documents: repeat("---\n"),
  "ends of documents": repeat("...\n"),
  comments: repeat("#\n"),
  "empty lines": repeat("\n"),
  "line ends of two characters": repeat("\r\n"),
  tabs: repeat("\t\n"),
  spaces: repeat(" ", "a: "),
  "byte order marks": repeat("\uFEFF---\n"),
  manifests: counted(
    (index) =>
      `apiVersion: shardctl.dev/v1\nkind: Namespace\nmetadata: { name: n${index} }\nspec: { object: A, strategy: none }\n---\n`,
  ),
  "manifests of split points": counted(
    (index) =>
      `apiVersion: shardctl.dev/v1\nkind: Namespace\nmetadata: { name: n${index} }\nspec:\n  object: A\n  strategy: range\n  shardKey: id\n  count: 1000\n  splitPoints: [${Array.from({ length: 999 }, (_, point) => point).join(",")}]\n---\n`,
  ),
};

/** Bytes of a file, from a small one to the largest that is read. */
export const LENGTHS: readonly number[] = [65_536, 262_144, 1_048_576];
