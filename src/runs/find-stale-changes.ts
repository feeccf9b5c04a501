/**
 * Is the world still the one that the plan was made for? Asked before a run is accepted; every step
 * asks again before it starts a change.
 */
import type { Plan } from "../model/plan.ts";
import type { LiveReader } from "../live/port.ts";
import { explainStale } from "./advance-run.ts";
import { READS_MAX } from "./gather-live.ts";
import { runBounded } from "../live/run-bounded.ts";

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
