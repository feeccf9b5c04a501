/**
 * Builds the declaration that a live namespace already satisfies, which `import` writes. Planning
 * it must find nothing to do. Pure.
 */
import type { Key } from "../model/layout/key.ts";
import { hasDirectory } from "../model/layout/directory.ts";
import type { LiveNamespace } from "../model/live.ts";
import { DEFAULT_POLICY, type NamespaceSpec } from "../model/spec.ts";

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
    splitPoints:
      layout.kind === "range"
        ? layout.ranges.map((range) => range.end).filter((end): end is Key => end !== null)
        : null,
    partitioner: layout.kind === "custom" ? layout.partitioner.name : null,
    dependsOn: [],
    policy: DEFAULT_POLICY,
    source: { file, line: 1, column: 1 },
  };
}
