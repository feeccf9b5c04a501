/**
 * Is the world still the one that the plan was made for? Part of the judgement before a start;
 * every step asks again before it starts a change.
 */
import { describeDisorder, repairCommand } from "../model/disorder.ts";
import { sameLayout } from "../model/layout/layout.ts";
import type { LiveNamespace } from "../model/live.ts";
import type { Change } from "../model/plan.ts";

/** Why a change does not start. `moved`: its counts are no longer those that were shown. */
export interface ChangeProblem {
  readonly namespace: string;
  readonly kind: "stale" | "unreadable" | "moved";
  readonly message: string;
}

/**
 * Why the namespace is no longer the one that was planned for, or null. Each start of a run asks it
 * again.
 */
export function explainStale(change: Change, live: LiveNamespace): string | null {
  if (live.disorder)
    return `'${change.namespace}' must be repaired first (${describeDisorder(live.disorder)}); see \`${repairCommand(change.namespace)}\``;
  if (live.operation?.state === "running") {
    return `operation ${live.operation.id} (${live.operation.kind}) of '${change.namespace}' is running`;
  }
  if (live.epoch !== change.epoch)
    return `'${change.namespace}' is at epoch ${live.epoch}, the plan was made at epoch ${change.epoch}`;
  if (!sameLayout(live.layout, change.from))
    return `the layout of '${change.namespace}' at epoch ${live.epoch} is not the planned one`;
  return null;
}
