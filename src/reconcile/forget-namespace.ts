/**
 * Forgets a namespace that is no more, so that plans, drifts and pages tell of it no longer.
 *
 * Only memory goes: no object is written to, and plans, runs and history stay. It is refused while
 * anything speaks for the namespace, and while its objects cannot be asked. A binding that the
 * Worker no longer has is the exception: nothing can be live behind it here.
 */
import type { LiveReader } from "../live/port.ts";
import type { Remote } from "../model/calls.ts";
import { formatQuantity } from "../model/figures.ts";
import type { ForgetPlan, KnownNamespace } from "../model/forget.ts";
import type { LiveNamespace, LiveResult, NamespaceRef } from "../model/live.ts";
import { repairCommand } from "../model/disorder.ts";
import { RefusedRequest } from "../model/refused-request.ts";
import { explainLife } from "../model/what-lives.ts";

/** The calls about what the Worker remembers of namespaces. */
export interface MemoryCalls {
  /**
   * Null when nothing is remembered.
   *
   * @param only the one environment that is asked about; null for all.
   */
  known(ref: NamespaceRef, only: string | null): KnownNamespace | null;
  /**
   * Forgets it in these environments, and writes that to their history. False, and nothing is
   * changed, when nothing is remembered, or when a manifest or a run is about it by now.
   */
  forget(ref: NamespaceRef, only: string | null, by: string): boolean;
}

export interface ForgetParts {
  readonly liveAccess: LiveReader;
  readonly coordinator: { readonly memory: Remote<MemoryCalls> };
}

const NOTHING: KnownNamespace = {
  environments: [],
  keptIn: [],
  declaredIn: [],
  epoch: null,
  members: 0,
  run: null,
};

/**
 * Says what would be forgotten, or why it would not be. Changes nothing.
 *
 * @param only one environment, which has taken the name by mistake: it may live on where others
 * know it. Null for all.
 */
export async function planForget(
  { liveAccess, coordinator: { memory } }: ForgetParts,
  ref: NamespaceRef,
  only: string | null,
): Promise<ForgetPlan> {
  const known = await memory.known(ref, only);
  if (known === null) return { ...ref, ...NOTHING, isKnown: false, obstacles: [] };
  const life = known.keptIn.length > 0 ? [] : findLife(ref, await liveAccess.describe(ref));
  return { ...ref, ...known, isKnown: true, obstacles: [...findClaims(ref, known), ...life] };
}

/**
 * @param by who asks, for the history.
 * @returns what was forgotten; asked again, that nothing is known.
 * @throws RefusedRequest `blocked` while there is an obstacle; nothing was forgotten then.
 */
export async function forgetNamespace(
  parts: ForgetParts,
  ref: NamespaceRef,
  only: string | null,
  by: string,
): Promise<ForgetPlan> {
  const plan = await planForget(parts, ref, only);
  refuseObstacles(plan);
  if (!plan.isKnown || (await parts.coordinator.memory.forget(ref, only, by))) return plan;
  const now = await planForget(parts, ref, only);
  refuseObstacles(now);
  return now;
}

function refuseObstacles({ name, obstacles }: ForgetPlan): void {
  if (obstacles.length === 0) return;
  const errors = obstacles.map((message) => ({ path: name, message }));
  throw new RefusedRequest(
    "blocked",
    `Nothing was forgotten: ${formatQuantity(errors.length, "obstacle", "obstacles")}: ${obstacles.join("; ")}.`,
    errors,
  );
}

function findClaims({ name }: NamespaceRef, { declaredIn, run }: KnownNamespace): string[] {
  return [
    ...(declaredIn.length > 0
      ? [`a manifest declares '${name}' in ${declaredIn.join(", ")}: remove it there first`]
      : []),
    ...(run === null
      ? []
      : [`run ${run} changes '${name}': wait for its end, or \`shardctl cancel ${run}\``]),
  ];
}

function findLife({ name, object }: NamespaceRef, described: LiveResult<LiveNamespace>): string[] {
  if (!described.ok) {
    const { kind, message } = described.failure;
    return kind === "unbound"
      ? []
      : [
          `'${name}' could not be read, so that nothing is known of what is there (${message}): try again when it answers, or remove the binding ${object} from the Worker if its class is gone`,
        ];
  }
  const life = explainLife(described.value);
  return life === null ? [] : [`'${name}' in ${object} ${life}: ${wayOut(described.value)}`];
}

function wayOut({ name, layout, disorder, operation }: LiveNamespace): string {
  if (disorder) return `repair it first; see \`${repairCommand(name)}\``;
  if (operation?.state === "running") return `see \`shardctl status ${name}\``;
  if (layout.kind !== "none") return "unshard it first, with a manifest of `strategy: none`";
  return "forget it when its rows are deleted; until then it is a namespace that no manifest declares";
}
