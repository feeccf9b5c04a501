/**
 * An operator: starts operations of every kind against the layout it last saw, as the control half
 * does, and cancels some of them.
 */
import { toKey } from "../../src/model/layout/key.ts";
import { withDirectory } from "../../src/model/layout/directory.ts";
import {
  type HashLayout,
  type Layout,
  type RangeLayout,
  shardNames,
  unshardedLayout,
} from "../../src/model/layout/layout.ts";
import type { Partitioners } from "../../src/model/layout/partitioners.ts";
import { expandSlots, joinSlots } from "../../src/model/layout/slot-table.ts";
import { shiftMembers, swapGeneration } from "../../src/model/operation-mode.ts";
import type { OperationKind, OperationStatus, Step } from "../../src/model/operation.ts";
import { PROTOCOL_VERSION, type ProtocolReply } from "../../src/model/wire/protocol.ts";
import { SLOT_COUNT } from "../../src/model/layout/slots.ts";
import { freshHashLayout, resizeHashLayout } from "../../src/model/strategies/hash.ts";
import { freshRangeLayout } from "../../src/model/strategies/range.ts";
import type { MemberRequest, ReplyTo } from "../../src/shards/protocol/messages.ts";
import type { LayoutReply } from "../../src/shards/protocol/replies.ts";
import { textOf } from "../../src/shards/storage/storage.ts";
import { SHIFT_STORIES } from "./hazards.ts";
import type { Random } from "./random.ts";
import { LONG_PAUSE_MS, type OperatorStep, type PauseStep, type Scenario } from "./scenario.ts";
import type { World } from "./world.ts";

export const PARTITIONERS: Partitioners = {
  byLetters: {
    version: 1,
    owner: (key, shardCount) =>
      Array.from(key.text).reduce((sum, letter) => sum + letter.charCodeAt(0), 0) % shardCount,
  },
};

const TRIES_MAX = 4;
const POLL_MS = 100;
/** How long an operator waits for the end of an operation before it goes on. */
const POLLS_MAX = 200;
const MEMBERS_MAX = 4;
/** How long a cancel or a pause waits for a fence. */
const FENCE_WAIT_MS_MAX = 2_000;
/** How long a pause waits for a wave to cut over. */
const ACTIVATION_WAIT_MS_MAX = 4_000;
/**
 * Time for which an operator ensures that nothing is paused again: the network may bring a request
 * late, or twice.
 */
const RESUMES_MAX = 70;
const RESUME_MS = 200;
/** How long a start waits for chores. */
const CHORES_WAIT_MS_MAX = 3_000;

export async function runOperator(
  world: World,
  name: string,
  steps: readonly OperatorStep[],
  scenario: Scenario,
): Promise<void> {
  for (const [at, step] of steps.entries()) {
    if (step.startsAtChores) await awaitChores(world);
    else await sleep(world, step.afterMs);
    await awaitRightKey(world);
    const live = step.startsAtChores
      ? peekLayout(world)
      : await ask(world, name, { kind: "layout" });
    if (!live) continue;
    const { kind, to } = chooseChange(
      world.options.random,
      `operation/${step.index}`,
      world.options.namespace,
      live.layout,
      scenario,
    );
    const operation = {
      kind,
      epoch: live.epoch,
      to,
      policy: {
        allowMissingKey: true,
        rowsPerSecondMax: step.rowsPerSecondMax,
        waveRowsMax: scenario.waveRowsMax,
        retainHours: step.retainHours,
      },
      correlationId: `${name}/${step.index}`,
      requestedBy: name,
      refuseEmpty: false,
    };
    world.trace(
      () =>
        `${name} #${step.index}: ${kind} from ${live.layout.kind} (${live.layout.members.length}) to ${to.kind} ${JSON.stringify(to.members)}`,
    );
    const started = await ask(world, name, { kind: "start", operation });
    if (started && step.pause !== null) await holdUp(world, name, started.id, step.pause);
    if (started && step.cancelAfterMs !== null) {
      await sleep(world, step.cancelsAtFence ? 1 : step.cancelAfterMs);
      if (step.cancelsAtFence) await awaitFence(world);
      world.cancels.add(started.id);
      await ask(world, name, { kind: "cancel", id: started.id });
    }
    if (step.waits && started && !steps[at + 1]?.startsAtChores) await awaitEnd(world, started.id);
  }
}

/**
 * Nobody starts an operation while a version with another shard key runs: it would rightly move
 * rows by that.
 */
async function awaitRightKey(world: World): Promise<void> {
  while (world.isMisdeclared) await sleep(world, POLL_MS);
}

async function awaitFence(world: World): Promise<void> {
  await world.options.scheduler.until(() => world.isFenced(), 1, FENCE_WAIT_MS_MAX);
}

async function awaitActivation(world: World): Promise<void> {
  await world.options.scheduler.until(() => isIn(world, "activate"), 1, ACTIVATION_WAIT_MS_MAX);
}

/** Pauses an operation for a while, and checks that it makes no progress. */
async function holdUp(
  world: World,
  name: string,
  id: number,
  { afterMs, moment, forMs, cancels }: PauseStep,
): Promise<void> {
  await sleep(world, moment === "any" ? afterMs : 1);
  if (moment === "fence") await awaitFence(world);
  if (moment === "activation") await awaitActivation(world);
  const paused = await ask(world, name, { kind: "pause", id, reason: "a pause", by: name });
  await sleep(world, forMs);
  if (paused) checkStandstill(world, paused, forMs >= LONG_PAUSE_MS);
  if (cancels) {
    world.cancels.add(id);
    await ask(world, name, { kind: "cancel", id });
  }
  for (let resumes = 0; resumes < RESUMES_MAX && runningOperation(world) === id; resumes++) {
    if (resumes === 0 || isPaused(world)) await ask(world, name, { kind: "resume", id });
    await sleep(world, RESUME_MS);
  }
}

/**
 * Checks an operation that has been paused for a while: nothing has changed hands since the answer.
 */
function checkStandstill(world: World, { id, epoch }: OperationStatus, isLong: boolean): void {
  // A root that goes back may have forgotten the pause, and a repair ends the operation.
  if (world.setbacks.all.length > 0) return;
  // A deploy or a full disk that breaks an operation ends it whenever it is met.
  if (
    hasFailed(world, id) &&
    (world.options.versions.length > 1 || world.struck["full"] !== undefined)
  )
    return;
  const live = peekLayout(world)?.epoch ?? 0;
  if (live !== epoch)
    world.violate(`operation ${id} was paused at epoch ${epoch}, and has gone on to ${live}`);
  if (runningOperation(world) !== id)
    world.violate(`operation ${id} has ended although it is paused`);
  else if (!isPaused(world)) world.violate(`operation ${id} has gone on although it is paused`);
  if (!isLong) return;
  // Without its part taken at every member nothing can be drained. The end judges whether it has
  // waited with reason.
  const isTakingPart = isIn(world, "prepare") && waitsForTables(world);
  for (const object of world.objects.values()) {
    if (object.isFenced())
      world.violate(`${object.name} is still fenced although operation ${id} is paused`);
    if (
      object.storage.peek("SELECT 1 FROM sqlite_master WHERE name = 'shardctl_captured'").length ===
      0
    )
      continue;
    const left = object.storage.peek("SELECT 1 FROM shardctl_captured").length;
    // A row that has a rival stays in the log until the operation has been resumed and has judged
    // it.
    if (left > 0 && !isTakingPart && !hasFoundTwice(world))
      world.violate(
        `the log of ${object.name} has ${left} entries although nobody writes: operation ${id} is paused`,
      );
  }
}

/** Waits, a while, until the root's alarm runs although no operation does. */
async function awaitChores(world: World): Promise<void> {
  const root = world.object(world.options.namespace);
  const isNow = (): boolean => root.isInAlarm && runningOperation(world) === null;
  await world.options.scheduler.until(isNow, 1, CHORES_WAIT_MS_MAX);
}

/**
 * The live layout, read from the root's database: asking for it would take longer than chores do.
 */
function peekLayout(world: World): LayoutReply | undefined {
  const { storage } = world.object(world.options.namespace);
  if (storage.peek("SELECT 1 FROM sqlite_master WHERE name = 'shardctl_registry'").length === 0)
    return undefined;
  const row = storage.peek(
    "SELECT epoch, layout FROM shardctl_registry ORDER BY epoch DESC LIMIT 1",
  )[0];
  return (
    row && { epoch: Number(row["epoch"]), layout: JSON.parse(textOf(row["layout"])) as Layout }
  );
}

async function awaitEnd(world: World, id: number): Promise<void> {
  const hasEnded = (): boolean => runningOperation(world) !== id;
  await world.options.scheduler.until(hasEnded, POLL_MS, POLLS_MAX * POLL_MS);
}

/** The id of the running operation, read from the root's database. */
export function runningOperation(world: World): number | null {
  const { storage } = world.object(world.options.namespace);
  if (storage.peek("SELECT 1 FROM sqlite_master WHERE name = 'shardctl_operations'").length === 0)
    return null;
  const id = storage.peek("SELECT id FROM shardctl_operations WHERE state = 'running'")[0]?.["id"];
  return id === undefined ? null : Number(id);
}

function hasFailed(world: World, id: number): boolean {
  const query =
    "SELECT 1 FROM shardctl_operations WHERE id = ? AND (state = 'failed' OR json_extract(record, '$.fault') IS NOT NULL)";
  return world.object(world.options.namespace).storage.peek(query, id).length > 0;
}

/** True when the running operation waits for the tables of its members to be the same. */
export function waitsForTables(world: World): boolean {
  if (runningOperation(world) === null) return false;
  const query =
    "SELECT 1 FROM shardctl_operations WHERE state = 'running' AND json_extract(record, '$.waitsFor.kind') = 'tablesDiffer'";
  return world.object(world.options.namespace).storage.peek(query).length > 0;
}

/** True when the last drains of the running operation have found an id twice. */
function hasFoundTwice(world: World): boolean {
  const query =
    "SELECT 1 FROM shardctl_operations WHERE state = 'running' AND json_extract(record, '$.duplicateTries') > 0";
  return world.object(world.options.namespace).storage.peek(query).length > 0;
}

function isPaused(world: World): boolean {
  const query =
    "SELECT 1 FROM shardctl_operations WHERE state = 'running' AND json_extract(record, '$.paused') IS NOT NULL";
  return world.object(world.options.namespace).storage.peek(query).length > 0;
}

/** True while a running operation copies rows or compares them. */
export function isCopying(world: World): boolean {
  return isIn(world, "prepare", "copy", "verify");
}

/** True while an operation runs and is in one of these steps. */
export function isIn(world: World, ...steps: readonly Step[]): boolean {
  if (runningOperation(world) === null) return false;
  const { storage } = world.object(world.options.namespace);
  const row = storage.peek(
    "SELECT json_extract(record, '$.step') AS step FROM shardctl_operations WHERE state = 'running'",
  )[0];
  return row !== undefined && steps.some((step) => step === row["step"]);
}

type Kind = Exclude<Layout["kind"], "none">;

/** Preferences of operators, which make rare cases happen often enough. */
interface Leaning {
  /**
   * Of ten changes of a sharded namespace how many go back to one object, and how many of the
   * others to another key or strategy.
   */
  readonly unshards: number;
  readonly rekeys: number;
  /** Strategies beside the usual ones: to begin with, and to change to. */
  readonly first: readonly Kind[];
  readonly next: readonly Kind[];
  readonly keys: readonly ("id" | "grp")[];
}
const BY_RANGES: readonly Kind[] = ["hash", "range", "hash", "range", "hash", "range"];
const DEALT: readonly Kind[] = ["roundRobin", "roundRobin", "roundRobin"];
const EVEN: Leaning = { unshards: 2, rekeys: 2.5, first: [], next: [], keys: ["id", "grp"] };
/** Twins meet in a directory even where their rows do not. */
const FOR_TWINS: Leaning = { ...EVEN, rekeys: 6, next: DEALT };
/**
 * Rivals meet most surprisingly where members stay, and only there a pause or a call to all members
 * can stand between two waves.
 */
const FOR_SHIFTS: Leaning = { ...EVEN, unshards: 1, rekeys: 1, first: BY_RANGES, next: BY_RANGES };
/** A row that changes its group changes its member, and meets itself where it goes. */
const FOR_REGROUPS: Leaning = {
  unshards: 1.5,
  rekeys: 7,
  first: [...BY_RANGES, ...BY_RANGES],
  next: [...DEALT, ...DEALT],
  keys: ["grp"],
};

function leaningOf({
  hasTwins,
  hasRivals,
  hasRegroups,
  hasPauses,
  hasFanOuts,
  restores,
}: Scenario): Leaning {
  if (hasTwins) return FOR_TWINS;
  if (hasRivals || restores.some(({ story }) => SHIFT_STORIES.includes(story))) return FOR_SHIFTS;
  return hasRegroups ? FOR_REGROUPS : hasPauses || hasFanOuts ? FOR_SHIFTS : EVEN;
}

/**
 * A layout to go to. Deliberately wilder than what a planner asks for: any slot may move anywhere.
 */
function chooseChange(
  random: Random,
  label: string,
  namespace: string,
  from: Layout,
  scenario: Scenario,
): { readonly kind: OperationKind; readonly to: Layout } {
  const { unshards, rekeys, first, next, keys } = leaningOf(scenario);
  if (from.kind === "none")
    return {
      kind: "shard",
      to: freshLayout(random, label, namespace, from, first, keys, scenario),
    };
  const roll = random.next(label) * 10;
  if (roll < unshards)
    return { kind: "unshard", to: unshardedLayout(namespace, swapGeneration(namespace, from, 1)) };
  if (roll < unshards + rekeys || (from.kind !== "hash" && from.kind !== "range"))
    return { kind: "rekey", to: freshLayout(random, label, namespace, from, next, keys, scenario) };
  const isSkew = random.chance(`${label}/skew`, 0.35);
  const count = isSkew ? from.members.length : random.whole(`${label}/count`, 1, MEMBERS_MAX);
  const members = shiftMembers(namespace, from, count);
  return {
    kind: "rebalance",
    to:
      from.kind === "hash"
        ? shiftedHash(random, label, from, members, isSkew)
        : shiftedRange(random, label, from, members),
  };
}

function freshLayout(
  random: Random,
  label: string,
  namespace: string,
  from: Layout,
  more: readonly Kind[],
  keys: readonly ("id" | "grp")[],
  { deploys, hasSetbacks }: Scenario,
): Layout {
  // A directory has the key of each row: another column's would be claimed by callers who know
  // nothing of it.
  const mayHaveDirectory =
    !hasSetbacks && !deploys.versions.some(({ changes }) => changes.includes("otherKey"));
  return withDirectory(
    chooseLayout(random, label, namespace, from, more, keys, hasSetbacks),
    random.chance(`${label}/directory`, 0.3) && mayHaveDirectory,
  );
}

function chooseLayout(
  random: Random,
  label: string,
  namespace: string,
  from: Layout,
  more: readonly Kind[],
  keys: readonly ("id" | "grp")[],
  isPlain: boolean,
): Layout {
  const count = random.whole(`${label}/count`, 1, MEMBERS_MAX);
  const generation = swapGeneration(namespace, from, count);
  const members = shardNames(namespace, generation, count);
  const shardKey = random.pick(`${label}/key`, keys);
  const kinds: readonly Kind[] = [
    "hash",
    "hash",
    "range",
    "range",
    "custom",
    isPlain ? "hash" : "roundRobin",
    ...more,
  ];
  switch (random.pick(`${label}/kind`, kinds)) {
    case "hash":
      return freshHashLayout(shardKey, generation, members);
    case "range":
      return freshRangeLayout(
        shardKey,
        generation,
        members,
        splitPoints(random, label, shardKey, count - 1),
      );
    case "custom":
      return {
        kind: "custom",
        shardKey,
        generation,
        members,
        partitioner: { name: "byLetters", version: 1 },
      };
    case "roundRobin":
      return { kind: "roundRobin", shardKey: "id", generation, members };
  }
}

function shiftedHash(
  random: Random,
  label: string,
  from: HashLayout,
  members: readonly string[],
  isSkew: boolean,
): HashLayout {
  if (!isSkew) return resizeHashLayout(from, members);
  const bySlot = expandSlots(from.ranges);
  for (let piece = 0; piece < 3; piece++) {
    const start = random.whole(`${label}/slot`, 0, SLOT_COUNT - 2);
    bySlot.fill(
      random.pick(`${label}/taker`, members),
      start,
      random.whole(`${label}/slotEnd`, start + 1, SLOT_COUNT),
    );
  }
  return { ...from, ranges: joinSlots(bySlot) };
}

function shiftedRange(
  random: Random,
  label: string,
  from: RangeLayout,
  members: readonly string[],
): RangeLayout {
  const order = random.chance(`${label}/turn`, 0.3) ? members.toReversed() : members;
  const fresh = freshRangeLayout(
    from.shardKey,
    from.generation,
    order,
    splitPoints(random, label, from.shardKey, members.length - 1),
  );
  return { ...fresh, members };
}

function splitPoints(
  random: Random,
  label: string,
  shardKey: string,
  count: number,
): { type: "text"; text: string }[] {
  const texts =
    shardKey === "id"
      ? ["c0a", "c1", "c2a", "p1", "p3", "p6", "s1", "s2", "s4"]
      : ["g1", "g2", "g3", "g4"];
  const chosen = new Set<string>();
  for (let tries = 0; chosen.size < count && tries < 100; tries++)
    chosen.add(random.pick(`${label}/split`, texts));
  return [...chosen].toSorted().map((text) => ({ type: "text" as const, text: toKey(text).text }));
}

/**
 * Asks the root, a few times when there is no answer. Undefined when it refuses, or stays silent.
 */
export async function ask<const Request extends MemberRequest>(
  world: World,
  name: string,
  request: Request,
): Promise<ReplyTo<Request> | undefined> {
  const { namespace } = world.options;
  const peers = world.clientPeers(name);
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    let reply: ProtocolReply<ReplyTo<Request>>;
    try {
      reply = await peers.send(namespace, {
        protocol: PROTOCOL_VERSION,
        namespace,
        member: namespace,
        request,
      });
    } catch {
      await sleep(world, 20);
      continue;
    }
    return reply.ok ? reply.value : undefined;
  }
  return undefined;
}

function sleep(world: World, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    world.options.scheduler.at(delayMs, resolve);
  });
}
