/**
 * custom: a partitioner that the class registers gives each key a shard index.
 *
 * The manifest names the partitioner; its version is the one that the class registers now, frozen
 * in the layout. Which keys change hands when the version or the count changes is known to the
 * partitioner alone, so such a change copies every row to new members, and skew cannot be levelled
 * here.
 */
import type { CustomLayout, PartitionerRef } from "../layout/layout.ts";
import { type Result, failure, success } from "../result.ts";

/** The layout of a partitioner over the members, in index order. */
export function customLayout(
  shardKey: string,
  generation: number,
  members: readonly string[],
  partitioner: PartitionerRef,
): CustomLayout {
  return { kind: "custom", shardKey, generation, members, partitioner };
}

/** The registered partitioner of that name, or a message that names the registered ones. */
export function findPartitioner(
  name: string | null,
  registered: readonly PartitionerRef[],
): Result<PartitionerRef, string> {
  const found = registered.find((partitioner) => partitioner.name === name);
  if (found) return success({ name: found.name, version: found.version });
  const known = registered
    .map((partitioner) => `${partitioner.name} v${partitioner.version}`)
    .toSorted();
  return failure(
    `the class registers no partitioner '${name ?? ""}' (registered: ${known.join(", ") || "none"}): register it and deploy, or correct spec.partitioner`,
  );
}
