/**
 * Partitioners: the functions that a class registers for `strategy: custom`, found by name and
 * version.
 *
 * A layout stores the name and the version only. What is not registered is an error that names what
 * is, never a guess.
 */
import type { Key } from "./key.ts";
import type { PartitionerRef } from "./layout.ts";

/**
 * A partitioner that a class registers: a pure function of the key. `owner` returns a shard index
 * from 0 to `shardCount` - 1.
 */
export interface Partitioner {
  readonly version: number;
  owner(key: Key, shardCount: number): number;
}

/**
 * Partitioners by name. Register a new version beside the old one until the rekey to it has ended:
 * until then calls use the old version, and rows are copied by the new one. The name in a manifest
 * means the newest version.
 */
export type Partitioners = Readonly<Record<string, Partitioner | readonly Partitioner[]>>;

/** The registered partitioner of that name and version. @throws Error naming what is registered. */
export function registeredPartitioner(
  ref: PartitionerRef,
  partitioners: Partitioners,
): Partitioner {
  const versions = versionsOf(ref.name, partitioners);
  if (versions.length === 0) {
    const known = Object.keys(partitioners).toSorted().join(", ") || "none";
    throw new Error(
      `Partitioner '${ref.name}' is not registered here (registered: ${known}): the class's host and every caller's connect() need it`,
    );
  }
  const found = versions.find(({ version }) => version === ref.version);
  if (found) return found;
  const known = versions.map(({ version }) => `v${version}`).join(", ");
  throw new Error(
    `Partitioner '${ref.name}' v${ref.version} is not registered here (registered: ${known}): keep v${ref.version} registered beside the new one until the rekey has ended`,
  );
}

/** The newest version of each registered partitioner, by name. */
export function newestPartitioners(partitioners: Partitioners): PartitionerRef[] {
  return Object.keys(partitioners)
    .toSorted()
    .flatMap((name) => {
      const newest = versionsOf(name, partitioners)[0];
      return newest ? [{ name, version: newest.version }] : [];
    });
}

/** Newest first. */
function versionsOf(name: string, partitioners: Partitioners): Partitioner[] {
  const registered = Object.hasOwn(partitioners, name) ? partitioners[name] : undefined;
  return [registered ?? []].flat().toSorted((left, right) => right.version - left.version);
}
