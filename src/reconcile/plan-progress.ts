/**
 * Finds in reviewed plans what they show of one namespace, and whether anything of them is still on
 * its way, without going through a whole plan for each namespace of it.
 *
 * Each look at one of thousands of namespaces asks about the same plan. A change that is on its way
 * is remembered and asked about first; that none is, is asked again with each batch of looks.
 */
import type { Change, Plan } from "../model/plan.ts";
import type { PolicyChange } from "../model/policy.ts";
import type { ReviewedPlan } from "../reviews/review-lookup.ts";
import { digestLayout, isSameChange, type NamespaceState } from "./namespace-state.ts";
import type { ReconcileStore } from "./ports.ts";

interface PlanIndex {
  readonly changes: ReadonlyMap<string, Change>;
  readonly policies: ReadonlyMap<string, PolicyChange>;
}

/** A plan is a value: what it shows never changes. */
const INDEXES = new WeakMap<Plan, PlanIndex>();

function indexOf(plan: Plan): PlanIndex {
  const known = INDEXES.get(plan);
  if (known !== undefined) return known;
  const index = {
    changes: new Map(plan.changes.map((change) => [change.namespace, change])),
    policies: new Map(plan.policies?.map((change) => [change.namespace, change])),
  };
  INDEXES.set(plan, index);
  return index;
}

/** The plan's change of the namespace; null for one that it leaves as it is. */
export function changeIn(plan: Plan, namespace: string): Change | null {
  return indexOf(plan).changes.get(namespace) ?? null;
}

/** The same of its policy. */
export function policyIn(plan: Plan, namespace: string): PolicyChange | null {
  return indexOf(plan).policies.get(namespace) ?? null;
}

interface Known {
  /** Was on its way when it was last asked about. */
  readonly onItsWay: Change | null;
  /** Nothing was on its way then; is all of it made? Null while that was not asked. */
  readonly isMade: boolean | null;
}

type Progress = "onItsWay" | "made" | "leftBehind";

export class PlanProgress {
  readonly #store: Pick<ReconcileStore, "readDeclared">;
  readonly #known = new Map<Plan, Known>();

  constructor(store: Pick<ReconcileStore, "readDeclared">) {
    this.#store = store;
  }

  /** Looks have written since: what was over may have begun. */
  askAgain(): void {
    for (const [plan, known] of this.#known) this.#known.set(plan, { ...known, isMade: null });
  }

  async of(plan: Plan): Promise<Progress> {
    const known = this.#known.get(plan) ?? { onItsWay: null, isMade: null };
    if (known.onItsWay !== null && (await this.#isOnItsWay(known.onItsWay))) return "onItsWay";
    if (known.isMade !== null) return known.isMade ? "made" : "leftBehind";
    for (const change of plan.changes)
      if (await this.#isOnItsWay(change)) {
        this.#known.set(plan, { onItsWay: change, isMade: null });
        return "onItsWay";
      }
    const isAllMade = await isMade({ plan }, { store: this.#store });
    this.#known.set(plan, { onItsWay: null, isMade: isAllMade });
    return isAllMade ? "made" : "leftBehind";
  }

  async #isOnItsWay(change: Change): Promise<boolean> {
    const state = this.#store.readDeclared(change.namespace);
    return state !== null && isOnItsWay(change, state);
  }
}

/** A heal counts where it may leave live as even as the policy wants it. */
async function isOnItsWay(change: Change, state: NamespaceState): Promise<boolean> {
  const { spec, pending, run, progress, silences, syncedDigest, shapeDigest, isEven } = state;
  if (run !== null || progress !== null || silences > 0 || syncedDigest !== shapeDigest)
    return true;
  if (pending === null) return false;
  if (pending.cause === "declared" || (await isSameChange(state, pending, change))) return true;
  return pending.cause === "skew" && isEven !== true && spec?.policy.selfHeal === "apply";
}

/** True when nothing of the plan is left to do but its policies. */
export async function isMade(
  { plan }: Pick<ReviewedPlan, "plan">,
  { store }: { readonly store: Pick<ReconcileStore, "readDeclared"> },
): Promise<boolean> {
  const states = plan.changes.map(
    (change) => [change, store.readDeclared(change.namespace)] as const,
  );
  if (!states.every(([change, state]) => state === null || hasMovedOn(change, state))) return false;
  for (const [change, state] of states)
    if (state !== null && !(await isDone(change, state))) return false;
  return true;
}

/**
 * Says that live is at rest, as declared, and no longer what the change starts from. A heal may be
 * pending: it is no change of the plan, and what the policy allows may be what it waits for.
 */
function hasMovedOn({ epoch }: Change, state: NamespaceState): boolean {
  const { pending, run, progress, registry, silences, syncedDigest, shapeDigest } = state;
  return (
    pending?.cause !== "declared" &&
    run === null &&
    progress === null &&
    silences === 0 &&
    syncedDigest === shapeDigest &&
    registry !== null &&
    registry.epoch > epoch
  );
}

/**
 * Where live has become another one than planned, as by a later plan, nothing is left to do once
 * the new policy would not ask for anything either.
 */
async function isDone({ to }: Change, { registry, isEven }: NamespaceState): Promise<boolean> {
  return isEven === true || registry?.layoutDigest === (await digestLayout(to));
}
