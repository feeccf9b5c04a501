/** Turns zod's issues into errors that name the key, what it must be, what was found, and where. */
import * as z from "zod";

import { describeValue, formatPath, quoteValue } from "./describe-value.ts";
import { WHY } from "./fields.ts";
import type { ManifestError } from "./manifest-error.ts";
import { suggestWord } from "../model/suggest.ts";
import {
  type NodePath,
  type YamlDocument,
  errorAt,
  hasPath,
  keyOffset,
  valueOffset,
} from "./yaml-node.ts";

export interface Explained {
  readonly errors: readonly ManifestError[];
  /** Paths whose values cannot be used, or are missing but probably misspelt. */
  readonly broken: readonly NodePath[];
}

/**
 * Explains what `schema` found wrong in the document. Values at `secret` paths are not repeated.
 */
export function explainIssues(
  document: YamlDocument,
  schema: z.ZodType,
  issues: readonly z.core.$ZodIssue[],
  secret: (path: NodePath) => boolean = () => false,
): Explained {
  const errors: ManifestError[] = [];
  const broken: NodePath[] = [];
  for (const issue of issues) {
    if (issue.code === "unrecognized_keys") explainUnknown(document, schema, issue, errors, broken);
    else broken.push(issue.path);
  }
  for (const issue of issues) {
    const misspelt =
      !hasPath(document, issue.path) &&
      broken.filter((path) => samePath(path, issue.path)).length > 1;
    if (issue.code !== "unrecognized_keys" && !misspelt)
      errors.push(explainIssue(document, issue, secret(issue.path)));
  }
  return { errors, broken };
}

/** One sentence for "a word that is not allowed": the nearest one, and all of them. */
export function suggestAllowed(word: string, allowed: readonly string[]): string {
  const near = suggestWord(word, allowed);
  const list = `Allowed: ${allowed.join(", ")}.`;
  return near === null ? list : `Did you mean ${quoteValue(near)}? ${list}`;
}

function explainUnknown(
  document: YamlDocument,
  schema: z.ZodType,
  issue: z.core.$ZodIssueUnrecognizedKeys,
  errors: ManifestError[],
  broken: NodePath[],
): void {
  const allowed = allowedKeys(schema, issue.path);
  const place = issue.path.length === 0 ? "the document" : formatPath(issue.path);
  for (const key of issue.keys) {
    const path = [...issue.path, key];
    const near = suggestWord(key, allowed);
    if (near !== null) broken.push([...issue.path, near]);
    const message = `Unknown key ${quoteValue(key)} in ${place}. ${suggestAllowed(key, allowed)}`;
    errors.push(errorAt(document, keyOffset(document, path), "unknownKey", message));
  }
}

function explainIssue(
  document: YamlDocument,
  issue: z.core.$ZodIssue,
  isSecret: boolean,
): ManifestError {
  const { path } = issue;
  const isKey = issue.code === "invalid_key";
  const said = isKey ? (issue.issues[0]?.message ?? issue.message) : issue.message;
  const [rule = "", why] = said.split(WHY);
  if (!hasPath(document, path)) {
    const reason = why === undefined ? "" : `; ${why}`;
    return errorAt(
      document,
      valueOffset(document, path),
      "missing",
      `${formatPath(path)} is missing: it ${rule}${reason}.`,
    );
  }
  const reason = why === undefined ? "" : `: ${why}`;
  if (isKey) {
    const message = `The key ${quoteValue(String(path.at(-1)))} in ${formatPath(path.slice(0, -1))} ${rule}${reason}.`;
    return errorAt(document, keyOffset(document, path), "invalid", message);
  }
  const value = valueAt(document, path);
  const found = isSecret ? "" : `, but is ${describeValue(value)}`;
  const message = `${formatPath(path)} ${rule}${found}${reason}.${quotesHint(issue, value, said)}${nearHint(issue, value)}`;
  return errorAt(document, valueOffset(document, path), "invalid", message);
}

function quotesHint(issue: z.core.$ZodIssue, value: unknown, said: string): string {
  if (issue.code !== "invalid_type") return "";
  // Any text will do where the rule says "text"; elsewhere quotes would only lead to the next
  // error.
  const wantsText = issue.expected === "string" && /\btext\b/u.test(said);
  if (wantsText && ["number", "bigint", "boolean"].includes(typeof value))
    return " Put it in quotes to make it text.";
  const isNumeric =
    typeof value === "string" && value.trim() !== "" && Number.isFinite(Number(value));
  const wantsNumber = issue.expected === "number" || issue.expected === "int";
  return (wantsNumber && isNumeric) ||
    (issue.expected === "boolean" && (value === "true" || value === "false"))
    ? " Remove the quotes."
    : "";
}

function nearHint(issue: z.core.$ZodIssue, value: unknown): string {
  if (issue.code !== "invalid_value" || typeof value !== "string") return "";
  const near = suggestWord(value, issue.values.map(String));
  return near === null ? "" : ` Did you mean ${quoteValue(near)}?`;
}

function valueAt(document: YamlDocument, path: NodePath): unknown {
  let value: unknown = document.root.value;
  for (const part of path) value = (value as Record<PropertyKey, unknown> | null)?.[part];
  return value;
}

/** The keys that the schema allows at a path, in the schema's order. */
function allowedKeys(schema: z.ZodType, path: NodePath): string[] {
  let current: z.core.$ZodType = unwrap(schema);
  for (const part of path) {
    if (current instanceof z.ZodObject)
      current = unwrap((current.shape as Record<string, z.core.$ZodType>)[String(part)] ?? current);
    else if (current instanceof z.ZodRecord) current = unwrap(current.valueType);
    else if (current instanceof z.ZodArray) current = unwrap(current.element);
  }
  return current instanceof z.ZodObject ? Object.keys(current.shape) : [];
}

function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  let current = schema;
  while (current instanceof z.ZodOptional || current instanceof z.ZodNullable)
    current = current.unwrap();
  return current;
}

function samePath(left: NodePath, right: NodePath): boolean {
  return left.length === right.length && left.every((part, index) => part === right[index]);
}

/**
 * Checks that a document is a map of this `apiVersion` and `kind`; anything else would only give
 * errors about the wrong format. One of the two missing is left to the schema, which knows a
 * misspelt key.
 */
export function checkHeader(
  document: YamlDocument,
  apiVersion: string,
  kind: string,
): readonly ManifestError[] {
  const { root } = document;
  if (root.kind !== "map") {
    const message = `A document must be a map with apiVersion: ${apiVersion} and kind: ${kind}, but is ${describeValue(root.value)}.`;
    return [errorAt(document, root.offset, "version", message)];
  }
  const header = [["apiVersion", apiVersion] as const, ["kind", kind] as const];
  if (header.every(([key]) => !root.entries.has(key))) {
    const message = `The document says neither apiVersion nor kind. Begin it with "apiVersion: ${apiVersion}" and "kind: ${kind}".`;
    return [errorAt(document, root.offset, "version", message)];
  }
  return header.flatMap(([key, wanted]) => {
    const value = root.value[key];
    if (value === wanted || !root.entries.has(key)) return [];
    return [
      errorAt(
        document,
        valueOffset(document, [key]),
        "version",
        `${key} must be ${wanted}, but is ${describeValue(value)}.`,
      ),
    ];
  });
}
