/**
 * The basis: an earlier plan, usually the reviewed one, whose choices stay as they were shown.
 *
 * Quantiles and slots picked for skew follow the counts, and counts drift while people review. A
 * choice of the basis is therefore kept for a namespace when everything it was made from, but the
 * counts, is the same: epoch, kind, strategy, key, count, directory, split points and partitioner.
 */
import { hasDirectory } from "../model/layout/directory.ts";
import { type Layout, sameLayout } from "../model/layout/layout.ts";
import type { LiveNamespace } from "../model/live.ts";
import type { OperationKind } from "../model/operation.ts";
import type { Change, Plan } from "../model/plan.ts";
import type { NamespaceSpec } from "../model/spec.ts";
import { sameSplitPoints, splitPointsOf } from "../model/strategies/range.ts";

/** The basis's change of the namespace when it can still be made as it stands; null otherwise. */
export function findBasis(
  basis: Plan | null,
  spec: NamespaceSpec,
  live: LiveNamespace,
): Change | null {
  const change = basis?.changes.find(
    (one) => one.namespace === spec.name && one.object === spec.object,
  );
  if (!change || change.epoch !== live.epoch || !sameLayout(change.from, live.layout)) return null;
  return fitsSpec(change.to, spec, live) ? change : null;
}

/** The frozen layout for a change of this kind, or null. */
export function frozenLayout(basis: Change | null, kind: OperationKind): Layout | null {
  return basis?.kind === kind ? basis.to : null;
}

function fitsSpec(to: Layout, spec: NamespaceSpec, live: LiveNamespace): boolean {
  if (to.kind !== spec.strategy) return false;
  if (to.kind === "none") return true;
  if (to.shardKey !== spec.shardKey || to.members.length !== spec.count) return false;
  if (hasDirectory(to) !== spec.directory) return false;
  switch (to.kind) {
    case "hash":
    case "roundRobin":
      return true;
    case "range":
      return spec.splitPoints === null || sameSplitPoints(splitPointsOf(to), spec.splitPoints);
    case "custom": {
      const { name, version } = to.partitioner;
      return (
        name === spec.partitioner &&
        live.partitioners.some((one) => one.name === name && one.version === version)
      );
    }
  }
}
