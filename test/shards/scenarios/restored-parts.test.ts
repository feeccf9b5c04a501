/**
 * Objects that go back by less than an operation, or after one: what they have forgotten is found
 * by those that remember it, before a row is lost or comes back. Each was found by the simulator.
 */
import { afterEach, describe, expect, it } from "vitest";

import { shardNames } from "../../../src/model/layout/layout.ts";
import { DEFAULT_OPERATION_POLICY, type OperationStatus } from "../../../src/model/operation.ts";
import { freshHashLayout } from "../../../src/model/strategies/hash.ts";
import { textOf } from "../../../src/shards/storage/storage.ts";

import { ROOT } from "../support/full-world.ts";
import type { Snapshot } from "../../sim/storage.ts";
import { RestoredWorld } from "../support/restored-world.ts";

const ROWS = 40;
const IDS = Array.from({ length: ROWS }, (_, index) => `p${index}`).toSorted();

const LOST = ["lost-1", "lost-2", "lost-3", "lost-4"];

const worlds: RestoredWorld[] = [];
afterEach(() => {
  for (const world of worlds.splice(0)) world.close();
});

async function open(): Promise<RestoredWorld> {
  const world = new RestoredWorld(ROWS);
  worlds.push(world);
  await world.fill();
  return world;
}

function everybody(world: RestoredWorld): string[] {
  return [...world.world.objects.keys()];
}

/** The newest page that a target has of a source. */
function pagesOf(world: RestoredWorld, target: string, source: string): number {
  const { storage } = world.world.object(target);
  if (storage.peek("SELECT 1 FROM sqlite_master WHERE name = 'shardctl_received'").length === 0)
    return 0;
  return Number(
    storage.peek("SELECT sequence FROM shardctl_received WHERE source = ?", source)[0]?.[
      "sequence"
    ] ?? 0,
  );
}

/** Shards the namespace so slowly that callers write meanwhile. */
async function startSlowly(world: RestoredWorld): Promise<number> {
  const operation = {
    kind: "shard",
    epoch: 0,
    to: freshHashLayout("id", 0, shardNames(ROOT, 0, 2)),
    policy: { ...DEFAULT_OPERATION_POLICY, rowsPerSecondMax: ROWS, retainHours: 0 },
    correlationId: "slowly",
    requestedBy: "a test",
    refuseEmpty: false,
  } as const;
  return (await world.ask({ kind: "start", operation })).id;
}

async function lastOperation(world: RestoredWorld, id: number): Promise<OperationStatus> {
  await world.run(() => !world.isRunning, 15 * 60_000);
  return world.ask({ kind: "operation", id });
}

describe("an object that goes back while rows move", () => {
  /** Takes an object back by what it has forgotten between two pages of the first target. */
  async function goBackAmid(
    world: RestoredWorld,
    name: string,
    pages: readonly [number, number],
  ): Promise<OperationStatus> {
    const object = world.world.object(name);
    let taken: Snapshot | null = null;
    // Writes make pages; one more after the restore would hide from a target what it misses.
    const write = (): void => {
      for (const each of IDS)
        void world
          .caller()
          .call(each, "increment", each, 1)
          .catch(() => undefined);
    };
    const id = await startSlowly(world);
    const isNow = (): boolean => {
      const has = pagesOf(world, "ns-shard-0", ROOT);
      if (taken === null && has >= pages[0] && world.step === "copy") {
        taken = object.storage.snapshot();
        if (taken !== null) write();
      }
      return has >= pages[1] && taken !== null;
    };
    world.when(isNow, () => {
      object.restore(taken);
      write();
    });
    return lastOperation(world, id);
  }

  it.each([
    {
      who: "a target, and has forgotten a page among those that came",
      name: "ns-shard-0",
      pages: [1, 3] as const,
    },
    { who: "a source, and has forgotten what it has sent", name: ROOT, pages: [0, 3] as const },
  ])("as $who ends the operation before its cutover", async ({ name, pages }) => {
    const world = await open();
    const { state, fault } = await goBackAmid(world, name, pages);
    expect(state).toBe("failed");
    expect(fault).toMatchObject({
      kind: "outOfStep",
      message: expect.stringContaining("was restored meanwhile") as string,
    });
    expect(await world.list()).toStrictEqual(IDS);
    expect((await world.operate("shard")).state).toBe("completed");
    const isTold = (flaw: string): boolean => flaw.includes("ended for no reason with outOfStep");
    expect((await world.flaws([], true)).filter((flaw) => !isTold(flaw))).toStrictEqual([]);
  });

  it("as a source by a single page, whose number its next life uses again, ends it too", async () => {
    const world = await open();
    const source = world.world.object(ROOT);
    const target = "ns-shard-0";
    let before: Snapshot | null = null;
    let taken = 0;
    const id = await startSlowly(world);
    const isNow = (): boolean => {
      const has = pagesOf(world, target, ROOT);
      if (before === null && has >= 1 && world.step === "copy") {
        before = source.storage.snapshot();
        taken = has;
        // Lost with the page that the source forgets: they must not come back.
        for (const lost of LOST) void world.put(lost).catch(() => undefined);
      }
      return before !== null && has === taken + 1;
    };
    world.when(isNow, () => source.restore(before));
    const { state, fault } = await lastOperation(world, id);
    expect(state).toBe("failed");
    expect(fault?.message).toContain("was restored meanwhile");
    expect(await world.list()).toStrictEqual(IDS);
  });

  it("as a target, after its operation has ended, is told the end again and falls", async () => {
    const world = await open();
    await world.start("shard");
    await world.run(() => world.step === "copy", 60_000);
    const before = await world.snapshot();
    await world.run(() => !world.isRunning, 60_000);
    world.restore("ns-shard-0", before);
    await world.list();
    await world.pass(60_000);
    expect(await world.list()).toBe("outOfStep");
    const { losses } = await world.planRepair();
    expect(losses.map(({ member }) => member)).toStrictEqual(["ns-shard-0"]);
    await world.repair(["ns-shard-0"]);
    expect(await world.list()).toStrictEqual(world.itemsOf("ns-shard-1"));
  });
});

describe("the root of a namespace that is being sharded", () => {
  it("loses everything, and is repaired by what the targets say; no copy is deleted", async () => {
    const world = await open();
    await world.start("shard");
    await world.run(() => world.step === "verify", 60_000);
    world.restore(ROOT);
    await world.start("shard");
    await world.pass(60_000);
    expect(await world.list()).toBe("registryLost");
    const members = everybody(world);
    const { losses, obstacles } = await world.planRepair([], members);
    expect(losses.map(({ member }) => member)).toStrictEqual([ROOT]);
    expect(obstacles.join()).toContain(`--accept-loss ${ROOT}`);
    await world.repair([ROOT], members);
    await world.run(() => !world.isRunning, 15 * 60_000);
    expect((await world.describe()).disorder).toBeNull();
    expect(await world.list()).toStrictEqual([]);
    expect(members.flatMap((name) => world.asideOf(name)).toSorted()).toStrictEqual(IDS);
    expect((await world.operate("shard")).state).toBe("completed");
  });

  it("goes back to before a cutover that is carried on, and can take rows again", async () => {
    const world = await open();
    await world.start("shard");
    await world.run(() => world.step === "verify", 60_000);
    const before = await world.snapshot();
    const hasBegun = (name: string): boolean => {
      const { storage } = world.world.object(name);
      const query =
        "SELECT 1 FROM shardctl_meta WHERE key = 'membership' AND value ->> '$.epoch' = 1";
      return storage.peek(query).length > 0;
    };
    world.when(
      () => hasBegun("ns-shard-0") || hasBegun("ns-shard-1"),
      () => world.restore(ROOT, before),
    );
    await world.pass(60_000);
    await world.list();
    expect((await world.describe()).disorder?.kind).toBe("registryLost");
    await world.repair();
    await world.run(() => !world.isRunning, 15 * 60_000);
    expect(await world.list()).toStrictEqual(IDS);
    expect((await world.operate("unshard")).state).toBe("completed");
    expect(await world.list()).toStrictEqual(IDS);
  });

  it("finds the shards that it has forgotten by the names that they must have", async () => {
    const world = await open();
    await world.operate("shard");
    await world.start("rekey");
    await world.run(() => world.step === "copy", 60_000);
    const before = await world.snapshot();
    await world.run(() => !world.isRunning, 60_000);
    await world.operate("unshard");
    await world.operate("shard");
    // Nobody that it remembers has heard of the last two layouts.
    world.restore(ROOT, before);
    await world.list();
    await world.pass(60_000);
    const plan = await world.planRepair();
    expect(plan.losses).toStrictEqual([]);
    await world.repair();
    await world.run(() => !world.isRunning, 15 * 60_000);
    expect(await world.list()).toStrictEqual(IDS);
  });
});

describe("an object that a person names for a repair", () => {
  it("is heard also where it has the name of a shard to come, and knows nothing", async () => {
    const world = await open();
    await world.operate("shard");
    const heard = async (...members: string[]): Promise<string[]> =>
      (await world.planRepair([], members)).testimonies.map(({ member }) => member);
    expect(await heard()).not.toContain("ns-g1-shard-0");
    expect(await heard("ns-g1-shard-0")).toContain("ns-g1-shard-0");
  });
});

describe("what is left of an operation", () => {
  it("is no chore for ever where a retired member has lost its storage", async () => {
    const world = await open();
    await world.operate("shard");
    const chores = (): string[] =>
      world.world
        .object(ROOT)
        .storage.peek("SELECT member FROM shardctl_chores")
        .map(({ member }) => textOf(member));
    world.when(
      () => chores().includes("ns-shard-0"),
      () => world.restore("ns-shard-0"),
    );
    await world.operate("rekey");
    await world.pass(60_000);
    expect(chores()).toStrictEqual([]);
  });
});
