/**
 * Represents a YAML document as plain values that keep their position. Made by `readYaml`, read by
 * everything that reports an error.
 */
import type { ManifestError, ManifestErrorKind, SourcePlace } from "./manifest-error.ts";

export interface ScalarNode {
  readonly kind: "scalar";
  /** Integers outside ±2^53 are bigints, all other numbers are numbers. */
  readonly value: string | number | bigint | boolean | null;
  /** Offset in the text, in UTF-16 units. */
  readonly offset: number;
  /** True when nothing is written there, as after `key:`. */
  readonly blank: boolean;
}
export interface ListNode {
  readonly kind: "list";
  readonly value: readonly unknown[];
  readonly items: readonly YamlNode[];
  readonly offset: number;
}
export interface MapNode {
  readonly kind: "map";
  readonly value: Readonly<Record<string, unknown>>;
  readonly entries: ReadonlyMap<string, MapEntry>;
  readonly offset: number;
}
export interface MapEntry {
  readonly keyOffset: number;
  readonly node: YamlNode;
}
export type YamlNode = ScalarNode | ListNode | MapNode;

/** One document of a file. */
export interface YamlDocument {
  readonly file: string;
  readonly root: YamlNode;
  readonly placeAt: (offset: number) => SourcePlace;
}

export type NodePath = readonly PropertyKey[];

/** Makes an error at an offset of the document's file. */
export function errorAt(
  document: YamlDocument,
  offset: number,
  kind: ManifestErrorKind,
  message: string,
): ManifestError {
  return { file: document.file, ...document.placeAt(offset), message, kind };
}

/** True when the document says something at this path, be it null. */
export function hasPath(document: YamlDocument, path: NodePath): boolean {
  return walk(document.root, path).missing === 0;
}

/** Where the value at the path stands; of a blank or absent value, the nearest key above it. */
export function valueOffset(document: YamlDocument, path: NodePath): number {
  const { node, lastKey, missing } = walk(document.root, path);
  const blank = node.kind === "scalar" && node.blank;
  return (missing > 0 || blank) && lastKey !== null ? lastKey : node.offset;
}

/**
 * Where the key at the path stands; of a list item, the item; of an absent key, the nearest key
 * above it.
 */
export function keyOffset(document: YamlDocument, path: NodePath): number {
  const { node, lastKey } = walk(document.root, path);
  return lastKey ?? node.offset;
}

interface Found {
  readonly node: YamlNode /** Offset of the last key or list item on the way. */;
  readonly lastKey: number | null;
  /** Parts of the path that the document does not have. */
  readonly missing: number;
}

function walk(root: YamlNode, path: NodePath): Found {
  let found: Found = { node: root, lastKey: null, missing: 0 };
  for (const [index, part] of path.entries()) {
    const next = child(found.node, part);
    if (next === null) return { ...found, missing: path.length - index };
    found = { node: next.node, lastKey: next.keyOffset, missing: 0 };
  }
  return found;
}

function child(
  node: YamlNode,
  part: PropertyKey,
): { readonly node: YamlNode; readonly keyOffset: number } | null {
  switch (node.kind) {
    case "map":
      return node.entries.get(String(part)) ?? null;
    case "list": {
      const item = typeof part === "number" ? node.items[part] : undefined;
      return item === undefined ? null : { node: item, keyOffset: item.offset };
    }
    case "scalar":
      return null;
  }
}
