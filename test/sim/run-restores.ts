/**
 * Takes objects back to earlier moments, or empties them. What is lost for it is known: see
 * `setbacks.ts`.
 */
import type { Layout } from "../../src/model/layout/layout.ts";
import type { Membership } from "../../src/shards/member/membership.ts";
import type { Moving } from "../../src/shards/move/moving.ts";
import { textOf } from "../../src/shards/storage/storage.ts";
import type { RestoreStep } from "./hazards.ts";
import type { SimObject } from "./object.ts";
import { hasTable, readMeta } from "./peek.ts";
import { isInOrder } from "./repairer.ts";
import { awaitStep } from "./run-hazards.ts";
import { truthOf } from "./setbacks.ts";
import type { Snapshot } from "./storage.ts";
import type { World } from "./world.ts";

const POLL_MS = 4;
/** How long a restore waits for a root that owns nothing, or a namespace that is in order. */
const WAIT_MS_MAX = 6_000;

/** One after the other. */
export async function runRestores(world: World, steps: readonly RestoreStep[]): Promise<void> {
  for (const step of steps)
    await (step.which === "quiet" ? goBackQuietly(world, step) : goBack(world, step));
}

/** The root, while it owns no rows: nothing that was acknowledged may be lost for it. */
async function goBackQuietly(world: World, { takenAfterMs, afterMs }: RestoreStep): Promise<void> {
  const root = world.object(world.options.namespace);
  await sleep(world, takenAfterMs);
  let snapshot: Snapshot | null = null;
  const isTaken = await until(
    world,
    () => ownsNothing(world) && (snapshot = root.storage.snapshot()) !== null,
  );
  if (!isTaken) return;
  await sleep(world, afterMs);
  if (!(await until(world, () => ownsNothing(world)))) return;
  world.strike("restore");
  root.restore(snapshot);
}

/** Any object, at any moment in which all that went back before are repaired. */
async function goBack(
  world: World,
  { index, which, isLost, takenAfterMs, afterMs, takenStep, step }: RestoreStep,
): Promise<void> {
  await sleep(world, takenAfterMs);
  await awaitStep(world, takenStep);
  const snapshots = await takeAll(world);
  await sleep(world, afterMs);
  await awaitStep(world, step);
  if (!(await until(world, () => isUndisturbed(world)))) return;
  const object = chooseObject(world, `setback/${index}`, which, isLost ? null : snapshots);
  if (object) world.setbacks.strike(object, isLost ? null : (snapshots.get(object.name) ?? null));
}

/** Takes what each object has durable: soon, and not all in one moment. */
async function takeAll(world: World): Promise<ReadonlyMap<string, Snapshot>> {
  const snapshots = new Map<string, Snapshot>();
  for (const { name, storage } of world.objects.values()) {
    const snapshot = storage.snapshot();
    if (snapshot) snapshots.set(name, snapshot);
  }
  await sleep(world, POLL_MS);
  for (const { name, storage } of world.objects.values()) {
    const snapshot = snapshots.has(name) ? null : storage.snapshot();
    if (snapshot) snapshots.set(name, snapshot);
  }
  return snapshots;
}

function chooseObject(
  world: World,
  label: string,
  which: RestoreStep["which"],
  snapshots: ReadonlyMap<string, Snapshot> | null,
): SimObject | undefined {
  const { random, namespace } = world.options;
  const there = [...world.objects.values()].filter(
    ({ name }) => snapshots === null || snapshots.has(name),
  );
  const { members } = truthOf(world).layout;
  const wanted = there.filter(({ name }) =>
    which === "root"
      ? name === namespace
      : which === "member"
        ? members.includes(name) && name !== namespace
        : true,
  );
  return there.length === 0
    ? undefined
    : random.pick(`${label}/object`, wanted.length > 0 ? wanted : there);
}

/** True while the registry is what all know, and no object is out of step. */
function isUndisturbed(world: World): boolean {
  return isInOrder(world) && world.setbacks.isOver;
}

/** True when the namespace is sharded, and the root no part of it nor of what runs. */
function ownsNothing(world: World): boolean {
  const { namespace } = world.options;
  const root = world.object(namespace);
  const { storage } = root;
  if (!hasTable(root, "shardctl_registry")) return false;
  const layouts = [
    ...storage.peek("SELECT layout FROM shardctl_registry ORDER BY epoch DESC LIMIT 1"),
    ...storage.peek(
      "SELECT json_extract(record, '$.from') AS layout FROM shardctl_operations WHERE state = 'running'",
    ),
    ...storage.peek(
      "SELECT json_extract(record, '$.to') AS layout FROM shardctl_operations WHERE state = 'running'",
    ),
  ].map((row) => JSON.parse(textOf(row["layout"])) as Layout);
  const isPart = [...world.objects.values()].some((object) => {
    const moving = readMeta<Moving>(object, "moving");
    return moving && [...moving.from.members, ...moving.to.members].includes(namespace);
  });
  const known = [...world.objects.values()].flatMap(
    (object) => readMeta<Membership>(object, "membership") ?? [],
  );
  const newest = known.toSorted((left, right) => right.epoch - left.epoch)[0];
  return (
    layouts.length > 0 &&
    !isPart &&
    isInOrder(world) &&
    newest?.layout.members.includes(namespace) === false &&
    layouts.every(({ members }) => !members.includes(namespace))
  );
}

function until(world: World, isNow: () => boolean): Promise<boolean> {
  return world.options.scheduler.until(isNow, POLL_MS, WAIT_MS_MAX);
}

function sleep(world: World, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    world.options.scheduler.at(delayMs, resolve);
  });
}
