/**
 * Generations and modes: which names the members of a new layout get, and how an operation reaches
 * it.
 *
 * A `swap` copies every row to members that are new to the layout, so their names must be free; a
 * `shift` keeps members and moves parts between them. Names come from the generation:
 *
 * | from        | to                                  | generation of `to` | mode  |
 * |-------------|-------------------------------------|--------------------|-------|
 * | none, g     | any strategy (shard)                | g                  | swap  |
 * | sharded, g  | none (unshard)                      | g + 1              | swap  |
 * | sharded, g  | other key, strategy or partitioner  | g + 1              | swap  |
 * | hash, g     | hash with the same key (rebalance)  | g                  | shift |
 * | range, g    | range with the same key (rebalance) | g                  | shift |
 * | range with a directory, g | the same (rebalance)  | g + 1              | swap  |
 * | custom, g   | other count (rebalance)             | g + 1              | swap  |
 * | roundRobin, g | other count or skew (rebalance)   | g + 1              | swap  |
 *
 * A none layout thus carries the generation that its next shards will use, and a generation is
 * never used by two swaps: rows that retired members keep for `retainHours` are never in the way.
 */
import { hasDirectory } from "./layout/directory.ts";
import { type Layout, shardName, shardNames } from "./layout/layout.ts";
import type { OperationMode } from "./operation.ts";

/**
 * How an operation gets from one layout to the other: `shift` when both are hash or both range,
 * with one key and one generation. The entries of a directory move with slots, and ranges of keys
 * have none: there, and when a directory comes or goes, all rows are copied.
 */
export function operationModeFor(from: Layout, to: Layout): OperationMode {
  if (from.kind === "none" || to.kind === "none") return "swap";
  const ordered = from.kind === to.kind && (to.kind === "hash" || to.kind === "range");
  if (hasDirectory(from) !== hasDirectory(to) || (to.kind === "range" && hasDirectory(to)))
    return "swap";
  return ordered && from.shardKey === to.shardKey && from.generation === to.generation
    ? "shift"
    : "swap";
}

/**
 * The generation of a layout whose members must all be new. Goes on past a generation whose names
 * are in use (shards can be named by hand).
 */
export function swapGeneration(namespace: string, from: Layout, count: number): number {
  const used = new Set([namespace, ...from.members]);
  // Each live member can spoil one generation at most, so this many steps always suffice.
  const first = from.kind === "none" ? from.generation : from.generation + 1;
  for (let generation = first; generation <= first + used.size; generation++) {
    if (!shardNames(namespace, generation, count).some((name) => used.has(name))) return generation;
  }
  throw new Error(`No free generation for namespace '${namespace}' from ${first} on`);
}

/**
 * The members after a shift to `count`: the highest indexes leave, or the next free indexes of the
 * same generation join.
 */
export function shiftMembers(namespace: string, from: Layout, count: number): string[] {
  const members = from.members.slice(0, count);
  const used = new Set(from.members);
  for (let index = members.length; members.length < count; index++) {
    const name = shardName(namespace, from.generation, index);
    if (!used.has(name)) members.push(name);
  }
  return members;
}
