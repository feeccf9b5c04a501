/**
 * Builds the declaration that a live namespace already satisfies, which `import` writes. Planning
 * it must find nothing to do. Pure.
 */
import type { Key } from "../model/layout/key.ts";
import { hasDirectory } from "../model/layout/directory.ts";
import type { LiveNamespace } from "../model/live.ts";
import { DEFAULT_POLICY, type NamespaceSpec } from "../model/spec.ts";

/**
 * Null for a caller that may not apply, and is shown numbers: the declaration then leaves the
 * points as they are.
 */
function splitPointsOf(ranges: readonly { readonly end: Key | null }[]): Key[] | null {
  const points = ranges.map(({ end }) => end).filter((end): end is Key => end !== null);
  return points.every((point) => typeof point.text === "string") ? points : null;
}

/** @param file The manifest that will hold it. */
export function specOfLive(live: LiveNamespace, file: string): NamespaceSpec {
  const { layout } = live;
  return {
    name: live.name,
    labels: {},
    object: live.object,
    strategy: layout.kind,
    shardKey: layout.kind === "none" ? null : layout.shardKey,
    count: layout.kind === "none" ? 1 : layout.members.length,
    directory: hasDirectory(layout),
    splitPoints: layout.kind === "range" ? splitPointsOf(layout.ranges) : null,
    partitioner: layout.kind === "custom" ? layout.partitioner.name : null,
    dependsOn: [],
    policy: DEFAULT_POLICY,
    source: { file, line: 1, column: 1 },
  };
}
