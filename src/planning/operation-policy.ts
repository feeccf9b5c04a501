/**
 * The limits that an operation runs under: as its plan fixes them, and as they have become when it
 * starts. Of both the stricter value of each holds. Overrides come last: they are somebody's leave
 * for this plan.
 */
import { hasDirectory } from "../model/layout/directory.ts";
import type { Layout } from "../model/layout/layout.ts";
import { DEFAULT_OPERATION_POLICY, type OperationPolicy } from "../model/operation.ts";
import type { Change, Guard } from "../model/plan.ts";
import { leastOf } from "../model/policy.ts";
import type { Policy } from "../model/spec.ts";

type Moved = Pick<Change, "kind" | "from" | "to">;

/** The limits that a plan fixes for a change under this policy. */
export function operationPolicy(policy: Policy, change: Moved): OperationPolicy {
  return {
    ...DEFAULT_OPERATION_POLICY,
    allowMissingKey: !needsKeys(change) || policy.onMissingKey === "allow",
    rowsPerSecondMax: policy.rowsPerSecondMax,
    retainHours: policy.retainHours,
  };
}

/**
 * The limits under which the planned change starts now.
 *
 * @param standing the policy that guards judge by now; null where nobody knows.
 */
export function policyAtStart(
  change: Moved & Pick<Change, "policy">,
  standing: Policy | null,
  overrides: readonly Guard[],
): OperationPolicy {
  const { policy } = change;
  const now = standing === null ? policy : operationPolicy(standing, change);
  return {
    ...policy,
    // An override of `missingKey` lets rows without the key through.
    allowMissingKey:
      overrides.includes("missingKey") || (policy.allowMissingKey && now.allowMissingKey),
    rowsPerSecondMax: leastOf(policy.rowsPerSecondMax, now.rowsPerSecondMax),
    retainHours: Math.max(policy.retainHours, now.retainHours),
  };
}

/**
 * False where rows without the key need none: they have an owner already when the key stays, are
 * dealt out in turn, or go home.
 */
function needsKeys({ kind, from, to }: Moved): boolean {
  if (kind === "rebalance" || to.kind === "none" || to.kind === "roundRobin") return false;
  return !isSameButForMembers(from, to);
}

/** True for the layout once more on other members: its misplaced rows go to their owners. */
function isSameButForMembers(from: Layout, to: Layout): boolean {
  if (from.kind === "none" || to.kind === "none" || from.kind !== to.kind) return false;
  if (from.shardKey !== to.shardKey || hasDirectory(from) !== hasDirectory(to)) return false;
  return from.kind !== "custom" || to.kind !== "custom" || isSamePartitioner(from, to);
}

function isSamePartitioner(
  from: Extract<Layout, { kind: "custom" }>,
  to: Extract<Layout, { kind: "custom" }>,
): boolean {
  const { name, version } = from.partitioner;
  return name === to.partitioner.name && version === to.partitioner.version;
}
