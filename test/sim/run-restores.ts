/**
 * Takes objects back to earlier moments, or empties them. What is lost for it is known: see
 * `setbacks.ts`.
 */
import type { Layout } from "../../src/model/layout/layout.ts";
import type { Membership } from "../../src/shards/member/membership.ts";
import type { Moving } from "../../src/shards/move/moving.ts";
import { ownsSamePart } from "../../src/model/layout/own-part.ts";
import { Router } from "../../src/shards/router.ts";
import { textOf } from "../../src/shards/storage/storage.ts";
import type { RestoreStep } from "./hazards.ts";
import type { SimObject } from "./object.ts";
import { isIn, runningOperation } from "./operator.ts";
import { epochOf, hasTable, readMeta, registryOf } from "./peek.ts";
import { isInOrder } from "./repairer.ts";
import { awaitStep } from "./run-hazards.ts";
import { truthOf } from "./setbacks.ts";
import type { Snapshot } from "./storage.ts";
import type { World } from "./world.ts";

const POLL_MS = 4;
/** How long a restore waits for a root that owns nothing, or a namespace that is in order. */
const WAIT_MS_MAX = 6_000;
/** For how long what tells of a cutover is lost. */
const CUT_OFF_MS = 2_000;
/** Operations that are waited for until one gives members other parts. */
const SHIFTS_MAX = 3;

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

async function goBack(world: World, step: RestoreStep): Promise<void> {
  await sleep(world, step.takenAfterMs);
  const label = `setback/${step.index}`;
  switch (step.story) {
    case "any":
      return goBackAnyhow(world, step);
    case "shifted":
      return goBackBehindShift(world, label);
    case "source":
      return goBackAsSource(world, label);
    case "halfCutOver":
      return goBackHalfCutOver(world, label);
    case "unheard":
      return goBackUnheard(world);
    case "withSource":
      return goBackWithSource(world);
  }
}

/** Any object, at any moment in which all that went back before are repaired. */
async function goBackAnyhow(
  world: World,
  { index, which, isLost, afterMs, takenStep, step }: RestoreStep,
): Promise<void> {
  await awaitStep(world, takenStep);
  const snapshots = await takeAll(world);
  await sleep(world, afterMs);
  await awaitStep(world, step);
  if (!(await until(world, () => isUndisturbed(world)))) return;
  const object = chooseObject(world, `setback/${index}`, which, isLost ? null : snapshots);
  if (object) world.setbacks.strike(object, isLost ? null : (snapshots.get(object.name) ?? null));
}

/** A member that has got another part since, or lost some of it, by an operation that has ended. */
async function goBackBehindShift(world: World, label: string): Promise<void> {
  const isAtRest = (): boolean => runningOperation(world) === null && isUndisturbed(world);
  for (let tries = 0; tries < SHIFTS_MAX; tries++) {
    const isTaken = await until(
      world,
      () => isAtRest() && ["hash", "range"].includes(truthOf(world).layout.kind),
    );
    if (!isTaken) return;
    const { layout: before } = truthOf(world);
    const snapshots = await takeAll(world);
    const changed = (): string[] => {
      const { layout } = truthOf(world);
      return layout.members.filter(
        (member) =>
          before.members.includes(member) &&
          snapshots.has(member) &&
          !ownsSamePart(member, before, layout),
      );
    };
    const isReplaced = (): boolean =>
      !truthOf(world).layout.members.some((member) => before.members.includes(member));
    await until(world, () => isAtRest() && (isReplaced() || changed().length > 0));
    const members = isAtRest() ? changed() : [];
    if (members.length === 0) continue;
    const name = world.options.random.pick(`${label}/object`, members);
    return world.setbacks.strike(world.object(name), snapshots.get(name) ?? null);
  }
}

/** A source that goes back by a few pages, which its targets keep. */
async function goBackAsSource(world: World, label: string): Promise<void> {
  const { random, namespace } = world.options;
  if (!(await until(world, () => isIn(world, "copy", "verify")))) return;
  const snapshots = await takeAll(world);
  const msMax = random.pick(`${label}/sourceMsMax`, [30, 120, 600]);
  await sleep(world, random.whole(`${label}/sourceMs`, 5, msMax));
  const sources = partsOf(world, (moving) => moving.isSource).filter((name) => snapshots.has(name));
  const members = sources.filter((name) => name !== namespace);
  if (sources.length === 0 || !isUndisturbed(world)) return;
  const name = random.pick(`${label}/object`, members.length > 0 ? members : sources);
  world.setbacks.strike(world.object(name), snapshots.get(name) ?? null);
}

/** The root, when one target has not heard of a cutover and another member has. */
async function goBackHalfCutOver(world: World, label: string): Promise<void> {
  const { random, namespace } = world.options;
  const root = world.object(namespace);
  if (!(await until(world, () => isIn(world, "fence")))) return;
  const snapshot = root.storage.snapshot();
  const { epoch } = registryOf(world);
  const targets = partsOf(world, (moving) => moving.isTarget);
  const others = targets.filter((name) => name !== namespace);
  if (snapshot === null || others.length === 0) return;
  const unheard = random.pick(`${label}/target`, others);
  loseActivations(world, unheard);
  const hasHeard = (name: string): boolean => epochOf(world.object(name)) > epoch;
  const isHalf = (): boolean =>
    [...world.objects.keys()].some((name) => name !== namespace && hasHeard(name));
  const isThen = await world.options.scheduler.until(isHalf, 1, CUT_OFF_MS);
  if (isThen && !hasHeard(unheard) && isUndisturbed(world)) world.setbacks.strike(root, snapshot);
  world.cutOff = null;
}

/** The root, when a caller alone has heard of a cutover. */
async function goBackUnheard(world: World): Promise<void> {
  const { namespace, scheduler, partitioners } = world.options;
  const root = world.object(namespace);
  if (!(await until(world, () => isIn(world, "fence")))) return;
  const snapshot = root.storage.snapshot();
  const { epoch } = registryOf(world);
  if (snapshot === null) return;
  loseActivations(world, null);
  const isCommitted = (): boolean => registryOf(world).epoch > epoch && !root.storage.isDirty;
  if (await scheduler.until(isCommitted, 1, CUT_OFF_MS)) {
    const runtime = {
      now: () => scheduler.now,
      sleep: (delayMs: number) => sleep(world, delayMs),
      digest: () => Promise.reject(new Error("A caller hashes nothing")),
    };
    const peers = world.clientPeers("a caller of then");
    const caller = new Router(peers, namespace, runtime, { partitioners });
    const heard = await caller.layout().catch(() => null);
    if (heard !== null && isUndisturbed(world)) {
      world.setbacks.callers.push(caller);
      world.setbacks.strike(root, snapshot);
    }
  }
  world.cutOff = null;
}

/** The root to before a shift that runs, while a source of staged rows loses its storage. */
async function goBackWithSource(world: World): Promise<void> {
  const { namespace } = world.options;
  const root = world.object(namespace);
  for (let tries = 0; tries < SHIFTS_MAX; tries++) {
    const isAtRest = (): boolean => runningOperation(world) === null && isUndisturbed(world);
    let snapshot: Snapshot | null = null;
    const isTaken = await until(
      world,
      () => isAtRest() && (snapshot = root.storage.snapshot()) !== null,
    );
    if (!isTaken) return;
    const staged = (): string | undefined =>
      [...world.objects.values()]
        .filter((object) => hasTable(object, "shardctl_stage_items") && !object.storage.isDirty)
        .flatMap(({ storage }) => storage.peek("SELECT shardctl_source FROM shardctl_stage_items"))
        .map((row) => textOf(row["shardctl_source"]))
        .find((name) => name !== namespace);
    await until(world, () => isUndisturbed(world) && staged() !== undefined);
    const source = staged();
    if (source === undefined || !isUndisturbed(world)) continue;
    world.setbacks.strike(world.object(source), null);
    return world.setbacks.strike(root, snapshot);
  }
}

/** Of members that take part in a running operation so. */
function partsOf(world: World, plays: (moving: Moving) => boolean): string[] {
  return [...world.objects.values()].flatMap((object) => {
    const moving = readMeta<Moving>(object, "moving");
    return moving && plays(moving) ? [object.name] : [];
  });
}

/** The root's word that a wave has been cut over does not arrive: at a member, or null for any. */
function loseActivations(world: World, to: string | null): void {
  const { namespace, scheduler } = world.options;
  world.cutOff = { kind: "activate", from: namespace, to, until: scheduler.now + CUT_OFF_MS };
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
