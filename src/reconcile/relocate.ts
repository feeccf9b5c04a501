/**
 * The change that brings misplaced rows home: the same layout once more, on members of a new
 * generation.
 *
 * A rebalance moves ranges, and a misplaced row lies in none that its member gives away. A swap
 * reads every row of every member and gives it to its owner, verified, with its cutover; that is
 * much for a few rows, and why the budget is asked first.
 */
import { type Layout, shardNames } from "../model/layout/layout.ts";
import type { LiveNamespace } from "../model/live.ts";
import { swapGeneration } from "../model/operation-mode.ts";
import { DEFAULT_OPERATION_POLICY } from "../model/operation.ts";
import type { Change } from "../model/plan.ts";
import { liveRows, liveSkew } from "../planning/decide-change.ts";
import type { NamespaceSpec } from "../model/spec.ts";

/** The change, or null for a layout whose owners do not follow from keys. */
export function relocateChange(
  spec: NamespaceSpec,
  live: LiveNamespace,
  misplacedRows: number,
): Change | null {
  const to = relocatedLayout(spec.name, live.layout);
  if (to === null) return null;
  const rows = liveRows(live);
  const moves = live.members.map(({ name: source, rows: sourceRows, bytes }, index) => ({
    source,
    target: to.members[index] ?? source,
    rows: sourceRows,
    bytes,
  }));
  return {
    kind: "rekey",
    namespace: spec.name,
    object: spec.object,
    epoch: live.epoch,
    from: live.layout,
    to,
    reason: `${misplacedRows} misplaced rows`,
    moves,
    rowsTotal: rows,
    rowsMoved: rows,
    bytesMoved: moves.reduce((sum, { bytes }) => sum + bytes, 0),
    skewBefore: liveSkew(live),
    skewAfter: liveSkew(live),
    missingKeys: 0,
    staysBehind: live.undeclaredTables.toSorted(),
    estimate: null,
    countedAt: live.countedAt,
    policy: {
      ...DEFAULT_OPERATION_POLICY,
      // The key stays, so rows without one have an owner already.
      allowMissingKey: true,
      rowsPerSecondMax: spec.policy.rowsPerSecondMax,
      retainHours: spec.policy.retainHours,
    },
    dependsOn: spec.dependsOn,
    source: spec.source,
  };
}

function relocatedLayout(namespace: string, layout: Layout): Layout | null {
  if (layout.kind === "none" || layout.kind === "roundRobin") return null;
  const generation = swapGeneration(namespace, layout, layout.members.length);
  const members = shardNames(namespace, generation, layout.members.length);
  if (layout.kind === "custom") return { ...layout, generation, members };
  const renamed = new Map(
    layout.members.map((member, index) => [member, members[index] ?? member]),
  );
  const rename = (member: string): string => renamed.get(member) ?? member;
  if (layout.kind === "hash")
    return {
      ...layout,
      generation,
      members,
      ranges: layout.ranges.map(({ end, member }) => ({ end, member: rename(member) })),
    };
  return {
    ...layout,
    generation,
    members,
    ranges: layout.ranges.map(({ end, member }) => ({ end, member: rename(member) })),
  };
}
