/**
 * Plans the repair of a namespace, and applies exactly the plan that was shown or nothing.
 *
 * Members that were seen live are asked beside those that the root still knows and those that the
 * request names. Whether anything may be done, the namespace itself decides. One thing only this
 * half can know: a registry that was live, and that no object remembers. To go on without it is a
 * loss that a person accepts by name.
 */
import { WATCHED_AGE_MAX_MS } from "../live/counts-age.ts";
import type { LiveAccess, LiveReader } from "../live/port.ts";
import type { Remote } from "../model/calls.ts";
import { formatQuantity } from "../model/figures.ts";
import type { LiveResult, NamespaceRef } from "../model/live.ts";
import { RefusedRequest } from "../model/refused-request.ts";
import type { Disorder, RepairOutcome, RepairPlan, RepairRequest } from "../model/repair.ts";
import type { RegistryCalls, RepairNotes } from "./registries-store.ts";

export interface RepairParts<Live extends LiveReader = LiveAccess> {
  /** Its `describe` tells of registries that are known to be lost. */
  readonly liveAccess: Live;
  readonly coordinator: {
    readonly registries: Remote<RegistryCalls>;
    readonly reconciliation: Remote<RepairNotes>;
  };
}

/**
 * Writes nothing. @throws RefusedRequest when the namespace does not answer, or speaks no protocol
 * that knows repairs.
 */
export async function showRepair(
  parts: RepairParts<LiveReader>,
  ref: NamespaceRef,
  asked: RepairRequest,
): Promise<RepairPlan> {
  const request = await withSeenMembers(parts, ref, asked);
  const plan = valueOf(await parts.liveAccess.planRepair(ref, request));
  if (plan.disorder !== null) return plan;
  const { disorder, epoch, layout } = valueOf(
    await parts.liveAccess.describe(ref, WATCHED_AGE_MAX_MS),
  );
  if (!disorder) return plan;
  return plan.steps.length > 0
    ? { ...plan, disorder }
    : withForgottenRegistry(plan, disorder, request, { epoch, layout });
}

/**
 * @param by who applies it, for the history.
 * @throws RefusedRequest `stalePlan` when the plan is another by now, `blocked` when it has
 *   obstacles, an operation that makes progress among them, `conflict` when the namespace says no
 *   for another reason; nothing was changed then. Asked again for what was applied, it answers what
 *   that has done.
 */
export async function applyRepair(
  parts: RepairParts,
  ref: NamespaceRef,
  asked: RepairRequest,
  fingerprint: string,
  by: string,
): Promise<RepairOutcome> {
  const { liveAccess, coordinator } = parts;
  const current = await showRepair(parts, ref, asked);
  const known =
    current.fingerprint === fingerprint
      ? null
      : await coordinator.registries.findRepair(ref, fingerprint);
  if (known !== null) return known;
  refuseOther(ref, fingerprint, current);
  const applied = await liveAccess.repair(
    ref,
    await withSeenMembers(parts, ref, asked),
    fingerprint,
    by,
  );
  // An object has other words since the look above.
  if (!applied.ok && applied.failure.reason === "invalid") throw stalePlan(ref, fingerprint);
  const repair = { id: crypto.randomUUID(), outcome: valueOf(applied) };
  await coordinator.reconciliation.noteRepair(ref, repair, by);
  return repair.outcome;
}

/** All objects agree, and on less than was live before. */
function withForgottenRegistry(
  plan: RepairPlan,
  disorder: Disorder,
  { acceptLoss }: RepairRequest,
  {
    epoch,
    layout,
  }: { readonly epoch: number; readonly layout: { readonly members: readonly string[] } },
): RepairPlan {
  const { namespace: member } = plan;
  const summary = `no object that was asked remembers the layout that was live: what it described is lost, and the current registry is accepted (epoch ${epoch}, ${formatQuantity(layout.members.length, "member")})`;
  const obstacle = `${member}: ${summary}. Name further objects with --member, restore one by point-in-time recovery, or accept it with --accept-loss ${member}`;
  return {
    ...plan,
    disorder,
    losses: [...plan.losses, { member, summary }],
    obstacles: [...plan.obstacles, ...(acceptLoss.includes(member) ? [] : [obstacle])],
  };
}

async function withSeenMembers(
  { coordinator }: Pick<RepairParts, "coordinator">,
  ref: NamespaceRef,
  { members, acceptLoss, directory }: RepairRequest,
): Promise<RepairRequest> {
  const registry = await coordinator.registries.read(ref);
  const seen = registry?.members ?? [];
  // Sorted, so that the same question has the same answer however it is asked.
  const sorted = [...new Set([...members, ...seen])].toSorted();
  const accepted = [...new Set(acceptLoss)].toSorted();
  // Absent as it was before there was such a choice: an older root takes the same request.
  return { members: sorted, acceptLoss: accepted, ...(directory === true && { directory }) };
}

/** Only what was shown, and only what nothing blocks. */
function refuseOther(ref: NamespaceRef, fingerprint: string, current: RepairPlan): void {
  if (current.fingerprint !== fingerprint) throw stalePlan(ref, fingerprint);
  if (current.obstacles.length === 0) return;
  const errors = current.obstacles.map((message) => ({ path: ref.name, message }));
  const counted = formatQuantity(errors.length, "obstacle stands", "obstacles stand");
  throw new RefusedRequest(
    "blocked",
    `Nothing was repaired: ${counted} against it. ${current.obstacles.join("; ")}.`,
    errors,
  );
}

function stalePlan({ name }: NamespaceRef, fingerprint: string): RefusedRequest {
  const detail = `Nothing was repaired: what the objects of '${name}' report has changed since plan ${fingerprint} was made. Look at the current plan: \`shardctl repair ${name}\`.`;
  return new RefusedRequest("stalePlan", detail);
}

function valueOf<Value>(result: LiveResult<Value>): Value {
  if (result.ok) return result.value;
  const { kind, message } = result.failure;
  throw new RefusedRequest(
    kind === "unreachable" ? "unavailable" : kind === "unbound" ? "notFound" : "conflict",
    message,
  );
}
