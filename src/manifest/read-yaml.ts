/**
 * Reads YAML text into documents whose values know their position.
 *
 * Only what a declaration needs is read: maps with text keys, lists, scalars, and aliases within
 * bounds. Tags, merge keys and other YAML versions are refused. The text is read within a budget,
 * keys are compared in linear time, and an alias shares its anchor's value instead of copying it,
 * so that no input of the allowed size is costly.
 */
import {
  type Document,
  LineCounter,
  type Node,
  type Scalar,
  isAlias,
  isMap,
  isScalar,
  isSeq,
} from "yaml";

import { type Unclosed, composeYaml } from "./compose-yaml.ts";
import { escapeControls, quoteValue } from "./describe-value.ts";
import {
  ALIASED_VALUES_MAX,
  DOCUMENT_TOKENS_MAX,
  FILE_ERRORS_MAX,
  FILE_TOKENS_MAX,
  type ManifestError,
  type ManifestErrorKind,
  NESTING_MAX,
  SYNTAX_ERRORS_MAX,
  type SourcePlace,
  sortErrors,
} from "./manifest-error.ts";
import type { MapEntry, YamlDocument, YamlNode } from "./yaml-node.ts";

export interface YamlFile {
  /** Documents that say something and have no error of syntax. */
  readonly documents: readonly YamlDocument[];
  readonly errors: readonly ManifestError[];
  /** Tokens that were read. */
  readonly tokens: number;
}

/**
 * Reads every document of a text that `readText` has passed, at most `tokensMax` tokens of it.
 * Never throws.
 *
 * @param tooManyTokens what a text with more tokens is told.
 */
export function readYaml(
  file: string,
  text: string,
  tokensMax: number = FILE_TOKENS_MAX,
  tooManyTokens: string = FILE_TOO_LONG,
): YamlFile {
  const lines = new LineCounter();
  const placeAt = (offset: number): SourcePlace => {
    const { line, col } = lines.linePos(Math.min(offset, text.length));
    return line === 0 ? { line: 1, column: 1 } : { line, column: col };
  };
  const errors: ManifestError[] = [];
  const report: Report = (offset, kind, message) =>
    errors.push({ file, ...placeAt(offset), kind, message });
  const documents: YamlDocument[] = [];
  const composed = composeYaml(text, tokensMax, lines.addNewLine, ({ parsed, unclosed }) => {
    const root = readDocument(parsed, unclosed, report);
    if (root !== null) documents.push({ file, root, placeAt });
  });
  for (const error of composed.errors)
    reportSyntax(error.pos[0], error.code, error.message, report);
  if (composed.stop !== null) {
    const { reason, offset } = composed.stop;
    report(offset, "limit", reason === "tokens" ? tooManyTokens : STOPPED[reason]);
  }
  return { documents, errors: onePerLine(errors), tokens: composed.tokens };
}

type Report = (offset: number, kind: ManifestErrorKind, message: string) => void;

const FILE_TOO_LONG = `The file has more than ${FILE_TOKENS_MAX.toLocaleString("en-US")} tokens (names, values and punctuation); reading stopped here. Split it into several files.`;

const STOPPED = {
  document: `The document has more than ${DOCUMENT_TOKENS_MAX.toLocaleString("en-US")} tokens (names, values and punctuation); reading stopped here.`,
  depth: `Lists and maps are nested deeper than ${NESTING_MAX} levels here. A manifest needs fewer than 10.`,
  errors: `The file has more than ${SYNTAX_ERRORS_MAX} errors of syntax; reading stopped here. Correct the first ones.`,
} as const;

function readDocument(
  parsed: Document.Parsed,
  unclosed: Unclosed | null,
  report: Report,
): YamlNode | null {
  for (const error of parsed.errors) {
    const follows = unclosed !== null && error.pos[0] >= unclosed.offset;
    if (follows) report(unclosed.offset, "syntax", `Not valid YAML: ${unclosed.message}`);
    else reportSyntax(error.pos[0], error.code, error.message, report);
  }
  const version = statedVersion(parsed);
  if (version !== "1.2")
    report(
      parsed.range[0],
      "unsupported",
      `%YAML ${version} is not supported. Remove the line: manifests are YAML 1.2.`,
    );
  if (parsed.errors.length > 0 || version !== "1.2" || parsed.contents === null) return null;
  const reader = new DocumentReader(report);
  const root = reader.read(parsed.contents);
  const isEmpty = root?.kind === "scalar" && root.blank;
  return reader.failed || isEmpty ? null : root;
}

/** The library reads a version that it does not know as 1.2, with a warning. */
function statedVersion({ directives, warnings }: Document.Parsed): string {
  for (const { message } of warnings) {
    const [, unknown] = /^Unsupported YAML version (\S+)/u.exec(message) ?? [];
    if (unknown !== undefined) return unknown;
  }
  return directives.yaml.version;
}

function reportSyntax(offset: number, code: string, message: string, report: Report): void {
  switch (code) {
    case "NON_STRING_KEY":
      return report(
        offset,
        "unsupported",
        "A key must be plain text, not a list, a map or an alias.",
      );
    case "RESOURCE_EXHAUSTION":
      return report(offset, "limit", "This part is too complex to read.");
    default: {
      const [sentence = ""] = message.split("\n");
      return report(
        offset,
        "syntax",
        `Not valid YAML: ${escapeControls(sentence.slice(0, 200)).replace(/[.:]$/u, "")}.`,
      );
    }
  }
}

const TAG_PREFIX = "tag:yaml.org,2002:";
const PLAIN_TAGS = new Set([
  "!",
  ...["str", "int", "float", "bool", "null", "map", "seq"].map((name) => TAG_PREFIX + name),
]);

/**
 * Converts the nodes of one document, in the order of the text, so that an alias means the last
 * anchor before it.
 */
class DocumentReader {
  failed = false;
  private readonly report: Report;
  private readonly anchors = new Map<
    string,
    { readonly node: YamlNode; readonly size: number } | "open"
  >();
  private aliased = 0;
  private overflown = false;
  /** Values of the node read last, with its aliases expanded. */
  private size = 0;

  constructor(report: Report) {
    this.report = report;
  }

  /** Null when the node is refused; the reason is reported. */
  read(node: Node): YamlNode | null {
    const offset = node.range?.[0] ?? 0;
    if (isAlias(node)) return this.readAlias(node.source, offset);
    const { tag } = node;
    if (tag !== undefined && !PLAIN_TAGS.has(tag)) {
      return this.refuse(
        offset,
        "unsupported",
        `The tag ${quoteValue(tag.replace(TAG_PREFIX, "!!"))} is not supported: manifests are plain data.`,
      );
    }
    const { anchor } = node;
    if (anchor !== undefined) this.anchors.set(anchor, "open");
    const found = this.readContent(node, offset);
    if (anchor !== undefined && found !== null)
      this.anchors.set(anchor, { node: found, size: this.size });
    return found;
  }

  private readContent(node: Node, offset: number): YamlNode | null {
    if (isScalar(node)) {
      this.size = 1;
      const blank = node.source === "" && node.value === null;
      if (isAmbiguousNumber(node))
        return this.refuse(offset, "unsupported", explainLeadingZero(node.source ?? ""));
      return { kind: "scalar", value: plainScalar(node.value), offset, blank };
    }
    if (isSeq(node)) return this.readList(node.items as readonly Node[], offset);
    if (isMap(node)) return this.readMap(node.items as readonly YamlPair[], offset);
    return this.refuse(
      offset,
      "unsupported",
      "This YAML is not supported: write a list, a map or a value.",
    );
  }

  private readAlias(name: string, offset: number): YamlNode | null {
    const found = this.anchors.get(name);
    if (found === undefined)
      return this.refuse(
        offset,
        "syntax",
        `The alias *${quoteValue(name).slice(1, -1)} has no anchor before it.`,
      );
    if (found === "open")
      return this.refuse(
        offset,
        "unsupported",
        `The alias *${quoteValue(name).slice(1, -1)} stands inside its own anchor.`,
      );
    this.aliased += found.size;
    this.size = found.size;
    if (this.aliased <= ALIASED_VALUES_MAX) return found.node;
    if (this.overflown) return null;
    this.overflown = true;
    const limit = ALIASED_VALUES_MAX.toLocaleString("en-US");
    return this.refuse(
      offset,
      "limit",
      `The aliases of this document expand to more than ${limit} values. Write the values out, or in several documents.`,
    );
  }

  private readList(nodes: readonly Node[], offset: number): YamlNode | null {
    const items: YamlNode[] = [];
    let size = 1;
    for (const node of nodes) {
      const item = this.read(node);
      if (item === null) continue;
      items.push(item);
      size += this.size;
    }
    this.size = size;
    return { kind: "list", value: items.map((item) => item.value), items, offset };
  }

  private readMap(pairs: readonly YamlPair[], offset: number): YamlNode | null {
    const entries = new Map<string, MapEntry>();
    const value = Object.create(null) as Record<string, unknown>;
    let size = 1;
    for (const pair of pairs) {
      const key = this.readKey(pair.key);
      const node =
        pair.value === null ? blankNode(pair.key.range?.[1] ?? offset) : this.read(pair.value);
      if (key === null || node === null) continue;
      const keyOffset = pair.key.range?.[0] ?? offset;
      const first = entries.get(key);
      if (first !== undefined) {
        this.refuse(
          keyOffset,
          "duplicateKey",
          `The key ${quoteValue(key)} is given twice in this map. Keep one.`,
        );
        continue;
      }
      entries.set(key, { keyOffset, node });
      value[key] = node.value;
      size += pair.value === null ? 1 : this.size;
    }
    this.size = size;
    return { kind: "map", value, entries, offset };
  }

  private readKey(node: Node): string | null {
    const offset = node.range?.[0] ?? 0;
    const key = isScalar(node) ? node.value : null;
    if (typeof key !== "string")
      return this.refuse(
        offset,
        "unsupported",
        "A key must be plain text, not a list, a map or an alias.",
      );
    if (key === "<<")
      return this.refuse(
        offset,
        "unsupported",
        "Merge keys (<<) are not supported: write the values out, or alias single values.",
      );
    if (key === "__proto__")
      return this.refuse(offset, "unsupported", "The key __proto__ is not allowed.");
    return key;
  }

  private refuse(offset: number, kind: ManifestErrorKind, message: string): null {
    this.failed = true;
    this.report(offset, kind, message);
    return null;
  }
}

interface YamlPair {
  readonly key: Node;
  readonly value: Node | null;
}

function blankNode(offset: number): YamlNode {
  return { kind: "scalar", value: null, offset, blank: true };
}

/** `010` is 8 to some readers of YAML and 10 to others. */
function isAmbiguousNumber({ value, source }: Scalar): boolean {
  const isNumber = typeof value === "number" || typeof value === "bigint";
  return isNumber && /^[-+]?0[0-9]/u.test(source ?? "");
}

function explainLeadingZero(source: string): string {
  const shown = quoteValue(source).slice(1, -1);
  return `The number ${shown} begins with 0, which some readers of YAML take for an octal number. Write it without the 0, or in quotes if it is text.`;
}

function plainScalar(value: unknown): string | number | bigint | boolean | null {
  switch (typeof value) {
    case "bigint": {
      const number = Number(value);
      return Number.isSafeInteger(number) ? number : value;
    }
    case "string":
    case "number":
    case "boolean":
      return value;
    default:
      return null;
  }
}

/** One slip of syntax makes several errors on its line: the first is the one to read. */
function onePerLine(errors: readonly ManifestError[]): ManifestError[] {
  const sorted = sortErrors(errors);
  return sorted.filter(
    (error, index) => error.kind !== "syntax" || sorted[index - 1]?.line !== error.line,
  );
}

/** Keeps a hopeless file from burying the others. */
export function capErrors(errors: readonly ManifestError[]): ManifestError[] {
  const last = errors[FILE_ERRORS_MAX];
  if (last === undefined) return [...errors];
  const left = errors.length - FILE_ERRORS_MAX;
  const message = `${left.toLocaleString("en-US")} more ${left === 1 ? "error" : "errors"} in this file ${left === 1 ? "is" : "are"} not listed.`;
  return [...errors.slice(0, FILE_ERRORS_MAX), { ...last, kind: "limit", message }];
}
