/**
 * Repairs a namespace as an operator does: looks at it again and again, has a repair planned,
 * accepts the losses that the plan names, and applies what was shown. Some repairs are killed
 * half-way, some are asked for by two people.
 */
import type { LiveNamespace } from "../../src/model/live.ts";
import { shardNames } from "../../src/model/layout/layout.ts";
import { swapGeneration } from "../../src/model/operation-mode.ts";
import { DEFAULT_OPERATION_POLICY, type OperationStatus } from "../../src/model/operation.ts";
import { PROTOCOL_VERSION, type ProtocolReply } from "../../src/model/wire/protocol.ts";
import type { RepairOutcome, RepairPlan } from "../../src/model/repair.ts";
import { freshHashLayout } from "../../src/model/strategies/hash.ts";
import type { Membership } from "../../src/shards/member/membership.ts";
import type { Moving } from "../../src/shards/move/moving.ts";
import type { MemberRequest } from "../../src/shards/protocol/messages.ts";
import type { LayoutReply } from "../../src/shards/protocol/replies.ts";
import { Router } from "../../src/shards/router.ts";
import { runningOperation } from "./operator.ts";
import { readMeta } from "./peek.ts";
import type { Scenario } from "./scenario.ts";
import type { World } from "./world.ts";

/** Pause between two looks of the operator who repairs. */
const LOOK_MS = 150;
/** Looks for which a running operation is waited for. */
const PATIENCE = 20;
/** Repairs in the end, each of what the one before has left. */
const ROUNDS_MAX = 6;
const POLLS_MAX = 1_000;

interface Asked {
  readonly members: readonly string[];
  readonly acceptLoss: readonly string[];
}

/**
 * Looks at the namespace again and again, and repairs it where that is possible, until `isOver`.
 */
export async function repairAgain(world: World, isOver: () => boolean): Promise<void> {
  let members: readonly string[] = [];
  for (let looks = 0; !isOver(); looks++) {
    await sleep(world, LOOK_MS);
    if (!world.isFaulty) {
      await tell(world);
      await callAll(world);
      for (const caller of world.setbacks.callers)
        await caller.callAll("list").catch(() => undefined);
    }
    const live = await ask<LiveNamespace>(world, { kind: "describe", object: "O" });
    if (!live?.disorder) continue;
    const plan = await plannedRepair(world, members);
    if (!plan) continue;
    if (plan.obstacles.some((obstacle) => obstacle.includes("--member"))) members = namesOf(world);
    if (looks % PATIENCE === 0) await cancelWhatIsInTheWay(world, plan);
    if (plan.obstacles.length === 0) await apply(world, members, plan);
  }
}

/** True while the root has a registry that is not lost and that it may act by. */
export function isInOrder(world: World): boolean {
  return (
    readMeta<Membership>(world.object(world.options.namespace), "membership")?.trouble === undefined
  );
}

/**
 * Checks the state after the last repair: nothing is out of step, rows that lie where no call is
 * routed to are set aside where somebody looks, and another operation goes to its end.
 */
export async function checkRepaired(
  world: World,
  scenario: Scenario,
  look: () => Promise<void>,
): Promise<void> {
  await look();
  const live = await ask<LiveNamespace>(world, { kind: "describe", object: "O" });
  if (live?.disorder !== null)
    world.violate(`it is still out of step: ${live?.disorder?.message ?? "no answer"}`);
  if (world.setbacks.all.length > 0) await repairAll(world);
  await look();
  for (const caller of world.setbacks.callers)
    await caller
      .callAll("list")
      .catch((error: unknown) =>
        world.violate(`a caller of a lost epoch is served no more: ${String(error)}`),
      );
  await runOneMore(world, scenario);
  await look();
}

/** Another operation goes to its end. */
async function runOneMore(world: World, scenario: Scenario): Promise<void> {
  const { layout, epoch } = (await ask<LayoutReply>(world, { kind: "layout" })) ?? {};
  if (layout === undefined || epoch === undefined)
    return world.violate("the root does not say its layout in the end");
  const { namespace } = world.options;
  const generation = swapGeneration(namespace, layout, 2);
  const operation = {
    kind: layout.kind === "none" ? "shard" : "rekey",
    epoch,
    to: freshHashLayout("id", generation, shardNames(namespace, generation, 2)),
    policy: { ...DEFAULT_OPERATION_POLICY, waveRowsMax: scenario.waveRowsMax, retainHours: 0 },
    correlationId: "the last",
    requestedBy: "repairer",
    refuseEmpty: false,
  } as const;
  const started = await ask<OperationStatus>(world, { kind: "start", operation });
  for (let polls = 0; polls < POLLS_MAX && runningOperation(world) !== null; polls++)
    await sleep(world, LOOK_MS);
  const ended =
    started && (await ask<OperationStatus>(world, { kind: "operation", id: started.id }));
  if (ended?.state !== "completed")
    world.violate(
      `the operation after the repair is ${ended?.state ?? "not begun"}: ${ended?.fault?.message ?? ""}`,
    );
}

/** Names every object to the repair, until there is nothing left to do. */
async function repairAll(world: World): Promise<void> {
  const members = namesOf(world);
  for (let rounds = 0; rounds < ROUNDS_MAX; rounds++) {
    const plan = await plannedRepair(world, members);
    if (!plan) return world.violate("a repair that names every object is not planned");
    if (plan.steps.length === 0) return;
    if (plan.obstacles.length > 0)
      return world.violate(`the last repair cannot be: ${plan.obstacles.join("; ")}`);
    world.trace(
      () =>
        `the last repair: ${plan.steps.map(({ member, summary }) => `${member}: ${summary}`).join("; ")}`,
    );
    await apply(world, members, plan, "once");
    for (let polls = 0; polls < POLLS_MAX && runningOperation(world) !== null; polls++)
      await sleep(world, LOOK_MS);
  }
  world.violate("repairs come to no end");
}

/** A plan that accepts the losses which it names itself. */
async function plannedRepair(
  world: World,
  members: readonly string[],
): Promise<(RepairPlan & Asked) | undefined> {
  const planFor = async (
    acceptLoss: readonly string[],
  ): Promise<(RepairPlan & Asked) | undefined> => {
    const plan = await ask<RepairPlan>(world, {
      kind: "planRepair",
      repair: { members, acceptLoss },
    });
    return plan && { ...plan, members, acceptLoss };
  };
  const first = await planFor([]);
  const losses = first?.losses ?? [];
  for (const { member, summary } of losses)
    if (!world.setbacks.hasStruck(member))
      world.violateOnce(`a repair has ${member} lose rows, which never went back: ${summary}`);
  if (first && losses.length > first.obstacles.length)
    world.violateOnce("a repair loses rows that nobody has accepted to lose");
  const acceptLoss = losses.map(({ member }) => member);
  return losses.length === 0 ? first : planFor(acceptLoss);
}

async function apply(
  world: World,
  members: readonly string[],
  plan: RepairPlan & Asked,
  how = chooseHow(world),
): Promise<void> {
  const { random, scheduler, namespace } = world.options;
  const repair = { members, acceptLoss: plan.acceptLoss };
  // Accepted with the first message, whatever becomes of it.
  for (const { member } of plan.losses) world.setbacks.accepted.add(member);
  const askOne = (by: string): Promise<RepairOutcome | undefined> =>
    ask<RepairOutcome>(world, { kind: "repair", repair, fingerprint: plan.fingerprint, by });
  world.trace(
    () =>
      `a repair is applied (${how}): ${plan.steps.map(({ member, summary }) => `${member}: ${summary}`).join("; ")}`,
  );
  const other = await ask<RepairOutcome>(world, {
    kind: "repair",
    repair,
    fingerprint: "of another plan",
    by: "somebody",
  });
  if (other) world.violate("a repair that nobody was shown has been applied");
  if (how === "killed")
    scheduler.at(random.whole("repair/killedMs", 2, 60), () =>
      world.object(namespace).crash("killed amid a repair"),
    );
  await Promise.all([askOne("operator"), ...(how === "twice" ? [askOne("another operator")] : [])]);
}

function chooseHow(world: World): "once" | "killed" | "twice" {
  return world.options.random.pick("repair/how", ["once", "once", "killed", "twice"] as const);
}

/** As a person does who has waited long enough. */
async function cancelWhatIsInTheWay(world: World, { obstacles }: RepairPlan): Promise<void> {
  const id = runningOperation(world);
  if (id === null || !obstacles.some((obstacle) => obstacle.includes("is running"))) return;
  world.cancels.add(id);
  await ask(world, { kind: "cancel", id });
}

/** Tells the root what members and callers would tell it in time: here that would take a minute. */
async function tell(world: World): Promise<void> {
  for (const object of world.objects.values()) {
    const membership = readMeta<Membership>(object, "membership");
    const moving = readMeta<Moving>(object, "moving");
    if (!membership || object.name === world.options.namespace) continue;
    const { epoch } = membership;
    await ask(world, { kind: "layout", epoch, asker: object.name });
    if (!moving) continue;
    const { operation, token } = moving;
    await ask(world, {
      kind: "resolve",
      operation,
      attempt: 0,
      epoch,
      asker: object.name,
      ...(token === undefined ? {} : { token }),
    });
  }
}

/** A caller that has begun just now. */
async function callAll(world: World): Promise<void> {
  const { scheduler, namespace, partitioners } = world.options;
  const runtime = {
    now: () => scheduler.now,
    sleep: (delayMs: number) => sleep(world, delayMs),
    digest: () => Promise.reject(new Error("A caller hashes nothing")),
  };
  const router = new Router(world.clientPeers("a new caller"), namespace, runtime, {
    partitioners,
  });
  await router.callAll("list").catch(() => undefined); // what is out of step refuses it
}

function namesOf(world: World): readonly string[] {
  return [...world.objects.keys()];
}

async function ask<Reply>(world: World, request: MemberRequest): Promise<Reply | undefined> {
  const { namespace } = world.options;
  try {
    const envelope = { protocol: PROTOCOL_VERSION, namespace, member: namespace, request };
    const reply: ProtocolReply<unknown> = await world
      .clientPeers("repairer")
      .send(namespace, envelope);
    if (!reply.ok)
      world.trace(() => `repairer: ${request.kind} is refused: ${reply.failure.message}`);
    return reply.ok ? (reply.value as Reply) : undefined;
  } catch {
    return undefined; // it looks again
  }
}

function sleep(world: World, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    world.options.scheduler.at(delayMs, resolve);
  });
}
