/**
 * Line 2: the root, a source or a target is full from any step of an operation on. The operation
 * ends, completed or for want of room; nothing is lost; and once there is room another one
 * completes.
 */
import { afterEach, describe, expect, it } from "vitest";

import type { OperationKind, Step } from "../../../src/model/operation.ts";
import { sample } from "../../support/sample.ts";
import { FullWorld, ROOT } from "../support/full-world.ts";

const STEPS: readonly Step[] = ["prepare", "copy", "verify", "fence", "activate", "cleanUp"];
/** Steps that begin before the commit of the first wave. */
const OPEN: ReadonlySet<Step> = new Set(["prepare", "copy", "verify", "fence"]);
/**
 * Pages that are left: with none and with a few, other statements are the first that find no room.
 */
const PAGES = [0, 2];

/** Which object is full in which operation. */
const FULL: readonly (readonly [who: string, kind: OperationKind, name: string])[] = [
  ["the root, a source", "shard", ROOT],
  ["the root, which takes no part", "rebalance", ROOT],
  ["the root, which takes no part", "rekey", ROOT],
  ["the root, the target", "unshard", ROOT],
  ["a source", "rebalance", "ns-shard-0"],
  ["a source", "rekey", "ns-shard-0"],
  ["a source", "unshard", "ns-shard-1"],
  ["a target", "shard", "ns-shard-1"],
  ["a target", "rebalance", "ns-shard-2"],
  ["a target", "rekey", "ns-g1-shard-0"],
];
/** The operation that follows in the namespace once there is room. */
const NEXT: Readonly<Record<OperationKind, OperationKind>> = {
  shard: "rekey",
  rebalance: "rebalance",
  rekey: "rekey",
  unshard: "shard",
};
const TABLE = FULL.flatMap(([who, kind, name]) => STEPS.map((step) => ({ who, kind, name, step })));

const worlds: FullWorld[] = [];
afterEach(() => {
  for (const world of worlds.splice(0)) world.close();
});

describe("line 2: an object that is full from one step on", () => {
  it.for(sample(TABLE, 3))("$who of a $kind, in step $step", async ({ kind, name, step }) => {
    for (const pages of PAGES) {
      const outcome = await operateFull(kind, name, step, pages);
      expect([pages, ...wrongWith(outcome, kind, name, step)]).toEqual([pages]);
    }
  });

  it.for<[OperationKind, string, Step]>([
    ["shard", ROOT, "copy"],
    ["shard", ROOT, "verify"],
    ["rebalance", "ns-shard-0", "copy"],
    ["rebalance", "ns-shard-0", "verify"],
    ["rekey", "ns-shard-0", "copy"],
    ["unshard", "ns-shard-0", "copy"],
  ])(
    "lets users delete while its changes are captured: %s, %s, step %s",
    async ([kind, name, step]) => {
      const world = await begin(kind, 300);
      const epoch = kind === "shard" ? 0 : 1;
      const filled = fillAt(world, name, step, 0);
      const { id } = await world.start(kind);
      await world.run(() => filled.isFull, 60_000);
      const removed: string[] = [];
      for (const item of world.itemsOf(name)) {
        if (world.step !== step || removed.length >= 20) break;
        const keys = [{ type: "text" as const, text: item }];
        await world.ask({ kind: "call", epoch, keys, method: "remove", args: [item] }, name);
        removed.push(item);
      }
      expect(removed.length).toBeGreaterThan(1);
      const { fault } = await world.end(id);
      // A source of a rebalance is a target too: it may lack the room for what comes.
      expect(["none", ...(kind === "rebalance" ? ["storageFull"] : [])]).toContain(
        fault?.kind ?? "none",
      );
      await world.makeRoom(name);
      expect(await world.flaws(removed)).toEqual([]);
    },
  );
});

interface Outcome {
  readonly ended: Awaited<ReturnType<FullWorld["end"]>>;
  readonly isFull: boolean;
  /** Statements that found no room. */
  readonly struck: number;
}

/** Returns each way in which an end is wrong. */
function wrongWith(
  { ended, isFull, struck }: Outcome,
  kind: OperationKind,
  name: string,
  step: Step,
): string[] {
  const { state, fault } = ended;
  if (!isFull) return [`was never in step ${step}`];
  if (fault === null) return state === "completed" ? [] : [`ended as ${state}`];
  if (fault.kind !== "storageFull") return [`${fault.kind}: ${fault.message}`];
  const isNamed =
    name === ROOT
      ? /^(The root|ns) has no room left/.test(fault.message)
      : fault.message.startsWith(name);
  return [
    ...(struck > 0 ? [] : ["no statement has found the storage full"]),
    ...(isNamed && fault.message.includes("delete rows or drop indexes there")
      ? []
      : [fault.message]),
    // A committed operation never ends for lack of room, except that waves may be left.
    ...(OPEN.has(step) || kind === "rebalance" ? [] : [`failed in step ${step}`]),
  ];
}

/**
 * Runs an operation during which an object becomes full, makes room, and runs the next; checks that
 * nothing is lost.
 */
async function operateFull(
  kind: OperationKind,
  name: string,
  step: Step,
  pages: number,
): Promise<Outcome> {
  const world = await begin(kind, name === ROOT ? 32 : 90);
  const filled = fillAt(world, name, step, pages);
  const ended = await world.operate(kind);
  const struck = (world.world.struck["full"] ?? 0) - filled.struck;
  await world.makeRoom(name);
  const next = ended.state === "completed" ? NEXT[kind] : kind;
  expect(await world.operate(next)).toMatchObject({ state: "completed" });
  expect(await world.flaws()).toEqual([]);
  return { ended, isFull: filled.isFull, struck };
}

/** A namespace in which an operation of this kind can begin. */
async function begin(kind: OperationKind, rows: number): Promise<FullWorld> {
  const world = new FullWorld(rows);
  worlds.push(world);
  await world.fill();
  await world.lead(kind);
  return world;
}

/** Fills an object up as soon as the operation is in a step. */
function fillAt(
  within: FullWorld,
  name: string,
  step: Step,
  pages: number,
): { isFull: boolean; struck: number } {
  const filled = { isFull: false, struck: 0 };
  within.when(
    () =>
      within.step === step &&
      within.world.objects.has(name) &&
      !within.world.object(name).storage.isDirty,
    () => {
      filled.isFull = within.fillUp(name, pages);
      filled.struck = within.world.struck["full"] ?? 0;
    },
  );
  return filled;
}
