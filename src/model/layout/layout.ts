/**
 * Layouts: who owns which part of a namespace's keyspace, as plain values.
 *
 * A layout is the answer to one question, "which member owns this key?", which `createOwnerLookup`
 * gives. Here is what is stored; what changes hands between two layouts is in `moves.ts`.
 *
 * | kind       | the owner of a row is                                                        |
 * |------------|------------------------------------------------------------------------------|
 * | none       | the root                                                                     |
 * | hash       | the member of the slot range that holds the key's slot                       |
 * | range      | the member of the first key range whose end is above the key                 |
 * | custom     | the member whose index the registered partitioner returns                    |
 * | roundRobin | remembered per row in the directory, which is itself spread by slot of the id |
 *
 * With a directory (always under roundRobin, else by `directory: true`) ids are unique in the
 * namespace, and found without their key.
 *
 * Layouts are stored in registries: a change of shape is a migration.
 */
import { canonicalJson } from "../canonical.ts";
import type { Key } from "./key.ts";

export type Strategy = "hash" | "range" | "roundRobin" | "custom" | "none";

/**
 * Slots from the previous range's end up to, not including, `end`. The last range ends at 16,384.
 */
export interface SlotRange {
  readonly end: number;
  readonly member: string;
}

/**
 * Keys from the previous range's end up to, not including, `end`, in SQLite's order. The last range
 * has `end: null`.
 */
export interface KeyRange {
  readonly end: Key | null;
  readonly member: string;
}

/** A custom partitioner by name and version; a new version is another layout. */
export interface PartitionerRef {
  readonly name: string;
  readonly version: number;
}

export interface NoneLayout {
  readonly kind: "none";
  readonly generation: number;
  /** Exactly one: the root. */
  readonly members: readonly string[];
}

interface ShardedLayout {
  readonly shardKey: string;
  /**
   * True: each id's key is remembered in the directory. Left out where there is none; never said by
   * roundRobin, which has its own.
   */
  readonly directory?: true;
  readonly generation: number;
  /** In order of the shard index. */
  readonly members: readonly string[];
}

export interface HashLayout extends ShardedLayout {
  readonly kind: "hash";
  readonly ranges: readonly SlotRange[];
}
export interface RangeLayout extends ShardedLayout {
  readonly kind: "range";
  readonly ranges: readonly KeyRange[];
}
export interface CustomLayout extends ShardedLayout {
  readonly kind: "custom";
  readonly partitioner: PartitionerRef;
}
export interface RoundRobinLayout extends ShardedLayout {
  readonly kind: "roundRobin";
}
export type Layout = NoneLayout | HashLayout | RangeLayout | CustomLayout | RoundRobinLayout;

/** The name of a shard. Stored, and the identity of a Durable Object: never change. */
export function shardName(namespace: string, generation: number, index: number): string {
  return generation === 0
    ? `${namespace}-shard-${index}`
    : `${namespace}-g${generation}-shard-${index}`;
}

export function shardNames(namespace: string, generation: number, count: number): string[] {
  return Array.from({ length: count }, (_, index) => shardName(namespace, generation, index));
}

/** True for the names that objects of the namespace can have: its root's and its shards'. */
export function isMemberName(namespace: string, name: string): boolean {
  if (!name.startsWith(namespace)) return false;
  return /^(?:(?:-g[1-9]\d*)?-shard-\d+)?$/.test(name.slice(namespace.length));
}

/** The layout of a namespace that was never sharded, or is unsharded again. */
export function unshardedLayout(namespace: string, generation: number): NoneLayout {
  return { kind: "none", generation, members: [namespace] };
}

/**
 * True when both layouts have the same fields, whatever the order in which they were written: same
 * key, generation, members and ranges.
 */
export function sameLayout(left: Layout, right: Layout): boolean {
  return canonicalJson(left) === canonicalJson(right);
}

/** @throws Error when there is no such member: a layout that is not whole. */
export function memberAt(members: readonly string[], index: number): string {
  const member = members[index];
  if (member === undefined)
    throw new Error(`Layout has no member ${index} (it has ${members.length})`);
  return member;
}
