/**
 * Is the world still the one that the plan was made for? Asked before a run is accepted; every step
 * asks again before it starts a change.
 */
import { describeDisorder, repairCommand } from "../model/disorder.ts";
import { sameLayout } from "../model/layout/layout.ts";
import type { LiveNamespace } from "../model/live.ts";
import type { Change, Plan } from "../model/plan.ts";
import type { LiveReader } from "../live/port.ts";
import { READS_MAX } from "./gather-live.ts";
import { runBounded } from "../model/run-bounded.ts";

export interface ChangeProblem {
  readonly namespace: string;
  readonly kind: "stale" | "unreadable";
  readonly message: string;
}

/**
 * Every change whose namespace is not, or not readably, as planned. A namespace that cannot be read
 * is a problem, not a pass.
 */
export async function findStaleChanges(plan: Plan, live: LiveReader): Promise<ChangeProblem[]> {
  const found = await runBounded(
    plan.changes,
    READS_MAX,
    async (change): Promise<ChangeProblem | null> => {
      const { namespace } = change;
      const described = await live.describe({ name: namespace, object: change.object });
      if (!described.ok)
        return { namespace, kind: "unreadable", message: described.failure.message };
      const message = explainStale(change, described.value);
      return message === null ? null : { namespace, kind: "stale", message };
    },
  );
  return found.filter((problem) => problem !== null);
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
