/**
 * Takes the root back to an earlier moment, and repairs the namespace as an operator would, by what
 * it says of itself. Only while the root owns no rows and takes part in nothing: then nothing that
 * was acknowledged may be lost for it.
 */
import type { LiveNamespace } from "../../src/model/live.ts";
import type { Layout } from "../../src/model/layout/layout.ts";
import type { RepairPlan } from "../../src/model/repair.ts";
import { PROTOCOL_VERSION, type ProtocolReply } from "../../src/model/wire/protocol.ts";
import type { Membership } from "../../src/shards/member/membership.ts";
import type { Moving } from "../../src/shards/move/moving.ts";
import type { MemberRequest } from "../../src/shards/protocol/messages.ts";
import { textOf } from "../../src/shards/storage/storage.ts";
import type { RestoreStep } from "./hazards.ts";
import type { SimObject } from "./object.ts";
import type { Snapshot } from "./storage.ts";
import type { World } from "./world.ts";

const POLL_MS = 4;
/** How long a restore waits for a root that owns nothing. */
const WAIT_MS_MAX = 6_000;
/** Pause between two looks of the operator who repairs. */
const LOOK_MS = 150;

export async function runRestores(world: World, steps: readonly RestoreStep[]): Promise<void> {
  const root = world.object(world.options.namespace);
  for (const { takenAfterMs, afterMs } of steps) {
    await sleep(world, takenAfterMs);
    let snapshot: Snapshot | null = null;
    const isTaken = await until(world, () => ownsNothing(world) && (snapshot = root.storage.snapshot()) !== null);
    if (!isTaken) continue;
    await sleep(world, afterMs);
    if (!(await until(world, () => ownsNothing(world)))) continue;
    world.strike("restore");
    root.restore(snapshot);
  }
}

/** Looks at the namespace again and again, and repairs it where that is possible, until `isOver`. */
export async function repairAgain(world: World, isOver: () => boolean): Promise<void> {
  const repair = { members: [], acceptLoss: [] };
  while (!isOver()) {
    await sleep(world, LOOK_MS);
    if (!world.isFaulty) await tell(world);
    const live = await ask<LiveNamespace>(world, { kind: "describe", object: "O" });
    if (!live?.disorder) continue;
    const plan = await ask<RepairPlan>(world, { kind: "planRepair", repair });
    if (!plan || plan.obstacles.length > 0) continue;
    await ask(world, { kind: "repair", repair, fingerprint: plan.fingerprint, by: "operator" });
  }
}

/** True while the root has a registry that is not lost and that it may act by. */
export function isInOrder(world: World): boolean {
  return readMeta<Membership>(world.object(world.options.namespace), "membership")?.trouble === undefined;
}

/** What members and callers tell the root in time: here it would take a minute. */
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

/** True when the namespace is sharded, and the root no part of it nor of what runs. */
function ownsNothing(world: World): boolean {
  const { namespace } = world.options;
  const { storage } = world.object(namespace);
  if (storage.peek("SELECT 1 FROM sqlite_master WHERE name = 'shardctl_registry'").length === 0) return false;
  const layouts = [
    ...storage.peek("SELECT layout FROM shardctl_registry ORDER BY epoch DESC LIMIT 1"),
    ...storage.peek("SELECT json_extract(record, '$.from') AS layout FROM shardctl_operations WHERE state = 'running'"),
    ...storage.peek("SELECT json_extract(record, '$.to') AS layout FROM shardctl_operations WHERE state = 'running'"),
  ].map((row) => JSON.parse(textOf(row["layout"])) as Layout);
  const isPart = [...world.objects.values()].some((object) => {
    const moving = readMeta<Moving>(object, "moving");
    return moving && [...moving.from.members, ...moving.to.members].includes(namespace);
  });
  const known = [...world.objects.values()].flatMap((object) => readMeta<Membership>(object, "membership") ?? []);
  const newest = known.toSorted((left, right) => right.epoch - left.epoch)[0];
  return (
    layouts.length > 0 &&
    !isPart &&
    isInOrder(world) &&
    newest?.layout.members.includes(namespace) === false &&
    layouts.every(({ members }) => !members.includes(namespace))
  );
}

function readMeta<Value>({ storage }: SimObject, key: string): Value | undefined {
  if (storage.peek("SELECT 1 FROM sqlite_master WHERE name = 'shardctl_meta'").length === 0) return undefined;
  const row = storage.peek("SELECT value FROM shardctl_meta WHERE key = ?", key)[0];
  return row && (JSON.parse(textOf(row["value"])) as Value);
}

async function ask<Reply>(world: World, request: MemberRequest): Promise<Reply | undefined> {
  const { namespace } = world.options;
  try {
    const envelope = { protocol: PROTOCOL_VERSION, namespace, member: namespace, request };
    const reply: ProtocolReply<unknown> = await world.clientPeers("repairer").send(namespace, envelope);
    return reply.ok ? (reply.value as Reply) : undefined;
  } catch {
    return undefined; // it looks again
  }
}

async function until(world: World, isNow: () => boolean): Promise<boolean> {
  for (let waitedMs = 0; waitedMs < WAIT_MS_MAX; waitedMs += POLL_MS) {
    if (isNow()) return true;
    await sleep(world, POLL_MS);
  }
  return false;
}

function sleep(world: World, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    world.options.scheduler.at(delayMs, resolve);
  });
}
